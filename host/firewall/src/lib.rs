//! `spared firewall`: keeps the link open in the administrator's nftables rules. Adds one rule per path to the chain
//! that `[firewall]` names, or reports which chain drops the link.
//!
//! It is a process of its own, with CAP_NET_ADMIN alone, because it runs `nft`, which may take long with large
//! rulesets, and parses its output. It checks again whenever rules change. The host sends it [`ToFirewall`]. No
//! failover waits for it: VRRP and heartbeats are received by packet sockets. If it ends, its rules stay.
//! [`host_end`] is the host's end of it.

#![forbid(unsafe_code)]

mod changes;
mod digest;
mod element_text;
mod elements;
pub mod host_end;
pub mod listing;
mod own;
mod packet;
mod passage;
mod rules;
mod sets;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::Signal;
use spared_message::firewall::{
    FromFirewall, NodeNames, Passage, RuleState, RulesListed, ToFirewall,
};
use spared_netlink::Requests;
use spared_process::child::{self, SOCKET_FD};
use spared_records::{ReceiveError, Receiver, SendError};

use changes::Changes;
pub use digest::digests;
use element_text::Words;
use elements::{ChangedSets, Elements};
pub use listing::ruleset_of;
pub use own::own_translations;
pub use packet::Advert;
pub use passage::drops;
use rules::Rules;
pub use rules::{Obstacle, interruptions, obstacles};

/// Exit code if the host did not start this process: sysexits' EX_USAGE.
const EXIT_USAGE: u8 = 64;
/// Minimum time between attempts to look at rules after a failed one.
const RETRY: Duration = Duration::from_secs(5);
/// Exit code if the kernel refuses a request or the host sends invalid messages: sysexits' EX_SOFTWARE.
const EXIT_BROKEN: u8 = 70;

/// Runs until the host asks it to end, or ends itself. Its socket is descriptor 3. The process changes to `account`
/// itself, because it keeps a capability.
pub fn run(account: Option<(u32, u32)>) -> ExitCode {
    let Some(socket) = child::inherited_socket() else {
        eprintln!("spared firewall is started by spared starter, not by hand");
        return ExitCode::from(EXIT_USAGE);
    };
    child::close_from(SOCKET_FD + 1);
    die_with_the_host();
    match Host::new(socket).serve(account) {
        Ok(()) | Err(End::HostIsGone) => ExitCode::SUCCESS,
        Err(End::Broken(why)) => {
            eprintln!("spared firewall: {why}");
            ExitCode::from(EXIT_BROKEN)
        }
    }
}

fn die_with_the_host() {
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
}

/// Reason why the process ends without an order.
#[derive(Debug)]
enum End {
    HostIsGone,
    Broken(String),
}

/// The socket to the host.
struct Host {
    socket: OwnedFd,
    receiver: Receiver,
}

impl Host {
    fn new(socket: OwnedFd) -> Self {
        let receiver = Receiver::default();
        Self { socket, receiver }
    }

    fn serve(mut self, account: Option<(u32, u32)>) -> Result<(), End> {
        let missed = spared_process::worker::confine_for_firewall(account);
        // A change of the account clears this setting.
        die_with_the_host();
        wait(&[&self.socket])?;
        let Some(ToFirewall::Begin { ours }) = self.receive()? else {
            return Err(End::Broken("the daemon did not begin".to_owned()));
        };
        if !missed.is_empty() {
            let missed = missed.join(", ");
            let text = format!("the firewall process is confined, but without: {missed}");
            self.tell(FromFirewall::Warning(text))?;
        }
        let changes = Changes::watch()
            .map_err(|error| End::Broken(format!("cannot watch the firewall: {error}")))?;
        let keeper = Keeper {
            host: self,
            changes,
            rules: Rules::new(ours),
            order: 0,
            passage: None,
            was_blocked: false,
            names: None,
            listed: RulesListed::default(),
            reported: RulesListed::default(),
            elements: Elements::default(),
            unlisted: None,
            unreadable_reason: None,
            tried_at: Instant::now(),
        };
        keeper.turn()
    }

