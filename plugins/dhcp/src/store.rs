//! The replica's store: a table for each server, whose records are the leases and the server's identity.
//!
//! *Incarnation*: an absent lease was released or deleted only if this run of the plugin has seen it go. So a table's
//! incarnation is that of the book, which begins when the plugin has read the server's files and ends with the process.
//! Device and inode would be less reliable: servers change the inode themselves (Kea's cleaning, dhcpd's new file), and
//! a truncated file keeps its inode, although the empty file is an accident and the book keeps the leases. Unwritten
//! leases are lost with the process, and come back from the peer, as the new incarnation shows that their absence is no
//! deletion.
//!
//! *Values*: digests omit times. Two nodes with the same commit have the same remaining time except for the delay of a
//! message, and a later commit has its own flag.

use std::fmt;

use spared_replica::{
    Applied, Authority, Malformed, Sink, Stamp, Step, Store, Strays, Table, Tag, Token,
    ValueWriter, stale_of,
};

use crate::config;
use crate::engine::Leases;
use crate::lease::{Key, signed};
use crate::wire::{self, RecordKey};

/// Servers of dhcp.toml, in its order.
pub struct Tables {
    pub servers: Vec<Leases>,
    /// Monotonic time of the present call.
    pub now_ns: u64,
    /// This node's servers grant leases.
    pub grants_leases: bool,
    /// The peer's servers grant leases.
    pub peer_grants_leases: bool,
    /// Incarnation of the books.
    run: u64,
}

impl Tables {
    pub fn new(now_ns: u64, run: u64, servers: Vec<Leases>) -> Self {
        Self {
            servers,
            now_ns,
            grants_leases: false,
            peer_grants_leases: false,
            run,
        }
    }

    fn identity(&self, table: Table) -> Option<&Vec<u8>> {
        self.servers.get(table)?.book.identity()
    }
}

impl fmt::Debug for Tables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.servers).finish()
    }
}

impl Store for Tables {
    type Key = RecordKey;
    type Cursor = Option<RecordKey>;

    fn incarnation(&self, table: Table) -> Option<u64> {
        let server = self.servers.get(table)?;
        server.facts.known.then_some(self.run)
    }

    fn len(&self, table: Table) -> usize {
        self.servers.get(table).map_or(0, |it| it.book.len())
    }

    fn snapshot(
        &mut self,
        table: Table,
        at: &mut Self::Cursor,
        sink: &mut Sink<'_, RecordKey>,
    ) -> Step {
        let now_ns = self.now_ns;
        let Some(server) = self.servers.get_mut(table) else {
            return Step::Done;
        };
        if at.is_none() {
            if let Some(identity) = server.book.identity().cloned() {
                let digest = wire::digest_of_identity(&identity);
                let tag = &mut server.book.identity_tag;
                let write = |out: &mut ValueWriter<'_>| out.put(&identity);
                if !sink.record(&RecordKey::Identity, tag, Some(digest), write) {
                    return Step::More;
                }
            }
            *at = Some(RecordKey::Identity);
        }
        for (key, entry) in server.book.entries_after_mut(lease_key(*at)) {
            let (lease, given) = (&entry.lease, entry.given);
            let digest = wire::digest(lease);
            let key = RecordKey::Lease(*key);
            let write =
                |out: &mut ValueWriter<'_>| out.put(&wire::write_lease(now_ns, lease, given));
            if !sink.record(&key, &mut entry.tag, Some(digest), write) {
                return Step::More;
            }
            *at = Some(key);
        }
        Step::Done
    }

    fn encode(&mut self, table: Table, key: &RecordKey, out: &mut ValueWriter<'_>) -> bool {
        let value = match key {
            RecordKey::Identity => self.identity(table).cloned(),
            RecordKey::Lease(key) => {
                let server = self.servers.get(table);
                let entry = server.and_then(|it| it.book.entry(key));
                entry.map(|it| wire::write_lease(self.now_ns, &it.lease, it.given))
            }
        };
        value.map(|value| out.put(&value)).is_some()
    }

