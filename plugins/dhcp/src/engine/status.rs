//! Composes the rows of `sparectl dhcp`, and the texts about leases.

use spared_replica::TableStatus;
use spared_sdk::{Trouble, Value, hex, replicated};

use super::Engine;
use super::leases::Leases;
use crate::SECOND;
use crate::lease::{Lease, State, signed};

/// Delay in ms from which it is reported as late.
const LATE_MS: u64 = 1_000;

impl Engine {
    /// Returns the rows of every server, in the order of dhcp.toml.
    pub fn rows(&self, now_ns: u64) -> Vec<(String, Value)> {
        let mut rows = Vec::new();
        for (leases, status) in self.tables.servers.iter().zip(self.statuses(now_ns)) {
            rows.extend(replicated::rows(&status));
            leases.rows(&mut rows);
        }
        let word = |active| if active { "active" } else { "backup" };
        let peer = self.replica.peer_groups();
        let peer = peer.map_or("not there", |_| word(self.peer_grants_leases()));
        let mut put = |key: &str, value| rows.push((format!("all.{key}"), value));
        put("role", Value::Text(word(self.grants_leases()).to_owned()));
        put("peer", Value::Text(peer.to_owned()));
        put("malformed", Value::Counter(self.malformed));
        let peer_only_tables = self.replica.peer_only_tables();
        if !peer_only_tables.is_empty() {
            put("only_at_peer", Value::Text(peer_only_tables.join(", ")));
        }
        rows
    }

    /// Returns the replica's rows, corrected by what this plugin knows better: whether the server could take over.
    fn statuses(&self, now_ns: u64) -> Vec<TableStatus> {
        let mut statuses = self.replica.status(now_ns, &self.tables);
        let servers = self.tables.servers.iter().zip(&mut statuses);
        for (server, (leases, status)) in servers.enumerate() {
            status.conflicts = leases.conflicts.count;
            status.out_of_sync_reason = if self.grants_leases() {
                leases
                    .not_replicable()
                    .or(leases.trouble())
                    .or(status.out_of_sync_reason.take())
            } else {
                self.lack(server)
            };
        }
        statuses
    }

    /// Returns a line of each server for `sparectl status`: its key, and the text.
    pub fn summary(&self, now_ns: u64) -> Vec<(String, Value)> {
        let statuses = self.replica.status(now_ns, &self.tables);
        let servers = self.tables.servers.iter().zip(statuses).enumerate();
        let line = |(server, (leases, status)): (usize, (&Leases, TableStatus))| {
            let mut line = counted(leases.book.len(), "lease");
            if !self.grants_leases() && self.lack(server).is_some() {
                line += ", not in sync";
            }
            if self.grants_leases() && leases.not_replicable().is_some() {
                line += ", cannot be replicated";
            }
            if self.grants_leases() && status.behind_ms > LATE_MS {
                line += &format!(", the peer {} ms behind", status.behind_ms);
            }
            if leases.conflicts.count > 0 {
                let count = usize::try_from(leases.conflicts.count).unwrap_or(usize::MAX);
                line += &format!(", {}", counted(count, "conflict"));
            }
            (leases.name().to_owned(), Value::Text(line))
        };
        servers.map(line).collect()
    }

    /// Returns the latest addresses that two clients had.
    pub fn conflicts(&self, now_ns: u64) -> Vec<(String, Value)> {
        let mut rows = Vec::new();
        for leases in &self.tables.servers {
            let name = leases.name();
            let count = Value::Number(leases.conflicts.count);
            for conflict in &leases.conflicts.latest {
                let age_s = now_ns.saturating_sub(conflict.at_ns) / SECOND;
                let text = format!(
                    "{age_s} s ago: {} keeps it{}, {} has lost it",
                    client(&conflict.kept),
                    if conflict.peer_won {
                        " (from the peer)"
                    } else {
                        ""
                    },
                    client(&conflict.lost)
                );
                let key = format!("{name}.{}", conflict.key);
                rows.push((key, Value::Text(text)));
            }
            rows.push((format!("{name}.conflicts"), count));
        }
        rows
    }

    /// Returns the faults that prevent a server from being replicated or written here, in any role.
    pub fn faults(&self) -> Vec<(String, Value)> {
        let servers = self.tables.servers.iter();
        let faults = servers.filter_map(|leases| Some((leases.name(), leases.trouble()?)));
        let row = |(name, why): (&str, String)| (name.to_owned(), Value::Text(why));
        faults.map(row).collect()
    }

