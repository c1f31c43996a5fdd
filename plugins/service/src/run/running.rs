//! Running child, and its purpose.

use std::collections::VecDeque;
use std::os::fd::{AsRawFd, RawFd};

use spared_sdk::child::{Child, Ended};

use super::Command;
use crate::manager::{StatusQuery, last_line};

#[derive(Debug)]
pub(super) struct RunningChild {
    pub(super) child: Child,
    /// Unit of systemd that the child, a client of systemd, waits for.
    pub(super) unit: Option<String>,
    pub(super) purpose: Purpose,
}

#[derive(Debug)]
pub(super) enum Purpose {
    Job {
        number: u64,
        rest: VecDeque<Command>,
        strict: bool,
    },
    Query {
        query: StatusQuery,
        again: bool,
        until_ns: u64,
    },
    /// Killed, but not yet collected.
    Killed { again_ns: u64, kills: u32 },
    /// Kills a unit.
    Killer { until_ns: u64 },
}

impl RunningChild {
    pub(super) fn has(&self, fd: RawFd) -> bool {
        self.child.pidfd().as_raw_fd() == fd || self.child.output().as_raw_fd() == fd
    }

    pub(super) fn due_ns(&self) -> Option<u64> {
        match &self.purpose {
            Purpose::Query { until_ns, .. } | Purpose::Killer { until_ns } => Some(*until_ns),
            Purpose::Killed { again_ns, .. } if self.unit.is_some() => Some(*again_ns),
            Purpose::Killed { .. } | Purpose::Job { .. } => None,
        }
    }
}

impl Purpose {
    pub(super) fn is_job(&self, wanted: u64) -> bool {
        matches!(self, Self::Job { number, .. } if *number == wanted)
    }

    pub(super) fn query(&self) -> Option<&StatusQuery> {
        match self {
            Self::Query { query, .. } => Some(query),
            Self::Job { .. } | Self::Killed { .. } | Self::Killer { .. } => None,
        }
    }
}

/// Reason why a program failed, as a sentence; None if it succeeded.
pub(super) fn failure(ended: &Ended) -> Option<String> {
    let words = last_line(&String::from_utf8_lossy(&ended.text));
    match (ended.code, ended.signal) {
        (Some(0), _) => None,
        (Some(code), _) if words.is_empty() => Some(format!("exit code {code}")),
        (Some(code), _) => Some(format!("{words} (exit code {code})")),
        (None, signal) => Some(format!("was ended by signal {}", signal.unwrap_or(0))),
    }
}
