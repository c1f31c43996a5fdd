//! The peer plugin and partners at their worst: they come and go, and send messages that none sends.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::net::{SendFlags, send};
use spared_contract::channel::{
    DOWN, MESSAGE, RECORD_MAX, SIGN, SIGNATURE_SIZE, SIGNED, UP, VERIFIED, VERIFY,
};
use spared_contract::{ConfigTable, ToPlugin};
use spared_records::bytes;

use crate::checks::{stop, with_worker};
use crate::finding::Finding;
use crate::footprint::Footprint;
use crate::host::Host;

const MESSAGE_MAX: usize = RECORD_MAX - 1;
const ROUNDS: usize = 5;
/// Messages in a round: some of chosen lengths, the rest at random.
const MESSAGES: usize = 400;
const LENGTHS: [usize; 13] = [
    0,
    1,
    2,
    3,
    4,
    7,
    8,
    9,
    16,
    255,
    4096,
    MESSAGE_MAX - 1,
    MESSAGE_MAX,
];
/// Messages between two looks at whether the plugin lives.
const BURST: usize = 16;
/// How long drain and settle may be pending.
const TRANSFER_MAX: Duration = Duration::from_secs(2);
/// Deadline that never comes: the check has its own limit.
const NEVER_NS: u64 = u64::MAX;

pub fn check(path: &Path, config: &ConfigTable) -> Vec<Finding> {
    with_worker(path, config, |host| {
        host.begin(config)?;
        let has_channel = host.descriptor.has_peer || host.descriptor.has_identity;
        if has_channel {
            let conversed = converse(host);
            conversed.map_err(|why| format!("{why}: what the peer says is untrusted bytes"))?;
        }
        if host.descriptor.has_peer && !host.has_told_in_sync {
            let text = "never says whether it is in sync: the node would count as joining for good; \
                        report yes in up and in down, if there is nothing to receive";
            host.findings.push(Finding::warn(text));
        }
        // Also without a peer: then there is nothing to send, and nothing was received.
        transfer(host, "without its peer")?;
        stop(host)
    })
}

fn converse(host: &mut Host) -> Result<(), String> {
    let (link, theirs) = pair()?;
    host.hand(&ToPlugin::Channel, &[theirs.as_fd()]);
    drop(theirs);
    let mut chance = Chance(1);
    let mut before = None;
    let wires = [host.descriptor.wire_max, host.descriptor.wire_min];
    for (round, wire) in (0..ROUNDS).zip(wires.into_iter().cycle()) {
        put(&link, &[&[UP][..], &wire.to_be_bytes()].concat());
        for number in 0..MESSAGES {
            put(&link, &message(number, &mut chance));
            if number % BURST == 0 {
                host.pass("message")?;
                answer(&link, &mut chance);
            }
        }
        transfer(host, "with its peer")?;
        put(&link, &[DOWN]);
        host.pass("down")?;
        // The first round may set up things that stay.
        if round == 0 {
            before = Some(Footprint::of(host.pid()));
        }
    }
    if let Some(before) = before {
        let left = Footprint::left_since(&before, host.pid(), "what the peer said");
        host.findings.extend(left);
    }
    Ok(())
}

/// Messages of no bytes to the greatest size, of zeros, ones and random bytes.
fn message(number: usize, chance: &mut Chance) -> Vec<u8> {
    let (chosen, fill) = (LENGTHS.get(number % LENGTHS.len()), number / LENGTHS.len());
    let length = match fill {
        0..=2 => chosen.copied().unwrap_or(0),
        _ => chance.next() as usize % 2048,
    };
    let mut record = vec![MESSAGE];
    record.extend((0..length).map(|_| match fill {
        0 => 0,
        1 => 0xff,
        _ => chance.next() as u8,
    }));
    record
}

/// Reads what the plugin says. Requests to sign and to verify get answers that mean nothing, and so does nobody.
fn answer(link: &OwnedFd, chance: &mut Chance) {
    let mut buffer = vec![0; RECORD_MAX];
    let mut tickets = Vec::new();
    while let Ok(Some(length @ 1..)) = bytes::receive(link, &mut buffer) {
        match buffer.get(..length) {
            Some([SIGN | VERIFY, rest @ ..]) => tickets.extend(rest.get(..8).map(<[u8]>::to_vec)),
            _ => continue,
        }
    }
    if tickets.is_empty() {
        return;
    }
    tickets.push(vec![0xff; 8]);
    for ticket in tickets {
        let signature: Vec<u8> = (0..SIGNATURE_SIZE).map(|_| chance.next() as u8).collect();
        put(link, &[&[SIGNED][..], &ticket, &signature].concat());
        for yes in [0, 1] {
            put(link, &[&[VERIFIED][..], &ticket, &[yes]].concat());
        }
    }
}

/// # Errors
/// Drain or settle did not complete.
fn transfer(host: &mut Host, when: &str) -> Result<(), String> {
    type Message = fn(u64) -> ToPlugin;
    let calls: [(&str, Message); 2] = [
        ("drain", |token| ToPlugin::Drain {
            token,
            deadline_ns: NEVER_NS,
        }),
        ("settle", |token| ToPlugin::Settle {
            token,
            deadline_ns: NEVER_NS,
        }),
    ];
    for (callback, message) in calls {
        if host.call_within(callback, TRANSFER_MAX, message)?.is_none() {
            let seconds = TRANSFER_MAX.as_secs();
            host.findings.push(Finding::fail(format!(
                "done() for {callback} {when} did not come within {seconds} s"
            )));
        }
    }
    Ok(())
}

pub fn check_partners(path: &Path, config: &ConfigTable) -> Vec<Finding> {
    with_worker(path, config, |host| {
        host.begin(config)?;
        let partners = host.descriptor.partners.clone();
        let (mut chance, mut before) = (Chance(3), None);
        for round in 0..ROUNDS {
            for partner in &partners {
                talk(host, partner, &mut chance)?;
            }
            if round == 0 {
                before = Some(Footprint::of(host.pid()));
            }
        }
        if let Some(before) = before.filter(|_| !partners.is_empty()) {
            let left = Footprint::left_since(&before, host.pid(), "what a partner said");
            host.findings.extend(left);
        }
        stop(host)
    })
}

fn talk(host: &mut Host, partner: &str, chance: &mut Chance) -> Result<(), String> {
    let (ours, theirs) = pair()?;
    let plugin = partner.to_owned();
    host.hand(&ToPlugin::Partner { plugin }, &[theirs.as_fd()]);
    drop(theirs);
    host.pass("partner_up")?;
    for number in 0..4 * LENGTHS.len() {
        put(&ours, &message(number, chance));
        host.pass("partner_message")?;
        let mut buffer = vec![0; RECORD_MAX];
        while let Ok(Some(1..)) = bytes::receive(&ours, &mut buffer) {}
    }
    drop(ours);
    host.pass("partner_down")
}

fn pair() -> Result<(OwnedFd, OwnedFd), String> {
    spared_records::pair().map_err(|error| error.to_string())
}

/// A channel that is full, or that the plugin has closed, takes nothing.
fn put(channel: &OwnedFd, record: &[u8]) {
    let _ = send(channel, record, SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
}

/// Random numbers, the same in each run, so that a finding can be reproduced.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as u32
    }
}
