use std::os::fd::{AsFd, AsRawFd};

use spared_contract::{ConfigTable, ConfigValue, InterfaceEvent, Surroundings, ToPlugin};

use super::*;

fn ping(number: u64) -> ToPlugin {
    ToPlugin::Ping { number }
}

fn configure(bytes: usize) -> ToPlugin {
    ToPlugin::Configure {
        token: 1,
        table: ConfigTable([("x".to_owned(), ConfigValue::Text("x".repeat(bytes)))].into()),
        check: false,
        surroundings: Surroundings::default(),
    }
}

#[test]
fn messages_arrive_whole_and_in_order() {
    let (host, worker) = pair().unwrap();
    let mut receiver = Receiver::default();
    for number in 0..3 {
        send(host.as_fd(), &ping(number), &[]).unwrap();
    }
    for number in 0..3 {
        let (message, _) = receiver.receive::<ToPlugin>(&worker).unwrap().unwrap();
        assert_eq!(message, ping(number));
    }
    assert!(receiver.receive::<ToPlugin>(&worker).unwrap().is_none());
}

#[test]
fn descriptors_travel_beside_their_message() {
    let (host, worker) = pair().unwrap();
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    let event = ToPlugin::Interface(InterfaceEvent::default());
    send(host.as_fd(), &event, &[writer.as_fd()]).unwrap();
    let (message, descriptors) = Receiver::default().receive(&worker).unwrap().unwrap();
    assert_eq!(event, message);
    assert_ne!(descriptors[0].as_raw_fd(), writer.as_raw_fd());
    rustix::io::write(&descriptors[0], b"through").unwrap();
    let mut buffer = [0; 16];
    assert_eq!(rustix::io::read(&reader, &mut buffer).unwrap(), 7);
}

#[test]
fn the_longest_configuration_passes_and_a_longer_one_is_refused() {
    let (host, worker) = pair().unwrap();
    let fits = configure(MESSAGE_MAX - 100);
    send(host.as_fd(), &fits, &[]).unwrap();
    let (message, _) = Receiver::default()
        .receive::<ToPlugin>(&worker)
        .unwrap()
        .unwrap();
    assert_eq!(message, fits);
    let refused = send(host.as_fd(), &configure(MESSAGE_MAX), &[]);
    assert!(matches!(refused, Err(SendError::TooLong(_))));
}

#[test]
fn a_reader_that_sleeps_is_told_by_full_and_loses_nothing_of_what_was_taken() {
    let (host, worker) = pair().unwrap();
    let mut taken = 0;
    while send(host.as_fd(), &ping(taken), &[]).is_ok() {
        taken += 1;
    }
    assert!(matches!(
        send(host.as_fd(), &ping(0), &[]),
        Err(SendError::Full)
    ));
    let mut receiver = Receiver::default();
    for number in 0..taken {
        let (message, _) = receiver.receive::<ToPlugin>(&worker).unwrap().unwrap();
        assert_eq!(message, ping(number));
    }
}

#[test]
fn the_other_end_being_gone_is_told_after_its_last_word() {
    let (host, worker) = pair().unwrap();
    send(host.as_fd(), &ping(7), &[]).unwrap();
    drop(host);
    let mut receiver = Receiver::default();
    assert!(receiver.receive::<ToPlugin>(&worker).unwrap().is_some());
    assert!(matches!(
        receiver.receive::<ToPlugin>(&worker),
        Err(ReceiveError::Closed)
    ));
    assert!(matches!(
        send(worker.as_fd(), &ping(7), &[]),
        Err(SendError::Closed)
    ));
}

#[test]
fn the_last_word_of_one_that_left_something_unread_is_received() {
    let (host, worker) = pair().unwrap();
    send(worker.as_fd(), &ping(7), &[]).unwrap();
    send(host.as_fd(), &ping(8), &[]).unwrap();
    drop(host);
    let mut receiver = Receiver::default();
    let (message, _) = receiver.receive::<ToPlugin>(&worker).unwrap().unwrap();
    assert_eq!(message, ping(8));
    assert!(matches!(
        receiver.receive::<ToPlugin>(&worker),
        Err(ReceiveError::Closed)
    ));
}

#[test]
fn nonsense_is_malformed_and_never_a_panic() {
    let (host, worker) = pair().unwrap();
    let mut receiver = Receiver::default();
    for record in [
        &[0xff; 40][..],
        &[0, 1, 0xff, 0xff, 0xff, 0xff, 0x0f],
        &[200],
    ] {
        transmit(host.as_fd(), record, &[]).unwrap();
        let received = receiver.receive::<ToPlugin>(&worker);
        assert!(
            matches!(received, Err(ReceiveError::Malformed(_))),
            "{received:?}"
        );
    }
}

#[test]
fn a_message_with_any_byte_changed_or_cut_is_decoded_or_refused() {
    let (host, worker) = pair().unwrap();
    let mut receiver = Receiver::default();
    let record = encode(&configure(40)).unwrap();
    for place in 0..record.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut changed = record.clone();
            changed[place] ^= flip;
            transmit(host.as_fd(), &changed, &[]).unwrap();
            let _ = receiver.receive::<ToPlugin>(&worker);
        }
        if place > 0 {
            transmit(host.as_fd(), &record[..place], &[]).unwrap();
            let cut = receiver.receive::<ToPlugin>(&worker);
            assert!(matches!(cut, Err(ReceiveError::Malformed(_))), "{place}");
        }
    }
    send(host.as_fd(), &ping(1), &[]).unwrap();
    assert!(receiver.receive::<ToPlugin>(&worker).unwrap().is_some());
}
