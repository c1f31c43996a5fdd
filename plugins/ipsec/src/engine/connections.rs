//! Connections of both nodes' IKE daemons: findings about them, and the report to the peer.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use spared_sdk::Value;

use super::Engine;
use crate::SECOND;
use crate::connections::{
    CONNECTIONS, Finding, Listed, NodeAddresses, PeerConnections, SERVICE, differences, findings,
    left_running, session_obstacle, shared_pools, unseen_mobike,
};
use crate::error::Malformed;

/// Longest time in which a backup's daemon may be being stopped.
const STOPS_NS: u64 = 30 * SECOND;
/// Time from which a finding is a fault. A daemon that starts loads its connections one by one and is read meanwhile,
/// and the addresses of a role come one by one.
const LASTS_NS: u64 = 10 * SECOND;

#[derive(Debug, Default)]
pub struct Connections {
    /// Last known connections of the daemon here.
    here: Option<Listed>,
    /// Connections of the peer's daemon, from its last report.
    there: Option<PeerConnections>,
    /// Addresses of this node that do not move.
    own: BTreeSet<IpAddr>,
    /// Findings by name and kind, each with the time since which it lasts.
    since_ns: BTreeMap<(String, &'static str), u64>,
    /// Text about the first finding that has lasted for long enough.
    fault: Option<String>,
    /// Time of the last report.
    reported_ns: u64,
    /// Time until which a backup's daemon may be being stopped; None: it is over.
    stops_until_ns: Option<u64>,
}

impl Connections {
    /// Notes that a role or a daemon begins: on a backup the daemon is being stopped.
    pub fn begin(&mut self, now_ns: u64) {
        self.stops_until_ns = Some(now_ns + STOPS_NS);
    }

    /// Addresses to which the daemon here moves tunnels when theirs goes: with MOBIKE, all that stay.
    pub fn roaming(&self) -> impl Iterator<Item = IpAddr> {
        let mut listed = self.here.iter().flat_map(|it| &it.connections);
        let roams = listed.any(|it| it.mobike == Some(true));
        let own = self.own.iter().filter(move |ip| roams && !ip.is_loopback());
        own.copied()
    }

    pub fn fault(&self) -> Option<&String> {
        self.fault.as_ref()
    }

    pub fn is_report(bytes: &[u8]) -> bool {
        bytes.first().is_some_and(|kind| *kind == CONNECTIONS)
    }
}

/// Report of the connections here, on its way to the peer.
#[derive(Debug, Default)]
pub struct ConnectionsReport {
    /// Report, until it was sent.
    message: Option<Vec<u8>>,
    /// The channel was given the report.
    is_offered: bool,
}

impl ConnectionsReport {
    fn put(&mut self, here: Option<&Listed>) {
        self.message = here.map(Listed::message);
    }

    /// Notes that the channel has taken a message; returns true if it was this report.
    pub fn message_sent(&mut self) -> bool {
        let is_offered = std::mem::take(&mut self.is_offered);
        if is_offered {
            self.message = None;
        }
        is_offered
    }

    pub fn is_offered(&self) -> bool {
        self.is_offered
    }

    pub fn poll_message(&mut self) -> Option<&[u8]> {
        self.is_offered = self.message.is_some();
        self.message.as_deref()
    }
}

impl Connections {
    /// True for an address of this node that no group moves.
    pub fn has_own(&self, ip: &IpAddr) -> bool {
        self.own.contains(ip)
    }
}

impl Engine {
    /// Reports the connections here to the peer of this session.
    pub(super) fn put_connections(&mut self) {
        if let Some(session) = &mut self.session {
            let here = self.ike.connections.here.as_ref();
            session.connections_mut().put(here);
        }
    }

    /// Handles the connections of charon here; None: it could not be queried.
    pub fn handle_listed(&mut self, now_ns: u64, listed: Option<Listed>) {
        let is_other = listed.is_some() && self.ike.connections.here != listed;
        if is_other {
            self.ike.connections.here = listed;
            self.put_connections();
        }
        self.report_connections(now_ns);
    }

    /// Handles the addresses of this node that spared does not move.
    pub fn handle_own_addresses(&mut self, now_ns: u64, own: BTreeSet<IpAddr>) {
        self.ike.connections.own = own;
        self.report_connections(now_ns);
    }

    pub(super) fn handle_peer_connections(
        &mut self,
        now_ns: u64,
        bytes: &[u8],
    ) -> Result<(), Malformed> {
        self.ike.connections.there = Some(PeerConnections::parse(bytes)?);
        self.report_connections(now_ns);
        Ok(())
    }

    fn connection_findings(&self) -> Vec<Finding> {
        let Connections { here, there, .. } = &self.ike.connections;
        let Some(here) = here else {
            return Vec::new();
        };
        let mut found = findings(here, &self.addresses());
        if self.runs_on_backup() && self.ike.connections.stops_until_ns.is_none() {
            let gets_sessions = self.ike.feed.gets_sessions();
            found.extend(left_running(here, &self.addresses(), gets_sessions));
        }
        if let Some(there) = there {
            found.extend(shared_pools(&here.pools, &there.pools));
            found.extend(differences(here, there));
        }
        found
    }

