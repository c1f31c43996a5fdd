use proptest::prelude::*;

use super::*;
use crate::flow::samples::{PASSED_ON, any_flow, bytes, connection, extra, flow, tuple};
use crate::flow::{DCCP, Direction, ICMP, SCTP, TCP, UDP, status};

const PROTOINFO: u16 = 4;
const TIMEOUT: u16 = 7;
const LABELS: u16 = 22;

// Established TCP connection with 432000 s left.
const PLAIN: &str = "40 06  c0000202 c6336402  9c41 0050  06  81af1a  03 a7 23 23";

fn encoded(kind: Kind, flow: &Flow) -> Vec<u8> {
    let mut out = Vec::new();
    record(&mut out, kind, flow);
    out
}

/// Decodes records; None for each malformed one.
fn decoded(bytes: &[u8]) -> Vec<Option<(Kind, Flow)>> {
    records(bytes).map(Result::ok).collect()
}

// ---- messages

#[test]
fn each_kind_of_message_is_these_bytes() {
    let plain = bytes(PLAIN);
    let hashes = bytes("0102030405060708 1112131415161718");
    // family, then the expected tuple
    let request = bytes("02000000 0c000280 08000100 c6336402");
    let v4 = (false, connection().original.source);
    let v6 = (true, tuple(UDP, "[2001:db8::1]:1", "[::]:1").source);
    for (message, hex) in [
        (
            Message::Changes {
                age_us: 1500,
                records: &plain,
            },
            format!("80 000005dc {PLAIN}").as_str(),
        ),
        (
            Message::Resync {
                number: 7,
                lease_s: 120,
                serial: 3,
            },
            "81 07 00000078 00000003",
        ),
        (
            Message::Alive(&hashes),
            "82 0102030405060708 1112131415161718",
        ),
        (
            Message::Resynced {
                number: 7,
                flows: 200_000,
            },
            "83 07 00030d40",
        ),
        (
            Message::Missing(&hashes),
            "84 0102030405060708 1112131415161718",
        ),
        (
            Message::Expect {
                yes: true,
                request: &request,
            },
            "85 01 02000000 0c000280 08000100 c6336402",
        ),
        (
            Message::Addresses(vec![v4, v6]),
            "86 04 c0000202 10 20010db8000000000000000000000001",
        ),
        (
            Message::Pulse {
                flows: 18_204,
                has_lost_events: true,
            },
            "87 0000471c 01",
        ),
        (Message::Compare { id: 3 }, "88 00000003"),
        (
            Message::Compared {
                id: 3,
                records: &plain,
            },
            format!("89 00000003 {PLAIN}").as_str(),
        ),
        (Message::End { id: 3 }, "8a 00000003"),
        (Message::Holds(vec![v4]), "8b 04 c0000202"),
    ] {
        let expected = bytes(hex);
        assert_eq!(message.encode(), expected, "{message:?}");
        assert_eq!(Message::decode(&expected), Ok(message));
    }
}

#[test]
fn what_is_begun_is_what_is_encoded() {
    let plain = bytes(PLAIN);
    let mut changes = Vec::new();
    begin_changes(&mut changes, 6);
    record(&mut changes, Kind::Whole, &connection());
    let message = Message::Changes {
        age_us: 6,
        records: &plain,
    };
    assert_eq!(changes, message.encode());

    let mut compared = Vec::new();
    begin_compared(&mut compared, 7);
    record(&mut compared, Kind::Whole, &connection());
    let message = Message::Compared {
        id: 7,
        records: &plain,
    };
    assert_eq!(compared, message.encode());
}

#[test]
fn every_truncated_message_is_refused() {
    for hex in [
        "81 07 00000078 00000003",
        "83 07 00030d40",
        "87 0000471c 01",
        "88 00000003",
        "8a 00000003",
    ] {
        let whole = bytes(hex);
        for length in 0..whole.len() {
            let cut = Message::decode(&whole[..length]);
            assert_eq!(cut, Err(Malformed::Short), "{length} of {hex}");
        }
        let longer = [whole, vec![0]].concat();
        assert_eq!(Message::decode(&longer), Err(Malformed::Long), "{hex} 00");
    }
}

