//! The session: identity of the peer, active groups of both nodes, and the pair of serials that every message carries.

use std::collections::{BTreeSet, HashMap, VecDeque};

use crate::Config;
use crate::buffer::Outgoing;
use crate::drain::Drains;
use crate::garbage::Garbage;
use crate::inbox::Inbox;
use crate::outbox::Outbox;
use crate::planted_fault::PlantedFault;
use crate::serial_pair::SerialPair;
use crate::store::{Store, Token};
use crate::table::{PeerTable, Phase, TableRole, TableState};
use crate::wire::{Body, Hello, Malformed, Message, VERSION, kind};

/// Limit of sentences that wait for the owner to poll them.
const EVENTS_MAX: usize = 64;

/// A plugin's instance of the protocol: all its tables, one channel. See the [crate's
/// documentation](crate).
pub struct Replica<S: Store> {
    pub(crate) config: Config,
    pub(crate) tables: Vec<TableState<S>>,
    pub(crate) active: BTreeSet<String>,
    pub(crate) channel: Channel,
    pub(crate) peer: Option<PeerNode>,
    pub(crate) serial: u32,
    pub(crate) serial_pair: SerialPair,
    pub(crate) outbox: Outbox<S::Key>,
    pub(crate) inbox: Inbox<S::Key>,
    /// Pending writes of earlier pairs.
    pub(crate) earlier_writes: HashMap<Token, (usize, S::Key)>,
    pub(crate) out: Outgoing,
    pub(crate) sending: Sending,
    pub(crate) drains: Drains,
    pub(crate) garbage: Garbage,
    pub(crate) events: VecDeque<String>,
}

/// Channel to the peer, and what this node has sent in it.
#[derive(Debug, Default)]
pub(crate) struct Channel {
    pub is_up: bool,
    pub hello_due: bool,
    /// Pair of serials in the last sent ROLE.
    pub role_sent: Option<(u32, u32)>,
}

/// Records and numbers that the sender puts next.
#[derive(Debug, Default)]
pub(crate) struct Sending {
    /// Kind of record to send next, so that none waits forever.
    pub turn: u8,
    /// True if there is more to do at once.
    pub is_busy: bool,
    /// True if a COUNT is due; then the times of the next look at numbers of records and of the last one.
    pub count_due: bool,
    pub count_due_ns: u64,
    pub count_looked_ns: u64,
}

/// The peer, as its HELLO described it.
#[derive(Debug)]
pub(crate) struct PeerNode {
    pub version: u16,
    pub run: u64,
    pub node: u64,
    pub serial: u32,
    /// Active groups; None before the peer's first ROLE.
    pub active: Option<BTreeSet<String>>,
    /// Tables of the peer that this node does not have.
    pub peer_only_tables: Vec<String>,
}

impl<S: Store> Replica<S> {
    /// Creates a replica of these tables, without a channel.
    pub fn new(config: Config) -> Self {
        let tables = config.tables.iter().cloned().map(TableState::new);
        Self {
            tables: tables.take(usize::from(u8::MAX)).collect(),
            config,
            active: BTreeSet::new(),
            channel: Channel::default(),
            peer: None,
            serial: 0,
            serial_pair: SerialPair::default(),
            outbox: Outbox::new(),
            inbox: Inbox::new(),
            earlier_writes: HashMap::new(),
            out: Outgoing::new(),
            sending: Sending::default(),
            drains: Drains::new(),
            garbage: Garbage::new(),
            events: VecDeque::new(),
        }
    }

    /// Handles that the channel is up; messages of an earlier one are lost.
    pub fn handle_up(&mut self, store: &mut S) {
        self.refresh(store);
        self.channel.is_up = true;
        self.channel.hello_due = true;
        self.garbage = Garbage::new();
        self.new_serial();
    }

    /// Handles that the channel is down.
    pub fn handle_down(&mut self, store: &mut S) {
        if PlantedFault::PruneBeforeEnd.is_planted() {
            self.prune_all(store);
        }
        self.channel = Channel::default();
        self.peer = None;
        self.drains.handle_down();
        self.garbage.handle_down();
        self.end_pair();
        self.abandon(store);
        for table in &mut self.tables {
            let kept = PlantedFault::PendingKept.is_planted();
            let kept = kept.then(|| table.changes.pending.clone());
            table.detach();
            table.changes.pending = kept.unwrap_or_default();
            table.peer = None;
            table.counters.handle_down();
            table.retry.reset();
        }
    }

    /// Sets the groups that are active on this node, all of them.
    pub fn handle_groups(&mut self, active: BTreeSet<String>) {
        if active != self.active {
            self.active = active;
            self.new_serial();
        }
    }

