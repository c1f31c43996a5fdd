use serde_json::json;
use spared_netlink::{Address, Route};

use super::*;

const CHAIN: &str = "inet nat out";
const VRRP: &str = r#"
    [[group]]
    name = "office"
    vrid = 50
    [[group.interface]]
    interface = "lan"
    addresses = ["192.168.200.1/24", "fd00:200::1/64"]
    [[group.interface]]
    interface = "wan"
    addresses = ["203.0.113.9/29", "2001:db8::9/64"]
    [[group.interface]]
    interface = "wan2"
    addresses = ["198.51.100.9/29"]
"#;

/// Router with two uplinks, a tunnel and containers.
struct Bed {
    wanted: Wanted,
    node: Outgoing,
}

impl Bed {
    fn new() -> Self {
        let mut wanted = Wanted::default();
        wanted.read(VRRP, "r1");
        let mut bed = Self {
            wanted,
            node: Outgoing::default(),
        };
        for (name, own) in [
            ("lan", &["192.168.200.2/24", "fd00:200::2/64"][..]),
            ("wan", &["203.0.113.10/29"]),
            ("wan2", &["198.51.100.10/29"]),
            ("tun0", &["10.8.0.2/24"]),
            ("docker0", &["172.17.0.1/16"]),
        ] {
            let index = bed.node.links.len() as u32 + 1;
            bed.node.links.push(Link {
                index,
                name: name.to_owned(),
                ..Link::default()
            });
            own.iter().for_each(|net| bed.add(name, net, 0));
        }
        bed
    }

    fn index(&self, name: &str) -> u32 {
        let link = self.node.named(name).next();
        link.map_or(0, |link| link.index)
    }

    fn add(&mut self, name: &str, net: &str, protocol: u8) {
        let net: IpNet = net.parse().expect("a network");
        self.node.addresses.push(Address {
            index: self.index(name),
            address: net.addr(),
            prefix: net.prefix_len(),
            flags: 0,
            protocol,
        });
    }

    fn forget(&mut self, name: &str) {
        let index = self.index(name);
        self.node.addresses.retain(|it| it.index != index);
    }

    fn gateway(&mut self, name: &str, gateway: &str) {
        let gateway: IpAddr = gateway.parse().expect("an address");
        let unspecified = if gateway.is_ipv4() { "0.0.0.0" } else { "::" };
        self.node.routes.push(Route {
            destination: unspecified.parse().expect("an address"),
            prefix: 0,
            gateway: Some(gateway),
            index: Some(self.index(name)),
            source: None,
            metric: 0,
            table: 254,
            protocol: 4,
            scope: 0,
        });
    }

    /// Sentence and remedy about a rule of `CHAIN`; both are empty if there is no finding.
    fn said(&self, expr: Value, printed: &str) -> (String, String) {
        self.said_in(CHAIN, expr, printed)
    }

    fn said_in(&self, place: &str, expr: Value, printed: &str) -> (String, String) {
        let [family, table, chain] = place.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{place}")
        };
        let ruleset = json!({"nftables": [
            {"chain": {"family": family, "table": table, "name": chain, "type": "nat", "hook": "postrouting"}},
            {"rule": {"family": family, "table": table, "chain": chain, "handle": 7, "expr": expr}},
        ]});
        let mut text = Printed::default();
        let listing = format!("table {family} {table} {{ # handle 7\n\t\t{printed} # handle 7\n}}");
        text.add(family, table, &listing);
        let found = judge(&ruleset, &self.wanted, &self.node, &text);
        assert!(found.len() < 2, "{found:?}");
        let found = found.into_iter().next();
        found.map_or_else(Default::default, |it| (it.sentence, it.fix))
    }

    fn masquerade(&self, name: &str) -> (String, String) {
        let expr = json!([leaving(json!(name)), {"masquerade": null}]);
        self.said(expr, &format!("oifname \"{name}\" masquerade"))
    }
}

fn leaving(right: Value) -> Value {
    json!({"match": {"op": "==", "left": {"meta": {"key": "oifname"}}, "right": right}})
}

fn sources_in(address: &str, len: u8) -> Value {
    json!({"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}},
        "right": {"prefix": {"addr": address, "len": len}}}})
}

const AND_FILE: &str = " (and the same in the file that loads the ruleset)";

#[test]
fn masquerade_is_shown_with_its_place_and_the_command_that_replaces_it() {
    let (sentence, fix) = Bed::new().masquerade("wan");
    assert_eq!(
        sentence,
        "nftables rule inet nat out handle 7 `oifname \"wan\" masquerade` translates to 203.0.113.10 on wan, which \
         stays on this node: no connection that it translates survives a failover"
    );
    let rule = "replace rule inet nat out handle 7 oifname \"wan\" fib saddr type != local snat ip to 203.0.113.9";
    // no other address competes with the virtual IPv6 address, so masquerade takes it
    let ipv6 = "meta nfproto ipv6 oifname \"wan\" masquerade";
    let rule = rule.replace("replace", "insert");
    assert_eq!(
        fix,
        format!("nft '{rule}; replace rule inet nat out handle 7 {ipv6}'{AND_FILE}")
    );
}

