//! Implements the replica's interface of the store.

use std::collections::BTreeMap;

use spared_replica::{
    Applied, Authority, Sink, Stamp, Step, Store, Table, Tag, Token, ValueWriter,
};

use super::{
    Effect, Held, LocalPolicy, LocalSa, Record, SessionStore, Tunnels, policy_digest, sa_digest,
};
use crate::error::Malformed;
use crate::sa::{PolicyId, SaId};
use crate::wire::{
    self, Origin, POLICIES, SAS, SESSIONS, TunnelKey, read_all_numbers, read_numbers, read_policy,
    read_sa,
};

/// Writes an SA's value, with its present numbers.
fn write_sa(
    sas: &mut BTreeMap<SaId, LocalSa>,
    held: &Held,
    now_ns: u64,
    (id, is_local): (&SaId, bool),
    out: &mut ValueWriter<'_>,
) -> bool {
    if let Some(known) = sas.get_mut(id).filter(|_| is_local) {
        known.reported_position = known.position();
        let numbers = known.numbers(now_ns);
        wire::put_sa(out, &numbers, &known.sa, known.name.as_ref());
        return true;
    }
    let held = held.sas().get(id);
    held.map(|it| wire::put_sa(out, &it.numbers(now_ns), &it.sa, it.name.as_ref()))
        .is_some()
}

fn write_policy(
    policies: &BTreeMap<PolicyId, LocalPolicy>,
    held: &Held,
    (id, is_local): (&PolicyId, bool),
    out: &mut ValueWriter<'_>,
) -> bool {
    let carried = policies.get(id).filter(|_| is_local);
    let policy = carried.map(|it| &it.policy);
    let policy = policy.or_else(|| held.policies.get(id));
    policy.map(|it| wire::put_policy(out, it)).is_some()
}

impl Store for Tunnels {
    type Key = TunnelKey;
    type Cursor = Option<TunnelKey>;

    fn incarnation(&self, _table: Table) -> Option<u64> {
        self.run.incarnation()
    }

    fn len(&self, table: Table) -> usize {
        match table {
            POLICIES => self.index.policies.len(),
            SESSIONS => self.sessions.records.len(),
            _ => self.index.sas.len(),
        }
    }

    fn snapshot(
        &mut self,
        table: Table,
        at: &mut Self::Cursor,
        sink: &mut Sink<'_, TunnelKey>,
    ) -> Step {
        if table == POLICIES {
            return self.walk_policies(at, sink);
        }
        if table == SESSIONS {
            return self.sessions.walk(at, sink);
        }
        // numbers are not part of a record: all of them are sent again
        if at.is_none() {
            self.lane.begin_snapshot();
        }
        let Self {
            sas,
            held,
            index,
            lane,
            now_ns,
            ..
        } = self;
        let after = match at {
            Some(TunnelKey::Sa(id, ..)) => Some(*id),
            _ => None,
        };
        for (id, record) in index.sas.after(after) {
            let mut is_written = false;
            let (key, is_local) = (record.key, record.is_local);
            let taken = sink.record(&key, &mut record.tag, Some(record.digest), |out| {
                is_written = true;
                write_sa(sas, held, *now_ns, (id, is_local), out);
            });
            if !taken {
                return Step::More;
            }
            if is_local && !is_written {
                lane.put(*id);
            }
            *at = Some(key);
        }
        Step::Done
    }

    fn encode(&mut self, table: Table, key: &TunnelKey, out: &mut ValueWriter<'_>) -> bool {
        let Some(is_local) = self.record(table, key).map(|it| it.is_local) else {
            return false;
        };
        let (held, now_ns) = (&self.held, self.now_ns);
        match key {
            TunnelKey::Sa(id, ..) => write_sa(&mut self.sas, held, now_ns, (id, is_local), out),
            TunnelKey::Policy(id, _) => write_policy(&self.policies, held, (id, is_local), out),
            TunnelKey::Ike(..) | TunnelKey::Child(..) => key
                .session_id()
                .is_some_and(|id| self.sessions.write(id, is_local, out)),
            TunnelKey::AllNumbers => false,
        }
    }

