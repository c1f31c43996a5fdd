use std::net::IpAddr;
use std::time::Duration;

use super::*;

fn faults(text: &str, read: impl Fn(&Section<'_>)) -> Vec<String> {
    faults_on("r1", &[], text, read)
}

fn faults_on(node: &str, nodes: &[&str], text: &str, read: impl Fn(&Section<'_>)) -> Vec<String> {
    let nodes: Vec<String> = nodes.iter().map(|name| (*name).to_owned()).collect();
    let config = Config::parse(text, node, &nodes).unwrap();
    read(&config.root());
    let faults = config.finish().err().unwrap_or_default();
    faults
        .into_iter()
        .map(|fault| format!("{}: {}", fault.key, fault.why))
        .collect()
}

#[test]
fn every_fault_is_found_at_once() {
    let text = "vrid = 300\nadvert_interval = \"1y\"\nvmac = 1\nversion = \"4\"\n";
    let found = faults(text, |root| {
        root.integer("vrid", 1..=255);
        root.duration(
            "advert_interval",
            Duration::from_millis(10)..=Duration::from_secs(40),
        );
        root.flag("vmac");
        root.choice("version", &[("2", 2), ("3", 3)]);
        root.required("name", root.text("name"));
    });
    assert_eq!(
        found,
        [
            "vrid: found 300, allowed 1-255",
            "advert_interval: found \"1y\", allowed \"10ms\" to \"40s\"",
            "vmac: found 1, allowed true or false",
            "version: found \"4\", allowed \"2\", \"3\"",
            "name: missing",
        ]
    );
}

#[test]
fn a_misspelt_choice_is_answered_with_the_word_that_was_meant() {
    let roles = [("active", 1), ("backup", 2)];
    let found = faults("role = \"actvie\"", |root| {
        root.choice("role", &roles);
    });
    let meant = "role: found \"actvie\", allowed \"active\", \"backup\": did you mean \"active\"?";
    assert_eq!(found, [meant]);
}

#[test]
fn a_missing_key_that_is_wrong_is_one_fault() {
    let found = faults("name = 5", |root| {
        root.required("name", root.text("name"));
    });
    assert_eq!(found, ["name: found 5, allowed a text"]);
}

#[test]
fn unknown_keys_are_refused_where_they_stand() {
    let text = "a = 1\n[[group]]\nname = \"x\"\nnmae = \"y\"\n";
    let found = faults(text, |root| {
        for group in root.sections("group") {
            group.text("name");
        }
    });
    assert_eq!(
        found,
        [
            "a: unknown key, allowed: group",
            "group.0.nmae: unknown key: did you mean \"name\"?"
        ]
    );
}

#[test]
fn the_keys_of_the_host_are_accepted_at_the_top_only() {
    let text = "enabled = true\nafter = [\"dhcp\"]\n[[group]]\nafter = 1\nx = 1\n";
    let found = faults(text, |root| drop(root.sections("group")));
    let at_the_top = "it belongs at the top of the file, above the first [table]";
    assert_eq!(
        found,
        [
            format!("group.0.after: unknown key here: {at_the_top}"),
            "group.0.x: unknown key, allowed: none here".to_owned()
        ]
    );
}

#[test]
fn a_key_of_another_table_is_sent_there() {
    let text = "vrid = 7\n[[group]]\nname = \"x\"\n[[group.interface]]\nlevel = 1\n[log]\n";
    let found = faults(text, |root| {
        for group in root.sections("group") {
            group.text("name");
            for interface in group.sections("interface") {
                interface.integer("vrid", 1..=255);
            }
        }
        let log = root.section("log").expect("it is there");
        log.text("level");
    });
    let wanted = [
        "group.0.interface.0.level: unknown key here: it belongs in [log]",
        "vrid: unknown key here: it belongs in [[group.interface]]",
    ];
    assert_eq!(found, wanted);
}

#[test]
fn of_many_keys_only_the_nearest_is_named() {
    let names: Vec<String> = (0..20).map(|it| format!("number_{it}_of_all")).collect();
    let read = |root: &Section<'_>| {
        for name in &names {
            root.flag(name.as_str());
        }
    };
    let many = "zz: unknown key: none of the 20 that its manual page lists";
    assert_eq!(faults("zz = 1", read), [many]);
    let near = "numbr_7_of_all: unknown key: did you mean \"number_7_of_all\"?";
    assert_eq!(faults("numbr_7_of_all = 1", read), [near]);
}

#[test]
fn wrong_brackets_are_named_and_what_is_in_them_is_read() {
    let read = |root: &Section<'_>| {
        for group in root.sections("group") {
            group.integer("vrid", 1..=255);
        }
        if let Some(log) = root.section("log") {
            log.flag("level");
        }
    };
    assert_eq!(
        faults("[group]\nvrid = 300\n[[log]]\nlevel = 7\n", read),
        [
            "group: found [group], allowed [[group]]",
            "group.vrid: found 300, allowed 1-255",
            "log: found [[log]], allowed [log]",
            "log.0.level: found 7, allowed true or false",
        ]
    );
    assert_eq!(
        faults("log = [1]\n", read),
        ["log: found an array, allowed a table"]
    );
}

