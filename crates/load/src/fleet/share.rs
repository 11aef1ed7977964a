//! Which process holds which sockets, and whether it may.

use crate::cli::CrowdArgs;
use crate::crowd::{CrowdPlan, Endpoint, upgrade_request};
use anyhow::{Context, bail};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The most sockets of one process, below the 20,000 files that many systems allow.
pub(crate) const MEMBERS_MAX: usize = 19_000;
const PORTS: &str = "/proc/sys/net/ipv4/ip_local_port_range";
/// Files that a process needs for itself.
const OWN_FILES: usize = 32;

/// A run of neighbouring numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) first: usize,
    pub(crate) len: usize,
}

/// Divides `count` among so many, as evenly as can be, in order.
pub(crate) fn shares(count: usize, parts: usize) -> Vec<Share> {
    let mut first = 0;
    let share = |part| {
        let len = count / parts + usize::from(part < count % parts);
        first += len;
        Share { first: first - len, len }
    };
    (0..parts).map(share).collect()
}

/// One plan for each process, for `count` sockets together that watch one of `sales` each; each process also opens `further_files` besides. An
/// error says what to change: more processes, more open files, or more source addresses.
pub(crate) fn plan_crowds(
    args: &CrowdArgs,
    sales: &[String],
    count: usize,
    further_files: usize,
) -> anyhow::Result<Vec<(Share, CrowdPlan)>> {
    // The workers inherit the raised limit.
    let files = rlimit::increase_nofile_limit(u64::MAX).context("cannot read the limit of open files")?;
    let files = usize::try_from(files).unwrap_or(usize::MAX);
    let per_process = files.saturating_sub(OWN_FILES + further_files).min(MEMBERS_MAX);
    if per_process == 0 {
        bail!("a process may open {files} files only: raise the limit (`ulimit -n`)");
    }
    let mut cores = if args.pin { allowed_cores()? } else { Vec::new() };
    cores.truncate(count);
    let turns = cores.len().max(1);
    let processes_min = count.div_ceil(per_process).max(1);
    let processes_default = processes_min.next_multiple_of(turns);
    let processes = args.processes.map_or(processes_default, |processes| processes as usize).min(count);
    if processes < processes_min {
        bail!(
            "{processes} processes cannot hold {count} sockets, as each may open {files} files: use --processes \
             {processes_min} or more"
        );
    }
    let mut endpoints = Vec::new();
    for url in args.socket_urls() {
        let address = url.resolve().with_context(|| format!("cannot find {url}"))?;
        endpoints.push(Endpoint { address, upgrade: upgrade_request(url) });
    }
    // So that no process and no server has more to hold than another.
    if !processes.is_multiple_of(turns) || !endpoints.len().is_multiple_of(turns) {
        bail!(
            "--pin needs as many --processes and as many --push-url for each of the {turns} cores as for another"
        );
    }
    let sources = args.sources.clone().map_or_else(Vec::new, |sources| sources.0);
    let ports = fs::read_to_string(PORTS).ok().and_then(|text| ports_len(&text));
    if let Some(ports) = ports {
        require_ports(count, ports, &sources, &endpoints)?;
    }
    let plan = |number: usize, share: Share| CrowdPlan {
        core: number.checked_rem(cores.len()).map(|turn| cores[turn]),
        endpoints: own_endpoints(&endpoints, number, turns),
        sources: sources.clone(),
        sales: sales.to_vec(),
        members_len: share.len,
        first_member: share.first,
        connect_rate_per_s: args.connect_rate / approximate(processes),
        connect_timeout: args.connect_timeout,
    };
    let shares = shares(count, processes).into_iter().enumerate();
    Ok(shares.map(|(number, share)| (share, plan(number, share))).collect())
}

/// The cores that this process may run on, in order.
fn allowed_cores() -> anyhow::Result<Vec<usize>> {
    let allowed = sched_getaffinity(None).context("cannot read which cores this process may run on")?;
    Ok((0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)).collect())
}

