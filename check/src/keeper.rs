//! Programs that manage an interface's addresses: at a reconfiguration, systemd-networkd and
//! NetworkManager delete addresses that they did not set.

use super::{Finding, Severity, System, Wanted};

pub fn examine(system: &System, wanted: &Wanted) -> Vec<Finding> {
    if elsewhere() {
        return Vec::new();
    }
    let known = wanted.interfaces.keys();
    known
        .filter_map(|name| Some((name, index(name)?)))
        .flat_map(|(name, index)| {
            [
                networkd(system, name, index),
                network_manager(system, name, index),
            ]
        })
        .flatten()
        .collect()
}

// Their files in /run describe the network namespace of process 1; other namespaces use the same indices.
fn elsewhere() -> bool {
    let namespace = |pid: &str| System::link(format!("/proc/{pid}/ns/net").as_ref());
    match (namespace("1"), namespace("self")) {
        (Some(first), Some(ours)) => first != ours,
        _ => false,
    }
}

fn index(name: &str) -> Option<u32> {
    use rustix::net::{AddressFamily, SocketType, netdevice, socket};
    let any = socket(AddressFamily::INET, SocketType::DGRAM, None).ok()?;
    netdevice::name_to_index(&any, name).ok()
}

fn networkd(system: &System, name: &str, index: u32) -> Option<Finding> {
    let state = system.read(&format!("run/systemd/netif/links/{index}"))?;
    let managed = !matches!(
        value(&state, "ADMIN_STATE")?,
        "unmanaged" | "initialized" | "pending"
    );
    let file = value(&state, "NETWORK_FILE").unwrap_or_default();
    if !managed || keeps(system, &state) {
        return None;
    }
    let sentence = format!(
        "systemd-networkd manages {name} ({file}): when it is restarted or reconfigures {name} it deletes \
         the virtual addresses; spared puts them back"
    );
    let fix = format!("put KeepConfiguration=static under [Network] of {file}");
    Some(Finding::new("networkd", Severity::Warning, sentence).fix(fix))
}

// KeepConfiguration= in the network file or a drop-in of it.
fn keeps(system: &System, state: &str) -> bool {
    let drop_ins = value(state, "NETWORK_FILE_DROPINS").unwrap_or_default();
    value(state, "NETWORK_FILE")
        .into_iter()
        .chain(drop_ins.split(':'))
        .filter(|path| !path.is_empty())
        .filter_map(|path| system.read(path.trim_matches('"')))
        .any(|text| {
            matches!(
                value(&text, "KeepConfiguration"),
                Some("static" | "yes" | "true")
            )
        })
}

fn network_manager(system: &System, name: &str, index: u32) -> Option<Finding> {
    let state = system.read(&format!("run/NetworkManager/devices/{index}"))?;
    if !matches!(value(&state, "managed")?, "true" | "full") {
        return None;
    }
    let sentence = format!(
        "NetworkManager manages {name}: `nmcli connection up` and `nmcli device reapply` delete the virtual \
         addresses; spared puts them back"
    );
    let fix = format!("nmcli device set {name} managed no, and set its own addresses elsewhere");
    Some(Finding::new("network-manager", Severity::Warning, sentence).fix(fix))
}

/// Value of the last `KEY=value` line.
fn value<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    text.lines()
        .filter_map(|line| line.trim().split_once('='))
        .filter(|(found, _)| found.trim() == key)
        .map(|(_, value)| value.trim())
        .next_back()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::tests::Root;

    const LINK: &str = "run/systemd/netif/links/7";

    #[test]
    fn a_link_of_networkd_is_a_warning_unless_it_keeps_what_it_finds() {
        let root = Root::new("networkd");
        root.write(
            LINK,
            "ADMIN_STATE=configured\nNETWORK_FILE=/etc/n/10.network\n",
        );
        root.write(
            "etc/n/10.network",
            "[Match]\nName=lan\n[Network]\nDHCP=no\n",
        );
        let found = networkd(&root.system(), "lan", 7).expect("it is managed");
        assert!(found.fix.contains("/etc/n/10.network"), "{found}");

        root.write(
            "etc/n/10.network",
            "[Network]\nKeepConfiguration = static\n",
        );
        assert_eq!(networkd(&root.system(), "lan", 7), None);
    }

    #[test]
    fn what_networkd_leaves_alone_is_none() {
        let root = Root::new("unmanaged");
        assert_eq!(networkd(&root.system(), "lan", 7), None);
        root.write(LINK, "ADMIN_STATE=unmanaged\n");
        assert_eq!(networkd(&root.system(), "lan", 7), None);
    }

    #[test]
    fn a_device_of_network_manager_is_a_warning_while_it_is_managed() {
        let root = Root::new("manager");
        let path = "run/NetworkManager/devices/7";
        root.write(path, "[device]\nmanaged=true\n");
        assert!(network_manager(&root.system(), "lan", 7).is_some());
        root.write(path, "[device]\nmanaged=false\n");
        assert_eq!(network_manager(&root.system(), "lan", 7), None);
        fs::remove_file(root.system().path(path)).expect("written above");
        assert_eq!(network_manager(&root.system(), "lan", 7), None);
    }
}
