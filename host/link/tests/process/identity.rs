//! Tests statements of plugins: one node signs them and the other verifies them, without any path between the nodes.

use std::time::{Duration, Instant};

use spared_contract::channel::{SIGN, STATEMENT_MAX, VERIFY};
use spared_link::message::{Keys, Setup};

use crate::lab::{Lab, Node, PATIENCE, Record, Worker, key, peers, setup};

const STATEMENT: &[u8] = b"the run 7 has the key ...";
const MOMENT: Duration = Duration::from_millis(300);

fn sign(worker: &Worker, ticket: u64, statement: &[u8]) {
    worker.put(&[&[SIGN][..], &ticket.to_be_bytes(), statement].concat());
}

fn verify(worker: &Worker, ticket: u64, statement: &[u8], signature: &[u8]) {
    let ticket = ticket.to_be_bytes();
    worker.put(&[&[VERIFY][..], &ticket, signature, statement].concat());
}

fn signature(worker: &Worker, statement: &[u8]) -> Vec<u8> {
    sign(worker, 1, statement);
    match worker.receive() {
        Record::Signed(1, signature) => signature,
        other => panic!("{other:?}"),
    }
}

fn is_genuine(worker: &Worker, statement: &[u8], signature: &[u8]) -> bool {
    verify(worker, u64::MAX, statement, signature);
    match worker.receive() {
        Record::Verified(u64::MAX, yes) => yes,
        other => panic!("{other:?}"),
    }
}

/// Starts two nodes with each other's keys and without a path.
fn strangers(lab: &Lab, keys: impl Fn(usize) -> Keys) -> [Node; 2] {
    [0, 1].map(|side| {
        let node = lab.silent_node(side);
        node.configure(&of(side, keys(side)));
        node
    })
}

fn of(side: usize, keys: Keys) -> Setup {
    Setup {
        keys,
        ..setup(side, 0)
    }
}

fn pinned(side: usize) -> Keys {
    setup(side, 0).keys
}

/// Opens the channels of a plugin without a peer on both nodes.
fn workers(nodes: &[Node; 2], plugin: &str) -> [Worker; 2] {
    [0, 1].map(|side| nodes[side].channel_of(plugin, None))
}

#[test]
fn a_statement_is_believed_of_the_peer_alone_and_of_one_plugin_alone() {
    let Some(lab) = Lab::new(0) else { return };
    let nodes = strangers(&lab, pinned);
    let [a, b] = workers(&nodes, "vrrp");
    for statement in [STATEMENT, b"", &[0xa5; STATEMENT_MAX]] {
        let signed = signature(&a, statement);
        assert!(is_genuine(&b, statement, &signed));
        assert!(!is_genuine(&a, statement, &signed), "one's own is no proof");
    }
    let signed = signature(&a, STATEMENT);
    let mut forged = signed.clone();
    forged[40] ^= 1;
    assert!(!is_genuine(&b, STATEMENT, &forged));
    assert!(!is_genuine(&b, b"the run 8 has the key ...", &signed));
    assert!(!is_genuine(&b, STATEMENT, &[0; 64]));
    let [_, other] = workers(&nodes, "health");
    assert!(!is_genuine(&other, STATEMENT, &signed));
}

#[test]
fn keys_may_be_two_of_the_peer_and_a_wrong_one_is_no_key() {
    let Some(lab) = Lab::new(0) else { return };
    let mut nodes = strangers(&lab, pinned);
    let [a, b] = workers(&nodes, "vrrp");
    let signed = signature(&a, STATEMENT);
    assert!(is_genuine(&b, STATEMENT, &signed));
    let trusting = |peer: &[[u8; 32]]| Keys::Pinned {
        seed: *key(1).seed(),
        peer: peer.to_vec(),
    };
    let new = spared_key::PrivateKey::from_seed([77; 32]).public();
    // the keys change by a reload, and the channel stays
    nodes[1].configure(&of(1, trusting(&[new, key(0).public()])));
    assert!(is_genuine(&b, STATEMENT, &signed));
    nodes[1].configure(&of(1, trusting(&[new])));
    let end = Instant::now() + PATIENCE;
    while is_genuine(&b, STATEMENT, &signed) {
        assert!(Instant::now() < end, "the old key is believed");
        std::thread::sleep(Duration::from_millis(100));
    }
    nodes[1].read();
    assert!(nodes[1].state.paths.is_empty());
}

