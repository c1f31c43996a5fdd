//! `spared.status/1`: the state of the pair and its events, as the host tells them.

use std::ffi::c_void;

use spared_abi as abi;

use super::host::{enter, size};
use super::{Driver, lent};
use crate::message::{Call, EventRecord, FindingRecord, GroupHeadline, PairStatus, Role};

pub static WATCH: abi::Watch = abi::Watch {
    size: size::<abi::Watch>(),
    reserved: 0,
    watch: Some(watch),
};

unsafe extern "C" fn watch(ctx: *mut c_void, what: u32) -> abi::Status {
    let driver = enter!(ctx, "watch");
    match lent::check_flags("watch", what) {
        Ok(()) => driver.call(Call::Watch { what }),
        Err(why) => driver.refuse("watch", &why),
    }
}

impl Driver {
    pub(super) fn tell_status(&self, status: &PairStatus) {
        let Some(callback) = self.plugin.watch.status else {
            return;
        };
        let groups: Vec<_> = status.groups.iter().map(group).collect();
        let findings: Vec<_> = status.findings.iter().map(finding).collect();
        let flag = |on: bool, flag: u32| if on { flag } else { 0 };
        let raw = abi::PairStatus {
            size: size::<abi::PairStatus>(),
            flags: flag(status.ready, abi::PAIR_READY) | flag(status.link_up, abi::PAIR_LINK_UP),
            verdict: status.verdict,
            quality: status.quality.into(),
            node: abi::Str::of(&status.node),
            peer: abi::Str::of(&status.peer),
            groups: groups.as_ptr(),
            findings: findings.as_ptr(),
            group_count: groups.len() as u32,
            finding_count: findings.len() as u32,
            left_out: status.left_out,
            reserved: 0,
        };
        // SAFETY: the plugin's contract; the status, its arrays and texts live through the call.
        self.tell("status", |instance| unsafe {
            callback(instance, &raw const raw)
        });
    }

    pub(super) fn tell_event(&self, event: &EventRecord) {
        let Some(callback) = self.plugin.watch.event else {
            return;
        };
        let raw = abi::Event {
            size: size::<abi::Event>(),
            level: event.level,
            lost: event.lost,
            at: abi::Str::of(&event.at),
            kind: abi::Str::of(&event.kind),
            group: abi::Str::of(&event.group),
            reason: abi::Str::of(&event.reason),
            text: abi::Str::of(&event.text),
        };
        // SAFETY: the plugin's contract; the event and its texts live through the call.
        self.tell("event", |instance| unsafe {
            callback(instance, &raw const raw)
        });
    }
}

fn group(status: &GroupHeadline) -> abi::GroupStatus {
    abi::GroupStatus {
        size: size::<abi::GroupStatus>(),
        verdict: status.verdict,
        group: abi::Str::of(&status.group),
        headline: abi::Str::of(&status.headline),
        role: status.role.map_or(0, Role::to_raw),
        reserved: 0,
    }
}

fn finding(record: &FindingRecord) -> abi::Finding {
    abi::Finding {
        size: size::<abi::Finding>(),
        flags: 0,
        id: abi::Str::of(&record.id),
        node: abi::Str::of(&record.node),
        thing: abi::Str::of(&record.thing),
        text: abi::Str::of(&record.text),
        todo: abi::Str::of(&record.todo),
        since: abi::Str::of(&record.since),
    }
}
