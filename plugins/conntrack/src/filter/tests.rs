use spared_sdk::config::Network;

use super::*;
use crate::flow::samples::{connection, extra, flow, tuple};
use crate::flow::{Direction, ESP, GRE, ICMP, SCTP, TCP, UDP, Zone};
use crate::kernel::bytes_of;

const ESTABLISHED: u8 = 3;
const TIME_WAIT: u8 = 7;

fn prefix(text: &str) -> Prefix {
    text.parse::<Network>().expect("a network").net().into()
}

fn own(addresses: &[&str]) -> HashSet<Address> {
    let addresses = addresses
        .iter()
        .map(|text| text.parse().expect("an address"));
    addresses.map(bytes_of).collect()
}

fn excluding(rule: Rule) -> Filter {
    Filter {
        exclude: vec![rule],
        ..Filter::default()
    }
}

fn including(rule: Rule) -> Filter {
    Filter {
        include: vec![rule],
        ..Filter::default()
    }
}

/// Flow from 192.0.2.2, masqueraded as 198.51.100.1, to 203.0.113.1, which is translated to
/// 10.0.0.7.
fn translated() -> Flow {
    Flow {
        reply: tuple(TCP, "10.0.0.7:8080", "198.51.100.1:1024"),
        ..flow(TCP, "192.0.2.2:40001", "203.0.113.1:80")
    }
}

fn labelled(labels: &[u8]) -> Flow {
    let mut set = [0u64; 2];
    for label in labels {
        set[usize::from(label / 64)] |= 1 << (label % 64);
    }
    let bytes = set.map(u64::to_ne_bytes).concat();
    Flow {
        extra: extra(&[(c::CTA_LABELS, &bytes)]),
        ..connection()
    }
}

fn in_state(protocol: u8, state: u8) -> Flow {
    let mut flow = flow(protocol, "192.0.2.2:1", "198.51.100.2:2");
    match &mut flow.tcp {
        Some(tcp) => tcp.state = state,
        None => flow.state = Some(state),
    }
    flow
}

#[test]
fn prefixes_hold_what_begins_as_they_do() {
    for (prefix_text, address, holds) in [
        ("192.0.2.0/24", "192.0.2.255", true),
        ("192.0.2.0/24", "192.0.3.0", false),
        ("192.0.2.7", "192.0.2.7", true),
        ("192.0.2.7", "192.0.2.6", false),
        ("192.0.2.9/31", "192.0.2.8", true),
        ("0.0.0.0/0", "203.0.113.1", true),
        ("0.0.0.0/0", "2001:db8::1", false),
        ("::/0", "2001:db8::1", true),
        ("::/0", "192.0.2.1", false),
        ("2001:db8::/32", "2001:db8:ffff::1", true),
        ("2001:db8::/32", "2001:db9::1", false),
        ("2001:db8::1", "2001:db8::1", true),
        ("2001:db8::1/127", "2001:db8::", true),
        ("2001:db8::1/128", "2001:db8::", false),
        // only the first bytes are equal
        ("32.1.13.184/32", "2001:db8::1", false),
    ] {
        let (is_ipv6, bytes) = bytes_of(address.parse().expect("an address"));
        let found = prefix(prefix_text).holds(is_ipv6, &bytes);
        assert_eq!(found, holds, "{prefix_text} {address}");
    }
}

