//! What a figure comes to, as text for people and as JSON for programs.

use std::fmt;

use serde::Serialize;

use crate::machine::Machine;
use crate::spread::Series;

/// More than this share of a core, in percent, by others, and the figures are not those of this site.
const OTHERS_MAX: f64 = 10.0;

/// One figure, or several that belong together.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) figure: &'static str,
    pub(crate) machine: Machine,
    pub(crate) parts: Vec<Part>,
}

/// What was measured under the same conditions.
#[derive(Debug, Serialize)]
pub(crate) struct Part {
    /// The conditions.
    pub(crate) what: String,
    pub(crate) series: Vec<Series>,
    pub(crate) targets: Vec<Target>,
    /// What else has to be known.
    pub(crate) notes: Vec<String>,
    /// Used by other processes than ours, of a core in percent, in the worst of the runs.
    pub(crate) others_max: f64,
}

/// What is asked for, and whether it was reached in the median.
#[derive(Debug, Serialize)]
pub(crate) struct Target {
    what: &'static str,
    bound: &'static str,
    asked: f64,
    reached: f64,
    is_met: bool,
    /// Whether it is enough to reach this one instead of the one before.
    is_alternative: bool,
}

impl Part {
    /// Without any figure yet.
    pub(crate) fn of(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            series: Vec::new(),
            targets: Vec::new(),
            notes: Vec::new(),
            others_max: 0.0,
        }
    }

    /// Notes that others used this share of a core in one of the runs.
    pub(crate) fn note_others(&mut self, share: f64) {
        self.others_max = self.others_max.max(share);
    }

    /// Whether of each target or its alternatives one was reached.
    pub(crate) fn reaches_aims(&self) -> bool {
        let mut aims = self.targets.chunk_by(|_, next| next.is_alternative);
        aims.all(|alternatives| alternatives.iter().any(|target| target.is_met))
    }
}

impl Target {
    /// At least `asked`.
    pub(crate) fn at_least(what: &'static str, asked: f64, reached: f64) -> Self {
        Self { what, bound: "at least", asked, reached, is_met: reached >= asked, is_alternative: false }
    }

    /// It, or the one before.
    pub(crate) fn or_before(self) -> Self {
        Self { is_alternative: true, ..self }
    }

    /// Less than `asked`.
    pub(crate) fn below(what: &'static str, asked: f64, reached: f64) -> Self {
        Self { what, bound: "below", asked, reached, is_met: reached < asked, is_alternative: false }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.figure, self.machine)?;
        self.parts.iter().try_for_each(|part| write!(f, "{part}"))
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.what)?;
        for series in &self.series {
            writeln!(f, "  {series}")?;
        }
        for Target { what, bound, asked, reached, is_met, is_alternative } in &self.targets {
            let verdict = if *is_met { "reached" } else { "not reached" };
            let aim = if *is_alternative { "or else" } else { "target" };
            let digits = if *asked < 10.0 { 2 } else { 0 };
            writeln!(f, "  {aim}: {what} {bound} {asked:.digits$}: {verdict} ({reached:.digits$})")?;
        }
        for note in &self.notes {
            writeln!(f, "  {note}")?;
        }
        let noise =
            if self.others_max > OTHERS_MAX { ": not a quiet machine, so this means little" } else { "" };
        writeln!(f, "  others used up to {:.0} % of a core{noise}", self.others_max)
    }
}
