//! Whatever the peer says of tunnels: no bytes panic, what is taken of a value is what the kernel may be
//! given, and an engine that hears of it goes on, failover and all.
//!
//! Input: one byte (bit 0: this node is active; bit 1: it takes over now and then), then records of one
//! byte (bit 0: policies, else SAs; bit 1: numbers alone; bit 2: IKE sessions), two bytes of length, and a key with its value.
//! Each comes as a record of a peer that is paired; what the replica itself makes of bytes is a target
//! of its own.

use spared_ipsec::codec::{self, check_policy, check_sa};
use spared_ipsec::config::Settings;
use spared_ipsec::engine::{Action, Engine, XfrmEvent};
use spared_ipsec::sa::{ChildName, Direction};
use spared_ipsec::sessions::message::Message;
use spared_ipsec::sessions::wire::{put_child, put_ike};
use spared_ipsec::sessions::{SessionId, Sessions};
use spared_ipsec::wire::{
    AllNumbers, Numbers, POLICIES, SAS, SESSIONS, TABLES, TunnelKey, accept_preface,
    put_all_numbers, put_numbers, put_policy, put_sa, read_all_numbers, read_numbers, read_policy,
    read_sa,
};
use spared_replica::wire;
use spared_replica::{Config, Key, Reader, ValueWriter};

use crate::{ipsec_ha, ipsec_xfrm, sample};

const MS: u64 = 1_000_000;
const LATEST: u8 = 10;
const RECORDS: u8 = 6;

pub fn run(input: &[u8]) {
    let Some((flags, mut rest)) = input.split_first() else {
        return;
    };
    let mut engine = Engine::new(0, Settings::default(), Config::new(5, 9, TABLES));
    engine.handle_timeout(0);
    act(&mut engine, 0);
    engine.handle_role(0, "office", flags & 1 != 0);
    engine.handle_up(0);
    let mut peer = Peer {
        answers: 0,
        preface: Vec::new(),
    };
    peer.pair(0, &mut engine);
    let mut now_ns = 0;
    while let [how, low, high, tail @ ..] = rest {
        let length = usize::from(u16::from_le_bytes([*low, *high]));
        let (bytes, after) = tail.split_at(length.min(tail.len()));
        rest = after;
        now_ns += 300 * MS;
        read(bytes);
        let message = peer.record(*how, bytes);
        let _ = engine.handle_message(now_ns, &message);
        if flags & 2 != 0 && now_ns % (2_100 * MS) == 0 {
            engine.handle_settle(now_ns);
            engine.handle_role(now_ns, "office", now_ns % (4_200 * MS) == 0);
        }
        engine.handle_timeout(now_ns);
        act(&mut engine, now_ns);
        peer.pair(now_ns, &mut engine);
    }
    let _ = (
        engine.rows(now_ns),
        engine.summary(),
        engine.next_timeout(now_ns),
    );
}

fn read(bytes: &[u8]) {
    let mut reader = Reader(bytes);
    let Ok(key) = TunnelKey::read(&mut reader) else {
        return;
    };
    let value = reader.0;
    if let Ok(told) = read_sa(&key, value) {
        check_sa(told.sa.body.bytes()).expect("an SA that was taken");
    }
    if let Ok(policy) = read_policy(&key, value) {
        check_policy(policy.body.bytes()).expect("a policy that was taken");
    }
    let _ = (
        read_numbers(value),
        read_all_numbers(value),
        accept_preface(value),
        key.to_string(),
    );
}

fn act(engine: &mut Engine, now_ns: u64) {
    while let Some(action) = engine.poll_action() {
        match action {
            Action::Read => engine.handle_read(now_ns, true),
            Action::Apply(changes) => engine.handle_applied(now_ns, changes, &[]),
            _ => {}
        }
    }
}

/// Somebody who says hello, is active, and then tells anything.
struct Peer {
    answers: u32,
    preface: Vec<u8>,
}

impl Peer {
    /// Hears what the engine says, and pairs with it again if the pair ended.
    fn pair(&mut self, now_ns: u64, engine: &mut Engine) {
        for _ in 0..3 {
            let mut answers = Vec::new();
            for _ in 0..50 {
                let Some(message) = engine.poll_message(now_ns) else {
                    break;
                };
                let message = wire::Message::parse(message).expect("a replica writes messages");
                self.answers = message.head.serial;
                match message.body {
                    wire::Body::Hello(hello) => {
                        let preface = hello.tables.first().map(|it| it.preface.to_vec());
                        self.preface = preface.unwrap_or_default();
                    }
                    wire::Body::Role(groups) => {
                        answers.push(self.hello());
                        answers.push(self.frame([2, 0, 0, 1], &[&[6][..], b"office"].concat()));
                        // of two that are active the greater key decides, which is the engine's
                        if !groups.is_empty() {
                            answers.extend(
                                [POLICIES, SAS, SESSIONS]
                                    .map(|table| self.frame([4, table as u8, 0, 0], &[])),
                            );
                        }
                    }
                    wire::Body::Offered => {
                        answers.push(self.frame([5, message.head.table, 0, 0], &[0; 12]));
                    }
                    _ => {}
                }
                engine.message_sent();
            }
            for answer in answers {
                let _ = engine.handle_message(now_ns, &answer);
            }
        }
    }

