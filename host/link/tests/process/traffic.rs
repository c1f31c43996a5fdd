//! Tests messages between peers, while paths come and go.

use std::time::{Duration, Instant};

use spared_link::message::{FromLink, ToLink};
use spared_link::word::Word;

use crate::lab::{Lab, Node, PATIENCE, Record, Worker, peers, setup, v6};

#[test]
fn peers_and_hosts_speak() {
    let Some(lab) = Lab::new(1) else { return };
    let [mut a, mut b] = lab.pair(1);
    let (peer_a, peer_b) = (
        a.channel("messenger", (1, 2)),
        b.channel("messenger", (2, 3)),
    );
    assert_eq!(a.expect_wire("messenger"), Ok(2));
    assert_eq!(b.expect_wire("messenger"), Ok(2));
    assert_eq!(peer_a.receive(), Record::Up(2));
    assert_eq!(peer_b.receive(), Record::Up(2));
    for length in [0, 1, 16 * 1024 - 64, 16 * 1024, 65536] {
        let message = vec![length as u8; length];
        peer_a.send(&message);
        assert_eq!(peer_b.receive(), Record::Message(message.clone()));
        peer_b.send(&message);
        assert_eq!(peer_a.receive(), Record::Message(message));
    }
    let word = Word::Took { switchover: 7 };
    a.tell(&ToLink::Say(word.clone()));
    let heard = b.expect("a word", |message| match message {
        FromLink::Heard(word) => Some(word.clone()),
        _ => None,
    });
    assert_eq!(heard, word);
}

#[test]
fn what_a_host_says_last_arrives_although_it_ends() {
    let Some(lab) = Lab::new(1) else { return };
    let [a, mut b] = lab.pair(1);
    let last = Word::Took { switchover: 9 };
    for switchover in 0..9 {
        a.tell(&ToLink::Say(Word::Took { switchover }));
    }
    a.tell(&ToLink::Say(last.clone()));
    a.end();
    b.expect("the last word", |message| match message {
        FromLink::Heard(word) if *word == last => Some(()),
        _ => None,
    });
}

/// Stream of numbered messages in one direction, each with a checksum.
struct Stream {
    sent: u64,
    received: u64,
}

impl Stream {
    fn new() -> Self {
        Self {
            sent: 0,
            received: 0,
        }
    }

    fn message(number: u64) -> Vec<u8> {
        let length = 16 + (number * 7919 % 60_000) as usize;
        let mut message = number.to_be_bytes().to_vec();
        message.resize(length, number as u8);
        let sum = checksum(&message);
        message.extend(sum.to_be_bytes());
        message
    }

    fn send_some(&mut self, worker: &Worker) {
        for _ in 0..16 {
            if !worker.try_send(&Self::message(self.sent)) {
                return;
            }
            self.sent += 1;
        }
    }

    fn receive_some(&mut self, worker: &Worker) {
        while let Some(record) = worker.try_receive() {
            let Record::Message(message) = record else {
                panic!("the channel changed: {record:?}");
            };
            let (body, sum) = message.split_at(message.len() - 8);
            assert_eq!(checksum(body).to_be_bytes(), sum, "a message was damaged");
            assert_eq!(
                message,
                Self::message(self.received),
                "a message is lost, or twice"
            );
            self.received += 1;
        }
    }
}

