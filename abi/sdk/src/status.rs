//! `spared.status/1`: the state of the pair, and its events.

use std::borrow::Cow;
use std::fmt;
use std::ops::BitOr;

use spared_abi as abi;

use crate::error::check;
use crate::host::Host;
use crate::interface::call_ctx;
use crate::{Error, Plugin, Role, text};

/// The part `watch`: is told the state of the pair and its events, after
/// [`WatchHandle::watch`].
pub trait Watch: Plugin {
    /// State of the pair: once after [`WatchHandle::watch`], then at each change, at most once a second.
    fn status(&mut self, status: &PairStatus<'_>) {
        let _ = status;
    }

    /// An event of this node.
    fn event(&mut self, event: &Event<'_>) {
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
        // SAFETY: the table is valid as long as the instance.
        let status = unsafe { call_ctx!(self.table, watch, self.host.ctx(), what.0) };
        check("watch the pair", status)
    }
}

/// State of the pair, as sparectl status prints it, from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Verdict {
    /// Both nodes are as configured, and a failover now loses nothing.
    Ok,
    /// A failover works or may work; also any verdict that this SDK does not know.
    Warn,
    /// A node serves; it is unknown whether a failover would work.
    Unknown,
    /// A node serves, and there is no backup.
    Alone,
    /// Two routers are active.
    Conflict,
    /// Nobody is active.
    None,
}

impl Verdict {
    fn from_raw(verdict: u32) -> Self {
        match verdict {
            abi::VERDICT_OK => Self::Ok,
            abi::VERDICT_UNKNOWN => Self::Unknown,
            abi::VERDICT_ALONE => Self::Alone,
            abi::VERDICT_CONFLICT => Self::Conflict,
            abi::VERDICT_NONE => Self::None,
            _ => Self::Warn,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "OK",
            Self::Warn => "WARN",
            Self::Unknown => "UNKNOWN",
            Self::Alone => "ALONE",
            Self::Conflict => "CONFLICT",
            Self::None => "NONE",
        })
    }
}

/// State of the pair.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PairStatus<'a> {
    /// The worst of all groups.
    pub verdict: Verdict,
    /// This node's quality, 0-100.
    pub quality: u8,
    /// A failover to this node would lose nothing.
    pub ready: bool,
    /// There is a session with the peer.
    pub link_up: bool,
    /// This node's name.
    pub node: Cow<'a, str>,
    /// The peer's name; empty if there is none.
    pub peer: Cow<'a, str>,
    /// All groups; without groups one that says so.
    pub groups: Vec<GroupStatus<'a>>,
    /// Findings on both nodes, worst first.
    pub findings: Vec<Finding<'a>>,
    /// Groups and findings for which there was no room.
    pub left_out: u32,
}

/// State of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupStatus<'a> {
    /// Its state.
    pub verdict: Verdict,
    /// The configured name; empty: there is no group.
    pub group: Cow<'a, str>,
    /// A sentence with the group's name.
    pub headline: Cow<'a, str>,
    /// Role of this node.
    pub role: Option<Role>,
}

/// A fault, or a state that is not as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding<'a> {
    /// "SP-0401".
    pub id: Cow<'a, str>,
    /// Node with the fault.
    pub node: Cow<'a, str>,
    /// Object with the fault.
    pub thing: Cow<'a, str>,
    /// The fault.
    pub text: Cow<'a, str>,
    /// Remedy; may be empty.
    pub todo: Cow<'a, str>,
    /// Local time; empty: not known.
    pub since: Cow<'a, str>,
}

/// An event, as in `sparectl events`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event<'a> {
    /// `abi::LOG_ERROR`, `abi::LOG_WARN` or `abi::LOG_INFO`.
    pub level: u32,
    /// Events before this one that were not told.
    pub lost: u64,
    /// Local time.
    pub at: Cow<'a, str>,
    /// One word: "role".
    pub kind: Cow<'a, str>,
    /// The group; empty: of none.
    pub group: Cow<'a, str>,
    /// One word; may be empty.
    pub reason: Cow<'a, str>,
    /// The event.
    pub text: Cow<'a, str>,
}

impl<'a> PairStatus<'a> {
    /// # Safety
    /// `raw`, its arrays and their texts are lent for `'a`.
    pub(crate) unsafe fn from_raw(raw: &'a abi::PairStatus) -> Self {
        // SAFETY: the caller's promise, for all of it.
        unsafe {
            let groups = text::Sized::new(raw.groups, raw.group_count, |it| it.size);
            let findings = text::Sized::new(raw.findings, raw.finding_count, |it| it.size);
            Self {
                verdict: Verdict::from_raw(raw.verdict),
                quality: raw.quality.min(abi::QUALITY_MAX) as u8,
                ready: raw.flags & abi::PAIR_READY != 0,
                link_up: raw.flags & abi::PAIR_LINK_UP != 0,
                node: text::read(raw.node),
                peer: text::read(raw.peer),
                groups: groups.map(|it| GroupStatus::from_raw(it)).collect(),
                findings: findings.map(|it| Finding::from_raw(it)).collect(),
                left_out: raw.left_out,
            }
        }
    }
}

impl<'a> GroupStatus<'a> {
    /// # Safety
    /// The texts of `raw` are lent for `'a`.
    unsafe fn from_raw(raw: &abi::GroupStatus) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            Self {
                verdict: Verdict::from_raw(raw.verdict),
                group: text::read(raw.group),
                headline: text::read(raw.headline),
                role: (raw.role != 0).then(|| Role::from_raw(raw.role).unwrap_or_default()),
            }
        }
    }
}

impl<'a> Finding<'a> {
    /// # Safety
    /// The texts of `raw` are lent for `'a`.
    unsafe fn from_raw(raw: &abi::Finding) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            Self {
                id: text::read(raw.id),
                node: text::read(raw.node),
                thing: text::read(raw.thing),
                text: text::read(raw.text),
                todo: text::read(raw.todo),
                since: text::read(raw.since),
            }
        }
    }
}

impl<'a> Event<'a> {
    /// # Safety
    /// The texts of `raw` are lent for `'a`.
    pub(crate) unsafe fn from_raw(raw: &'a abi::Event) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            Self {
                level: raw.level,
                lost: raw.lost,
                at: text::read(raw.at),
                kind: text::read(raw.kind),
                group: text::read(raw.group),
                reason: text::read(raw.reason),
                text: text::read(raw.text),
            }
        }
    }
}
