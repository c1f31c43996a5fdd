//! Whatever charon's plugin `ha` says, or a program in its place: no bytes panic, the tables stay bounded, and what a
//! later charon gets of it are messages that can be read.
//!
//! Input: one byte (bit 0: charon starts again after every third message; bit 1: it reads late; bit 2: the role goes
//! and comes between), then messages, each after two bytes of its length.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use spared_ipsec::config::Settings;
use spared_ipsec::engine::{Action, DaemonEvent, Engine, NotTold};
use spared_ipsec::sessions::IkeSpis;
use spared_ipsec::sessions::message::{Kind, MESSAGE_MAX, Message, message_id, virtual_addresses};
use spared_ipsec::wire::TABLES;
use spared_replica::Config;

const MS: u64 = 1_000_000;
const VIP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// Types of attributes.
const REKEYED: u8 = 2;
const LOCAL_ADDRESS: u8 = 6;
const CONNECTION: u8 = 8;
const INBOUND_SPI: u8 = 27;
const OUTBOUND_SPI: u8 = 28;

pub fn run(input: &[u8]) {
    let Some((flags, mut rest)) = input.split_first() else {
        return;
    };
    let has = |bit: u8| flags & bit != 0;
    let mut engine = Engine::new(0, Settings::default(), Config::new(5, 9, TABLES));
    engine.handle_endpoints(0, BTreeSet::from([IpAddr::from(VIP)]));
    engine.handle_role(0, "office", true);
    engine.handle_presence(0, DaemonEvent::Started);
    let mut charon = Charon {
        is_late: has(2),
        tells: 0,
    };
    let (mut now_ns, mut count) = (0, 0);
    while let [low, high, tail @ ..] = rest {
        let length = usize::from(u16::from_le_bytes([*low, *high]));
        let (message, after) = tail.split_at(length.min(tail.len()));
        (rest, count, now_ns) = (after, count + 1, now_ns + 300 * MS);
        engine.handle_charon_message(now_ns, message);
        if has(1) && count % 3 == 0 {
            engine.handle_presence(now_ns, DaemonEvent::Ended);
            engine.handle_presence(now_ns, DaemonEvent::Started);
        }
        if has(4) && count % 4 == 0 {
            engine.handle_role(now_ns, "office", false);
            engine.handle_role(now_ns, "office", true);
        }
        engine.handle_timeout(now_ns);
        charon.act(now_ns, &mut engine);
    }
    let _ = (engine.rows(now_ns), engine.next_timeout(now_ns));
}

/// charon that takes whatever it gets, and adds none of its children.
struct Charon {
    is_late: bool,
    tells: u64,
}

impl Charon {
    fn act(&mut self, now_ns: u64, engine: &mut Engine) {
        while let Some(action) = engine.poll_action() {
            match action {
                Action::Read => engine.handle_read(now_ns, true),
                Action::Apply(changes) => engine.handle_applied(now_ns, changes, &[]),
                Action::Segment(..) => engine.handle_segment(now_ns, Ok(())),
                Action::AwaitConnections(_) => engine.handle_loaded(now_ns, &BTreeSet::new()),
                Action::AwaitRead => engine.handle_messages_read(now_ns, true),
                Action::Detach(ids, _) => {
                    let detached = ids.into_iter().map(|id| (id, None));
                    engine.handle_detached(now_ns, detached.collect());
                }
                Action::Tell(messages) => {
                    for message in &messages {
                        assert!(message.bytes().len() <= MESSAGE_MAX);
                        Message::read(message.bytes()).expect("a message that was taken");
                    }
                    self.tells += 1;
                    let is_busy = self.is_late && self.tells % 2 == 1;
                    let done = if is_busy { Err(NotTold::Busy) } else { Ok(()) };
                    engine.handle_told(now_ns, messages, done);
                }
                _ => {}
            }
        }
    }
}

fn message(kind: Kind, ike: IkeSpis, attributes: &[&[u8]]) -> Vec<u8> {
    let mut bytes = virtual_addresses(3, ike, false, &[]);
    bytes[1] = kind as u8;
    bytes.extend(attributes.concat());
    bytes
}

fn child(kind: Kind, ike: IkeSpis, spi: u32) -> Vec<u8> {
    let [inbound, outbound] = [spi, spi + 1].map(u32::to_ne_bytes);
    message(
        kind,
        ike,
        &[&[INBOUND_SPI], &inbound, &[OUTBOUND_SPI], &outbound],
    )
}

fn update(ike: IkeSpis) -> Vec<u8> {
    let port_and_family = [0x11, 0x94, 2];
    let end = [&[LOCAL_ADDRESS][..], &port_and_family, &VIP.octets()].concat();
    message(Kind::IkeUpdate, ike, &[&end, &[CONNECTION], b"rw\0"])
}

const FIRST: IkeSpis = IkeSpis(1, 2);

/// Messages of a session that begins.
pub fn session() -> Vec<Vec<u8>> {
    vec![
        message(Kind::IkeAdd, FIRST, &[]),
        child(Kind::ChildAdd, FIRST, 10),
        update(FIRST),
        virtual_addresses(3, FIRST, false, &[IpAddr::from([10, 3, 0, 1])]),
        message_id(3, Kind::MidResponder, FIRST, false, 7),
    ]
}

/// A session that begins, is rekeyed and ends.
pub fn seeds() -> Vec<Vec<u8>> {
    let second = IkeSpis(3, 4);
    let [initiator, responder] = [FIRST.0, FIRST.1].map(u64::to_be_bytes);
    let rekeyed: [&[u8]; 4] = [&[REKEYED, 2], &initiator, &responder, &[0]];
    let mut messages = session();
    messages.extend([
        message(Kind::IkeAdd, second, &rekeyed),
        message(Kind::IkeDelete, FIRST, &[]),
        update(second),
        child(Kind::ChildAdd, second, 20),
        child(Kind::ChildDelete, second, 10),
        message(Kind::IkeDelete, second, &[]),
    ]);
    let framed = |message: &Vec<u8>| {
        let length = (message.len() as u16).to_le_bytes();
        [&length[..], message].concat()
    };
    let framed: Vec<Vec<u8>> = messages.iter().map(framed).collect();
    let whole = (0..8).map(|flags| [&[flags], &framed.concat()[..]].concat());
    let without_end = [&[3], &framed[..framed.len() - 1].concat()[..]].concat();
    whole.chain([without_end]).collect()
}