#[test]
fn each_key_of_a_rule_fits_some_flows_and_not_others() {
    let ping = || flow(ICMP, "192.0.2.2:2048", "198.51.100.2:53");
    let zoned = |id, of| Flow {
        zone: Zone { id, of },
        ..connection()
    };
    let marked = |mark| Flow {
        mark,
        ..connection()
    };
    let udp = || flow(UDP, "192.0.2.2:5000", "198.51.100.2:53");
    let v6 = || flow(UDP, "[2001:db8:1::2]:5000", "[2001:db8:2::2]:53");
    let none = Rule::default;
    for (rule, fitting, others) in [
        (
            Rule {
                protocols: vec![UDP, ESP],
                ..none()
            },
            vec![udp(), v6(), flow(ESP, "192.0.2.2:0", "198.51.100.2:0")],
            vec![connection(), ping()],
        ),
        (
            Rule {
                sources: vec![prefix("192.0.2.0/24"), prefix("2001:db8:1::/48")],
                ..none()
            },
            vec![udp(), v6(), translated()],
            vec![flow(UDP, "198.51.100.2:53", "192.0.2.2:5000")],
        ),
        (
            Rule {
                destinations: vec![prefix("203.0.113.1")],
                ..none()
            },
            vec![translated()],
            // its translated destination is no destination of the original direction
            vec![flow(TCP, "192.0.2.2:1", "10.0.0.7:80"), v6()],
        ),
        (
            Rule {
                addresses: vec![prefix("10.0.0.0/8")],
                ..none()
            },
            vec![translated(), flow(TCP, "10.1.1.1:1", "192.0.2.2:80")],
            vec![connection(), v6()],
        ),
        (
            Rule {
                addresses: vec![prefix("198.51.100.1")],
                ..none()
            },
            vec![translated()],
            vec![connection()],
        ),
        (
            Rule {
                ports: vec![53, 80],
                ..none()
            },
            vec![udp(), v6(), connection(), translated()],
            // neither its original source port nor the translated one
            vec![
                flow(UDP, "192.0.2.2:53", "198.51.100.2:5000"),
                flow(UDP, "192.0.2.2:5000", "198.51.100.2:8080"),
                ping(),
                flow(ESP, "192.0.2.2:0", "198.51.100.2:53"),
            ],
        ),
        (
            Rule {
                ports: vec![0],
                ..none()
            },
            vec![flow(GRE, "192.0.2.2:0", "198.51.100.2:0")],
            vec![flow(ESP, "192.0.2.2:0", "198.51.100.2:0")],
        ),
        (
            Rule {
                zones: vec![7, 9],
                ..none()
            },
            vec![zoned(7, Direction::Both), zoned(9, Direction::Original)],
            vec![connection(), zoned(8, Direction::Both)],
        ),
        (
            Rule {
                zones: vec![0],
                ..none()
            },
            vec![connection()],
            vec![zoned(7, Direction::Both)],
        ),
        (
            Rule {
                mark: Some((0x10, 0xf0)),
                ..none()
            },
            vec![marked(0x10), marked(0xff1f)],
            vec![connection(), marked(0x30), marked(0x20)],
        ),
        (
            Rule {
                mark: Some((0, 1)),
                ..none()
            },
            vec![connection(), marked(2)],
            vec![marked(3)],
        ),
        (
            Rule {
                labels: vec![3, 127],
                ..none()
            },
            vec![labelled(&[3]), labelled(&[127, 1])],
            vec![connection(), labelled(&[]), labelled(&[2, 67])],
        ),
        (
            Rule {
                states: vec![(TCP, ESTABLISHED), (SCTP, 4)],
                ..none()
            },
            vec![connection(), in_state(SCTP, 4)],
            vec![in_state(TCP, TIME_WAIT), in_state(SCTP, ESTABLISHED), udp()],
        ),
        (
            // all keys must match
            Rule {
                protocols: vec![UDP],
                ports: vec![53],
                destinations: vec![prefix("198.51.100.0/24")],
                ..none()
            },
            vec![udp()],
            vec![
                v6(),
                flow(TCP, "192.0.2.2:5000", "198.51.100.2:53"),
                flow(UDP, "192.0.2.2:5000", "198.51.100.2:54"),
            ],
        ),
    ] {
        for (flows, fits) in [(fitting, true), (others, false)] {
            for flow in flows {
                assert_eq!(
                    including(rule.clone()).admits(&flow),
                    fits,
                    "{rule:?} {flow:?}"
                );
                assert_eq!(
                    excluding(rule.clone()).admits(&flow),
                    !fits,
                    "{rule:?} {flow:?}"
                );
            }
        }
    }
}