    fn apply(
        &mut self,
        table: Table,
        key: &TunnelKey,
        value: &[u8],
        token: Token,
    ) -> Result<Applied, Malformed> {
        match table {
            _ if !key.is_of(table) => Err(Malformed::Field("key")),
            POLICIES => self.apply_policy(key, value, token),
            SESSIONS => {
                let applied = self.sessions.apply(key, value)?;
                self.put_held_session(key);
                Ok(applied)
            }
            _ => self.apply_sa(key, value, token),
        }
    }

    fn delete(&mut self, table: Table, key: &TunnelKey) {
        if self.record(table, key).is_none_or(|it| it.is_local) {
            return;
        }
        match key {
            TunnelKey::Sa(id, ..) => {
                self.index.sas.remove(id);
                self.held.remove_sa(id);
                self.effects.push_back(Effect::Released(*id));
            }
            TunnelKey::Policy(id, _) => {
                self.index.policies.remove(id);
                self.held.policies.remove(id);
                self.effects.push_back(Effect::PolicyReleased(*id));
            }
            TunnelKey::Ike(..) | TunnelKey::Child(..) => {
                key.session_id()
                    .into_iter()
                    .for_each(|id| self.sessions.delete(id));
            }
            TunnelKey::AllNumbers => {}
        }
    }

    fn tag(&mut self, table: Table, key: &TunnelKey) -> Option<&mut Tag> {
        let record = match key {
            TunnelKey::Sa(id, ..) => self.index.sas.get_mut(id),
            TunnelKey::Policy(id, _) => self.index.policies.get_mut(id),
            TunnelKey::Ike(..) | TunnelKey::Child(..) => {
                self.sessions.records.get_mut(&key.session_id()?)
            }
            TunnelKey::AllNumbers => None,
        };
        let record = record.filter(|it| it.key == *key && key.is_of(table))?;
        Some(&mut record.tag)
    }

    fn holds(&self, table: Table, key: &TunnelKey, value: &[u8]) -> bool {
        let Some(record) = self.record(table, key) else {
            return false;
        };
        let digest = match table {
            POLICIES => read_policy(key, value).map(|it| policy_digest(&it)),
            SESSIONS => SessionStore::digest_of(key, value),
            _ => read_sa(key, value).map(|it| sa_digest(&it.sa, it.name.as_ref())),
        };
        digest == Ok(record.digest)
    }

    fn digest(&self, table: Table, key: &TunnelKey) -> Option<u64> {
        self.record(table, key).map(|it| it.digest)
    }

    fn stale(
        &mut self,
        table: Table,
        stamp: Stamp,
        at: &mut Self::Cursor,
        limit: usize,
        keys: &mut Vec<TunnelKey>,
    ) -> bool {
        match (table, *at) {
            (POLICIES, Some(TunnelKey::Policy(id, _))) => {
                let policies = &mut self.index.policies;
                policies.stale(stamp, Some(id), at, limit, keys)
            }
            (POLICIES, _) => self.index.policies.stale(stamp, None, at, limit, keys),
            (SESSIONS, before) => {
                let after = before.and_then(|it| it.session_id());
                self.sessions.records.stale(stamp, after, at, limit, keys)
            }
            (_, Some(TunnelKey::Sa(id, ..))) => {
                self.index.sas.stale(stamp, Some(id), at, limit, keys)
            }
            _ => self.index.sas.stale(stamp, None, at, limit, keys),
        }
    }

    fn preface(&self, _table: Table, out: &mut ValueWriter<'_>) {
        wire::put_preface(out);
    }

    fn check_preface(&mut self, _table: Table, preface: &[u8]) -> Result<(), String> {
        wire::accept_preface(preface)
    }

