//! Bytes that are not messages, and golden bytes of messages.

use spared_sim::Random;

use super::lab::{Lab, S};
use crate::toy::{Number, Toy};
use crate::wire::{Body, MESSAGE_MAX, Malformed, Message, flag, kind};
use crate::{Change, Config, Replica};

#[test]
fn garbage_is_dropped_told_once_and_answered_after_a_second() {
    let mut lab = Lab::in_sync();
    lab.put(0, 0, 1);
    let now_ns = lab.now_ns();
    let it = lab.machine_mut(1).unwrap();
    let dropped = it
        .replica
        .handle_message(now_ns, &mut it.store, &[200, 1, 2]);
    assert_eq!(dropped, Err(Malformed::Kind(200)).or(Err(Malformed::Short)));
    assert!(it.replica.poll_event().is_some());
    let _ = it.replica.handle_message(now_ns, &mut it.store, &[]);
    assert_eq!(it.replica.poll_event(), None);
    lab.run(S / 2);
    assert_eq!(lab.get(1, 1), None);
    let it = lab.machine(1);
    assert!(
        it.replica
            .in_sync(&it.store)
            .unwrap_err()
            .contains("not understood")
    );
    lab.run(S);
    lab.assert_in_sync();
    assert_eq!(lab.sent[1][usize::from(kind::AGAIN)], 1);
    assert_eq!(lab.machine(0).replica.garbage(), (0, 2));
}

#[test]
fn the_pause_after_garbage_doubles_to_30_s() {
    let mut lab = Lab::in_sync();
    for _ in 0..1000 {
        let now_ns = lab.now_ns();
        if let Some(it) = lab.machine_mut(1) {
            let _ = it.replica.handle_message(now_ns, &mut it.store, &[200]);
        }
        lab.run(S / 10);
    }
    // pauses of 1, 2, 4, 8, 16, 30, 30 s
    let asked = lab.sent[1][usize::from(kind::AGAIN)];
    assert!((5..=8).contains(&asked), "{asked}");
    lab.run(40 * S);
    lab.assert_in_sync();
}

#[test]
fn a_record_in_bytes() {
    let (mut replica, mut store) = (Replica::new(Config::new(5, 6, ["t"])), Toy::new(1));
    replica.handle_up(&mut store);
    let hello = replica.poll_message(0, &mut store).unwrap().to_vec();
    #[rustfmt::skip]
    assert_eq!(
        hello,
        [
            1, 0, 0, 1,                                  // HELLO, one table
            0, 0, 0, 1,  0, 0, 0, 0,                     // serial, answers
            0, 0, 0, 0, 0, 0, 0, 0,                      // applied
            0, 1,                                        // version
            0, 0, 0, 0, 0, 0, 0, 5,                      // run
            0, 0, 0, 0, 0, 0, 0, 6,                      // node
            0,  0, 0, 0, 0, 0, 0, 0, 1,  1, b't',  0, 1, 0, // table: id, incarnation, name, preface
        ]
    );
    #[rustfmt::skip]
    let message = [
        6, 0, 0, 3,  0, 0, 0, 1,  0, 0, 0, 2,  0, 0, 0, 0, 0, 0, 0, 9,
        0,  4, 0, 0, 0, 7,  0, 4, 0, 0, 0, 8,            // PUT
        8,  4, 0, 0, 0, 9,                               // DEL
        16, 4, 0, 0, 0, 10,  0, 0, 0, 0, 0, 0, 0, 11,    // SAME
    ];
    let parsed = Message::parse(&message).unwrap();
    assert_eq!(
        (parsed.head.serial, parsed.head.answers, parsed.head.applied),
        (1, 2, 9)
    );
    let Body::Records(records) = parsed.body else {
        panic!("{parsed:?}");
    };
    let records: Vec<_> = records.collect();
    assert_eq!(records[0].value, [0, 0, 0, 8]);
    assert!(records[1].has(flag::GONE));
    assert_eq!(records[2].digest(), 11);
}

#[test]
fn a_message_cut_anywhere_is_none() {
    let mut lab = Lab::in_sync();
    for key in 0..5 {
        lab.put(0, 0, key);
    }
    let now_ns = lab.now_ns();
    let it = lab.machine_mut(0).unwrap();
    let message = it
        .replica
        .poll_message(now_ns, &mut it.store)
        .unwrap()
        .to_vec();
    assert!(Message::parse(&message).is_ok());
    for length in 0..message.len() {
        assert!(
            Message::parse(&message[..length]).is_err(),
            "{length} bytes"
        );
    }
    let long = vec![0; MESSAGE_MAX + 1];
    assert_eq!(Message::parse(&long), Err(Malformed::Long));
}

#[test]
fn no_bytes_panic_and_no_message_grows() {
    let mut random = Random::new(1);
    let (mut replica, mut store) = (Replica::new(Config::new(5, 6, ["t"])), Toy::new(1));
    for round in 0_u64..20_000 {
        if round % 50 == 0 {
            replica.handle_down(&mut store);
            replica.handle_up(&mut store);
        }
        let length = random.below(80) as usize;
        let mut bytes: Vec<u8> = (0..length).map(|_| random.below(8) as u8).collect();
        if let Some(first) = bytes.first_mut() {
            *first = random.below(15) as u8;
        }
        let now_ns = round * 10_000_000;
        let _ = replica.handle_message(now_ns, &mut store, &bytes);
        let key = Number(random.below(50) as u32);
        store.put(0, key.0, length as u32);
        replica.changed(now_ns, &mut store, 0, &key, Change::Put);
        replica.handle_timeout(now_ns, &mut store);
        if let Some(message) = replica.poll_message(now_ns, &mut store) {
            assert!(message.len() <= MESSAGE_MAX);
            assert!(Message::parse(message).is_ok());
            replica.sent();
        }
    }
}