#[test]
fn a_passphrase_makes_keys_of_both_nodes() {
    let Some(lab) = Lab::new(0) else { return };
    let secret = |text: &str| Keys::Secret(text.to_owned());
    let same = strangers(&lab, |_| secret("wet horses battle a stapler"));
    let [a, b] = workers(&same, "vrrp");
    let signed = signature(&a, STATEMENT);
    assert!(is_genuine(&b, STATEMENT, &signed));
    assert!(!is_genuine(&a, STATEMENT, &signed), "one's own is no proof");
    let other = lab.silent_node(1);
    other.configure(&of(1, secret("wet horses battle a staplar")));
    let worker = other.channel_of("vrrp", None);
    assert!(!is_genuine(&worker, STATEMENT, &signed));
}

#[test]
fn twenty_a_second_are_answered_and_a_plugin_has_its_own_twenty() {
    let Some(lab) = Lab::new(0) else { return };
    let nodes = strangers(&lab, pinned);
    let [greedy, _] = workers(&nodes, "greedy");
    let [modest, _] = workers(&nodes, "modest");
    let begin = Instant::now();
    for ticket in 0..200 {
        sign(&greedy, ticket, STATEMENT);
    }
    let mut answered = 0;
    while let Some(record) = greedy.receive_within(MOMENT) {
        assert!(matches!(record, Record::Signed(ticket, _) if ticket == answered));
        answered += 1;
    }
    let more = 20 * begin.elapsed().as_millis() as u64 / 1000 + 1;
    assert!((20..20 + more).contains(&answered), "{answered}");
    signature(&modest, STATEMENT);
    std::thread::sleep(Duration::from_secs(1));
    signature(&greedy, STATEMENT);
}

#[test]
fn forged_statements_leave_room_for_one_s_own() {
    let Some(lab) = Lab::new(0) else { return };
    let nodes = strangers(&lab, pinned);
    let [a, _] = workers(&nodes, "vrrp");
    for ticket in 0..200 {
        verify(&a, ticket, STATEMENT, &[9; 64]);
    }
    sign(&a, 999, STATEMENT);
    let mut signed = false;
    while let Some(record) = a.receive_within(MOMENT) {
        signed |= matches!(record, Record::Signed(999, _));
    }
    assert!(signed);
}

#[test]
fn garbage_is_answered_nothing_and_disturbs_no_message() {
    let Some(lab) = Lab::new(1) else { return };
    let nodes = lab.pair(1);
    let [a, b] = peers("vrrp", &nodes);
    for garbage in [
        &[SIGN][..],
        &[SIGN, 1, 2, 3, 4, 5, 6, 7],
        &[SIGN; 1 + 8 + STATEMENT_MAX + 1],
        &[VERIFY],
        &[VERIFY; 1 + 8 + 63],
        &[VERIFY; 1 + 8 + 64 + STATEMENT_MAX + 1],
        &[SIGN + 16, 0, 0, 0, 0, 0, 0, 0, 0],
        &[6; 73],
        &[7; 10],
        &[0xff; 600],
    ] {
        a.put(garbage);
    }
    a.send(b"a message");
    assert_eq!(b.receive(), Record::Message(b"a message".to_vec()));
    assert_eq!(a.receive_within(MOMENT), None);
    let signed = signature(&a, STATEMENT);
    assert!(is_genuine(&b, STATEMENT, &signed));
    a.send(b"another");
    assert_eq!(b.receive(), Record::Message(b"another".to_vec()));
}

#[test]
fn paths_that_come_later_take_the_peer_and_leave_the_keys() {
    let Some(lab) = Lab::new(1) else { return };
    let mut nodes = strangers(&lab, pinned);
    let [a, b] = [0, 1].map(|side| nodes[side].channel("vrrp", (1, 1)));
    let signed = signature(&a, STATEMENT);
    assert!(is_genuine(&b, STATEMENT, &signed));
    for (side, node) in nodes.iter_mut().enumerate() {
        node.configure(&setup(side, 1));
    }
    for node in &mut nodes {
        node.wait_for_paths(1);
    }
    for worker in [&a, &b] {
        assert_eq!(worker.receive(), Record::Up(1));
    }
    assert!(is_genuine(&b, STATEMENT, &signed));
    a.send(b"a message");
    assert_eq!(b.receive(), Record::Message(b"a message".to_vec()));
}