#[test]
fn what_else_a_rule_says_stays_in_its_place() {
    let bed = Bed::new();
    let expr = json!([sources_in("192.168.200.0", 24), leaving(json!("wan")), {"masquerade": {"port": 1}}]);
    let printed = "ip saddr 192.168.200.0/24 oifname \"wan\" counter packets 0 bytes 0 masquerade to :1024-65535 random \
                   comment \"masquerade to : wan\"";
    let (_, fix) = bed.said_in("ip nat out", expr.clone(), printed);
    let new = "ip saddr 192.168.200.0/24 oifname \"wan\" counter packets 0 bytes 0 snat to 203.0.113.9:1024-65535 random \
               comment \"masquerade to : wan\"";
    let command = format!("nft 'replace rule ip nat out handle 7 {new}'{AND_FILE}");
    assert_eq!(fix, command);
    let (_, fix) = bed.said(expr, "");
    assert!(
        fix.contains("`oifname \"wan\" snat ip to 203.0.113.9`"),
        "{fix}"
    );
}

#[test]
fn both_families_of_one_rule_are_replaced_at_once() {
    let mut bed = Bed::new();
    bed.add("wan", "2001:db8::10/64", 0);
    let (sentence, fix) = bed.masquerade("wan");
    assert!(
        sentence.contains("203.0.113.10 on wan and 2001:db8::10 on wan"),
        "{sentence}"
    );
    let rule = "rule inet nat out handle 7 oifname \"wan\" fib saddr type != local snat";
    let wanted =
        format!("nft 'insert {rule} ip to 203.0.113.9; replace {rule} ip6 to 2001:db8::9'");
    assert_eq!(fix, format!("{wanted}{AND_FILE}"));
    let expr = json!([leaving(json!("wan")), {"masquerade": null}]);
    let (_, fix) = bed.said_in("ip6 nat out", expr, "oifname \"wan\" masquerade to :1024");
    assert!(fix.contains("snat to [2001:db8::9]:1024'"), "{fix}");
}

#[test]
fn snat_to_an_own_address_is_shown_and_to_a_virtual_or_a_foreign_one_is_not() {
    let bed = Bed::new();
    let said = |address: &str| {
        let expr = json!([leaving(json!("wan")), {"snat": {"family": "ip", "addr": address}}]);
        bed.said(expr, &format!("oifname \"wan\" snat ip to {address}:1-9"))
    };
    let (sentence, fix) = said("203.0.113.10");
    assert!(
        sentence.contains("translates to 203.0.113.10 on wan, "),
        "{sentence}"
    );
    assert!(
        fix.contains("\"wan\" fib saddr type != local snat ip to 203.0.113.9:1-9'"),
        "{fix}"
    );
    assert_eq!(said("203.0.113.9").0, "");
    assert_eq!(said("203.0.113.12").0, "");
}

#[test]
fn own_addresses_in_another_network_than_the_next_hop_are_not_taken() {
    let mut bed = Bed::new();
    bed.forget("wan");
    bed.add("wan", "10.99.0.2/24", 0);
    assert_eq!(
        bed.masquerade("wan").0,
        "",
        "next hops are where the virtual address is"
    );
    bed.gateway("wan", "203.0.113.14");
    assert_eq!(bed.masquerade("wan").0, "");
    // the finding is the same while the virtual address is on this node
    bed.add(
        "wan",
        "203.0.113.9/29",
        spared_netlink::constants::ADDRESS_PROTOCOL,
    );
    assert_eq!(bed.masquerade("wan").0, "");
    bed.gateway("wan", "10.99.0.1");
    let (sentence, fix) = bed.masquerade("wan");
    assert!(sentence.contains("10.99.0.2 on wan"), "{sentence}");
    assert!(fix.contains("snat ip to 203.0.113.9"), "{fix}");
    bed.forget("wan");
    assert_eq!(bed.masquerade("wan").0, "", "without an own address");
}

#[test]
fn each_uplink_has_its_own_virtual_address() {
    let bed = Bed::new();
    assert!(
        bed.masquerade("wan2")
            .1
            .contains("snat ip to 198.51.100.9'")
    );
    let set = json!([leaving(json!({"set": ["wan", "wan2"]})), {"masquerade": null}]);
    let (sentence, fix) = bed.said(set, "oifname { \"wan\", \"wan2\" } masquerade");
    assert!(
        sentence.contains("203.0.113.10 on wan and 198.51.100.10 on wan2"),
        "{sentence}"
    );
    let each =
        "`oifname \"wan\" snat ip to 203.0.113.9` and `oifname \"wan2\" snat ip to 198.51.100.9`";
    assert!(fix.ends_with(each), "{fix}");
    let (sentence, _) = bed.masquerade("wan*");
    assert!(
        sentence.contains("203.0.113.10 on wan and 198.51.100.10 on wan2"),
        "{sentence}"
    );
}

