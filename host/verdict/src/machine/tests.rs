use super::*;

fn facts(tables: &[(&str, &str, [u32; 2])], settings: &[(&str, &str)]) -> MachineFacts {
    let mut rules = RuleDigests::new();
    for (table, part, digests) in tables {
        let parts = rules.entry((*table).to_owned()).or_default();
        parts.insert((*part).to_owned(), *digests);
    }
    let settings = settings.iter();
    MachineFacts {
        rules_by: "nftables v1.0.6".to_owned(),
        rules: Some(rules),
        settings: settings
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        ..MachineFacts::default()
    }
}

fn told(here: &MachineFacts, there: &MachineFacts, ignored: &[&str]) -> Vec<String> {
    let ignored: Vec<String> = ignored.iter().map(ToString::to_string).collect();
    let found = machine_differences(here, there, &ignored);
    found.iter().map(|it| it.finding("r1", "r2").text).collect()
}

#[test]
fn a_chain_that_differs_is_named_with_its_table() {
    let here = facts(
        &[
            ("inet filter", "chain input", [1, 1]),
            ("inet filter", "chain forward", [2, 2]),
        ],
        &[],
    );
    let there = facts(
        &[
            ("inet filter", "chain input", [1, 1]),
            ("inet filter", "chain forward", [3, 3]),
        ],
        &[],
    );
    assert_eq!(
        told(&here, &there, &[]),
        [
            "rules: table inet filter differs between r1 and r2, in chain forward: filtering and translation \
             change with the active node"
        ]
    );
    for ignored in [
        "chain inet filter forward",
        "table inet filter",
        "table inet *",
    ] {
        assert_eq!(told(&here, &there, &[ignored]), [""; 0], "{ignored}");
    }
    assert_eq!(told(&here, &there, &["table inet"]).len(), 1);
}

#[test]
fn a_set_with_other_elements_is_named_if_both_nodes_know_them() {
    let with = |digest: Option<u32>, chain: u32| {
        let chain = ("inet filter", "chain input", [chain; 2]);
        let mut facts = facts(&[chain], &[]);
        let parts = digest.map(|it| ("set admins".to_owned(), [it; 2]));
        let parts = parts.into_iter().collect();
        facts.elements = [("inet filter".to_owned(), parts)].into();
        facts
    };
    let (here, there) = (with(Some(1), 1), with(Some(2), 1));
    let sentence = |parts: &str| {
        format!(
            "rules: table inet filter differs between r1 and r2, in {parts}: filtering and translation change with \
             the active node"
        )
    };
    assert_eq!(
        told(&here, &there, &[]),
        [sentence("elements of set admins")]
    );
    let todo = |there: &MachineFacts| {
        let found = machine_differences(&here, there, &[]);
        found[0].finding("r1", "r2").todo
    };
    assert_eq!(
        todo(&there),
        "Compare `nft list set inet filter admins` of both nodes. If that is meant, name \"set inet filter admins\" in \
         `equal.ignore` of spared.toml."
    );
    assert_eq!(told(&here, &with(None, 1), &[]), [""; 0], "not known there");
    assert_eq!(told(&here, &with(Some(1), 1), &[]), [""; 0]);
    let both = with(Some(2), 2);
    let parts = "chain input, elements of set admins";
    assert_eq!(told(&here, &both, &[]), [sentence(parts)]);
    assert!(
        todo(&both).starts_with("Compare `nft -s list table inet filter` "),
        "{}",
        todo(&both)
    );
    for ignored in [
        "set inet filter admins",
        "set inet filter *",
        "table inet filter",
    ] {
        assert_eq!(told(&here, &there, &[ignored]), [""; 0], "{ignored}");
    }
    let by_address = MachineFacts {
        elements: [(
            "inet filter".to_owned(),
            [("set admins".to_owned(), [2, 1])].into(),
        )]
        .into(),
        ..facts(&[("inet filter", "chain input", [1; 2])], &[])
    };
    assert_eq!(told(&here, &by_address, &[]), [""; 0], "own addresses");
}

#[test]
fn parts_are_equal_if_only_addresses_of_the_nodes_differ() {
    let here = facts(&[("ip nat", "chain post", [1, 9])], &[]);
    let by_address = facts(&[("ip nat", "chain post", [2, 9])], &[]);
    let with_both = facts(&[("ip nat", "chain post", [1, 8])], &[]);
    assert_eq!(told(&here, &by_address, &[]), [""; 0]);
    assert_eq!(told(&here, &with_both, &[]), [""; 0]);
}

