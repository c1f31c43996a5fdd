// SPDX-License-Identifier: MIT OR Apache-2.0
//! Messages to the message bus, and messages from it.

use spared_service::manager::bus::{Bus, BusEvent, MANAGER, object};

/// Message as the bus sends it: kind, fields, length of the body.
fn message(kind: u8, fields: &[(u8, Field<'_>)], body: usize, is_big: bool) -> Vec<u8> {
    let number = |number: usize| {
        let number = u32::try_from(number).expect("short");
        if is_big {
            number.to_be_bytes()
        } else {
            number.to_le_bytes()
        }
    };
    let mut bytes = Vec::new();
    for (code, field) in fields {
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        match field {
            Field::Text(text) => {
                bytes.extend([*code, 1, b's', 0]);
                bytes.extend(number(text.len()));
                bytes.extend(text.as_bytes());
                bytes.push(0);
            }
            Field::Number(it) => {
                bytes.extend([*code, 1, b'u', 0]);
                bytes.extend(number(*it));
            }
            Field::Signature(it) => {
                bytes.extend([*code, 1, b'g', 0, u8::try_from(it.len()).expect("short")]);
                bytes.extend(it.as_bytes());
                bytes.push(0);
            }
        }
    }
    let mut whole = vec![if is_big { b'B' } else { b'l' }, kind, 1, 1];
    whole.extend(number(body));
    whole.extend(number(77));
    whole.extend(number(bytes.len()));
    whole.extend(bytes);
    whole.resize(whole.len().next_multiple_of(8) + body, 7);
    whole
}

enum Field<'f> {
    Text(&'f str),
    Number(usize),
    Signature(&'f str),
}
use Field::{Number, Signature, Text};

fn signal(path: &str) -> Vec<u8> {
    let fields = [
        (1, Text(path)),
        (8, Signature("sa{sv}as")),
        (7, Text(":1.3")),
    ];
    message(4, &fields, 9000, false)
}

fn reply(serial: usize) -> Vec<u8> {
    message(2, &[(5, Number(serial)), (7, Text(":1.3"))], 0, false)
}

fn is_web(object: &str) -> bool {
    object == "/org/freedesktop/systemd1/unit/web_2eservice" || object == MANAGER
}

/// Conversation in which systemd reports changes.
fn watching() -> Bus {
    let mut bus = Bus::default();
    let heard = bus.handle_bytes(b"OK 0123456789abcdef\r\n", is_web);
    assert!(matches!(heard.as_deref(), Ok([BusEvent::Welcome(_)])));
    let calls: Vec<u8> = (1..=3).flat_map(reply).collect();
    assert_eq!(bus.handle_bytes(&calls, is_web), Ok(vec![]));
    assert_eq!(
        bus.handle_bytes(&reply(4), is_web),
        Ok(vec![BusEvent::Watching])
    );
    bus
}

#[test]
fn a_unit_has_the_object_that_systemd_gives_it() {
    let of = |unit| object(unit).replace("/org/freedesktop/systemd1/unit/", "");
    assert_eq!(
        of("kea-dhcp4-server.service"),
        "kea_2ddhcp4_2dserver_2eservice"
    );
    assert_eq!(of("wg-quick@wg0.service"), "wg_2dquick_40wg0_2eservice");
    assert_eq!(of("6to4.service"), "_36to4_2eservice");
    assert_eq!(of("a_b.socket"), "a_5fb_2esocket");
}

#[test]
fn the_greeting_has_the_user_in_hexadecimal_digits() {
    assert_eq!(Bus::greeting(0), b"\0AUTH EXTERNAL 30\r\n");
    assert_eq!(Bus::greeting(1000), b"\0AUTH EXTERNAL 31303030\r\n");
}

#[test]
fn a_call_has_these_bytes() {
    let mut bus = Bus::default();
    let wanted = [
        &b"l\x01\x00\x01\0\0\0\0\x01\0\0\0\x81\0\0\0"[..],
        b"\x01\x01o\0\x19\0\0\0/org/freedesktop/systemd1\0\0\0\0\0\0\0",
        b"\x02\x01s\0\x19\0\0\0org.freedesktop.DBus.Peer\0\0\0\0\0\0\0",
        b"\x03\x01s\0\x04\0\0\0Ping\0\0\0\0",
        b"\x06\x01s\0\x18\0\0\0org.freedesktop.systemd1\0\0\0\0",
    ];
    let found = bus.ping();
    assert_eq!(found.len() % 8, 0);
    let mut wanted = wanted.concat();
    wanted.resize(wanted.len().next_multiple_of(8), 0);
    assert_eq!(found.len(), wanted.len());
    assert_eq!(found, wanted);
}

#[test]
fn changes_of_units_that_matter_are_heard_in_whatever_pieces_they_come() {
    let mut bus = watching();
    let web = signal("/org/freedesktop/systemd1/unit/web_2eservice");
    let other = signal("/org/freedesktop/systemd1/unit/other_2eservice");
    let reload = signal("/org/freedesktop/systemd1");
    assert_eq!(bus.handle_bytes(&other, is_web), Ok(vec![]));
    let both = [web.clone(), other, reload].concat();
    let changed = vec![BusEvent::Changed, BusEvent::Changed];
    assert_eq!(bus.handle_bytes(&both, is_web), Ok(changed));
    let (last, first) = web.split_last().expect("bytes");
    for byte in first {
        assert_eq!(bus.handle_bytes(&[*byte], is_web), Ok(vec![]));
    }
    assert_eq!(
        bus.handle_bytes(&[*last], is_web),
        Ok(vec![BusEvent::Changed])
    );
    let path = "/org/freedesktop/systemd1/unit/web_2eservice";
    let big = message(4, &[(1, Text(path))], 3, true);
    assert_eq!(bus.handle_bytes(&big, is_web), Ok(vec![BusEvent::Changed]));
}

#[test]
fn a_ping_is_answered_by_its_own_reply_alone() {
    let mut bus = watching();
    bus.ping();
    assert_eq!(bus.handle_bytes(&reply(3), is_web), Ok(vec![]));
    assert_eq!(
        bus.handle_bytes(&reply(5), is_web),
        Ok(vec![BusEvent::Answered])
    );
}

#[test]
fn a_refusal_and_what_is_no_message_end_the_conversation() {
    let refused = Bus::default().handle_bytes(b"REJECTED EXTERNAL\r\n", is_web);
    assert_eq!(refused, Err("it does not accept this user".to_owned()));
    assert!(Bus::default().handle_bytes(&[b'x'; 5000], is_web).is_err());
    let denied = "org.freedesktop.DBus.Error.AccessDenied";
    let error = message(3, &[(5, Number(4)), (4, Text(denied))], 20, false);
    assert_eq!(
        watching().handle_bytes(&error, is_web),
        Err(denied.to_owned())
    );
    let good = signal("/org/freedesktop/systemd1");
    for (at, byte) in [
        (0, b'x'),
        (7, 0xff),  // a body of 4 GB
        (15, 0xff), // fields of that length
        (17, 2),    // a signature of two letters
        (18, b'v'),
        (20, 0xff), // a path longer than the fields
        (24, 0xff), // not UTF-8
    ] {
        let mut bad = good.clone();
        bad[at] = byte;
        let heard = watching().handle_bytes(&bad, is_web);
        assert_eq!(heard, Err("it speaks no D-Bus".to_owned()), "byte {at}");
    }
}
