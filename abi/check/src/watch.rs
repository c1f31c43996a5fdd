//! States of the pair and events, also of kinds that no host has yet.

use std::path::Path;

use spared_abi as abi;
use spared_contract::ConfigTable;

use crate::checks::started;
use crate::finding::Finding;
use crate::host::size;
use crate::trial::{Mode, Trial};

const COUNTS: [usize; 3] = [0, 1, 300];
const VERDICT_MAX: u32 = 9;

pub fn check(path: &Path, config: &ConfigTable) -> Vec<Finding> {
    let mut trial = match started(path, config, Mode::Plain) {
        Ok(trial) => trial,
        Err(findings) => return findings,
    };
    for count in COUNTS {
        (0..=VERDICT_MAX).for_each(|verdict| tell_status(&mut trial, verdict, count));
    }
    for lost in [0, u64::MAX] {
        tell_event(&mut trial, lost);
    }
    trial.stop();
    trial.destroy()
}

fn tell_status(trial: &mut Trial, verdict: u32, count: usize) {
    let Some(status) = trial.plugin.watch.status else {
        return;
    };
    let text = abi::Str::of("it is so because of a test");
    let group = abi::GroupStatus {
        size: size::<abi::GroupStatus>(),
        verdict,
        group: abi::Str::of(if count == 1 { "" } else { "office" }),
        headline: text,
        role: verdict,
        reserved: 0,
    };
    let finding = abi::Finding {
        size: size::<abi::Finding>(),
        flags: 0,
        id: abi::Str::of("SP-0000"),
        node: text,
        thing: text,
        text,
        todo: abi::Str::EMPTY,
        since: abi::Str::EMPTY,
    };
    let (groups, findings) = (vec![group; count], vec![finding; count]);
    let raw = abi::PairStatus {
        size: size::<abi::PairStatus>(),
        // and flags that no plugin can know yet
        flags: verdict,
        verdict,
        quality: verdict * 100,
        node: text,
        peer: abi::Str::EMPTY,
        groups: groups.as_ptr(),
        findings: findings.as_ptr(),
        group_count: count as u32,
        finding_count: count as u32,
        left_out: verdict,
        reserved: 0,
    };
    // SAFETY: the plugin's contract for a created instance; all of it lives through the call.
    trial.call("status", |instance| unsafe {
        status(instance, &raw const raw)
    });
    trial.record.failures.take();
}

fn tell_event(trial: &mut Trial, lost: u64) {
    let Some(event) = trial.plugin.watch.event else {
        return;
    };
    let raw = abi::Event {
        size: size::<abi::Event>(),
        level: abi::LOG_TRACE,
        lost,
        at: abi::Str::of("2026-11-22T18:00:00.123+01:00"),
        kind: abi::Str::of("later"),
        group: abi::Str::EMPTY,
        reason: abi::Str::EMPTY,
        text: abi::Str::of("something happened"),
    };
    // SAFETY: as above.
    trial.call("event", |instance| unsafe {
        event(instance, &raw const raw)
    });
    trial.record.failures.take();
}