    fn apply(
        &mut self,
        table: Table,
        key: &RecordKey,
        value: &[u8],
        _token: Token,
    ) -> Result<Applied, Malformed> {
        let (now_ns, grants_leases) = (self.now_ns, self.grants_leases);
        let server = self.servers.get_mut(table);
        let server = server.ok_or(Malformed::Field("server"))?;
        match key {
            RecordKey::Identity => Ok(server.take_identity(value)),
            RecordKey::Lease(key) => {
                let (lease, given) = wire::read_lease(now_ns, *key, value)?;
                Ok(server.take(now_ns, lease, given, grants_leases))
            }
        }
    }

    fn delete(&mut self, table: Table, key: &RecordKey) {
        let now_ns = self.now_ns;
        // a server always keeps an identity that it had
        if let (Some(server), RecordKey::Lease(key)) = (self.servers.get_mut(table), key) {
            server.drop_lease(key, signed(now_ns));
        }
    }

    fn tag(&mut self, table: Table, key: &RecordKey) -> Option<&mut Tag> {
        let book = &mut self.servers.get_mut(table)?.book;
        match key {
            RecordKey::Identity => book.identity().is_some().then_some(&mut book.identity_tag),
            RecordKey::Lease(key) => book.tag(key),
        }
    }

    fn holds(&self, table: Table, key: &RecordKey, value: &[u8]) -> bool {
        let RecordKey::Lease(key) = key else {
            return self.identity(table).is_some_and(|it| it == value);
        };
        let Ok((theirs, _)) = wire::read_lease(self.now_ns, *key, value) else {
            return false;
        };
        let server = self.servers.get(table);
        server.is_some_and(|it| it.book.has_same(&theirs))
    }

    fn digest(&self, table: Table, key: &RecordKey) -> Option<u64> {
        match key {
            RecordKey::Identity => {
                let identity = self.identity(table)?;
                Some(wire::digest_of_identity(identity))
            }
            RecordKey::Lease(key) => self.servers.get(table)?.book.get(key).map(wire::digest),
        }
    }

    fn stale(
        &mut self,
        table: Table,
        stamp: Stamp,
        at: &mut Self::Cursor,
        limit: usize,
        keys: &mut Vec<RecordKey>,
    ) -> bool {
        let Some(server) = self.servers.get(table) else {
            return true;
        };
        let entries = server.book.entries_after(lease_key(*at));
        let leases =
            entries.map(|(key, entry)| (RecordKey::Lease(*key), entry.tag.stamp() != stamp));
        stale_of(leases, at, limit, keys)
    }

    fn preface(&self, table: Table, out: &mut ValueWriter<'_>) {
        if let Some(server) = self.servers.get(table) {
            out.put(config::kind(server.settings.format).as_bytes());
        }
    }

    fn check_preface(&mut self, table: Table, preface: &[u8]) -> Result<(), String> {
        let server = self.servers.get(table);
        let here = server.map_or("", |it| config::kind(it.settings.format));
        if preface == here.as_bytes() {
            Ok(())
        } else {
            let there = String::from_utf8_lossy(preface).escape_debug().to_string();
            Err(format!("the server is {here} here and {there} on the peer"))
        }
    }

    fn prefers(&mut self, table: Table, key: &RecordKey, offered: &[u8]) -> Option<bool> {
        let now_ns = self.now_ns;
        let RecordKey::Lease(key) = key else {
            return Some(self.identity(table).is_none());
        };
        let (theirs, given) = wire::read_lease(now_ns, *key, offered).ok()?;
        let server = self.servers.get_mut(table)?;
        Some(server.prefers(now_ns, &theirs, given))
    }

    /// Decides which node's record wins. Clients know the identity of a server that grants leases: only another server
    /// takes over an identity.
    fn authority(&self, table: Table, key: &RecordKey) -> Authority {
        let is_own = self.grants_leases || !self.peer_grants_leases;
        match key {
            RecordKey::Identity if is_own && self.identity(table).is_some() => Authority::Ours,
            RecordKey::Identity | RecordKey::Lease(_) => Authority::Both,
        }
    }

    /// Offers records that the peer lacks: a backup's book only changes by leases that its own server granted while it
    /// was active.
    fn strays(&self, _table: Table) -> Strays {
        Strays::Offer
    }
}

fn lease_key(at: Option<RecordKey>) -> Option<Key> {
    match at {
        Some(RecordKey::Lease(key)) => Some(key),
        Some(RecordKey::Identity) | None => None,
    }
}