#[test]
fn messages_that_cannot_be_are_refused() {
    for (hex, why) in [
        ("", "nothing"),
        ("00", "no kind"),
        ("01", "one of the session's"),
        ("8c", "a kind that is not known"),
        ("80 0000", "without its age"),
        ("82 01020304050607", "half a hash"),
        ("84 0102030405060708 11", "a hash and a bit"),
        (
            "85 02 02000000 0c000280 08000100 c6336402",
            "neither yes nor no",
        ),
        ("85 01 02000000", "an expectation of nothing"),
        (
            "85 01 01000000 0c000280 08000100 c6336402",
            "no family of IP's",
        ),
        ("85 01 02000000 08000500 00000001", "an expectation's id"),
        ("85 01 02000000 0c000280 08000100 c63364", "cut off"),
        ("86 05 c0000202 01", "an address of five bytes"),
        ("86 10 c0000202", "an address that is cut off"),
        ("89 0000", "half an id"),
    ] {
        assert!(Message::decode(&bytes(hex)).is_err(), "{why}: {hex}");
    }
}

#[test]
fn addresses_have_a_limit_that_a_message_holds() {
    let longest = Message::Holds(vec![(true, [6; 16]); ADDRESSES_MAX]).encode();
    assert!((MESSAGE_BYTES - 17..=MESSAGE_BYTES).contains(&longest.len()));
    let one = (false, connection().original.source);
    let sent = Message::Addresses(vec![one; ADDRESSES_MAX + 1]).encode();
    let Ok(Message::Addresses(taken)) = Message::decode(&sent) else {
        panic!("{sent:?}");
    };
    assert_eq!(taken.len(), ADDRESSES_MAX);
    let more = [sent, bytes("04 c0000202")].concat();
    assert_eq!(Message::decode(&more), Err(Malformed::Long));
}

#[test]
fn hashes_are_told_one_by_one() {
    let told: Vec<u64> = hashes(&bytes("0102030405060708 0000000000000009")).collect();
    assert_eq!(told, [0x0102_0304_0506_0708, 9]);
}

// ---- records

#[test]
fn each_kind_of_record_is_these_bytes() {
    let translated = Flow {
        reply: tuple(TCP, "198.51.100.2:80", "198.51.100.1:1024"),
        mark: 0x10,
        ..connection()
    };
    let labelled = Flow {
        zone: Zone {
            id: 9,
            of: Direction::Original,
        },
        status: status::FIXED_TIMEOUT,
        timeout_s: None,
        extra: extra(&[(LABELS, &[8, 0, 0, 0, 0, 0, 0, 0])]),
        ..flow(UDP, "[2001:db8:1::2]:5000", "[2001:db8:2::2]:53")
    };
    let in_zone = Flow {
        zone: Zone {
            id: 7,
            of: Direction::Both,
        },
        ..connection()
    };
    let ping = Flow {
        timeout_s: Some(30),
        ..flow(ICMP, "192.0.2.2:2048", "198.51.100.2:31476")
    };
    for (kind, flow, hex) in [
        (Kind::Whole, connection(), PLAIN.to_owned()),
        (
            Kind::Whole,
            translated,
            "68 06  c0000202 c6336402 9c41 0050  c6336402 c6336401 0050 0400 \
             06 81af1a  00000010  03 a7 23 23"
                .to_owned(),
        ),
        (
            Kind::Part,
            ping,
            "01 01  c0000202 c6336402  0800 7af4  06  1f".to_owned(),
        ),
        (
            Kind::Gone(Why::Deleted),
            in_zone,
            "12 06  c0000202 c6336402  9c41 0050  00 0007  02".to_owned(),
        ),
        (
            Kind::Gone(Why::Closed),
            Flow {
                incarnation: 5,
                ..connection()
            },
            "02 06  c0000202 c6336402  9c41 0050  51".to_owned(),
        ),
        (
            Kind::Whole,
            Flow {
                incarnation: 3,
                ..connection()
            },
            "40 06  c0000202 c6336402  9c41 0050  36  81af1a  03 a7 23 23".to_owned(),
        ),
        (
            Kind::Whole,
            Flow {
                timeout_s: Some(40),
                policy_timeout_s: 77,
                ..connection()
            },
            "40 06  c0000202 c6336402  9c41 0050  86  29 4d  03 a7 23 23".to_owned(),
        ),
        (
            Kind::Whole,
            labelled,
            "94 11  20010db8000100000000000000000002 20010db8000200000000000000000002  1388 0035 \
             01 0009  08 00  000c 0c001600 0800000000000000"
                .to_owned(),
        ),
    ] {
        assert_eq!(encoded(kind, &flow), bytes(&hex), "{flow:?}");
    }
    assert_eq!(
        decoded(&bytes(PLAIN)),
        [Some((Kind::Whole, connection()))],
        "{PLAIN}"
    );
}

