//! What several runs gave for one figure: the middle, and how far the others were from it.

use std::fmt;

use serde::Serialize;

/// The median, the least and the greatest of some runs.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    /// In the order in which they were measured.
    pub(crate) runs: Vec<f64>,
}

/// A spread with its name and its unit.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) unit: &'static str,
    #[serde(flatten)]
    pub(crate) spread: Spread,
}

impl Spread {
    /// Of at least one run. With an even number of them the median is the mean of the two in the middle.
    pub(crate) fn of(runs: impl IntoIterator<Item = f64>) -> Self {
        let runs: Vec<f64> = runs.into_iter().collect();
        let mut sorted = runs.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let at = |place: usize| sorted.get(place).copied().unwrap_or(f64::NAN);
        let last = sorted.len().saturating_sub(1);
        Self { median: f64::midpoint(at(last / 2), at(sorted.len() / 2)), min: at(0), max: at(last), runs }
    }
}

impl Series {
    /// Of at least one run.
    pub(crate) fn of(name: impl Into<String>, unit: &'static str, runs: Vec<f64>) -> Self {
        Self { name: name.into(), unit, spread: Spread::of(runs) }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { median, min, max, runs } = self;
        let digits = f.precision().unwrap_or(0);
        match runs.len() {
            1 => write!(f, "{median:.digits$} (one run)"),
            count => write!(f, "{median:.digits$} ({min:.digits$} to {max:.digits$} in {count} runs)"),
        }
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, unit, spread: Spread { median, min, max, .. } } = self;
        // Large figures are whole, small ones have the digits that tell them apart.
        let digits = if *max < 10.0 { 2 } else { usize::from(*max < 100.0) };
        write!(f, "{name:<34} {median:>11.digits$} {unit} ({min:.digits$} to {max:.digits$})")
    }
}
