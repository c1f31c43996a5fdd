use super::*;
use crate::filter::Prefix;
use crate::flow::UDP;

fn parsed(text: &str, node: &str) -> Config {
    Config::parse(text, node, &["r1".to_owned(), "r2".to_owned()]).expect("TOML")
}

/// Faults of `text`, as "key: why".
fn faults(text: &str) -> Vec<String> {
    let config = parsed(text, "r1");
    assert!(read(&config).is_none(), "{text}");
    let faults = config.finish().expect_err("there is a fault");
    faults
        .iter()
        .map(|fault| format!("{}: {}", fault.key, fault.why))
        .collect()
}

fn settings(text: &str, node: &str) -> Settings {
    let config = parsed(text, node);
    let settings = read(&config);
    assert_eq!(config.finish(), Ok(()), "{text}");
    settings.expect("no fault")
}

fn exclusion(rule: &str) -> Rule {
    let text = format!("[[exclude]]\n{rule}\n");
    let mut settings = settings(&text, "r1");
    assert!(settings.filter.include.is_empty(), "{rule}");
    let [rule] = &mut settings.filter.exclude[..] else {
        panic!("{settings:?}");
    };
    std::mem::take(rule)
}

fn prefixes(texts: &[&str]) -> Vec<Prefix> {
    let prefixes = texts
        .iter()
        .map(|text| text.parse::<Network>().expect("a network"));
    prefixes.map(|network| network.net().into()).collect()
}

#[test]
fn an_empty_file_is_a_good_one() {
    let empty = settings("", "r1");
    assert_eq!(format!("{empty:?}"), format!("{:?}", Settings::default()));
    assert_eq!((empty.min_age_ns, empty.batch_ns), (0, 2_000_000));
    assert_eq!(empty.resync_ns, 40_000_000_000);
    assert_eq!(empty.event_buffer, 64 << 20);
    assert!(empty.expectations && empty.dynamic_nat.is_empty());
    let filter = &empty.filter;
    assert_eq!(filter.mark_bit, None);
    assert!(!filter.local && !filter.proxied);
}

#[test]
fn every_key_is_read() {
    let text = "min_age = \"3s\"\nbatch_interval = \"0ms\"\nresync_interval = \"10s\"\n\
                event_buffer_kib = { r1 = 1024, r2 = 2048 }\nmark_bit = 30\nlocal = true\nproxied = true\n\
                expectations = false\ndynamic_nat = { r1 = [\"wan0\"], r2 = [\"ppp0\", \"ppp1\"] }\n\
                [[include]]\nprotocol = [\"tcp\"]\n[[include]]\nprotocol = [\"udp\"]\n[[exclude]]\nport = [53]\n";
    let [first, second] = ["r1", "r2"].map(|node| settings(text, node));
    assert_eq!((first.min_age_ns, first.batch_ns), (3_000_000_000, 0));
    assert_eq!(first.resync_ns, 10_000_000_000);
    assert_eq!(
        (first.event_buffer, second.event_buffer),
        (1 << 20, 2 << 20)
    );
    assert_eq!(first.filter.mark_bit, Some(30));
    assert!(first.filter.local && first.filter.proxied && !first.expectations);
    assert_eq!(first.dynamic_nat, ["wan0"]);
    assert_eq!(second.dynamic_nat, ["ppp0", "ppp1"]);
    assert_eq!(
        (first.filter.include.len(), first.filter.exclude.len()),
        (2, 1)
    );
}

#[test]
fn bounds_are_inside() {
    for text in [
        "min_age = \"0s\"",
        "min_age = \"1h\"",
        "batch_interval = \"1s\"",
        "resync_interval = \"1s\"",
        "resync_interval = \"1h\"",
        "event_buffer_kib = 64",
        "event_buffer_kib = 1048576",
        "mark_bit = 0",
        "mark_bit = 31",
        "[[include]]\nport = [0, 65535]",
        "[[include]]\nzone = [0, 65535]",
        "[[include]]\nlabel = [0, 127]",
        "dynamic_nat = [\"fifteen-letters\"]",
        "dynamic_nat = []",
    ] {
        settings(text, "r1");
    }
}

