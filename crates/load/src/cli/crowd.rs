//! The flags of what holds sockets: `sockets` and `sale`.

use super::units;
use crate::http::Target;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// Which site, and how to connect.
#[derive(Debug, clap::Args)]
pub(crate) struct CrowdArgs {
    /// The site's root, such as `http://127.0.0.1:8080`; plain HTTP only
    #[arg(long, value_name = "URL")]
    pub(crate) url: Target,

    /// Where the sockets go, if that is elsewhere; repeat it to take several in turn
    #[arg(long, value_name = "URL")]
    pub(crate) push_url: Vec<Target>,

    /// Processes to hold the sockets, at most 19,000 each [default: as few as can hold them]
    #[arg(long, value_name = "P", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) processes: Option<u32>,

    /// Bind process and --push-url number N to core number N, counted round and round: a process connects only to the URLs
    /// of its core. For servers on this machine that are bound in the same way
    #[arg(long)]
    pub(crate) pin: bool,

    /// Own addresses to connect from, `A` or `A..B`, taken in turn, also by the calls of a sale; each serves about as many
    /// connections to one address as there are ephemeral ports (28,000) [default: the system's choice]
    #[arg(long, value_name = "A..B")]
    pub(crate) sources: Option<Sources>,

    /// Sockets to open a second, all processes together
    #[arg(long, value_name = "R/s", default_value = "1000/s", value_parser = units::parse_rate)]
    pub(crate) connect_rate: f64,

    /// Longest time from opening a connection until the sale is watched (ms, s, m; at most 5m)
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = units::parse_timeout)]
    pub(crate) connect_timeout: Duration,

    /// Exit with 1 if a greater share (0 to 1) was refused, failed or was lost
    #[arg(long, value_name = "SHARE", default_value_t = 1.0, value_parser = units::parse_share)]
    pub(crate) max_error_share: f64,

    /// Count the memory of this server process of this machine; repeat it for several. Start them a minute before:
    /// what a process gives back after its start would be taken from what the sockets cost
    #[arg(long, value_name = "PID")]
    pub(crate) server_pid: Vec<u32>,

    /// Write the report as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// Write the report as a web page with plots that needs no network
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
}

/// IPv4 addresses of this machine, at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sources(pub(crate) Vec<IpAddr>);

const SOURCES_MAX: u32 = 1000;

impl CrowdArgs {
    pub(crate) fn socket_urls(&self) -> &[Target] {
        if self.push_url.is_empty() { std::slice::from_ref(&self.url) } else { &self.push_url }
    }
}

impl FromStr for Sources {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (first, last) = text.split_once("..").unwrap_or((text, text));
        let number = |text: &str| text.parse::<Ipv4Addr>().map(u32::from).ok();
        let (Some(first), Some(last)) = (number(first), number(last)) else {
            return Err("expected IPv4 addresses, such as 127.0.0.2..127.0.0.9".to_owned());
        };
        if first > last || last - first >= SOURCES_MAX {
            return Err(format!("expected the lower address first, and at most {SOURCES_MAX}"));
        }
        Ok(Self((first..=last).map(|number| IpAddr::from(Ipv4Addr::from(number))).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_of_sources_has_both_its_ends() {
        let sources: Sources = "127.0.0.255..127.0.1.1".parse().unwrap();
        let expected = ["127.0.0.255", "127.0.1.0", "127.0.1.1"].map(|text| text.parse::<IpAddr>().unwrap());
        assert_eq!(sources.0, expected);
        assert_eq!("127.0.0.2".parse::<Sources>().unwrap().0.len(), 1);
        for text in ["", "a", "127.0.0.9..127.0.0.2", "0.0.0.0..255.255.255.255", "::1", "127.0.0.2.."] {
            assert!(text.parse::<Sources>().is_err(), "{text}");
        }
    }
}
