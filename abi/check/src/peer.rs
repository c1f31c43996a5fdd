//! The peer plugin at its worst: it comes and goes, and sends messages that no peer sends.

use std::path::Path;
use std::time::Duration;

use spared_abi as abi;
use spared_contract::ConfigTable;

use crate::checks::started;
use crate::finding::Finding;
use crate::footprint::Footprint;
use crate::trial::{Mode, Trial};

const MESSAGE_MAX: usize = abi::PEER_MESSAGE_MAX as usize;
const ROUNDS: u32 = 5;
/// Messages in a round: some of chosen lengths, the rest at random.
const MESSAGES: u32 = 400;
/// Growth of memory that all rounds but the first may leave, as the allocator keeps some.
const GROWTH_KB_MAX: u64 = 1024;
/// Requests to sign or verify that are answered in a round.
const STATEMENTS_MAX: usize = 100;
/// How long drain and settle may be pending.
const TRANSFER_MAX: Duration = Duration::from_secs(2);

pub fn check(path: &Path, config: &ConfigTable) -> Vec<Finding> {
    let mut trial = match started(path, config, Mode::Plain) {
        Ok(trial) => trial,
        Err(findings) => return findings,
    };
    if trial.plugin.descriptor.has_peer {
        converse(&mut trial);
    }
    if trial.plugin.descriptor.has_identity {
        prove(&mut trial);
    }
    // Also without a peer: then there is nothing to send, and nothing was received.
    transfer(&mut trial, "without its peer");
    trial.stop();
    let misuses = trial.record.misuses.take();
    let mut findings = trial.destroy();
    findings.extend(misuses.into_iter().map(Finding::fail));
    findings
}

fn converse(trial: &mut Trial) {
    let mut chance = Chance(1);
    let mut before = None;
    let wires = [
        trial.plugin.descriptor.wire_max,
        trial.plugin.descriptor.wire_min,
    ];
    for (round, wire) in (0..ROUNDS).zip(wires.into_iter().cycle()) {
        trial.up(wire);
        garbage(trial, &mut chance);
        trial.serve(Duration::from_millis(50), |_| false);
        let is_through = transfer(trial, "with its peer");
        trial.down();
        if !is_through {
            return;
        }
        // The first round may set up things that stay.
        if round == 0 {
            before = Some(Footprint::now());
        }
    }
    let after = Footprint::now();
    if let Some(before) = before {
        let left = after.left_since(&before, "what the peer said");
        trial.findings.extend(left);
        let growth_kb = after.resident_kb.saturating_sub(before.resident_kb);
        if growth_kb > GROWTH_KB_MAX {
            trial.findings.push(Finding::fail(format!(
                "{} messages that are no peer's left {growth_kb} kB of memory behind",
                (ROUNDS - 1) * MESSAGES
            )));
        }
    }
}

/// Messages of no bytes to the greatest size, of zeros, ones and random bytes.
fn garbage(trial: &mut Trial, chance: &mut Chance) {
    let lengths = [
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
    let mut bytes = vec![0; MESSAGE_MAX];
    for fill in [Some(0), Some(0xff), None] {
        for byte in &mut bytes {
            *byte = fill.unwrap_or_else(|| chance.next() as u8);
        }
        for length in lengths {
            say(trial, bytes.get(..length).unwrap_or_default());
        }
    }
    for _ in 0..MESSAGES - 3 * lengths.len() as u32 {
        let length = chance.next() as usize % 2048;
        let begin = chance.next() as usize % (MESSAGE_MAX - 2048);
        say(trial, bytes.get(begin..begin + length).unwrap_or_default());
    }
}

/// Meaningless answers to requests to sign and verify, and answers that were never requested.
fn prove(trial: &mut Trial) {
    let mut chance = Chance(2);
    for _ in 0..ROUNDS {
        let asked = trial.record.tickets.take().into_iter();
        let strange = [0, u64::MAX, chance.next().into()];
        for ticket in asked.take(STATEMENTS_MAX).chain(strange) {
            let mut bytes = [0; abi::IDENTITY_SIGNATURE_SIZE as usize];
            for byte in &mut bytes {
                *byte = chance.next() as u8;
            }
            trial.signature(ticket, &bytes);
            for yes in [0, 1, 77] {
                trial.verified(ticket, yes);
            }
            trial.record.failures.take();
        }
        trial.serve(Duration::from_millis(50), |_| false);
    }
}

/// The plugin may fail; the trial itself notes what it must not do.
fn say(trial: &mut Trial, bytes: &[u8]) {
    trial.message(bytes);
    trial.record.failures.take();
}

/// Whether drain and settle both completed.
fn transfer(trial: &mut Trial, when: &str) -> bool {
    for callback in ["drain", "settle"] {
        let (token, status) = trial.transfer(callback, TRANSFER_MAX);
        let is_done = |record: &crate::host::Record| record.done.borrow().contains_key(&token);
        if status == abi::PENDING && !trial.serve(TRANSFER_MAX, is_done) {
            trial.findings.push(Finding::fail(format!(
                "done() for {callback} {when} did not come within {} s",
                TRANSFER_MAX.as_secs()
            )));
            return false;
        }
    }
    true
}

/// Random numbers, the same in each run, so that a finding can be reproduced.
pub struct Chance(pub u64);

impl Chance {
    pub fn next(&mut self) -> u32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as u32
    }
}
