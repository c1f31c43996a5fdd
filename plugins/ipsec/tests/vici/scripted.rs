//! Tests the thread with fake charons.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use spared_ipsec::engine::{ChildName, DaemonEvent};
use spared_ipsec::vici::codec::{Packet, Section};
use spared_ipsec::vici::{Daemon, ViciEvent};

use crate::fixture::{Fixture, Folder, name};

const SOME: Duration = Duration::from_millis(2500);

#[test]
fn without_a_socket_nothing_is_ever_said() {
    let daemon = Daemon::start(None, || panic!("woken")).unwrap();
    daemon.adopt(vec![name("net")], [1].into());
    daemon.forget();
    assert_eq!(daemon.poll(), None);
    daemon.stop();
}

#[test]
fn where_there_is_no_charon_there_is_no_noise() {
    let folder = Folder::new("absent");
    let here = Fixture::start(&folder.path("vici"));
    here.adopt("net", &[]);
    assert_eq!(
        here.next_in(SOME),
        Some(ViciEvent::Daemon(DaemonEvent::Absent))
    );
    assert!(here.is_quiet(SOME));
    // the socket of a killed charon remains
    drop(UnixListener::bind(folder.path("vici")).unwrap());
    assert!(here.is_quiet(SOME));
    here.stop_at_once();
}

#[test]
fn one_that_talks_garbage_is_told_of_once() {
    let folder = Folder::new("garbage");
    listen(&folder.path("vici"), |mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        let _ = stream.read(&mut [0; 4096]);
    });
    let here = Fixture::start(&folder.path("vici"));
    let note = here.note();
    assert!(note.starts_with("cannot talk to charon: "), "{note}");
    assert_eq!(here.next_in(SOME), ended());
    assert!(here.is_quiet(SOME));
    here.stop_at_once();
}

