//! Feeds charon the sessions of the other node's charon, after a failover.
//!
//! ```text
//! charon is there     the kernel has its plugin's socket; it is told to answer for nothing yet
//! connections         are loaded after its start, and each IKE SA has one
//! IKE SAs             with their identities, virtual addresses and message IDs; those that were rekeyed with the
//!                     children that they still have, before the IKE SA in their place
//! children            a few at a time: their SAs are in the kernel, and become charon's
//! segment             charon answers for all of them, and assigns addresses
//! ```
//!
//! Children that charon did not take over are established again, as without all this.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::super::{Action, Engine};
use crate::MS;
use crate::connections::HaState;
use crate::sa::Body;
use crate::sessions::message::{self, Kind, Message};
use crate::sessions::{IkeSa, IkeSpis, Sessions};

use super::batch::Batch;
use super::messages::messages_of;
use super::quiet::Quiet;

/// Time in which charon's plugin has its socket after the control socket answers.
const READY_NS: u64 = 1_000 * MS;
const RETRY_NS: u64 = 50 * MS;
/// Time for charon to get all children before it answers. A request about a child that it does not have yet would end
/// that child at the far end; no request stays unanswered for longer than far ends repeat it.
const SILENT_NS: u64 = 10_000 * MS;
/// Pause before a charon that has not read all of its messages gets more.
pub(super) const BUSY_NS: u64 = 2 * MS;
/// Messages that charon gets in one go: its socket has room for more than a hundred.
const MESSAGES_MAX: usize = 32;

/// Reason why charon got no messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotTold {
    /// It has not read the last ones.
    Busy,
    /// It does not listen.
    Refused(String),
    /// Another program has its port.
    Stranger(String),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Stage {
    /// No charon, or none that is to have sessions.
    #[default]
    Idle,
    /// charon was asked whether it listens.
    Asked {
        until_ns: u64,
    },
    /// charon listens, and has its connections soon.
    Loading {
        version: u8,
    },
    Feeding,
    /// charon has all sessions.
    Done,
}

/// Part of the sessions that charon is to get next.
#[derive(Debug)]
pub(super) enum Step {
    /// IKE SA with its messages: its record may end before it is their turn, when its last child does.
    Ike {
        spis: IkeSpis,
        replaces: Option<IkeSpis>,
        messages: Vec<Body>,
    },
    Child(u32),
    /// charon answers for the IKE SAs that it has.
    Activate,
}

/// Sessions on their way to charon.
#[derive(Debug, Default)]
pub struct Feed {
    pub(super) stage: Stage,
    pub(super) quiet: Quiet,
    steps: VecDeque<Step>,
    /// Messages on their way; `is_telling`: the driver has some of them.
    messages: VecDeque<Body>,
    is_telling: bool,
    /// Time of the next try.
    pub(super) next_ns: Option<u64>,
    /// Time at which charon answers, whether or not it has all children.
    activate_ns: u64,
    pub(super) batch: Option<Batch>,
    /// IKE SAs that charon here has.
    there: BTreeSet<IkeSpis>,
    /// Version of charon's messages, if it has sent any.
    version: Option<u8>,
    /// The kernel has its plugin's socket.
    pub(super) is_there: bool,
    /// charon is older than this run of the plugin: which sessions it has is not known.
    is_older: bool,
    /// Reason why sessions do not follow.
    fault: Option<String>,
    pub(super) counters: FeedCounters,
}

/// Counters for `sparectl ipsec`.
#[derive(Debug, Default)]
pub(super) struct FeedCounters {
    malformed: u64,
    /// Children that charon took over, and those that it did not.
    pub(super) taken_over: u64,
    pub(super) not_taken: u64,
}

impl Feed {
    pub(super) fn note_malformed(&mut self) {
        self.counters.malformed += 1;
        self.fault = Some("charon's messages are of an unknown version of strongSwan".to_owned());
    }

