//! Records that ended here while the peer could not hear of it. A run of the plugin that begins before it has heard
//! would take them back from there: the driver keeps them for that run.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use spared_replica::{Key, Reader, Value};

use super::TABLE_MAX;
use crate::sa::{PolicyId, SaId};
use crate::wire::TunnelKey;

const KEY_MAX: usize = spared_replica::wire::KEY_MAX;

#[derive(Debug, Default)]
pub struct Ended {
    /// With the time of the end.
    keys: BTreeMap<TunnelKey, u64>,
    /// SAs and policies that the peer may have although it has not confirmed them to this run.
    unconfirmed_sas: BTreeSet<SaId>,
    unconfirmed_policies: BTreeSet<PolicyId>,
    /// The driver keeps something else.
    is_other: bool,
    is_kept: bool,
}

impl Ended {
    /// What the last run of this plugin left.
    pub fn recall(&mut self, now_ns: u64, bytes: &[u8]) {
        let mut reader = Reader(bytes);
        while let Ok(key) = TunnelKey::read(&mut reader) {
            self.is_kept = true;
            self.keys.insert(key, now_ns);
        }
    }

    pub fn note(&mut self, now_ns: u64, key: TunnelKey) {
        if self.keys.len() < TABLE_MAX {
            self.is_other |= self.keys.insert(key, now_ns).is_none();
        }
    }

    /// Their word was on its way to the peer when the link went, or an earlier run of this plugin told of them.
    pub fn leave_unconfirmed(
        &mut self,
        sas: impl Iterator<Item = SaId>,
        policies: impl Iterator<Item = PolicyId>,
    ) {
        self.unconfirmed_sas.extend(sas);
        self.unconfirmed_policies.extend(policies);
    }

    pub fn is_unconfirmed(&self, key: &TunnelKey) -> bool {
        match key {
            TunnelKey::Sa(id, ..) => self.unconfirmed_sas.contains(id),
            TunnelKey::Policy(id, _) => self.unconfirmed_policies.contains(id),
            TunnelKey::AllNumbers => false,
        }
    }

    /// It is there again.
    pub fn forget(&mut self, key: &TunnelKey) {
        self.is_other |= !self.keys.is_empty() && self.keys.remove(key).is_some();
    }

    /// Tunnels of these ends alone are still this node's: of others the peer decides.
    pub fn retain(&mut self, stays: impl Fn(&IpAddr) -> bool) {
        let before = self.keys.len();
        let stays = |key: &TunnelKey| key.local_end().is_some_and(|end| stays(&end));
        self.keys.retain(|key, _| stays(key));
        self.is_other |= self.keys.len() != before;
    }

    /// Both nodes have the same.
    pub fn clear(&mut self) {
        self.is_other |= !self.keys.is_empty();
        self.keys.clear();
        self.unconfirmed_sas.clear();
        self.unconfirmed_policies.clear();
    }

    /// The peer has confirmed what ended longer ago than this.
    pub fn confirm(&mut self, now_ns: u64, behind_ns: u64) {
        self.keys
            .retain(|_, since_ns| now_ns.saturating_sub(*since_ns) <= behind_ns);
    }

    pub fn has(&self, key: &TunnelKey) -> bool {
        self.keys.contains_key(key)
    }

    /// What the driver is to keep, if that is something else: all while the peer is away, else nothing.
    pub fn poll_kept(&mut self, is_away: bool) -> Option<Vec<u8>> {
        let keeps = is_away && !self.keys.is_empty();
        if keeps == self.is_kept && !(keeps && self.is_other) {
            return None;
        }
        (self.is_kept, self.is_other) = (keeps, false);
        let mut bytes = Vec::new();
        for key in self.keys.keys().filter(|_| keeps) {
            Value::write_to(&mut bytes, KEY_MAX, |out| key.write(out));
        }
        Some(bytes)
    }
}
