//! Frames, heartbeats and times in any order: the state machine must neither panic nor forget its timer.
//!
//! Input: records of one byte of time (units of 8 ms), one of length, and a frame, or a heartbeat where
//! it is none. Checksums, and the heartbeat's group and outline, are made right, so that the generator
//! need not find them.

use std::time::Duration;

use spared_sdk::config::Config;
use spared_vrrp::config::read;
use spared_vrrp::engine::{Action, Engine, InterfaceFacts, Neighbour, Path, SwitchoverAnswer};
use spared_vrrp::heartbeats::Heard;
use spared_vrrp::wire::heartbeat::{Ack, Heartbeat, Packet, TAG_LEN, group_id, next_group};

use crate::sample::{KEEPALIVED, adverts, hex, part};

const FILE: &str = r#"
[[group]]
name = "g"
priority = 100
vrid = 50
[[group.interface]]
interface = "a"
addresses = ["192.0.2.1/24", "2001:db8::1/64"]
[[group.interface]]
interface = "b"
addresses = ["198.51.100.1/24"]
"#;

pub fn run(input: &[u8]) {
    let Ok(config) = Config::parse(FILE, "r1", &[]) else {
        return;
    };
    let Some(settings) = read(&config, Duration::from_millis(4)) else {
        return;
    };
    let mut now_ns = 1_000_000_000;
    let mut engine = Engine::new("r1");
    engine.set_links(now_ns, &["hot".to_owned()]);
    engine.set_keys(true);
    engine.configure(now_ns, &settings);
    for (name, address) in [("a", "192.0.2.2"), ("b", "198.51.100.2")] {
        let Ok(address) = address.parse() else { return };
        let Ok(link_local) = "fe80::2".parse() else {
            return;
        };
        let facts = InterfaceFacts {
            present: true,
            up: true,
            carrier: true,
            mac: [2; 6],
            mtu: 1500,
            addresses: vec![address, link_local],
            broadcasts: Vec::new(),
            link_socket: true,
        };
        engine.handle_interface(now_ns, name, &facts);
        settle(&mut engine, now_ns);
    }
    let mut rest = input;
    while let [pause, length, tail @ ..] = rest {
        let (frame, after) = tail.split_at(usize::from(*length).min(tail.len()));
        rest = after;
        now_ns += u64::from(*pause) * 8_000_000;
        while engine.next_timeout().is_some_and(|at_ns| at_ns <= now_ns) {
            engine.handle_timeout(now_ns);
            settle(&mut engine, now_ns);
        }
        match heartbeat(frame) {
            Some((heartbeat, ack)) => {
                // over the link, a network, or as a copy, as the echo has it
                let neighbour = Neighbour {
                    mac: [4; 6],
                    address: [192, 0, 2, 3].into(),
                };
                let path = match ack.number % 3 {
                    0 => Path::Link(0),
                    _ => Path::Network(usize::from(*pause % 2), neighbour),
                };
                let heard = Heard {
                    run: 1,
                    ack,
                    heartbeat: &heartbeat,
                    is_timely: ack.number % 5 != 0,
                    is_new: ack.number % 3 != 2,
                    counts: ack.number % 7 != 0,
                };
                engine.handle_heartbeat(now_ns, path, &heard, 0);
            }
            None => {
                let interface = usize::from(*pause % 2);
                engine.handle_frame(now_ns, interface, &repaired(frame));
                engine.handle_station(now_ns, interface, frame);
            }
        }
        settle(&mut engine, now_ns);
        assert!(engine.next_timeout().is_some());
    }
}

fn settle(engine: &mut Engine, now_ns: u64) {
    while let Some(action) = engine.poll_action() {
        match action {
            Action::Publish { group, role, .. } => {
                engine.handle_published(now_ns, &group, role, true);
            }
            Action::Transmit(id) => assert!(engine.packet(id).is_some()),
            Action::Heartbeat => assert!(engine.heartbeat(now_ns).0.count() <= 1),
            Action::SwitchOver { group, .. } => {
                engine.handle_switch_over_answer(now_ns, &group, SwitchoverAnswer::Refused)
            }
            Action::FindNeighbours(interface) => {
                engine.handle_neighbours(now_ns, interface, &[[192, 0, 2, 9].into()]);
            }
            _ => {}
        }
    }
}

/// Heartbeat in a frame that begins as one does, and is as long as one of some ports.
fn heartbeat(frame: &[u8]) -> Option<(Heartbeat, Ack)> {
    const HEADER_LEN: usize = 44;
    const GROUP_LEN: usize = 23;
    const PORT_LEN: usize = 5;
    let ports = frame.len().checked_sub(HEADER_LEN + GROUP_LEN)? / PORT_LEN;
    let mut bytes = frame
        .get(..HEADER_LEN + GROUP_LEN + ports * PORT_LEN)?
        .to_vec();
    if !bytes.starts_with(b"SP") {
        return None;
    }
    bytes[..8].copy_from_slice(b"SPBT\x03\x00\x01\x00");
    bytes[HEADER_LEN + GROUP_LEN - 1] = u8::try_from(ports).ok()?;
    bytes.extend([0; TAG_LEN]);
    let mut heartbeat = Heartbeat::with_room();
    let packet = Packet::new_checked(&bytes).ok()?;
    next_group(packet.groups(), &mut heartbeat)?;
    heartbeat.group = group_id("g");
    Some((heartbeat, packet.ack()))
}

/// The frame with right IPv4 header and message checksums, where there are such.
fn repaired(frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    if frame.len() < 42 || frame[12..14] != [8, 0] || frame[14] != 0x45 {
        return frame;
    }
    let total = usize::from(u16::from_be_bytes([frame[16], frame[17]]));
    let end = (14 + total).clamp(42, frame.len());
    frame[24..26].fill(0);
    let sum = checksum(&frame[14..34]);
    frame[24..26].copy_from_slice(&sum);
    frame[40..42].fill(0);
    let sum = checksum(&frame[34..end]);
    frame[40..42].copy_from_slice(&sum);
    frame
}

fn checksum(bytes: &[u8]) -> [u8; 2] {
    let words = bytes.chunks(2).map(|word| match *word {
        [high, low] => u64::from(u16::from_be_bytes([high, low])),
        [high] => u64::from(high) << 8,
        _ => 0,
    });
    let mut sum: u64 = words.sum();
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

/// Adverts of both families and versions, and heartbeats, at intervals and long after one another.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut frames = adverts();
    frames.extend(KEEPALIVED.map(hex));
    frames.retain(|frame| frame.len() < 256);
    frames.push(part(2, "g", &["a", "b"]));
    frames.push(part(3, "g", &["a"]));
    let mut seeds: Vec<Vec<u8>> = Vec::new();
    for pause in [1, 12, 60, 255] {
        let records = frames
            .iter()
            .map(|frame| [&[pause, frame.len() as u8], &frame[..]].concat());
        seeds.push(records.collect::<Vec<_>>().concat());
    }
    for frame in &frames {
        let record = [&[12, frame.len() as u8], &frame[..]].concat();
        seeds.push(record.repeat(4));
    }
    seeds
}
