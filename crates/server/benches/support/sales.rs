//! Sales of a site under measurement, by the site's own command line.

use std::process::{Command, Output};

use anyhow::{Context as _, bail};
use serde_json::Value;

/// A sale that opens at once and outlasts every measurement.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SalePlan {
    /// Units.
    pub(crate) stock: u32,
    /// How many may stand by; as many as the stock if `None`.
    pub(crate) standby: Option<u32>,
}

impl SalePlan {
    /// Plans it by `command`, the binary with the site's settings. Its id; a process of the site may hear of it a second
    /// later.
    pub(crate) fn plan(self, command: Command) -> anyhow::Result<String> {
        const PLAN: &str = "sale create --title Console --starts-in 1s --hold 3h --lasts 4h --price 199.00";
        let Self { stock, standby } = self;
        let mut arguments: Vec<String> = PLAN.split(' ').map(str::to_owned).collect();
        arguments.extend(["--stock".to_owned(), stock.to_string()]);
        arguments
            .extend(standby.into_iter().flat_map(|standby| ["--standby".to_owned(), standby.to_string()]));
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let planned: Value = serde_json::from_str(&ask(command, &arguments)?)?;
        Ok(planned["id"].as_str().context("a sale has an id")?.to_owned())
    }
}

/// What a command of the binary prints.
pub(crate) fn ask(mut command: Command, arguments: &[&str]) -> anyhow::Result<String> {
    let Output { status, stdout, stderr } = command.args(arguments).output()?;
    if !status.success() {
        bail!("miaosha {}: {}", arguments.join(" "), String::from_utf8_lossy(&stderr));
    }
    Ok(String::from_utf8(stdout)?)
}
