use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;

use super::*;
use crate::sockets::FRAME_MAX;
use crate::wire::heartbeat::{HeartbeatRole, group_id};
use crate::wire::offer;

const NAMES: [&str; 2] = ["hot0", "hot1"];
const NOW_NS: u64 = 1_000_000_000;

/// One node: its links, and the far ends of its sockets.
struct Node {
    links: Links,
    /// Far ends to write: the links receive from them.
    wires_in: Vec<UnixDatagram>,
    /// Far ends to read: the links send to them.
    wires_out: Vec<UnixDatagram>,
}

impl Node {
    fn start(name: &str, peer: &str) -> Node {
        let mut links = Links::new(name).expect("random bytes");
        links.set_peer(Some(peer));
        links.set_patience(1_000_000_000);
        let names = NAMES.map(str::to_owned);
        let gone = links.configure(&names, [group_id("office")].into_iter());
        assert!(gone.is_empty());
        let mut node = Node {
            links,
            wires_in: Vec::new(),
            wires_out: Vec::new(),
        };
        for name in NAMES {
            let (near_in, far_in) = UnixDatagram::pair().expect("a socket pair");
            let (near_out, far_out) = UnixDatagram::pair().expect("a socket pair");
            far_out.set_nonblocking(true).expect("non-blocking");
            let (gone, new) = node
                .links
                .update(name, &offered(&[near_in.as_fd(), near_out.as_fd()]));
            assert!(gone.is_empty() && new.is_some());
            node.wires_in.push(far_in);
            node.wires_out.push(far_out);
        }
        node
    }

    fn say(&mut self, quality: u8) {
        let heartbeat = Heartbeat {
            group: group_id("office"),
            role: HeartbeatRole::Backup,
            quality,
            ..Heartbeat::with_room()
        };
        self.links
            .send(NOW_NS, [heartbeat].iter(), &[], |_, _, _| false);
    }

    /// Returns new heartbeats of all waiting ones, from the links in turn.
    fn receive_heartbeats(&mut self) -> Vec<(usize, u8)> {
        let mut buffer = vec![0; FRAME_MAX];
        let mut news = Vec::new();
        for link in 0..self.links.count() {
            while let Some(packet) = self.links.receive(link, &mut buffer) {
                self.links.open(NOW_NS, link, packet, |heard| {
                    let heard = Some(heard).filter(|heard| heard.is_new);
                    news.extend(heard.map(|heard| (link, heard.heartbeat.quality)));
                });
            }
        }
        news
    }

    fn counter(&self, key: &str) -> Option<u64> {
        let rows = self.links.rows(3_000_000_000, Table::Counters);
        let found = rows.into_iter().find(|(name, _)| name == key)?;
        match found.1 {
            Value::Number(number) | Value::Counter(number) => Some(number),
            _ => None,
        }
    }
}

fn offered<'a>(sockets: &[BorrowedFd<'a>]) -> OpenSockets<'a> {
    let kinds = [SocketKind::HeartbeatIn, SocketKind::HeartbeatOut];
    kinds.into_iter().zip(sockets.iter().copied()).collect()
}

