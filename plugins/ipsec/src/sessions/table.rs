//! IKE SAs and their children as charon tells of them, each with the messages that make another charon take it over.
//!
//! A child's keys are derived from those of the IKE SA under which it was negotiated. So an IKE SA that was rekeyed is
//! kept as long as such a child lives: the other charon gets it first, then the child, then the IKE SA in its place.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::message::{IkeSpis, Kind, Message};
use crate::SECOND;
use crate::sa::{Body, ChildName};
use crate::store::TABLE_MAX;

/// Most IKE SAs whose far ends have not proven who they are: anybody may begin one.
const UNPROVEN_MAX: usize = 1_000;
/// Time for that proof; charon gives up half-open IKE SAs after 30 s.
const UNPROVEN_NS: u64 = 60 * SECOND;
/// Most key exchanges of one IKE SA.
const ADDS_MAX: usize = 8;

/// Key of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SessionId {
    Ike(IkeSpis),
    /// Child, by its inbound SPI.
    Child(u32),
}

/// Next message IDs: of a request that this end sends, and of one that it expects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MessageIds {
    pub initiator: u32,
    pub responder: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IkeSa {
    pub version: u8,
    pub is_initiator: bool,
    /// Local end; None until the far end has proven who it is.
    pub end: Option<IpAddr>,
    pub far_end: Option<IpAddr>,
    /// IKE SA whose place this one takes.
    pub replaces: Option<IkeSpis>,
    /// It was rekeyed, and only its children are in use.
    pub is_ended: bool,
    /// charon's name of its connection.
    pub connection: String,
    /// Virtual addresses of the far end.
    pub vips: Vec<IpAddr>,
    pub message_ids: MessageIds,
    /// Messages of its key exchanges, in their order.
    pub adds: Vec<Body>,
    /// Message with its ends, identities and connection.
    pub update: Option<Body>,
    /// Time when it began here.
    pub since_ns: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Child {
    pub version: u8,
    /// Local end; None until its far end has proven who it is.
    pub end: Option<IpAddr>,
    /// IKE SA under which it was negotiated.
    pub ike: IkeSpis,
    pub outbound_spi: u32,
    /// charon's name of it.
    pub name: String,
    /// Place in the order in which children were negotiated: policies lead to the last one of a child.
    pub order: u64,
    pub add: Body,
}

/// Sessions of one node's charon.
#[derive(Debug, Default)]
pub struct Sessions {
    pub ikes: BTreeMap<IkeSpis, IkeSa>,
    pub children: BTreeMap<u32, Child>,
    /// IKE SAs without a proof.
    unproven: BTreeSet<IkeSpis>,
    /// IKE SAs of version 1, which do not follow.
    pub ikev1: BTreeSet<IkeSpis>,
    /// Messages that were not taken, as the tables are full or the IKE SA is unknown.
    pub refused: u64,
}

impl Sessions {
    /// Handles a message of charon; returns the records that changed.
    pub fn handle(&mut self, now_ns: u64, message: Message) -> Vec<SessionId> {
        let mut changed = self.expire(now_ns);
        if let Some(ike) = message.ike {
            changed.extend(self.handle_of(now_ns, ike, message));
        }
        changed
    }

    /// Handles a message about an IKE SA.
    fn handle_of(&mut self, now_ns: u64, ike: IkeSpis, message: Message) -> Vec<SessionId> {
        if message.is_ikev1 || self.ikev1.contains(&ike) {
            self.note_ikev1(ike, message.kind);
            return Vec::new();
        }
        match message.kind {
            Kind::IkeAdd => self.handle_ike_add(now_ns, ike, message),
            Kind::IkeUpdate => self.handle_ike_update(ike, message),
            Kind::MidInitiator | Kind::MidResponder => self.handle_mid(ike, &message),
            Kind::IkeDelete => self.handle_ike_delete(ike),
            Kind::ChildAdd => self.handle_child_add(ike, message),
            Kind::ChildDelete => message
                .inbound_spi
                .map_or_else(Vec::new, |spi| self.remove_child(spi)),
            Kind::SegmentDrop | Kind::SegmentTake | Kind::Status | Kind::Resync | Kind::IkeIv => {
                Vec::new()
            }
        }
    }

    /// Notes an IKE SA of version 1, until charon deletes it.
    fn note_ikev1(&mut self, ike: IkeSpis, kind: Kind) {
        if kind == Kind::IkeDelete {
            self.ikev1.remove(&ike);
        } else if self.ikev1.len() < TABLE_MAX {
            self.ikev1.insert(ike);
        }
    }

    fn handle_ike_add(&mut self, now_ns: u64, ike: IkeSpis, message: Message) -> Vec<SessionId> {
        if let Some(known) = self.ikes.get_mut(&ike) {
            // one more key exchange of the same IKE SA
            if known.adds.len() < ADDS_MAX && !known.adds.contains(&message.bytes) {
                known.adds.push(message.bytes);
            }
            return self.if_proven(ike);
        }
        if self.unproven.len() >= UNPROVEN_MAX || self.ikes.len() >= TABLE_MAX {
            self.refused += 1;
            return Vec::new();
        }
        self.unproven.insert(ike);
        self.ikes.insert(
            ike,
            IkeSa {
                version: message.version,
                is_initiator: message.is_initiator,
                end: None,
                far_end: None,
                replaces: message.rekeyed,
                is_ended: false,
                connection: String::new(),
                vips: Vec::new(),
                message_ids: MessageIds::default(),
                adds: vec![message.bytes],
                update: None,
                since_ns: now_ns,
            },
        );
        Vec::new()
    }

    fn handle_ike_update(&mut self, ike: IkeSpis, message: Message) -> Vec<SessionId> {
        let replaced = self.ikes.get(&ike).and_then(|it| it.replaces);
        let inherited = replaced.and_then(|it| self.ikes.get(&it));
        let inherited = inherited.map(|it| it.vips.clone()).unwrap_or_default();
        let Some(known) = self.ikes.get_mut(&ike) else {
            self.refused += 1;
            return Vec::new();
        };
        if !message.remote_vips.is_empty() {
            known.vips = message.remote_vips;
        }
        if let Some(end) = message.local_address {
            if known.vips.is_empty() {
                known.vips = inherited;
            }
            known.connection = message.config_name.unwrap_or_default();
            (known.end, known.far_end) = (Some(end), message.remote_address);
            known.update = Some(message.bytes);
            self.unproven.remove(&ike);
            let children = self.children.values_mut();
            children
                .filter(|it| it.ike == ike)
                .for_each(|it| it.end = Some(end));
        }
        let mut changed = self.if_proven(ike);
        // children were told of before
        changed.extend(self.children_of(ike).map(SessionId::Child));
        changed
    }

    fn handle_mid(&mut self, ike: IkeSpis, message: &Message) -> Vec<SessionId> {
        if let (Some(known), Some(mid)) = (self.ikes.get_mut(&ike), message.mid) {
            match message.kind {
                Kind::MidInitiator => known.message_ids.initiator = mid,
                _ => known.message_ids.responder = mid,
            }
        }
        self.if_proven(ike)
    }

    fn handle_ike_delete(&mut self, ike: IkeSpis) -> Vec<SessionId> {
        if self.has_successor(ike) {
            if let Some(known) = self.ikes.get_mut(&ike) {
                known.is_ended = true;
            }
            let mut changed = vec![SessionId::Ike(ike)];
            changed.extend(self.forget_childless(ike));
            return changed;
        }
        self.remove_session(ike)
    }

    fn handle_child_add(&mut self, ike: IkeSpis, message: Message) -> Vec<SessionId> {
        let spis = message.inbound_spi.zip(message.outbound_spi);
        let Some((inbound_spi, outbound_spi)) = spis.filter(|_| self.ikes.contains_key(&ike))
        else {
            self.refused += 1;
            return Vec::new();
        };
        if self.children.len() >= TABLE_MAX {
            self.refused += 1;
            return Vec::new();
        }
        let order = self.children.values().map(|it| it.order + 1).max();
        let child = Child {
            order: order.unwrap_or_default(),
            version: message.version,
            end: self.ikes.get(&ike).and_then(|it| it.end),
            ike,
            outbound_spi,
            name: message.config_name.unwrap_or_default(),
            add: message.bytes,
        };
        self.children.insert(inbound_spi, child);
        vec![SessionId::Child(inbound_spi)]
    }

    /// charon's name of a child, once that of its connection is known.
    pub fn name_of_child(&self, spi: u32) -> Option<ChildName> {
        let child = self.children.get(&spi)?;
        let ike = self.ikes.get(&child.ike)?.connection.clone();
        let child = child.name.clone();
        Some(ChildName { ike, child })
    }

    /// Removes a child, with IKE SAs that were only kept for it; returns the records that changed.
    pub fn remove_child(&mut self, spi: u32) -> Vec<SessionId> {
        let Some(child) = self.children.remove(&spi) else {
            return Vec::new();
        };
        let mut changed = vec![SessionId::Child(spi)];
        changed.extend(self.forget_childless(child.ike));
        changed
    }

    /// Removes an IKE SA with all in whose place it is, and their children.
    pub fn remove_session(&mut self, ike: IkeSpis) -> Vec<SessionId> {
        let mut changed = Vec::new();
        let mut next = Some(ike);
        while let Some((ike, gone)) = next.and_then(|it| self.ikes.remove_entry(&it)) {
            self.unproven.remove(&ike);
            let children: Vec<u32> = self.children_of(ike).collect();
            for spi in children {
                self.children.remove(&spi);
                changed.push(SessionId::Child(spi));
            }
            changed.push(SessionId::Ike(ike));
            // a predecessor that still lives goes on: this was a rekeying that failed
            next = gone
                .replaces
                .filter(|it| self.is_ended(it) && !self.has_successor(*it));
        }
        changed
    }

    /// Forgets ended IKE SAs without a child, from the first of a row on.
    fn forget_childless(&mut self, ike: IkeSpis) -> Vec<SessionId> {
        let mut forgotten = Vec::new();
        let mut next = Some(ike);
        while let Some(ike) = next {
            let is_first = |it: &IkeSa| it.replaces.is_none_or(|it| !self.ikes.contains_key(&it));
            let is_done = self.is_ended(&ike) && self.children_of(ike).next().is_none();
            if !is_done || !self.ikes.get(&ike).is_some_and(is_first) {
                break;
            }
            next = self.successor(ike);
            self.ikes.remove(&ike);
            forgotten.push(SessionId::Ike(ike));
        }
        forgotten
    }

    /// Forgets IKE SAs whose far ends have not proven who they are in time, and rekeyings that were given up; returns the
    /// records that changed.
    fn expire(&mut self, now_ns: u64) -> Vec<SessionId> {
        let is_late = |it: &IkeSpis| {
            let known = self.ikes.get(it);
            known.is_none_or(|it| now_ns.saturating_sub(it.since_ns) >= UNPROVEN_NS)
        };
        let late: Vec<IkeSpis> = self.unproven.iter().copied().filter(is_late).collect();
        let late = late.into_iter();
        late.flat_map(|ike| self.remove_session(ike)).collect()
    }

    fn if_proven(&self, ike: IkeSpis) -> Vec<SessionId> {
        let is_proven = self.ikes.get(&ike).is_some_and(|it| it.end.is_some());
        is_proven
            .then_some(SessionId::Ike(ike))
            .into_iter()
            .collect()
    }

    fn is_ended(&self, ike: &IkeSpis) -> bool {
        self.ikes.get(ike).is_some_and(|it| it.is_ended)
    }

    fn successor(&self, ike: IkeSpis) -> Option<IkeSpis> {
        let mut all = self.ikes.iter();
        all.find_map(|(spis, it)| (it.replaces == Some(ike)).then_some(*spis))
    }

    fn has_successor(&self, ike: IkeSpis) -> bool {
        self.successor(ike).is_some()
    }

    /// IKE SAs in whose place these are.
    pub fn predecessors(&self, successors: impl Iterator<Item = IkeSpis>) -> BTreeSet<IkeSpis> {
        let replaced = |it: &IkeSpis| self.ikes.get(it).and_then(|it| it.replaces);
        let mut found = BTreeSet::new();
        for ike in successors {
            let mut next = replaced(&ike);
            while let Some(ike) = next.filter(|it| found.insert(*it)) {
                next = replaced(&ike);
            }
        }
        found
    }

    /// True for an IKE SA with a child, also if the child was negotiated before a rekeying.
    pub fn has_child(&self, ike: IkeSpis) -> bool {
        let mut ikes = self.predecessors([ike].into_iter());
        ikes.insert(ike);
        self.children.values().any(|it| ikes.contains(&it.ike))
    }

    fn children_of(&self, ike: IkeSpis) -> impl Iterator<Item = u32> {
        let all = self.children.iter();
        all.filter_map(move |(spi, it)| (it.ike == ike).then_some(*spi))
    }

    /// Local end of a record, which determines its owner; None until the far end has proven who it is.
    pub fn end_of(&self, id: SessionId) -> Option<IpAddr> {
        match id {
            SessionId::Ike(ike) => self.ikes.get(&ike)?.end,
            SessionId::Child(spi) => self.children.get(&spi)?.end,
        }
    }

    pub fn len(&self) -> usize {
        self.ikes.len() + self.children.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ikes.is_empty() && self.children.is_empty()
    }

    pub fn ids(&self) -> impl Iterator<Item = SessionId> {
        let children = self.children.keys().copied().map(SessionId::Child);
        self.ikes
            .keys()
            .copied()
            .map(SessionId::Ike)
            .chain(children)
    }

    pub fn remove(&mut self, id: SessionId) {
        match id {
            SessionId::Ike(ike) => drop(self.ikes.remove(&ike)),
            SessionId::Child(spi) => drop(self.children.remove(&spi)),
        }
    }

    /// Takes out the sessions with such ends.
    pub fn take(&mut self, is_wanted: impl Fn(&IpAddr) -> bool) -> Self {
        let is_wanted = |end: Option<IpAddr>| end.is_some_and(|it| is_wanted(&it));
        let mut taken = Self::default();
        for (spis, ike) in std::mem::take(&mut self.ikes) {
            let there = if is_wanted(ike.end) {
                &mut taken
            } else {
                &mut *self
            };
            there.ikes.insert(spis, ike);
        }
        for (spi, child) in std::mem::take(&mut self.children) {
            let there = if is_wanted(child.end) {
                &mut taken
            } else {
                &mut *self
            };
            there.children.insert(spi, child);
        }
        taken
    }

    /// Adds the sessions of which these have none.
    pub fn add_missing(&mut self, others: Self) {
        for (spis, ike) in others.ikes {
            self.ikes.entry(spis).or_insert(ike);
        }
        for (spi, child) in others.children {
            self.children.entry(spi).or_insert(child);
        }
    }
}