    /// Notes what charon has by its own messages.
    pub(super) fn note_message(&mut self, message: &Message) {
        (self.version, self.fault) = (Some(message.version), None);
        let Some(ike) = message.ike else {
            return;
        };
        match message.kind {
            Kind::IkeAdd => drop(self.there.insert(ike)),
            Kind::IkeDelete => drop(self.there.remove(&ike)),
            _ => {}
        }
    }

    /// Ends what is on its way to charon.
    fn stop(&mut self, stage: Stage) {
        self.stage = stage;
        self.steps.clear();
        self.messages.clear();
        (self.quiet, self.next_ns) = (Quiet::No, None);
    }

    /// Takes the activation out of the plan before its turn; returns false if IKE SAs are to come first.
    fn skip_to_activation(&mut self) -> bool {
        let is_last = matches!(self.steps.back(), Some(Step::Activate));
        let mut steps = self.steps.iter();
        let skips = is_last && !steps.any(|it| matches!(it, Step::Ike { .. }));
        if skips {
            self.steps.pop_back();
        }
        skips
    }

    pub fn next_ns(&self) -> u64 {
        let batch_ns = self.batch.as_ref().map_or(u64::MAX, Batch::next_ns);
        self.next_ns.unwrap_or(u64::MAX).min(batch_ns)
    }

    /// True if charon may still get sessions: nothing that it could take over is established again meanwhile.
    pub fn is_under_way(&self) -> bool {
        !matches!(self.stage, Stage::Idle | Stage::Done)
    }

    /// True if charon was told to be quiet, and may not be yet.
    pub fn is_quieting(&self) -> bool {
        matches!(self.quiet, Quiet::Told | Quiet::Read)
    }

    pub fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    /// State of charon's plugin here, as far as charon was asked.
    pub fn ha_state(&self) -> HaState {
        match (&self.fault, self.stage, self.is_there) {
            (Some(why), ..) => HaState::Faulty(why.clone()),
            (None, _, true) => HaState::Answers,
            (None, Stage::Done, false) => HaState::Silent,
            (None, _, false) => HaState::Unknown,
        }
    }

    /// Text about the sessions of a charon on the active node, which has so many of IKEv1.
    fn text(&self, ikev1: usize) -> String {
        match (self.stage, self.is_there) {
            _ if self.fault.is_some() => {
                format!(
                    "do not follow: {}",
                    self.fault.as_deref().unwrap_or_default()
                )
            }
            (Stage::Asked { .. } | Stage::Loading { .. } | Stage::Feeding, _) => {
                "on their way to charon".to_owned()
            }
            (_, false) => "do not follow: charon's plugin ha does not answer".to_owned(),
            (_, true) if ikev1 > 0 => format!("follow, but not {ikev1} of IKEv1"),
            (_, true) => "follow".to_owned(),
        }
    }

