use std::net::IpAddr;
use std::time::Duration;

use spared_sdk::config::Config;

use super::{Election, Group, Settings, lease_ns, read};
use crate::wire::Family;
use crate::wire::vrrp::Version;

const TICK: Duration = Duration::from_millis(4);
const MS: u64 = 1_000_000;

fn read_as(node: &str, text: &str) -> Result<Settings, Vec<String>> {
    let nodes = ["r1".to_owned(), "r2".to_owned()];
    let config = Config::parse(text, node, &nodes).expect("TOML");
    let settings = read(&config, TICK);
    match config.finish() {
        Ok(()) => Ok(settings.expect("no fault, so settings")),
        Err(faults) => Err(faults
            .iter()
            .map(|f| format!("{}: {}", f.key, f.why))
            .collect()),
    }
}

fn one(text: &str) -> Group {
    read_as("r1", text).expect("valid").groups.remove(0)
}

fn faults(text: &str) -> Vec<String> {
    read_as("r1", text).expect_err("faults")
}

/// Configuration of a group, with keys of its own and keys for its one router.
fn with(group: &str, router: &str) -> String {
    format!(
        "[[group]]\nname = \"g\"\n{group}\n[[group.interface]]\ninterface = \"lan1\"\nvrid = 7\n\
         addresses = [\"192.0.2.1/24\"]\n{router}\n"
    )
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

#[test]
fn the_dial_up_pair_of_the_manual_is_read() {
    let text = r#"
        [[group]]
        name = "office"
        prefer = "r1"
        advert_interval = "100ms"
        [[group.interface]]
        interface = "lan2"
        vrid = 50
        addresses = ["192.168.200.1/24"]
    "#;
    let group = one(text);
    assert_eq!(group.name, "office");
    assert_eq!((group.interval_ns, group.lease_ns), (100 * MS, 270 * MS));
    let Election::Quality {
        preferred,
        failback_delay_ns,
        hold_ns,
    } = group.election
    else {
        panic!("{:?}", group.election);
    };
    assert_eq!(
        (preferred, failback_delay_ns, hold_ns),
        (Some(true), 30_000 * MS, 2_000 * MS)
    );
    let there = read_as("r2", text).expect("valid").groups.remove(0);
    assert!(matches!(
        there.election,
        Election::Quality {
            preferred: Some(false),
            ..
        }
    ));
}

#[test]
fn an_external_router_with_addresses_inside_and_outside_is_read() {
    let group = one(r#"
        [[group]]
        name = "office"
        prefer = "r1"
        vrid = 50
        [[group.interface]]
        interface = "lan1"
        addresses = ["192.168.175.101/24"]
        source = true
        [[group.interface]]
        interface = "lan2"
        addresses = ["192.168.200.1/24"]
        [[group.address]]
        interface = "wan1"
        addresses = ["203.0.113.9/32"]
        [[group.route]]
        destination = "0.0.0.0/0"
        gateway = "203.0.113.1"
        interface = "wan1"
    "#);
    let vrids: Vec<_> = group
        .routers
        .iter()
        .map(|r| (r.interface.as_str(), r.vrid))
        .collect();
    assert_eq!(vrids, [("lan1", 50), ("lan2", 50)]);
    assert!(group.routers[0].addresses[0].source);
    assert!(!group.routers[1].addresses[0].source);
    assert_eq!(
        group.followers.addresses[0].address.address,
        ip("203.0.113.9")
    );
    assert_eq!(group.followers.routes[0].gateway, Some(ip("203.0.113.1")));
}

#[test]
fn a_group_beside_another_vrrp_speaker_is_read() {
    let text = with(
        "election = \"priority\"\npriority = { r1 = 200, r2 = 100 }\nrouters = \"any\"\n\
         preempt = true\nadvert_interval = \"1s\"\nversion = 3",
        "",
    );
    let group = one(&text);
    assert_eq!(
        group.election,
        Election::Priority {
            priority: 200,
            preempt: true,
            preempt_delay_ns: 0
        }
    );
    assert!(group.any_router);
    let there = read_as("r2", &text).expect("valid").groups.remove(0);
    assert!(matches!(
        there.election,
        Election::Priority { priority: 100, .. }
    ));
}

#[test]
fn a_priority_alone_means_election_by_priority() {
    assert!(matches!(
        one(&with("priority = 9", "")).election,
        Election::Priority { .. }
    ));
    assert!(matches!(
        one(&with("", "")).election,
        Election::Quality {
            preferred: None,
            ..
        }
    ));
}

#[test]
fn mixed_families_make_two_virtual_routers_and_the_link_local_address_comes_first() {
    let group = one(r#"
        [[group]]
        name = "g"
        [[group.interface]]
        interface = "lan1"
        vrid = 50
        addresses = ["2001:db8::1/64", "192.0.2.1/24"]
        unadvertised = ["192.0.2.9/32"]
        source = true
    "#);
    let [v4, v6] = &group.routers[..] else {
        panic!("{:?}", group.routers)
    };
    assert_eq!((v4.family, v6.family), (Family::V4, Family::V6));
    assert_eq!(v4.advertised, [ip("192.0.2.1")]);
    assert_eq!(v4.addresses.len(), 2);
    // derived from 00-00-5e-00-02-32
    assert_eq!(
        v6.advertised,
        [ip("fe80::200:5eff:fe00:232"), ip("2001:db8::1")]
    );
    let sources: Vec<bool> = v6.addresses.iter().map(|address| address.source).collect();
    assert_eq!(sources, [false, true]);
}

#[test]
fn a_configured_link_local_address_is_moved_to_the_front() {
    let group = one(&with("", "").replace("192.0.2.1/24", "2001:db8::1/64\", \"fe80::1/64"));
    assert_eq!(
        group.routers[0].advertised,
        [ip("fe80::1"), ip("2001:db8::1")]
    );
}

#[test]
fn an_excluded_address_of_the_other_family_goes_with_the_first_router() {
    let group = one(&with("", "unadvertised = [\"2001:db8::1/64\"]"));
    assert_eq!(group.routers.len(), 1);
    assert_eq!(group.routers[0].addresses[1].address, ip("2001:db8::1"));
    assert_eq!(group.routers[0].advertised, [ip("192.0.2.1")]);
}

#[test]
fn adverts_name_addresses_of_other_interfaces_where_told() {
    let follower = "[[group.address]]\ninterface = \"lan2\"\naddresses = [\"198.51.100.1/24\"]\n";
    let text = with("", "advertised = [\"198.51.100.1\"]") + follower;
    let group = one(&text);
    let router = &group.routers[0];
    assert_eq!(router.advertised, [ip("192.0.2.1"), ip("198.51.100.1")]);
    assert_eq!(router.addresses.len(), 1);
    assert_eq!(group.followers.addresses[0].interface, "lan2");
}

#[test]
fn an_ipv6_advert_leaves_out_what_does_not_fit_the_smallest_mtu() {
    let many: Vec<String> = (1..=200)
        .map(|n| format!("\"2001:db8::{n:x}/64\""))
        .collect();
    let text = with("", "").replace("\"192.0.2.1/24\"", &many.join(", "));
    let group = one(&text);
    assert_eq!(group.routers[0].advertised.len(), 77);
    assert_eq!(group.routers[0].addresses.len(), 201);
}

#[test]
fn the_lease_is_shorter_than_a_failover_and_longer_than_an_interval() {
    let tick = 4 * MS;
    assert_eq!(lease_ns(1000 * MS, 3, tick), Some(2700 * MS));
    assert_eq!(lease_ns(10 * MS, 3, tick), Some(26 * MS));
    // HZ 100: one tick is 10 ms
    assert_eq!(lease_ns(10 * MS, 3, 10 * MS), None);
    assert_eq!(lease_ns(20 * MS, 3, 10 * MS), Some(50 * MS));
    for interval in (10..=40_000).step_by(10).map(|ms| ms * MS) {
        for loss in 2..=100 {
            if let Some(lease) = lease_ns(interval, loss, tick) {
                assert!(lease < interval * u64::from(loss));
                assert!(lease >= interval + 2 * tick);
            }
        }
    }
}

#[test]
fn the_lease_never_exceeds_what_a_foreign_peer_waits() {
    let group = one(&with("routers = \"any\"\nadvert_loss = 10", ""));
    assert_eq!((group.advert_loss, group.lease_ns), (10, 270 * MS));
    let group = one(&with("advert_loss = 10", ""));
    assert_eq!(group.lease_ns, 900 * MS);
}

#[test]
fn the_longest_interval_that_is_believed_follows_the_configured_one() {
    for (keys, expected) in [
        ("", 1000 * MS),
        ("advert_interval = \"500ms\"", 1500 * MS),
        ("interval_max = \"100ms\"", 100 * MS),
        ("routers = \"any\"", 40_950 * MS),
        ("routers = \"any\"\ninterval_max = \"5s\"", 5000 * MS),
        ("version = 2", 3000 * MS),
        ("version = 2\nrouters = \"any\"", 255_000 * MS),
    ] {
        assert_eq!(one(&with(keys, "")).interval_max_ns, expected, "{keys}");
    }
}

#[test]
fn every_wrong_value_is_named_with_what_is_allowed() {
    for (group, router, expected) in [
        ("version = 4", "", "group.0.version: found 4, allowed 2-3"),
        (
            "name2 = 1",
            "",
            "group.0.name2: unknown key: did you mean \"name\"?",
        ),
        ("vrid = 300", "", "group.0.vrid: found 300, allowed 1-255"),
        (
            "advert_interval = \"15ms\"",
            "",
            "group.0.advert_interval: found \"15ms\", allowed are multiples of \"10ms\" in version 3",
        ),
        (
            "advert_interval = \"5ms\"",
            "",
            "group.0.advert_interval: found \"5ms\", allowed \"10ms\" to \"40s\"",
        ),
        (
            "version = 2\nadvert_interval = \"100ms\"",
            "",
            "group.0.advert_interval: found \"100ms\", allowed \"1s\" to \"40s\"",
        ),
        (
            "advert_interval = \"10ms\"\nadvert_loss = 2",
            "",
            "group.0.advert_interval: found \"10ms\", too short for the fence with advert_loss 2 \
             and a kernel tick of 4ms: allowed from \"20ms\"",
        ),
        (
            "advert_interval = \"500ms\"\ninterval_max = \"200ms\"",
            "",
            "group.0.interval_max: found \"200ms\", allowed \"500ms\" to \"40950ms\"",
        ),
        (
            "priority = 254",
            "",
            "group.0.priority: found 254, allowed 1-253, and 255 for the owner (254 is for claims)",
        ),
        (
            "prefer = \"r3\"",
            "",
            "group.0.prefer: found \"r3\", no such node, allowed: r1, r2",
        ),
        (
            "preempt = false",
            "",
            "group.0.preempt: only with election = \"priority\"",
        ),
        (
            "priority = 9\nprefer = \"r1\"",
            "",
            "group.0.prefer: only with election = \"quality\"",
        ),
        ("election = \"priority\"", "", "group.0.priority: missing"),
        (
            "priority = { r1 = 9 }",
            "",
            "group.0.priority: has no value for node \"r2\"",
        ),
        (
            "",
            "unadvertised = [\"192.0.2.2\"]",
            "group.0.interface.0.unadvertised.0: found \"192.0.2.2\", allowed an address with its prefix, like \
             \"192.0.2.1/24\"",
        ),
        (
            "",
            "unadvertised = [\"224.0.0.1/24\"]",
            "group.0.interface.0.unadvertised.0: found \"224.0.0.1/24\", allowed is an address of a host",
        ),
        (
            "",
            "unadvertised = [\"192.0.2.1/32\"]",
            "group.0.interface.0.addresses: found 192.0.2.1 twice",
        ),
        (
            "",
            "advertised = [\"198.51.100.1\"]",
            "group.0.interface.0.advertised: found 198.51.100.1, allowed are addresses of [[group.address]] in this group",
        ),
        (
            "",
            "advertised = [\"2001:db8::9\"]",
            "group.0.interface.0.advertised.0: found 2001:db8::9, and no ipv6 address in addresses",
        ),
        (
            "",
            "unicast = true",
            "group.0.interface.0.unicast: needs peers",
        ),
        (
            "",
            "min_ttl = 200",
            "group.0.interface.0.min_ttl: only with unicast = true: on a link it is always 255",
        ),
        (
            "",
            "[[group.interface]]\ninterface = \"lan1\"\nvrid = 7\naddresses = [\"192.0.2.5/24\"]",
            "group.0.interface.1.vrid: found 7 twice for ipv4 on lan1, also in group \"g\"",
        ),
        (
            "",
            "[[group.interface]]\ninterface = \"lan2\"\naddresses = [\"192.0.2.5/24\"]",
            "group.0.interface.1.vrid: missing: give it to the interface or to its group",
        ),
        (
            "",
            "[[group.route]]\ndestination = \"0.0.0.0/0\"",
            "group.0.route.0.gateway: missing: a route needs a gateway or an interface",
        ),
        (
            "",
            "[[group.route]]\ndestination = \"0.0.0.0/0\"\ngateway = \"fe80::1\"\ninterface = \"lan1\"",
            "group.0.route.0.gateway: is of another family than \"0.0.0.0/0\"",
        ),
    ] {
        let found = faults(&with(group, router));
        assert!(
            found.iter().any(|fault| fault.starts_with(expected)),
            "{expected}\n{found:#?}"
        );
    }
}

#[test]
fn all_faults_are_found_at_once() {
    let found = faults(
        r#"
        [[group]]
        name = "a b"
        version = 7
        [[group.interface]]
        interface = "a/b"
        vrid = 0
        addresses = ["nonsense"]
        [[group]]
        name = "c"
        "#,
    );
    for key in [
        "group.0.name",
        "group.0.version",
        "group.0.interface.0.interface",
        "group.0.interface.0.vrid",
        "group.0.interface.0.addresses.0",
        "group.1.interface",
    ] {
        assert!(
            found.iter().any(|fault| fault.starts_with(key)),
            "{key} in {found:#?}"
        );
    }
}

#[test]
fn version_2_is_of_ipv4_alone() {
    let both = "addresses = [\"192.0.2.1/24\", \"2001:db8::1/64\"]";
    let text = with("version = 2", "").replace("addresses = [\"192.0.2.1/24\"]", both);
    let group = one(&text);
    let families = group.routers.iter().map(|it| it.family);
    let versions = families.map(|it| (it, group.version.of(it)));
    assert_eq!(
        versions.collect::<Vec<_>>(),
        [(Family::V4, Version::V2), (Family::V6, Version::V3)]
    );
}

#[test]
fn a_password_is_of_version_2_beside_other_routers() {
    let keys = "version = 2\nrouters = \"any\"\n";
    let of = |group: &str, router: &str| {
        one(&with(&format!("{keys}{group}"), router)).routers[0].password
    };
    assert_eq!(of("", ""), None);
    assert_eq!(of("auth_pass = \"s3cret\"", ""), Some(*b"s3cret\0\0"));
    let own = of("auth_pass = \"s3cret\"", "auth_pass = \"12345678\"");
    assert_eq!(own, Some(*b"12345678"));
    for (group, router, expected) in [
        (
            "version = 2\nauth_pass = \"a\"",
            "",
            "group.0.auth_pass: only with version = 2 and routers = \"any\": it is for the time \
             beside keepalived",
        ),
        (
            "routers = \"any\"",
            "auth_pass = \"a\"",
            "group.0.interface.0.auth_pass: only with version = 2 and routers = \"any\": it is for \
             the time beside keepalived",
        ),
        (
            "version = 2\nrouters = \"any\"\nauth_pass = \"123456789\"",
            "",
            "group.0.auth_pass: found 9 bytes, allowed 1-8 (keepalived uses the first 8)",
        ),
        (
            "version = 2\nrouters = \"any\"\nauth_pass = \"\"",
            "",
            "group.0.auth_pass: found 0 bytes, allowed 1-8 (keepalived uses the first 8)",
        ),
    ] {
        assert_eq!(faults(&with(group, router)), [expected], "{group} {router}");
    }
}

#[test]
fn the_device_of_one_family_has_a_name_of_up_to_15_letters() {
    let of = |router: &str| one(&with("", router)).routers[0].vmac.clone();
    assert_eq!(of(""), None);
    assert_eq!(of("vmac = true"), Some(String::new()));
    let name = of("vmac = true\nvmac_name = \"vrrp.50-outside\"");
    assert_eq!(name.as_deref(), Some("vrrp.50-outside"));
    let both = with("", "vmac = true\nvmac_name = \"vrrp.50-outside\"");
    let both = both.replace("192.0.2.1/24", "192.0.2.1/24\", \"2001:db8::1/64");
    assert_eq!(
        faults(&both),
        [
            "group.0.interface.0.vmac_name: found \"vrrp.50-outside\", allowed is a device's name of \
             up to 13 letters"
        ]
    );
}

#[test]
fn an_address_may_have_a_label_that_begins_with_its_interface() {
    let text = with(
        "",
        "unadvertised = [\"192.0.2.9/32 label x\"]\n\
         [[group.address]]\ninterface = \"wan1\"\naddresses = [\"203.0.113.9/29 label 1\"]",
    );
    let text = text.replace("192.0.2.1/24", "192.0.2.1/24 label vip\", \"2001:db8::1/64");
    let group = one(&text);
    let addresses = group.routers.iter().flat_map(|it| &it.addresses);
    let labels: Vec<&str> = addresses.map(|it| it.label.as_str()).collect();
    assert_eq!(labels, ["lan1:vip", "lan1:x", "", ""]);
    assert_eq!(group.followers.addresses[0].address.label, "wan1:1");
    assert_eq!(crate::claims::claims(&group).addresses[0].label, "lan1:vip");
    let wrong =
        |address: &str, keys: &str| faults(&with("", keys).replace("192.0.2.1/24", address));
    for (address, keys, expected) in [
        (
            "2001:db8::1/64 label a",
            "",
            "label: only an IPv4 address has one",
        ),
        (
            "192.0.2.1/24 label a",
            "vmac = true",
            "label: not with vmac = true, where the address is on another device",
        ),
        (
            "192.0.2.1/24 label abcdefghijk",
            "",
            "label: found \"lan1:abcdefghijk\", allowed are up to 15 letters, digits and signs",
        ),
        (
            "192.0.2.1/24 label a b",
            "",
            "label: found \"lan1:a b\", allowed are up to 15 letters, digits and signs",
        ),
        (
            "192.0.2.1/24 label ",
            "",
            "found \"192.0.2.1/24 label \", allowed an address with its prefix, like \"192.0.2.1/24\"",
        ),
    ] {
        let expected = format!("group.0.interface.0.addresses.0: {expected}");
        assert_eq!(wrong(address, keys), [expected], "{address}");
    }
}

#[test]
fn a_rule_is_read_with_its_family() {
    let rules = |text: &str| {
        let text = format!("{}[[group.rule]]\n{text}\n", with("", ""));
        read_as("r1", &text).map(|settings| {
            let claims = crate::claims::claims(&settings.groups[0]);
            claims.rules[0].clone()
        })
    };
    let found = rules(
        "priority = 100\nfrom = \"192.0.2.0/24\"\nto = \"0.0.0.0/0\"\nfwmark = \"0x10/0xff\"\n\
         iif = { r1 = \"lan1\", r2 = \"lan2\" }\ntable = 1000",
    );
    let wanted = spared_sdk::RuleClaim {
        family: spared_sdk::Family::V4,
        priority: 100,
        from: Some(ip("192.0.2.0")),
        from_prefix: 24,
        to: None,
        to_prefix: 0,
        mark: 16,
        mark_mask: 255,
        iif: "lan1".to_owned(),
        oif: String::new(),
        table: 1000,
    };
    assert_eq!(found, Ok(wanted));
    let family =
        |text: &str| rules(&format!("priority = 1\ntable = 2\n{text}")).map(|it| it.family);
    assert_eq!(family(""), Ok(spared_sdk::Family::V4));
    assert_eq!(family("family = \"ipv6\""), Ok(spared_sdk::Family::V6));
    assert_eq!(family("to = \"2001:db8::/32\""), Ok(spared_sdk::Family::V6));
    let marks = |text: &str| rules(&format!("priority = 1\ntable = 2\nfwmark = \"{text}\""));
    assert_eq!(
        marks("7").map(|it| (it.mark, it.mark_mask)),
        Ok((7, u32::MAX))
    );
    for wrong in ["", "0x", "0x+1", "1/0", "0x100/0xff", "-1", "1/2/3"] {
        assert!(marks(wrong).is_err(), "{wrong}");
    }
    for (text, expected) in [
        (
            "from = \"192.0.2.1/24\"\npriority = 0",
            vec![
                "group.0.rule.0.priority: found 0, allowed 1-4294967295",
                "group.0.rule.0.table: missing",
                "group.0.rule.0.from: found \"192.0.2.1/24\", allowed is its network, \"192.0.2.0/24\"",
            ],
        ),
        (
            "priority = 1\ntable = 2\nfrom = \"192.0.2.0/24\"\nto = \"2001:db8::/32\"",
            vec!["group.0.rule.0.to: found \"2001:db8::/32\", the rule is for ipv4"],
        ),
        (
            "priority = 1\ntable = 2\n[[group.rule]]\npriority = 1\ntable = 2",
            vec!["group.0.rule.1: found twice, also in group \"g\""],
        ),
    ] {
        let mut found = rules(text).expect_err("faults");
        found.sort();
        let mut expected: Vec<String> = expected.into_iter().map(str::to_owned).collect();
        expected.sort();
        assert_eq!(found, expected, "{text}");
    }
}

#[test]
fn more_addresses_than_an_advert_counts_are_refused() {
    let many: Vec<String> = (0..256)
        .map(|n| format!("\"10.0.{}.{}/16\"", n / 200 + 1, n % 200 + 1))
        .collect();
    let text = with("", "").replace("\"192.0.2.1/24\"", &many.join(", "));
    assert_eq!(
        faults(&text),
        [
            "group.0.interface.0.addresses: found 256, allowed 255 in an advert: move the rest to \
          unadvertised"
        ]
    );
}

#[test]
fn a_route_leads_to_a_network() {
    let found = |destination: &str| {
        let route = format!("destination = \"{destination}\"\ngateway = \"192.0.2.254\"\n");
        read_as(
            "r1",
            &with("priority = 9", &format!("[[group.route]]\n{route}")),
        )
    };
    assert!(found("0.0.0.0/0").is_ok());
    assert!(found("198.51.100.0/24").is_ok());
    assert_eq!(
        found("198.51.100.1/24").expect_err("not a network"),
        [
            "group.0.route.0.destination: found \"198.51.100.1/24\", allowed is its network, \
          \"198.51.100.0/24\""
        ]
    );
}

/// The manual's table has every key, and no others.
#[test]
fn the_manual_lists_every_key() {
    let text = with("", "[[group.address]]\n[[group.route]]\n[[group.rule]]\n");
    let config = Config::parse(&text, "r1", &[]).expect("TOML");
    let _ = read(&config, TICK);
    let manual = include_str!("../../README.md");
    for (key, scope) in config.scopes() {
        let Some(key) = key.strip_prefix("group.") else {
            continue;
        };
        if matches!(key, "interface" | "address" | "route" | "rule") {
            continue;
        }
        let scope = format!("{scope:?}").to_lowercase();
        let row = manual
            .lines()
            .find(|line| line.starts_with(&format!("| `{key}` |")));
        let row = row.unwrap_or_else(|| panic!("README.md has no row for `{key}`"));
        assert!(
            row.ends_with(&format!("| {scope} |")),
            "scope of `{key}` is {scope}: {row}"
        );
    }
}

#[test]
fn more_groups_than_can_be_served_are_one_fault() {
    let group = |number: usize| {
        let (lan, vrid) = (number / 250, number % 250 + 1);
        format!(
            "[[group]]\nname = \"g{number}\"\n[[group.interface]]\ninterface = \"lan{lan}\"\n\
             vrid = {vrid}\naddresses = [\"10.{lan}.{vrid}.1/24\"]\n"
        )
    };
    let toml: String = (0..256).map(group).collect();
    let found = faults(&toml);
    assert_eq!(found, ["group: found 256 groups, allowed at most 255"]);
}
