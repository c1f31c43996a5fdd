//! Entries of a group, with the sentence of each.

use super::*;

fn kernel() -> Kernel {
    let link = |index, name: &str| Link {
        index,
        name: name.into(),
        up: true,
        is_ethernet: true,
        ..Link::default()
    };
    let address = |index, text: &str| Address {
        index,
        address: text.parse().unwrap(),
        prefix: 24,
        flags: 0,
        protocol: 0,
    };
    Kernel {
        links: vec![link(1, "lan"), link(2, "wan")],
        addresses: vec![address(1, "10.0.0.2"), address(2, "192.0.2.2")],
    }
}

/// Findings for an interface of a group with these keys, and further text of the file.
fn found(keys: &str, more: &str) -> Vec<String> {
    let text = format!(
        "[[group]]\nname = \"office\"\nvrid = 7\n[[group.interface]]\ninterface = \"lan\"\n\
         addresses = [\"10.0.0.1/24\"]\n{keys}\n{more}"
    );
    told(&text, &["r1", "r2"])
}

fn told(text: &str, nodes: &[&str]) -> Vec<String> {
    let mut wanted = Wanted::default();
    wanted.read(text, "r1");
    let nodes: Vec<String> = nodes.iter().map(ToString::to_string).collect();
    let file = File {
        name: "vrrp.toml",
        text,
        node: "r1",
        nodes: &nodes,
    };
    let found = findings(&file, &wanted, &kernel());
    found.iter().map(ToString::to_string).collect()
}

#[test]
fn an_interface_that_a_group_names_twice_for_a_family_is_told() {
    let again = "[[group.interface]]\nvrid = 8\ninterface = { r1 = \"lan\", r2 = \"wan\" }\n";
    let ipv4 = format!("{again}addresses = [\"10.0.0.3/24\"]\n");
    assert_eq!(
        found("", &ipv4),
        [
            "warning[interface-twice]: vrrp.toml:10: group \"office\" interface 2: interface: found lan a second \
             time in this group for IPv4: one [[group.interface]] takes all addresses of an interface"
        ]
    );
    let ipv6 = format!("{again}addresses = [\"2001:db8::1/64\"]\n");
    assert_eq!(found("", &ipv6), [""; 0]);
    let beside_others = told(
        &format!(
            "[[group]]\nname = \"office\"\nvrid = 7\nrouters = \"any\"\n[[group.interface]]\ninterface = \"lan\"\n\
             addresses = [\"10.0.0.1/24\"]\n{ipv4}"
        ),
        &["r1", "r2"],
    );
    assert_eq!(beside_others, [""; 0], "other routers may have both");
    let other = format!("[[group]]\nname = \"attic\"\n{ipv4}");
    assert_eq!(found("", &other), [""; 0], "another group");
}

#[test]
fn peers_that_are_only_this_node_are_refused() {
    let peers = |list: &str| found(&format!("peers = [{list}]"), "");
    assert_eq!(
        peers("\"10.0.0.2\""),
        [
            "error[peers-own]: vrrp.toml:7: group \"office\" interface \"lan\": peers: found 10.0.0.2, which is on \
             this node: adverts of the other node are ignored; add the other node's address"
        ]
    );
    assert_eq!(peers("\"10.0.0.2\", \"10.0.0.3\""), [""; 0]);
    assert_eq!(peers("\"10.0.0.3\""), [""; 0]);
}

#[test]
fn a_source_that_is_virtual_or_absent_is_told() {
    let source = |address: &str| found(&format!("advert_source = \"{address}\""), "");
    assert_eq!(
        source("10.0.0.1"),
        [
            "error[advert-source]: vrrp.toml:7: group \"office\" interface \"lan\": advert_source: found 10.0.0.1, a \
             virtual address: adverts need an address that r1 always has"
        ]
    );
    assert_eq!(
        source("10.0.0.9"),
        [
            "warning[advert-source]: vrrp.toml:7: group \"office\" interface \"lan\": advert_source: found 10.0.0.9, \
             which lan does not have: no advert leaves there"
        ]
    );
    assert_eq!(source("10.0.0.2"), [""; 0]);
    let of_owner = "[[group]]\npriority = 255\n[[group.interface]]\ninterface = \"lan\"\nvrid = 7\n\
                    addresses = [\"10.0.0.2/24\"]\nadvert_source = \"10.0.0.2\"\n";
    assert_eq!(told(of_owner, &[]), [""; 0]);
}

#[test]
fn a_gateway_in_no_network_is_told() {
    let route = |keys: &str| {
        let route = format!("[[group.route]]\ndestination = \"0.0.0.0/0\"\n{keys}\n");
        found("", &route)
    };
    assert_eq!(
        route("gateway = \"203.0.113.1\"\ninterface = \"wan\""),
        [
            "warning[route-gateway]: vrrp.toml:10: group \"office\" route \"wan\": gateway: found 203.0.113.1, which \
             is in no network of wan, by an own or a virtual address: unless another route leads to it, this one \
             cannot be set"
        ]
    );
    assert_eq!(route("gateway = \"203.0.113.1\"").len(), 1);
    assert_eq!(
        route("gateway = \"192.0.2.1\"\ninterface = \"wan\""),
        [""; 0]
    );
    assert_eq!(
        route("gateway = \"192.0.2.1\"\ninterface = \"lan\"").len(),
        1
    );
    assert_eq!(route("gateway = \"10.0.0.9\""), [""; 0]);
    // an interface that is absent may have any network once it appears
    assert_eq!(
        route("gateway = \"203.0.113.1\"\ninterface = \"ppp0\""),
        [""; 0]
    );
}

#[test]
fn a_destination_with_two_gateways_is_told_unless_the_metric_differs() {
    let second = |keys: &str| {
        found(
            "",
            &format!(
                "[[group.route]]\ndestination = \"0.0.0.0/0\"\ngateway = \"192.0.2.1\"\n[[group]]\nname = \"attic\"\n\
                 [[group.route]]\ndestination = \"0.0.0.0/0\"\ngateway = \"192.0.2.9\"\n{keys}"
            ),
        )
    };
    assert_eq!(
        second(""),
        [
            "warning[route-twice]: vrrp.toml:14: group \"attic\" route 1: destination: found 0.0.0.0/0 via 192.0.2.9, \
             and above 0.0.0.0/0 via 192.0.2.1 with the same metric: a node that is active for both uses the first \
             or both in turn; give one of them a metric"
        ]
    );
    assert_eq!(second("metric = 5\n"), [""; 0]);
}

#[test]
fn a_preferred_node_that_nobody_names_is_told() {
    let text = "[[group]]\nname = \"office\"\nprefer = \"r9\"\n";
    assert_eq!(
        told(text, &[]),
        [
            "warning[prefer-unknown]: vrrp.toml:3: group \"office\": prefer: found \"r9\", but [nodes] of \
             spared.toml has no such node: r1 takes any other router for the preferred one"
        ]
    );
    assert_eq!(told(&text.replace("r9", "r1"), &[]), [""; 0]);
}
