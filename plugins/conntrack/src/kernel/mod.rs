//! The kernel's notifications, tables and settings.

mod addresses;
mod egress;
mod hiding;
mod proxies;
mod settings;
mod table;

use std::collections::HashSet;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};

use spared_netlink::{Dump, Notifications, Progress, Verdict, Writer, constants as c};

use crate::codec::{self, build, expectation, parse};
use crate::engine::kernel_events::{By, Event};
use crate::engine::{Engine, KernelChange, Question, Source, Subscription};
use crate::error::Error;
use crate::flow::{Flow, Tuple};
use addresses::{Addresses, Held};

pub use addresses::bytes_of;
pub use egress::egress;
pub use settings::{enable_events, timeouts};

/// Number of reads of notifications in one turn: a few milliseconds.
const READS_AT_ONCE: usize = 16;
/// Buffer for the echo of one batch of probes, in bytes.
const ECHO_BUFFER: usize = 4 << 20;

const ALL: [u32; 5] = [
    c::NFNLGRP_CONNTRACK_NEW,
    c::NFNLGRP_CONNTRACK_UPDATE,
    c::NFNLGRP_CONNTRACK_DESTROY,
    c::NFNLGRP_CONNTRACK_EXP_NEW,
    c::NFNLGRP_CONNTRACK_EXP_DESTROY,
];
const COPIES: [u32; 2] = [c::NFNLGRP_CONNTRACK_UPDATE, c::NFNLGRP_CONNTRACK_DESTROY];

pub struct Kernel {
    writer: Writer,
    /// Changes in the writer's batch, in its order.
    batch: Vec<KernelChange>,
    notifications: Notifications,
    subscription: Subscription,
    dump: Dump,
    dumped: Source,
    addresses: Addresses,
    hiding: hiding::Hiding,
    proxies: proxies::Proxies,
}

/// Result of reading notifications.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadProgress {
    All,
    /// More notifications wait.
    Some,
}

impl Kernel {
    pub fn open(event_buffer: usize) -> Result<Self, Error> {
        let writer = Writer::open().map_err(Error::Open)?;
        let notifications =
            Notifications::open(event_buffer, writer.port()).map_err(Error::Open)?;
        Ok(Self {
            writer,
            batch: Vec::new(),
            notifications,
            subscription: Subscription::Nothing,
            dump: Dump::open().map_err(Error::Open)?,
            dumped: Source::Flows,
            addresses: Addresses::open().map_err(Error::Open)?,
            hiding: hiding::Hiding::default(),
            proxies: proxies::Proxies::default(),
        })
    }

    /// Descriptor of the notifications; they arrive once something is subscribed to.
    pub fn notifications(&self) -> RawFd {
        self.notifications.as_fd().as_raw_fd()
    }

    /// Descriptor that is readable when the router's addresses have changed.
    pub fn address_changes(&self) -> RawFd {
        self.addresses.fd()
    }

    /// Size of the buffer for notifications in bytes, as the kernel reports it.
    pub fn event_buffer(&self) -> usize {
        self.notifications.receive_buffer()
    }

    pub fn subscribe(&mut self, wanted: Subscription) {
        if self.subscription == Subscription::Nothing {
            self.drop_notifications();
        }
        let (old, new) = (groups(self.subscription), groups(wanted));
        for group in old.iter().filter(|group| !new.contains(group)) {
            let _ = self.notifications.leave(*group);
        }
        for group in new.iter().filter(|group| !old.contains(group)) {
            if let Err(error) = self.notifications.join(*group) {
                log::error!("cannot receive events of connections (group {group}): {error}");
            }
        }
        self.subscription = wanted;
    }

    /// Drops what an earlier subscription left. Unheard, a flow may have begun again since it was destroyed, and its
    /// end must not be taken for the end of what a dump shows now.
    fn drop_notifications(&mut self) {
        let read = |it: &mut Notifications| it.read(|_, _| {});
        while read(&mut self.notifications).is_ok_and(|read| !read.empty) {}
    }