#[test]
fn a_table_that_one_node_lacks_is_its_fault() {
    let here = facts(&[("ip nat", "chain post", [1, 1])], &[]);
    let found = machine_differences(&here, &facts(&[], &[]), &[]);
    let finding = found[0].finding("r1", "r2");
    assert_eq!(
        (finding.node.as_str(), finding.id.as_str()),
        ("r2", "SP-0803")
    );
    assert!(
        finding
            .text
            .starts_with("rules: table ip nat is on r1 but not on r2"),
        "{finding:?}"
    );
    let other = MachineFacts {
        rules_by: "nftables v1.1.3".to_owned(),
        ..facts(&[], &[])
    };
    assert_eq!(told(&here, &other, &[]), [""; 0], "printed in another way");
    let unknown = MachineFacts {
        rules: None,
        ..facts(&[], &[])
    };
    assert_eq!(
        told(&here, &unknown, &[]),
        [""; 0],
        "nobody read them there"
    );
}

#[test]
fn a_setting_differs_only_if_both_kernels_have_it() {
    let here = facts(&[], &[("net.a", "1"), ("net.b", "1")]);
    let there = facts(&[], &[("net.a", "2"), ("net.c", "1")]);
    assert_eq!(told(&here, &there, &[]), ["net.a is 1 on r1 and 2 on r2"]);
    assert_eq!(told(&here, &there, &["sysctl net.a"]), [""; 0]);
}

#[test]
fn an_mtu_and_a_filter_that_differ_are_told_with_what_to_type() {
    let here = facts(&[], &[("mtu lan", "1500"), ("net.x.rp_filter", "1")]);
    let there = facts(&[], &[("mtu lan", "1280"), ("net.x.rp_filter", "2")]);
    let found = machine_differences(&here, &there, &[]);
    let found: Vec<Finding> = found.iter().map(|it| it.finding("r1", "r2")).collect();
    assert_eq!(found[0].text, "mtu lan is 1500 on r1 and 1280 on r2");
    assert!(
        found[0].todo.contains("`ip link set lan mtu SIZE`"),
        "{}",
        found[0].todo
    );
    assert!(
        found[1].todo.contains("2 is right there"),
        "{}",
        found[1].todo
    );
    let ignored = ["mtu lan", "sysctl net.x.rp_filter"];
    assert_eq!(told(&here, &there, &ignored), [""; 0]);
}

#[test]
fn a_default_route_is_missing_on_the_node_that_has_none() {
    let with = |families: &[&str]| MachineFacts {
        default_routes: Some(families.iter().map(ToString::to_string).collect()),
        ..MachineFacts::default()
    };
    let found = machine_differences(&with(&["IPv4"]), &with(&["IPv4", "IPv6"]), &[]);
    let finding = found[0].finding("r1", "r2");
    assert_eq!((found.len(), finding.node.as_str()), (1, "r1"));
    assert!(
        finding
            .text
            .starts_with("r1 has no IPv6 default route, and r2 has one"),
        "{finding:?}"
    );
}

#[test]
fn rules_of_policy_routing_that_differ_are_one_finding() {
    let with = |rules: &[&str]| MachineFacts {
        routing_rules: Some(rules.iter().map(ToString::to_string).collect()),
        ..MachineFacts::default()
    };
    let here = with(&[
        "IPv4 0: from all lookup 255",
        "IPv4 100: from all lookup 100",
    ]);
    let there = with(&[
        "IPv4 0: from all lookup 255",
        "IPv4 7: from all iif lan prohibit",
    ]);
    assert_eq!(
        told(&here, &there, &[]),
        [
            "`ip rule` differs between r1 and r2: IPv4 100: from all lookup 100 only on r1; IPv4 7: from all iif \
             lan prohibit only on r2: packets take other routes after a failover"
        ]
    );
    assert_eq!(told(&here, &there, &["rule IPv4 7:*"]).len(), 1);
    assert_eq!(told(&here, &there, &["rule IPv4*"]), [""; 0]);
    assert_eq!(told(&here, &MachineFacts::default(), &[]), [""; 0]);
}
