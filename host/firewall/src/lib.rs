//! The link in the administrator's nftables rules: adds one rule per path to the chain that
//! `[firewall]` names, or reports which chain drops the link.
//!
//! A thread runs `nft`, which may take long with large rulesets, and checks again whenever rules
//! change. No failover waits for it: VRRP and heartbeats are received by packet sockets.

#![forbid(unsafe_code)]

mod passage;
mod rules;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use spared_config::Link;
use spared_netlink::Monitor;

use rules::Rules;
pub use rules::{LISTING, Obstacle, interruptions, obstacles, ruleset_of};

/// linux/netfilter/nfnetlink.h: NFNLGRP_NFTABLES.
const CHANGES: u32 = 7;
/// Pause without changes before a check, as rulesets are loaded in several transactions.
const CALM: Duration = Duration::from_millis(200);
/// Longest wait for the removal of the rules at the end.
const END_TIMEOUT: Duration = Duration::from_secs(1);

/// State of the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleState {
    /// The link passes, with or without our rules.
    Passes,
    /// Our rules were removed, and are back.
    PutBack,
    /// The link is blocked: by what, and what to do.
    Kept(String),
    Ended,
}

/// The host's end of the thread.
pub struct Firewall {
    orders: Sender<Order>,
    woken: Arc<OwnedFd>,
    told: Receiver<RuleState>,
}

enum Order {
    Keep(Option<Box<(String, Link)>>),
    End,
}

impl Firewall {
    /// `marker` is a file that exists as long as our rules do.
    ///
    /// # Errors
    /// The kernel's: no thread or descriptor left, or no nftables.
    pub fn start(marker: PathBuf) -> io::Result<Self> {
        let monitor = Monitor::netfilter(CHANGES)?;
        let woken = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let (orders, taken) = channel();
        let (tell, told) = channel();
        let watch = Watch {
            rules: Rules::new(marker),
            link: None,
            kept: false,
            monitor,
            woken: Arc::clone(&woken),
            orders: taken,
            tell,
        };
        thread::Builder::new()
            .name("firewall".into())
            .spawn(move || watch.turn())?;
        Ok(Self {
            orders,
            woken,
            told,
        })
    }

    /// Lets this link of `node` pass from now on; with None, removes the rules.
    pub fn keep(&self, node: &str, link: Option<&Link>) {
        let link = link.map(|link| Box::new((node.to_owned(), link.clone())));
        self.order(Order::Keep(link));
    }

    fn order(&self, order: Order) {
        // A thread that has ended has reported so.
        let _ = self.orders.send(order);
        let _ = rustix::io::write(&*self.woken, &1u64.to_ne_bytes());
    }

    /// The next report, if there is one; never waits.
    pub fn poll(&self) -> Option<RuleState> {
        self.told.try_recv().ok()
    }

    /// Removes the rules and ends the thread.
    pub fn end(self) {
        self.order(Order::End);
        while let Ok(told) = self.told.recv_timeout(END_TIMEOUT) {
            if told == RuleState::Ended {
                return;
            }
        }
        log::warn!("nft timed out: the link's rule may remain in the firewall");
    }
}

/// The thread.
struct Watch {
    rules: Rules,
    link: Option<Box<(String, Link)>>,
    /// Whether the link was blocked at the last check.
    kept: bool,
    monitor: Monitor,
    woken: Arc<OwnedFd>,
    orders: Receiver<Order>,
    tell: Sender<RuleState>,
}

impl Watch {
    fn turn(mut self) {
        self.rules.remove_leftovers();
        loop {
            if self.wait(None).is_err() {
                return;
            }
            let mut mine = false;
            let mut drained = [0; 8];
            let _ = rustix::io::read(&*self.woken, &mut drained);
            while let Ok(order) = self.orders.try_recv() {
                match order {
                    Order::Keep(link) => self.link = link,
                    Order::End => {
                        self.rules.remove();
                        let _ = self.tell.send(RuleState::Ended);
                        return;
                    }
                }
                mine = true;
            }
            if mine || self.is_disturbed() {
                self.look(mine);
            }
        }
    }

    fn look(&mut self, ordered: bool) {
        let told = match self.link.as_deref() {
            None => {
                self.rules.remove();
                RuleState::Passes
            }
            Some((node, link)) => self.rules.keep(node, link, ordered),
        };
        // Not put back: the chain is new and has our rules for the first time.
        let told = match told {
            RuleState::PutBack if self.kept => RuleState::Passes,
            told => told,
        };
        self.kept = matches!(told, RuleState::Kept(_));
        let _ = self.tell.send(told);
        // Our own changes are no reason for another check.
        let _ = self.monitor.read_raw(|_, _| {});
    }

    /// Whether rules were changed. Returns once no change has come for a moment.
    fn is_disturbed(&mut self) -> bool {
        let mut disturbed = false;
        loop {
            let mut more = false;
            let read = self
                .monitor
                .read_raw(|header, payload| more |= is_of_rules(header.kind, payload));
            more |= !matches!(read, Ok(Ok(())));
            if !more {
                return disturbed;
            }
            disturbed = true;
            thread::sleep(CALM);
        }
    }

    fn wait(&self, timeout: Option<&Timespec>) -> Result<(), rustix::io::Errno> {
        let mut ready = [
            PollFd::from_borrowed_fd(self.woken.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.monitor.as_fd(), PollFlags::IN),
        ];
        match poll(&mut ready, timeout) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(errno) => Err(errno),
        }
    }
}

// Whether tables, chains or rules have changed, of a family that sees the link. Elements of sets
// change all the time, and the fence is of the family netdev.
fn is_of_rules(kind: u16, payload: &[u8]) -> bool {
    const TABLES_CHAINS_RULES: [u16; 6] = [0, 2, 3, 5, 6, 8];
    const NETDEV: u8 = 5;
    TABLES_CHAINS_RULES.contains(&(kind & 0xff)) && payload.first() != Some(&NETDEV)
}