    /// Passes pending notifications to the engine.
    pub fn read_notifications(&mut self, now_ns: u64, engine: &mut Engine) -> ReadProgress {
        for _ in 0..READS_AT_ONCE {
            let read = self.notifications.read(|header, payload| {
                if let Some(event) = event(header.kind, header.flags, payload) {
                    let by = match header.port {
                        0 => By::Traffic,
                        _ => By::Request,
                    };
                    engine.handle_event(now_ns, event, by);
                }
            });
            match read {
                Ok(read) if read.overrun => engine.handle_overrun(now_ns),
                Ok(read) if read.empty => return ReadProgress::All,
                Ok(_) => {}
                Err(error) => {
                    log::error!("cannot receive events of connections: {error}");
                    return ReadProgress::All;
                }
            }
        }
        ReadProgress::Some
    }

    /// Returns the router's own addresses if they have changed.
    pub fn own_addresses(&mut self) -> Option<Held> {
        self.addresses.read()
    }

    /// Returns the connections of transparent proxies if they have changed.
    pub fn taken(&mut self, now_ns: u64) -> Option<HashSet<Tuple>> {
        let own = self.addresses.known()?;
        self.proxies.look(now_ns, own).unwrap_or_else(|error| {
            log::debug!("cannot look for transparent proxies: {error}");
            None
        })
    }

    // ---- changes

    /// Adds a change to the batch, and runs the batch if it is full.
    pub fn write(&mut self, now_ns: u64, change: KernelChange, engine: &mut Engine) {
        table::push(&mut self.writer, &change);
        self.batch.push(change);
        if self.writer.is_full() {
            self.flush(now_ns, engine);
        }
    }

    /// Runs the batch, and passes the result of each change to the engine.
    pub fn flush(&mut self, now_ns: u64, engine: &mut Engine) {
        if self.batch.is_empty() {
            return;
        }
        let mut refused: Vec<(usize, i32)> = Vec::new();
        let result = self.writer.flush(|position, verdict| {
            if let Verdict::Refused(errno) = verdict {
                refused.push((position, errno));
            }
        });
        let mut refused = refused.into_iter().peekable();
        let mut silent = Vec::new();
        for (position, change) in std::mem::take(&mut self.batch).into_iter().enumerate() {
            match refused.next_if(|(refused, _)| *refused == position) {
                Some((_, errno)) => engine.handle_refused(now_ns, change, errno),
                None if result.is_err() => silent.push(change),
                None => engine.handle_written(&change),
            }
        }
        if let Err(error) = result {
            log::error!("cannot change the kernel's conntrack table: {error}");
            engine.handle_unwritten(now_ns, silent);
        }
    }

    /// Queries single flows and passes them to the engine.
    pub fn find(&mut self, now_ns: u64, flows: &[Flow], engine: &mut Engine) {
        self.flush(now_ns, engine);
        for some in flows.chunks(spared_netlink::BATCH_MAX) {
            table::push_questions(&mut self.writer, some);
            let found = self.writer.flush(|_, verdict| {
                if let Verdict::Answer(_, payload) = verdict {
                    if let Some(flow) = parse::flow(payload) {
                        engine.handle_found(now_ns, flow);
                    }
                }
            });
            if let Err(error) = found {
                log::warn!("cannot query connections: {error}");
            }
        }
    }

    /// Queries the flow of each change first, and makes the changes that the engine still wants
    /// afterwards.
    pub fn ask(&mut self, now_ns: u64, questions: Vec<Question>, engine: &mut Engine) {
        self.flush(now_ns, engine);
        for question in &questions {
            let flow = &question.change.flow;
            self.writer
                .push(codec::GET, 0, |out| build::name(out, flow));
        }
        let mut answers: Vec<Option<Option<Flow>>> = vec![None; questions.len()];
        let asked = self.writer.flush(|position, verdict| {
            if let Some(answer) = answers.get_mut(position) {
                *answer = Some(match verdict {
                    Verdict::Answer(_, payload) => parse::flow(payload),
                    Verdict::Refused(_) => None,
                });
            }
        });
        let mut silent = Vec::new();
        for (question, answer) in questions.into_iter().zip(answers) {
            match answer {
                None if asked.is_err() => silent.push(question),
                answer => {
                    let change = engine.handle_asked(now_ns, question, answer.flatten());
                    change
                        .into_iter()
                        .for_each(|it| self.write(now_ns, it, engine));
                }
            }
        }
        if let Err(error) = asked {
            log::warn!("cannot query connections: {error}");
            engine.handle_unasked(now_ns, silent);
        }
    }

