//! The administrator's nftables rules and the link: one rule per path in the chain that
//! `[firewall]` names, or a word about the ruleset that drops the link.
//!
//! A thread runs `nft`, which may take long with large rulesets, and looks again whenever somebody
//! changes rules. It is on no failover's path: VRRP and heartbeats are heard by packet sockets.

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
use spared_netlink::Monitor;

use crate::config::Link;
use rules::Rules;
pub use rules::{LISTING, Obstacle, interruptions, obstacles, ruleset_of};

/// linux/netfilter/nfnetlink.h: NFNLGRP_NFTABLES.
const CHANGES: u32 = 7;
/// Rulesets are loaded in more than one transaction, and everybody looks at once then.
const CALM: Duration = Duration::from_millis(200);
/// How long the end waits for the rules to go.
const END_TIMEOUT: Duration = Duration::from_secs(1);

/// What became of the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleState {
    /// The link passes, with rules of ours or without.
    Passes,
    /// Somebody took our rules out, and they are back.
    PutBack,
    /// What keeps the link out, and what to do.
    Kept(String),
    Ended,
}

/// The thread's end that the host holds.
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
    /// `marker` is a file that is there as long as rules of ours are.
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

    /// Lets this link pass from now on, as `node` sees it; none: takes out what was put in.
    pub fn keep(&self, node: &str, link: Option<&Link>) {
        let link = link.map(|link| Box::new((node.to_owned(), link.clone())));
        self.order(Order::Keep(link));
    }

    fn order(&self, order: Order) {
        // A thread that is gone told so when it went.
        let _ = self.orders.send(order);
        let _ = rustix::io::write(&*self.woken, &1u64.to_ne_bytes());
    }

    /// What happened since; never waits.
    pub fn poll(&self) -> Option<RuleState> {
        self.told.try_recv().ok()
    }

    /// Takes the rules out.
    pub fn end(self) {
        self.order(Order::End);
        while let Ok(told) = self.told.recv_timeout(END_TIMEOUT) {
            if told == RuleState::Ended {
                return;
            }
        }
        log::warn!("nft takes too long: the link's rule may be left in the firewall");
    }
}

/// The thread.
struct Watch {
    rules: Rules,
    link: Option<Box<(String, Link)>>,
    /// The last look found something that keeps the link out.
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
        // A chain that was not there yet has our rules for the first time.
        let told = match told {
            RuleState::PutBack if self.kept => RuleState::Passes,
            told => told,
        };
        self.kept = matches!(told, RuleState::Kept(_));
        let _ = self.tell.send(told);
        // Our own changes are no reason to look again.
        let _ = self.monitor.read_raw(|_, _| {});
    }

    /// Somebody changed rules, and has not for a moment.
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

// Tables, chains and rules of a family that sees the link: elements of sets come and go all day,
// and the fence is of the family netdev.
fn is_of_rules(kind: u16, payload: &[u8]) -> bool {
    const TABLES_CHAINS_RULES: [u16; 6] = [0, 2, 3, 5, 6, 8];
    const NETDEV: u8 = 5;
    TABLES_CHAINS_RULES.contains(&(kind & 0xff)) && payload.first() != Some(&NETDEV)
}