/// Every `turns`th endpoint, beginning with that of process `number`.
fn own_endpoints(endpoints: &[Endpoint], number: usize, turns: usize) -> Vec<Endpoint> {
    endpoints.iter().skip(number % turns).step_by(turns).cloned().collect()
}

/// Binds this process, which has one thread as yet, to a core.
pub(crate) fn bind_to(core: usize) -> anyhow::Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core);
    sched_setaffinity(None, &cores).with_context(|| format!("cannot bind a process to core {core}"))
}

/// Each port serves once for a source and an address connected to. Of such pairs there are at least as many as of the one
/// or the other, as both are taken in turn.
fn require_ports(
    count: usize,
    ports: usize,
    sources: &[IpAddr],
    endpoints: &[Endpoint],
) -> anyhow::Result<()> {
    let targets: BTreeSet<SocketAddr> = endpoints.iter().map(|endpoint| endpoint.address).collect();
    let room = ports * targets.len().max(sources.len());
    if count > room {
        let needed = count.div_ceil(ports);
        bail!(
            "{count} sockets need {needed} source addresses, as each has {ports} ports ({PORTS}): use --sources, such \
             as 127.0.0.2..{}",
            Ipv4Addr::from_bits(Ipv4Addr::LOCALHOST.to_bits() + u32::try_from(needed)?)
        );
    }
    Ok(())
}

/// How many ephemeral ports there are, from the kernel's words: the first and the last.
fn ports_len(text: &str) -> Option<usize> {
    let (first, last) = text.trim().split_once(char::is_whitespace)?;
    let (first, last): (usize, usize) = (first.parse().ok()?, last.trim().parse().ok()?);
    (last + 1).checked_sub(first)
}

#[expect(clippy::cast_precision_loss, reason = "there are fewer processes than 2^52")]
fn approximate(processes: usize) -> f64 {
    processes as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_port_serves_once_for_two_addresses() {
        assert_eq!(
            (ports_len("32768\t60999\n"), ports_len("9 1"), ports_len("x")),
            (Some(28_232), None, None)
        );
        let endpoint = |port| Endpoint { address: ([127, 0, 0, 1], port).into(), upgrade: String::new() };
        let sources: Vec<IpAddr> = (2..5).map(|last| [127, 0, 0, last].into()).collect();
        let endpoints = [endpoint(1), endpoint(2), endpoint(2)];
        for (count, sources, is_enough) in [
            (200, &[][..], true),
            (201, &[], false),
            (200, &sources[..1], true),
            (201, &sources[..1], false),
            (300, &sources, true),
            (301, &sources, false),
        ] {
            assert_eq!(
                require_ports(count, 100, sources, &endpoints).is_ok(),
                is_enough,
                "{count} {sources:?}"
            );
        }
    }

    #[test]
    fn each_endpoint_belongs_to_one_core() {
        let endpoint = |port| Endpoint { address: ([127, 0, 0, 1], port).into(), upgrade: String::new() };
        let endpoints: Vec<_> = (0..5).map(endpoint).collect();
        let ports = |number, turns| -> Vec<u16> {
            own_endpoints(&endpoints, number, turns).iter().map(|endpoint| endpoint.address.port()).collect()
        };
        assert_eq!((ports(0, 2), ports(1, 2), ports(2, 2)), (vec![0, 2, 4], vec![1, 3], vec![0, 2, 4]));
        assert_eq!(ports(3, 1), [0, 1, 2, 3, 4]);
    }

    proptest! {
        #[test]
        fn everyone_is_in_exactly_one_share(count in 1_usize..1000, parts in 1_usize..60) {
            let shares = shares(count, parts);
            let mut next = 0;
            for share in &shares {
                prop_assert_eq!(share.first, next);
                prop_assert!((count / parts..=count / parts + 1).contains(&share.len));
                next += share.len;
            }
            prop_assert_eq!((shares.len(), next), (parts, count));
        }
    }
}
