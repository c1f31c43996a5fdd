//! The kernel's side of the plugin's I/O: sets are read in pieces, written in transactions, and
//! watched.

mod reader;
mod writer;

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::time::Duration;

use spared_netlink::constants::*;
use spared_netlink::{Monitor, Overrun, Transactions};

use crate::element::{Element, Key, SetName};
use crate::engine::{Change, Reading};
use crate::error::Hindrance;
use crate::nft::{self, Intervals, SetInfo};
use reader::Reader;

/// What reading brings, a piece at a time.
#[derive(Debug)]
pub enum Found {
    Shape(usize, Result<SetInfo, Hindrance>),
    Elements(usize, Vec<Element>),
    End(usize, Option<Reading>),
}

/// What others change.
#[derive(Debug)]
pub enum Event {
    Added(usize, Vec<Element>),
    Deleted(usize, Vec<Key>),
    /// Of one set, or of all of them: read again.
    Touched(Option<usize>),
}

pub struct Kernel {
    sets: Vec<SetName>,
    /// As they were when a set was last read.
    facts: Vec<Option<SetInfo>>,
    transactions: Transactions,
    monitor: Monitor,
    reader: Reader,
}

impl Kernel {
    /// `wake` is called on another thread when [`poll`](Self::poll) has something.
    pub fn open(sets: Vec<SetName>, wake: impl Fn() + Send + 'static) -> io::Result<Self> {
        Ok(Self {
            facts: vec![None; sets.len()],
            transactions: Transactions::open()?,
            monitor: Monitor::netfilter(NFNLGRP_NFTABLES)?,
            reader: Reader::start(sets.clone(), wake)?,
            sets,
        })
    }

    /// Readable when others have changed something.
    pub fn fd(&self) -> RawFd {
        self.monitor.as_fd().as_raw_fd()
    }

    /// Begins to read a set, after those that are read already.
    pub fn read(&mut self, set: usize) {
        self.reader.read(set);
    }

    /// What was read since.
    pub fn poll(&mut self) -> Option<Found> {
        let found = self.reader.poll()?;
        Some(self.note(found))
    }

    /// What is read next; None after the time has gone.
    pub fn wait(&mut self, limit: Duration) -> Option<Found> {
        let found = self.reader.wait(limit)?;
        Some(self.note(found))
    }

    fn note(&mut self, found: Found) -> Found {
        if let Found::Shape(set, facts) = &found {
            if let Some(place) = self.facts.get_mut(*set) {
                *place = facts.as_ref().ok().copied();
            }
        }
        found
    }

    /// What others changed since; the plugin's own changes are left out.
    ///
    /// # Errors
    /// The subscription is broken.
    pub fn events(&mut self) -> io::Result<Vec<Event>> {
        let own = self.transactions.port();
        let mut events = Vec::new();
        let (sets, facts) = (&self.sets, &self.facts);
        let read = self.monitor.read_raw(|header, payload| {
            if header.port != own {
                events.extend(event(sets, facts, header.kind, payload));
            }
        })?;
        if let Err(Overrun) = read {
            events.push(Event::Touched(None));
        }
        Ok(events)
    }

    /// Changes a set; returns what was refused, by key and errno.
    pub fn write(&mut self, set: usize, changes: Vec<Change>) -> Vec<(Key, i32)> {
        const ENOENT: i32 = 2;
        let place = (self.sets.get(set), self.facts.get(set));
        let (Some(name), Some(Some(facts))) = place else {
            let keys = changes.into_iter().map(|change| (change.key, ENOENT));
            return keys.collect();
        };
        writer::write(&mut self.transactions, name, facts, &changes)
    }
}

/// What a notification says about our sets.
fn event(sets: &[SetName], facts: &[Option<SetInfo>], kind: u16, payload: &[u8]) -> Option<Event> {
    if kind >> 8 != NFNL_SUBSYS_NFTABLES {
        return None;
    }
    let added = match kind & 0xff {
        NFT_MSG_NEWSETELEM => true,
        NFT_MSG_DELSETELEM => false,
        NFT_MSG_NEWSET | NFT_MSG_DELSET | NFT_MSG_DELTABLE => return Some(Event::Touched(None)),
        _ => return None,
    };
    let name = nft::set_of_elements(payload)?;
    let set = sets.iter().position(|set| *set == name)?;
    let facts = facts.get(set).copied().flatten()?;
    if facts.shape.intervals && !facts.concatenated {
        // one end of an interval says little
        return Some(Event::Touched(Some(set)));
    }
    let mut intervals = Intervals::default();
    let listed = nft::listed(payload, &facts);
    let elements: Vec<Element> = listed.filter_map(|it| intervals.take(it)).collect();
    Some(if added {
        Event::Added(set, elements)
    } else {
        Event::Deleted(set, elements.into_iter().map(|it| it.key).collect())
    })
}