#[test]
fn one_that_hangs_is_not_waited_for() {
    let folder = Folder::new("hang");
    listen(&folder.path("vici"), |mut stream| {
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let here = Fixture::start(&folder.path("vici"));
    let note = here.note();
    assert!(note.ends_with("it does not answer"), "{note}");
    // a charon that is being stopped does the same
    assert_eq!(here.next_in(SOME), ended());
    // during the next try
    assert!(here.is_quiet(SOME));
    here.stop_at_once();
}

#[test]
fn one_whose_queue_is_full_is_not_waited_for() {
    let folder = Folder::new("full");
    let listener = UnixListener::bind(folder.path("vici")).unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let _first = UnixStream::connect(folder.path("vici")).unwrap();
    let here = Fixture::start(&folder.path("vici"));
    assert!(here.note().starts_with("cannot talk to charon: "));
    here.stop_at_once();
}

#[test]
fn an_initiation_ends_when_it_is_forgotten() {
    let folder = Folder::new("forget");
    let initiated = behave(&folder.path("vici"));
    let here = Fixture::start(&folder.path("vici"));
    here.adopt("net", &[]);
    let (_, mut stream) = initiated.recv_timeout(Duration::from_secs(5)).unwrap();
    here.daemon.forget();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    here.until(|said| matches!(said, ViciEvent::Names(_)).then_some(()));
    assert!(here.is_quiet(SOME));
    here.stop_at_once();
}

#[test]
fn an_initiation_does_not_keep_names_waiting() {
    let folder = Folder::new("names");
    let initiated = behave(&folder.path("vici"));
    let here = Fixture::start(&folder.path("vici"));
    here.adopt("net", &[]);
    let (_, mut stream) = initiated.recv_timeout(Duration::from_secs(5)).unwrap();
    here.until(|said| matches!(said, ViciEvent::Names(_)).then_some(()));
    assert!(here.is_quiet(Duration::from_millis(100)));
    let answer = Section::new()
        .value("success", "no")
        .value("errmsg", "no\nluck");
    stream
        .write_all(&Packet::Response(answer).encode().unwrap())
        .unwrap();
    assert_eq!(here.adopted(), Err("initiate: noluck".to_owned()));
    let _again = initiated.recv_timeout(Duration::from_secs(5)).unwrap();
    here.stop_at_once();
}

#[test]
fn a_peer_that_is_dead_does_not_keep_others_waiting() {
    let folder = Folder::new("dead");
    let initiated = behave(&folder.path("vici"));
    let here = Fixture::start(&folder.path("vici"));
    let farther = ChildName {
        ike: "farther".to_owned(),
        child: "net".to_owned(),
    };
    here.daemon
        .adopt(vec![name("net"), farther.clone()], BTreeSet::new());
    let limit = Duration::from_secs(5);
    let both: BTreeMap<String, UnixStream> = (0..2)
        .map(|_| initiated.recv_timeout(limit).unwrap())
        .collect();
    let mut other = &both["farther"];
    let done = Packet::Response(Section::new().value("success", "yes"));
    other.write_all(&done.encode().unwrap()).unwrap();
    here.until(|said| (*said == ViciEvent::Adopted(farther.clone(), Ok(()))).then_some(()));
    here.stop_at_once();
}

#[test]
fn one_that_does_not_stop_talking_is_stopped() {
    let folder = Folder::new("flood");
    listen(&folder.path("vici"), |mut stream| {
        let event = Packet::Event(b"child-updown".to_vec(), Section::new());
        let event = event.encode().unwrap();
        let confirm = Packet::Confirm.encode().unwrap();
        let response = Packet::Response(Section::new()).encode().unwrap();
        // four events, the list's own, its end, and no release
        let mut bytes = [confirm.repeat(5), response.repeat(2)].concat();
        while stream.write_all(&bytes).is_ok() {
            bytes.clone_from(&event);
        }
    });
    let here = Fixture::start(&folder.path("vici"));
    here.until(|said| matches!(said, ViciEvent::Names(_)).then_some(()));
    thread::sleep(Duration::from_millis(200));
    here.stop_at_once();
}

fn ended() -> Option<ViciEvent> {
    Some(ViciEvent::Daemon(DaemonEvent::Ended))
}

/// Serves each connection in a thread of its own, as long as the process exists.
fn listen(path: &Path, serve: impl Fn(UnixStream) + Clone + Send + 'static) {
    let listener = UnixListener::bind(path).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = serve.clone();
            thread::spawn(move || serve(stream));
        }
    });
}

/// Fake charon that has loaded far/net and farther/net. The receiver gets each `initiate` with its stream, to answer
/// it.
fn behave(path: &Path) -> Receiver<(String, UnixStream)> {
    let (initiated, streams) = channel();
    listen(path, move |mut stream| {
        while let Some(packet) = read(&mut stream) {
            let children = Section::new().section("net", Section::new());
            let far = Section::new()
                .list("remote_addrs", ["192.0.2.2"])
                .section("children", children);
            let conns = Section::new()
                .section("far", far.clone())
                .section("farther", far);
            let answers = match packet {
                Packet::Register(_) => vec![Packet::Confirm],
                Packet::Request(name, what) if name == b"initiate" => {
                    let _ = initiated.send((what.text("ike").unwrap().to_owned(), stream));
                    return;
                }
                Packet::Request(name, _) if name == b"list-conns" => vec![
                    Packet::Event(b"list-conn".to_vec(), conns),
                    Packet::Response(Section::new()),
                ],
                _ => vec![Packet::Response(Section::new())],
            };
            for answer in answers {
                let _ = stream.write_all(&answer.encode().unwrap());
            }
        }
    });
    streams
}

fn read(stream: &mut UnixStream) -> Option<Packet> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).ok()?;
    let mut bytes = vec![0; usize::try_from(u32::from_be_bytes(length)).ok()?];
    stream.read_exact(&mut bytes).ok()?;
    Packet::parse(&bytes).ok()
}
