//! The channel to the peer, as the link's end of it sees it.

use std::io::IoSlice;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, recv, sendmsg};
use spared_contract::channel::{DOWN, MESSAGE, RECORD_MAX, UP};
use spared_contract::{FromPlugin, ToPlugin};

use crate::lab::{Host, Lab, eventually, load, readable};

const EAGAIN: i32 = -11;
const EMSGSIZE: i32 = -90;
const ENOTCONN: i32 = -107;

const UP_2: [u8; 5] = [UP, 0, 0, 0, 2];
const MESSAGE_MAX: usize = RECORD_MAX - 1;

fn started(lab: &Lab) -> Host {
    Host::started(&super::probe(lab), &load("probe"), "")
}

/// Gives the worker a channel, and returns the link's end of it.
pub fn channel(host: &Host) -> OwnedFd {
    let (link, worker) = spared_records::pair().unwrap();
    host.send(&ToPlugin::Channel, &[worker.as_fd()]);
    link
}

fn channel_up(host: &Host) -> OwnedFd {
    let link = channel(host);
    put(&link, &UP_2).unwrap();
    link
}

pub fn put(link: &OwnedFd, record: &[u8]) -> Result<(), Errno> {
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    let parts = [IoSlice::new(record)];
    sendmsg(link, &parts, &mut SendAncillaryBuffer::default(), flags).map(|_| ())
}

/// Message as the probe expects it, with its number at the beginning.
fn numbered(number: u64, length: usize) -> Vec<u8> {
    let mut record = vec![0; 1 + length];
    record[0] = MESSAGE;
    record[1..9].copy_from_slice(&number.to_le_bytes());
    record
}

/// Sends messages with numbers from `from`, until the socket is full or `count` are sent. Returns their number.
fn put_numbered(link: &OwnedFd, from: u64, count: u64, length: usize) -> u64 {
    let took =
        (from..from + count).take_while(|number| put(link, &numbered(*number, length)).is_ok());
    took.count() as u64
}

/// Next record of the worker.
pub fn take(link: &OwnedFd) -> Option<Vec<u8>> {
    let mut buffer = vec![0; RECORD_MAX];
    readable(link.as_fd(), Duration::from_secs(5));
    let (_, length) = recv(link, &mut *buffer, RecvFlags::DONTWAIT | RecvFlags::TRUNC).ok()?;
    buffer.truncate(length);
    Some(buffer)
}

fn number(host: &mut Host, key: &str) -> u64 {
    host.query("messenger").number(key)
}

#[test]
fn the_peer_comes_speaks_and_goes_in_order() {
    let lab = Lab::new();
    let mut host = started(&lab);
    assert_eq!(host.query("send 1 8").status, ENOTCONN, "no channel yet");
    let link = channel(&host);
    assert_eq!(host.query("send 1 8").status, ENOTCONN, "no peer yet");
    put(&link, &UP_2).unwrap();
    put(&link, &[MESSAGE]).unwrap();
    put(&link, &numbered(1, MESSAGE_MAX)).unwrap();
    eventually("two messages", || number(&mut host, "messages") == 2);
    let peer = host.query("messenger");
    assert_eq!(peer.text("peer"), "up 2");
    assert_eq!(peer.number("bytes"), MESSAGE_MAX as u64);
    assert_eq!(host.query("send 1 8").status, 0);
    let record = take(&link).unwrap();
    assert_eq!((record[0], record.len()), (MESSAGE, 9));
    assert_eq!(host.query("too-long").status, EMSGSIZE);
    put(&link, &[DOWN]).unwrap();
    eventually("down", || host.query("messenger").text("peer") == "down");
    assert_eq!(host.query("send 1 8").status, ENOTCONN, "the peer is gone");
    assert_eq!(host.query("messenger").text("order"), "start up down ");
}

#[test]
fn a_channel_that_comes_before_start_is_served_after_it() {
    let lab = Lab::new();
    let mut host = Host::spawn(&super::probe(&lab), &load("probe"));
    host.loaded().unwrap();
    let link = channel_up(&host);
    assert_eq!(host.configure("", false).status, 0);
    put(&link, &numbered(0, 100)).unwrap();
    assert_eq!(host.ask(|token| ToPlugin::Start { token }).status, 0);
    eventually("the message", || number(&mut host, "messages") == 1);
    assert_eq!(host.query("messenger").text("order"), "start up ");
}

#[test]
fn what_a_dead_link_left_in_the_channel_is_heard_before_down() {
    let lab = Lab::new();
    let mut host = started(&lab);
    let link = channel_up(&host);
    eventually("up", || host.query("messenger").text("peer") == "up 2");
    // A record that the link never reads makes the close of its end a reset.
    assert_eq!(host.query("send 3 8").status, 0);
    let count = put_numbered(&link, 0, 50, 1000);
    drop(link);
    eventually("down", || host.query("messenger").text("peer") == "down");
    let peer = host.query("messenger");
    assert_eq!(count, 50);
    assert_eq!((peer.number("messages"), peer.number("faults")), (50, 0));
}

