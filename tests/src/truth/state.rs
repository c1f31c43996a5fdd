// SPDX-License-Identifier: MIT OR Apache-2.0
//! A row: what is broken, where, and what is said of it.

use spared_pair::Word;

use super::Bed;
use crate::Result;

/// Makes a state on a node (0: r1, 1: r2), or mends it.
pub type Deed = fn(&mut Bed<'_>, usize) -> Result<()>;

/// Where it is broken. r1 is active, r2 is its backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    Active,
    Backup,
    /// On one after the other: two rows.
    Either,
    /// On both at once.
    Both,
}

impl On {
    /// The nodes that are struck, one row each.
    pub fn struck(self) -> &'static [usize] {
        match self {
            Self::Active | Self::Both => &[0],
            Self::Backup => &[1],
            Self::Either => &[0, 1],
        }
    }

    /// For people: the row of this node.
    pub fn word(self, struck: usize) -> &'static str {
        match (self, struck) {
            (Self::Both, _) => "both",
            (_, 0) => "active",
            (_, _) => "backup",
        }
    }
}

/// A finding's id, and whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Of the node that is struck.
    Struck(&'static str),
    /// Of the other one.
    Spared(&'static str),
    /// Of the node that says it.
    Own(&'static str),
    /// Of the other node, as seen from the one that says it.
    Peer(&'static str),
    R1(&'static str),
    R2(&'static str),
}

impl Found {
    pub fn id(self) -> &'static str {
        match self {
            Self::Struck(id)
            | Self::Spared(id)
            | Self::Own(id)
            | Self::Peer(id)
            | Self::R1(id)
            | Self::R2(id) => id,
        }
    }

    /// "SP-0401 r1".
    pub fn of(self, struck: usize, site: usize) -> String {
        let node = match self {
            Self::Struck(_) => struck,
            Self::Spared(_) => 1 - struck,
            Self::Own(_) => site,
            Self::Peer(_) => 1 - site,
            Self::R1(_) => 0,
            Self::R2(_) => 1,
        };
        format!("{} r{}", self.id(), node + 1)
    }
}

/// What a node says; the exit code follows from the word. None: no daemon answers there.
pub type Says = Option<(Word, &'static [Found])>;

/// A broken state.
#[derive(Clone, Copy)]
pub struct State {
    pub name: &'static str,
    pub on: On,
    /// What the struck node says.
    pub here: Says,
    /// What the other one says.
    pub there: Says,
    pub make: Deed,
    pub mend: Deed,
    /// It is among those of `make test`; the others are for `make soak-truth`.
    pub is_quick: bool,
}

impl State {
    /// Both say the same.
    pub const fn new(
        name: &'static str,
        on: On,
        word: Word,
        found: &'static [Found],
        make: Deed,
        mend: Deed,
    ) -> Self {
        Self {
            name,
            on,
            here: Some((word, found)),
            there: Some((word, found)),
            make,
            mend,
            is_quick: true,
        }
    }

    /// Both warn of the same.
    pub const fn warns(
        name: &'static str,
        on: On,
        found: &'static [Found],
        make: Deed,
        mend: Deed,
    ) -> Self {
        Self::new(name, on, Word::Warn, found, make, mend)
    }

    /// Nothing is wrong for longer than a moment: whoever says so gives a false alarm.
    pub const fn is_fine(name: &'static str, on: On, make: Deed, mend: Deed) -> Self {
        Self::new(name, on, Word::Ok, &[], make, mend)
    }

    /// The struck node and the other one say different things.
    pub const fn differs(
        name: &'static str,
        on: On,
        here: Says,
        there: Says,
        make: Deed,
        mend: Deed,
    ) -> Self {
        Self {
            here,
            there,
            ..Self::new(name, on, Word::Ok, &[], make, mend)
        }
    }

    /// It takes too long for `make test`.
    pub const fn slow(self) -> Self {
        Self {
            is_quick: false,
            ..self
        }
    }

    /// What a node says of it when it befell `struck`.
    pub fn says(&self, struck: usize, site: usize) -> Says {
        match site == struck {
            true => self.here,
            false => self.there,
        }
    }
}
