//! Communicates with strongSwan's charon on this node, in a thread of its own: names of its SAs, and children that it
//! is to establish again after a failover.
//!
//! `run` is the thread. `client` exchanges commands with charon (`stream` of `codec`'s packets), `list` reads its
//! lists, `list_schedule` schedules that for the check, `adopt` decides what it is asked for, and `withhold` which
//! addresses it must not assign.

mod adopt;
mod client;
pub mod codec;
mod list;
mod list_schedule;
mod run;
mod stop_signal;
mod stream;
mod withhold;

use std::collections::{BTreeMap, BTreeSet};
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
use crate::engine::{ChildName, DaemonEvent, NamedSpi};
use crate::sessions::{IkeSpis, RunningIke};

pub use adopt::WAITS_FOR_FAR_END;
use run::{Order, Thread};
use stop_signal::StopSignal;

/// Number of events beyond which the thread waits for [`Daemon::poll`].
const EVENTS_MAX: usize = 1024;

/// Report of the thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ViciEvent {
    /// Names of all SAs, if they changed. A charon that has just started has named none, and names from one that has
    /// gone stay.
    Names(Vec<NamedSpi>),
    /// A child was established again, or failed: its first failure, then its success.
    Adopted(ChildName, Result<(), String>),
    /// charon has started, has answered a ping, has ended, or was absent from the start.
    Daemon(DaemonEvent),
    /// Its connections and pools, if they changed; always as the answer to [`Daemon::list`], and None if charon could
    /// not be queried.
    Listed(Option<Listed>),
    /// Reason why it may assign an address that a client already has, if it changed.
    Withheld(Option<String>),
    /// charon has all connections that were awaited, but these.
    Loaded(BTreeSet<String>),
    /// IKE SAs that charon has, before it is said to have started.
    Running(BTreeMap<IkeSpis, RunningIke>),
    /// Release of strongSwan, such as "5.9.8", before its charon is said to have started.
    Release(String),
    /// charon has given up what it was told to.
    GivenUp,
    /// A line for the log.
    Note(String),
}

/// Handle of the thread that communicates with charon; dropping it ends and joins the thread.
pub struct Daemon(Option<Running>);

struct Running {
    orders: Sender<Order>,
    /// Events of the thread; None only during drop.
    events: Option<Receiver<ViciEvent>>,
    bell: Arc<OwnedFd>,
    stop_signal: StopSignal,
    thread: Option<JoinHandle<()>>,
}

impl Daemon {
    /// Starts the thread. `wake` is called after each event, from the thread. Without a socket there is no thread, and
    /// there are no events.
    ///
    /// # Errors
    /// No descriptor is available, or the thread cannot be started.
    pub fn start(socket: Option<PathBuf>, wake: impl Fn() + Send + 'static) -> io::Result<Self> {
        let Some(socket) = socket else {
            return Ok(Self(None));
        };
        let (orders, to_do) = channel();
        let (sender, events) = sync_channel(EVENTS_MAX);
        let bell = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let stop_signal = StopSignal::new()?;
        let thread = Thread::new(socket, to_do, sender, &bell, &stop_signal, Box::new(wake));
        let thread = thread::Builder::new()
            .name("ipsec charon".to_owned())
            .spawn(|| thread.run())?;
        Ok(Self(Some(Running {
            orders,
            events: Some(events),
            bell,
            stop_signal,
            thread: Some(thread),
        })))
    }

    /// Requests these children to be established again, until [`Daemon::forget`]; `known` are their earlier SPIs.
    /// Replaces an earlier request.
    pub fn adopt(&self, names: Vec<ChildName>, known: BTreeSet<u32>) {
        self.order(Order::Adopt(names, known));
    }

    pub fn forget(&self) {
        self.order(Order::Forget);
    }

    /// Asks charon for an answer: a charon that is being stopped gives none.
    pub fn ping(&self) {
        self.order(Order::Ping);
    }

    /// Sets the addresses that charon must not assign. Replaces the earlier ones.
    pub fn withhold(&self, addresses: BTreeSet<IpAddr>) {
        self.order(Order::Withhold(addresses));
    }

    /// Has a start of charon noticed soon.
    pub fn expect(&self) {
        self.order(Order::Expect);
    }

    /// Waits until charon has these connections; a charon that ends is not waited for.
    pub fn await_connections(&self, names: BTreeSet<String>) {
        self.order(Order::AwaitConnections(names));
    }

    /// Has charon give up IKE SAs of these connections that it has begun and that have no keys yet.
    pub fn give_up(&self, connections: BTreeSet<String>) {
        self.order(Order::GiveUp(connections));
    }

    /// Asks charon for its connections and pools. Returns false if there is no thread.
    pub fn list(&self) -> bool {
        self.order(Order::List);
        self.0.is_some()
    }

    /// Returns the next event, if any.
    pub fn poll(&self) -> Option<ViciEvent> {
        self.0.as_ref()?.events.as_ref()?.try_recv().ok()
    }

    /// Ends the thread, which then waits at most a moment.
    pub fn stop(self) {}

    fn order(&self, order: Order) {
        let Some(running) = &self.0 else {
            return;
        };
        // its thread ends only with this object
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
        self.stop_signal.send();
        // the thread may wait for room
        self.events = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
