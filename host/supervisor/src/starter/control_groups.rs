//! Control groups of the workers, below the starter's own group, if systemd delegates that one.
//!
//! A group that contains processes cannot have controllers for the groups below it. So the starter and its other
//! children move to a group below as well.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use spared_message::starter::{CONTROLLERS, Delegated};

/// Group of the starter itself, of `spared link` and `spared firewall`, of short-lived checks, and of plugins that run
/// as root, which have no limits.
const STARTER: &str = "starter";
/// Attributes by which systemd marks a delegated group; the second from version 251 on.
const MARKS: [&str; 2] = ["trusted.delegate", "user.delegate"];
/// Maximum number of processes, the same as the account's limit. The group's limit also counts threads of programs with
/// another account.
const PROCESSES: u32 = 512;

/// Delegated group, and the controllers that it lacks.
#[derive(Debug)]
pub(crate) struct ControlGroups(Delegated);

impl ControlGroups {
    /// Moves this process into a group of its own below the delegated one.
    ///
    /// # Errors
    /// The reason why there are no groups for workers.
    pub(crate) fn open() -> Result<Self, String> {
        let own = own_group().ok_or("this system has no cgroup2 hierarchy")?;
        let folder = match own.parent() {
            // systemd's DelegateSubgroup, or an earlier run of this process
            Some(parent) if own.ends_with(STARTER) && is_delegated(parent) => parent.to_owned(),
            _ if is_delegated(&own) => own,
            _ => return Err("systemd does not delegate its control group".to_owned()),
        };
        let groups = Self::below(folder);
        groups.map_err(|error| format!("its control group cannot be used: {error}"))
    }

    fn below(folder: PathBuf) -> io::Result<Self> {
        let starter = folder.join(STARTER);
        make(&starter)?;
        for pid in fs::read_to_string(folder.join("cgroup.procs"))?.lines() {
            // a process that has ended meanwhile needs no group
            let _ = fs::write(starter.join("cgroup.procs"), pid);
        }
        let control = folder.join("cgroup.subtree_control");
        let is_missing = |name: &&str| fs::write(&control, format!("+{name}")).is_err();
        let missing = CONTROLLERS.into_iter().filter(is_missing);
        let missing = missing.map(str::to_owned).collect();
        Ok(Self(Delegated { folder, missing }))
    }

    /// Creates the group of a worker. The worker joins it before it loads anything.
    pub(crate) fn prepare(&self, name: &str, memory: u64) -> Option<PathBuf> {
        let group = self.0.of(name);
        make(&group).ok()?;
        for (file, value) in [
            ("memory.max", memory.to_string()),
            ("memory.oom.group", "1".to_owned()),
            ("pids.max", PROCESSES.to_string()),
        ] {
            // the file does not exist without its controller, which `missing` names
            let _ = fs::write(group.join(file), value);
        }
        Some(group)
    }

    /// Kills the processes that a worker left in its group when it ended.
    pub(crate) fn kill(&self, name: &str) {
        // the group does not exist before the first worker
        let _ = fs::write(self.0.of(name).join("cgroup.kill"), "1");
    }

    /// The groups as the host is told about them.
    pub(crate) fn delegated(&self) -> Delegated {
        self.0.clone()
    }
}

#[cfg(test)]
impl ControlGroups {
    /// Uses plain files in a folder, without the kernel.
    pub(crate) fn pretended(folder: PathBuf) -> Self {
        let missing = Vec::new();
        Self(Delegated { folder, missing })
    }
}

fn make(group: &Path) -> io::Result<()> {
    match fs::create_dir(group) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

fn is_delegated(group: &Path) -> bool {
    let mut value = [0; 8];
    let is_set = |mark: &&str| {
        let found = rustix::fs::getxattr(group, *mark, &mut value);
        found.is_ok_and(|length| value.get(..length) == Some(b"1"))
    };
    MARKS.iter().any(is_set)
}

/// Folder of this process's group in the cgroup2 hierarchy.
fn own_group() -> Option<PathBuf> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    Some(mount_point(&mounts)?.join(own))
}

/// Path at which the cgroup2 hierarchy is mounted as a whole.
fn mount_point(mounts: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let (mount, file_system) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        let is_it = root == "/" && file_system.starts_with("cgroup2 ");
        is_it.then(|| PathBuf::from(point))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hierarchy_is_found_where_it_is_mounted_as_a_whole() {
        let mounts = "25 30 0:23 / /sys rw,nosuid - sysfs sysfs rw\n\
                      31 25 0:27 /system.slice/a.service /srv/a rw - cgroup2 cgroup2 rw\n\
                      32 25 0:27 / /sys/fs/cgroup/unified rw,relatime shared:4 - cgroup2 cgroup2 rw\n";
        let found = mount_point(mounts);
        assert_eq!(found, Some(PathBuf::from("/sys/fs/cgroup/unified")));
        assert_eq!(mount_point("25 30 0:23 / /sys rw - sysfs sysfs rw\n"), None);
    }
}