#[test]
fn every_key_of_a_rule_is_read() {
    let none = Rule::default;
    for (text, rule) in [
        (
            "protocol = [\"tcp\", \"esp\", \"89\", \"17\"]",
            Rule {
                protocols: vec![TCP, 50, 89, UDP],
                ..none()
            },
        ),
        (
            "address = [\"192.0.2.0/24\", \"2001:db8::/32\"]",
            Rule {
                addresses: prefixes(&["192.0.2.0/24", "2001:db8::/32"]),
                ..none()
            },
        ),
        (
            "source = [\"192.0.2.1\"]\ndestination = [\"::/0\", \"0.0.0.0/0\"]",
            Rule {
                sources: prefixes(&["192.0.2.1/32"]),
                destinations: prefixes(&["::/0", "0.0.0.0/0"]),
                ..none()
            },
        ),
        (
            "port = [53, 123]\nzone = [3]\nlabel = [1, 127]",
            Rule {
                ports: vec![53, 123],
                zones: vec![3],
                labels: vec![1, 127],
                ..none()
            },
        ),
        (
            "mark = \"0x10/0xf0\"",
            Rule {
                mark: Some((0x10, 0xf0)),
                ..none()
            },
        ),
        (
            "mark = \"16\"",
            Rule {
                mark: Some((16, u32::MAX)),
                ..none()
            },
        ),
        (
            "mark = \"0xffffffff/7\"",
            Rule {
                mark: Some((u32::MAX, 7)),
                ..none()
            },
        ),
        (
            "state = [\"established\", \"time_wait\", \"timewait\", \"none\"]",
            Rule {
                states: vec![
                    (TCP, 3),
                    (SCTP, 4),
                    (TCP, 7),
                    (DCCP, 7),
                    (TCP, 0),
                    (SCTP, 0),
                    (DCCP, 0),
                ],
                ..none()
            },
        ),
    ] {
        assert_eq!(exclusion(text), rule, "{text}");
    }
}

