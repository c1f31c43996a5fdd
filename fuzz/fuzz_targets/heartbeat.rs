//! Whatever a link brings: packets, heartbeats under a right tag, and messages of the channel must not
//! panic, and nothing old is news.
//!
//! Input: records of one byte (bits 0-1: what it is; bit 2: the path; the rest: seconds that pass),
//! one of length, and bytes. Heartbeats are sealed, so that the generator need not find the tag.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use spared_vrrp::heartbeats::{Exchange, Key, Message, Receiver};
use spared_vrrp::wire::heartbeat::{Packet, TAG_LEN};
use spared_vrrp::wire::datagram;

/// An offer of the peer's key.
fn offer(id: u8) -> Vec<u8> {
    let mut message = vec![1, 1, 0, 0, 0, 0, 0, 0, 0, id];
    message.extend([id; 32]);
    message
}

fn key(id: u8) -> Option<Key> {
    match Message::parse(&offer(id)) {
        Ok(Message::Offer(key)) => Some(key),
        _ => None,
    }
}

fuzz_target!(|input: &[u8]| {
    let (Some(own), Some(first), Some(second)) = (key(0), key(1), key(2)) else { return };
    let mut exchange = Exchange::default();
    exchange.handle_up();
    let mut receiver = Receiver::new();
    receiver.set_groups([0, 1].into_iter());
    receiver.set_paths(0..2);
    if let Some(key) = key(1) {
        receiver.trust(0, key);
    }
    let mut newest = BTreeMap::new();
    let mut now_ns = 0;
    let mut rest = input;
    while let [what, length, tail @ ..] = rest {
        let (bytes, after) = tail.split_at(usize::from(*length).min(tail.len()));
        rest = after;
        now_ns += u64::from(what >> 3) * 1_000_000_000;
        let path = u32::from(what >> 2 & 1);
        match what & 3 {
            0 => {
                let frame = datagram::payload(bytes);
                assert!(frame.is_none_or(|frame| frame.len() + 28 <= bytes.len()));
            }
            1 => {
                let Ok(offered) = exchange.handle_message(&own, bytes) else { continue };
                if offered.is_some() {
                    let answer = [exchange.message(&own), exchange.message(&own)];
                    assert!(answer[0].is_some());
                    exchange.handle_sent();
                    exchange.handle_sent();
                }
            }
            2 => {
                if let Some(key) = key(2) {
                    receiver.trust(now_ns, key);
                }
            }
            _ => {
                let _ = receiver.open(now_ns, path, bytes);
                let frame = sealed(bytes, &first, &second);
                let Ok(mut opened) = receiver.open(now_ns, path, &frame) else { continue };
                let Ok(packet) = Packet::new_checked(&frame) else { unreachable!() };
                assert_eq!(packet.path(), path);
                while let Some(heard) = opened.next_group() {
                    if !heard.is_news {
                        continue;
                    }
                    let group = (packet.run(), heard.heartbeat.group);
                    let before = newest.insert(group, packet.number());
                    assert!(before < Some(packet.number()));
                }
            }
        }
    }
});

/// The frame, its tag made right for the key that it names.
fn sealed(bytes: &[u8], first: &Key, second: &Key) -> Vec<u8> {
    let mut frame = bytes.to_vec();
    let Ok(packet) = Packet::new_checked(bytes) else { return frame };
    let key = if packet.run() == first.id() { first } else { second };
    let tag = key.tag(packet.signed());
    let at = frame.len() - TAG_LEN;
    frame[at..].copy_from_slice(&tag);
    frame
}