#[test]
fn a_wrong_address_gets_a_sample_of_its_family() {
    let found = faults(
        "a = \"fd00::1\"\nb = [\"10.0.0.1\", \"fd00::1/129\"]\n",
        |root| {
            root.cidr("a");
            root.cidrs("b");
        },
    );
    let allowed = "allowed an address with its prefix, like";
    assert_eq!(
        found,
        [
            format!("a: found \"fd00::1\", {allowed} \"2001:db8::1/64\""),
            format!("b.0: found \"10.0.0.1\", {allowed} \"192.0.2.1/24\""),
            format!("b.1: found \"fd00::1/129\", {allowed} \"2001:db8::1/64\""),
        ]
    );
}

#[test]
fn each_wrong_element_of_a_list_is_named() {
    let found = faults("addresses = [\"10.0.0.1\", \"nonsense\", 7]", |root| {
        root.list::<IpAddr>("addresses", "an address");
    });
    assert_eq!(
        found,
        [
            "addresses.1: found \"nonsense\", allowed an address",
            "addresses.2: found 7, allowed an address"
        ]
    );
}

#[test]
fn a_list_of_numbers_is_read_and_each_wrong_one_is_named() {
    let text = "port = [0, 53, 65535]\nnone = []\n";
    let config = Config::parse(text, "r1", &[]).unwrap();
    let root = config.root();
    assert_eq!(root.integers("port", 0..=65_535), Some(vec![0, 53, 65_535]));
    assert_eq!(root.integers("none", 0..=65_535), Some(Vec::new()));
    assert_eq!(root.integers("missing", 0..=65_535), None);
    assert!(config.finish().is_ok());

    let text = "port = [53, 65536, -1, \"53\", 5.0]\nzone = 3\nlabel = { r1 = [1], r2 = [128] }\n";
    let found = faults_on("r2", &[], text, |root| {
        assert_eq!(root.integers("port", 0..=65_535), None);
        assert_eq!(root.integers("zone", 1..=9), None);
        assert_eq!(root.integers(node("label"), 0..=127), None);
    });
    assert_eq!(
        found,
        [
            "port.1: found 65536, allowed 0-65535",
            "port.2: found -1, allowed 0-65535",
            "port.3: found \"53\", allowed 0-65535",
            "port.4: found 5.0, allowed 0-65535",
            "zone: found 3, allowed an array: 1-9",
            "label.r2.0: found 128, allowed 0-127"
        ]
    );
}

#[test]
fn a_table_by_node_name_gives_this_nodes_value() {
    let config = Config::parse("priority = { r1 = 200, r2 = 100 }", "r2", &[]).unwrap();
    assert_eq!(config.root().integer(node("priority"), 1..=254), Some(100));
    assert!(config.finish().is_ok());
}

#[test]
fn a_table_by_node_name_must_be_complete() {
    let read = |root: &Section<'_>| {
        root.integer(node("priority"), 1..=254);
    };
    let text = "priority = { r1 = 200, r3 = 100 }";
    assert_eq!(
        faults_on("r1", &["r1", "r2"], text, read),
        [
            "priority: has no value for node \"r2\"",
            "priority.r3: no such node, allowed: r1, r2"
        ]
    );
    assert_eq!(
        faults_on("r2", &[], text, read),
        ["priority: has no value for this node, \"r2\""]
    );
    assert_eq!(
        faults("priority = { r1 = 900 }", read),
        ["priority.r1: found 900, allowed 1-254"]
    );
}

