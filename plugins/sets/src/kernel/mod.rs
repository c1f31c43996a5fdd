//! The kernel's side of the plugin's I/O: sets are read in pieces, written in transactions, and watched.

mod reader;
mod writer;

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::time::Duration;

use spared_netlink::constants::*;
use spared_netlink::{Monitor, Overrun, Requests, Transactions, namespace_cookie};
use spared_records::boot;

use crate::codec::{self, Intervals, SetInfo};
use crate::element::{Element, Key, SetName};
use crate::error::Hindrance;
use crate::store::{Batch, Reading, Written};
use reader::Reader;

/// Maximum number of times that the socket is emptied after an overrun, because others may keep filling it.
const DRAINS_MAX: usize = 1_000;

/// Maximum number of times that this is done, as transactions may end meanwhile. The generation is then not known.
const RECOVERIES_MAX: usize = 3;

/// Piece of a reading.
#[derive(Debug)]
pub enum Found {
    Info(usize, Result<SetInfo, Hindrance>),
    Elements(usize, Vec<Element>),
    /// End of a reading; None: it failed, or the set was replaced meanwhile.
    End(usize, Option<Reading>),
}

/// Notification of a change by others.
#[derive(Debug, PartialEq)]
pub enum Event {
    Added(usize, Vec<Element>),
    Deleted(usize, Vec<Key>),
    /// Ends of intervals were added or deleted; only a reading shows which.
    Touched {
        set: usize,
        added: usize,
        deleted: usize,
    },
    /// The set was created or deleted.
    Remade(usize),
    /// A transaction has ended; all its changes were reported before.
    Generation(u32),
    /// Notifications were lost.
    Lost,
}

pub struct Kernel {
    sets: Vec<SetName>,
    /// Descriptions of the sets when they were last read.
    infos: Vec<Option<SetInfo>>,
    transactions: Transactions,
    ear: Ear,
    reader: Reader,
}

impl Kernel {
    /// Opens the kernel's side. `wake` is called on another thread when [`poll`](Self::poll) has a result.
    pub fn open(sets: Vec<SetName>, wake: impl Fn() + Send + 'static) -> io::Result<Self> {
        let transactions = Transactions::open()?;
        let monitor = Monitor::netfilter_of_others(NFNLGRP_NFTABLES, transactions.port())?;
        let mut ear = Ear {
            generation: None,
            monitor,
            early: Vec::new(),
            turns: Transactions::open()?,
        };
        ear.generation = ear.present_generation();
        Ok(Self {
            infos: vec![None; sets.len()],
            ear,
            reader: Reader::start(sets.clone(), wake)?,
            transactions,
            sets,
        })
    }

    /// Descriptor that is readable when others have changed something.
    pub fn fd(&self) -> RawFd {
        self.ear.monitor.as_fd().as_raw_fd()
    }

    /// Text that identifies the kernel's run and the network namespace, and so distinguishes present handles from those
    /// of another time or place.
    pub fn boot(&self) -> String {
        let cookie = namespace_cookie(&self.ear.monitor.as_fd()).unwrap_or(0);
        format!("{} {cookie}", boot::id())
    }

    /// Begins to read a set, after the readings that were requested before.
    pub fn read(&mut self, set: usize) {
        self.reader.read(set);
    }

    /// Next piece that was read, if there is one.
    pub fn poll(&mut self) -> Option<Found> {
        let found = self.reader.poll()?;
        Some(self.note(found))
    }

    /// Next piece; None after the timeout.
    pub fn wait(&mut self, limit: Duration) -> Option<Found> {
        let found = self.reader.wait(limit)?;
        Some(self.note(found))
    }

    fn note(&mut self, found: Found) -> Found {
        if let Found::Info(set, info) = &found {
            // a kernel that had no time to answer still has the set, whose notifications would be lost without a word
            let is_known = !matches!(info, Err(Hindrance::Kernel(_)));
            if let Some(place) = self.infos.get_mut(*set).filter(|_| is_known) {
                *place = info.as_ref().ok().copied();
            }
        }
        found
    }

    /// Changes by others since the last call, without the plugin's own.
    ///
    /// # Errors
    /// The subscription is broken.
    pub fn events(&mut self) -> io::Result<Vec<Event>> {
        let mut events = std::mem::take(&mut self.ear.early);
        events.extend(self.ear.hear(&self.sets, &self.infos)?);
        Ok(events)
    }

    /// Generation up to which all notifications were read; None: not known.
    pub fn generation(&self) -> Option<u32> {
        self.ear.generation
    }

    /// Changes sets in one transaction. A list is left out if others have changed its set since.
    pub fn write(&mut self, batch: &Batch) -> Written {
        const ENOENT: i32 = 2;
        let mut written = Written::default();
        let mut places = Vec::new();
        for part in &batch.parts {
            if part.is_list && part.is_outdated {
                written.outdated.push(part.set);
                continue;
            }
            match (self.sets.get(part.set), self.infos.get(part.set)) {
                (Some(name), Some(Some(info))) => places.push(writer::Place { name, info, part }),
                _ => {
                    let keys = part.edits.iter().map(|edit| edit.key.clone());
                    let refused = keys.map(|key| (part.set, key, ENOENT));
                    written.refused.extend(refused);
                }
            }
        }
        let look = || self.ear.look(&self.sets, &self.infos);
        writer::write(&mut self.transactions, &places, look, &mut written);
        written
    }
}

