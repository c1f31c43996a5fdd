//! Finds names in the files that refer to nothing: files that are not read, absent plugins, groups and link interfaces,
//! addresses that no host can have.

use std::path::Path;

use spared_config::{Fault, Plugin, Setup};
use spared_config_reader::{IpNet, nearest, reserved_in_network};

use super::{Finding, Severity, System, Wanted};

/// Maximum number of this machine's interfaces that are listed.
const LISTED_MAX: usize = 12;

pub fn examine(system: &System, setup: &Setup, wanted: &Wanted) -> Vec<Finding> {
    let links = setup.host.linked().map(|link| &link.paths);
    let links = links.into_iter().flatten().map(|path| &path.interface);
    let absent = links.filter(|name| !system.has_interface(name));
    let absent = absent.map(|name| {
        let sentence = absence(system, setup, "the link's interface", name);
        Finding::new("link-interface-absent", Severity::Warning, sentence)
    });
    absent.chain(of_files(setup, wanted)).collect()
}

/// Findings that are the same on any machine.
pub fn of_files(setup: &Setup, wanted: &Wanted) -> Vec<Finding> {
    let mut findings = Vec::new();
    for plugin in setup.plugins.iter().filter(|plugin| plugin.enabled) {
        findings.extend(unknown_plugins(setup, plugin));
        findings.extend(unknown_groups(wanted, plugin));
    }
    for (name, interface) in &wanted.interfaces {
        let odd = interface
            .addresses
            .iter()
            .filter_map(|net| unusable_address(name, *net));
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

/// Reports files in `plugins/` that are not read although they are named after an installed plugin: their extension is
/// not `.toml`. A copy of a file that is read, made by an editor or a package, is not reported: its name must not be
/// given to a command that replaces the file.
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

/// Warning about an elector without any group.
pub fn no_group(plugin: &str) -> Finding {
    let sentence = format!(
        "plugins/{plugin}.toml has no [[group]]: this node is never active on any address, and a reload removes \
         those that it has"
    );
    Finding::new("no-group", Severity::Warning, sentence)
}

/// Reports interfaces of groups and plugins that this machine does not have.
pub fn absent(system: &System, setup: &Setup, wanted: &Wanted) -> Vec<Finding> {
    let names = wanted.interfaces.keys();
    let absent = names
        .filter(|name| !system.has_interface(name))
        .map(|name| {
            let sentence = absence(system, setup, "interface", name);
            Finding::new("interface-absent", Severity::Warning, sentence)
        });
    absent.collect()
}

/// Text about an absent interface: its place in the files, the existing interfaces, and a similar name.
fn absence(system: &System, setup: &Setup, what: &str, name: &str) -> String {
    let place = setup.place_of("interface", name);
    let place = place.map_or(String::new(), |place| format!("{place}: "));
    let mut there = system.interfaces();
    there.retain(|it| it != "lo");
    there.sort();
    let meant = meant(name, there.iter().map(String::as_str));
    let more = match there.len().saturating_sub(LISTED_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let there = if there.is_empty() {
        "none".to_owned()
    } else {
        there[..there.len().min(LISTED_MAX)].join(", ")
    };
    format!(
        "{place}{what} {name} is absent, and is used as soon as it appears; this machine has {there}{more}{meant}"
    )
}

/// Reason why there is no plugin of this name, with a similar name or the existing ones. None if the plugin exists.
pub fn no_plugin(plugin_dir: &Path, name: &str) -> Option<String> {
    let path = plugin_dir.join(format!("{name}.so"));
    if path.symlink_metadata().is_ok() {
        return None;
    }
    let entries = plugin_dir.read_dir().into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|it| {
            it.file_name()
                .to_str()?
                .strip_suffix(".so")
                .map(str::to_owned)
        })
        .collect();
    names.sort();
    let meant = nearest(name, names.iter().map(String::as_str));
    let hint = match (meant, names.is_empty()) {
        (Some(meant), _) => format!("did you mean {meant}.toml?"),
        (None, true) => format!("there is none in {}", plugin_dir.display()),
        (None, false) => format!("there are {}", names.join(", ")),
    };
    Some(format!("there is no plugin \"{name}\": {hint}"))
}

fn unknown_plugins<'s>(setup: &'s Setup, plugin: &'s Plugin) -> impl Iterator<Item = Finding> {
    let is_there = |name: &str| setup.plugin(name).is_some_and(|it| it.enabled);
    let unknown = plugin.after.iter().filter(move |name| !is_there(name));
    unknown.map(move |name| {
        let enabled = setup.plugins.iter().filter(|it| it.enabled);
        let meant = meant(name, enabled.map(|it| it.name.as_str()));
        let why = format!("no plugin \"{name}\" is enabled{meant}");
        Finding::new("after-unknown", Severity::Warning, at(plugin, "after", why))
    })
}

fn unknown_groups(wanted: &Wanted, plugin: &Plugin) -> Vec<Finding> {
    let is_there = |name: &String| wanted.groups.iter().any(|group| group.name == *name);
    let followed = plugin.follow.iter().flatten();
    let unknown = followed.filter(|name| !is_there(name)).map(|name| {
        let groups = wanted.groups.iter().map(|group| group.name.as_str());
        let why = format!("there is no group \"{name}\"{}", meant(name, groups));
        Finding::new(
            "follow-unknown",
            Severity::Warning,
            at(plugin, "follow", why),
        )
    });
    unknown.collect()
}

/// Sentence with the place of the key in the file of the plugin.
fn at(plugin: &Plugin, key: &str, why: String) -> String {
    let file = format!("plugins/{}.toml", plugin.name);
    Fault::of_key(&file, &plugin.text, key, why).to_string()
}

/// "; did you mean ...?" if one of these names is similar.
fn meant<'n>(name: &str, names: impl Iterator<Item = &'n str>) -> String {
    let meant = nearest(name, names);
    meant.map_or(String::new(), |it| format!("; did you mean \"{it}\"?"))
}