#[test]
fn a_plain_tcp_flow_over_ipv4_takes_at_most_26_bytes() {
    for timeout_s in [None, Some(0), Some(300), Some(432_000), Some(u32::MAX)] {
        let flow = Flow {
            timeout_s,
            ..connection()
        };
        let length = encoded(Kind::Whole, &flow).len();
        assert!((20..=26).contains(&length), "{timeout_s:?}: {length}");
    }
    assert_eq!(encoded(Kind::Whole, &connection()).len(), 22);
}

#[test]
fn the_largest_record_is_as_large_as_is_said() {
    let largest = Flow {
        reply: tuple(TCP, "[2001:db8::9]:1", "[2001:db8::8]:1"),
        zone: Zone {
            id: 1,
            of: Direction::Both,
        },
        timeout_s: Some(u32::MAX),
        mark: 1,
        extra: extra(&[(LABELS, &[0; EXTRA_BYTES_MAX - 4])]),
        ..flow(TCP, "[2001:db8::1]:1", "[2001:db8::2]:2")
    };
    let bytes = encoded(Kind::Whole, &largest);
    assert!(bytes.len() <= RECORD_BYTES_MAX, "{}", bytes.len());
    assert!(bytes.len() > EXTRA_BYTES_MAX);
}

#[test]
fn attributes_that_do_not_fit_stay_here() {
    let flow = Flow {
        extra: extra(&[(LABELS, &[0; EXTRA_BYTES_MAX])]),
        ..connection()
    };
    assert_eq!(encoded(Kind::Whole, &flow), bytes(PLAIN));
}

#[test]
fn every_truncated_record_is_refused() {
    let flow = Flow {
        zone: Zone {
            id: 1,
            of: Direction::Reply,
        },
        reply: tuple(TCP, "[2001:db8::9]:1", "[2001:db8::8]:1"),
        mark: 1,
        extra: extra(&[(LABELS, &[1; 16])]),
        ..flow(TCP, "[2001:db8::1]:1", "[2001:db8::2]:2")
    };
    for kind in [Kind::Whole, Kind::Gone(Why::Closed)] {
        let whole = encoded(kind, &flow);
        for length in 1..whole.len() {
            assert_eq!(decoded(&whole[..length]), [None], "{length}");
        }
    }
}

#[test]
fn what_comes_after_a_malformed_record_is_not_looked_at() {
    let three = [bytes(PLAIN), bytes("03 06"), bytes(PLAIN)].concat();
    assert_eq!(decoded(&three), [Some((Kind::Whole, connection())), None]);
    assert_eq!(decoded(&[]), []);
}

#[test]
fn records_that_cannot_be_are_refused() {
    for (hex, why) in [
        (
            "03 06 c0000202 c6336402 9c41 0050 06 81af1a",
            "no kind of record",
        ),
        (
            "02 06 c0000202 c6336402 9c41 0050 03",
            "no reason to be gone",
        ),
        (
            "02 06 c0000202 c6336402 9c41 0050 80",
            "an incarnation of more than three bits",
        ),
        (
            "40 06 c0000202 c6336402 9c41 0050 86 81af1a 03 a7 23 23",
            "a timeout by a policy that is missing",
        ),
        (
            "40 06 c0000202 c6336402 9c41 0050 86 81af1a 00 03 a7 23 23",
            "a timeout by a policy that is none",
        ),
        ("02 00 c0000202 c6336402 9c41 0050", "no protocol"),
        (
            "09 11 c0000202 c6336402 9c41 0050 c6336402 c0000202 0050 9c41 06 1f",
            "a part with a translation",
        ),
        (
            "22 11 c0000202 c6336402 9c41 0050 00",
            "a mark of what is gone",
        ),
        (
            "12 06 c0000202 c6336402 9c41 0050 03 0007 00",
            "no direction of a zone",
        ),
        (
            "00 06 c0000202 c6336402 9c41 0050 06 81af1a",
            "TCP without its state",
        ),
        (
            "40 11 c0000202 c6336402 9c41 0035 06 1f 03 a7 23 23",
            "TCP's state of another protocol",
        ),
        (
            "00 11 c0000202 c6336402 9c41 0035 06 ffffffff1f",
            "a time of more than 32 bits",
        ),
        (
            "00 11 c0000202 c6336402 9c41 0035 06 808080808000",
            "a time of six bytes",
        ),
        (
            "80 11 c0000202 c6336402 9c41 0035 06 1f 0000 00",
            "something behind no attributes",
        ),
    ] {
        let found = decoded(&bytes(hex));
        assert_eq!(found.last(), Some(&None), "{why}: {hex}");
    }
}

