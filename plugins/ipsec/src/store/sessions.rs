//! Sessions of both nodes: those of charon here, which this node reports while it has their end, and those of the peer,
//! held for a failover.

use std::hash::Hasher;
use std::net::IpAddr;

use siphasher::sip::SipHasher13;
use spared_replica::{Applied, Sink, Step, Tag, ValueWriter};

use super::TABLE_MAX;
use super::index::{Record, Records};
use crate::error::Malformed;
use crate::sessions::{Child, IkeSa, IkeSpis, SessionId, Sessions, wire};
use crate::wire::TunnelKey;

#[derive(Debug, Default)]
pub struct SessionStore {
    /// Sessions of charon here, or that it is to take over.
    pub own: Sessions,
    /// Sessions of the peer.
    pub held: Sessions,
    pub records: Records<SessionId>,
}

impl SessionStore {
    /// Returns the record of an IKE SA or a child; `is_carried`: this node has the end of a session.
    fn present(&self, id: SessionId, is_carried: impl Fn(&IpAddr) -> bool) -> Option<Record> {
        let of = |sessions: &Sessions, is_local| {
            let end = sessions.end_of(id)?;
            Some(Record {
                key: TunnelKey::session(id, end),
                tag: Tag::default(),
                digest: digest(sessions, id)?,
                is_local,
            })
        };
        let own =
            of(&self.own, true).filter(|it| it.key.local_end().is_some_and(|it| is_carried(&it)));
        own.or_else(|| of(&self.held, false))
    }

    /// Brings a record up to date; returns it as it was and as it is.
    pub fn update(
        &mut self,
        id: SessionId,
        is_carried: impl Fn(&IpAddr) -> bool,
    ) -> (Option<Record>, Option<Record>) {
        let before = self.records.get(&id).cloned();
        let present = self.present(id, is_carried);
        match &present {
            Some(record) => self.records.put(id, record.clone()),
            None => drop(self.records.remove(&id)),
        }
        (before, present)
    }

    /// Moves sessions to where they belong now: to this node's own if it has their end, else to the held ones. Returns
    /// those that left, and those that came.
    pub fn sort(&mut self, is_carried: impl Fn(&IpAddr) -> bool) -> [Vec<SessionId>; 2] {
        let Self { own, held, .. } = self;
        let gone = own.take(|end| !is_carried(end));
        let come = held.take(|end| is_carried(end));
        [(gone, held), (come, own)].map(|(sessions, there)| {
            let ids = sessions.ids().collect();
            there.add_missing(sessions);
            ids
        })
    }

    pub fn record(&self, key: &TunnelKey) -> Option<&Record> {
        self.records.get(&key.session_id()?)
    }

    pub fn write(&self, id: SessionId, is_local: bool, out: &mut ValueWriter<'_>) -> bool {
        let sessions = if is_local { &self.own } else { &self.held };
        write(sessions, id, out)
    }

    /// Writes the message IDs of an IKE SA.
    pub fn write_message_ids(&self, ike: &IkeSpis, out: &mut ValueWriter<'_>) -> bool {
        let known = self.own.ikes.get(ike);
        known
            .map(|it| wire::put_message_ids(out, it.message_ids))
            .is_some()
    }

    /// Takes a record of the peer.
    pub fn apply(&mut self, key: &TunnelKey, value: &[u8]) -> Result<Applied, Malformed> {
        let Sessions { ikes, children, .. } = &self.held;
        let is_full = match key {
            TunnelKey::Ike(spis, _) => ikes.len() >= TABLE_MAX && !ikes.contains_key(spis),
            TunnelKey::Child(spi, _) => children.len() >= TABLE_MAX && !children.contains_key(spi),
            _ => false,
        };
        if is_full {
            return Ok(Applied::Refused);
        }
        match key {
            TunnelKey::Ike(spis, end) => {
                let ike = read_ike(*spis, *end, value)?;
                self.held.ikes.insert(*spis, ike);
            }
            TunnelKey::Child(spi, end) => {
                let child = Child {
                    end: Some(*end),
                    ..wire::read_child(*spi, value)?
                };
                self.held.children.insert(*spi, child);
            }
            _ => return Err(Malformed::Field("key")),
        }
        Ok(Applied::Done)
    }

    pub fn apply_message_ids(&mut self, ike: &IkeSpis, value: &[u8]) -> Result<(), Malformed> {
        let message_ids = wire::read_message_ids(value)?;
        if let Some(known) = self.held.ikes.get_mut(ike) {
            known.message_ids = message_ids;
        }
        Ok(())
    }

    /// Forgets a record of the peer.
    pub fn delete(&mut self, id: SessionId) {
        self.held.remove(id);
        self.records.remove(&id);
    }

    /// Digest of a value.
    pub fn digest_of(key: &TunnelKey, value: &[u8]) -> Result<u64, Malformed> {
        let mut sessions = Sessions::default();
        match key {
            TunnelKey::Ike(spis, end) => {
                sessions.ikes.insert(*spis, read_ike(*spis, *end, value)?);
            }
            TunnelKey::Child(spi, _) => {
                sessions
                    .children
                    .insert(*spi, wire::read_child(*spi, value)?);
            }
            _ => return Err(Malformed::Field("key")),
        }
        let id = key.session_id().ok_or(Malformed::Field("key"))?;
        digest(&sessions, id).ok_or(Malformed::Field("key"))
    }

    /// Puts the records of a snapshot, after the last one that it has.
    pub fn walk(&mut self, at: &mut Option<TunnelKey>, sink: &mut Sink<'_, TunnelKey>) -> Step {
        let Self { own, held, records } = self;
        let after = at.and_then(|it| it.session_id());
        for (id, record) in records.after(after) {
            let key = record.key;
            let sessions = if record.is_local { &*own } else { &*held };
            let taken = sink.record(&key, &mut record.tag, Some(record.digest), |out| {
                write(sessions, *id, out);
            });
            if !taken {
                return Step::More;
            }
            *at = Some(key);
        }
        Step::Done
    }
}

fn read_ike(spis: IkeSpis, end: IpAddr, value: &[u8]) -> Result<IkeSa, Malformed> {
    let ike = wire::read_ike(spis, value)?;
    if ike.end == Some(end) {
        Ok(ike)
    } else {
        Err(Malformed::Field("local end"))
    }
}

fn write(sessions: &Sessions, id: SessionId, out: &mut ValueWriter<'_>) -> bool {
    match id {
        SessionId::Ike(spis) => {
            let ike = sessions.ikes.get(&spis);
            ike.map(|it| wire::put_ike(out, it)).is_some()
        }
        SessionId::Child(spi) => {
            let child = sessions.children.get(&spi);
            child.map(|it| wire::put_child(out, it)).is_some()
        }
    }
}

/// Digest of all but message IDs, which are on the lane of newest values.
fn digest(sessions: &Sessions, id: SessionId) -> Option<u64> {
    let mut hash = SipHasher13::new();
    match id {
        SessionId::Ike(spis) => {
            let ike = sessions.ikes.get(&spis)?;
            hash.write(&[
                ike.version,
                u8::from(ike.is_ended),
                u8::from(ike.is_initiator),
            ]);
            for body in ike.adds.iter().chain(&ike.update) {
                hash.write(&(body.bytes().len() as u32).to_be_bytes());
                hash.write(body.bytes());
            }
            for vip in &ike.vips {
                hash.write(vip.to_string().as_bytes());
            }
        }
        SessionId::Child(spi) => hash.write(sessions.children.get(&spi)?.add.bytes()),
    }
    Some(hash.finish())
}
