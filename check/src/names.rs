//! Names in the files that refer to nothing: files that are not read, absent plugins, groups and link
//! interfaces, addresses that no host can have.

use std::net::IpAddr;
use std::path::Path;

use spared_config::{Plugin, Setup};
use spared_sdk::config::IpNet;

use super::{Finding, Severity, System, Wanted};

pub fn examine(system: &System, setup: &Setup, wanted: &Wanted) -> Vec<Finding> {
    let links = setup.host.linked().map(|link| &link.paths);
    let links = links.into_iter().flatten().map(|path| &path.interface);
    let absent = links.filter(|name| !system.has_interface(name));
    let mut findings: Vec<Finding> = absent.map(|name| absent_link(name)).collect();
    for plugin in setup.plugins.iter().filter(|plugin| plugin.enabled) {
        findings.extend(unknown_plugins(setup, plugin));
        findings.extend(unknown_groups(wanted, plugin));
    }
    for (name, interface) in &wanted.interfaces {
        let odd = interface
            .addresses
            .iter()
            .filter_map(|net| oddity(name, *net));
        findings.extend(odd);
    }
    findings.extend(wanted.devices.iter().map(virtual_device));
    findings
}

fn virtual_device((interface, device): &(String, String)) -> Finding {
    let sentence = format!(
        "the virtual MAC on {interface} has the device {device}: rules with iifname {interface} have to name it as well"
    );
    Finding::new("virtual-mac-device", Severity::Note, sentence)
}

/// Files in `plugins/` that are not read although they are named after an installed plugin: their extension
/// is not `.toml`. A copy beside the file that is read, as of an editor or a package, is none of them: its
/// name must not be given to a command that replaces that file.
pub fn unread(config: &Path, plugin_dir: &Path) -> Vec<Finding> {
    let folder = config.parent().unwrap_or(Path::new(".")).join("plugins");
    let entries = folder.read_dir().into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    let unread = names.iter().filter_map(|name| {
        let (stem, end) = name.rsplit_once('.').unwrap_or((name.as_str(), ""));
        let is_plugin = plugin_dir.join(format!("{stem}.so")).is_file();
        let is_copy = name.ends_with('~') || names.contains(&format!("{stem}.toml"));
        (is_plugin && !is_copy && end != "toml").then(|| {
            let sentence = format!("plugins/{name} is ignored: only NAME.toml enables a plugin");
            let fix = format!("mv plugins/{name} plugins/{stem}.toml");
            Finding::new("file-unread", Severity::Warning, sentence).fix(fix)
        })
    });
    unread.collect()
}

/// Warning about an elector without a group.
pub fn no_group(plugin: &str) -> Finding {
    let sentence = format!(
        "{plugin}.toml has no [[group]]: this node is never active on any address, and a reload removes \
         those that it has"
    );
    Finding::new("no-group", Severity::Warning, sentence)
}

fn absent_link(name: &str) -> Finding {
    let sentence = format!("link: interface {name} is absent; it is used as soon as it appears");
    Finding::new("link-interface-absent", Severity::Warning, sentence).fix("ip link")
}

fn unknown_plugins<'s>(setup: &'s Setup, plugin: &'s Plugin) -> impl Iterator<Item = Finding> {
    let is_there = |name: &str| setup.plugin(name).is_some_and(|it| it.enabled);
    let unknown = plugin.after.iter().filter(move |name| !is_there(name));
    unknown.map(|name| {
        let of = &plugin.name;
        let sentence = format!("{of}.toml: after: no plugin \"{name}\" is enabled");
        Finding::new("after-unknown", Severity::Warning, sentence)
    })
}

fn unknown_groups(wanted: &Wanted, plugin: &Plugin) -> Vec<Finding> {
    let is_there = |name: &String| wanted.groups.iter().any(|group| group.name == *name);
    let followed = plugin.follow.iter().flatten();
    let unknown = followed.filter(|name| !is_there(name)).map(|name| {
        let of = &plugin.name;
        let sentence = format!("{of}.toml: follow: there is no group \"{name}\"");
        Finding::new("follow-unknown", Severity::Warning, sentence)
    });
    unknown.collect()
}

