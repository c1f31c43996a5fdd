//! Whatever the peer says to a replica: no bytes panic, its store stays a store, and what it says
//! itself is a message. Bytes come as they are, or with the head of the present pair.
//!
//! Input: one byte (bit 0: this node is active; bit 1: verdicts come later; bit 2: its key is the
//! greater one), then records of one byte of length and bytes; the highest bit of the length asks for
//! the head.

use spared_replica::toy::{Number, Toy};
use spared_replica::wire::{MESSAGE_MAX, Message};
use spared_replica::{Change, Config, Replica};

/// Kind, and what the body repeats.
const FREE: usize = 4;

pub fn run(input: &[u8]) {
    let Some((flags, mut rest)) = input.split_first() else {
        return;
    };
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
}

/// Somebody who says hello and then anything.
struct Peer {
    serial: u32,
    answers: u32,
}

impl Peer {
    fn new() -> Self {
        Self {
            serial: 1,
            answers: 0,
        }
    }

    /// Hears what the replica says, and pairs with it again where the pair ended.
    fn pair(&mut self, now: u64, replica: &mut Replica<Toy>, store: &mut Toy) {
        let mut told = false;
        for _ in 0..50 {
            let Some(message) = replica.poll_message(now, store) else {
                break;
            };
            assert!(message.len() <= MESSAGE_MAX);
            let head = Message::parse(message)
                .expect("a replica writes messages")
                .head;
            told |= self.answers != head.serial;
            self.answers = head.serial;
            replica.sent();
        }
        if told {
            let hello = [
                &[1, 0, 0, 1][..],
                &[0; 16],
                &[0, 1],
                &[7; 8],
                &[0, 0, 0, 0, 0, 0, 0, 5],
                &[0],
                &[0, 0, 0, 0, 0, 0, 0, 1],
                &[1, b't'],
                &[0, 1, 0],
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

/// Messages of another replica: as the one that has the records, and as the one that gets them.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (flags, peer_is_active) in [(0, true), (1, false), (2, true), (5, true), (4, false)] {
        let said = conversation(flags & 1 != 0, peer_is_active);
        let record = |message: &Vec<u8>| {
            let bare = [&message[..FREE], &message[HEAD.min(message.len())..]].concat();
            [&[0x80 | bare.len() as u8], &bare[..]].concat()
        };
        let fits = |message: &&Vec<u8>| (HEAD..0x80 + HEAD - FREE).contains(&message.len());
        let records: Vec<Vec<u8>> = said.iter().filter(fits).map(record).collect();
        seeds.push([&[flags], &records.concat()[..]].concat());
        seeds.extend(
            records
                .iter()
                .map(|record| [&[flags], &record.repeat(2)[..]].concat()),
        );
    }
    seeds.truncate(40);
    seeds
}

/// Length of a message's head.
const HEAD: usize = 20;

/// All that the second of two replicas says to the first.
fn conversation(is_active: bool, peer_is_active: bool) -> Vec<Vec<u8>> {
    let mut stores = [Toy::new(1), Toy::new(2)];
    let mut nodes = [3, 4].map(|key| Replica::new(Config::new(key, key, ["t"])));
    for (number, active) in [is_active, peer_is_active].into_iter().enumerate() {
        let groups = active.then(|| "office".to_owned()).into_iter().collect();
        nodes[number].handle_groups(groups);
        nodes[number].handle_up(&mut stores[number]);
    }
    let mut said = Vec::new();
    for round in 1..40_u32 {
        let now = u64::from(round) * 300_000_000;
        for number in 0..2 {
            if round % 8 == 1 {
                stores[number].put(0, round, 1);
                let key = Number(round);
                nodes[number].changed(now, &mut stores[number], 0, &key, Change::Put);
            }
            nodes[number].handle_timeout(now, &mut stores[number]);
            let mut messages = Vec::new();
            while let Some(message) = nodes[number].poll_message(now, &mut stores[number]) {
                messages.push(message.to_vec());
                nodes[number].sent();
            }
            let other = 1 - number;
            for message in &messages {
                let _ = nodes[other].handle_message(now, &mut stores[other], message);
            }
            if number == 1 {
                said.extend(messages);
            }
        }
    }
    said
}