#[test]
fn each_fault_has_its_sentence() {
    const PREFIX: &str = "addresses like \"192.0.2.0/24\"";
    const MARK: &str = "a value, or value/mask, like \"0x10/0xf0\"";
    const PROTOCOLS: &str = "\"icmp\", \"tcp\", \"udp\", \"dccp\", \"gre\", \"esp\", \"icmpv6\", \"sctp\", \
         \"udplite\", or a number as text";
    const STATES: &str = "close, close_wait, closed, closereq, closing, cookie_echoed, cookie_wait, \
         established, fin_wait, heartbeat_sent, last_ack, none, open, partopen, request, respond, \
         shutdown_ack_sent, shutdown_recd, shutdown_sent, syn_recv, syn_sent, syn_sent2, time_wait, \
         timewait";
    for (text, wanted) in [
        (
            "min_age = \"2h\"",
            "min_age: found \"2h\", allowed \"0s\" to \"1h\"",
        ),
        ("min_age = 3", "min_age: found 3, allowed \"0s\" to \"1h\""),
        (
            "batch_interval = \"1001ms\"",
            "batch_interval: found \"1001ms\", allowed \"0s\" to \"1s\"",
        ),
        (
            "resync_interval = \"999ms\"",
            "resync_interval: found \"999ms\", allowed \"1s\" to \"1h\"",
        ),
        (
            "event_buffer_kib = 63",
            "event_buffer_kib: found 63, allowed 64-1048576",
        ),
        (
            "event_buffer_kib = { r1 = 64 }",
            "event_buffer_kib: has no value for node \"r2\"",
        ),
        ("mark_bit = 32", "mark_bit: found 32, allowed 0-31"),
        (
            "mark_bit = { r1 = 1, r2 = 2 }",
            "mark_bit: found a table, allowed 0-31",
        ),
        ("local = 1", "local: found 1, allowed true or false"),
        (
            "proxied = \"no\"",
            "proxied: found \"no\", allowed true or false",
        ),
        (
            "expectations = []",
            "expectations: found an array, allowed true or false",
        ),
        (
            "dynamic_nat = \"wan0\"",
            "dynamic_nat: found \"wan0\", allowed an array: names of interfaces",
        ),
        (
            "dynamic_nat = [\"wan0\", \"a/b\"]",
            "dynamic_nat.1: found \"a/b\", allowed names of interfaces",
        ),
        (
            "dynamic_nat = [\"sixteen--letters\"]",
            "dynamic_nat.0: found \"sixteen--letters\", allowed names of interfaces",
        ),
        (
            "max_age = \"1s\"",
            "max_age: unknown key: did you mean \"min_age\"?",
        ),
        (
            "[exclude]\nport = [53]",
            "exclude: found [exclude], allowed [[exclude]]",
        ),
        (
            "[[exclude]]",
            "exclude.0: matches every flow: name at least one key",
        ),
        (
            "[[include]]\nport = [53]\n[[include]]",
            "include.1: matches every flow: name at least one key",
        ),
        (
            "[[exclude]]\nport = []",
            "exclude.0.port: is empty, which would match every flow",
        ),
        (
            "[[exclude]]\nport = [53]\nprotocol = []",
            "exclude.0.protocol: is empty, which would match every flow",
        ),
        (
            "[[exclude]]\nport = 53",
            "exclude.0.port: found 53, allowed an array: 0-65535",
        ),
        (
            "[[exclude]]\nport = [53, 65536]",
            "exclude.0.port.1: found 65536, allowed 0-65535",
        ),
        (
            "[[exclude]]\nport = [\"53\"]",
            "exclude.0.port.0: found \"53\", allowed 0-65535",
        ),
        (
            "[[exclude]]\nzone = [-1]",
            "exclude.0.zone.0: found -1, allowed 0-65535",
        ),
        (
            "[[exclude]]\nlabel = [128]",
            "exclude.0.label.0: found 128, allowed 0-127",
        ),
        (
            "[[exclude]]\nprotocol = [\"tpc\"]",
            &format!("exclude.0.protocol.0: found \"tpc\", allowed {PROTOCOLS}"),
        ),
        (
            "[[exclude]]\nprotocol = [\"0\"]",
            &format!("exclude.0.protocol.0: found \"0\", allowed {PROTOCOLS}"),
        ),
        (
            "[[exclude]]\nprotocol = [17]",
            &format!("exclude.0.protocol.0: found 17, allowed {PROTOCOLS}"),
        ),
        (
            "[[exclude]]\naddress = [\"192.0.2.0/33\"]",
            &format!("exclude.0.address.0: found \"192.0.2.0/33\", allowed {PREFIX}"),
        ),
        (
            "[[exclude]]\nsource = \"192.0.2.1\"",
            &format!("exclude.0.source: found \"192.0.2.1\", allowed an array: {PREFIX}"),
        ),
        (
            "[[exclude]]\ndestination = [\"r1\"]",
            &format!("exclude.0.destination.0: found \"r1\", allowed {PREFIX}"),
        ),
        (
            "[[exclude]]\nmark = 16",
            &format!("exclude.0.mark: found 16, allowed {MARK}"),
        ),
        (
            "[[exclude]]\nmark = \"0x100000000\"",
            &format!("exclude.0.mark: found \"0x100000000\", allowed {MARK}"),
        ),
        (
            "[[exclude]]\nmark = \"1/\"",
            &format!("exclude.0.mark: found \"1/\", allowed {MARK}"),
        ),
        (
            "[[exclude]]\nstate = [\"ESTABLISHED\"]",
            &format!("exclude.0.state.0: found \"ESTABLISHED\", allowed {STATES}"),
        ),
        (
            "[[exclude]]\nport = [53]\nports = [54]",
            "exclude.0.ports: unknown key: did you mean \"port\"?",
        ),
    ] {
        assert_eq!(faults(text), [wanted], "{text}");
    }
}

#[test]
fn all_faults_are_found_at_once() {
    let found = faults(
        "min_age = \"2h\"\nmark_bit = 99\n[[include]]\nport = [1, 99999]\nmark = \"x\"\n\
         [[exclude]]\n[[exclude]]\nlabel = [200]\nstate = []\n",
    );
    let keys: Vec<&str> = found
        .iter()
        .filter_map(|fault| fault.split(": ").next())
        .collect();
    for key in [
        "min_age",
        "mark_bit",
        "include.0.port.1",
        "include.0.mark",
        "exclude.0",
        "exclude.1.label.0",
        "exclude.1.state",
    ] {
        assert!(keys.contains(&key), "{key} is missing: {found:#?}");
    }
    assert_eq!(found.len(), 7, "{found:#?}");
}
