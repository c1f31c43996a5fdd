//! Requests to the kernel.

use super::recorded::{DUMPED_FTP, NEW_PING};
use super::*;

fn built(build: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    build(&mut out);
    out
}

pub fn created(flow: &Flow, timeout_s: u32) -> Vec<u8> {
    built(|out| build::create(out, flow, timeout_s))
}

#[test]
fn a_flow_is_created_from_its_plain_inverse() {
    let flow = Flow {
        zone: Zone {
            id: 7,
            of: Direction::Both,
        },
        mark: 0x10,
        ..connection()
    };
    let expected = "
        02000000
        34000180 14000180 08000100 c0000202 08000200 c6336402
                 1c000280 05000100 06000000 06000200 9c410000 06000300 00500000
        34000280 14000180 08000100 c6336402 08000200 c0000202
                 1c000280 05000100 06000000 06000200 00500000 06000300 9c410000
        06001200 00070000  08000300 0000000e  08000700 00000078  08000800 00000010
        30000480 2c000180 05000100 03000000 05000200 0a000000 05000300 07000000
                          06000400 0b0f0000 06000500 0b0f0000";
    assert_eq!(created(&flow, 120), bytes(expected));
}

#[test]
fn a_translation_stands_beside_the_plain_inverse() {
    for (what, flow, translations) in [
        (
            "masqueraded",
            masqueraded(),
            "28000680 08000100 c6336401 08000200 c6336401 14000380 06000100 9c410000 06000200 9c410000",
        ),
        (
            "its port, too",
            Flow {
                reply: tuple(TCP, "198.51.100.2:80", "198.51.100.1:1024"),
                ..connection()
            },
            "28000680 08000100 c6336401 08000200 c6336401 14000380 06000100 04000000 06000200 04000000",
        ),
        (
            "only its port",
            Flow {
                reply: tuple(TCP, "198.51.100.2:80", "192.0.2.2:1024"),
                ..connection()
            },
            "28000680 08000100 c0000202 08000200 c0000202 14000380 06000100 04000000 06000200 04000000",
        ),
        (
            "its destination",
            Flow {
                reply: tuple(TCP, "198.51.100.9:8080", "192.0.2.2:40001"),
                ..connection()
            },
            "28000d80 08000100 c6336409 08000200 c6336409 14000380 06000100 1f900000 06000200 1f900000",
        ),
        (
            "both",
            Flow {
                reply: tuple(TCP, "198.51.100.9:80", "198.51.100.1:40001"),
                ..connection()
            },
            "28000680 08000100 c6336401 08000200 c6336401 14000380 06000100 9c410000 06000200 9c410000
             28000d80 08000100 c6336409 08000200 c6336409 14000380 06000100 00500000 06000200 00500000",
        ),
        (
            "a ping, by its id",
            parse::flow(&bytes(NEW_PING)).expect("a flow"),
            "28000680 08000100 c6336401 08000200 c6336401 14000380 06000100 7af40000 06000200 7af40000",
        ),
        (
            "a protocol without ports",
            Flow {
                reply: tuple(4, "198.51.100.2:0", "198.51.100.1:0"),
                ..flow(4, "192.0.2.2:0", "198.51.100.2:0")
            },
            "14000680 08000100 c6336401 08000200 c6336401",
        ),
        (
            "IPv6",
            Flow {
                reply: tuple(UDP, "[2001:db8::2]:53", "[2001:db8::9]:5"),
                ..flow(UDP, "[2001:db8::1]:5", "[2001:db8::2]:53")
            },
            "40000680 14000400 20010db8 00000000 00000000 00000009
                      14000500 20010db8 00000000 00000000 00000009
                      14000380 06000100 00050000 06000200 00050000",
        ),
    ] {
        let plain = Flow {
            reply: flow.original.inverse(),
            ..flow.clone()
        };
        let expected = [created(&plain, 60), bytes(translations)].concat();
        assert_eq!(created(&flow, 60), expected, "{what}");
    }
}

#[test]
fn attributes_are_created_as_they_were_read() {
    let flow = parse::flow(&bytes(DUMPED_FTP)).expect("a flow");
    assert!(created(&flow, 60).ends_with(&flow.extra));
}