    /// Finds out for which of these flows the kernel sends events, by a change that changes
    /// nothing.
    pub fn probe(&mut self, now_ns: u64, flows: Vec<Flow>, engine: &mut Engine) {
        self.flush(now_ns, engine);
        let mut told = HashSet::new();
        if let Err(error) = self.touch(&flows, &mut told) {
            log::warn!("cannot find out which flows `ct event` hides: {error}");
            return;
        }
        for flow in flows {
            if told.contains(&flow.hash([0, 0])) {
                engine.handle_found(now_ns, flow)
            } else {
                engine.handle_silent()
            }
        }
    }

    fn touch(&mut self, flows: &[Flow], told: &mut HashSet<u64>) -> io::Result<()> {
        // a socket for this batch alone: between two probes the echo of other changes would fill
        // its buffer
        let mut echo = Notifications::open_echo(ECHO_BUFFER, self.writer.port())?;
        echo.join(c::NFNLGRP_CONNTRACK_UPDATE)?;
        for some in flows.chunks(spared_netlink::BATCH_MAX) {
            table::push_touches(&mut self.writer, some);
            self.writer.flush(|_, _| {})?;
            loop {
                let read = echo.read(|_, payload| {
                    if let Some(flow) = parse::flow(payload) {
                        told.insert(flow.hash([0, 0]));
                    }
                })?;
                if read.empty {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Returns the number of entries, and the limit.
    pub fn counts(&mut self, now_ns: u64, engine: &mut Engine) -> Option<(u32, u32)> {
        // a slice of work may have ended before the batch was run
        self.flush(now_ns, engine);
        let mut counts = None;
        self.writer
            .push(codec::GET_STATS, 0, |out| out.extend(codec::ANY));
        let asked = self.writer.flush(|_, verdict| {
            if let Verdict::Answer(_, payload) = verdict {
                counts = parse::counts(payload);
            }
        });
        asked.ok().and(counts)
    }

    // ---- dumps

    /// Returns true if rules hide flows by `ct event`.
    pub fn hides(&mut self, now_ns: u64) -> bool {
        self.hiding.look(now_ns)
    }

    pub fn start_dump(&mut self, source: Source) -> Result<(), Error> {
        let kind = match source {
            Source::Flows => codec::GET,
            Source::Expectations => codec::EXPECT_GET,
        };
        self.dumped = source;
        self.dump.start(kind, &codec::ANY).map_err(Error::Dump)
    }

    pub fn stop_dump(&mut self) {
        if let Err(error) = self.dump.stop() {
            log::error!("{}", Error::Open(error));
        }
    }

    pub fn is_dumping(&self) -> bool {
        self.dump.is_running()
    }

    /// Passes a piece of the dump to the engine.
    pub fn read_dump(&mut self, now_ns: u64, engine: &mut Engine) {
        let source = self.dumped;
        let progress = self.dump.read(|_, payload| match source {
            Source::Flows => {
                if let Some(flow) = parse::flow(payload) {
                    engine.handle_dumped(now_ns, flow);
                }
            }
            Source::Expectations => {
                if let Some(request) = expectation::request(payload) {
                    engine.handle_dumped_expectation(now_ns, &request);
                }
            }
        });
        engine.handle_dump_piece();
        match progress {
            Ok(Progress::More) => {}
            Ok(progress) => engine.handle_dump_end(now_ns, progress == Progress::Done),
            Err(error) => {
                log::warn!("{}", Error::Dump(error));
                engine.handle_dump_end(now_ns, false);
            }
        }
    }
}

fn groups(subscription: Subscription) -> &'static [u32] {
    match subscription {
        Subscription::Nothing => &[],
        Subscription::Copies => &COPIES,
        Subscription::All => &ALL,
    }
}

fn event(kind: u16, flags: u16, payload: &[u8]) -> Option<Event> {
    match kind {
        codec::NEW if flags & codec::CREATE != 0 => parse::flow(payload).map(Event::New),
        codec::NEW => parse::flow(payload).map(Event::Changed),
        codec::DELETE => parse::flow(payload).map(Event::Gone),
        codec::EXPECT_NEW => Some(Event::Expected(true, expectation::request(payload)?)),
        codec::EXPECT_DELETE => Some(Event::Expected(false, expectation::request(payload)?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