    /// Returns the faults of the servers of an active node. Those of a backup are in its sync state, including what it
    /// cannot replicate.
    pub(super) fn troubles(&self) -> Vec<Trouble> {
        if !self.grants_leases() {
            return Vec::new();
        }
        let servers = self.tables.servers.iter();
        let troubles = servers.filter_map(|leases| {
            let name = leases.name();
            if let Some(why) = leases.trouble() {
                let is_followed =
                    self.replica.peer_groups().is_some() && !self.peer_grants_leases();
                let is_reported = is_followed && leases.not_replicable().is_some();
                return (!is_reported).then(|| Trouble::new(name, why));
            }
            if !leases.facts.known {
                return Some(Trouble::unknown(name, "its leases are not read yet"));
            }
            if leases.facts.has_unnamed_file {
                return Some(Trouble::new(name, leases.describe_unnamed_file()));
            }
            if let Some(why) = leases.facts.hidden.as_ref().filter(|_| leases.facts.runs) {
                return Some(Trouble::unknown(name, why.clone()));
            }
            // named as in the service plugin, which starts it, so that both reports are one finding
            let service = leases.settings.service.as_str();
            (!leases.facts.runs).then(|| Trouble::new(service, "does not run"))
        });
        let mut troubles: Vec<Trouble> = troubles.collect();
        // one service may run two servers
        troubles.dedup_by(|one, other| one.thing == other.thing);
        troubles
    }

    /// Returns the reason why this node could not take over with this server.
    pub(super) fn lack(&self, server: usize) -> Option<String> {
        let leases = self.tables.servers.get(server)?;
        let name = leases.name();
        if let Some(trouble) = leases.trouble() {
            return Some(format!("{name} {trouble}"));
        }
        let delay = || leases.delay().map(|why| format!("{name} {why}"));
        let known = leases.copy.is_complete() && leases.is_filled;
        match self.replica.peer_groups() {
            None if known => return delay(),
            None => return Some(format!("{name}: the peer is not connected")),
            Some(_) => {}
        }
        let lack = self.replica.out_of_sync_reason(&self.tables, server);
        if let Some(why) = leases
            .facts
            .at_peer
            .as_ref()
            .filter(|_| self.peer_grants_leases())
        {
            return Some(format!("{name} {why} on the active node"));
        }
        if let Some(why) = leases.other_pools().filter(|_| self.peer_grants_leases()) {
            return Some(format!("{name} {why}"));
        }
        let is_common = self.replica.is_common(server);
        if let Some(lack) = lack.filter(|_| !is_common || self.peer_grants_leases()) {
            return Some(format!("{name}: {lack}"));
        }
        if !self.peer_grants_leases() && !known {
            return Some(format!("{name}: no node is active"));
        }
        delay()
    }
}

impl Leases {
    /// Adds the server's own rows.
    fn rows(&self, rows: &mut Vec<(String, Value)>) {
        let mut put = |key: &str, value| rows.push((format!("{}.{key}", self.name()), value));
        put("waiting", Value::Number(self.waiting() as u64));
        let refused = self.save.refused() + self.refusals.granted();
        put("refused", Value::Number(refused as u64));
        put("commits", Value::Counter(self.counters.commits));
        put("received", Value::Counter(self.counters.received));
        let runs = match (self.facts.runs, self.save.is_silent()) {
            (false, _) => "no",
            (true, true) => "yes, silent",
            (true, false) if self.facts.hangs.is_some() || self.facts.port.is_some() => {
                "yes, but does not answer clients"
            }
            (true, false) => "yes",
        };
        put("runs", Value::Text(runs.to_owned()));
        if let Some(file) = &self.facts.file {
            let mut file = file.display().to_string();
            if self.facts.has_unnamed_file {
                file += " (the server writes to a file that was moved away or removed)";
            }
            put("file", Value::Text(file));
        }
        put("unread", Value::Number(self.facts.unread.count.into()));
        let faults = [
            self.facts.fault.clone(),
            self.save.fault().cloned(),
            self.save.silence_fault().cloned(),
            self.facts.hangs.clone(),
            self.facts.port.clone(),
            self.setup.fault.clone(),
            self.facts.broken.clone(),
            self.facts.unread.why.clone(),
            self.save.refusal(),
            self.refusals.last().cloned(),
        ];
        if let Some(fault) = faults.into_iter().flatten().next() {
            put("last_fault", Value::Text(fault));
        }
    }

