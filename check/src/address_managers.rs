//! Finds programs that manage an interface's addresses: at a reconfiguration, systemd-networkd and NetworkManager
//! delete addresses that they did not set.

use std::collections::BTreeMap;

use spared_config::Setup;

use super::{Finding, Severity, System, Wanted};

const OF_GROUP: &str = "the virtual addresses";
// An address that the program has set itself stays.
const OF_LINK: &str = "the address of the link, unless it has set that itself";

pub fn examine(system: &System, setup: &Setup, wanted: &Wanted) -> Vec<Finding> {
    if elsewhere() {
        return Vec::new();
    }
    let known = addresses(setup, wanted).into_iter();
    let present = known.filter_map(|(name, what)| Some((name, index(name)?, what)));
    present
        .flat_map(|(name, index, what)| managers(system, name, index, what))
        .collect()
}

/// Addresses that spared sets on each interface of a link or a group, in words.
fn addresses<'n>(setup: &'n Setup, wanted: &'n Wanted) -> BTreeMap<&'n str, &'static str> {
    let links = setup.host.linked().map(|link| &link.paths);
    let links = links.into_iter().flatten();
    let links = links.map(|path| (path.interface.as_str(), OF_LINK));
    let groups = wanted.interfaces.keys();
    links
        .chain(groups.map(|name| (name.as_str(), OF_GROUP)))
        .collect()
}

fn managers(system: &System, name: &str, index: u32, what: &str) -> impl Iterator<Item = Finding> {
    let networkd = networkd(system, name, index, what);
    networkd
        .into_iter()
        .chain(network_manager(system, name, index, what))
}

// Returns true in another network namespace than that of process 1. The programs' files in /run describe that
// namespace; other namespaces use the same indices.
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

fn networkd(system: &System, name: &str, index: u32, what: &str) -> Option<Finding> {
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
         {what}; spared puts back what is deleted"
    );
    let fix = format!("put KeepConfiguration=static under [Network] of {file}");
    Some(Finding::new("networkd", Severity::Warning, sentence).fix(fix))
}

// Returns true if KeepConfiguration= is set in the network file or a drop-in of it.
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

fn network_manager(system: &System, name: &str, index: u32, what: &str) -> Option<Finding> {
    let state = system.read(&format!("run/NetworkManager/devices/{index}"))?;
    if !matches!(value(&state, "managed")?, "true" | "full") {
        return None;
    }
    let sentence = format!(
        "NetworkManager manages {name}: `nmcli connection up` and `nmcli device reapply` delete \
         {what}; spared puts back what is deleted"
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
    use std::os::unix::fs::PermissionsExt;

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
        let found = networkd(&root.system(), "lan", 7, OF_GROUP).expect("it is managed");
        assert!(found.fix.contains("/etc/n/10.network"), "{found}");

        root.write(
            "etc/n/10.network",
            "[Network]\nKeepConfiguration = static\n",
        );
        assert_eq!(networkd(&root.system(), "lan", 7, OF_GROUP), None);
    }

    #[test]
    fn what_networkd_leaves_alone_is_none() {
        let root = Root::new("unmanaged");
        assert_eq!(networkd(&root.system(), "lan", 7, OF_GROUP), None);
        root.write(LINK, "ADMIN_STATE=unmanaged\n");
        assert_eq!(networkd(&root.system(), "lan", 7, OF_GROUP), None);
    }

    #[test]
    fn the_interface_of_a_link_is_looked_at_like_that_of_a_group() {
        let root = Root::new("keeper-link");
        root.write("etc/secret", "vCq7-mRz2-Xw9k-Hd4t-Lp8s");
        let secret = root.system().path("etc/secret");
        fs::set_permissions(secret, fs::Permissions::from_mode(0o600)).expect("our own file");
        let link = "[[link]]\ninterface = \"hot\"\n\
                    address = { r1 = \"10.9.0.1/24\", r2 = \"10.9.0.2/24\" }\n";
        let host = format!(
            "node.name = \"r1\"\nsecret_file = \"secret\"\n[nodes]\nr1 = {{}}\nr2 = {{}}\n{link}"
        );
        root.write("etc/spared.toml", &host);
        let vrrp = "[[group]]\nname = \"office\"\n[[group.interface]]\ninterface = \"lan\"\n\
                    vrid = 7\naddresses = [\"192.0.2.1/24\"]\n";
        root.write("etc/plugins/vrrp.toml", vrrp);
        let setup = Setup::read(&root.system().path("etc/spared.toml")).expect("no fault");
        let wanted = Wanted::of(&setup);
        let known = addresses(&setup, &wanted);
        assert_eq!(known, BTreeMap::from([("hot", OF_LINK), ("lan", OF_GROUP)]));
        root.write("run/NetworkManager/devices/7", "[device]\nmanaged=true\n");
        let system = root.system();
        let found = managers(&system, "hot", 7, OF_LINK);
        let found: Vec<String> = found.map(|it| it.sentence).collect();
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found.iter().all(|it| it.contains("address of the link")),
            "{found:?}"
        );
    }

    #[test]
    fn a_device_of_network_manager_is_a_warning_while_it_is_managed() {
        let root = Root::new("manager");
        let path = "run/NetworkManager/devices/7";
        root.write(path, "[device]\nmanaged=true\n");
        assert!(network_manager(&root.system(), "lan", 7, OF_GROUP).is_some());
        root.write(path, "[device]\nmanaged=false\n");
        assert_eq!(network_manager(&root.system(), "lan", 7, OF_GROUP), None);
        fs::remove_file(root.system().path(path)).expect("written above");
        assert_eq!(network_manager(&root.system(), "lan", 7, OF_GROUP), None);
    }
}
