//! Whatever a path brings: packets, heartbeats under a right tag, and frames of the agreement on keys must
//! not panic, nothing old is news, and no more than a few requests a second come of it.
//!
//! Input: records of one byte (bits 0-1: what it is; bit 2: the path; the rest: seconds that pass),
//! one of length, and bytes. Heartbeats are sealed and frames of the agreement outlined, so that the
//! generator need not find the tag, nor the runs.

use std::collections::BTreeMap;

use spared_vrrp::heartbeats::{
    AgreedKeys, Authentication, Key, PathClass, Receiver, Request, SECRET_LEN,
};
use spared_vrrp::wire::datagram;
use spared_vrrp::wire::heartbeat::{Packet, TAG_LEN};
use spared_vrrp::wire::offer::{self, Offer};

use crate::sample::part;

const OWN: u64 = 1;
const PEERS: [u64; 2] = [2, 3];

fn key(run: u64) -> Key {
    Key::new(run, &[run as u8; SECRET_LEN])
}

fn agreed(run: u64) -> AgreedKeys {
    AgreedKeys {
        run,
        send_key: key(OWN),
        receive_key: key(run),
    }
}

pub fn run(input: &[u8]) {
    // one that answers offers, and one that makes them
    let mut authentications = ["r2", "r1"].map(|node| Authentication::with_run(node, OWN));
    authentications[0].set_peer(Some("r1"));
    authentications[1].set_peer(Some("r2"));
    let mut receiver = Receiver::new(OWN);
    receiver.set_groups([0, 1].into_iter());
    receiver.set_paths(0..2);
    receiver.add_keys(0, agreed(PEERS[0]));
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
                let class = if path == 0 {
                    PathClass::Link
                } else {
                    PathClass::Network
                };
                for authentication in &mut authentications {
                    let _ = authentication.receive(now_ns, class, path, bytes);
                    let _ = authentication.receive(now_ns, class, path, &outlined(bytes));
                    settle(authentication, now_ns, what >> 3 & 1 == 0);
                }
            }
            2 => receiver.add_keys(now_ns, agreed(PEERS[1])),
            _ => {
                let _ = receiver.open(now_ns, path, bytes, u64::MAX);
                let frame = sealed(bytes);
                let Ok(mut opened) = receiver.open(now_ns, path, &frame, u64::MAX) else {
                    continue;
                };
                let Ok(packet) = Packet::new_checked(&frame) else {
                    unreachable!()
                };
                assert_eq!((packet.path(), packet.ack().run), (path, OWN));
                while let Some(heard) = opened.next_group() {
                    if !heard.is_new {
                        continue;
                    }
                    let group = (packet.run(), heard.heartbeat.group);
                    let before = newest.insert(group, packet.number());
                    assert!(before < Some(packet.number()));
                }
            }
        }
    }
}

/// Every signature is right, or none is.
fn settle(authentication: &mut Authentication, now_ns: u64, genuine: bool) {
    authentication.handle_timeout(now_ns);
    let mut requests = 0;
    while let Some(request) = authentication.poll_request() {
        requests += 1;
        match request {
            Request::Sign { ticket, .. } => authentication.handle_signed(now_ns, ticket, &[0; 64]),
            Request::Verify { ticket, .. } => {
                authentication.handle_verified(now_ns, ticket, genuine)
            }
        }
    }
    assert!(requests <= 40);
    authentication.take_events(now_ns);
    while authentication.poll_frame().is_some() {}
    assert!(
        authentication
            .next_timeout()
            .is_some_and(|at_ns| at_ns > now_ns)
    );
}

/// As a frame of the agreement begins, of a run of the peer's to the own one.
fn outlined(bytes: &[u8]) -> Vec<u8> {
    let mut frame = bytes.to_vec();
    frame.resize(frame.len().max(24), 0);
    let kind = 1 + frame[5] % 3;
    let from = PEERS[usize::from(frame[15] % 2)];
    frame[..6].copy_from_slice(&[b'S', b'P', b'K', b'A', 1, kind]);
    frame[8..16].copy_from_slice(&from.to_be_bytes());
    frame[16..24].copy_from_slice(&OWN.to_be_bytes());
    frame.resize(if kind == 1 { 16 } else { 128 }, 0);
    frame
}

/// The frame to the own run, its tag made right for the run that it names.
fn sealed(bytes: &[u8]) -> Vec<u8> {
    const ACK_RUN: usize = 28;
    let mut frame = bytes.to_vec();
    if let Some(ack) = frame.get_mut(ACK_RUN..ACK_RUN + 8) {
        ack.copy_from_slice(&OWN.to_be_bytes());
    }
    let Ok(packet) = Packet::new_checked(&frame) else {
        return frame;
    };
    let run = PEERS.into_iter().find(|run| *run == packet.run());
    let tag = key(run.unwrap_or(PEERS[0])).tag(packet.signed());
    let at = frame.len() - TAG_LEN;
    frame[at..].copy_from_slice(&tag);
    frame
}

/// Heartbeats of both runs of the peer, frames of the agreement, whole packets, and time that passes.
pub fn seeds() -> Vec<Vec<u8>> {
    let offer = Offer {
        from: PEERS[0],
        to: OWN,
        number: 3,
        public: [9; 32],
    };
    let mut packet = Vec::new();
    datagram::emit(
        [2; 6],
        [192, 0, 2, 2].into(),
        Some([192, 0, 2, 1].into()),
        b"SP",
        &mut packet,
    );
    let heartbeats =
        [(2, "g"), (3, "g"), (2, "other")].map(|(run, group)| part(run, group, &["a"]));
    let frames: [(u8, Vec<u8>); 7] = [
        (0, packet),
        (1, offer::hello(PEERS[0]).to_vec()),
        (1, offer.frame(false, &[0; 64]).to_vec()),
        (1, offer.frame(true, &[0; 64]).to_vec()),
        (3, heartbeats[0].clone()),
        (3, heartbeats[1].clone()),
        (3, heartbeats[2].clone()),
    ];
    let record = |what: u8, bytes: &[u8]| [&[what, bytes.len() as u8], bytes].concat();
    let mut seeds: Vec<Vec<u8>> = Vec::new();
    for flags in [0, 4, 8, 0xf8] {
        let records = frames
            .iter()
            .map(|(what, bytes)| record(what | flags, bytes));
        let mut all = records.collect::<Vec<_>>();
        all.insert(5, record(2 | flags, &[]));
        seeds.push(all.concat());
    }
    seeds.extend(
        frames
            .iter()
            .map(|(what, bytes)| record(*what, bytes).repeat(3)),
    );
    seeds
}
