//! Messages between twins, while paths come and go.

use std::time::{Duration, Instant};

use spared_link::message::{FromLink, ToLink};
use spared_link::word::Word;

use crate::lab::{Lab, Record, setup, v6};

#[test]
fn twins_and_hosts_speak() {
    let Some(lab) = Lab::new(1) else { return };
    let [mut a, mut b] = lab.pair(1);
    let (twin_a, twin_b) = (a.channel("twin", (1, 2)), b.channel("twin", (2, 3)));
    assert_eq!(a.expect_wire("twin"), Ok(2));
    assert_eq!(b.expect_wire("twin"), Ok(2));
    assert_eq!(twin_a.receive(), Record::Up(2));
    assert_eq!(twin_b.receive(), Record::Up(2));
    for length in [0, 1, 16 * 1024 - 64, 16 * 1024, 65536] {
        let message = vec![length as u8; length];
        twin_a.send(&message);
        assert_eq!(twin_b.receive(), Record::Message(message.clone()));
        twin_b.send(&message);
        assert_eq!(twin_a.receive(), Record::Message(message));
    }
    let word = Word::Took { handover: 7 };
    a.tell(&ToLink::Say(word.clone()));
    let heard = b.expect("a word", |message| match message {
        FromLink::Heard(word) => Some(word.clone()),
        _ => None,
    });
    assert_eq!(heard, word);
}
