//! Findings about folders that look like hosts. `check/tests/environment.rs` tests real ones.

use std::fs;
use std::path::PathBuf;

use spared_abi::PLUGIN_ROOT;
use spared_config::Setup;
use spared_contract::Descriptor;

use super::wanted::Interface;
use super::{Finding, Severity, System, Wanted, rights, settings};

/// Folder with files of /proc and /run, removed at the end.
pub struct Root(PathBuf);

impl Root {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("spared-check-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("the temporary directory is writable");
        Self(path)
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().expect("below the root")).expect("our own folder");
        fs::write(path, text).expect("our own folder");
    }

    pub fn system(&self) -> System {
        System::below(&self.0)
    }

    /// Creates a router without findings.
    fn router(name: &str) -> Self {
        let root = Self::new(name);
        root.write(
            "proc/net/dev",
            "Inter-|\n face |bytes\n   lan: 0 0\n   wan: 0 0\n",
        );
        root.set("ipv4/ip_forward", 1);
        root.set("ipv6/conf/all/forwarding", 1);
        for interface in ["all", "lan", "wan"] {
            for (setting, value) in [
                ("forwarding", 1),
                ("rp_filter", 0),
                ("arp_filter", 0),
                ("arp_ignore", 0),
                ("promote_secondaries", 1),
            ] {
                root.set(&format!("ipv4/conf/{interface}/{setting}"), value);
            }
            root.set(&format!("ipv6/conf/{interface}/disable_ipv6"), 0);
        }
        root
    }

    /// Switches forwarding off for each interface, like the kernel.
    fn do_not_forward(&self) {
        self.set("ipv4/ip_forward", 0);
        for interface in ["all", "lan", "wan"] {
            self.set(&format!("ipv4/conf/{interface}/forwarding"), 0);
        }
    }

    fn set(&self, setting: &str, value: u8) {
        self.write(&format!("proc/sys/net/{setting}"), &format!("{value}\n"));
    }

    fn ids(&self, wanted: &Wanted) -> Vec<&'static str> {
        let found = settings::examine(&self.system(), wanted);
        found.iter().map(|finding| finding.id).collect()
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const PAIR: &str = r#"
    [[group]]
    name = "office"
    [[group.interface]]
    interface = "lan"
    addresses = ["192.168.200.1/24", "fe80::1/64"]
    [[group.interface]]
    interface = { r1 = "wan", r2 = "wan9" }
    addresses = ["203.0.113.9/29"]
"#;

fn wanted(text: &str) -> Wanted {
    let mut wanted = Wanted::default();
    wanted.read(text, "r1");
    wanted
}

fn pair_with_virtual_mac() -> Wanted {
    wanted(&PAIR.replace("interface =", "vmac = true\ninterface ="))
}

#[test]
fn interfaces_and_addresses_are_read_from_any_plugin() {
    let wanted = wanted(PAIR);
    let names: Vec<&str> = wanted.interfaces.keys().map(String::as_str).collect();
    assert_eq!(names, ["lan", "wan"]);
    let lan: &Interface = &wanted.interfaces["lan"];
    assert!(lan.has_ipv4() && lan.has_ipv6() && !lan.virtual_mac);
    assert!(!wanted.interfaces["wan"].has_ipv6());
}

#[test]
fn what_is_no_toml_wants_nothing() {
    assert_eq!(wanted("[[group"), Wanted::default());
}

#[test]
fn a_sound_router_has_no_findings() {
    let root = Root::router("sound");
    assert_eq!(root.ids(&wanted(PAIR)), [""; 0]);
    assert_eq!(root.ids(&pair_with_virtual_mac()), [""; 0]);
}

#[test]
fn each_setting_that_hurts_is_found() {
    for (setting, value, id) in [
        ("ipv6/conf/all/forwarding", 0, "ipv6-forwarding"),
        ("ipv4/conf/wan/forwarding", 0, "ipv4-forwarding"),
        ("ipv4/conf/lan/arp_ignore", 8, "arp-ignore"),
        ("ipv4/conf/lan/rp_filter", 1, "rp-filter"),
        ("ipv6/conf/lan/disable_ipv6", 1, "ipv6-disabled"),
    ] {
        let root = Root::router(&setting.replace('/', "-"));
        root.set(setting, value);
        assert_eq!(root.ids(&wanted(PAIR)), [id], "{setting}");
    }
}

