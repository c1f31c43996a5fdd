//! Handles requests for a switchover by clients and by the peer, and the peer's words about switchovers.

use std::collections::BTreeSet;

use spared_contract::{Cause, Role};
use spared_message::clean;
use spared_message::notice::Kind;
use spared_message::word::Word;
use spared_verdict::CauseKind;
use spared_verdict::Sentence as _;

use super::refusal::{Candidate, Insistence, judge};
use super::session::PeerSession;
use super::successor::Offered;
use super::switchover::Asker;
use super::{Action, Group, Groups};

/// Time in ns that this node waits for the peer to switch over a requested group.
pub const REQUEST_NS: u64 = 3_500_000_000;

/// A group that the peer was asked to switch over.
#[derive(Debug)]
pub(super) struct PeerRequest {
    client_requests: Vec<u64>,
    begun_ns: u64,
    pub(super) until_ns: u64,
}

impl Groups {
    /// Begins a switchover that a client asked for, in either direction. It ends with [`Action::SwitchedOver`] with the
    /// same number.
    pub fn handle_client_request(
        &mut self,
        now_ns: u64,
        client_request: u64,
        name: &str,
        cause: Cause,
        anyway: bool,
    ) {
        let insistence = Insistence::of_order(anyway);
        if let Err(why) = self.check_client_request(name, insistence) {
            return self.report_result(vec![client_request], &Err(format!("{name}: {why}")));
        }
        if self.join_offer(name, insistence, Asker::Client(client_request)) {
            return;
        }
        let active = self
            .groups
            .get(name)
            .is_some_and(|group| group.role == Role::Active);
        if active {
            let asker = Asker::Client(client_request);
            return self.offer(now_ns, name, cause, insistence, asker);
        }
        let requested = self
            .peer_requests
            .entry(name.to_owned())
            .or_insert_with(|| PeerRequest {
                client_requests: Vec::new(),
                begun_ns: now_ns,
                until_ns: now_ns.saturating_add(REQUEST_NS),
            });
        requested.client_requests.push(client_request);
        self.actions.push_back(Action::Say(Word::Request {
            group: name.to_owned(),
            reason: cause.reason(Role::Backup).to_owned(),
            why: cause.clause(Role::Backup),
            anyway,
        }));
    }

    // Judges the half of a switchover that this node knows best: itself.
    fn check_client_request(&self, name: &str, insistence: Insistence) -> Result<(), String> {
        let Some(group) = self.groups.get(name) else {
            return Err("there is no such group".to_owned());
        };
        if !self.session.is_up() {
            return Err("there is no link to a peer".to_owned());
        }
        let judged = match group.role {
            Role::Active => judge(&self.giver(name), &Candidate::default(), insistence),
            // It is refused at once, as the succession would fail here later for the same reasons.
            Role::Backup | Role::Fault if group.offer.is_none() => {
                self.may_succeed(name, insistence)
            }
            Role::Backup | Role::Fault => Ok(()),
        };
        judged.map_err(|refusal| refusal.to_string())
    }

    /// Handles a word of the peer about switchovers. Other words are ignored.
    pub fn handle_peer_word(&mut self, now_ns: u64, word: Word) {
        match word {
            Word::Offer {
                switchover,
                group,
                anyway,
                unserved,
                within_ms,
                channels,
                ..
            } => {
                let offered = Offered {
                    id: switchover,
                    group,
                    insistence: Insistence::of_offer(anyway, unserved),
                    within_ms,
                    channels,
                };
                self.handle_offer(now_ns, offered);
            }
            Word::Prepared { switchover } => self.handle_peer_prepared(now_ns, switchover),
            Word::Declined { switchover, why } => {
                self.handle_declined(switchover, &clean::text(&why));
            }
            Word::Cancelled { switchover, why } => {
                self.handle_cancelled(now_ns, switchover, &clean::text(&why));
            }
            Word::Took { switchover } => self.handle_took(now_ns, switchover),
            Word::Request {
                group, why, anyway, ..
            } => {
                let cause = Cause::new(CauseKind::Asked, clean::text(&why));
                let insistence = Insistence::of_order(anyway);
                self.handle_request(now_ns, &group, cause, insistence);
            }
            Word::Refused { group, why } => {
                let why = clean::text(&why);
                self.end_request(&group, &Err(format!("{group}: the peer refuses: {why}")));
            }
            _ => {}
        }
    }

