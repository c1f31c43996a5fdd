//! Whatever comes over the message bus: no bytes panic, and in whatever pieces they come the same is heard.

use spared_service::manager::bus::{Bus, BusEvent};

const WELCOME: &[u8] = b"OK 0123456789abcdef\r\n";

pub fn run(input: &[u8]) {
    let whole = heard(&[input]);
    let (one, two) = input.split_at(input.len() / 2);
    assert_eq!(heard(&[one, two]), whole);
}

/// All that is heard until a fault.
fn heard(pieces: &[&[u8]]) -> Result<Vec<BusEvent>, String> {
    let mut bus = Bus::default();
    let is_ours = |object: &str| object.ends_with("_2eservice");
    let mut all = bus.handle_bytes(WELCOME, is_ours)?;
    for piece in pieces {
        all.extend(bus.handle_bytes(piece, is_ours)?);
    }
    Ok(all)
}

/// Our own calls, and the same as replies, errors and signals.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut bus = Bus::default();
    let welcome = bus.handle_bytes(WELCOME, |_| true).unwrap_or_default();
    let Some(BusEvent::Welcome(calls)) = welcome.into_iter().next() else {
        return Vec::new();
    };
    let calls = calls
        .strip_prefix(b"BEGIN\r\n")
        .unwrap_or_default()
        .to_vec();
    let ping = bus.ping();
    let kinds = [2, 3, 4].map(|kind| {
        let mut message = ping.clone();
        message.splice(1..2, [kind]);
        message
    });
    let mut seeds = vec![calls, kinds.concat()];
    seeds.extend(kinds);
    seeds
}
