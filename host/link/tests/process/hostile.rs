//! Tests stations that are not the peer: wrong keys, wrong addresses, garbage, slow and half-open connections.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use spared_link::message::{FromLink, Keys, ToLink};

use crate::lab::{Lab, Node, PORT, Record, key, peers, setup, v4};

fn refusal(node: &mut Node) -> String {
    node.expect("a refusal", |message| match message {
        FromLink::Event { reason, text } if reason == "refused" => Some(text.clone()),
        _ => None,
    })
}

/// Asserts that no session starts, and that each side reports the wanted refusal.
fn stay_apart(nodes: &mut [Node; 2], wanted: &str) {
    let end = Instant::now() + Duration::from_secs(15);
    for node in &mut *nodes {
        while !refusal(node).contains(wanted) {
            assert!(Instant::now() < end, "nobody says {wanted}");
        }
    }
    for node in nodes {
        node.read();
        assert!(node.state.paths.iter().all(|path| !path.up));
        let up = node.received.iter().any(|m| matches!(m, FromLink::Up(_)));
        assert!(!up, "{:?}", node.received);
    }
}

#[test]
fn a_wrong_key_is_refused_on_both_sides() {
    for wrong in 0..2 {
        let Some(lab) = Lab::new(1) else { return };
        let mut nodes = [lab.silent_node(0), lab.silent_node(1)];
        for (side, node) in nodes.iter().enumerate() {
            let mut setup = setup(side, 1);
            if side == wrong {
                setup.keys = Keys::Pinned {
                    seed: [99; 32],
                    peer: vec![key(1 - side).public()],
                };
            }
            node.configure(&setup);
        }
        stay_apart(&mut nodes, "key");
    }
}

#[test]
fn a_passphrase_does_what_keys_do_and_a_wrong_one_what_a_wrong_key_does() {
    let Some(lab) = Lab::new(1) else { return };
    let mut nodes = [lab.silent_node(0), lab.silent_node(1)];
    let with = |side: usize, passphrase: &str| {
        let mut setup = setup(side, 1);
        setup.keys = Keys::Secret(passphrase.to_owned());
        setup
    };
    nodes[0].configure(&with(0, "wet horses battle a stapler"));
    nodes[1].configure(&with(1, "wet horses battle a staplar"));
    stay_apart(&mut nodes, "passphrase");
    nodes[1].configure(&with(1, "wet horses battle a stapler"));
    for node in &mut nodes {
        node.wait_for_paths(1);
    }
}

#[test]
fn keys_are_exchanged_without_a_channel_noticing() {
    let Some(lab) = Lab::new(1) else { return };
    let mut nodes = lab.pair(1);
    let [a, b] = peers("messenger", &nodes);
    // First the peer accepts the new key in addition to the old one, then this node uses it.
    let new = spared_key::PrivateKey::from_seed([77; 32]);
    let mut both = setup(1, 1);
    both.keys = Keys::Pinned {
        seed: *key(1).seed(),
        peer: vec![key(0).public(), new.public()],
    };
    nodes[1].tell(&ToLink::Configure(Box::new(both)));
    let mut own = setup(0, 1);
    own.keys = Keys::Pinned {
        seed: *new.seed(),
        peer: vec![key(1).public()],
    };
    nodes[0].tell(&ToLink::Configure(Box::new(own)));
    nodes[0].wait_state("a session with the new key", |state| {
        state.paths[0].sessions >= 2
    });
    a.send(b"still here");
    assert_eq!(b.receive(), Record::Message(b"still here".to_vec()));
}

