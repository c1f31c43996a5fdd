//! Tests with the kernel's bytes, as it sends them and as it expects them.

mod recorded;
mod requests;

use proptest::prelude::*;
use spared_netlink::attributes;

use super::*;
use crate::flow::samples::{any_flow, bytes, connection, extra, flow, tuple};
use crate::flow::{Direction, Flow, ICMP, TCP, Tcp, UDP, Zone, status};
use recorded::{
    DESTROY, DUMPED_CHILD, DUMPED_FTP, DUMPED_SCTP, EXPECTED, NEW, NEW_IN_ZONE,
    NEW_IN_ZONE_OF_ORIGINAL, NEW_LABELLED, NEW_PING, RECORDED, STATISTICS, UPDATE, UPDATE_MARKED,
};
use requests::created;

/// Status bits of a masqueraded flow, as the kernel sets them, and confirmed.
const MASQUERADED: u32 = 0x198;
const PLAIN: u32 = 0x188;

fn masqueraded() -> Flow {
    Flow {
        reply: tuple(TCP, "198.51.100.2:80", "198.51.100.1:40001"),
        ..connection()
    }
}

fn begun() -> Option<Tcp> {
    Some(Tcp {
        state: 1,
        scales: [10, 0],
        flags: [3, 0],
    })
}

fn established() -> Option<Tcp> {
    Some(Tcp {
        state: 3,
        scales: [10, 10],
        flags: [0x23, 0x23],
    })
}

#[test]
fn what_the_kernel_says_is_read() {
    let labelled = Flow {
        status: PLAIN,
        timeout_s: Some(2),
        mark: 0x10,
        extra: bytes("14001600 08000000 00000000 00000000 00000000"),
        ..flow(UDP, "192.0.2.2:40005", "198.51.100.2:53")
    };
    let cases = [
        (
            NEW,
            Flow {
                status: MASQUERADED,
                timeout_s: Some(120),
                tcp: begun(),
                ..masqueraded()
            },
        ),
        (
            UPDATE,
            Flow {
                status: MASQUERADED | status::SEEN_REPLY | status::ASSURED,
                tcp: established(),
                ..masqueraded()
            },
        ),
        (
            DESTROY,
            Flow {
                status: MASQUERADED | status::SEEN_REPLY | status::ASSURED | status::DYING,
                timeout_s: None,
                tcp: Some(Tcp {
                    state: 7,
                    ..Tcp::default()
                }),
                ..masqueraded()
            },
        ),
        (
            NEW_IN_ZONE,
            Flow {
                zone: Zone {
                    id: 7,
                    of: Direction::Both,
                },
                status: PLAIN,
                timeout_s: Some(120),
                tcp: begun(),
                ..flow(TCP, "[2001:db8:1::2]:40003", "[2001:db8:2::2]:7007")
            },
        ),
        (
            NEW_IN_ZONE_OF_ORIGINAL,
            Flow {
                zone: Zone {
                    id: 9,
                    of: Direction::Original,
                },
                status: PLAIN,
                timeout_s: Some(120),
                tcp: begun(),
                ..flow(TCP, "192.0.2.2:40004", "198.51.100.2:7008")
            },
        ),
        (NEW_LABELLED, labelled.clone()),
        (
            UPDATE_MARKED,
            Flow {
                status: PLAIN | status::SEEN_REPLY,
                extra: Vec::new(),
                ..labelled
            },
        ),
        (
            NEW_PING,
            Flow {
                // type 8 and code 0, answered by type 0, with the same id
                reply: tuple(ICMP, "198.51.100.2:0", "198.51.100.1:31476"),
                status: MASQUERADED,
                timeout_s: Some(1),
                ..flow(ICMP, "192.0.2.2:2048", "198.51.100.2:31476")
            },
        ),
        (
            DUMPED_SCTP,
            Flow {
                status: 8,
                timeout_s: Some(37),
                state: Some(4),
                extra: bytes(
                    "20000400 1c000380 05000100 04000000 08000200 00000000 08000300 00000000",
                ),
                ..flow(SCTP, "192.0.2.2:5000", "198.51.100.2:6000")
            },
        ),
    ];
    for (hex, flow) in cases {
        assert_eq!(parse::flow(&bytes(hex)), Some(flow), "{hex}");
    }
}

#[test]
fn a_helper_its_child_and_what_it_rewrote_are_read() {
    let master = parse::flow(&bytes(DUMPED_FTP)).expect("a flow");
    let expected = "0c000500 08000100 66747000
        1c000f00 08000100 10ff8da1 08000200 00000000 08000300 00000003
        1c001000 08000100 00000000 08000200 00000000 08000300 00000000";
    assert_eq!(master.extra, bytes(expected));
    assert!(master.is_source_translated() && !master.is_destination_translated());

    let child = parse::flow(&bytes(DUMPED_CHILD)).expect("a flow");
    let expected = "34000e00 14000180 08000100 c0000202 08000200 c6336402
        1c000280 05000100 06000000 06000200 9c5a0000 06000300 00150000";
    assert_eq!(child.extra, bytes(expected));
    assert!(child.is_destination_translated() && !child.is_source_translated());
    assert_ne!(child.status & status::EXPECTED, 0);
}