#[test]
fn a_new_channel_replaces_the_old_once_that_is_read() {
    let lab = Lab::new();
    let mut host = started(&lab);
    let old = channel_up(&host);
    host.query("nap 100");
    let left = put_numbered(&old, 0, 200, 100);
    let new = channel_up(&host);
    put_numbered(&new, left, 5, 100);
    eventually("all", || number(&mut host, "messages") == left + 5);
    let peer = host.query("messenger");
    assert_eq!(peer.text("order"), "start up down up ");
    assert_eq!(peer.number("faults"), 0);
    assert_eq!(put(&old, &[DOWN]), Err(Errno::PIPE), "the old is closed");
    assert_eq!(host.query("send 1 8").status, 0);
    assert_eq!(take(&new).unwrap().len(), 9);
}

#[test]
fn a_full_channel_says_so_and_says_when_it_is_not() {
    let lab = Lab::new();
    let mut host = started(&lab);
    let link = channel_up(&host);
    eventually("up", || host.query("messenger").text("peer") == "up 2");
    const COUNT: u64 = 2000;
    assert_eq!(host.query(&format!("send {COUNT} 20000")).status, EAGAIN);
    let before = host.query("messenger");
    assert!(before.number("sent") < COUNT);
    assert_eq!(before.number("writables"), 0, "nobody has read");
    for wanted in 0..COUNT {
        let record = take(&link).unwrap();
        assert_eq!(record.len(), 20_001);
        assert_eq!(record[1..9], wanted.to_le_bytes(), "each once, in order");
    }
    let after = host.query("messenger");
    assert_eq!(after.number("sent"), COUNT);
    assert!(after.number("writables") > 0);
    // With nothing to send, the plugin is told only once more.
    let writables = after.number("writables");
    std::thread::sleep(Duration::from_millis(20));
    assert!(number(&mut host, "writables") <= writables + 1);
}

#[test]
fn a_plugin_that_is_slow_stops_its_channel_and_loses_nothing() {
    let lab = Lab::new();
    let mut host = started(&lab);
    let link = channel_up(&host);
    host.query("nap 500");
    const COUNT: u64 = 1000;
    let (mut sent, mut refused) = (0, 0);
    while sent < COUNT {
        match put(&link, &numbered(sent, 20_000)) {
            Ok(()) => sent += 1,
            Err(errno) => {
                assert_eq!(errno, Errno::AGAIN);
                refused += 1;
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
    assert!(refused > 0, "the socket was never full");
    eventually("all", || number(&mut host, "messages") == COUNT);
    assert_eq!(number(&mut host, "faults"), 0);
}

#[test]
fn settle_comes_after_all_that_was_in_the_channel() {
    let lab = Lab::new();
    let mut host = started(&lab);
    let link = channel_up(&host);
    host.query("nap 200");
    let count = put_numbered(&link, 0, 500, 100);
    let settled = host.ask(|token| ToPlugin::Settle {
        token,
        deadline_ns: u64::MAX,
    });
    assert_eq!(settled.status, 0);
    let peer = host.query("messenger");
    assert_eq!((count, peer.number("settled_at")), (500, 500));
}

#[test]
fn settle_does_not_wait_for_a_plugin_that_is_too_slow() {
    let lab = Lab::new();
    let mut host = started(&lab);
    let link = channel_up(&host);
    host.query("nap 20000");
    put_numbered(&link, 0, 500, 100);
    let begin = Instant::now();
    // The deadline has passed already: the barrier takes as long as a callback may take.
    let settle = |token| ToPlugin::Settle {
        token,
        deadline_ns: 0,
    };
    assert_eq!(host.ask(settle).status, 0);
    assert!(
        begin.elapsed() < Duration::from_secs(5),
        "{:?}",
        begin.elapsed()
    );
    let settled_at = number(&mut host, "settled_at");
    assert!(settled_at < 100, "{settled_at}");
}

#[test]
fn a_link_that_speaks_nonsense_loses_its_channel_and_the_plugin_goes_on() {
    let lab = Lab::new();
    let mut host = started(&lab);
    let long = vec![MESSAGE; RECORD_MAX + 1];
    for (nonsense, why) in [
        (&[99][..], "unknown record"),
        (&[UP, 1], "unknown record"),
        (&long, "a record is too long"),
    ] {
        let link = channel_up(&host);
        eventually("up", || host.query("messenger").text("peer") == "up 2");
        put(&link, nonsense).unwrap();
        host.log(&format!("closed the channel to the peer: {why}"));
        assert_eq!(host.query("messenger").text("peer"), "down");
    }
    let link = channel(&host);
    put(&link, &numbered(0, 8)).unwrap();
    host.log("closed the channel to the peer: message while the peer is down");
    assert_eq!(number(&mut host, "messages"), 0);
}

#[test]
fn what_it_says_of_its_synchrony_arrives() {
    let lab = Lab::new();
    let mut host = started(&lab);
    for (words, expected) in [
        ("in_sync 0 loading", (false, "loading")),
        ("in_sync 1", (true, "")),
    ] {
        assert_eq!(host.query(words).status, 0);
        let said = host.wait(|message| match message {
            FromPlugin::InSync { yes, why } => Some((*yes, why.clone())),
            _ => None,
        });
        assert_eq!((said.0, said.1.as_str()), expected);
    }
}