#[test]
fn a_pair_key_takes_no_table_by_node_name() {
    let found = faults("vrid = { r1 = 1, r2 = 2 }", |root| {
        root.integer("vrid", 1..=255);
    });
    assert_eq!(found, ["vrid: found a table, allowed 1-255"]);
}

#[test]
fn durations_are_read_back_as_they_are_written() {
    for text in ["10ms", "100ms", "1s", "90s", "2m", "1h", "250us"] {
        let time = parse_duration(text).unwrap();
        assert_eq!(format_duration(time), text);
    }
    assert_eq!(parse_duration("1.5s"), Some(Duration::from_millis(1500)));
    for text in [
        "",
        "s",
        "5",
        "-1s",
        "1 s",
        "1.s.s",
        "99999999999999h",
        "1.0000000001s",
    ] {
        assert_eq!(parse_duration(text), None, "{text}");
    }
}

#[test]
fn what_is_wrong_with_a_secret_is_said_without_it() {
    let config = Config::parse("[server]\ncommunity = 12345\n", "r1", &[]).unwrap();
    let server = config.root().section("server").unwrap();
    assert_eq!(server.text(secret("community")), None);
    assert!(
        config
            .scopes()
            .contains(&("server.community".to_owned(), Scope::Secret))
    );
    let faults = config.finish().unwrap_err();
    let why = "found a value that is not shown, allowed a text";
    assert_eq!(
        (faults[0].key.as_str(), faults[0].why.as_str()),
        ("server.community", why)
    );
}

#[test]
fn scopes_name_each_key_once_whatever_the_position() {
    let text = "[[group]]\nvrid = 1\n[[group]]\nvrid = 2\n";
    let config = Config::parse(text, "r1", &[]).unwrap();
    for group in config.root().sections("group") {
        group.integer("vrid", 1..=255);
        group.integer(node("priority"), 1..=255);
        group.text(local("comment"));
    }
    let scopes = config.scopes();
    assert!(scopes.contains(&("group.vrid".to_owned(), Scope::Pair)));
    assert!(scopes.contains(&("group.priority".to_owned(), Scope::Node)));
    assert!(scopes.contains(&("group.comment".to_owned(), Scope::Local)));
    assert_eq!(
        scopes.iter().filter(|(key, _)| key == "group.vrid").count(),
        1
    );
}

#[test]
fn signed_numbers_and_fractions_have_ranges() {
    let text = "a = -3\nb = 0.5\nc = 2\nd = -40\ne = nan\nf = 'x'";
    let config = Config::parse(text, "r1", &[]).unwrap();
    let root = config.root();
    assert_eq!(root.signed("a", -5..=5), Some(-3));
    assert_eq!(root.float("b", 0.0..=1.0), Some(0.5));
    assert_eq!(root.float("c", 0.0..=2.0), Some(2.0));
    assert_eq!(root.signed("d", -5..=5), None);
    assert_eq!(root.float("e", 0.0..=1.0), None);
    assert_eq!(root.float("f", -1.5..=1.0), None);
    let faults = config.finish().unwrap_err();
    let whys: Vec<&str> = faults.iter().map(|fault| fault.why.as_str()).collect();
    assert_eq!(
        whys,
        [
            "found -40, allowed -5 to 5",
            "found nan, allowed 0 to 1",
            "found \"x\", allowed -1.5 to 1",
        ]
    );
}

#[test]
fn a_dot_in_a_name_is_escaped_in_its_path() {
    let config = Config::parse("[a.\"b.c\"]\nd = 1", "r1", &[]).unwrap();
    let section = config.root().section("a").unwrap();
    let below = section.section("b.c").unwrap();
    assert_eq!(below.path(), "a.b\\.c");
    let faults = config.finish().unwrap_err();
    assert_eq!(faults[0].key, "a.b\\.c.d");
}
