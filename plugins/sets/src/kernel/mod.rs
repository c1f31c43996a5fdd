//! The kernel's side of the plugin's I/O: sets are read in pieces, written in transactions, and
//! watched.

mod reader;
mod writer;

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::time::Duration;

use spared_netlink::constants::*;
use spared_netlink::{Monitor, Overrun, Requests, Transactions, namespace_cookie};

use crate::codec::{self, Intervals, SetInfo};
use crate::element::{Element, Key, SetName};
use crate::error::Hindrance;
use crate::store::{Edit, Reading};
use reader::Reader;

/// File with the id of the kernel's run.
const BOOT: &str = "/proc/sys/kernel/random/boot_id";

/// A piece of a reading.
#[derive(Debug)]
pub enum Found {
    Info(usize, Result<SetInfo, Hindrance>),
    Elements(usize, Vec<Element>),
    /// None: it failed, or the set became another one meanwhile.
    End(usize, Option<Reading>),
}

/// Notifications of changes by others.
#[derive(Debug)]
pub enum Event {
    Added(usize, Vec<Element>),
    Deleted(usize, Vec<Key>),
    /// A change that only reading tells.
    Touched(usize),
    /// The set was made or deleted.
    Remade(usize),
    /// Notifications were lost.
    Lost,
}

pub struct Kernel {
    sets: Vec<SetName>,
    /// State when a set was last read.
    infos: Vec<Option<SetInfo>>,
    transactions: Transactions,
    monitor: Monitor,
    reader: Reader,
}

impl Kernel {
    /// `wake` is called on another thread when [`poll`](Self::poll) has something.
    pub fn open(sets: Vec<SetName>, wake: impl Fn() + Send + 'static) -> io::Result<Self> {
        let transactions = Transactions::open()?;
        Ok(Self {
            infos: vec![None; sets.len()],
            monitor: Monitor::netfilter_of_others(NFNLGRP_NFTABLES, transactions.port())?,
            reader: Reader::start(sets.clone(), wake)?,
            transactions,
            sets,
        })
    }

    /// Readable when others have changed something.
    pub fn fd(&self) -> RawFd {
        self.monitor.as_fd().as_raw_fd()
    }

    /// Names the kernel's run and the network namespace: what tells handles of now from those of
    /// another time or place.
    pub fn boot(&self) -> String {
        let boot = std::fs::read_to_string(BOOT).unwrap_or_default();
        let cookie = namespace_cookie(&self.monitor.as_fd()).unwrap_or(0);
        format!("{} {cookie}", boot.trim())
    }

    /// Begins to read a set, after those that are read already.
    pub fn read(&mut self, set: usize) {
        self.reader.read(set);
    }

    /// Pieces read since.
    pub fn poll(&mut self) -> Option<Found> {
        let found = self.reader.poll()?;
        Some(self.note(found))
    }

    /// The next piece; None after the time-out.
    pub fn wait(&mut self, limit: Duration) -> Option<Found> {
        let found = self.reader.wait(limit)?;
        Some(self.note(found))
    }

    fn note(&mut self, found: Found) -> Found {
        if let Found::Info(set, info) = &found {
            if let Some(place) = self.infos.get_mut(*set) {
                *place = info.as_ref().ok().copied();
            }
        }
        found
    }

    /// Changes by others since, without the plugin's own.
    ///
    /// # Errors
    /// The subscription is broken.
    pub fn events(&mut self) -> io::Result<Vec<Event>> {
        let mut events = Vec::new();
        let (sets, infos) = (&self.sets, &self.infos);
        let read = self.monitor.read_raw(|header, payload| {
            note_event(sets, infos, header.kind, payload, &mut events);
        })?;
        if let Err(Overrun) = read {
            events.push(Event::Lost);
        }
        Ok(events)
    }

    /// Changes a set; returns what was refused, by key and errno.
    pub fn write(&mut self, set: usize, edits: &[Edit]) -> Vec<(Key, i32)> {
        const ENOENT: i32 = 2;
        let place = (self.sets.get(set), self.infos.get(set));
        let (Some(name), Some(Some(info))) = place else {
            let keys = edits.iter().map(|edit| (edit.key.clone(), ENOENT));
            return keys.collect();
        };
        writer::write(&mut self.transactions, name, info, edits)
    }
}

/// The first of these sets that exists and can never be replicated, such as a verdict map.
///
/// # Errors
/// No socket.
pub fn unfit(names: &[SetName]) -> io::Result<Option<(SetName, Hindrance)>> {
    let mut requests = Requests::open_netfilter()?;
    for name in names {
        match reader::info(&mut requests, name) {
            Err(why) if why.is_lasting() => return Ok(Some((name.clone(), why))),
            _ => {}
        }
    }
    Ok(None)
}

/// Content of a notification about our sets.
fn note_event(
    sets: &[SetName],
    infos: &[Option<SetInfo>],
    kind: u16,
    payload: &[u8],
    events: &mut Vec<Event>,
) {
    if kind >> 8 != NFNL_SUBSYS_NFTABLES {
        return;
    }
    let mut remade = |of_set| {
        let about = sets.iter().enumerate();
        let about = about.filter(|(_, name)| codec::is_about(payload, name, of_set));
        events.extend(about.map(|(set, _)| Event::Remade(set)));
    };
    match kind & 0xff {
        NFT_MSG_NEWSET | NFT_MSG_DELSET => remade(true),
        NFT_MSG_DELTABLE => remade(false),
        NFT_MSG_NEWSETELEM => events.extend(element_event(sets, infos, payload, true)),
        NFT_MSG_DELSETELEM => events.extend(element_event(sets, infos, payload, false)),
        _ => {}
    }
}

fn element_event(
    sets: &[SetName],
    infos: &[Option<SetInfo>],
    payload: &[u8],
    is_added: bool,
) -> Option<Event> {
    let name = codec::set_of_elements(payload)?;
    let set = sets.iter().position(|set| *set == name)?;
    let info = infos.get(set).copied().flatten()?;
    if info.shape.intervals && !info.concatenated {
        // one end of an interval says little
        return Some(Event::Touched(set));
    }
    let mut intervals = Intervals::default();
    let listed = codec::listed(payload, &info);
    let elements: Vec<Element> = listed.filter_map(|it| intervals.take(it)).collect();
    Some(if is_added {
        Event::Added(set, elements)
    } else {
        Event::Deleted(set, elements.into_iter().map(|it| it.key).collect())
    })
}
