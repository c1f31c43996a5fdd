//! The kernel's side of the plugin's I/O: sets are read in pieces, written in transactions, and
//! watched.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::time::{Duration, Instant};

use spared_netlink::constants::*;
use spared_netlink::{Dump, Monitor, Overrun, Progress, Requests, Transactions};

use crate::element::{Element, Key, SetName, Shape};
use crate::engine::{Change, Reading};
use crate::error::Hindrance;
use crate::nft::{self, Facts, Intervals};

/// Changes in one transaction: each is one or two messages, each of which may be refused.
const CHANGES_MAX: usize = 500;
/// A transaction that was refused in part is tried again without that part.
const ATTEMPTS: usize = 4;
/// Intervals that are handed out at once.
const REST_MAX: usize = 5_000;

/// What reading brings, a piece at a time.
#[derive(Debug)]
pub enum Found {
    Shape(usize, Result<Shape, Hindrance>),
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
    facts: Vec<Option<Facts>>,
    requests: Requests,
    dump: Dump,
    transactions: Transactions,
    monitor: Monitor,
    waiting: VecDeque<usize>,
    reading: Option<Piecewise>,
}

struct Piecewise {
    set: usize,
    facts: Facts,
    intervals: Intervals,
    /// Datagrams with elements.
    pieces: usize,
    spent: Duration,
    /// How the dump ended, and what of it was not handed out yet.
    ended: Option<Progress>,
    rest: Vec<Element>,
}

impl Kernel {
    pub fn open(sets: Vec<SetName>) -> io::Result<Self> {
        Ok(Self {
            facts: vec![None; sets.len()],
            sets,
            requests: Requests::open_netfilter()?,
            dump: Dump::open()?,
            transactions: Transactions::open()?,
            monitor: Monitor::netfilter(NFNLGRP_NFTABLES)?,
            waiting: VecDeque::new(),
            reading: None,
        })
    }

    /// Readable when others have changed something.
    pub fn fd(&self) -> RawFd {
        self.monitor.as_fd().as_raw_fd()
    }

    pub fn read(&mut self, set: usize) {
        self.waiting.push_back(set);
    }

    /// Goes on with reading; None where nothing is to be read.
    pub fn step(&mut self) -> Option<Found> {
        let Some(mut reading) = self.reading.take() else {
            let set = self.waiting.pop_front()?;
            return Some(Found::Shape(set, self.begin(set)));
        };
        let set = reading.set;
        let found = match reading.ended {
            Some(progress) => reading.next_of_rest(progress),
            None => reading.next_piece(&mut self.dump),
        };
        Some(match found {
            Ok(Ok(elements)) => {
                self.reading = Some(reading);
                Found::Elements(set, elements)
            }
            Ok(Err(end)) => Found::End(set, Some(end)),
            Err(error) => {
                log::debug!("reading set number {set}: {error}");
                Found::End(set, None)
            }
        })
    }

    fn begin(&mut self, set: usize) -> Result<Shape, Hindrance> {
        let Some(name) = self.sets.get(set) else {
            return Err(Hindrance::Missing);
        };
        let mut found = Err(Hindrance::Missing);
        let asked = self.requests.dump(nft::get_set(name), |kind, payload| {
            if kind == nft::message_type(NFT_MSG_NEWSET) {
                found = nft::facts(payload);
            }
        });
        let facts = known(asked).and(found);
        if let Some(place) = self.facts.get_mut(set) {
            *place = facts.as_ref().ok().copied();
        }
        let facts = facts?;
        let request = nft::get_elements(name);
        let kind = nft::message_type(NFT_MSG_GETSETELEM);
        self.dump.start(kind, &request).map_err(Hindrance::Kernel)?;
        self.reading = Some(Piecewise {
            set,
            facts,
            intervals: Intervals::default(),
            pieces: 0,
            spent: Duration::ZERO,
            ended: None,
            rest: Vec::new(),
        });
        Ok(facts.shape)
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
        let mut refused = Vec::new();
        for part in changes.chunks(CHANGES_MAX) {
            write_part(&mut self.transactions, name, facts, part, &mut refused);
        }
        refused
    }
}

