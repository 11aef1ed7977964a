//! Which process holds which sockets, and whether it may.

use crate::cli::CrowdArgs;
use crate::crowd::{CrowdPlan, Endpoint, upgrade_request};
use anyhow::{Context, bail};

/// The most sockets of one process, below the 20,000 files that many systems allow.
const MEMBERS_MAX: usize = 19_000;
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

/// One plan for each process, for `count` sockets together; each process also opens `further_files` besides. An
/// error says what to change: more processes, more open files, or more source addresses.
pub(crate) fn plan_crowds(
    args: &CrowdArgs,
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
    let processes_min = count.div_ceil(per_process).max(1);
    let processes = args.processes.map_or(processes_min, |processes| processes as usize).min(count);
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
    let plan = |share: Share| CrowdPlan {
        endpoints: endpoints.clone(),
        sources: args.sources.clone().map_or_else(Vec::new, |sources| sources.0),
        sale: args.sale.clone(),
        members_len: share.len,
        first_member: share.first,
        connect_rate_per_s: args.connect_rate / approximate(processes),
        connect_timeout: args.connect_timeout,
    };
    Ok(shares(count, processes).into_iter().map(|share| (share, plan(share))).collect())
}

#[expect(clippy::cast_precision_loss, reason = "there are fewer processes than 2^52")]
fn approximate(processes: usize) -> f64 {
    processes as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
