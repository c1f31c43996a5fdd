//! Node that knows of no other node, and a station on its lan.

use std::ops::{Deref, DerefMut};

use spared_tests::lab::Namespace;

use super::Node;

/// Group that becomes active alone, a third of a second after its start.
pub const VRRP: &str = r#"
[[group]]
name = "office"
election = "priority"
priority = 100
advert_interval = "100ms"
[[group.interface]]
interface = "lan"
vrid = 50
addresses = ["10.9.0.1/24"]
"#;

/// The node with its station. It dereferences to the node.
pub struct Alone {
    node: Node,
    station: Namespace,
}

impl Alone {
    /// Creates the lab; None, with the reason printed, if this user may not create namespaces.
    pub fn new() -> Option<Self> {
        let lab = Self {
            node: Node::new("r1")?,
            station: Namespace::or_skip("station")?,
        };
        lab.namespace.add_cable("lan", &lab.station, "lan").unwrap();
        for (namespace, address) in [(&lab.namespace, 2), (&lab.station, 9)] {
            let up = format!("link set lan up\naddr add 10.9.0.{address}/24 dev lan\n");
            namespace.ip(&up).unwrap();
        }
        Some(lab)
    }

    /// Waits until the node is active and its address answers.
    pub fn wait_until_active(&self) {
        self.wait_for_role("active");
        self.wait("an answer", || self.pings());
    }

    /// Returns true if the station gets an answer from the group's address.
    pub fn pings(&self) -> bool {
        self.station.shell("ping -c1 -W0.3 -n 10.9.0.1").is_ok()
    }

    /// Asserts that the node is active since the first time, with an elector that never ended.
    pub fn is_undisturbed(&self) {
        let group = self.group();
        let known = (group.role.as_str(), group.transitions);
        assert_eq!(known, ("active", 1), "{}", self.log());
        assert_eq!(self.plugin("vrrp").restarts, 0, "{}", self.log());
        assert!(self.pings());
    }

    /// Addresses, routes, devices and tables of spared in the node's namespace.
    pub fn traces(&self) -> String {
        let tables = self.prints("nft", &["list", "tables"]);
        let tables = tables.lines().filter(|line| line.contains("spared"));
        tables.fold(self.traces_on_interfaces(), |all, line| all + line)
    }

    /// Addresses, routes and devices of spared in the node's namespace, without tables.
    pub fn traces_on_interfaces(&self) -> String {
        const MARKS: [&str; 4] = ["10.9.0.1/", "proto 213", "alias spared", "macvlan"];
        let all = ["addr", "route", "link"].map(|of| self.prints("ip", &["-d", of]));
        let ours = |line: &&str| MARKS.iter().any(|mark| line.contains(mark));
        let lines = all.iter().flat_map(|text| text.lines().filter(ours));
        lines.map(|line| format!("{line}\n")).collect()
    }
}

impl Deref for Alone {
    type Target = Node;

    fn deref(&self) -> &Node {
        &self.node
    }
}

impl DerefMut for Alone {
    fn deref_mut(&mut self) -> &mut Node {
        &mut self.node
    }
}
