//! Tables of what is found and what is proposed.

use crate::init::findings::{Interface, Program};

use super::*;

fn net(text: &str) -> IpNet {
    text.parse().expect("a network")
}

fn interface(name: &str, addresses: &[&str]) -> Interface {
    Interface {
        name: name.to_owned(),
        has_carrier: true,
        addresses: addresses.iter().map(|it| net(it)).collect(),
        is_dynamic: false,
    }
}

/// The tutorial's r1.
fn router() -> Findings {
    Findings {
        node: "r1".to_owned(),
        key: [1; 32],
        interfaces: vec![
            interface("lan0", &["192.168.200.2/24"]),
            interface("wan0", &["203.0.113.10/29"]),
            interface("hot0", &[]),
        ],
        gateways: vec![(
            "wan0".to_owned(),
            "203.0.113.14".parse().expect("an address"),
        )],
        programs: Vec::new(),
        texts: Texts::new(),
    }
}

fn wishes() -> Wishes {
    Wishes {
        peer: "r2".to_owned(),
        link: "hot0".to_owned(),
        link_addresses: None,
        group: "office".to_owned(),
        vrid: 50,
        virtuals: vec![
            ("lan0".to_owned(), net("192.168.200.1/24")),
            ("wan0".to_owned(), net("203.0.113.9/29")),
        ],
        gateway: None,
    }
}

#[test]
fn the_router_of_the_tutorial_gets_the_files_of_the_tutorial() {
    let found = router();
    assert_eq!(found.possible_links(), ["hot0"]);
    let texts = propose(&found, &wishes()).expect("a proposal");
    let key = public_text(&[1; 32]);
    assert_eq!(
        texts[HOST_FILE],
        format!(
            "[nodes]\nr1.public_key = \"{key}\"\nr2 = {{}}\n\n[[link]]\ninterface = \"hot0\"\n\
             address = {{ r1 = \"192.168.180.1/30\", r2 = \"192.168.180.2/30\" }}\n"
        )
    );
    assert_eq!(
        texts["plugins/vrrp.toml"],
        "[[group]]\nname = \"office\"\nvrid = 50\n\n\
         [[group.interface]]\ninterface = \"lan0\"\naddresses = [\"192.168.200.1/24\"]\n\n\
         [[group.interface]]\ninterface = \"wan0\"\naddresses = [\"203.0.113.9/29\"]\n"
    );
    assert_eq!(texts["plugins/conntrack.toml"], "");
    assert!(texts["plugins/health.toml"].contains("\"203.0.113.14\""));
    assert_eq!(texts.len(), 4);
    // once more changes nothing, also after an edit
    let again = |texts: &Texts| Findings {
        texts: texts.clone(),
        ..found.clone()
    };
    let without = Wishes {
        virtuals: Vec::new(),
        ..wishes()
    };
    let mut edited = texts.clone();
    edited.insert(
        VRRP.to_owned(),
        texts[VRRP].replace("vrid = 50\n", "vrid = 51\nprefer = \"r1\"\n"),
    );
    for wishes in [without, wishes()] {
        assert_eq!(propose(&again(&texts), &wishes), Ok(texts.clone()));
        assert_eq!(propose(&again(&edited), &wishes), Ok(edited.clone()));
    }
    // what the groups lack is not written over them
    let mut more = wishes();
    let another = net("198.51.100.1/24");
    more.virtuals.push(("lan0".to_owned(), another));
    let why = propose(&again(&edited), &more).expect_err("refused");
    assert!(
        why.starts_with("--virtual lan0=198.51.100.1/24: vrrp.toml has groups without it"),
        "{why}"
    );
}

#[test]
fn the_default_route_moves_with_the_group_where_the_node_cannot_keep_it() {
    const ROUTE: &str =
        "\n[[group.route]]\ndestination = \"0.0.0.0/0\"\ngateway = \"203.0.113.14\"\n";
    let vrrp = |found: &Findings, gateway: Option<&str>| {
        let gateway = gateway.map(|it| it.parse().expect("an address"));
        let wishes = Wishes {
            gateway,
            ..wishes()
        };
        let texts = propose(found, &wishes)?;
        let line = about_route(found, &wishes).unwrap_or_default();
        Ok::<_, String>((texts["plugins/vrrp.toml"].ends_with(ROUTE), line))
    };
    // an address of the node's own keeps its route
    let own = router();
    let (moves, line) = vrrp(&own, None).expect("a proposal");
    assert!(!moves && line.contains("203.0.113.14 on wan0 is each node's own and stays"));
    // the virtual address is the only one
    let mut bare = router();
    bare.interfaces[1].addresses.clear();
    assert_eq!(vrrp(&bare, None), Ok((true, String::new())));
    let texts = propose(&bare, &wishes()).expect("a proposal");
    assert!(texts["plugins/health.toml"].contains("only = \"active\""));
    // and nothing is known of a gateway
    bare.gateways.clear();
    let (moves, line) = vrrp(&bare, None).expect("a proposal");
    assert!(!moves && line.contains("--gateway ADDRESS adds one"));
    assert_eq!(vrrp(&bare, Some("203.0.113.14")), Ok((true, String::new())));
    let why = vrrp(&bare, Some("198.51.100.1")).expect_err("nowhere");
    assert!(
        why.contains("in the network of no virtual address"),
        "{why}"
    );
}