/// Computes an FNV-1a checksum.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Sends messages in both directions for a time.
fn stream_for(
    time: Duration,
    nodes: &mut [Node; 2],
    workers: &[Worker; 2],
    streams: &mut [Stream; 2],
) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        for side in 0..2 {
            streams[side].send_some(&workers[side]);
            streams[side].receive_some(&workers[1 - side]);
            nodes[side].read();
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn drain(nodes: &mut [Node; 2], workers: &[Worker; 2], streams: &mut [Stream; 2]) {
    let end = Instant::now() + PATIENCE;
    while streams.iter().any(|stream| stream.received < stream.sent) {
        assert!(Instant::now() < end, "messages do not arrive");
        for side in 0..2 {
            streams[side].receive_some(&workers[1 - side]);
            nodes[side].read();
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn nothing_is_lost_or_repeated_while_two_paths_are_cut_and_healed() {
    let Some(lab) = Lab::new(2) else { return };
    let mut nodes = lab.pair(2);
    let workers = peers("messenger", &nodes);
    let mut streams = [Stream::new(), Stream::new()];
    let moment = Duration::from_millis(700);
    for cable in [0, 1, 0] {
        stream_for(moment, &mut nodes, &workers, &mut streams);
        lab.cut(cable); // silently
        stream_for(moment, &mut nodes, &workers, &mut streams);
        lab.fix(cable);
        for node in &mut nodes {
            node.wait_for_paths(2);
        }
    }
    // The host reports the path as unusable, as after a loss of carrier.
    for side in 0..2 {
        let index = nodes[0]
            .state
            .paths
            .iter()
            .position(|path| path.carries)
            .unwrap();
        nodes[side].tell(&ToLink::Path {
            index,
            usable: false,
            mtu: 0,
        });
        stream_for(moment, &mut nodes, &workers, &mut streams);
        nodes[side].tell(&ToLink::Path {
            index,
            usable: true,
            mtu: 0,
        });
        for node in &mut nodes {
            node.wait_for_paths(2);
        }
    }
    drain(&mut nodes, &workers, &mut streams);
    assert!(
        streams.iter().all(|stream| stream.sent > 500),
        "little was sent"
    );
    assert!(nodes[0].state.path_changes > 0, "{:?}", nodes[0].state);
}

#[test]
fn the_only_path_stands_a_fifth_of_loss() {
    let Some(lab) = Lab::new(1) else { return };
    let mut nodes = lab.pair(1);
    let workers = peers("messenger", &nodes);
    for side in 0..2 {
        lab.lose(side, 0, 20);
    }
    let mut streams = [Stream::new(), Stream::new()];
    for _ in 0..20 {
        for side in 0..2 {
            if streams[side].sent - streams[side].received < 8 {
                streams[side].send_some(&workers[side]);
            }
        }
        std::thread::sleep(Duration::from_millis(200));
        for side in 0..2 {
            streams[side].receive_some(&workers[1 - side]);
            nodes[side].read();
        }
    }
    lab.fix(0);
    drain(&mut nodes, &workers, &mut streams);
    // a second connection may have replaced one whose retransmission waited long
    let is_down = |it: &FromLink| matches!(it, FromLink::Down { .. });
    let broke = nodes.iter().any(|node| node.received.iter().any(is_down));
    assert!(!broke, "it broke");
}

/// A common firewall. It accepts no connection whose start it has not seen.
const STRICT: &str = "table inet filter {
    chain input {
        type filter hook input priority filter; policy drop;
        ct state invalid drop
        ct state established accept
        tcp dport 3780 ct state new accept
    }
}
";

#[test]
fn the_only_path_stands_a_firewall_that_forgets_it() {
    let Some(lab) = Lab::new(1) else { return };
    for namespace in &lab.namespaces {
        namespace.nft(STRICT).unwrap();
        let loose = "net/netfilter/nf_conntrack_tcp_loose";
        namespace.set(&[(loose, "0")]).unwrap();
    }
    let mut nodes = lab.pair(1);
    let workers = peers("messenger", &nodes);
    let mut streams = [Stream::new(), Stream::new()];
    for namespace in &lab.namespaces {
        namespace.shell("conntrack -F").unwrap();
    }
    let before = [0, 1].map(|side| nodes[side].state.paths[0].refused);
    let (begun, mut silent) = (Instant::now(), [0; 2]);
    while nodes[0].state.paths[0].sessions < 2 {
        for side in 0..2 {
            if streams[side].sent - streams[side].received < 8 {
                streams[side].send_some(&workers[side]);
            }
            nodes[side].read();
            silent[side] += u32::from(nodes[side].state.paths[0].silent);
        }
        assert!(begun.elapsed() < Duration::from_secs(4), "still silent");
        std::thread::sleep(Duration::from_millis(20));
    }
    drain(&mut nodes, &workers, &mut streams);
    assert_eq!(silent, [0; 2], "it counted as down");
    for node in &nodes {
        let told = node.received.iter();
        let mut downs = told.filter(|it| matches!(it, FromLink::Down { .. }));
        assert_eq!(downs.next(), None);
    }
    let refused = [0, 1].map(|side| nodes[side].state.paths[0].refused);
    assert_eq!(refused, before);
}

#[test]
fn a_mark_comes_behind_all_that_was_written() {
    let Some(lab) = Lab::new(1) else { return };
    let mut nodes = lab.pair(1);
    let workers = peers("messenger", &nodes);
    let mut sent = 0;
    while workers[0].try_send(&[7; 30_000]) {
        sent += 1;
        if sent == 40 {
            break; // more than the link takes at once
        }
    }
    let channels = vec!["messenger".to_owned(), "nobody".to_owned()];
    nodes[0].tell(&ToLink::Mark { id: 5, channels });
    let marked = |message: &FromLink| match message {
        FromLink::Marked { id: 5, channel } => Some(channel.clone()),
        _ => None,
    };
    let mut received = 0;
    let end = Instant::now() + PATIENCE;
    while nodes[1]
        .expect_within(Duration::from_millis(1), "a mark", marked)
        .is_none()
    {
        assert!(Instant::now() < end, "no mark");
        while workers[1].try_receive().is_some() {
            received += 1;
        }
    }
    // All messages are in the socket by now.
    while workers[1].try_receive().is_some() {
        received += 1;
    }
    assert_eq!(received, sent);
}

#[test]
fn whichever_process_starts_anew_channels_go_down_and_up() {
    let Some(lab) = Lab::new(2) else { return };
    let mut nodes = lab.pair(2);
    for side in 0..2 {
        let names = ["first", "second"];
        let [a, b] = peers(names[side], &nodes);
        let staying = if side == 0 { b } else { a };
        nodes[side] = lab.node(side, 2);
        let fresh = nodes[side].channel(names[side], (1, 1));
        assert_eq!(staying.receive(), Record::Down);
        assert_eq!(staying.receive(), Record::Up(1));
        assert_eq!(fresh.receive(), Record::Up(1));
        fresh.send(b"hello");
        assert_eq!(staying.receive(), Record::Message(b"hello".to_vec()));
        staying.send(b"again");
        assert_eq!(fresh.receive(), Record::Message(b"again".to_vec()));
        nodes[1 - side].expect("down", |message| match message {
            FromLink::Down { why } => Some(why.clone()),
            _ => None,
        });
        for node in &mut nodes {
            node.wait_for_paths(2);
        }
    }
}

#[test]
fn link_local_addresses_are_of_the_interface() {
    let Some(lab) = Lab::new(1) else { return };
    let mut nodes = [lab.silent_node(0), lab.silent_node(1)];
    for (side, node) in nodes.iter().enumerate() {
        let mut setup = setup(side, 1);
        setup.paths[0].own = v6(0, side);
        setup.paths[0].peer = v6(0, 1 - side);
        node.configure(&setup);
    }
    for node in &mut nodes {
        node.wait_for_paths(1);
    }
}

#[test]
fn versions_that_do_not_meet_are_refused_and_the_rest_goes_on() {
    let Some(lab) = Lab::new(1) else { return };
    let mut nodes = lab.pair(1);
    let _peers = peers("messenger", &nodes);
    let _old = nodes[0].channel("conntrack", (1, 2));
    let _new = nodes[1].channel("conntrack", (3, 4));
    let sentence =
        "r2's conntrack supports wire versions 3 to 4, this node's 1 to 2: update the older one";
    assert_eq!(nodes[0].expect_wire("conntrack"), Err(sentence.to_owned()));
    let sentence =
        "r1's conntrack supports wire versions 1 to 2, this node's 3 to 4: update the older one";
    assert_eq!(nodes[1].expect_wire("conntrack"), Err(sentence.to_owned()));
}

mod alone {
    use super::*;

    #[test]
    fn a_silent_path_is_left_within_half_a_second() {
        let Some(lab) = Lab::new(2) else { return };
        let mut nodes = lab.pair(2);
        let workers = peers("messenger", &nodes);
        std::thread::sleep(Duration::from_secs(1));
        nodes[0].wait_state("a path carries", |state| {
            state.paths.iter().any(|path| path.carries)
        });
        let carrier = nodes[0]
            .state
            .paths
            .iter()
            .position(|path| path.carries)
            .unwrap();
        lab.cut(carrier);
        let cut = Instant::now();
        workers[0].send(b"over the other");
        assert_eq!(
            workers[1].receive(),
            Record::Message(b"over the other".to_vec())
        );
        let took = cut.elapsed();
        eprintln!("other path after silence: {took:?}");
        // Limit of 500 ms, and the delay that two busy cores add.
        assert!(took < Duration::from_millis(900), "{took:?}");
    }
}
