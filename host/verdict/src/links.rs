//! Makes the findings about the links to the other node.

use serde::{Deserialize, Serialize};

use crate::facts::{NodeFacts, is_default};
use crate::finding::{Finding, Id};
use crate::node::bare;

/// Facts about a path to the other node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LinkFacts {
    /// Interface of the path.
    pub interface: String,
    /// True if the path has a session.
    pub up: bool,
    /// Time since which the path is up or down.
    pub since: String,
    /// Reason why the path is down.
    pub why: String,
    /// True if the fault is on this node.
    pub is_local: bool,
    /// MTU of the interface, if packets of that size do not pass.
    #[serde(skip_serializing_if = "is_default")]
    pub mtu: Option<u32>,
    /// Size in bytes of the largest packets that pass, if packets of the MTU do not.
    #[serde(skip_serializing_if = "is_default")]
    pub passes: Option<u32>,
}

/// Returns the findings of a node about its links, and about the keys that they use.
pub(crate) fn findings(node: &NodeFacts, peer: &str) -> Vec<Finding> {
    let name = node.node.as_str();
    let mut found = Vec::new();
    let up = node.links.iter().filter(|link| link.up).count();
    let left = match up {
        0 => " No link is left.",
        1 => " One link is left.",
        _ => "",
    };
    let check = format!(
        "Check its cable, its address on both nodes, and that no firewall drops TCP port 3780 there.{left}"
    );
    if let Some(why) = &node.processes.link_filtered {
        let text = format!("{name}: {}", bare(why));
        found.push(Finding::new(Id::LinkFiltered, name, "firewall", text));
    }
    if let Some(why) = &node.processes.firewall_down {
        let text = format!("{name}: {}", bare(why));
        let finding = Finding::new(Id::FirewallDown, name, "firewall", text);
        let todo = "If this lasts, the reason is in the journal: journalctl -u spared";
        found.push(finding.todo_there(todo));
    }
    // a link that long packets do not pass has another finding
    let down = node
        .links
        .iter()
        .filter(|link| !link.up && link.passes.is_none());
    found.extend(down.map(|it| link(name, it).todo(&check)));
    if !node.config.key_faults.is_empty() {
        let faults: Vec<&str> = node.config.key_faults.iter().map(|it| bare(it)).collect();
        let text = format!("{name}: no link and no heartbeats: {}", faults.join("; "));
        let finding = Finding::new(Id::NoKey, name, "key", text);
        found.push(finding.todo(format!(
            "Fix that on {name} (`sparectl keygen` prints the line of its key), then `sparectl reload` there."
        )));
    }
    found.extend(next_keys(node));
    if node.machine.weak_passphrase {
        let text = format!("{name}: secret_file: the passphrase is weak");
        let finding = Finding::new(Id::WeakPassphrase, name, "secret_file", text);
        found.push(finding.todo("Take a longer one."));
    }
    found.extend(deaf(node, peer));
    found.extend(narrow(node, peer));
    found
}

/// Returns the finding about keys that were good when the node read them and are not now.
fn next_keys(node: &NodeFacts) -> Option<Finding> {
    let (name, faults) = (&node.node, &node.config.next_key_faults);
    if faults.is_empty() || !node.config.key_faults.is_empty() {
        return None;
    }
    let faults: Vec<&str> = faults.iter().map(|it| bare(it)).collect();
    let text = format!(
        "{name}: it will have no link and no heartbeats after its next start: {}",
        faults.join("; ")
    );
    let finding = Finding::new(Id::NextKeyRefused, name, "key", text);
    Some(finding.todo(format!(
        "Fix that on {name} before it is started again; until then a reload is refused."
    )))
}

fn link(node: &str, link: &LinkFacts) -> Finding {
    let LinkFacts {
        interface,
        since,
        why,
        ..
    } = link;
    let why = match why.as_str() {
        "" => String::new(),
        why => format!(" ({})", bare(why)),
    };
    let text = format!("{node}: link {interface} is down{why}");
    Finding::new(Id::LinkDown, node, interface, text).since(since)
}

/// Returns findings about links that are up but bring no heartbeats. Only the elector knows what it
/// receives, and only the host knows which links are up.
fn deaf(node: &NodeFacts, peer: &str) -> Vec<Finding> {
    let name = &node.node;
    let is_deaf = |link: &&LinkFacts| {
        let mut groups = node.groups.iter();
        link.up && groups.any(|it| it.failover.deaf_links.contains(&link.interface))
    };
    let deaf = node.links.iter().filter(is_deaf).map(|link| {
        let interface = &link.interface;
        let text = format!(
            "{name}: heartbeats of {peer} do not arrive on link {interface}, though the link is up"
        );
        let finding = Finding::new(Id::HeartbeatsUnheard, name, interface, text);
        finding.todo(format!(
            "Let UDP port 3780 pass on that link from {peer} to {name}."
        ))
    });
    deaf.collect()
}

fn narrow(node: &NodeFacts, peer: &str) -> Vec<Finding> {
    let name = &node.node;
    let narrow = node.links.iter().filter_map(|link| {
        let (interface, mtu, passes) = (&link.interface, link.mtu?, link.passes?);
        let text = format!(
            "messages of {mtu} bytes do not pass on link {interface} between {name} and {peer}; {passes} do"
        );
        let finding = Finding::new(Id::LinkNarrow, name, interface, text);
        Some(finding.todo(format!(
            "Lower the MTU of the link on both nodes (ip link set {interface} mtu {passes}, and in its configuration), or raise the MTU of the devices between them."
        )))
    });
    narrow.collect()
}
