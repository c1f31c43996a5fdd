//! `spared.status/1`: the state of the pair, and its events.

use std::ops::BitOr;

use spared_abi as abi;
use spared_contract::{Call, EventRecord, FindingRecord, GroupHeadline, PairStatus, VerdictWord};

use crate::error::check;
use crate::host::Host;
use crate::interface::call_ctx;
use crate::{Error, Plugin, Role, text};

/// The part `watch`: is told the state of the pair and its events, after
/// [`WatchHandle::watch`].
pub trait Watch: Plugin {
    /// State of the pair: once after [`WatchHandle::watch`], then at each change, at most once a second.
    fn status(&mut self, status: &PairStatus) {
        let _ = status;
    }

    /// An event of this node.
    fn event(&mut self, event: &EventRecord) {
        let _ = event;
    }
}

/// What [`WatchHandle::watch`] requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watched(u32);

impl Watched {
    /// Nothing any more.
    pub const NOTHING: Self = Self(0);
    /// [`Watch::status`].
    pub const STATUS: Self = Self(abi::WATCH_STATUS);
    /// [`Watch::event`].
    pub const EVENTS: Self = Self(abi::WATCH_EVENTS);
}

impl BitOr for Watched {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Requests the state of the pair and its events; from [`Host::status`].
#[derive(Clone, Copy, Debug)]
pub struct WatchHandle {
    pub(crate) host: Host,
    pub(crate) table: *const abi::Watch,
}

impl WatchHandle {
    /// Requests calls of [`Watch`], in place of an earlier request.
    ///
    /// # Errors
    /// The host's.
    pub fn watch(&self, what: Watched) -> Result<(), Error> {
        let status = match self.host.core() {
            Some(core) => core.call(Call::Watch { what: what.0 }),
            // SAFETY: the table is valid as long as the instance.
            None => unsafe { call_ctx!(self.table, watch, self.host.ctx(), what.0) },
        };
        check("watch the pair", status)
    }
}

/// # Safety
/// `raw`, its arrays and their texts are lent for the call.
pub(crate) unsafe fn read(raw: &abi::PairStatus) -> PairStatus {
    // SAFETY: the caller's promise, for all of it.
    unsafe {
        let groups = text::Sized::new(raw.groups, raw.group_count, |it| it.size);
        let findings = text::Sized::new(raw.findings, raw.finding_count, |it| it.size);
        let mut status = PairStatus {
            verdict: verdict(raw.verdict),
            quality: raw.quality.min(abi::QUALITY_MAX) as u8,
            node: text::owned(raw.node),
            peer: text::owned(raw.peer),
            groups: groups.map(|it| group(it)).collect(),
            findings: findings.map(|it| finding(it)).collect(),
            left_out: raw.left_out,
            ..PairStatus::default()
        };
        status.set_flags(raw.flags);
        status
    }
}

fn verdict(number: u32) -> VerdictWord {
    VerdictWord::from_raw(number).unwrap_or(VerdictWord::Warn)
}

/// # Safety
/// The texts of `raw` are lent for the call.
unsafe fn group(raw: &abi::GroupStatus) -> GroupHeadline {
    // SAFETY: the caller's promise.
    unsafe {
        GroupHeadline {
            verdict: verdict(raw.verdict),
            group: text::owned(raw.group),
            headline: text::owned(raw.headline),
            role: (raw.role != 0).then(|| Role::from_raw(raw.role).unwrap_or_default()),
        }
    }
}

/// # Safety
/// The texts of `raw` are lent for the call.
unsafe fn finding(raw: &abi::Finding) -> FindingRecord {
    // SAFETY: the caller's promise.
    unsafe {
        FindingRecord {
            id: text::owned(raw.id),
            node: text::owned(raw.node),
            thing: text::owned(raw.thing),
            text: text::owned(raw.text),
            todo: text::owned(raw.todo),
            since: text::owned(raw.since),
        }
    }
}

/// # Safety
/// The texts of `raw` are lent for the call.
pub(crate) unsafe fn event(raw: &abi::Event) -> EventRecord {
    // SAFETY: the caller's promise.
    unsafe {
        EventRecord {
            level: raw.level.into(),
            lost: raw.lost,
            at: text::owned(raw.at),
            kind: text::owned(raw.kind),
            group: text::owned(raw.group),
            reason: text::owned(raw.reason),
            text: text::owned(raw.text),
        }
    }
}