#[test]
fn only_attributes_that_a_peer_may_set_are_taken() {
    let taken = |protocol: u8, extra: Vec<u8>| {
        let flow = Flow {
            extra,
            ..flow(protocol, "192.0.2.2:1", "198.51.100.2:2")
        };
        decoded(&encoded(Kind::Whole, &flow)) == [Some((Kind::Whole, flow))]
    };
    for kind in PASSED_ON {
        assert!(taken(TCP, extra(&[(kind, &[1; 8])])), "{kind}");
    }
    for (protocol, fits) in [(SCTP, true), (DCCP, true), (TCP, false), (UDP, false)] {
        let attributes = extra(&[(PROTOINFO, &[1; 8])]);
        assert_eq!(taken(protocol, attributes), fits, "{protocol}");
    }
    // tuples, status, translations, time, mark, counters, use, id, zone, time stamps, ...
    let others = (0..64).filter(|kind| !PASSED_ON.contains(kind));
    for kind in others {
        assert!(!taken(UDP, extra(&[(kind, &[1; 8])])), "{kind}");
        let hidden = extra(&[(LABELS, &[1; 16]), (kind, &[1; 8])]);
        assert!(!taken(UDP, hidden), "{kind} after labels");
    }
    let nested = extra(&[(TIMEOUT | 0x8000, &[1; 8])]);
    assert!(!taken(UDP, nested), "whatever its flags");
}

#[test]
fn the_state_of_sctp_and_dccp_is_among_the_attributes() {
    let nested = |kind: u16, state: u8| extra(&[(kind, &extra(&[(1, &[state])]))]);
    for (protocol, kind, state) in [(SCTP, 3, Some(4)), (DCCP, 2, Some(4)), (SCTP, 2, None)] {
        let flow = Flow {
            state,
            extra: extra(&[(PROTOINFO, &nested(kind, 4))]),
            ..flow(protocol, "192.0.2.2:1", "198.51.100.2:2")
        };
        let bytes = encoded(Kind::Whole, &flow);
        assert_eq!(decoded(&bytes), [Some((Kind::Whole, flow))]);
    }
}

#[test]
fn attributes_that_end_before_they_say_are_refused() {
    for attributes in [
        "0c00 1600 01000000",
        "0300 1600",
        "0800 1600 01000000 00",
        "0700 1600 010000",
        "0800 1600 01000000 00000000",
    ] {
        let attributes = bytes(attributes);
        let mut record = bytes("80 11 c0000202 c6336402 9c41 0035 06 1f");
        record.extend((attributes.len() as u16).to_be_bytes());
        record.extend(&attributes);
        assert_eq!(decoded(&record), [None], "{attributes:x?}");
    }
}

#[test]
fn more_attributes_than_a_record_may_have_are_refused() {
    let attributes = extra(&[(LABELS, &[0; EXTRA_BYTES_MAX])]);
    let mut record = bytes("80 11 c0000202 c6336402 9c41 0035 06 1f");
    record.extend((attributes.len() as u16).to_be_bytes());
    record.extend(&attributes);
    assert_eq!(decoded(&record), [None]);
}

// ---- any

fn any_why() -> impl Strategy<Value = Why> {
    prop_oneof![Just(Why::Ended), Just(Why::Closed), Just(Why::Deleted)]
}

proptest! {
    #[test]
    fn every_flow_comes_back(list in prop::collection::vec(any_flow(), 1..5)) {
        let mut out = Vec::new();
        for flow in &list {
            record(&mut out, Kind::Whole, flow);
        }
        prop_assert!(out.len() <= list.len() * RECORD_BYTES_MAX);
        let expected: Vec<_> = list.into_iter().map(|flow| Some((Kind::Whole, flow))).collect();
        prop_assert_eq!(decoded(&out), expected);
    }

    #[test]
    fn a_part_comes_back_without_its_translation(flow in any_flow()) {
        let part = Flow { reply: flow.original.inverse(), ..flow.clone() };
        prop_assert_eq!(decoded(&encoded(Kind::Part, &flow)), [Some((Kind::Part, part))]);
    }

    #[test]
    fn a_flow_that_is_gone_comes_back_by_its_name(flow in any_flow(), why in any_why()) {
        let Flow { original, zone, incarnation, .. } = flow;
        let gone = Flow { original, zone, incarnation, ..Flow::default() };
        let kind = Kind::Gone(why);
        prop_assert_eq!(decoded(&encoded(kind, &flow)), [Some((kind, gone))]);
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), kind in 0u8..16) {
        let bytes = [vec![kind], bytes].concat();
        let _ = Message::decode(&bytes);
        let _ = decoded(&bytes);
    }

    #[test]
    fn no_changed_byte_panics(flow in any_flow(), at in any::<prop::sample::Index>(), byte: u8) {
        let mut bytes = encoded(Kind::Whole, &flow);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = decoded(&bytes);
    }
}
