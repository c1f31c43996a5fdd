//! Packets that a ruleset has to let pass, and the values that a rule's matches see in them.

use std::net::IpAddr;

use serde_json::Value;

/// Packets that a ruleset treats in the same way.
pub trait Packet {
    fn hook(&self) -> &'static str;

    fn is_ipv4(&self) -> bool;

    /// Value that a match sees in the packet; several if any of them is possible, None if unknown.
    fn fact(&self, left: &Value) -> Option<Vec<String>>;

    fn family(&self) -> &'static str {
        if self.is_ipv4() { "ip" } else { "ip6" }
    }
}

/// The packets of one path, as this node receives them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPackets {
    pub interface: String,
    pub own: IpAddr,
    pub peer: IpAddr,
    pub port: u16,
    /// True if the peer connects; otherwise this node connects and receives the answers.
    pub listens: bool,
    /// True if connection tracking has forgotten the connection.
    pub is_forgotten: bool,
}

/// Adverts of VRRP, received or sent by an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advert {
    pub interface: String,
    pub is_ipv4: bool,
    /// The other node's address, if it is known.
    pub peer: Option<IpAddr>,
    /// True if this node sends them.
    pub is_own: bool,
}

impl Packet for PathPackets {
    fn hook(&self) -> &'static str {
        "input"
    }

    fn is_ipv4(&self) -> bool {
        self.own.is_ipv4()
    }

    fn fact(&self, left: &Value) -> Option<Vec<String>> {
        let protocol = ["tcp", "6"];
        if let Some(meta) = left.get("meta") {
            return match meta["key"].as_str()? {
                "iifname" | "iif" => one(&self.interface),
                "pkttype" => one("host"),
                key => meta_fact(self, key, protocol),
            };
        }
        if left["ct"]["key"] == "state" {
            return one(match self.listens {
                _ if self.is_forgotten => "invalid",
                true => "new",
                false => "established",
            });
        }
        let payload = left.get("payload")?;
        match (payload["protocol"].as_str()?, payload["field"].as_str()?) {
            ("tcp" | "th", "dport") if self.listens => one(&self.port.to_string()),
            ("tcp" | "th", "sport") if !self.listens => one(&self.port.to_string()),
            // The port is ephemeral: no rule names it.
            ("tcp" | "th", "dport" | "sport") => one("ephemeral"),
            (of, "saddr") if of == self.family() => one(&self.peer.to_string()),
            (of, "daddr") if of == self.family() => one(&self.own.to_string()),
            (of, field) => payload_fact(self, of, field, protocol),
        }
    }
}

impl Packet for Advert {
    fn hook(&self) -> &'static str {
        if self.is_own { "output" } else { "input" }
    }

    fn is_ipv4(&self) -> bool {
        self.is_ipv4
    }

    fn fact(&self, left: &Value) -> Option<Vec<String>> {
        let protocol = ["vrrp", "112"];
        if let Some(meta) = left.get("meta") {
            return match meta["key"].as_str()? {
                "oifname" | "oif" if self.is_own => one(&self.interface),
                "iifname" | "iif" if !self.is_own => one(&self.interface),
                key => meta_fact(self, key, protocol),
            };
        }
        if left["ct"]["key"] == "state" {
            // The state is `new` until an answer comes, and a backup sends none.
            return one("new");
        }
        let payload = left.get("payload")?;
        let of_peer = if self.is_own { "daddr" } else { "saddr" };
        match (payload["protocol"].as_str()?, payload["field"].as_str()?) {
            (of, field) if of == self.family() && field == of_peer => {
                self.peer.map(|it| vec![it.to_string()])
            }
            ("tcp", _) => Some(Vec::new()),
            (of, field) => payload_fact(self, of, field, protocol),
        }
    }
}

fn one(text: &str) -> Option<Vec<String>> {
    Some(vec![text.to_owned()])
}

fn meta_fact(packet: &dyn Packet, key: &str, protocol: [&str; 2]) -> Option<Vec<String>> {
    match key {
        "l4proto" => Some(protocol.map(str::to_owned).to_vec()),
        "nfproto" => one(if packet.is_ipv4() { "ipv4" } else { "ipv6" }),
        "protocol" => one(packet.family()),
        _ => None,
    }
}

/// Value of a header field; an empty list if the packet has no such header.
fn payload_fact(
    packet: &dyn Packet,
    of: &str,
    field: &str,
    protocol: [&str; 2],
) -> Option<Vec<String>> {
    match (of, field) {
        ("udp" | "icmp" | "icmpv6" | "sctp" | "esp" | "ah" | "vrrp", _) => Some(Vec::new()),
        (of, "protocol" | "nexthdr") if of == packet.family() => {
            Some(protocol.map(str::to_owned).to_vec())
        }
        ("ip" | "ip6", _) if of != packet.family() => Some(Vec::new()),
        _ => None,
    }
}
