//! Accesses the kernel's IPsec tables and this node's addresses: all I/O of the plugin except with the peer and the IKE
//! daemon. Nothing blocks.

mod addresses;
mod context;
mod esp;
mod forwarded;
mod hold;
mod larval_drop;
mod openings;
mod port_guard;
mod routes;
mod rule;
mod silence;
mod stop;

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};

use spared_netlink::constants::*;
use spared_netlink::{BATCH_MAX, Dump, Notifications, Progress, Verdict, Writer};

use crate::codec::{self, Request};
use crate::engine::{Change, XfrmEvent};
use context::KernelContext;

pub use addresses::Addresses;
pub use forwarded::forwarded;
pub use hold::Hold;
pub use openings::Openings;
pub use port_guard::{PortGuard, remove_port_guard};
pub use routes::Routes;
pub use silence::Silence;

/// Size of a socket's buffer in bytes, for a burst of 10 000 events.
const SOCKET_BYTES: usize = 16 << 20;
/// Size of a buffer in bytes, for the events of one batch of deletions.
const OWN_DELETIONS_BYTES: usize = 1 << 20;
/// Number of datagrams that are read in one turn.
const READS_MAX: usize = 16;
/// Number of notifications that a reading accepts at its end: more than the burst for which there is room.
const EVENTS_MAX: usize = 20_000;
const EIO: i32 = 5;

/// Progress of a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Sas,
    Policies,
    Read { complete: bool },
    End { complete: bool },
}

/// Result of one piece of a reading.
#[derive(Debug)]
pub enum ReadPart {
    Entries(Vec<XfrmEvent>),
    /// Notifications that arrived before the end of the reading: only they show who made a change.
    Notifications(Vec<XfrmEvent>),
    /// Both tables were read; false if the reading may have holes.
    End(bool),
}

pub struct Kernel {
    writer: Writer,
    notifications: Notifications,
    /// Events of this plugin's own deletions, while it is subscribed to them.
    own_deletions: Notifications,
    dump: Dump,
    reading: Option<Stage>,
    context: KernelContext,
}

impl Kernel {
    /// # Errors
    /// EPROTONOSUPPORT if the kernel has no IPsec at all; EPERM.
    pub fn open() -> io::Result<Self> {
        let writer = Writer::open_xfrm()?;
        // before the first dump, so that no change is missed in between
        let notifications = Notifications::open_xfrm(SOCKET_BYTES, writer.port())?;
        for group in [
            XFRMNLGRP_SA,
            XFRMNLGRP_POLICY,
            XFRMNLGRP_EXPIRE,
            XFRMNLGRP_AEVENTS,
        ] {
            notifications.join(group)?;
        }
        let own_deletions = Notifications::open_xfrm_echo(OWN_DELETIONS_BYTES, writer.port())?;
        Ok(Self {
            writer,
            notifications,
            own_deletions,
            dump: Dump::open_xfrm()?,
            reading: None,
            context: KernelContext::open()?,
        })
    }

    pub fn fd(&self) -> RawFd {
        self.notifications.as_fd().as_raw_fd()
    }

    /// Returns changes; [`XfrmEvent::Unsure`] if some of them were lost.
    pub fn events(&mut self) -> io::Result<Vec<XfrmEvent>> {
        let mut events = Vec::new();
        self.context.discard();
        for _ in 0..READS_MAX {
            let context = &mut self.context;
            let read = self.notifications.read(|header, payload| {
                events.extend(codec::read(header.kind, header.port, payload, context));
            })?;
            if read.overrun {
                events.push(XfrmEvent::Unsure);
            } else if read.empty {
                break;
            }
        }
        Ok(events)
    }

    /// Begins to read both tables; [`poll`](Self::poll) returns the results.
    pub fn read(&mut self) -> io::Result<()> {
        self.reading = None;
        self.dump.start(XFRM_MSG_GETSA, &[])?;
        self.reading = Some(Stage::Sas);
        Ok(())
    }

    /// Returns the next piece of a reading, if one is under way.
    pub fn poll(&mut self) -> Option<ReadPart> {
        let stage = self.reading?;
        match stage {
            Stage::Sas | Stage::Policies => {}
            Stage::Read { complete } => {
                self.reading = Some(Stage::End { complete });
                return Some(ReadPart::Notifications(self.events_until_now()));
            }
            Stage::End { complete } => {
                self.reading = None;
                return Some(ReadPart::End(complete));
            }
        }
        let mut entries = Vec::new();
        self.context.discard();
        let context = &mut self.context;
        let read = self.dump.read(|kind, payload| {
            entries.extend(codec::read(kind, 0, payload, context));
        });
        let complete = match read {
            Ok(Progress::More) => return Some(ReadPart::Entries(entries)),
            Ok(Progress::Done) if stage == Stage::Sas => self.read_policies(),
            Ok(Progress::Done) => Ok(true),
            Ok(Progress::Interrupted) => Ok(false),
            Err(error) => Err(error),
        };
        match complete {
            Ok(complete) if stage == Stage::Policies || !complete => {
                self.reading = Some(Stage::Read { complete });
            }
            Ok(_) => self.reading = Some(Stage::Policies),
            Err(error) => {
                log::warn!("cannot read the kernel's tunnels: {error}");
                self.reading = Some(Stage::End { complete: false });
            }
        }
        Some(ReadPart::Entries(entries))
    }

    fn events_until_now(&mut self) -> Vec<XfrmEvent> {
        let mut all = Vec::new();
        while all.len() < EVENTS_MAX {
            match self.events() {
                Ok(events) if !events.is_empty() => all.extend(events),
                // whoever waits for the socket reports its error
                _ => break,
            }
        }
        all
    }

    fn read_policies(&mut self) -> io::Result<bool> {
        self.dump.start(XFRM_MSG_GETPOLICY, &[]).map(|()| true)
    }

    /// Applies the changes in their order, in batches; returns positions and errnos of refused ones.
    pub fn apply(&mut self, changes: &[Change]) -> Vec<(usize, i32)> {
        let mut refused = Vec::new();
        self.context.discard();
        // position of the change of each request in the batch; None if the request's result does not count
        let mut owners = Vec::with_capacity(BATCH_MAX);
        for (position, change) in changes.iter().enumerate() {
            let (first, second) = codec::requests(change, &mut self.context);
            self.push(&first);
            owners.push(Some(position));
            if let Some(second) = second {
                self.push(&second);
                owners.push(None);
            }
            if owners.len() + 1 >= BATCH_MAX {
                self.flush(&mut owners, &mut refused);
            }
        }
        self.flush(&mut owners, &mut refused);
        refused
    }

    fn push(&mut self, request: &Request) {
        self.writer.push(request.kind, request.flags, |bytes| {
            bytes.extend_from_slice(&request.payload);
        });
    }

    fn flush(&mut self, owners: &mut Vec<Option<usize>>, refused: &mut Vec<(usize, i32)>) {
        let done = self.writer.flush(|request, verdict| {
            let owner = owners.get(request).copied().flatten();
            if let (Some(position), Verdict::Refused(errno)) = (owner, verdict) {
                refused.push((position, errno));
            }
        });
        if let Err(error) = done {
            let errno = error.raw_os_error().unwrap_or(EIO);
            refused.extend(owners.iter().flatten().map(|position| (*position, errno)));
        }
        owners.clear();
    }
}
