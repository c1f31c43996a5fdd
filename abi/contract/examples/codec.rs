//! Measures the encoding of messages: bytes, and nanoseconds to write and read them, compared with postcard, which has
//! no keys. `cargo run --release -p spared-contract --example codec`
#![allow(clippy::unwrap_used, reason = "an example that cannot go on fails")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;
use spared_contract::codec::Message;
use spared_contract::{
    Call, Cause, CauseKind, FromPlugin, GroupHeadline, InterfaceEvent, PairStatus, Publication,
    Role, SocketKind, ToPlugin,
};

const TIME: Duration = Duration::from_millis(300);

fn main() {
    println!(
        "{:<24} {:>16} {:>24} {:>24}",
        "", "bytes", "write ns", "read ns"
    );
    println!(
        "{:<24} {:>8}{:>8} {:>12}{:>12} {:>12}{:>12}",
        "", "CBOR", "postcard", "CBOR", "postcard", "CBOR", "postcard"
    );
    measure("Publish, 255 groups", &publish());
    measure("Interface", &ToPlugin::Interface(interface()));
    measure("Ping", &ToPlugin::Ping { number: 86_400 });
    let slow_calls = 3;
    measure(
        "Pong",
        &FromPlugin::Pong {
            slow_calls,
            number: 86_400,
        },
    );
    measure("Status, 20 groups", &ToPlugin::Status(status()));
}

fn measure<M: Message + Serialize + DeserializeOwned>(name: &str, message: &M) {
    let (ours, theirs) = (
        message.encode().unwrap(),
        postcard::to_stdvec(message).unwrap(),
    );
    let write = time(|| drop(black_box(message.encode())));
    let write_postcard = time(|| drop(black_box(postcard::to_stdvec(message))));
    let read = time(|| drop(black_box(M::decode(&ours))));
    let read_postcard = time(|| drop(black_box(postcard::from_bytes::<M>(&theirs))));
    println!(
        "{name:<24} {:>8}{:>8} {write:>12}{write_postcard:>12} {read:>12}{read_postcard:>12}",
        ours.len(),
        theirs.len()
    );
}

/// Nanoseconds of one execution, in the fastest of many rounds of a hundred.
fn time(work: impl Fn()) -> u128 {
    let began = Instant::now();
    let mut least = u128::MAX;
    while began.elapsed() < TIME {
        let round = Instant::now();
        (0..100).for_each(|_| work());
        least = least.min(round.elapsed().as_nanos() / 100);
    }
    least
}

fn publish() -> FromPlugin {
    let cause = || Cause {
        own: 100,
        theirs: 100,
        for_ns: 302_000_000,
        peer: "r2".to_owned(),
        interface: "lan0".to_owned(),
        ..Cause::of(CauseKind::PeerSilent)
    };
    let group = |number| {
        let mut publication = Publication::new(Role::Active, cause());
        publication.sent_ns = 86_400_000_000_000;
        (format!("group{number}"), publication)
    };
    let groups = (0..255).map(group).collect();
    let call = Call::Publish { groups };
    FromPlugin::Call { number: 4711, call }
}

fn interface() -> InterfaceEvent {
    InterfaceEvent {
        name: "lan0".to_owned(),
        present: true,
        up: true,
        carrier: true,
        index: 7,
        mtu: 1500,
        mac: [2, 0, 0, 0, 0, 1],
        addresses: vec![
            ("192.168.200.2".parse().unwrap(), 24),
            ("fe80::1".parse().unwrap(), 64),
        ],
        sockets: vec![SocketKind::VrrpLink, SocketKind::HeartbeatIn],
        generation: 3,
    }
}

fn status() -> PairStatus {
    let group = |number| GroupHeadline {
        verdict: Default::default(),
        group: format!("group{number}"),
        headline: format!(
            "group{number}: r1 is active, r2 is ready. A failover now would lose nothing."
        ),
        role: Some(Role::Active),
    };
    PairStatus {
        quality: 100,
        ready: true,
        link_up: true,
        node: "r1".to_owned(),
        peer: "r2".to_owned(),
        groups: (0..20).map(group).collect(),
        ..PairStatus::default()
    }
}