    fn receive(&mut self) -> Result<Option<ToFirewall>, End> {
        match self.receiver.receive(&self.socket) {
            Ok(received) => Ok(received.map(|(message, _)| message)),
            Err(ReceiveError::Closed) => Err(End::HostIsGone),
            Err(error) => Err(End::Broken(error.to_string())),
        }
    }

    fn tell(&self, message: FromFirewall) -> Result<(), End> {
        spared_records::send(self.socket.as_fd(), &message, &[]).map_err(|error| match error {
            SendError::Closed => End::HostIsGone,
            error => End::Broken(format!("cannot reach the daemon: {error}")),
        })
    }
}

/// Keeps the rules as the last order demands.
struct Keeper {
    host: Host,
    changes: Changes,
    rules: Rules,
    order: u64,
    passage: Option<Passage>,
    /// True if the link was blocked at the last check.
    was_blocked: bool,
    /// Names by which rules are compared; None if rules are not compared.
    names: Option<NodeNames>,
    /// Listing of the last check, without elements of sets.
    listed: RulesListed,
    reported: RulesListed,
    elements: Elements,
    /// Reason why the last listing failed.
    unlisted: Option<String>,
    /// Reason, as reported to the host, why nobody can look at the rules.
    unreadable_reason: Option<String>,
    /// Time of the last attempt to look at the rules.
    tried_at: Instant,
}

impl Keeper {
    fn turn(mut self) -> Result<(), End> {
        loop {
            wait(&[&self.host.socket, &self.changes])?;
            let (mut is_ordered, mut is_renamed) = (false, false);
            while let Some(message) = self.host.receive()? {
                match message {
                    ToFirewall::Keep { order, passage } => {
                        (self.order, self.passage) = (order, passage);
                        is_ordered = true;
                    }
                    ToFirewall::Compare(names) => {
                        self.names = Some(names);
                        self.elements.handle_names();
                        is_renamed = true;
                    }
                    ToFirewall::Ping => self.host.tell(FromFirewall::Pong)?,
                    ToFirewall::End => return self.end(),
                    ToFirewall::Begin { .. } => {
                        return Err(End::Broken("the daemon began twice".to_owned()));
                    }
                }
            }
            let is_changed = self.changes.take();
            self.note_elements()?;
            if is_ordered || is_renamed || is_changed || self.is_to_be_tried(Instant::now()) {
                self.host.tell(FromFirewall::Busy(true))?;
                if is_changed && !is_ordered {
                    self.changes.settle();
                }
                self.look(is_ordered)?;
                self.list()?;
                self.tell_blind()?;
                self.host.tell(FromFirewall::Busy(false))?;
            }
            self.read_elements()?;
        }
    }

    /// Notes which sets have changed, and withdraws their digests.
    fn note_elements(&mut self) -> Result<(), End> {
        let changed_sets = self.changes.take_changed_sets();
        if changed_sets == ChangedSets::default() {
            return Ok(());
        }
        self.elements.handle_changes(Instant::now(), &changed_sets);
        self.tell_listed()
    }

    /// Reads the sets that are calm and have to be read. The host's pings call it regularly.
    fn read_elements(&mut self) -> Result<(), End> {
        let Some(names) = &self.names else {
            return Ok(());
        };
        let now = Instant::now();
        let due = self.elements.due(now, Duration::from_millis(names.calm_ms));
        if due.is_empty() {
            return Ok(());
        }
        self.host.tell(FromFirewall::Busy(true))?;
        let interfaces = interfaces().unwrap_or_default();
        let words = Words {
            names,
            interfaces: &interfaces,
        };
        for set in due {
            // a set that changes meanwhile is read again soon, one that is gone is forgotten soon
            if let Ok(read) = sets::elements(&set.name) {
                let digests = read.map(|it| element_text::digests(&it, set.types, &words));
                self.elements.set_digests(now, &set.name, digests);
            }
        }
        self.tell_listed()?;
        self.host.tell(FromFirewall::Busy(false))
    }

