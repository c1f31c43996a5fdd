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
pub(super) struct LinkHearing {
    heard_ns: Option<u64>,
}

impl Engine {
    /// Notes a heartbeat that came over a link.
    pub(super) fn note_link_heard(&mut self, now_ns: u64, link: usize) {
        if let Some(hearing) = self.links_heard.get_mut(link) {
            hearing.heard_ns = Some(now_ns);
        }
    }

    /// Links on which the peer's heartbeats do not arrive, though the nodes have a session. It is not known here
    /// whether the session uses that link.
    pub(super) fn deaf_links(&self, now_ns: u64) -> impl Iterator<Item = &str> {
        let mut groups = self.groups.iter();
        let patience_ns = if groups.any(|group| group.living_peer(now_ns).is_some()) {
            UNHEARD_NS.max(self.longest_silence_ns())
        } else {
            SILENT_NS
        };
        let since_ns = self.session_since_ns.filter(|_| self.keys);
        let is_deaf = move |hearing: &LinkHearing| {
            let quiet_ns = hearing.heard_ns.max(since_ns).unwrap_or(now_ns);
            since_ns.is_some() && now_ns >= quiet_ns.saturating_add(patience_ns)
        };
        let links = self.links.iter().zip(&self.links_heard);
        let deaf = links.filter(move |(_, hearing)| is_deaf(hearing));
        deaf.map(|(name, _)| name.as_str())
    }
}

impl Group {
    /// Reason why the backup would not become active within the failover time; None: there is none, as far as this node
    /// knows.
    pub(super) fn waits_for(&self, engine: &Engine, now_ns: u64) -> Option<String> {
        let peer = engine.peer.as_deref().unwrap_or("the peer");
        match self.state {
            State::Backup { .. } => self.waits_here(engine, peer, now_ns),
            State::Active { .. } | State::Lapsed { .. } if self.expects_heartbeats(engine) => {
                self.waits_there(&engine.node, now_ns)
            }
            _ => None,
        }
    }

    /// True if keys are configured, and a path on which the nodes send heartbeats.
    fn expects_heartbeats(&self, engine: &Engine) -> bool {
        let is_any = !engine.links.is_empty()
            || self
                .networks
                .ports()
                .iter()
                .any(|port| port.hearing.is_expected());
        self.speaking.is_on() && is_any
    }

    /// Reason on the backup itself: its start (E8), or missing heartbeats (E12), without which it does not recognize
    /// the active node's silence.
    fn waits_here(&self, engine: &Engine, peer: &str, now_ns: u64) -> Option<String> {
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
    fn waits_there(&self, own: &str, now_ns: u64) -> Option<String> {
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