impl Piecewise {
    /// Elements, or how the reading ended.
    fn next_piece(&mut self, dump: &mut Dump) -> io::Result<Result<Vec<Element>, Reading>> {
        let begun = Instant::now();
        let (mut listed, facts) = (Vec::new(), &self.facts);
        let progress = dump.read(|_, payload| listed.extend(nft::listed(payload, facts)))?;
        self.pieces += usize::from(!listed.is_empty());
        let mut elements = Vec::with_capacity(listed.len());
        for one in listed {
            elements.extend(self.intervals.take(one));
        }
        if progress != Progress::More {
            self.ended = Some(progress);
            self.rest = self.intervals.finish();
        }
        self.spent += begun.elapsed();
        Ok(Ok(elements))
    }

    fn next_of_rest(&mut self, progress: Progress) -> io::Result<Result<Vec<Element>, Reading>> {
        if !self.rest.is_empty() {
            let from = self.rest.len().saturating_sub(REST_MAX);
            return Ok(Ok(self.rest.split_off(from)));
        }
        Ok(Err(Reading {
            certain: progress == Progress::Done && self.pieces <= 1,
            spent_ms: u64::try_from(self.spent.as_millis()).unwrap_or(u64::MAX),
        }))
    }
}

fn write_part(
    transactions: &mut Transactions,
    name: &SetName,
    facts: &Facts,
    changes: &[Change],
    refused: &mut Vec<(Key, i32)>,
) {
    let mut part: Vec<Change> = changes.to_vec();
    let mut last = EAGAIN;
    for _ in 0..ATTEMPTS {
        let messages = encode(name, facts, &part);
        let requests = messages
            .iter()
            .map(|message| (message.kind, message.flags, message.payload.as_slice()));
        match transactions.commit(requests) {
            Ok(refusals) if refusals.is_empty() => return,
            Ok(refusals) => {
                let refusals = refusals
                    .into_iter()
                    .filter_map(|(position, errno)| Some((messages.get(position)?, errno)));
                leave_out(&mut part, refusals, refused);
            }
            Err(error) => last = error.raw_os_error().unwrap_or(EIO),
        }
    }
    refused.extend(part.into_iter().map(|change| (change.key, last)));
}

const EAGAIN: i32 = 11;
const EIO: i32 = 5;

struct Encoded {
    change: usize,
    kind: u16,
    flags: u16,
    payload: Vec<u8>,
}

fn encode(name: &SetName, facts: &Facts, changes: &[Change]) -> Vec<Encoded> {
    let mut messages = Vec::with_capacity(changes.len());
    for (position, change) in changes.iter().enumerate() {
        let mut put = |kind, flags, add: Option<&Element>| {
            messages.push(Encoded {
                change: position,
                kind,
                flags,
                payload: nft::change(name, facts, &change.key, add),
            });
        };
        if change.delete {
            put(NFT_MSG_DELSETELEM, 0, None);
        }
        if let Some(element) = &change.add {
            put(NFT_MSG_NEWSETELEM, nft::NLM_F_CREATE, Some(element));
        }
    }
    messages
}

/// Takes out of a transaction what was refused, so that the rest can happen.
fn leave_out<'m>(
    part: &mut Vec<Change>,
    refusals: impl Iterator<Item = (&'m Encoded, i32)>,
    refused: &mut Vec<(Key, i32)>,
) {
    const ENOENT: i32 = 2;
    let mut whole = BTreeMap::new();
    for (message, errno) in refusals {
        if message.kind == NFT_MSG_DELSETELEM && errno == ENOENT {
            // it ended meanwhile, which is as good
            if let Some(change) = part.get_mut(message.change) {
                change.delete = false;
            }
        } else {
            whole.insert(message.change, errno);
        }
    }
    let mut position = 0;
    part.retain(|change| {
        let errno = whole.get(&position);
        position += 1;
        refused.extend(errno.map(|errno| (change.key.clone(), *errno)));
        errno.is_none() && (change.delete || change.add.is_some())
    });
}

/// What a notification says about our sets.
fn event(sets: &[SetName], facts: &[Option<Facts>], kind: u16, payload: &[u8]) -> Option<Event> {
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

fn known(asked: io::Result<()>) -> Result<(), Hindrance> {
    const ENOENT: i32 = 2;
    match asked {
        Ok(()) => Ok(()),
        Err(error) if error.raw_os_error() == Some(ENOENT) => Err(Hindrance::Missing),
        Err(error) => Err(Hindrance::Kernel(error)),
    }
}