/// A packet as a packet socket delivers it.
fn packet(frame: &[u8]) -> Vec<u8> {
    let udp_len = u16::try_from(8 + frame.len()).expect("short").to_be_bytes();
    let mut packet = vec![0x60, 0, 0, 0, udp_len[0], udp_len[1], 17, 64];
    packet.extend([0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    packet.extend([0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
    packet.extend([0x0e, 0xc4, 0x0e, 0xc4, udp_len[0], udp_len[1], 0, 0]);
    packet.extend(frame);
    packet
}

/// Transfers all sent frames of one link of `from` to that of `to`; returns the frames.
fn carry(from: &Node, link: usize, to: &Node) -> Vec<Vec<u8>> {
    let mut buffer = [0; 2048];
    let mut frames = Vec::new();
    while let Ok(length) = from.wires_out[link].recv(&mut buffer) {
        let frame = buffer[..length].to_vec();
        to.wires_in[link].send(&packet(&frame)).expect("room");
        frames.push(frame);
    }
    frames
}

/// Lets both agree on keys and confirm them, on a path that no test counts.
fn connect(a: &mut Node, b: &mut Node) {
    for _ in 0..8 {
        exchange_heartbeats(a, b);
        exchange_heartbeats(b, a);
    }
    assert!(
        a.links.authentication.confirmed().is_some()
            && b.links.authentication.confirmed().is_some()
    );
}

fn exchange_heartbeats(from: &mut Node, to: &mut Node) {
    let authentication = &mut from.links.authentication;
    authentication.handle_timeout(NOW_NS);
    authentication.take_events(NOW_NS);
    while let Some(request) = authentication.poll_request() {
        match request {
            Request::Sign { ticket, .. } => authentication.handle_signed(NOW_NS, ticket, &[0; 64]),
            Request::Verify { ticket, .. } => authentication.handle_verified(NOW_NS, ticket, true),
        }
    }
    let mut hear = |frame: &[u8]| {
        let _ = to
            .links
            .authentication
            .receive(NOW_NS, PathClass::Link, 1, frame);
    };
    while let Some(frame) = authentication.poll_frame() {
        hear(&frame);
    }
    authentication.begin_heartbeat([Heartbeat::with_room()].iter());
    authentication.seal(NOW_NS, 1, 0, &mut hear);
}

#[test]
fn peers_hear_each_other_over_both_links_once() {
    let (mut a, mut b) = (Node::start("r1", "r2"), Node::start("r2", "r1"));
    a.say(100);
    assert_eq!(a.counter("link.hot0.heartbeats_sent"), Some(0));
    connect(&mut a, &mut b);
    a.say(100);
    a.say(75);
    carry(&a, 0, &b);
    let second = carry(&a, 1, &b);
    assert_eq!(b.receive_heartbeats(), [(0, 100), (0, 75)]);
    assert_eq!(b.counter("link.hot0.heartbeats_received"), Some(2));
    assert_eq!(second.len(), 2);
    assert_eq!(b.counter("link.hot1.heartbeats_received"), Some(2));
    assert_eq!(b.counter("link.hot1.heartbeats_copies"), Some(2));
    assert_eq!(a.counter("link.hot1.heartbeats_sent"), Some(2));
    let status = b.links.rows(3_000_000_000, Table::Status);
    let age = ("link.hot1.heartbeat_age_ms".to_owned(), Value::Number(2000));
    assert!(status.contains(&age), "{status:?}");
}

#[test]
fn a_recorded_heartbeat_counts_and_is_no_news() {
    let (mut a, mut b) = (Node::start("r1", "r2"), Node::start("r2", "r1"));
    connect(&mut a, &mut b);
    a.say(100);
    let frames = carry(&a, 0, &b);
    assert_eq!(b.receive_heartbeats(), [(0, 100)]);
    for link in [0, 1] {
        b.wires_in[link].send(&packet(&frames[0])).expect("room");
    }
    b.wires_in[0].send(&packet(b"SPBT")).expect("room");
    b.wires_in[0].send(&frames[0]).expect("room");
    assert_eq!(b.receive_heartbeats(), []);
    for key in [
        "link.hot0.heartbeats_dropped.replayed",
        "link.hot1.heartbeats_dropped.other_path",
        "link.hot0.heartbeats_dropped.malformed",
        "link.hot0.heartbeats_dropped.datagram",
    ] {
        assert_eq!(b.counter(key), Some(1), "{key}");
    }
}

#[test]
fn the_other_link_goes_on_where_one_takes_nothing() {
    let (mut a, mut b) = (Node::start("r1", "r2"), Node::start("r2", "r1"));
    connect(&mut a, &mut b);
    // nothing is read: the queue of the first link becomes full, and nothing waits for it
    for _ in 0..2000 {
        let _ = a.wires_out[1].recv(&mut [0; 2048]);
        a.say(100);
    }
    assert_eq!(a.counter("link.hot1.heartbeats_sent"), Some(2000));
    let sent = a.counter("link.hot0.heartbeats_sent").expect("a row");
    let errors = a
        .counter("link.hot0.heartbeats_send_errors")
        .expect("a row");
    assert!(errors > 0 && sent + errors == 2000, "{sent} {errors}");
}

#[test]
fn the_answer_to_an_earlier_heartbeat_costs_no_later_one() {
    let mut links = Links::new("r1").expect("random bytes");
    links.set_peer(Some("r2"));
    links.set_patience(NOW_NS);
    links.configure(&["hot0".to_owned()], [].into_iter());
    let receiver = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    let port = receiver.local_addr().expect("an address").port();
    let (unused, _) = UnixDatagram::pair().expect("a socket pair");
    let sender = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    sender.connect((Ipv4Addr::LOCALHOST, port)).expect("no I/O");
    links.update("hot0", &offered(&[unused.as_fd(), sender.as_fd()]));
    drop(receiver);
    // refused, which the next send reports
    links.handle_timeout(NOW_NS);
    links.send_offers(Vec::new, |_, _, _| false);
    let receiver = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).expect("the same port");
    receiver.set_nonblocking(true).expect("non-blocking");
    links.handle_timeout(2 * NOW_NS);
    links.send_offers(Vec::new, |_, _, _| false);
    assert!(receiver.recv(&mut [0; 2048]).is_ok());
}

#[test]
fn sockets_are_watched_by_what_they_are_and_closed_when_gone() {
    let (mut node, mut other) = (Node::start("r1", "r2"), Node::start("r2", "r1"));
    connect(&mut node, &mut other);
    let watched = node.links.links[0].watched().expect("a socket");
    assert_eq!(node.links.find(watched), Some(0));
    let (near_in, _far_in) = UnixDatagram::pair().expect("a socket pair");
    let (near_out, _far_out) = UnixDatagram::pair().expect("a socket pair");
    let sockets = [near_in.as_fd(), near_out.as_fd()];
    let (gone, new) = node.links.update("hot0", &offered(&sockets));
    assert_eq!((gone.len(), new.is_some()), (2, true));
    // the same sockets again, and those of an interface that is no link
    let (gone, new) = node.links.update("hot0", &offered(&sockets));
    assert_eq!((gone.len(), new), (0, None));
    let (gone, new) = node.links.update("lan0", &offered(&sockets));
    assert_eq!((gone.len(), new), (0, None));
    let (gone, new) = node.links.update("hot0", &OpenSockets::default());
    assert_eq!((gone.len(), new), (2, None));
    assert!(node.receive_heartbeats().is_empty());
    node.say(100);
    assert_eq!(node.counter("link.hot0.heartbeats_sent"), Some(0));
    // another configuration keeps the links in it, and closes the others
    let names = ["new0", "hot1"].map(str::to_owned);
    assert!(node.links.configure(&names, [].into_iter()).is_empty());
    assert_eq!(node.counter("link.hot1.heartbeats_sent"), Some(1));
    assert_eq!(node.links.configure(&names[..1], [].into_iter()).len(), 2);
    assert!(node.links.close().is_empty());
}

#[test]
fn what_the_agreement_says_goes_over_every_link_and_every_network() {
    let mut a = Node::start("r1", "r2");
    let a_run = a.links.authentication.run();
    let target = HeartbeatTarget {
        interface: 0,
        path: 1 << 31,
        mac: [2; 6],
        source: Ipv4Addr::LOCALHOST.into(),
        to: None,
    };
    a.links.handle_timeout(NOW_NS);
    let mut carried = Vec::new();
    a.links.send_offers(
        || vec![target],
        |interface, to, bytes| {
            carried.push((interface, to, bytes.ends_with(&offer::hello(a_run))));
            true
        },
    );
    assert_eq!(carried, [(0, None, true)]);
    for wire in &a.wires_out {
        let mut buffer = [0; 2048];
        let length = wire.recv(&mut buffer).expect("a hello");
        assert_eq!(buffer[..length], offer::hello(a_run));
    }
    let state = (
        "heartbeats.key".to_owned(),
        Value::Text("not yet agreed".to_owned()),
    );
    assert!(a.links.rows(NOW_NS, Table::Status).contains(&state));
}