    fn handle_request(&mut self, now_ns: u64, name: &str, cause: Cause, insistence: Insistence) {
        let judged = judge(&self.giver(name), &Candidate::default(), insistence);
        if let Err(refusal) = judged {
            return self.actions.push_back(Action::Say(Word::Refused {
                group: name.to_owned(),
                why: refusal.to_string(),
            }));
        }
        if !self.join_offer(name, insistence, Asker::Peer) {
            self.offer(now_ns, name, cause, insistence, Asker::Peer);
        }
    }

    /// Ends the request of a group that became active here.
    pub(super) fn end_request_served(&mut self, now_ns: u64, name: &str) {
        let begun_ns = self.peer_requests.get(name).map_or(now_ns, |r| r.begun_ns);
        let took_ms = now_ns.saturating_sub(begun_ns) / 1_000_000;
        let line = format!("{name}: taken over within {took_ms} ms");
        self.end_request(name, &Ok(vec![line]));
    }

    fn end_request(&mut self, name: &str, result: &Result<Vec<String>, String>) {
        if let Some(requested) = self.peer_requests.remove(name) {
            self.report_result(requested.client_requests, result);
        }
    }

    pub(super) fn end_late_requests(&mut self, now_ns: u64) {
        let peer_requests = self.peer_requests.iter();
        let late: Vec<String> = peer_requests
            .filter(|(_, requested)| now_ns >= requested.until_ns)
            .map(|(name, _)| name.clone())
            .collect();
        for name in late {
            let why = format!("{name}: the peer did not switch it over in time");
            self.end_request(&name, &Err(why));
        }
    }

    pub(super) fn report_result(
        &mut self,
        client_requests: Vec<u64>,
        result: &Result<Vec<String>, String>,
    ) {
        for client_request in client_requests {
            let result = result.clone();
            self.actions.push_back(Action::SwitchedOver {
                client_request,
                result,
            });
        }
    }

    // ---- the link

    /// Handles the first session with the peer.
    pub fn handle_link_up(&mut self) {
        self.session.begin();
    }

    /// Handles the loss of the session, or a restart of the peer. Switchovers are cancelled, but a prepared
    /// successor stays prepared for a while, because the peer may have released the group already.
    pub fn handle_link_down(&mut self, why: &str) {
        self.session = PeerSession::default();
        // the next session is not judged by what this one knew
        self.set_missing(vec!["the link went down".to_owned()]);
        for name in self.names() {
            self.cancel(&name, &format!("the link went down: {why}"));
            self.end_unheard(&name);
            let group = self.groups.get(&name);
            if group.is_some_and(Group::is_preparing) {
                let text = format!("not taken over from the peer: the link went down: {why}");
                self.warn(Kind::Switchover, &name, "not-switched-over", text);
                self.drop_succession(&name, None);
            }
            let lost = format!("{name}: the link went down: {why}");
            self.end_request(&name, &Err(lost));
        }
        self.forget_declined();
    }

    pub fn channels(&self) -> &BTreeSet<String> {
        self.session.channels()
    }

    /// Sets the plugins that are connected to their peer plugin.
    pub fn set_channels(&mut self, channels: BTreeSet<String>) {
        let lost = self.session.channels().difference(&channels);
        let lost: Vec<String> = lost.cloned().collect();
        for plugin in lost {
            let why = format!("{plugin} lost its peer");
            self.cancel_without(&plugin, &why);
            self.drop_unmarked_successions(&plugin, &why);
        }
        self.session.set_channels(channels);
    }
}
