// SPDX-License-Identifier: MIT OR Apache-2.0
//! A row: a broken state, the node that has it, and the expected reports.

use spared_verdict::Word;

use super::Bed;
use crate::Result;

/// Makes a state on a node (0: r1, 1: r2), or repairs it.
pub type Action = fn(&mut Bed<'_>, usize) -> Result<()>;

/// Returns true if something is right, by kernels and files, without the daemons' reports.
pub type Look = fn(&Bed<'_>, usize) -> bool;

/// Node on which the state is made. r1 is active, r2 is its backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    Active,
    Backup,
    /// Each node, one after the other: two rows.
    Either,
    /// Both nodes at once.
    Both,
}

impl On {
    /// Returns the nodes on which the state is made, one row each.
    pub fn struck(self) -> &'static [usize] {
        match self {
            Self::Active | Self::Both => &[0],
            Self::Backup => &[1],
            Self::Either => &[0, 1],
        }
    }

    /// Returns the name of the row of a node.
    pub fn word(self, struck: usize) -> &'static str {
        match (self, struck) {
            (Self::Both, _) => "both",
            (_, 0) => "active",
            (_, _) => "backup",
        }
    }
}

/// Id of a finding, and the node to which it belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// The node with the state.
    Struck(&'static str),
    /// The node without the state.
    OtherNode(&'static str),
    /// The reporting node.
    Own(&'static str),
    /// The peer of the reporting node.
    Peer(&'static str),
    R1(&'static str),
    R2(&'static str),
}

impl Found {
    pub fn id(self) -> &'static str {
        match self {
            Self::Struck(id)
            | Self::OtherNode(id)
            | Self::Own(id)
            | Self::Peer(id)
            | Self::R1(id)
            | Self::R2(id) => id,
        }
    }

    /// Returns id and node, such as "SP-0401 r1".
    pub fn of(self, struck: usize, site: usize) -> String {
        let node = match self {
            Self::Struck(_) => struck,
            Self::OtherNode(_) => 1 - struck,
            Self::Own(_) => site,
            Self::Peer(_) => 1 - site,
            Self::R1(_) => 0,
            Self::R2(_) => 1,
        };
        format!("{} r{}", self.id(), node + 1)
    }
}

/// Report of a node; the exit code follows from the word. None: its daemon is dead or stopped, and is not queried.
pub type ExpectedReport = Option<(Word, &'static [Found])>;

/// A broken state.
#[derive(Clone, Copy)]
pub struct State {
    pub name: &'static str,
    pub on: On,
    /// Report of the node with the state.
    pub here: ExpectedReport,
    /// Report of the other node.
    pub there: ExpectedReport,
    pub make: Action,
    pub fix: Action,
    /// Check of what the nodes repair by themselves, during which the report must hold.
    pub mended: Option<Look>,
    /// Part of the headline of both nodes.
    pub headline: &'static str,
    /// Part of `make test`; the others run in `make soak-truth`.
    pub is_quick: bool,
}

impl State {
    /// A state that both nodes report in the same way.
    pub const fn new(
        name: &'static str,
        on: On,
        word: Word,
        found: &'static [Found],
        make: Action,
        fix: Action,
    ) -> Self {
        Self {
            name,
            on,
            here: Some((word, found)),
            there: Some((word, found)),
            make,
            fix,
            mended: None,
            headline: "",
            is_quick: true,
        }
    }

    /// A state for which both nodes report a warning.
    pub const fn warns(
        name: &'static str,
        on: On,
        found: &'static [Found],
        make: Action,
        fix: Action,
    ) -> Self {
        Self::new(name, on, Word::Warn, found, make, fix)
    }

    /// A state without a fault: a report of one would be a false alarm.
    pub const fn is_fine(name: &'static str, on: On, make: Action, fix: Action) -> Self {
        Self::new(name, on, Word::Ok, &[], make, fix)
    }

    /// A fault that the nodes repair by themselves: a report of OK would not prove it.
    pub const fn is_mended(
        name: &'static str,
        on: On,
        make: Action,
        mended: Look,
        fix: Action,
    ) -> Self {
        Self {
            mended: Some(mended),
            ..Self::is_fine(name, on, make, fix)
        }
    }

    /// A state that the two nodes report differently.
    pub const fn differs(
        name: &'static str,
        on: On,
        here: ExpectedReport,
        there: ExpectedReport,
        make: Action,
        fix: Action,
    ) -> Self {
        Self {
            here,
            there,
            ..Self::new(name, on, Word::Ok, &[], make, fix)
        }
    }

    /// Adds a part of the headline, which follows the name of the group.
    pub const fn reads(self, headline: &'static str) -> Self {
        Self { headline, ..self }
    }

    /// Excludes the state from `make test`, as it is slow.
    pub const fn slow(self) -> Self {
        Self {
            is_quick: false,
            ..self
        }
    }

    /// Report of the node `site` if the state is made on `struck`.
    pub fn expected_report(&self, struck: usize, site: usize) -> ExpectedReport {
        if site == struck {
            self.here
        } else {
            self.there
        }
    }
}