#[test]
fn what_is_there_stays_and_is_added_to() {
    let mut found = router();
    found.texts = Texts::from([
        (HOST_FILE.to_owned(), "# mine\nport = 3781\n".to_owned()),
        ("plugins/health.toml".to_owned(), "# none\n".to_owned()),
    ]);
    let texts = propose(&found, &wishes()).expect("a proposal");
    assert!(texts[HOST_FILE].starts_with("# mine\nport = 3781\n\n[nodes]\n"));
    assert_eq!(texts["plugins/health.toml"], "# none\n");
}

#[test]
fn programs_bring_their_plugins_and_run_on_the_active_node() {
    let mut found = router();
    let program = |kind, unit: &str| Program {
        kind,
        unit: Some(unit.to_owned()),
    };
    found.programs = vec![
        program(Kind::Dhcp("kea4"), "kea-dhcp4-server.service"),
        program(Kind::Strongswan, "strongswan.service"),
        program(
            Kind::Manager("systemd-networkd"),
            "systemd-networkd.service",
        ),
    ];
    let texts = propose(&found, &wishes()).expect("a proposal");
    assert_eq!(texts["plugins/dhcp.toml"], "[[server]]\nkind = \"kea4\"\n");
    assert_eq!(texts["plugins/ipsec.toml"], "");
    assert!(texts["plugins/service.toml"].starts_with(
        "after = [\"dhcp\", \"ipsec\"]\n\n[[service]]\nunits = [\"kea-dhcp4-server.service\", \"strongswan.service\"]"
    ));
    let lines = found.lines().join("\n");
    assert!(
        lines.contains("wan0: 203.0.113.10/29, default route by 203.0.113.14"),
        "{lines}"
    );
    assert!(
        lines.contains("systemd-networkd manages interfaces"),
        "{lines}"
    );
}

#[test]
fn an_uplink_by_dhcp_is_named_in_dynamic_nat() {
    let mut found = router();
    found.interfaces[1].is_dynamic = true;
    let texts = propose(&found, &wishes()).expect("a proposal");
    assert!(texts["plugins/conntrack.toml"].starts_with("dynamic_nat = [\"wan0\"]"));
}

#[test]
fn the_link_takes_a_network_that_is_free_or_the_one_that_it_has() {
    let own = |texts: Texts| {
        let text = &texts[HOST_FILE];
        let line = text
            .lines()
            .find(|it| it.starts_with("address"))
            .map(str::to_owned);
        line.expect("an address")
    };
    let mut found = router();
    found.interfaces[0] = interface("lan0", &["192.168.180.77/24"]);
    let texts = propose(
        &found,
        &Wishes {
            virtuals: Vec::new(),
            ..wishes()
        },
    );
    let expected = "address = { r1 = \"192.168.181.1/30\", r2 = \"192.168.181.2/30\" }";
    assert_eq!(own(texts.expect("a proposal")), expected);
    found.interfaces[2] = interface("hot0", &["10.9.9.2/30"]);
    let texts = propose(
        &found,
        &Wishes {
            virtuals: Vec::new(),
            ..wishes()
        },
    );
    let expected = "address = { r1 = \"10.9.9.2/30\", r2 = \"10.9.9.1/30\" }";
    assert_eq!(own(texts.expect("a proposal")), expected);
    found.interfaces[2] = interface("hot0", &["10.9.9.2/24"]);
    let refused = propose(
        &found,
        &Wishes {
            virtuals: Vec::new(),
            ..wishes()
        },
    );
    assert!(
        refused
            .expect_err("a guess")
            .contains("--link-addresses 10.9.9.2/24,ADDRESS/24")
    );
}

#[test]
fn wishes_that_cannot_be_met_are_refused_with_what_can() {
    let refused = |wishes: &Wishes| propose(&router(), wishes).expect_err("refused");
    let with = |virtuals: &[(&str, &str)]| Wishes {
        virtuals: virtuals
            .iter()
            .map(|(name, it)| ((*name).to_owned(), net(it)))
            .collect(),
        ..wishes()
    };
    assert!(refused(&with(&[("lan9", "192.168.200.1/24")])).contains("there is no interface lan9"));
    assert!(refused(&with(&[("lan0", "192.168.200.2/24")])).contains("the node's own address"));
    let nothing = Wishes {
        link: String::new(),
        ..wishes()
    };
    assert!(refused(&nothing).ends_with("--link IF names one of lan0, wan0, hot0"));
    assert!(
        refused(&Wishes {
            peer: "r1".to_owned(),
            ..wishes()
        })
        .contains("is this node")
    );
}

#[test]
fn the_other_node_is_guessed_by_the_last_letter() {
    for (node, expected) in [
        ("r1", "r2"),
        ("r2", "r1"),
        ("gw-a", "gw-b"),
        ("fwB", "fwA"),
        ("fw0", "fw1"),
        ("router", "router-2"),
        ("", "r2"),
    ] {
        assert_eq!(other_name(node), expected);
    }
}
