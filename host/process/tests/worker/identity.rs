//! Statements that a plugin has signed and verified, as the link's end of its channel sees them.

use std::os::fd::OwnedFd;

use spared_contract::channel::{SIGN, SIGNED, VERIFIED, VERIFY};

use super::peer::{channel, put, take};
use crate::lab::{Host, Lab, eventually, load};

const EAGAIN: i32 = -11;
const EMSGSIZE: i32 = -90;
const ENOTCONN: i32 = -107;

fn started(lab: &Lab) -> Host {
    Host::started(&super::probe(lab), &load("probe"), "")
}

fn proof(host: &mut Host) -> String {
    host.query("proof").text("proof").to_owned()
}

fn record(kind: u8, ticket: u64, rest: &[u8]) -> Vec<u8> {
    [&[kind][..], &ticket.to_be_bytes(), rest].concat()
}

fn expect(host: &mut Host, said: &str) {
    eventually(said, || proof(host) == said);
}

#[test]
fn a_statement_is_signed_and_verified_without_a_session() {
    let lab = Lab::new();
    let mut host = started(&lab);
    assert_eq!(host.query("sign 1 3 0").status, ENOTCONN, "no channel yet");
    assert_eq!(host.query("verify 1 3 64").status, ENOTCONN);
    let link = channel(&host);
    eventually("a channel", || host.query("sign 1 3 0").status == 0);
    assert_eq!(take(&link).unwrap(), record(SIGN, 1, &[7; 3]));
    put(&link, &record(SIGNED, 1, &[9; 64])).unwrap();
    expect(&mut host, "signature 1: 64 bytes of 9");
    assert_eq!(host.query("verify 2 512 64").status, 0);
    let asked = [&[8; 64][..], &[7; 512]].concat();
    assert_eq!(take(&link).unwrap(), record(VERIFY, 2, &asked));
    for (yes, said) in [(1, "verified 2: 1"), (0, "verified 2: 0")] {
        put(&link, &record(VERIFIED, 2, &[yes])).unwrap();
        expect(&mut host, said);
    }
    // an empty statement is valid
    assert_eq!(host.query("sign 3 0 0").status, 0);
    assert_eq!(take(&link).unwrap(), record(SIGN, 3, &[]));
}

#[test]
fn what_is_too_long_or_too_much_is_refused_at_once() {
    let lab = Lab::new();
    let mut host = started(&lab);
    let link = channel(&host);
    eventually("a channel", || host.query("sign 1 0 0").status == 0);
    for words in [
        "sign 1 513 0",
        "verify 1 513 64",
        "verify 1 1 63",
        "verify 1 1 65",
    ] {
        assert_eq!(host.query(words).status, EMSGSIZE, "{words}");
    }
    let mut status = 0;
    for _ in 0..100_000 {
        status = host.query("sign 1 512 0").status;
        if status != 0 {
            break;
        }
    }
    assert_eq!(status, EAGAIN);
    drop(link);
    eventually("gone", || host.query("sign 1 0 0").status == ENOTCONN);
}

#[test]
fn an_answer_that_is_none_ends_the_channel_and_a_new_one_serves() {
    let lab = Lab::new();
    let mut host = started(&lab);
    let garbage: [&[u8]; 6] = [
        &[SIGNED],
        &[SIGNED, 1, 0, 0, 0, 0, 0, 0],
        &record(SIGNED, 1, &[9; 63]),
        &record(SIGNED, 1, &[9; 65]),
        &record(VERIFIED, 1, &[]),
        &record(VERIFIED, 1, &[2]),
    ];
    for answer in garbage {
        let link: OwnedFd = channel(&host);
        put(&link, answer).unwrap();
        host.log("closed the channel to the peer");
        assert_eq!(host.query("sign 1 0 0").status, ENOTCONN);
    }
    let link = channel(&host);
    eventually("a channel", || host.query("sign 7 1 0").status == 0);
    put(&link, &record(SIGNED, 7, &[5; 64])).unwrap();
    expect(&mut host, "signature 7: 64 bytes of 5");
}