    pub fn numbers(&self) -> [(&'static str, u64); 3] {
        let counters = &self.counters;
        [
            ("sessions_taken_over", counters.taken_over),
            ("sessions_not_taken", counters.not_taken),
            ("sessions_malformed", counters.malformed),
        ]
    }

    /// Steps for the sessions that charon does not have, of its version.
    fn plan(&self, sessions: &Sessions, version: u8, missing: &BTreeSet<String>) -> VecDeque<Step> {
        let is_wanted = |ike: &IkeSa| {
            ike.version == version && ike.end.is_some() && !missing.contains(&ike.connection)
        };
        let all = sessions.ikes.iter();
        let all = all.filter(|(spis, it)| !self.there.contains(*spis) && is_wanted(it));
        let mut waiting: BTreeMap<&IkeSpis, &IkeSa> = all.collect();
        let mut children: BTreeMap<IkeSpis, Vec<(u64, u32)>> = BTreeMap::new();
        for (spi, child) in &sessions.children {
            let of_ike = children.entry(child.ike).or_default();
            of_ike.push((child.order, *spi));
        }
        let (mut first, mut last) = (VecDeque::new(), VecDeque::new());
        while !waiting.is_empty() {
            // those in whose place others are come before them
            let waits = |it: &IkeSa| it.replaces.is_some_and(|it| waiting.contains_key(&it));
            let (later, next) = waiting.iter().partition(|(_, it)| waits(it));
            let next: BTreeMap<&IkeSpis, &IkeSa> = next;
            if next.is_empty() {
                // each in the place of the other: no charon says so
                break;
            }
            for (spis, ike) in next {
                first.push_back(Step::Ike {
                    spis: *spis,
                    replaces: ike.replaces,
                    messages: messages_of(*spis, ike),
                });
                let mut children = children.remove(spis).unwrap_or_default();
                children.sort_unstable();
                let steps = if ike.is_ended { &mut first } else { &mut last };
                steps.extend(children.into_iter().map(|(_, spi)| Step::Child(spi)));
            }
            waiting = later;
        }
        first.push_back(Step::Activate);
        first.append(&mut last);
        first
    }
}

impl Engine {
    /// Begins with a charon that has started, or that runs when a role comes.
    pub(in super::super) fn begin_feed(&mut self, now_ns: u64) {
        if !self.is_active() || self.ike.feed.is_under_way() {
            return;
        }
        if !self.ike.is_running() {
            return self.expect_charon();
        }
        self.end_quiet();
        let feed = &mut self.ike.feed;
        feed.stage = Stage::Asked {
            until_ns: now_ns + READY_NS,
        };
        (feed.next_ns, feed.fault) = (None, None);
        self.push_action(Action::Segment(self.ike.feed.is_older, self.feed_version()));
    }

    /// Handles the end of charon: the next one has no sessions.
    pub(in super::super) fn end_feed(&mut self, now_ns: u64) {
        self.abort_batch(now_ns);
        let feed = &mut self.ike.feed;
        feed.stop(Stage::Idle);
        feed.there.clear();
        (feed.version, feed.is_there, feed.is_older) = (None, false, false);
        self.store.sessions.own.ikev1.clear();
        if self.is_active() {
            self.expect_charon();
        }
    }

    /// Has charon noticed soon after its start: it assigns addresses of its plugin's pools only when it answers for them.
    fn expect_charon(&mut self) {
        self.push_action(Action::ExpectDaemon);
    }

    /// Notes that charon ran before this run of the plugin.
    pub(in super::super) fn note_older_charon(&mut self) {
        self.ike.feed.is_older = true;
    }

    /// Handles the loss of the role: charon must not answer for its sessions any more, nor end them when it ends.
    pub(in super::super) fn release_sessions(&mut self, now_ns: u64) {
        if self.is_active() {
            return self.end_quiet();
        }
        self.abort_batch(now_ns);
        let feed = &mut self.ike.feed;
        let had = !matches!(feed.stage, Stage::Idle);
        feed.stop(Stage::Idle);
        if had {
            self.push_action(Action::Segment(false, self.feed_version()));
        }
    }

    /// Version of charon's messages, as it has shown, or the charon before it; else that of strongSwan 5.9.
    pub(super) fn feed_version(&self) -> u8 {
        let ikes = self.store.sessions.own.ikes.values();
        let shown = self.ike.feed.version.or(ikes.map(|it| it.version).max());
        shown.unwrap_or(message::VERSION_5)
    }

    /// Notes another program in the place of charon's plugin `ha`.
    fn note_stranger(&mut self, why: String) {
        self.ike.feed.fault = Some(why);
        self.mark_dirty();
    }

    /// Handles the result of [`Action::Segment`].
    pub fn handle_segment(&mut self, now_ns: u64, done: Result<(), NotTold>) {
        if let Err(NotTold::Stranger(why)) = &done {
            self.note_stranger(why.clone());
        }
        let Stage::Asked { until_ns } = self.ike.feed.stage else {
            return;
        };
        let Err(why) = done else {
            self.ike.feed.is_there = true;
            return self.begin_loading(now_ns);
        };
        if now_ns < until_ns {
            self.ike.feed.next_ns = Some(now_ns + RETRY_NS);
            return;
        }
        if let NotTold::Refused(why) | NotTold::Stranger(why) = why {
            log::debug!("charon's plugin ha: {why}");
        }
        self.finish_feed(now_ns);
    }