// In a subnet of one or two addresses, each may be a host's.
fn oddity(interface: &str, net: IpNet) -> Option<Finding> {
    let bits = if net.addr().is_ipv4() { 32 } else { 128 };
    if bits - net.prefix_len() < 2 {
        return None;
    }
    let what = match net.addr() {
        address if address == net.network() => "the network itself",
        IpAddr::V4(_) if net.addr() == net.broadcast() => "the broadcast of its network",
        _ => return None,
    };
    let sentence = format!("{net} on {interface} is {what}: no host can have it");
    Some(Finding::new(
        "address-of-network",
        Severity::Error,
        sentence,
    ))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::tests::Root;

    #[test]
    fn what_is_named_and_is_not_there_is_found() {
        let root = Root::new("names");
        root.write("proc/net/dev", "Inter-|\n face |bytes\n   lan: 0 0\n");
        root.write("etc/spared.toml", "node.name = \"r1\"\n");
        let vrrp = "[[group]]\nname = \"office\"\n[[group.interface]]\ninterface = \"lan\"\nvrid = 7\n\
                    addresses = [\"192.0.2.0/24\", \"192.0.2.255/24\", \"192.0.2.1/24\", \
                    \"198.51.100.0/31\", \"198.51.100.9/32\", \"2001:db8::/64\"]\n";
        root.write("etc/plugins/vrrp.toml", vrrp);
        let service = "after = [\"dhpc\", \"vrrp\", \"sets\"]\nfollow = [\"office\", \"ofice\"]\n";
        root.write("etc/plugins/service.toml", service);
        root.write("etc/plugins/sets.toml", "enabled = false\n");
        let config = root.system().path("etc/spared.toml");
        let setup = Setup::read(&config).expect("no fault");
        let wanted = Wanted::of(&setup);
        let found = examine(&root.system(), &setup, &wanted);
        let found: Vec<&str> = found.iter().map(|it| it.sentence.as_str()).collect();
        let wanted = [
            "service.toml: after: no plugin \"dhpc\" is enabled",
            "service.toml: after: no plugin \"sets\" is enabled",
            "service.toml: follow: there is no group \"ofice\"",
            "192.0.2.0/24 on lan is the network itself: no host can have it",
            "192.0.2.255/24 on lan is the broadcast of its network: no host can have it",
            "2001:db8::/64 on lan is the network itself: no host can have it",
        ];
        assert_eq!(found, wanted);
    }

    #[test]
    fn a_link_whose_interface_is_not_there_is_named_until_it_is() {
        use std::os::unix::fs::PermissionsExt;
        let root = Root::new("link-names");
        root.write("etc/secret", "vCq7-mRz2-Xw9k-Hd4t-Lp8s");
        let secret = root.system().path("etc/secret");
        fs::set_permissions(secret, fs::Permissions::from_mode(0o600)).expect("our own file");
        root.write(
            "etc/spared.toml",
            "node.name = \"r1\"\nsecret_file = \"secret\"\n[nodes]\nr1 = {}\nr2 = {}\n[[link]]\n\
             interface = \"hot\"\naddress = { r1 = \"10.9.0.1/24\", r2 = \"10.9.0.2/24\" }\n",
        );
        let setup = Setup::read(&root.system().path("etc/spared.toml")).expect("no fault");
        let found = |devices: &str| {
            root.write("proc/net/dev", devices);
            let found = examine(&root.system(), &setup, &Wanted::default());
            found.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let absent = "warning[link-interface-absent]: link: interface hot is absent; it is used as soon as it appears; to fix: ip link";
        assert_eq!(found("Inter-|\n face |bytes\n   lan: 0 0\n"), [absent]);
        assert_eq!(found("Inter-|\n face |bytes\n   hot: 0 0\n"), [""; 0]);
    }

    #[test]
    fn a_file_of_a_plugin_with_another_end_is_named() {
        let root = Root::new("unread");
        let names = ["vrrp.conf", "dhcp", "notes.txt", "ipsec.toml~"];
        let of_one_that_is_read = ["sets.toml", "sets.toml~", "sets.bak", "sets.conf", "sets"];
        for name in names.iter().chain(&of_one_that_is_read) {
            root.write(&format!("etc/plugins/{name}"), "");
        }
        for name in ["vrrp", "dhcp", "sets", "ipsec"] {
            root.write(&format!("lib/{name}.so"), "");
        }
        let system = root.system();
        let found = unread(&system.path("etc/spared.toml"), &system.path("lib"));
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "warning[file-unread]: plugins/dhcp is ignored: only NAME.toml enables a plugin; \
                 to fix: mv plugins/dhcp plugins/dhcp.toml",
                "warning[file-unread]: plugins/vrrp.conf is ignored: only NAME.toml enables a plugin; \
                 to fix: mv plugins/vrrp.conf plugins/vrrp.toml"
            ]
        );
        fs::remove_dir_all(system.path("etc")).expect("our own folder");
        assert!(unread(&system.path("etc/spared.toml"), &system.path("lib")).is_empty());
    }
}