/// Subscription to changes by others.
struct Ear {
    monitor: Monitor,
    /// Generation up to which all notifications were read; None: not known.
    generation: Option<u32>,
    /// Notifications that were read while a list was written.
    early: Vec<Event>,
    /// Socket that waits for others' transactions, and has none itself.
    turns: Transactions,
}

/// Knowledge immediately before a list is written.
pub struct Look {
    /// The kernel's generation, which every transaction changes.
    pub generation: Option<u32>,
    /// Sets in which others changed more than one element.
    pub overtaken: Vec<usize>,
    /// Sets of which others changed anything.
    pub touched: Vec<usize>,
}

impl Ear {
    /// The kernel's generation, of which all notifications have been sent when this returns: a transaction has it before
    /// they are, and a list would be written over one of which nothing was heard.
    fn present_generation(&mut self) -> Option<u32> {
        let found = Requests::open_netfilter().ok();
        let found = found.and_then(|mut it| reader::generation(&mut it));
        let waited = self.turns.wait_for_others();
        found.filter(|_| waited.is_ok())
    }

    fn hear(&mut self, sets: &[SetName], infos: &[Option<SetInfo>]) -> io::Result<Vec<Event>> {
        let mut events = Vec::new();
        let read = self.monitor.read_raw(|header, payload| {
            note_event(sets, infos, header.kind, payload, &mut events);
        });
        let read = read.inspect_err(|_| self.generation = None)?;
        if let Err(Overrun) = read {
            events = self.recover()?;
        }
        for event in &events {
            match event {
                Event::Generation(number) => self.generation = Some(*number),
                Event::Lost => self.generation = None,
                _ => {}
            }
        }
        Ok(events)
    }

    /// Handles the loss of notifications. Those up to the present generation are dropped, because readings show their
    /// changes.
    fn recover(&mut self) -> io::Result<Vec<Event>> {
        let mut events = vec![Event::Lost];
        for _ in 0..RECOVERIES_MAX {
            let before = self.present_generation();
            self.drop_notifications()?;
            // the end of a later transaction may have been dropped, too
            if before.is_some() && before == self.present_generation() {
                events.extend(before.map(Event::Generation));
                break;
            }
        }
        Ok(events)
    }

    fn drop_notifications(&mut self) -> io::Result<()> {
        for _ in 0..DRAINS_MAX {
            let mut count = 0;
            let _ = self.monitor.read_raw(|_, _| count += 1)?;
            if count == 0 {
                break;
            }
        }
        Ok(())
    }

    fn look(&mut self, sets: &[SetName], infos: &[Option<SetInfo>]) -> Look {
        if self.generation.is_none() {
            self.generation = self.present_generation();
        }
        let heard = self.hear(sets, infos);
        self.early.extend(heard.unwrap_or_default());
        let changed = |set: usize| -> usize {
            let counts = self.early.iter().map(|event| match event {
                Event::Added(at, elements) if *at == set => elements.len(),
                Event::Deleted(at, keys) if *at == set => keys.len(),
                Event::Touched {
                    set: at,
                    added,
                    deleted,
                } if *at == set => added + deleted,
                Event::Remade(at) if *at == set => usize::MAX,
                Event::Lost => usize::MAX,
                _ => 0,
            });
            counts.fold(0, usize::saturating_add)
        };
        Look {
            generation: self.generation,
            overtaken: (0..sets.len()).filter(|set| changed(*set) > 1).collect(),
            touched: (0..sets.len()).filter(|set| changed(*set) > 0).collect(),
        }
    }
}

/// First of these sets that exists and can never be replicated, such as a verdict map.
///
/// # Errors
/// The socket cannot be opened.
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

/// Adds the content of a notification about our sets.
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
        NFT_MSG_NEWSETELEM => note_elements(sets, infos, payload, true, events),
        NFT_MSG_DELSETELEM => note_elements(sets, infos, payload, false, events),
        NFT_MSG_NEWGEN => events.extend(codec::generation(payload).map(Event::Generation)),
        _ => {}
    }
}

/// Adds the content of a notification to the event before it: there is a notification for each element.
fn note_elements(
    sets: &[SetName],
    infos: &[Option<SetInfo>],
    payload: &[u8],
    is_added: bool,
    events: &mut Vec<Event>,
) {
    let found = sets.iter().position(|set| codec::is_of_set(payload, set));
    let info = found.and_then(|set| infos.get(set).copied().flatten());
    let (Some(set), Some(info)) = (found, info) else {
        return;
    };
    let listed = codec::listed(payload, &info);
    if info.shape.intervals && !info.concatenated {
        // one end of an interval is not enough to know the interval
        let count = listed.count();
        let (added, deleted) = if is_added { (count, 0) } else { (0, count) };
        return events.push(Event::Touched {
            set,
            added,
            deleted,
        });
    }
    let mut intervals = Intervals::default();
    let elements = listed.filter_map(|it| intervals.take(it));
    match (is_added, events.last_mut()) {
        (true, Some(Event::Added(at, known))) if *at == set => known.extend(elements),
        (true, _) => events.push(Event::Added(set, elements.collect())),
        (false, last) => {
            let keys = elements.map(|it| it.key);
            match last {
                Some(Event::Deleted(at, known)) if *at == set => known.extend(keys),
                _ => events.push(Event::Deleted(set, keys.collect())),
            }
        }
    }
}