    /// Looks for tables that appeared, disappeared, or have a new incarnation. The owner need not call it: every
    /// `poll_message`, `handle_message` and `handle_timeout` does.
    pub(crate) fn refresh(&mut self, store: &mut S) {
        for (index, table) in self.tables.iter_mut().enumerate() {
            table.transfer.is_list = store.is_list(index);
        }
        self.abandon(store);
        let mut renewed_tables = Vec::new();
        for (index, table) in self.tables.iter_mut().enumerate() {
            let incarnation = store.incarnation(index);
            if incarnation != table.incarnation {
                table.renew(incarnation);
                renewed_tables.push(index);
                if let Some(peer) = &mut table.peer {
                    peer.preface_fault = store.check_preface(index, &peer.preface).err();
                }
            }
        }
        if renewed_tables.is_empty() {
            return;
        }
        if self.channel.is_up {
            self.channel.hello_due = true;
            self.new_serial();
        }
        // requests to the old incarnation do not apply to the new one
        self.earlier_writes
            .retain(|_, (table, _)| !renewed_tables.contains(table));
        self.begin_pair_if_due();
    }

    /// Ends the pair and sends a new serial.
    pub(crate) fn new_serial(&mut self) {
        self.report_counts_soon();
        self.serial = next_serial(self.serial);
        self.end_pair();
    }

    /// Ends the pair: all state machines become idle, stamps and flags stay.
    pub(crate) fn end_pair(&mut self) {
        self.serial_pair.end();
        // the decider has to know which table is a list, and must not be merged
        let is_news = |it: &TableState<S>| {
            // a HELLO does not name a table that is absent: it would be news in each pair
            it.incarnation.is_some() && it.transfer.is_list && !it.transfer.is_list_announced
        };
        if self.channel.is_up && self.tables.iter().any(is_news) {
            self.channel.hello_due = true;
            // a HELLO ends the peer's pair, so a ROLE has to follow it
            self.serial = next_serial(self.serial);
        }
        match self.out.bytes().first() {
            // the message was not sent, and belongs to no pair
            Some(&kind::HELLO) => self.channel.hello_due = self.channel.is_up,
            Some(&kind::ROLE) => self.channel.role_sent = None,
            Some(&kind::AGAIN) => self.garbage.set_again_due(self.channel.is_up),
            _ => {}
        }
        self.out.clear();
        self.outbox = Outbox::new();
        let inbox = std::mem::replace(&mut self.inbox, Inbox::new());
        if self.earlier_writes.len() > self.config.window {
            self.earlier_writes = HashMap::new();
        }
        for (ordinal, table, key) in inbox.into_pending() {
            let pair = self.serial_pair.number();
            self.earlier_writes
                .insert(Token { pair, ordinal }, (table, key));
        }
        self.drains.handle_pair_end();
        self.tables.iter_mut().for_each(TableState::end_pair);
    }

    /// Returns true while writes of the last pair are not confirmed.
    pub(crate) fn has_earlier_writes(&self) -> bool {
        !self.earlier_writes.is_empty()
    }

    /// Serials of a new ROLE, if one is due.
    pub(crate) fn role_due(&self) -> Option<(u32, u32)> {
        let answers = self.peer.as_ref().map_or(0, |peer| peer.serial);
        let pair = (self.serial, answers);
        (self.channel.role_sent != Some(pair) && !self.has_earlier_writes()).then_some(pair)
    }

    /// Handles a message of the peer. An invalid one is dropped, and the pair ends, because its
    /// records are unknown.
    ///
    /// # Errors
    /// The message is invalid, for the owner's log; the replica has counted it already.
    pub fn handle_message(
        &mut self,
        now_ns: u64,
        store: &mut S,
        bytes: &[u8],
    ) -> Result<(), Malformed> {
        if !self.channel.is_up {
            return Ok(());
        }
        self.report_counts_soon();
        self.refresh(store);
        let read = Message::parse(bytes);
        let done = read.and_then(|message| self.handle_parsed(now_ns, store, message));
        done.inspect_err(|why| self.drop_garbage(now_ns, *why))
    }

    fn handle_parsed(
        &mut self,
        now_ns: u64,
        store: &mut S,
        message: Message<'_>,
    ) -> Result<(), Malformed> {
        let head = message.head;
        match message.body {
            Body::Hello(hello) => self.handle_hello(store, hello),
            Body::Role(groups) => self.handle_role(head.serial, head.answers, groups),
            Body::Again { garbage } => {
                self.garbage.handle_again(garbage);
                // the dropped message may have been the HELLO
                self.channel.hello_due = true;
                self.new_serial();
                Ok(())
            }
            body => {
                let pair = self.peer.as_ref().map(|peer| (peer.serial, self.serial));
                let present = pair == Some((head.serial, head.answers));
                let counts = self.serial_pair.is_on() && present;
                if !counts && !PlantedFault::PairIgnored.is_planted() {
                    return Ok(());
                }
                self.handle_body(now_ns, store, head, body)
            }
        }
    }

    pub(crate) fn drop_garbage(&mut self, now_ns: u64, why: Malformed) {
        if self.garbage.handle_dropped() {
            self.push_event(format!("the peer's {why}; further ones are only counted"));
        }
        self.end_pair();
        self.garbage.retry_later(now_ns);
    }