    /// Returns the reason why leases of the active server may be unknown here, and so on the peer.
    pub fn not_replicable(&self) -> Option<String> {
        let facts = &self.facts;
        // a file that never existed is created by writing
        let fault = facts.fault.as_ref().filter(|_| !self.is_to_be_written());
        if let Some(why) = fault.or(self.unwritten_by_server()) {
            return Some(format!("cannot be replicated: {why}"));
        }
        let Some(why) = facts.unread.why.as_ref() else {
            return self.describe_rejected();
        };
        Some(match facts.unread.count {
            0 => format!("cannot be replicated as a whole: {why}"),
            count => format!(
                "cannot be replicated as a whole: {} cannot be read, {why}; repair the file while its \
                 server is stopped",
                entries(count)
            ),
        })
    }

    /// Describes the refused leases without naming them: the names change with each renewal and are not sent to the
    /// peer.
    fn describe_rejected(&self) -> Option<String> {
        let (verb, other) = match self.refusals.granted() {
            0 => return None,
            1 => ("finds", "fits"),
            _ => ("find", "fit"),
        };
        let leases = counted(self.refusals.granted(), "lease");
        Some(format!(
            "cannot be replicated as a whole: {leases} {verb} no room here, or {other} no server of this kind"
        ))
    }

    fn is_to_be_written(&self) -> bool {
        self.has_unwritten() && !self.is_nowhere()
    }

    /// Returns the fault of the server here, in any role.
    fn trouble(&self) -> Option<String> {
        if let Some(why) = self.save.fault() {
            return Some(format!("cannot be written: {why}"));
        }
        let fault = self.facts.fault.as_ref();
        if let Some(why) = fault.filter(|_| !self.is_to_be_written()) {
            return Some(format!("cannot be replicated: {why}"));
        }
        if let Some(why) = self.save.silence_fault() {
            return Some(format!("cannot be silenced or told to answer: {why}"));
        }
        let refused = self.save.refused();
        if refused > 0 {
            return Some(format!("does not take {}", counted(refused, "lease")));
        }
        if let Some(why) = &self.facts.hangs {
            return Some(format!("does not answer clients: {why}"));
        }
        if let Some(why) = &self.facts.port {
            let serves = if self.facts.runs { "does" } else { "would" };
            return Some(format!("{serves} not answer clients: {why}"));
        }
        if let Some(why) = &self.setup.fault {
            return Some(format!("might fail to start with its configuration: {why}"));
        }
        None
    }

    /// Text for a server whose next start would read a file without its leases.
    fn describe_unnamed_file(&self) -> String {
        let service = &self.settings.service;
        format!(
            "writes to a file that was moved away or removed, and would start without its leases: stop {service} and \
             start it a second later (of a unit: run `systemctl stop {service}; sleep 1; systemctl start {service}`)"
        )
    }

    /// Describes the known leases that a backup's server still lacks.
    fn delay(&self) -> Option<String> {
        if self.facts.runs && !self.settings.warm {
            return Some("runs, though this node is backup: stop it".to_owned());
        }
        if self.facts.runs && !self.facts.live {
            return Some("takes no leases while it runs".to_owned());
        }
        if self.facts.runs && self.book.identity_not_in_file {
            return Some("answers with a DUID of its own: stop it and start it".to_owned());
        }
        if self.save.blocks_sync() {
            return Some("is being written".to_owned());
        }
        None
    }
}

/// Describes the client in a few words.
pub fn client(lease: &Lease) -> String {
    let client = &lease.client;
    let bytes = if client.hardware.is_empty() {
        &client.id
    } else {
        &client.hardware
    };
    let first = hex::text(bytes.get(..20).unwrap_or(bytes), ":");
    let text = match bytes.len() {
        0 => "an unknown client".to_owned(),
        1..=20 => first,
        _ => format!("{first}:..."),
    };
    if lease.hostname.is_empty() {
        text
    } else {
        let name = String::from_utf8_lossy(&lease.hostname);
        format!("{text} ({})", name.escape_debug())
    }
}

pub fn describe(now_ns: u64, lease: &Lease) -> String {
    let state = match lease.state {
        State::Leased => "",
        State::Declined => ", declined",
        State::Free => ", free",
    };
    let left = match lease.expires_ns {
        None => "without end".to_owned(),
        Some(ends_ns) => {
            let left_ns = ends_ns.saturating_sub(signed(now_ns)).max(0);
            format!("{} s left", left_ns / signed(SECOND))
        }
    };
    format!("{}{state}, {left}", client(lease))
}

pub fn entries(count: u32) -> String {
    match count {
        1 => "1 entry".to_owned(),
        count => format!("{count} entries"),
    }
}

pub fn counted(count: usize, word: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {word}{plural}")
}
