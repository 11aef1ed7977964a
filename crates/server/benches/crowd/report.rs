//! How figures come out: text for people, and JSON with the machine that they are of.

use std::fmt::Display;
use std::fs::File;
use std::path::Path;

use anyhow::Context as _;
use serde::Serialize;

use crate::Common;
use crate::machine::Machine;

/// What a subcommand comes to.
pub(crate) trait Report: Serialize + Display {
    /// Whether every figure is as good as it should be.
    fn reaches_aim(&self) -> bool;
}

/// Where the report goes.
pub(crate) struct Output {
    json: Option<File>,
}

#[derive(Serialize)]
struct Document<'a, R> {
    machine: Machine,
    runs: u32,
    is_quick: bool,
    reaches_aim: bool,
    #[serde(flatten)]
    report: &'a R,
}

impl Output {
    pub(crate) fn open(json: Option<&Path>) -> anyhow::Result<Self> {
        let open =
            |path: &Path| File::create(path).with_context(|| format!("cannot write to {}", path.display()));
        Ok(Self { json: json.map(open).transpose()? })
    }

    /// The text on stdout, and the JSON where it was asked for.
    pub(crate) fn write<R: Report>(self, common: &Common, report: &R) -> anyhow::Result<()> {
        let machine = Machine::here();
        print!("{report}");
        println!("{machine}");
        let Some(file) = self.json else { return Ok(()) };
        let document = Document {
            machine,
            runs: common.runs(),
            is_quick: common.quick,
            reaches_aim: report.reaches_aim(),
            report,
        };
        serde_json::to_writer_pretty(file, &document).context("cannot write the JSON report")
    }
}

/// For the end of a text.
pub(crate) fn verdict(report: &impl Report) -> &'static str {
    if report.reaches_aim() { "reached" } else { "missed" }
}
