//! Keeps events, role changes, and findings that last.

use std::time::Instant;

use crate::history_keeper::HistoryKeeper;
use spared_contract::{Cause, Role};
use spared_message::control::Event;
use spared_message::notice::{Kind, Notice};
use spared_process::clock;
use spared_process::token_bucket::TokenBucket;
use spared_verdict::{
    ChangeNumbers, Finding, FindingTimes, FirstFound, Fitness, GroupFacts, Past, PastQuery,
    RoleChange, Verdict,
};

use crate::events::{Events, Recorded};

/// Rate limit of events that the peer causes: events per second, and burst. The burst leaves room for a configuration
/// that differs in many keys.
const PEER_PER_S: u32 = 1;
const PEER_BURST: u32 = 100;

/// Events, the history of roles, and findings.
#[derive(Debug)]
pub struct Notices {
    events: Events,
    history: HistoryKeeper,
    findings: FindingTimes,
    /// Rate limit of events that the peer causes.
    peer: TokenBucket,
}

impl Notices {
    pub fn new(now: Instant, history: HistoryKeeper) -> Self {
        Self {
            events: Events::default(),
            history,
            findings: FindingTimes::default(),
            peer: TokenBucket::new(PEER_PER_S, PEER_BURST, now),
        }
    }

    // ---- events

    pub fn record(&mut self, notice: Notice) {
        self.events.record(notice);
    }

    /// Records an event that the peer caused. The rate limit keeps a lying peer from pushing important events out of
    /// the ring.
    pub fn record_of_peer(&mut self, now: Instant, notice: Notice) {
        if self.take_peer_token(now) {
            self.events.record(notice);
        }
    }

    /// Returns true if the peer may cause one more event.
    pub fn take_peer_token(&mut self, now: Instant) -> bool {
        self.peer.take(now)
    }

    /// Returns the events that were recorded since the last call.
    pub fn take_new(&mut self) -> Vec<Recorded> {
        self.events.take_new()
    }

    pub fn newest(&self, limit: usize) -> Vec<Event> {
        self.events.newest(limit)
    }

    pub fn last(&self) -> Option<&Event> {
        self.events.last()
    }

    // ---- findings

    /// Handles the findings of this second. Each node records the findings of the pair in its own journal. The rate is
    /// limited, because some findings come from the peer, which may lie.
    pub fn handle_findings(&mut self, now: Instant, found: Vec<Finding>) {
        let at = clock::now();
        let (begun, ended) = self.findings.update(now, &at, found);
        self.history
            .handle_findings(now, &at, self.findings.lasting());
        for finding in begun {
            let text = format!("{} ({})", finding.text, finding.id);
            let notice = Notice::warn(Kind::Finding, text).because(&finding.id);
            self.record_of_peer(now, notice);
        }
        for finding in ended {
            let text = format!("no longer: {} ({})", finding.text, finding.id);
            let notice = Notice::new(Kind::Finding, text).because(&finding.id);
            self.record_of_peer(now, notice);
        }
    }

    /// Sets the start time of each finding in a verdict.
    pub fn set_start_times(&mut self, now: Instant, mut verdict: Verdict) -> Verdict {
        self.findings
            .set_begin(now, &clock::now(), &mut verdict.findings);
        verdict
    }

    /// Returns true if the plugins have to be asked for their status, which some findings depend on.
    pub fn needs_plugin_status(&mut self, now: Instant, is_doubtful: bool) -> bool {
        self.findings.is_look_due(now, is_doubtful)
    }

    /// Findings about this node without a known start time.
    pub fn first_found(&self, node: &str) -> Vec<FirstFound> {
        self.findings.first_found(node)
    }

    // ---- history

    /// Records that a group changed its role, as an event and in the history, which outlives restarts and contains the
    /// fitness of both nodes.
    pub fn record_change(
        &mut self,
        group: String,
        (from, to): (Role, Role),
        cause: Cause,
        own: Fitness,
        peer: Option<Fitness>,
    ) {
        let change = RoleChange {
            at: clock::now_ms(),
            number: self.history.number(&group, from, to),
            group,
            from,
            ..RoleChange::new(to, cause, own.brief(), peer.map(Fitness::brief))
        };
        let text = format!("{} -> {}: {}", from.word(), to.word(), change.why);
        let notice = Notice::new(Kind::Role, text).of_group(&change.group);
        self.record(Notice {
            change: change.number,
            ..notice.because(&change.reason)
        });
        self.history.push(Instant::now(), change);
    }

    /// Numbers of this node's last changes of a group.
    pub fn change_numbers(&self, group: &str) -> ChangeNumbers {
        self.history.numbers(group)
    }

    /// Handles the numbers of changes in the peer's newest facts.
    pub fn handle_peer_numbers(&mut self, groups: &[GroupFacts]) {
        self.history.handle_peer_numbers(groups);
    }

    /// Returns a part of this node's history, at most about this many bytes as JSON.
    pub fn past(&self, query: &PastQuery, bytes_max: usize) -> Past {
        self.history.past(query, &clock::now_ms(), bytes_max)
    }

    /// Last fitness that the node of this name reported.
    pub fn fitness_of(&self, peer: Option<&str>) -> Option<Fitness> {
        let known = self.history.peer();
        known.filter(|it| peer == Some(&it.node)).cloned()
    }

    /// Stores the fitness in the peer's newest facts.
    pub fn handle_peer_fitness(&mut self, peer: Fitness) {
        self.history
            .handle_peer(Instant::now(), &clock::now_ms(), peer);
    }

    /// Reason why the history would be lost by a restart.
    pub fn fault(&self) -> Option<String> {
        self.history.fault()
    }

    pub fn next_timeout(&self) -> Instant {
        self.history.next_timeout()
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        if now >= self.next_timeout() {
            self.history.handle_timeout(now, &clock::now_ms());
        }
    }

    /// Writes all that is not on the disk yet.
    pub fn close(self) {
        self.history.close(&clock::now_ms());
    }
}
