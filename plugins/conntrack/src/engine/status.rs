//! Composes the rows for `sparectl`.

use spared_sdk::{Trouble, Value};

use super::walk_queue::Due;
use super::{Action, Engine, Translation, seconds};

impl Engine {
    /// Returns the line for `sparectl status`.
    pub fn summary(&self) -> String {
        let flows = self.table.len();
        match &self.peer {
            Some(peer)
                if !self.roles.is_active() && peer.active == Some(true) && self.has_all_flows() =>
            {
                format!("{flows}, {} ms behind", peer.behind_us.div_ceil(1000))
            }
            Some(_) => counted(flows) + &self.translations(),
            None => {
                let flows = self.counters.kernel.flows.unwrap_or(0);
                counted(usize::try_from(flows).unwrap_or(usize::MAX))
            }
        }
    }

    /// Returns text about translated flows, to follow their number.
    fn translations(&self) -> String {
        let mut words = String::new();
        let elsewhere = self.peer_address_flow_count();
        if elsewhere > 0 {
            words += &format!(", {elsewhere} translated to an address of the other node");
        }
        match self.dynamic_flows() {
            0 => {}
            1 => words += ", 1 of dynamic_nat ends at a failover",
            flows => words += &format!(", {flows} of dynamic_nat end at a failover"),
        }
        words
    }

    /// Returns the rows for `sparectl conntrack`.
    pub fn rows(&self, now_ns: u64) -> Vec<(&'static str, Value)> {
        let counters = &self.counters;
        let waiting_ns = self
            .channel
            .outbox
            .oldest_ns()
            .map_or(0, |since| now_ns.saturating_sub(since));
        let remote = self.table.count_peer_only(seconds(now_ns)) as u64;
        let (sent, applied) = counters.rates();
        let per_flow = counters.sent.flow_bytes.checked_div(counters.sent.flows);
        vec![
            ("role", self.role().into()),
            ("peer", self.peer_word().into()),
            ("in_sync", self.sync_word().into()),
            ("flows.local", (self.table.len() as u64 - remote).into()),
            ("flows.remote", remote.into()),
            (
                "flows.elsewhere",
                (self.peer_address_flow_count() as u64).into(),
            ),
            (
                "flows.own_address",
                (self.table.translated(Translation::Own) as u64).into(),
            ),
            ("flows.dynamic", (self.dynamic_flows() as u64).into()),
            (
                "flows.kernel",
                u64::from(counters.kernel.flows.unwrap_or(0)).into(),
            ),
            (
                "flows.kernel_limit",
                u64::from(counters.kernel.limit).into(),
            ),
            ("backlog", (self.channel.outbox.len() as u64).into()),
            ("lag_ms", (waiting_ns / 1_000_000).into()),
            ("rate.sent", sent.into()),
            ("rate.applied", applied.into()),
            ("bytes_per_flow", per_flow.unwrap_or(0).into()),
            ("events", Value::Counter(counters.local.events)),
            ("overruns", Value::Counter(counters.local.overruns)),
            ("excluded", Value::Counter(counters.local.excluded)),
            ("hidden", Value::Counter(counters.local.hidden)),
            ("expectations", Value::Counter(counters.expectations)),
            ("resyncs", Value::Counter(counters.resyncs)),
            (
                "resync.last_ms",
                (self.channel.resyncs.took_ns() / 1_000_000).into(),
            ),
            ("sent.flows", Value::Counter(counters.sent.flows)),
            ("sent.deletes", Value::Counter(counters.sent.deletes)),
            ("sent.unchanged", Value::Counter(counters.sent.alive)),
            ("sent.bytes", Value::ByteCounter(counters.sent.bytes)),
            ("applied.created", Value::Counter(counters.applied.created)),
            ("applied.updated", Value::Counter(counters.applied.updated)),
            ("applied.deleted", Value::Counter(counters.applied.deleted)),
            ("applied.merged", Value::Counter(counters.applied.merged)),
            ("applied.kept", Value::Counter(counters.applied.kept)),
            ("conflicts", Value::Counter(counters.conflicts)),
            (
                "applied.restored",
                Value::Counter(counters.applied.restored),
            ),
            ("applied.dropped", Value::Counter(counters.applied.dropped)),
            ("lost", Value::Counter(counters.lost)),
            ("lost.there", Value::Counter(counters.lost_there)),
            ("refused.full", Value::Counter(counters.refused.full)),
            ("refused.exists", Value::Counter(counters.refused.exists)),
            ("refused.helper", Value::Counter(counters.refused.helper)),
            ("refused.invalid", Value::Counter(counters.refused.invalid)),
            ("refused.other", Value::Counter(counters.refused.other)),
            (
                "malformed",
                Value::Counter(self.replica.replica().garbage().0.into()),
            ),
        ]
    }

    /// Takes note that the kernel sends no events of flows, so that only resyncs find their changes.
    pub fn handle_deaf(&mut self, why: String) {
        self.reports.unreported = Some(why);
    }

    /// Takes note that the kernel sends events. `is_anew`: it did not before, since its setting was changed while this
    /// plugin ran. A resync then finds the flows that began meanwhile.
    pub fn handle_hearing(&mut self, is_anew: bool) {
        self.reports.unreported = None;
        if is_anew {
            self.walks.request(Due::Resync);
            let text = "net.netfilter.nf_conntrack_events was changed while spared ran, so the kernel reported no new \
                        connection: set to 1 again";
            self.actions.push_back(Action::Event(text.to_owned()));
        }
    }

    /// Returns the faults that are not part of the sync state.
    pub fn troubles(&self) -> Vec<Trouble> {
        let deaf = self.reports.unreported.iter();
        let deaf = deaf.map(|why| Trouble::new("conntrack events", why));
        let unread =
            "the kernel's table cannot be read: changes without an event are not replicated";
        let blind = self
            .walks
            .is_blind()
            .then(|| Trouble::new("conntrack table", unread));
        let translated = self.translation_trouble();
        let elsewhere = self.peer_address_trouble();
        deaf.chain(blind)
            .chain(translated)
            .chain(elsewhere)
            .collect()
    }

    fn role(&self) -> String {
        if self.roles.is_active() {
            "active"
        } else {
            "backup"
        }
        .to_owned()
    }

    fn peer_word(&self) -> String {
        match self.peer.as_ref().map(|peer| peer.active) {
            None => "not there",
            Some(None) => "silent",
            Some(Some(true)) => "active",
            Some(Some(false)) => "backup",
        }
        .to_owned()
    }

    fn sync_word(&self) -> String {
        match self.channel.synchrony.reported() {
            None => "no: its peer is not connected".to_owned(),
            Some(Ok(())) => "yes".to_owned(),
            Some(Err(why)) => format!("no: {why}"),
        }
    }
}

pub(super) fn counted(flows: usize) -> String {
    let plural = if flows == 1 { "" } else { "s" };
    format!("{flows} flow{plural}")
}