#[test]
fn the_numbers_of_a_syn_proxy_are_passed_on_where_it_has_some() {
    let proxied = |numbers: &str| {
        let message = [&bytes(UPDATE)[..], &bytes(numbers)].concat();
        parse::flow(&message).expect("a flow").extra
    };
    let none = "1c001880 08000100 00000000 08000200 00000000 08000300 00000000";
    assert!(proxied(none).is_empty());
    let some = "1c001880 08000100 00000000 08000200 00000000 08000300 00000001";
    assert_eq!(proxied(some), bytes(&some.replace("1880", "1800")));
}

/// An offloaded flow has neither a time nor TCP's state.
#[test]
fn what_is_not_said_is_not_made_up() {
    let short = bytes(UPDATE)[..4 + 0x34 * 2 + 16].to_vec();
    let flow = parse::flow(&short).expect("a flow");
    assert_eq!((flow.timeout_s, flow.tcp), (None, None));
}

#[test]
fn what_is_no_flow_of_ip_is_passed_over() {
    let mut arp = bytes(UPDATE);
    arp[0] = 3;
    assert_eq!(parse::flow(&arp), None);
    assert_eq!(parse::flow(&[]), None);
    // a tuple without a protocol
    assert_eq!(parse::flow(&bytes("02000000 04000180")), None);
}

#[test]
fn the_kernel_s_counts_are_read() {
    assert_eq!(parse::counts(&bytes(STATISTICS)), Some((7, 0x80000)));
    assert_eq!(
        parse::counts(&bytes("00000000  08000100 00000007")),
        Some((7, 0))
    );
    assert_eq!(parse::counts(&bytes("00000000")), None);
}

// ---- expectations

#[test]
fn an_expectation_is_passed_on_without_its_id() {
    let request = expectation::request(&bytes(EXPECTED)).expect("an expectation");
    assert!(expectation::is_valid(&request));
    let kinds: Vec<u16> = attributes(&request[4..]).map(|(kind, _)| kind).collect();
    assert_eq!(kinds, [2, 3, 1, 10, 4, 8, 9, 6, 11]);
    let tuples = |payload: &[u8]| {
        let values = attributes(&payload[4..]).filter(|(kind, _)| *kind == c::CTA_EXPECT_TUPLE);
        values.map(|(_, value)| value.to_vec()).collect::<Vec<_>>()
    };
    assert_eq!(tuples(&request), tuples(&bytes(EXPECTED)));
}

#[test]
fn a_peer_s_expectation_is_one_that_this_node_would_send() {
    let request = expectation::request(&bytes(EXPECTED)).expect("an expectation");
    for (hex, why) in [
        (EXPECTED, "it has an id"),
        ("02000000", "it expects nothing"),
        ("03000000 34000280", "no family of IP's"),
        ("02000000 0800", "half an attribute"),
        ("02000000 0800 0400 00000001 00", "something behind it"),
    ] {
        assert!(!expectation::is_valid(&bytes(hex)), "{why}");
    }
    assert!(!expectation::is_valid(&request[..request.len() - 1]));
}

// ---- any

proptest! {
    #[test]
    fn what_is_created_is_read_again(flow in any_flow()) {
        let read = parse::flow(&created(&flow, 60)).expect("a flow");
        let mut original = flow.original;
        if !original.has_ports() && !original.is_icmp() {
            original.ports = [0; 4];
        }
        prop_assert_eq!(read.original, original);
        prop_assert_eq!(read.timeout_s, Some(60));
        prop_assert_eq!(read.mark, flow.mark);
        if flow.zone.id != 0 {
            prop_assert_eq!(read.zone, flow.zone);
        }
        prop_assert_eq!(read.tcp.map(|tcp| tcp.state), flow.tcp.map(|tcp| tcp.state));
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        read_all(&bytes);
    }

    #[test]
    fn no_changed_byte_panics(
        recorded in prop::sample::select(&RECORDED[..]),
        at in any::<prop::sample::Index>(),
        end in any::<prop::sample::Index>(),
        byte: u8,
    ) {
        let mut message = bytes(recorded);
        let at = at.index(message.len());
        message[at] = byte;
        read_all(&message);
        read_all(&message[..end.index(message.len())]);
    }
}

fn read_all(bytes: &[u8]) {
    if let Some(flow) = parse::flow(bytes) {
        let _ = created(&flow, 1);
        let _ = flow.original.to_string();
    }
    let _ = parse::counts(bytes);
    if let Some(request) = expectation::request(bytes) {
        let _ = expectation::is_valid(&request);
    }
    let _ = expectation::is_valid(bytes);
}

#[test]
fn an_offloaded_flow_that_says_neither_state_nor_time_is_an_established_one() {
    let flow = connection();
    let mut said = Vec::new();
    build::name(&mut said, &flow);
    parse::attribute(
        2,
        &attributes(&requests::created(&flow, 1)[4..])
            .find(|(kind, _)| *kind == 2)
            .map(|(_, it)| it.to_vec())
            .unwrap_or_default(),
        &mut said,
    );
    parse::attribute(3, &(status::OFFLOAD | 8).to_be_bytes(), &mut said);
    let parsed = parse::flow(&said).expect("a flow");
    assert_eq!(parsed.timeout_s, None);
    assert_eq!(parsed.tcp.map(|tcp| tcp.state), Some(3));
    // the peer accepts a whole record of it
    let mut record = Vec::new();
    crate::wire::record(&mut record, crate::wire::Kind::Whole, &parsed);
    assert!(crate::wire::records(&record).all(|it| it.is_ok()));
}
