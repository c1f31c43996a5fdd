//! Decides whether the death of the active node is answered within the failover time, and what delays that.
//!
//! The administrator reads a sentence about the backup, whichever node is asked: "r2 is not ready: ...". So "it" in
//! each sentence is the backup.

use super::Engine;
use super::contact::Contact;
use super::group::{Group, State};

/// Time for which a link may bring no heartbeat while the nodes have a session and the peer is heard elsewhere.
const UNHEARD_NS: u64 = 1_000_000_000;
/// Time for which a link may bring no heartbeat while the peer is heard nowhere: longer than the session of a peer that
/// hangs.
const SILENT_NS: u64 = 6_000_000_000;

/// Heartbeats of the peer on one link.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LinkReception {
    heard_ns: Option<u64>,
}

impl Engine {
    /// Notes a heartbeat that came over a link.
    pub(super) fn note_link_heard(&mut self, now_ns: u64, link: usize) {
        if let Some(reception) = self.links_heard.get_mut(link) {
            reception.heard_ns = Some(now_ns);
        }
    }

    /// Links on which the peer's heartbeats do not arrive, though the nodes have a session. It is not known here
    /// whether the session uses that link.
    pub(super) fn silent_links(&self, now_ns: u64) -> impl Iterator<Item = &str> {
        let mut groups = self.groups.iter();
        let patience_ns = if groups.any(|group| group.living_peer(now_ns).is_some()) {
            UNHEARD_NS.max(self.longest_silence_ns())
        } else {
            SILENT_NS
        };
        let since_ns = self.session_since_ns.filter(|_| self.keys);
        let is_silent = move |reception: &LinkReception| {
            let quiet_ns = reception.heard_ns.max(since_ns).unwrap_or(now_ns);
            since_ns.is_some() && now_ns >= quiet_ns.saturating_add(patience_ns)
        };
        let links = self.links.iter().zip(&self.links_heard);
        let silent = links.filter(move |(_, reception)| is_silent(reception));
        silent.map(|(name, _)| name.as_str())
    }
}

impl Group {
    /// Reason why the backup would not become active within the failover time; None: there is none, as far as this node
    /// knows.
    pub(super) fn failover_delay_reason(&self, engine: &Engine, now_ns: u64) -> Option<String> {
        let peer = engine.peer.as_deref().unwrap_or("the peer");
        match self.state {
            State::Backup { .. } => self.delay_reason_here(engine, peer, now_ns),
            State::Active { .. } | State::Lapsed { .. } if self.expects_heartbeats(engine) => {
                self.delay_reason_there(&engine.node, now_ns)
            }
            _ => None,
        }
    }

    /// True if keys are configured, and a path on which the nodes send heartbeats.
    fn expects_heartbeats(&self, engine: &Engine) -> bool {
        let is_any =
            !engine.links.is_empty() || self.ports().any(|port| port.reception.is_expected());
        self.own_heartbeat.is_enabled() && is_any
    }

    /// Reason on the backup itself: its start (E8), or missing heartbeats (E12), without which it does not recognize
    /// the active node's silence.
    fn delay_reason_here(&self, engine: &Engine, peer: &str, now_ns: u64) -> Option<String> {
        if self.expects_heartbeats(engine) {
            match self.contact(now_ns) {
                Contact::None => return Some(format!("it hears no heartbeats of {peer}")),
                Contact::OneWay => return Some(format!("{peer} hears no heartbeats of it")),
                Contact::Mutual => {}
            }
        }
        let in_time_ns = now_ns.saturating_add(self.active_down_ns());
        (self.start.delay_until_ns() > in_time_ns).then(|| "its start_delay is not over".to_owned())
    }

    /// Reason as the active node knows it from the backup's heartbeats.
    fn delay_reason_there(&self, own: &str, now_ns: u64) -> Option<String> {
        match self.contact(now_ns) {
            Contact::None => Some(format!("{own} hears no heartbeats of it")),
            Contact::OneWay => Some(format!("it hears no heartbeats of {own}")),
            Contact::Mutual => {
                let is_unable = self
                    .living_peer(now_ns)
                    .is_some_and(|peer| peer.heartbeat.unable && !peer.is_active());
                is_unable.then(|| "it cannot become active".to_owned())
            }
        }
    }
}