    /// Returns true if a look at the rules failed some seconds ago or has become impossible. The host's pings call it
    /// regularly.
    fn is_to_be_tried(&mut self, now: Instant) -> bool {
        if now.duration_since(self.tried_at) < RETRY {
            return false;
        }
        self.tried_at = now;
        self.unreadable_reason.is_some() || !rules::is_installed()
    }

    fn tell_blind(&mut self) -> Result<(), End> {
        self.tried_at = Instant::now();
        let is_missing = !rules::is_installed();
        let unreadable = self.rules.unreadable_reason().or(self.unlisted.as_ref());
        let unreadable = unreadable.map(|why| {
            if is_missing {
                "there is no nft: install the package nftables".to_owned()
            } else {
                why.clone()
            }
        });
        if unreadable == self.unreadable_reason {
            return Ok(());
        }
        self.unreadable_reason.clone_from(&unreadable);
        self.host.tell(FromFirewall::Unreadable(unreadable))
    }

    /// Lists the rules and sets, and reports them if they have changed.
    fn list(&mut self) -> Result<(), End> {
        let Some(names) = &self.names else {
            return Ok(());
        };
        let listed = rules::listed(names);
        self.unlisted = listed.as_ref().err().cloned();
        self.listed = listed.unwrap_or_default();
        let declared = Requests::open_netfilter().and_then(|mut it| sets::declared(&mut it));
        // if the sets cannot be listed, none are compared
        let (now, declared) = (Instant::now(), declared.unwrap_or_default());
        self.elements.set_declared(now, declared, &names.sets);
        self.tell_listed()
    }

    fn tell_listed(&mut self) -> Result<(), End> {
        let listed = RulesListed {
            elements: self.elements.digests(),
            ..self.listed.clone()
        };
        if listed == self.reported {
            return Ok(());
        }
        self.reported = listed.clone();
        self.host.tell(FromFirewall::Rules(listed))
    }

    fn end(mut self) -> Result<(), End> {
        if let Err(why) = self.rules.remove() {
            self.host.tell(FromFirewall::Warning(why))?;
        }
        let ours = self.rules.may_exist();
        self.host.tell(FromFirewall::Ended { ours })
    }

    fn look(&mut self, is_ordered: bool) -> Result<(), End> {
        let blocked = match &self.passage {
            None => self.rules.remove().map(|()| RuleState::Passes),
            Some(passage) => self.rules.keep(passage, is_ordered),
        };
        let state = match blocked {
            // Not `PutBack`: the chain is new and has our rules for the first time.
            Ok(RuleState::PutBack) if self.was_blocked => RuleState::Passes,
            Ok(state) => state,
            Err(why) => {
                self.host.tell(FromFirewall::Warning(why))?;
                RuleState::Passes
            }
        };
        self.was_blocked = matches!(state, RuleState::Blocked(_));
        // Our own changes must not cause another check.
        self.changes.forget();
        self.host.tell(FromFirewall::State {
            order: self.order,
            state,
            ours: self.rules.may_exist(),
        })
    }
}

/// Names of the interfaces by index, for sets that contain indices.
fn interfaces() -> io::Result<BTreeMap<u32, String>> {
    let links = Requests::open()?.links()?;
    Ok(links.into_iter().map(|it| (it.index, it.name)).collect())
}

/// Waits until one of these is readable.
fn wait(sources: &[&dyn AsFd]) -> Result<(), End> {
    let sources = sources.iter();
    let mut ready: Vec<PollFd<'_>> = sources
        .map(|it| PollFd::from_borrowed_fd(it.as_fd(), PollFlags::IN))
        .collect();
    match poll(&mut ready, None) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(End::Broken(format!("cannot wait: {errno}"))),
    }
}
