//! The memory limits of the process's control groups, of either version, as the kernel shows them in files.
//!
//! Read at each look: a limit may be changed while the process runs. Where there are no control groups, or none with a
//! limit, there is no limit here.

use std::fs;
use std::path::{Path, PathBuf};

use super::Memory;

/// Refuses sessions once a control group, one of the process's own or one around it, uses more than a share of its limit.
///
/// What is above the share is for what is on its way to all connections at once, and for the process itself. Files that
/// the kernel keeps in memory do not count as used: it gives them up before it kills anybody.
#[derive(Clone, Debug)]
pub struct ControlGroups {
    groups: Vec<Group>,
    used_max_percent: u64,
}

/// One control group that accounts for memory.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Group {
    directory: PathBuf,
    version: Version,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

/// Version 1 writes "no limit" as the greatest number of whole pages.
const NO_LIMIT: u64 = 1 << 62;

impl ControlGroups {
    /// The groups that this process is in now.
    pub fn of_this_process(used_max_percent: u8) -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let groups = find_groups(&read("/proc/self/cgroup"), &read("/proc/self/mountinfo"));
        Self { groups, used_max_percent: used_max_percent.into() }
    }
}

impl Memory for ControlGroups {
    fn has_room(&self) -> bool {
        self.groups.iter().all(|group| group.has_room(self.used_max_percent))
    }
}

impl Group {
    /// Whether the group uses at most its share; also if it has no limit, or does not say.
    fn has_room(&self, used_max_percent: u64) -> bool {
        let (limit, usage, files) = match self.version {
            Version::V1 => (
                "memory.limit_in_bytes",
                "memory.usage_in_bytes",
                ["total_inactive_file ", "total_active_file "],
            ),
            Version::V2 => ("memory.max", "memory.current", ["inactive_file ", "active_file "]),
        };
        let read = |file| fs::read_to_string(self.directory.join(file)).ok();
        let number = |text: String| text.trim().parse::<u64>().ok();
        let Some(limit) = read(limit).and_then(number).filter(|limit| *limit < NO_LIMIT) else { return true };
        let Some(usage) = read(usage).and_then(number) else { return true };
        let is_above = |used: u64| u128::from(used) * 100 > u128::from(limit) * u128::from(used_max_percent);
        if !is_above(usage) {
            return true;
        }
        let stat = read("memory.stat").unwrap_or_default();
        let length = |name: &str| stat.lines().find_map(|line| line.strip_prefix(name)?.parse::<u64>().ok());
        let files_length = files.into_iter().filter_map(length).sum::<u64>();
        !is_above(usage.saturating_sub(files_length))
    }
}

/// The groups that account for the memory of a process, from its own upwards, by its `cgroup` and `mountinfo`.
fn find_groups(memberships: &str, mounts: &str) -> Vec<Group> {
    let mut groups = Vec::new();
    for line in memberships.lines() {
        // Such as `5:memory:/a/b`; of version 2 `0::/a/b`.
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        let version = match controllers {
            "" => Version::V2,
            controllers if controllers.split(',').any(|name| name == "memory") => Version::V1,
            _ => continue,
        };
        if let Some((mount_point, inside)) = mounts.lines().find_map(|mount| locate(mount, version, path)) {
            let own = mount_point.join(inside);
            let upwards = own.ancestors().take_while(|directory| directory.starts_with(&mount_point));
            groups.extend(upwards.map(|directory| Group { directory: directory.to_owned(), version }));
        }
    }
    groups
}

/// Where a line of `mountinfo` shows the group `path`: the mount point, and the way from there.
fn locate(mount: &str, version: Version, path: &str) -> Option<(PathBuf, PathBuf)> {
    let (place, kind) = mount.split_once(" - ")?;
    let mut place = place.split(' ').skip(3);
    let (root, mount_point) = (place.next()?, place.next()?);
    let mut kind = kind.split(' ');
    let (file_system, options) = (kind.next()?, kind.nth(1)?);
    let is_it = match version {
        Version::V1 => file_system == "cgroup" && options.split(',').any(|option| option == "memory"),
        Version::V2 => file_system == "cgroup2",
    };
    // A container may see its own group as the root of the mount.
    let inside = Path::new(path).strip_prefix(root).unwrap_or(Path::new(""));
    is_it.then(|| (mount_point.into(), inside.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
        35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
        36 31 0:33 / /sys/fs/cgroup/cpu rw,relatime shared:9 - cgroup cgroup rw,cpu\n\
        41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";

    fn directories(memberships: &str, mounts: &str) -> Vec<String> {
        let groups = find_groups(memberships, mounts);
        groups.iter().map(|group| group.directory.display().to_string()).collect()
    }

    #[test]
    fn a_group_and_those_around_it_are_found_in_either_version() {
        let found = directories("6:memory:/a/b\n3:cpu:/c\n0::/d\n", MOUNTS);
        let expected = [
            "/sys/fs/cgroup/memory/a/b",
            "/sys/fs/cgroup/memory/a",
            "/sys/fs/cgroup/memory",
            "/sys/fs/cgroup/unified/d",
            "/sys/fs/cgroup/unified",
        ];
        assert_eq!(found, expected);
        assert!(directories("", MOUNTS).is_empty());
        assert!(directories("6:memory:/a", "").is_empty());
    }

    #[test]
    fn in_a_container_the_mount_is_the_own_group() {
        let of_a_container = "35 31 0:32 /docker/1 /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n";
        assert_eq!(directories("6:memory:/docker/1", of_a_container), ["/sys/fs/cgroup/memory/"]);
        let with_own_names = "41 31 0:38 / /sys/fs/cgroup ro - cgroup2 cgroup rw\n";
        assert_eq!(directories("0::/", with_own_names), ["/sys/fs/cgroup/"]);
    }

    fn group(version: Version, files: &[(&str, &str)]) -> (tempfile::TempDir, Group) {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(directory.path().join(name), text).unwrap();
        }
        let group = Group { directory: directory.path().to_owned(), version };
        (directory, group)
    }

    #[test]
    fn a_group_is_full_above_its_share_and_not_for_files_that_can_be_given_back() {
        let v2 = |usage: &str, stat: &str| {
            let files = [("memory.max", "1000000\n"), ("memory.current", usage), ("memory.stat", stat)];
            let (_directory, group) = group(Version::V2, &files);
            group.has_room(75)
        };
        assert!(v2("750000\n", ""));
        assert!(!v2("760000\n", "file 999999\n"));
        assert!(v2("770000\n", "anon 5\ninactive_file 10000\nactive_file 10000\n"));
    }

    #[test]
    fn without_a_limit_there_is_always_room() {
        for (version, limit, text) in [
            (Version::V1, "memory.limit_in_bytes", "9223372036854771712\n"),
            (Version::V2, "memory.max", "max\n"),
            (Version::V2, "memory.high", "1\n"),
        ] {
            let usage = [("memory.usage_in_bytes", "5000000\n"), ("memory.current", "5000000\n")];
            let (_directory, group) = group(version, &[(limit, text), usage[0], usage[1]]);
            assert!(group.has_room(1), "{limit}");
        }
        let files = [("memory.limit_in_bytes", "100000\n"), ("memory.usage_in_bytes", "90000\n")];
        let (_directory, group) = group(Version::V1, &files);
        assert!(!group.has_room(89) && group.has_room(90));
    }
}