#[test]
fn only_what_the_kernel_lets_set_is_set_of_a_status() {
    let created = |bits: u32| {
        let flow = Flow {
            status: bits,
            ..connection()
        };
        let read = parse::flow(&created(&flow, 60)).expect("a flow");
        read.status
    };
    let updated = |bits: u32| {
        let flow = Flow {
            status: bits,
            ..connection()
        };
        let bytes = built(|out| build::update(out, &flow, None, true));
        parse::flow(&bytes).expect("a flow").status
    };
    let settable = status::SEEN_REPLY | status::ASSURED | status::FIXED_TIMEOUT;
    assert_eq!(created(u32::MAX), settable | 8);
    assert_eq!(created(0), 8);
    // the kernel refuses another value of this bit, and sets it for a child itself
    assert_eq!(updated(u32::MAX), settable | status::EXPECTED | 8);
}

#[test]
fn tcp_is_liberal_and_windows_are_left_out() {
    let flow = Flow {
        tcp: Some(Tcp {
            flags: [0xff, 0],
            ..connection().tcp.expect("TCP")
        }),
        ..connection()
    };
    let read = parse::flow(&created(&flow, 60)).expect("a flow");
    assert_eq!(read.tcp.map(|tcp| tcp.flags), Some([0x0f, 0x08]));
}

#[test]
fn a_change_leaves_out_what_only_a_creation_may_say() {
    let mut flow = Flow {
        extra: extra(&[(c::CTA_HELP, &[1; 4]), (c::CTA_LABELS, &[2; 16])]),
        ..masqueraded()
    };
    let name = "
        02000000
        34000180 14000180 08000100 c0000202 08000200 c6336402
                 1c000280 05000100 06000000 06000200 9c410000 06000300 00500000";
    let rest = "
        30000480 2c000180 05000100 03000000 05000200 0a000000 05000300 07000000
                          06000400 0b0f0000 06000500 0b0f0000
        14001600 02020202 02020202 02020202 02020202";
    let update = |flow: &Flow, timeout_s, with_status| {
        built(|out| build::update(out, flow, timeout_s, with_status))
    };
    let expected = format!("{name} 08000300 0000000e 08000700 0000003c 08000800 00000000 {rest}");
    assert_eq!(update(&flow, Some(60), true), bytes(&expected));
    let expected = format!("{name} 08000800 00000000 {rest}");
    assert_eq!(update(&flow, None, false), bytes(&expected));
    // the kernel refuses every change of a fixed time
    flow.status |= status::FIXED_TIMEOUT;
    assert_eq!(update(&flow, Some(60), false), bytes(&expected));
}

#[test]
fn a_flow_is_named_by_either_direction_and_its_zone() {
    let original = "
        34000180 14000180 08000100 c0000202 08000200 c6336402
                 1c000280 05000100 06000000 06000200 9c410000 06000300 00500000";
    let reply = "
        34000280 14000180 08000100 c6336402 08000200 c6336401
                 1c000280 05000100 06000000 06000200 00500000 06000300 9c410000";
    let in_zone = |tuple: &str| tuple.replace("34000", "3c000") + "06000300 00070000";
    let zone = |id, of| Zone { id, of };
    for (zone, by_original, by_reply) in [
        (Zone::default(), original.to_owned(), reply.to_owned()),
        (
            zone(7, Direction::Both),
            format!("{original} 06001200 00070000"),
            format!("{reply} 06001200 00070000"),
        ),
        (
            zone(7, Direction::Original),
            in_zone(original),
            reply.to_owned(),
        ),
        (
            zone(7, Direction::Reply),
            original.to_owned(),
            in_zone(reply),
        ),
    ] {
        let flow = Flow {
            zone,
            ..masqueraded()
        };
        let header = "02000000";
        let expected = bytes(&format!("{header}{by_original}"));
        assert_eq!(built(|out| build::name(out, &flow)), expected, "{zone:?}");
        let expected = bytes(&format!("{header}{by_reply}"));
        let named = built(|out| build::name_by_reply(out, &flow));
        assert_eq!(named, expected, "{zone:?}");
    }
}

#[test]
fn a_refresh_and_a_touch_say_no_more_than_they_must() {
    let flow = connection();
    let name = built(|out| build::name(out, &flow));
    let refresh = built(|out| build::refresh(out, &flow, 120));
    assert_eq!(refresh, [&name[..], &bytes("08000700 00000078")].concat());
    let touch = built(|out| build::touch(out, &flow));
    let nothing = bytes("08000800 00000000 08001500 00000000");
    assert_eq!(touch, [name, nothing].concat());
}