#[test]
fn a_router_that_does_not_forward_is_told_once() {
    let root = Root::router("no-forwarding");
    root.do_not_forward();
    assert_eq!(root.ids(&wanted(PAIR)), ["ipv4-forwarding"]);
    let by_role = Wanted {
        by_role: vec!["net.ipv4.ip_forward".to_owned()],
        ..wanted(PAIR)
    };
    assert_eq!(root.ids(&by_role), [""; 0]);
}

#[test]
fn the_virtual_mac_minds_arp_filters() {
    for (setting, value, id) in [
        ("arp_filter", 1, "arp-filter"),
        ("arp_ignore", 2, "arp-ignore"),
    ] {
        let root = Root::router(setting);
        root.set(&format!("ipv4/conf/all/{setting}"), value);
        assert_eq!(root.ids(&wanted(PAIR)), [""; 0], "{setting}");
        assert_eq!(root.ids(&pair_with_virtual_mac()), [id; 2], "{setting}");
    }
}

#[test]
fn promote_secondaries_matters_where_addresses_share_a_subnet() {
    let root = Root::router("promote");
    root.set("ipv4/conf/all/promote_secondaries", 0);
    assert_eq!(root.ids(&wanted(PAIR)), [""; 0]);
    root.set("ipv4/conf/lan/promote_secondaries", 0);
    assert_eq!(root.ids(&wanted(PAIR)), ["promote-secondaries"]);
    assert_eq!(root.ids(&wanted(&PAIR.replace("/24", "/32"))), [""; 0]);
}

#[test]
fn a_server_on_one_interface_need_not_forward() {
    let root = Root::router("server");
    root.do_not_forward();
    let one = wanted("[[group]]\ninterface = 'lan'\naddresses = ['192.0.2.1/24']");
    let found = settings::examine(&root.system(), &one);
    assert_eq!(
        found.iter().map(|it| it.severity).collect::<Vec<_>>(),
        [Severity::Note]
    );
}

#[test]
fn an_absent_interface_is_not_judged() {
    let root = Root::router("absent");
    root.set("ipv4/conf/lan/arp_ignore", 8);
    let other = wanted(&PAIR.replace("lan", "attic"));
    assert_eq!(root.ids(&other), [""; 0]);
}

#[test]
fn a_saved_ruleset_must_not_hold_the_fence() {
    let root = Root::router("saved");
    let saved = |text: &str| {
        root.write("etc/nftables.conf", text);
        let found = super::ruleset::examine(&root.system(), &wanted(PAIR));
        found.iter().any(|finding| finding.id == "ruleset-saved")
    };
    assert!(!saved("table inet filter {\n}\n# table netdev spared\n"));
    assert!(saved("table inet filter {\n}\ntable netdev spared {\n}\n"));
}

/// A plugin's rights are not a fault: whoever removes them breaks the plugin.
#[test]
fn what_a_plugin_may_do_is_a_note_without_advice() {
    let root = Root::new("rights");
    root.write("etc/spared.toml", "node.name = \"r1\"\n");
    root.write("etc/plugins/service.toml", "");
    let setup = Setup::read(&root.system().path("etc/spared.toml")).expect("no fault");
    let descriptor = |flags, capabilities| Descriptor {
        flags,
        capabilities,
        ..Descriptor::default()
    };
    let said = |descriptor| rights(&setup.plugins[0], &descriptor).map(|it| it.to_string());
    let root = "note[root]: the plugin service runs as root, and is not confined".to_owned();
    assert_eq!(said(descriptor(PLUGIN_ROOT, 0)), Some(root));
    let raw =
        "note[capabilities]: the plugin service sends and reads raw packets (net_raw)".to_owned();
    assert_eq!(said(descriptor(0, 1 << 13)), Some(raw));
    assert_eq!(said(descriptor(0, 0)), None);
}

#[test]
fn a_finding_reads_as_one_line() {
    let finding = Finding::new("x", Severity::Warning, "lan is odd").fix("fix lan");
    assert_eq!(
        finding.to_string(),
        "warning[x]: lan is odd; to fix: fix lan"
    );
}
