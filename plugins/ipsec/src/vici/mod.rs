//! strongSwan's charon on this node: what it calls its SAs, and children that it is to establish
//! anew after a failover, on a thread of their own.
//!
//! `run` is the thread; `client` speaks with charon (`stream` of `codec`'s packets), `list` is what
//! it has, `listing` when that is read for the check, `adopt` decides what it is asked for, and `withhold`
//! which addresses it must not assign.

mod adopt;
mod client;
pub mod codec;
mod end;
mod list;
mod listing;
mod run;
mod stream;
mod withhold;

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::thread::{self, JoinHandle};

use rustix::event::{EventfdFlags, eventfd};

use crate::connections::Listed;
use crate::engine::{ChildName, DaemonWord, Named};

pub use adopt::WAITS;
use end::End;
use run::{Order, Thread};

/// Beyond them the thread waits for [`Daemon::poll`].
const SAID_MAX: usize = 1024;

/// Report of the thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ViciEvent {
    /// All that charon calls by name, where that changed. An absent charon has called none yet, and
    /// what one called that has gone stays.
    Names(Vec<Named>),
    /// A child was established anew, or not yet: its first failure, then its success.
    Adopted(ChildName, Result<(), String>),
    /// It is there, has answered to a greeting, has ended, or was not there from the first.
    Daemon(DaemonWord),
    /// Its connections and pools, where they changed; in answer to [`Daemon::list`] always, and None
    /// where it could not be asked.
    Listed(Option<Listed>),
    /// Why it may assign an address that a client has already, where that changed.
    Withheld(Option<String>),
    /// A line for whoever reads the log.
    Note(String),
}

/// The thread that speaks with charon; dropping it ends and joins the thread.
pub struct Daemon(Option<Running>);

struct Running {
    orders: Sender<Order>,
    /// None only while it is dropped.
    said: Option<Receiver<ViciEvent>>,
    bell: Arc<OwnedFd>,
    end: End,
    thread: Option<JoinHandle<()>>,
}

impl Daemon {
    /// `wake` is called after each thing said, from the thread. Without a socket there is none, and
    /// nothing is ever said.
    ///
    /// # Errors
    /// No descriptor, no thread.
    pub fn start(socket: Option<PathBuf>, wake: impl Fn() + Send + 'static) -> io::Result<Self> {
        let Some(socket) = socket else {
            return Ok(Self(None));
        };
        let (orders, to_do) = channel();
        let (tell, said) = sync_channel(SAID_MAX);
        let bell = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let end = End::new()?;
        let thread = Thread::new(socket, to_do, tell, &bell, &end, Box::new(wake));
        let thread = thread::Builder::new()
            .name("ipsec charon".to_owned())
            .spawn(|| thread.run())?;
        Ok(Self(Some(Running {
            orders,
            said: Some(said),
            bell,
            end,
            thread: Some(thread),
        })))
    }

    /// These are to be established anew, until [`Daemon::forget`]; `known` are the SPIs that they had
    /// before. Takes the place of what was wanted before.
    pub fn adopt(&self, names: Vec<ChildName>, known: BTreeSet<u32>) {
        self.order(Order::Adopt(names, known));
    }

    pub fn forget(&self) {
        self.order(Order::Forget);
    }

    /// Asks charon for an answer: one that is being stopped gives none.
    pub fn greet(&self) {
        self.order(Order::Greet);
    }

    /// It must not assign these. Takes the place of what was said before.
    pub fn withhold(&self, addresses: BTreeSet<IpAddr>) {
        self.order(Order::Withhold(addresses));
    }

    /// Asks charon for its connections and pools; false where nobody is ever asked.
    pub fn list(&self) -> bool {
        self.order(Order::List);
        self.0.is_some()
    }

    /// The next thing said, where there is one.
    pub fn poll(&self) -> Option<ViciEvent> {
        self.0.as_ref()?.said.as_ref()?.try_recv().ok()
    }

    /// Ends the thread, which waits for nothing longer than a moment then.
    pub fn stop(self) {}

    fn order(&self, order: Order) {
        let Some(running) = &self.0 else {
            return;
        };
        // its thread ends only with this
        let _ = running.orders.send(order);
        let _ = rustix::io::write(&running.bell, &1_u64.to_ne_bytes());
    }
}

impl fmt::Debug for Daemon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Daemon").finish_non_exhaustive()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end.say();
        // it may wait for room
        self.said = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
