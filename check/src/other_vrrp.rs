//! Finds other programs that use VRRP in this network namespace, by their raw sockets of protocol 112.

use std::collections::BTreeSet;
use std::path::Path;

use super::{Finding, Severity, System};

const VRRP: u32 = 112;

pub fn examine(system: &System) -> Vec<Finding> {
    let inodes: BTreeSet<u64> = ["proc/net/raw", "proc/net/raw6"]
        .iter()
        .filter_map(|path| system.read(path))
        .flat_map(|table| sockets(&table))
        .collect();
    if inodes.is_empty() {
        return Vec::new();
    }
    // If the owner of a socket cannot be read, it may be spared itself, so there is no finding.
    owners(system, &inodes)
        .into_iter()
        .map(|owner| finding(&owner))
        .collect()
}

fn finding(owner: &Owner) -> Finding {
    let Owner { name, pid } = owner;
    let sentence = format!(
        "{name} (pid {pid}) speaks VRRP in this network namespace too: with an equal VRID on an interface \
         both answer for the addresses"
    );
    Finding::new("other-vrrp", Severity::Warning, sentence).fix(format!(
        "systemctl disable --now {}, or give it other VRIDs",
        unit(name)
    ))
}

/// Unit of a process: with `process_names` keepalived's are keepalived_vrrp and so on.
fn unit(name: &str) -> &str {
    name.strip_suffix("_vrrp").unwrap_or(name)
}

/// Inodes of the sockets of protocol 112 in a table such as /proc/net/raw: `sl local_address rem_address st ... inode`.
/// The local port is the protocol.
fn sockets(table: &str) -> Vec<u64> {
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let mut fields = line.split_whitespace();
            let (_, protocol) = fields.nth(1)?.rsplit_once(':')?;
            let inode = fields.nth(7)?.parse().ok()?;
            (u32::from_str_radix(protocol, 16) == Ok(VRRP)).then_some(inode)
        })
        .collect()
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Owner {
    name: String,
    pid: u32,
}

fn owners(system: &System, inodes: &BTreeSet<u64>) -> BTreeSet<Owner> {
    let wanted: BTreeSet<String> = inodes
        .iter()
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    let processes = system.entries("proc");
    processes
        .iter()
        .filter_map(|folder| owner(system, folder, &wanted))
        .collect()
}

fn owner(system: &System, folder: &Path, sockets: &BTreeSet<String>) -> Option<Owner> {
    let pid: u32 = folder.file_name()?.to_str()?.parse().ok()?;
    let holds = system
        .entries(&format!("proc/{pid}/fd"))
        .iter()
        .filter_map(|fd| System::link(fd))
        .any(|target| sockets.contains(&target));
    if !holds || is_spared(folder) {
        return None;
    }
    let name = system.read(&format!("proc/{pid}/comm"))?;
    Some(Owner { name, pid })
}

// Returns true for a process of spared. The program is compared, because workers rename their threads.
fn is_spared(folder: &Path) -> bool {
    let program = System::link(&folder.join("exe")).unwrap_or_default();
    let program = program.trim_end_matches(" (deleted)");
    Path::new(program)
        .file_name()
        .is_some_and(|name| name == "spared")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_of_protocol_112_are_found_and_others_left() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n\
            1: 00000000:0001 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 11111 2 0000000000000000 0\n\
            112: 00000000:0070 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 22222 2 0000000000000000 0\n\
            garbage\n";
        assert_eq!(sockets(table), [22222]);
        assert_eq!(sockets(""), [] as [u64; 0]);
    }

    #[test]
    fn a_process_of_keepalived_is_of_its_unit() {
        let owner = |name: &str| Owner {
            name: name.to_owned(),
            pid: 7,
        };
        for name in ["keepalived", "keepalived_vrrp"] {
            let found = format!("{:?}", finding(&owner(name)));
            assert!(found.contains("disable --now keepalived,"), "{found}");
        }
    }
}