    fn hello(&self) -> Vec<u8> {
        let mut hello = [&[1, 0, 0, 2][..], &[0; 16], &[0, 1], &[7; 8], &[0; 8]].concat();
        for (table, name) in TABLES.iter().enumerate() {
            hello.push(table as u8);
            hello.extend(1_u64.to_be_bytes());
            hello.push(name.len() as u8);
            hello.extend(name.as_bytes());
            hello.extend((self.preface.len() as u16).to_be_bytes());
            hello.extend(&self.preface);
        }
        hello
    }

    fn record(&self, how: u8, bytes: &[u8]) -> Vec<u8> {
        let mut reader = Reader(bytes);
        let _ = TunnelKey::read(&mut reader);
        let (key, value) = bytes.split_at(bytes.len() - reader.0.len());
        let mut body = vec![0, key.len() as u8];
        body.extend(key);
        body.extend((value.len() as u16).to_be_bytes());
        body.extend(value);
        let kind = if how & 2 != 0 { LATEST } else { RECORDS };
        let table = match how & 5 {
            0 => SAS,
            1 => POLICIES,
            _ => SESSIONS,
        };
        self.frame([kind, table as u8, 0, 1], &body)
    }

    fn frame(&self, first: [u8; 4], body: &[u8]) -> Vec<u8> {
        let pair = [1_u32.to_be_bytes(), self.answers.to_be_bytes()].concat();
        [&first[..], &pair, &[0; 8], body].concat()
    }
}

/// An SA and policies as the peer tells of them, their numbers, and roles that change beside them.
pub fn seeds() -> Vec<Vec<u8>> {
    let node = &mut ipsec_xfrm::Here;
    let (mut keyed, mut numbers) = (Vec::new(), Vec::new());
    if let Some(XfrmEvent::Sa(sa)) = codec::read(0x10, 0, &sample::sa(), node) {
        for side in [Direction::In, Direction::Out] {
            let key = TunnelKey::sa(&sa, side);
            let told = Numbers {
                replay: sa.replay.clone(),
                ..Numbers::default()
            };
            let name = ChildName {
                ike: "gw".to_owned(),
                child: "net-1".to_owned(),
            };
            keyed.push((0, record(&key, |out| put_sa(out, &told, &sa, Some(&name)))));
            numbers.push((2, record(&key, |out| put_numbers(out, &told))));
        }
    }
    if let Some(XfrmEvent::Policy(policy)) = codec::read(0x13, 0, &sample::policy(), node) {
        let key = TunnelKey::policy(&policy);
        keyed.push((1, record(&key, |out| put_policy(out, &policy))));
    }
    keyed.extend(sessions().into_iter().map(|record| (4, record)));
    let all = AllNumbers {
        unsure: true,
        exact: false,
    };
    numbers.push((
        2,
        record(&TunnelKey::AllNumbers, |out| put_all_numbers(out, all)),
    ));
    let framed = |(how, bytes): &(u8, Vec<u8>)| {
        let length = (bytes.len() as u16).to_le_bytes();
        [&[*how], &length[..], bytes].concat()
    };
    let records: Vec<Vec<u8>> = keyed.iter().chain(&numbers).map(framed).collect();
    let mut seeds: Vec<Vec<u8>> = Vec::new();
    for flags in 0..4 {
        seeds.push([&[flags], &records.concat()[..]].concat());
        seeds.extend(
            records
                .iter()
                .map(|record| [&[flags], &record.repeat(3)[..]].concat()),
        );
    }
    seeds
}

/// An IKE SA and its child, as charon on the peer told of them.
fn sessions() -> [Vec<u8>; 2] {
    let mut sessions = Sessions::default();
    for message in ipsec_ha::session() {
        sessions.handle(0, Message::read(&message).expect("a message of charon"));
    }
    let (spis, ike) = sessions.ikes.first_key_value().expect("an IKE SA");
    let (spi, child) = sessions.children.first_key_value().expect("a child");
    let end = ike.end.expect("its far end has proven who it is");
    let key = |id| TunnelKey::session(id, end);
    [
        record(&key(SessionId::Ike(*spis)), |out| put_ike(out, ike)),
        record(&key(SessionId::Child(*spi)), |out| put_child(out, child)),
    ]
}

fn record(key: &TunnelKey, value: impl FnOnce(&mut ValueWriter<'_>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    ValueWriter::write_to(&mut bytes, 4096, |out| {
        key.write(out);
        value(out);
    });
    bytes
}