    /// True if this node is backup and the daemon runs.
    fn runs_on_backup(&self) -> bool {
        !self.is_active() && self.ike.is_running()
    }

    /// Time from which a daemon that still runs is a fault.
    fn stops_until_ns(&self) -> u64 {
        let until_ns = self
            .ike
            .connections
            .stops_until_ns
            .filter(|_| self.runs_on_backup());
        until_ns.unwrap_or(u64::MAX)
    }

    /// Time at which a finding will have lasted for long enough.
    pub(super) fn next_fault_ns(&self) -> u64 {
        let told = self.ike.connections.since_ns.values();
        let lasts = told.map(|since_ns| since_ns + LASTS_NS);
        let next = lasts.filter(|at_ns| *at_ns > self.ike.connections.reported_ns);
        next.min().unwrap_or(u64::MAX).min(self.stops_until_ns())
    }

    pub(super) fn handle_connections_timeout(&mut self, now_ns: u64) {
        if self.stops_until_ns() <= now_ns {
            self.ike.connections.stops_until_ns = None;
            self.report_connections(now_ns);
        } else if self.next_fault_ns() <= now_ns {
            self.report_connections(now_ns);
        }
    }

    fn addresses(&self) -> NodeAddresses {
        let ends = &self.store.ends;
        let own = self.ike.connections.own.iter();
        let own = own.filter(|ip| !ends.owns(ip));
        NodeAddresses {
            moved: ends.all().collect(),
            own: own.copied().collect(),
            is_alone: self.is_active() && self.is_up() && !self.is_peer_active(),
        }
    }

    /// Updates the fault for `sparectl status`.
    pub(super) fn report_connections(&mut self, now_ns: u64) {
        let found = self.connection_findings();
        let found: Vec<&Finding> = found.iter().filter(|it| it.is_fault).collect();
        let since_ns = &mut self.ike.connections.since_ns;
        let name = |it: &&Finding| (it.name.clone(), it.kind);
        let names: BTreeSet<_> = found.iter().map(name).collect();
        since_ns.retain(|known, _| names.contains(known));
        for name in names {
            since_ns.entry(name).or_insert(now_ns);
        }
        let lasts = |it: &&&Finding| {
            let since_ns = since_ns.get(&name(it));
            // the finding about a daemon on a backup has a time of its own
            it.kind == SERVICE || since_ns.is_some_and(|it| it + LASTS_NS <= now_ns)
        };
        let mut fault = found.iter().filter(lasts);
        self.ike.connections.reported_ns = now_ns;
        self.ike.connections.fault = fault.next().map(|first| {
            let more = match fault.count() {
                0 => "see".to_owned(),
                more => format!("and {more} more: see"),
            };
            let Finding { name, sentence, .. } = first;
            format!("{name}: {sentence}; {more} sparectl ipsec check")
        });
    }

    /// Returns the rows of `sparectl ipsec check`, and true if anything is wrong. `was_asked`: charon was asked just
    /// now.
    pub fn check_rows(&self, was_asked: bool) -> (Vec<(String, Value)>, bool) {
        let mut rows = Vec::new();
        let mut put = |key: &str, text: String| rows.push((key.to_owned(), Value::Text(text)));
        put("all.charon", self.charon_text(was_asked).to_owned());
        let Some(here) = &self.ike.connections.here else {
            return (rows, false);
        };
        put("all.connections", here.connections.len().to_string());
        put("all.peer", self.peer_text(here).to_owned());
        if let Some(unseen) = unseen_mobike(here, &self.addresses()) {
            put("all.mobike", unseen);
        }
        let ha = self.ike.feed.ha_state();
        if let Some(obstacle) = session_obstacle(here, &self.addresses(), &ha) {
            put("all.sessions", obstacle);
        }
        let found = self.connection_findings();
        for finding in &found {
            put(
                &format!("{}.{}", finding.name, finding.kind),
                finding.text(),
            );
        }
        (rows, found.iter().any(|it| it.is_fault))
    }

    fn charon_text(&self, was_asked: bool) -> &'static str {
        match (&self.ike.connections.here, was_asked) {
            (_, _) if self.settings.adopt.socket.is_none() => "adopt.daemon is \"none\": not asked",
            (_, true) => "asked",
            (Some(_), false) => "does not run here: these are its last known connections",
            (None, false) => "has not run here since this plugin started: not asked",
        }
    }

    fn peer_text(&self, here: &Listed) -> &'static str {
        match &self.ike.connections.there {
            Some(there) if differences(here, there).is_empty() => "has the same connections",
            Some(_) => "has different connections",
            None if self.session.is_none() => "is not connected: not compared",
            None => "its charon has not run since its plugin started: not compared",
        }
    }
}