#[test]
fn one_of_several_rules_is_enough() {
    let port = |port| Rule {
        ports: vec![port],
        ..Rule::default()
    };
    let to = |port: u16| flow(TCP, "192.0.2.2:1", &format!("198.51.100.2:{port}"));
    let filter = Filter {
        include: vec![port(80), port(443)],
        exclude: vec![port(443), port(25)],
        ..Filter::default()
    };
    for (number, admitted) in [(80, true), (443, false), (25, false), (22, false)] {
        assert_eq!(filter.admits(&to(number)), admitted, "{number}");
    }
}

#[test]
fn a_bit_of_the_mark_selects() {
    for (bit, mark, admitted) in [
        (30, 0x4000_0000, true),
        (30, u32::MAX, true),
        (30, !0x4000_0000, false),
        (0, 1, true),
        (0, 2, false),
        (31, 1 << 31, true),
    ] {
        let filter = Filter {
            mark_bit: Some(bit),
            ..Filter::default()
        };
        let flow = Flow {
            mark,
            ..connection()
        };
        assert_eq!(filter.admits(&flow), admitted, "{bit} {mark:#x}");
    }
}

#[derive(Debug, PartialEq)]
enum Ends {
    Elsewhere,
    Here,
    /// The router answers a connection to another machine.
    AtProxy,
}

#[test]
fn connections_of_the_router_itself_are_its_own() {
    let plain = Filter {
        own: own(&["192.0.2.1", "198.51.100.1", "2001:db8:1::1"]),
        ..Filter::default()
    };
    let local = Filter {
        local: true,
        ..plain.clone()
    };
    let proxied = Filter {
        proxied: true,
        ..plain.clone()
    };
    let to = |answers: &str, flow: Flow| Flow {
        reply: tuple(TCP, answers, "192.0.2.2:40001"),
        ..flow
    };
    for (flow, ends) in [
        (connection(), Ends::Elsewhere),
        // masqueraded: it ends behind the router
        (translated(), Ends::Elsewhere),
        // to an address of the router, and translated to a server
        (
            to(
                "10.0.0.7:80",
                flow(TCP, "192.0.2.2:40001", "198.51.100.1:8080"),
            ),
            Ends::Elsewhere,
        ),
        (flow(TCP, "192.0.2.2:1", "192.0.2.1:22"), Ends::Here),
        // to another port of the router
        (
            to(
                "192.0.2.1:22",
                flow(TCP, "192.0.2.2:40001", "192.0.2.1:2222"),
            ),
            Ends::Here,
        ),
        (flow(UDP, "198.51.100.1:1", "198.51.100.2:53"), Ends::Here),
        (
            flow(TCP, "[2001:db8:1::2]:1", "[2001:db8:1::1]:22"),
            Ends::Here,
        ),
        (flow(UDP, "0.0.0.0:68", "255.255.255.255:67"), Ends::Here),
        (flow(UDP, "192.0.2.2:1", "239.1.1.1:1"), Ends::Here),
        (flow(UDP, "[2001:db8:1::2]:1", "[ff0e::1]:1"), Ends::Here),
        (to("192.0.2.1:3128", connection()), Ends::AtProxy),
    ] {
        assert_eq!(plain.admits(&flow), ends == Ends::Elsewhere, "{flow:?}");
        assert_eq!(local.admits(&flow), ends != Ends::AtProxy, "{flow:?}");
        assert_eq!(proxied.admits(&flow), ends != Ends::Here, "{flow:?}");
    }
}