    fn handle_hello(&mut self, store: &mut S, hello: Hello<'_>) -> Result<(), Malformed> {
        let mut ids = BTreeSet::new();
        if !hello.tables.iter().all(|table| ids.insert(table.id)) {
            return Err(Malformed::Field("table"));
        }
        let restarted = self.peer.as_ref().is_some_and(|it| it.run != hello.run);
        let known = self.peer.take().filter(|_| !restarted);
        let (serial, active) = known.map_or((0, None), |it| (it.serial, it.active));
        self.peer = Some(PeerNode {
            version: hello.version,
            run: hello.run,
            node: hello.node,
            serial,
            active,
            peer_only_tables: hello
                .tables
                .iter()
                .filter(|theirs| !self.tables.iter().any(|it| it.config.name == theirs.name))
                .map(|theirs| theirs.name.to_owned())
                .collect(),
        });
        self.end_pair();
        for (index, table) in self.tables.iter_mut().enumerate() {
            let theirs = hello.tables.iter();
            let mut theirs = theirs.filter(|it| it.name == table.config.name);
            table.peer = theirs.next().map(|it| PeerTable {
                id: it.id,
                incarnation: it.incarnation,
                preface: it.preface.to_vec(),
                preface_fault: store.check_preface(index, it.preface).err(),
            });
        }
        for index in 0..self.tables.len() {
            if !self.sends_changes(index) {
                self.tables[index].detach();
            }
        }
        Ok(())
    }

    fn handle_role(
        &mut self,
        serial: u32,
        answers: u32,
        groups: Vec<&str>,
    ) -> Result<(), Malformed> {
        let Some(peer) = &mut self.peer else {
            return Err(Malformed::Order("ROLE"));
        };
        let active: BTreeSet<String> = groups.into_iter().map(str::to_owned).collect();
        let known = peer.serial == serial && peer.active.as_ref() == Some(&active);
        if known && self.serial_pair.is_on() && answers == self.serial {
            return Ok(());
        }
        (peer.serial, peer.active) = (serial, Some(active));
        self.end_pair();
        let is_due = answers == self.serial && has_same_version(&self.peer);
        self.serial_pair.set_due(is_due);
        self.begin_pair_if_due();
        Ok(())
    }

    /// Begins a pair once the writes of the last one have their verdicts, because changing records cannot be compared.
    pub(crate) fn begin_pair_if_due(&mut self) {
        let free = !self.has_earlier_writes() && self.garbage.retry_ns().is_none();
        if free && self.serial_pair.begin() {
            self.begin_pair();
        }
    }

    /// Starts the tables, once both nodes know both roles: followers offer, deciders wait for offers.
    fn begin_pair(&mut self) {
        for index in 0..self.tables.len() {
            let (is_decider, one_active) = self.decides(index);
            let Some(table) = self.tables.get_mut(index) else {
                continue;
            };
            table.changes.rewind();
            table.counters.refused_here = 0;
            table.counters.refused_there = 0;
            table.counters.too_long = 0;
            if !table.is_common() {
                continue;
            }
            let under = table.peer.as_ref().map(|peer| peer.incarnation);
            let stale =
                table.shared_flags.are_outdated || table.shared_flags.peer_incarnation != under;
            table.shared_flags.are_outdated =
                stale && !PlantedFault::IncarnationIgnored.is_planted();
            if stale {
                table.next_stamp();
                table.shared_flags.peer_incarnation = None;
            }
            table.role = TableRole {
                is_decider,
                one_active,
            };
            if table.transfer.is_list && !is_decider {
                // the decider's list holds, and none of this node's single records is added to it
                table.changes.clear();
            }
            table.pair.phase = if is_decider {
                Phase::AwaitingOffer
            } else {
                Phase::Offering(S::Cursor::default())
            };
        }
    }

    /// True if this node decides on a table; the second value is true if one node alone is active for it.
    fn decides(&self, index: usize) -> (bool, bool) {
        let none = BTreeSet::new();
        let peer = self.peer.as_ref();
        let theirs = peer.and_then(|it| it.active.as_ref()).unwrap_or(&none);
        let group = self
            .tables
            .get(index)
            .and_then(|it| it.config.group.as_ref());
        let is_active = |groups: &BTreeSet<String>| match group {
            Some(group) => groups.contains(group),
            None => !groups.is_empty(),
        };
        let (here, there) = (is_active(&self.active), is_active(theirs));
        let is_decider = if here == there {
            self.has_greater_key()
        } else {
            here
        };
        (is_decider, here != there)
    }

    pub(crate) fn push_event(&mut self, text: String) {
        if self.events.len() < EVENTS_MAX {
            self.events.push_back(text);
        }
    }

    /// Returns a sentence for the log or for an event of the daemon.
    pub fn poll_event(&mut self) -> Option<String> {
        self.events.pop_front()
    }
}

fn next_serial(serial: u32) -> u32 {
    serial.wrapping_add(1).max(1)
}

pub(crate) fn has_same_version(peer: &Option<PeerNode>) -> bool {
    peer.as_ref().is_some_and(|peer| peer.version == VERSION)
}