    fn authority(&self, table: Table, key: &TunnelKey) -> Authority {
        let end = key.local_end();
        let is_here = end.is_some_and(|end| self.ends.has_address(&end));
        let is_carried = || self.record(table, key).is_some_and(|it| it.is_local);
        let is_fresh = self.run.is_fresh(self.now_ns);
        match self.is_active && (is_here || is_carried()) {
            // it may have gone while no plugin ran, so that nobody knows why
            true if is_fresh && self.record(table, key).is_none() && !self.ended.has(key) => {
                Authority::Both
            }
            true => Authority::Ours,
            // this node's record of it is a copy
            false => Authority::Peers,
        }
    }

    fn encode_latest(&mut self, _table: Table, key: &TunnelKey, out: &mut ValueWriter<'_>) -> bool {
        let id = match key {
            TunnelKey::Sa(id, ..) => id,
            TunnelKey::Ike(spis, _) => return self.sessions.write_message_ids(spis, out),
            TunnelKey::Policy(..) | TunnelKey::Child(..) => return false,
            TunnelKey::AllNumbers => {
                wire::put_all_numbers(out, self.lane.all());
                return true;
            }
        };
        let is_local = self.record(SAS, key).is_some_and(|it| it.is_local);
        let now_ns = self.now_ns;
        let former = self.lane.former(now_ns, id);
        let carried = self.sas.get_mut(id).filter(|_| is_local).map(|known| {
            known.reported_position = known.position();
            known.numbers(now_ns)
        });
        let numbers = carried.or(former);
        numbers.map(|it| wire::put_numbers(out, &it)).is_some()
    }

    fn apply_latest(
        &mut self,
        table: Table,
        key: &TunnelKey,
        value: &[u8],
    ) -> Result<(), Malformed> {
        let id = match key {
            TunnelKey::AllNumbers => {
                let all = read_all_numbers(value)?;
                self.peer_numbers.handle_report(self.now_ns, all);
                return Ok(());
            }
            TunnelKey::Sa(id, ..) if key.is_of(table) => *id,
            TunnelKey::Ike(spis, _) if key.is_of(table) => {
                return self.sessions.apply_message_ids(spis, value);
            }
            _ => return Err(Malformed::Field("key")),
        };
        let numbers = read_numbers(value)?;
        let is_ours = self.authority(table, key) == Authority::Ours;
        if numbers.origin == Origin::Former {
            let former = Effect::FormerNumbers(id, Box::new(numbers));
            self.effects.push_back(former);
        } else if let Some(held) = self.held.sa_mut(&id).filter(|_| !is_ours) {
            held.update_numbers(self.now_ns, numbers);
        }
        Ok(())
    }
}

impl Tunnels {
    fn record(&self, table: Table, key: &TunnelKey) -> Option<&Record> {
        let record = match key {
            TunnelKey::Sa(id, ..) => self.index.sas.get(id),
            TunnelKey::Policy(id, _) => self.index.policies.get(id),
            TunnelKey::Ike(..) | TunnelKey::Child(..) => self.sessions.record(key),
            TunnelKey::AllNumbers => None,
        };
        record.filter(|it| it.key == *key && key.is_of(table))
    }

    /// Enters a record that the peer has just sent.
    fn put_held_session(&mut self, key: &TunnelKey) {
        if let Some(id) = key.session_id() {
            let Self {
                sessions,
                ends,
                is_active,
                ..
            } = self;
            sessions.update(id, |end| *is_active && ends.owns(end));
        }
    }

    fn walk_policies(
        &mut self,
        at: &mut Option<TunnelKey>,
        sink: &mut Sink<'_, TunnelKey>,
    ) -> Step {
        let Self {
            policies,
            held,
            index,
            ..
        } = self;
        let after = match at {
            Some(TunnelKey::Policy(id, _)) => Some(*id),
            _ => None,
        };
        for (id, record) in index.policies.after(after) {
            let (key, is_local) = (record.key, record.is_local);
            let taken = sink.record(&key, &mut record.tag, Some(record.digest), |out| {
                write_policy(policies, held, (id, is_local), out);
            });
            if !taken {
                return Step::More;
            }
            *at = Some(key);
        }
        Step::Done
    }
}
