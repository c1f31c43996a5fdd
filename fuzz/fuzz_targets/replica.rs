//! Whatever the peer says to a replica: no bytes panic, its store stays a store, and what it says
//! itself is a message. Bytes come as they are, or with the head of the present pair.
//!
//! Input: one byte (bit 0: this node is active; bit 1: verdicts come later; bit 2: its key is the
//! greater one), then records of one byte of length and bytes; the highest bit of the length asks for
//! the head.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spared_replica::toy::{Number, Toy};
use spared_replica::wire::{MESSAGE_MAX, Message};
use spared_replica::{Change, Config, Replica};

/// Kind, and what the body repeats.
const FREE: usize = 4;

fuzz_target!(|input: &[u8]| {
    let Some((flags, mut rest)) = input.split_first() else { return };
    let key = if flags & 4 != 0 { 9 } else { 1 };
    let mut store = Toy::new(1);
    store.is_slow = flags & 2 != 0;
    let mut replica = Replica::new(Config::new(5, key, ["t"]));
    if flags & 1 != 0 {
        replica.handle_groups(["office".to_owned()].into());
    }
    replica.handle_up(&mut store);
    let mut peer = Peer::new();
    let mut now = 1_000_000_000;
    peer.pair(now, &mut replica, &mut store);
    while let [length, tail @ ..] = rest {
        let size = usize::from(length & 0x7f).min(tail.len());
        let (bytes, after) = tail.split_at(size);
        rest = after;
        now += 300_000_000;
        let framed = peer.frame(bytes);
        let bytes = if length & 0x80 != 0 { &framed } else { bytes };
        let _ = replica.handle_message(now, &mut store, bytes);
        store.put(0, u32::from(*length), 1);
        replica.changed(now, &mut store, 0, &Number(u32::from(*length)), Change::Put);
        if let Some((token, is_applied)) = store.finish() {
            replica.verdict(now, &mut store, token, is_applied);
        }
        replica.handle_timeout(now, &mut store);
        peer.pair(now, &mut replica, &mut store);
        let _ = (replica.in_sync(&store), replica.status(now, &store));
    }
});

/// Somebody who says hello and then anything.
struct Peer {
    serial: u32,
    answers: u32,
}

impl Peer {
    fn new() -> Self {
        Self { serial: 1, answers: 0 }
    }

    /// Hears what the replica says, and pairs with it again where the pair ended.
    fn pair(&mut self, now: u64, replica: &mut Replica<Toy>, store: &mut Toy) {
        let mut told = false;
        for _ in 0..50 {
            let Some(message) = replica.poll_message(now, store) else { break };
            assert!(message.len() <= MESSAGE_MAX);
            let head = Message::parse(message).expect("a replica writes messages").head;
            told |= self.answers != head.serial;
            self.answers = head.serial;
            replica.sent();
        }
        if told {
            let hello = [
                &[1, 0, 0, 1][..], &[0; 16], &[0, 1], &[7; 8], &[0, 0, 0, 0, 0, 0, 0, 5],
                &[0], &[0, 0, 0, 0, 0, 0, 0, 1], &[1, b't'], &[0, 1, 0],
            ];
            let _ = replica.handle_message(now, store, &hello.concat());
            let role = self.frame(&[2, 0, 0, 0]);
            let _ = replica.handle_message(now, store, &role);
        }
    }

    fn frame(&self, bytes: &[u8]) -> Vec<u8> {
        let (first, body) = bytes.split_at(FREE.min(bytes.len()));
        let pair = [self.serial.to_be_bytes(), self.answers.to_be_bytes()].concat();
        [first, &pair, &[0; 8], body].concat()
    }
}
