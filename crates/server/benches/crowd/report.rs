//! How figures come out: text for people, and JSON with the machine that they are of.

use std::fmt::Display;
use std::fs::File;
use std::path::Path;

use anyhow::Context as _;
use serde::Serialize;

use crate::Common;
use crate::machine::Machine;
use crate::usage::{Process, Reading};

/// More than this share of a core, in percent, by others, and the figures are not those of this site.
const OTHERS_MAX: f64 = 10.0;

/// What a subcommand comes to.
pub(crate) trait Report: Serialize + Display {
    /// Whether every figure is as good as it should be.
    fn reaches_aim(&self) -> bool;
}

/// Where the report goes, and what this machine had used before.
pub(crate) struct Output {
    json: Option<File>,
    before: Reading,
}

#[derive(Serialize)]
struct Document<'a, R> {
    machine: Machine,
    runs: u32,
    is_quick: bool,
    reaches_aim: bool,
    /// By other processes than this program and those that it started, of a core in percent, on average.
    others: f64,
    #[serde(flatten)]
    report: &'a R,
}

impl Output {
    pub(crate) fn open(json: Option<&Path>) -> anyhow::Result<Self> {
        let open =
            |path: &Path| File::create(path).with_context(|| format!("cannot write to {}", path.display()));
        Ok(Self { json: json.map(open).transpose()?, before: read()? })
    }

    /// The text on stdout, and the JSON where it was asked for. All that this program started has ended.
    pub(crate) fn write<R: Report>(self, common: &Common, report: &R) -> anyhow::Result<()> {
        let machine = Machine::here();
        print!("{report}");
        let others = read()?.since(&self.before).others;
        let noise = if others > OTHERS_MAX { ": not a quiet machine, so this means little" } else { "" };
        println!("others used {others:.0} % of a core{noise}");
        println!("{machine}");
        let Some(file) = self.json else { return Ok(()) };
        let document = Document {
            machine,
            runs: common.runs(),
            is_quick: common.quick,
            reaches_aim: report.reaches_aim(),
            others,
            report,
        };
        serde_json::to_writer_pretty(file, &document).context("cannot write the JSON report")
    }
}

/// For the end of a text.
pub(crate) fn verdict(report: &impl Report) -> &'static str {
    if report.reaches_aim() { "reached" } else { "missed" }
}

fn read() -> anyhow::Result<Reading> {
    Reading::take(&[Process { name: "benchmark", id: std::process::id() }])
}