/// An event of an admitted flow lacks unchanged labels and the state of SCTP.
#[test]
fn an_event_ends_what_it_excludes_now() {
    let rule = |states: &[(u8, u8)], labels: &[u8]| Rule {
        states: states.to_vec(),
        labels: labels.to_vec(),
        ..Rule::default()
    };
    let time_wait = rule(&[(TCP, TIME_WAIT)], &[]);
    let label = rule(&[], &[3]);
    let silent = Flow {
        tcp: None,
        ..connection()
    };
    let marked = Filter {
        mark_bit: Some(30),
        ..Filter::default()
    };
    for (filter, flow, known, admitted) in [
        (
            excluding(time_wait.clone()),
            in_state(TCP, TIME_WAIT),
            ESTABLISHED,
            false,
        ),
        (
            excluding(time_wait.clone()),
            in_state(TCP, ESTABLISHED),
            TIME_WAIT,
            true,
        ),
        (
            excluding(time_wait.clone()),
            silent.clone(),
            ESTABLISHED,
            true,
        ),
        (
            excluding(time_wait.clone()),
            silent.clone(),
            TIME_WAIT,
            false,
        ),
        (
            including(rule(&[(TCP, ESTABLISHED)], &[])),
            silent,
            ESTABLISHED,
            true,
        ),
        (excluding(label.clone()), connection(), ESTABLISHED, true),
        (excluding(label.clone()), labelled(&[3]), ESTABLISHED, false),
        (including(label.clone()), connection(), ESTABLISHED, true),
        (including(label.clone()), labelled(&[4]), ESTABLISHED, false),
        (
            including(label.clone()),
            labelled(&[3, 4]),
            ESTABLISHED,
            true,
        ),
        // labels in the event count, whatever they were before
        (
            excluding(Rule {
                ports: vec![80],
                ..label.clone()
            }),
            connection(),
            ESTABLISHED,
            true,
        ),
        (
            Filter {
                include: vec![label.clone()],
                exclude: vec![time_wait],
                ..Filter::default()
            },
            in_state(TCP, TIME_WAIT),
            ESTABLISHED,
            false,
        ),
        (
            including(Rule {
                mark: Some((1, 1)),
                ..label.clone()
            }),
            connection(),
            ESTABLISHED,
            false,
        ),
        (
            Filter {
                include: vec![label],
                ..marked.clone()
            },
            connection(),
            ESTABLISHED,
            false,
        ),
        (marked, connection(), ESTABLISHED, false),
    ] {
        assert_eq!(
            filter.still_admits(&flow, known),
            admitted,
            "{filter:?} {flow:?}"
        );
    }
}

#[test]
fn what_is_refused_has_its_reason() {
    let rule = |port| Rule {
        ports: vec![port],
        ..Rule::default()
    };
    let excluding = Filter {
        exclude: vec![rule(22), rule(80)],
        ..Filter::default()
    };
    let flow = connection();
    assert_eq!(excluding.refusal(&flow), Some(Refusal::Excluded(1)));
    assert_eq!(excluding.exclude[1].keys(), ["port"]);
    assert_eq!(
        including(rule(22)).refusal(&flow),
        Some(Refusal::NotIncluded)
    );
    assert_eq!(including(rule(80)).refusal(&flow), None);
    let marked = Filter {
        mark_bit: Some(30),
        ..Filter::default()
    };
    assert_eq!(marked.refusal(&flow), Some(Refusal::Unmarked(30)));
    for (address, wanted) in [
        ("192.0.2.2", Some(Refusal::Local)),
        ("198.51.100.2", Some(Refusal::Local)),
        ("203.0.113.9", None),
    ] {
        let filter = Filter {
            own: own(&[address]),
            ..Filter::default()
        };
        assert_eq!(filter.refusal(&flow), wanted, "{address}");
    }
    let proxied = Filter {
        own: own(&["10.0.0.7"]),
        ..Filter::default()
    };
    assert_eq!(proxied.refusal(&translated()), Some(Refusal::Proxied));
}