    /// Waits for charon's connections; an older charon has its sessions.
    fn begin_loading(&mut self, now_ns: u64) {
        if self.ike.feed.is_older {
            return self.finish_feed(now_ns);
        }
        let version = self.feed_version();
        let feed = &mut self.ike.feed;
        feed.stage = Stage::Loading { version };
        feed.next_ns = None;
        let ikes = self.store.sessions.own.ikes.values();
        let names: BTreeSet<String> = ikes.map(|it| it.connection.clone()).collect();
        if names.is_empty() {
            self.handle_loaded(now_ns, &names);
        } else {
            self.push_action(Action::AwaitConnections(names));
        }
    }

    /// Handles the end of the wait for charon's connections; it does not have the `missing` ones.
    pub fn handle_loaded(&mut self, now_ns: u64, missing: &BTreeSet<String>) {
        let feed = &mut self.ike.feed;
        let Stage::Loading { version } = feed.stage else {
            return;
        };
        feed.stage = Stage::Feeding;
        feed.steps = feed.plan(&self.store.sessions.own, version, missing);
        feed.activate_ns = now_ns + SILENT_NS;
        if !missing.is_empty() {
            let missing: Vec<&str> = missing.iter().map(String::as_str).collect();
            let missing = missing.join(", ");
            self.event(format!(
                "IKE sessions of {missing} do not follow: charon has no such connection here"
            ));
        }
        self.feed_next(now_ns);
    }

    /// Feeds sessions that came after the others.
    pub(super) fn feed_more(&mut self, now_ns: u64) {
        if self.ike.feed.stage == Stage::Done && !self.ike.feed.is_older {
            self.begin_feed(now_ns);
        }
    }

    /// Handles the result of [`Action::Tell`].
    pub fn handle_told(&mut self, now_ns: u64, told: Vec<Body>, done: Result<(), NotTold>) {
        let feed = &mut self.ike.feed;
        feed.is_telling = false;
        match done {
            Ok(()) => {}
            Err(NotTold::Busy) if feed.stage == Stage::Feeding => {
                for message in told.into_iter().rev() {
                    feed.messages.push_front(message);
                }
                feed.next_ns = Some(now_ns + BUSY_NS);
                return;
            }
            Err(NotTold::Busy) => {}
            Err(NotTold::Refused(why) | NotTold::Stranger(why)) => {
                feed.fault = Some(why);
                self.abort_batch(now_ns);
                return self.finish_feed(now_ns);
            }
        }
        self.feed_next(now_ns);
    }

    /// Continues until something has to be waited for.
    pub(super) fn feed_next(&mut self, now_ns: u64) {
        while self.ike.feed.stage == Stage::Feeding && !self.ike.feed.is_telling {
            if self.tell_next() {
                return;
            }
            if self.ike.feed.batch.is_some() {
                return;
            }
            if self.ike.feed.activate_ns <= now_ns && self.ike.feed.skip_to_activation() {
                self.activate();
                continue;
            }
            let is_child = matches!(self.ike.feed.steps.front(), Some(Step::Child(_)));
            if is_child && !self.can_add_children() {
                self.ike.feed.next_ns = Some(now_ns + BUSY_NS);
                return;
            }
            match self.ike.feed.steps.pop_front() {
                None => return self.finish_feed(now_ns),
                Some(Step::Ike {
                    spis,
                    replaces,
                    messages,
                }) => self.feed_ike(spis, replaces, messages),
                Some(Step::Activate) if self.ike.feed.steps.is_empty() => self.activate(),
                // all IKE SAs are there, and children are not
                Some(Step::Activate) => self.ike.feed.steps.push_back(Step::Activate),
                Some(Step::Child(spi)) => self.begin_batch(now_ns, spi),
            }
        }
    }

    /// True if the SAs of a failover are in the kernel, and no other packets wait than those of a batch.
    fn can_add_children(&self) -> bool {
        self.is_installed() && self.switchover.resume.is_none()
    }