fn unusable_address(interface: &str, net: IpNet) -> Option<Finding> {
    let what = reserved_in_network(net)?;
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
            "plugins/service.toml:1: after: no plugin \"dhpc\" is enabled",
            "plugins/service.toml:1: after: no plugin \"sets\" is enabled",
            "plugins/service.toml:2: follow: there is no group \"ofice\"; did you mean \"office\"?",
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
        let absent = "warning[link-interface-absent]: spared.toml:7: the link's interface hot is absent, and is used as soon \
                      as it appears; this machine has lan";
        assert_eq!(found("Inter-|\n face |bytes\n   lan: 0 0\n"), [absent]);
        assert_eq!(found("Inter-|\n face |bytes\n   hot: 0 0\n"), [""; 0]);
    }

    #[test]
    fn an_absent_interface_has_its_place_and_what_was_meant() {
        let root = Root::new("absent-names");
        root.write("etc/spared.toml", "node.name = \"r1\"\n");
        let vrrp = "[[group]]\nname = \"office\"\n[[group.interface]]\ninterface = { r1 = \"lna2\", r2 = \"lan2\" }\n\
                    [[group.interface]]\ninterface = \"lan3\"\n";
        root.write("etc/plugins/vrrp.toml", vrrp);
        let setup = Setup::read(&root.system().path("etc/spared.toml")).expect("no fault");
        let found = |devices: &str| {
            root.write("proc/net/dev", devices);
            let wanted = Wanted::of(&setup);
            let found = absent(&root.system(), &setup, &wanted).into_iter();
            found.map(|it| it.sentence).collect::<Vec<_>>()
        };
        let said = "plugins/vrrp.toml:4: interface lna2 is absent, and is used as soon as it appears; this machine has \
                    lan2, lan3; did you mean \"lan2\"?";
        assert_eq!(
            found(" face |bytes\n lo: 0\n lan3: 0 0\n lan2: 0 0\n"),
            [said]
        );
        let many: String = (10..30).map(|it| format!(" veth{it}: 0 0\n")).collect();
        let found = found(&many);
        assert!(
            matches!(&found[..], [first, _] if first.starts_with("plugins/vrrp.toml:6: interface lan3 is absent")
                && first.ends_with("this machine has veth10, veth11, veth12, veth13, veth14, veth15, veth16, veth17, \
                                   veth18, veth19, veth20, veth21 and 8 more")),
            "{found:?}"
        );
    }

    #[test]
    fn a_plugin_that_is_not_installed_is_named_with_the_nearest() {
        let root = Root::new("no-plugin");
        for name in ["conntrack", "vrrp"] {
            root.write(&format!("lib/{name}.so"), "");
        }
        let lib = root.system().path("lib");
        let said = |name| no_plugin(&lib, name).unwrap_or_default();
        assert_eq!(said("vrrp"), "");
        assert_eq!(
            said("contrack"),
            "there is no plugin \"contrack\": did you mean conntrack.toml?"
        );
        assert_eq!(
            said("squid"),
            "there is no plugin \"squid\": there are conntrack, vrrp"
        );
        let nowhere = root.system().path("nowhere");
        let why = no_plugin(&nowhere, "vrrp").unwrap_or_default();
        assert!(
            why.starts_with("there is no plugin \"vrrp\": there is none in "),
            "{why}"
        );
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