#[test]
fn a_rule_without_an_interface_is_judged_by_the_uplinks_and_says_so() {
    let mut bed = Bed::new();
    let said = |bed: &Bed| {
        let expr = json!([sources_in("192.168.200.0", 24), {"masquerade": null}]);
        bed.said(expr, "ip saddr 192.168.200.0/24 masquerade")
    };
    assert_eq!(said(&bed).0, "", "no uplink is known");
    bed.gateway("wan", "203.0.113.14");
    let (sentence, fix) = said(&bed);
    assert!(sentence.contains("203.0.113.10 on wan, "), "{sentence}");
    assert!(
        sentence.ends_with("; it names no outgoing interface"),
        "{sentence}"
    );
    assert!(
        fix.starts_with("in place of it, for each outgoing interface"),
        "{fix}"
    );
}

#[test]
fn an_interface_without_a_virtual_address_is_named_unless_the_file_says_so() {
    let mut bed = Bed::new();
    let (sentence, fix) = bed.masquerade("tun0");
    assert!(
        sentence.ends_with("; tun0 has no virtual IPv4 address"),
        "{sentence}"
    );
    assert!(fix.contains("name tun0 in dynamic_nat"), "{fix}");
    assert_eq!(bed.masquerade("ppp9").0, "", "absent");
    bed.wanted.read("dynamic_nat = [\"tun0\"]", "r1");
    assert_eq!(bed.masquerade("tun0").0, "");
    assert_ne!(bed.masquerade("wan").0, "");
}

/// The fence drops packets from an address of a group that is not active on the node.
#[test]
fn connections_of_a_group_get_no_address_of_another_one() {
    const GUESTS: &str = "[[group]]\nname = \"guests\"\nvrid = 51\n[[group.interface]]\ninterface = \"guest\"\n\
                          addresses = [\"10.20.0.1/24\"]\n";
    let mut bed = Bed::new();
    bed.wanted.read(GUESTS, "r1");
    let of = |bed: &Bed, net: &str| {
        let expr = json!([sources_in(net, 24), leaving(json!("wan")), {"masquerade": null}]);
        let printed = format!("ip saddr {net}/24 oifname \"wan\" masquerade");
        bed.said_in("ip nat out", expr, &printed)
    };
    let (sentence, fix) = of(&bed, "10.20.0.0");
    assert!(
        sentence.ends_with("; wan has no virtual IPv4 address of guests"),
        "{sentence}"
    );
    assert!(
        fix.starts_with("give guests a virtual address on wan and translate to it"),
        "{fix}"
    );
    let (_, fix) = of(&bed, "192.168.200.0");
    assert!(fix.contains("snat to 203.0.113.9'"), "{fix}");
    for (_, fix) in [bed.masquerade("wan"), of(&bed, "10.99.0.0")] {
        let each =
            "translate the connections of each group to a virtual address of that group on wan";
        assert!(fix.starts_with(each), "{fix}");
    }

    let more = "[[group.interface]]\ninterface = \"wan\"\naddresses = [\"203.0.113.11/29\"]\n";
    let mut bed = Bed::new();
    bed.wanted.read(&format!("{GUESTS}{more}"), "r1");
    assert!(of(&bed, "10.20.0.0").1.contains("snat to 203.0.113.11'"));
    assert!(of(&bed, "192.168.200.0").1.contains("snat to 203.0.113.9'"));
}

/// Connections of these hosts end with the node in any case. On a backup, their answers would go to the virtual address
/// on the other node.
#[test]
fn hosts_of_this_node_alone_are_not_meant() {
    let mut bed = Bed::new();
    bed.gateway("wan", "203.0.113.14");
    let said = |net: &str, len| {
        bed.said(json!([sources_in(net, len), {"masquerade": null}]), "")
            .0
    };
    assert_eq!(said("172.17.0.0", 16), "");
    assert_ne!(said("192.168.200.0", 24), "");
    assert_ne!(said("10.20.0.0", 16), "", "behind a router on the lan");
}

#[test]
fn rules_of_iptables_are_answered_in_its_words() {
    let bed = Bed::new();
    for printed in [
        "oifname \"wan\" xt target \"MASQUERADE\"",
        "oifname \"wan\" masquerade",
    ] {
        let expr = json!([leaving(json!("wan")), {"xt": null}]);
        let (_, fix) = bed.said_in("ip nat POSTROUTING", expr, printed);
        let wanted =
            "in iptables `-o wan -j SNAT --to-source 203.0.113.9` in place of `-j MASQUERADE`";
        assert_eq!(fix, wanted);
    }
    let expr = json!([leaving(json!("wan")), {"xt": null}]);
    assert_eq!(
        bed.said_in("ip nat POSTROUTING", expr, "xt target \"SNAT\"")
            .0,
        ""
    );
}

#[test]
fn what_is_no_ruleset_finds_nothing() {
    let bed = Bed::new();
    for odd in [
        json!(null),
        json!({"nftables": 3}),
        json!({"nftables": [{"chain": 1}, null]}),
    ] {
        assert_eq!(judge(&odd, &bed.wanted, &bed.node, &Printed::default()), []);
    }
    assert_eq!(
        bed.said(json!([{"masquerade": null}, 3, {"match": 1}]), "")
            .0,
        ""
    );
}