    fn feed_ike(&mut self, spis: IkeSpis, replaces: Option<IkeSpis>, messages: Vec<Body>) {
        if let Some(replaced) = replaces {
            self.ike.feed.there.remove(&replaced);
        }
        self.ike.feed.there.insert(spis);
        self.tell(messages);
    }

    fn activate(&mut self) {
        let version = self.feed_version();
        self.tell(vec![Body::new(message::segment(version, true))]);
    }

    /// Puts messages on their way to charon, behind those that are.
    pub(super) fn tell(&mut self, messages: Vec<Body>) {
        self.ike.feed.messages.extend(messages);
    }

    fn tell_next(&mut self) -> bool {
        let feed = &mut self.ike.feed;
        let count = feed.messages.len().min(MESSAGES_MAX);
        let messages: Vec<Body> = feed.messages.drain(..count).collect();
        feed.is_telling = !messages.is_empty();
        if messages.is_empty() {
            return false;
        }
        self.push_action(Action::Tell(messages));
        true
    }

    /// Takes the next children of the plan, up to a number.
    pub(super) fn next_children(&mut self, count: usize) -> Vec<u32> {
        let steps = &mut self.ike.feed.steps;
        let mut children = Vec::new();
        while let Some(Step::Child(spi)) = steps.front().filter(|_| children.len() < count) {
            children.push(*spi);
            steps.pop_front();
        }
        children
    }

    fn finish_feed(&mut self, now_ns: u64) {
        self.ike.feed.stop(Stage::Done);
        if !self.ike.feed.is_older {
            self.forget_lost(now_ns);
        }
        self.order_adoption();
        self.mark_dirty();
    }

    /// Forgets sessions that charon did not get; those that were rekeyed go with the ones in their place.
    fn forget_lost(&mut self, now_ns: u64) {
        let there = &self.ike.feed.there;
        let ikes = self.store.sessions.own.ikes.iter();
        let lost = ikes.filter(|(spis, it)| !it.is_ended && !there.contains(*spis));
        let lost: Vec<IkeSpis> = lost.map(|(spis, _)| *spis).collect();
        for spis in lost {
            for id in self.store.sessions.own.remove_session(spis) {
                self.update_session_record(now_ns, id);
            }
        }
    }

    pub(in super::super) fn handle_feed_timeout(&mut self, now_ns: u64) {
        if self
            .ike
            .feed
            .batch
            .as_ref()
            .is_some_and(|it| it.next_ns() <= now_ns)
        {
            self.handle_batch_timeout(now_ns);
        }
        if self.ike.feed.next_ns.is_none_or(|it| it > now_ns) {
            return;
        }
        self.ike.feed.next_ns = None;
        match self.ike.feed.stage {
            Stage::Asked { until_ns } if now_ns < until_ns => {
                let version = self.feed_version();
                self.push_action(Action::Segment(self.ike.feed.is_older, version));
            }
            Stage::Asked { .. } => {
                self.finish_feed(now_ns);
            }
            Stage::Feeding => self.feed_next(now_ns),
            Stage::Done => self.handle_quiet_timeout(),
            Stage::Idle | Stage::Loading { .. } => {}
        }
    }

    /// Text about sessions: whether they follow, on the active node; whether there are any, on the other one.
    pub(in super::super) fn sessions_text(&self) -> String {
        let has_held = !self.store.sessions.held.ikes.is_empty();
        match (self.is_active(), self.ike.is_running()) {
            (true, true) => {
                let ikev1 = self.store.sessions.own.ikev1.len();
                self.ike.feed.text(ikev1)
            }
            (true, false) => "charon does not run".to_owned(),
            (false, _) if has_held => "held for a failover".to_owned(),
            (false, _) => "none".to_owned(),
        }
    }

    /// True if charon may still take over sessions: it is not to establish their children meanwhile.
    pub(in super::super) fn are_sessions_waiting(&self) -> bool {
        let sessions = &self.store.sessions.own;
        !sessions.ikes.is_empty() && self.ike.feed.stage != Stage::Done
    }
}
