//! The memory that the manager may use: that of the computer, or less where a control group allows
//! less.

use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::OnceLock;

/// Assumed where the system does not report it: a small computer in a laboratory.
const UNKNOWN: u64 = 1 << 30;

/// The memory that the manager may use, from which the default budgets follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// The number of bytes.
    pub bytes: u64,
    /// The source of the number.
    pub source: MemorySource,
}

/// The source of the size of the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemorySource {
    /// All memory of the computer.
    Computer,
    /// The limit of the control group of the process, for example of a container or a systemd unit.
    ControlGroup,
    /// The system does not report it; a small size is assumed.
    Unknown,
}

impl Memory {
    /// Returns the memory that this process may use. Reads it once.
    pub fn of_this_process() -> Self {
        static MEMORY: OnceLock<Memory> = OnceLock::new();
        *MEMORY.get_or_init(|| Self::read(Path::new("/")))
    }

    /// Reads it from the files of Linux below `root`.
    fn read(root: &Path) -> Self {
        let Some(computer) = computer(root) else {
            return Self {
                bytes: UNKNOWN,
                source: MemorySource::Unknown,
            };
        };
        match control_group(root) {
            Some(bytes) if bytes < computer => Self {
                bytes,
                source: MemorySource::ControlGroup,
            },
            _ => Self {
                bytes: computer,
                source: MemorySource::Computer,
            },
        }
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mebibytes = self.bytes >> 20;
        match self.source {
            MemorySource::Computer => write!(formatter, "{mebibytes}MiB of memory"),
            MemorySource::ControlGroup => {
                write!(
                    formatter,
                    "{mebibytes}MiB of memory that the control group allows"
                )
            }
            MemorySource::Unknown => write!(
                formatter,
                "{mebibytes}MiB of memory, assumed since the system does not tell its size"
            ),
        }
    }
}

/// Returns the memory of the computer in bytes.
fn computer(root: &Path) -> Option<u64> {
    let text = fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    kibibytes.checked_mul(1024).filter(|bytes| *bytes > 0)
}

/// Returns the smallest limit of the control groups of the process, if there is one.
fn control_group(root: &Path) -> Option<u64> {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    groups
        .lines()
        .filter_map(|line| {
            let (_, line) = line.split_once(':')?;
            let (controllers, group) = line.split_once(':')?;
            // The line of version 2 names no controllers.
            let (mount, files) = if controllers.is_empty() {
                ("sys/fs/cgroup", &["memory.max", "memory.high"][..])
            } else if controllers.split(',').any(|controller| controller == "memory") {
                ("sys/fs/cgroup/memory", &["memory.limit_in_bytes"][..])
            } else {
                return None;
            };
            smallest_limit(&root.join(mount), group, files)
        })
        .min()
}

/// Returns the smallest limit of a group and those above it. Inside a container, its group may be
/// mounted at the top.
fn smallest_limit(mount: &Path, group: &str, files: &[&str]) -> Option<u64> {
    Path::new(group.trim_start_matches('/'))
        .ancestors()
        .flat_map(|group| files.iter().map(move |file| mount.join(group).join(file)))
        // Version 2 writes `max` where there is no limit.
        .filter_map(|file| fs::read_to_string(file).ok()?.trim().parse().ok())
        .filter(|bytes| *bytes > 0)
        .min()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// Reads the memory from these files.
    fn read(files: &[(&str, &str)]) -> (u64, MemorySource) {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let Memory { bytes, source } = Memory::read(root.path());
        (bytes, source)
    }

    const MEMINFO: (&str, &str) = (
        "proc/meminfo",
        "MemTotal:         947204 kB\nMemFree:          512000 kB\n",
    );

    #[test]
    fn the_memory_is_that_of_the_computer_unless_a_control_group_allows_less() {
        let computer = (947_204 * 1024, MemorySource::Computer);
        assert_eq!(read(&[MEMINFO]), computer);
        let version_2 = ("proc/self/cgroup", "0::/system.slice/labwire.service\n");
        let unlimited = ("sys/fs/cgroup/system.slice/labwire.service/memory.max", "max\n");
        assert_eq!(read(&[MEMINFO, version_2, unlimited]), computer);

        let limited = ("sys/fs/cgroup/system.slice/memory.max", "536870912\n");
        let group = (512 * MIB, MemorySource::ControlGroup);
        assert_eq!(read(&[MEMINFO, version_2, unlimited, limited]), group);
        let throttled = (
            "sys/fs/cgroup/system.slice/labwire.service/memory.high",
            "268435456\n",
        );
        assert_eq!(
            read(&[MEMINFO, version_2, unlimited, limited, throttled]),
            (256 * MIB, MemorySource::ControlGroup)
        );
        let above = ("sys/fs/cgroup/system.slice/memory.max", "99999999999\n");
        assert_eq!(read(&[MEMINFO, version_2, above]), computer);
    }

    #[test]
    fn control_groups_of_version_1_count_too_also_inside_of_a_container() {
        let groups = (
            "proc/self/cgroup",
            "9:name=systemd:/\n4:memory:/docker/0a1b\n1:cpu:/docker/0a1b\n0::/\n",
        );
        let group = (128 * MIB, MemorySource::ControlGroup);
        let outside = (
            "sys/fs/cgroup/memory/docker/0a1b/memory.limit_in_bytes",
            "134217728\n",
        );
        let inside = ("sys/fs/cgroup/memory/memory.limit_in_bytes", "134217728\n");
        let unlimited = (
            "sys/fs/cgroup/memory/memory.limit_in_bytes",
            "9223372036854771712\n",
        );
        assert_eq!(read(&[MEMINFO, groups, outside, unlimited]), group);
        assert_eq!(read(&[MEMINFO, groups, inside]), group);
        let unlimited = read(&[MEMINFO, groups, unlimited]);
        assert_eq!(unlimited, (947_204 * 1024, MemorySource::Computer));
    }

    #[test]
    fn where_the_system_does_not_tell_a_small_computer_is_assumed() {
        let unknown = (UNKNOWN, MemorySource::Unknown);
        assert_eq!(read(&[]), unknown);
        assert_eq!(read(&[("proc/meminfo", "MemTotal: much\n")]), unknown);
    }
}