#[test]
fn garbage_slow_and_half_open_connections_disturb_no_session() {
    let Some(lab) = Lab::new(1) else { return };
    let mut nodes = lab.pair(1);
    let [a, b] = peers("messenger", &nodes);
    // The connections come from the peer's own address, which is the worst case.
    let listener = SocketAddr::new(v4(0, 0), PORT);
    let connect = || lab.inside(1, || TcpStream::connect(listener).unwrap());
    let silent: Vec<TcpStream> = (0..8).map(|_| connect()).collect();
    let mut garbage = connect();
    garbage.write_all(&[0xa5; 4096]).unwrap();
    garbage
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    let mut rest = Vec::new();
    // It is closed, with or without a TLS alert.
    let _ = garbage.read_to_end(&mut rest);
    let mut slow = connect();
    for _ in 0..20 {
        let _ = slow.write_all(&[0x16]);
        a.send(b"a message");
        assert_eq!(b.receive(), Record::Message(b"a message".to_vec()));
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(silent);
    nodes[0].wait_state("they are counted", |state| state.paths[0].refused >= 5);
    assert!(nodes[0].state.paths[0].up);
    assert_eq!(nodes[0].state.paths[0].sessions, 1);
    assert!(refusal(&mut nodes[0]).contains("link lan0"));
}

#[test]
fn half_open_connections_do_not_keep_the_peer_out() {
    let Some(lab) = Lab::new(1) else { return };
    let mut listener = lab.node(0, 1);
    listener.wait_state("it listens", |state| {
        state
            .paths
            .iter()
            .any(|path| path.why.contains("has not connected"))
    });
    let address = SocketAddr::new(v4(0, 0), PORT);
    let connect = || lab.inside(1, || TcpStream::connect(address).unwrap());
    let _silent: Vec<TcpStream> = (0..6).map(|_| connect()).collect();
    let mut peer = lab.node(1, 1);
    let start = Instant::now();
    peer.wait_for_paths(1);
    assert!(
        start.elapsed() < Duration::from_secs(4),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn only_the_peer_s_address_may_connect() {
    let Some(lab) = Lab::new(1) else { return };
    let mut nodes = [lab.silent_node(0), lab.silent_node(1)];
    let mut expects_another = setup(0, 1);
    expects_another.paths[0].peer = "192.0.2.3".parse().unwrap();
    nodes[0].configure(&expects_another);
    nodes[1].configure(&setup(1, 1));
    let why = refusal(&mut nodes[0]);
    assert!(
        why.contains("from 192.0.2.2, which is not the peer"),
        "{why}"
    );
    nodes[1].read();
    assert!(!nodes[1].state.paths.iter().any(|path| path.up));
}

#[test]
fn it_has_no_privileges_and_dies_with_its_host() {
    let Some(lab) = Lab::new(1) else { return };
    let nodes = lab.pair(1);
    let path = format!("/proc/{}/status", nodes[0].child.pid());
    let status = std::fs::read_to_string(path).unwrap();
    for line in [
        "CapEff:\t0000000000000000",
        "CapBnd:\t0000000000000000",
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
    ] {
        assert!(status.contains(line), "{line} is not in {status}");
    }
    let [a, mut b] = nodes;
    let pid = a.child.pid();
    a.hang_up();
    b.expect("down", |message| match message {
        FromLink::Down { why } => Some(why.clone()),
        _ => None,
    });
    assert!(!std::path::Path::new(&format!("/proc/{pid}/fd/0")).exists());
}

#[test]
fn what_it_relays_is_in_no_core_dump() {
    let Some(lab) = Lab::new(1) else { return };
    let [node, _] = lab.pair(1);
    let of_process = format!("/proc/{}", node.child.pid());
    let limits = std::fs::read_to_string(format!("{of_process}/limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core"));
    let sizes = core.map(|line| line.split_whitespace().collect::<Vec<_>>());
    assert_eq!(sizes.unwrap()[4..6], ["0", "0"], "{limits}");
    // A process of the same account cannot read this if the process is not dumpable.
    let maps = format!("{of_process}/maps");
    let read = ["--bounding-set", "-all", "--inh-caps", "-all", "cat", &maps];
    let output = Command::new("setpriv").args(read).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("Permission denied"), "{said}");
}

#[test]
fn a_silent_peer_s_machine_is_asked_whether_it_lives() {
    let Some(lab) = Lab::new(1) else { return };
    let mut node = lab.node(0, 1);
    let icmp = lab.inside(0, || {
        let kind = socket2::Type::RAW.nonblocking();
        let protocol = Some(socket2::Protocol::ICMPV4);
        let socket = socket2::Socket::new(socket2::Domain::IPV4, kind, protocol).unwrap();
        socket.bind_device(Some(b"lan0")).unwrap();
        socket
    });
    let usable = ToLink::Path {
        index: 0,
        usable: true,
        mtu: 0,
    };
    node.tell_with(&usable, &icmp);
    node.wait_state("its kernel answers", |state| {
        state.answers_ping == Some(true)
    });
    lab.namespaces[1].shell("ip link set lan0 down").unwrap();
    node.wait_state("nothing answers", |state| state.answers_ping == Some(false));
    assert!(!node.state.paths[0].up);
}

/// Sends more marks than a socket and a queue hold. If too many arrive at once, the session treats some as garbage.
#[test]
fn a_peer_whose_marks_come_faster_than_the_host_reads_waits_and_the_process_lives() {
    const MARKS: u64 = 20_000;
    const MOMENT: Duration = Duration::from_millis(50);
    let Some(lab) = Lab::new(1) else { return };
    let mut nodes = lab.pair(1);
    let _workers = peers("messenger", &nodes);
    let mark = |node: &Node, id: u64| {
        let channels = vec!["messenger".to_owned()];
        node.tell_in_time(&ToLink::Mark { id, channels });
    };
    (0..MARKS).for_each(|id| mark(&nodes[1], id));
    let (end, mut came) = (Instant::now() + Duration::from_secs(15), Vec::new());
    while came.last().is_none_or(|id| *id < MARKS) {
        assert!(Instant::now() < end, "no mark after {:?}", came.last());
        // a mark that is sent when nothing else waits
        mark(&nodes[1], MARKS);
        let marked = |message: &FromLink| match message {
            FromLink::Marked { id, .. } => Some(*id),
            _ => None,
        };
        came.extend(std::iter::from_fn(|| {
            nodes[0].expect_within(MOMENT, "a mark", marked)
        }));
    }
    assert!(came.is_sorted());
    assert!(came.len() as u64 > MARKS / 2, "{} marks", came.len());
}
