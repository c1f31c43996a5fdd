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
//!
//! `feed/next_steps.rs` carries the plan out, `feed/shown.rs` says how it goes.

mod next_steps;
mod shown;

use std::collections::{BTreeSet, VecDeque};

use super::super::{Action, Engine};
use crate::MS;
use crate::sa::Body;
use crate::sessions::message::{self, Message};
use crate::sessions::{IkeSa, IkeSpis};

use super::batch::Batch;
use super::charon::Charon;
use super::plan::{Step, plan};
use super::quiet::Quiet;
use shown::FeedCounters;

/// Time in which charon's plugin has its socket after the control socket answers.
const READY_NS: u64 = 1_000 * MS;
const RETRY_NS: u64 = 50 * MS;
/// Time for charon to get all children before it answers. A request about a child that it does not have yet would end
/// that child at the far end; no request stays unanswered for longer than far ends repeat it.
const SILENT_NS: u64 = 10_000 * MS;
/// Pause before a charon that has not read all of its messages gets more.
pub(super) const BUSY_NS: u64 = 2 * MS;

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
    batch: Option<Batch>,
    /// Sessions have come since the plan was made.
    has_more: bool,
    /// charon is to tell all that it has told an earlier run of the plugin.
    needs_resync: bool,
    /// Connections that charon does not have.
    missing: BTreeSet<String>,
    pub(super) charon: Charon,
    /// Reason why sessions do not follow.
    fault: Option<String>,
    counters: FeedCounters,
}

impl Feed {
    /// Notes what charon has by its own messages.
    pub(super) fn note_message(&mut self, message: &Message) {
        self.fault = None;
        self.charon.note_message(message);
    }

    /// Notes that charon had sessions when this run of the plugin began.
    pub(super) fn note_older_charon(&mut self) {
        (self.charon.is_older, self.needs_resync) = (true, true);
    }

    /// Removes all messages but ends of sessions that have left.
    fn clear_messages(&mut self) {
        self.messages
            .retain(|it| message::is_end_of_ike(it.bytes()));
    }

    /// Ends what is on its way to charon.
    fn stop(&mut self, stage: Stage) {
        self.stage = stage;
        self.steps.clear();
        self.clear_messages();
        // ends that charon had no room for are told at once
        self.next_ns = (!self.messages.is_empty()).then_some(0);
        (self.quiet, self.has_more) = (Quiet::No, false);
    }

    pub(super) fn charon(&self) -> &Charon {
        &self.charon
    }

    pub(super) fn charon_mut(&mut self) -> &mut Charon {
        &mut self.charon
    }

    /// True if charon may have sessions that are not known here, and so gets none.
    pub(super) fn is_charon_older(&self) -> bool {
        self.charon.is_older
    }

    /// True if SAs are on their way to charon.
    pub fn is_in_batch(&self) -> bool {
        self.batch.is_some()
    }

    pub fn next_ns(&self) -> u64 {
        let batch_ns = self.batch.as_ref().map_or(u64::MAX, Batch::next_ns);
        self.next_ns.unwrap_or(u64::MAX).min(batch_ns)
    }

    /// True if charon may still get sessions: nothing that it could take over is established again meanwhile.
    pub fn is_under_way(&self) -> bool {
        !matches!(self.stage, Stage::Idle | Stage::Done)
    }

    /// True if charon is to be quiet, and may not be yet.
    pub fn is_quieting(&self) -> bool {
        !matches!(self.quiet, Quiet::No | Quiet::Yes)
    }
}

impl Engine {
    /// Begins with a charon that has started, or that runs when a role comes.
    pub(in super::super) fn begin_feed(&mut self, now_ns: u64) {
        if matches!(self.ike.feed.stage, Stage::Loading { .. } | Stage::Feeding) {
            return;
        }
        self.ike.feed.missing.clear();
        match (self.is_active(), self.ike.is_running()) {
            (true, true) => {}
            (true, false) => return self.expect_charon(now_ns),
            (false, true) => {
                self.settle_older_charon(now_ns);
                self.note_left_sessions();
                return self.look_for_ha(now_ns);
            }
            (false, false) => return,
        }
        self.settle_older_charon(now_ns);
        if self.ike.feed.charon.is_older {
            self.end_openings();
        } else {
            self.block_openings();
        }
        let quiet = if self.must_be_quiet() {
            Quiet::Yes
        } else {
            Quiet::No
        };
        self.ike.feed.quiet = quiet;
        self.look_for_ha(now_ns);
    }

    /// Finds out whether charon's plugin listens; charon of a backup gets sessions later.
    fn look_for_ha(&mut self, now_ns: u64) {
        let feed = &mut self.ike.feed;
        feed.stage = Stage::Asked {
            until_ns: now_ns + READY_NS,
        };
        (feed.next_ns, feed.fault) = (None, None);
        self.ask_ha();
    }

    /// Asks charon whether its plugin listens, by an order: not to answer while it has no role or gets sessions, or to go on
    /// with those that it has if these are all.
    fn ask_ha(&mut self) {
        let feed = &self.ike.feed;
        let has_all = !feed.needs_resync && self.lost_sessions().is_empty();
        let answers = self.is_active() && has_all && feed.quiet == Quiet::No;
        self.push_action(Action::Segment(answers, self.feed_version()));
    }

    /// Handles the end of charon: the next one has no sessions.
    pub(in super::super) fn end_feed(&mut self, now_ns: u64) {
        self.abort_batch(now_ns);
        let feed = &mut self.ike.feed;
        feed.stop(Stage::Idle);
        feed.messages.clear();
        (feed.charon, feed.needs_resync) = (Charon::default(), false);
        feed.missing.clear();
        self.store.sessions.own.ikev1.clear();
        self.continue_drain();
        if self.is_active() {
            self.expect_charon(now_ns);
        } else {
            self.end_openings();
        }
    }

    /// Has charon noticed soon after its start: it assigns addresses of its plugin's pools only when it answers for them.
    fn expect_charon(&mut self, now_ns: u64) {
        self.block_openings_before_start(now_ns);
        self.copy_policies();
        self.push_action(Action::ExpectDaemon);
    }

    /// Ends the doubt about a charon that had sessions when the plugin started: on a backup those are none of the peer's,
    /// and on the active node it has what has not ended.
    pub(in super::super) fn settle_older_charon(&mut self, now_ns: u64) {
        let is_settled = !self.is_active() && self.roles.are_reported() || self.is_complete();
        if !self.ike.feed.charon.is_older || !is_settled {
            return;
        }
        self.ike.feed.charon.is_older = false;
        if self.is_active() {
            self.forget_lost(now_ns);
        } else {
            self.ike.feed.needs_resync = false;
        }
        self.note_left_sessions();
    }

    /// Handles the loss of the role: charon must not answer for its sessions any more, nor end them when it ends.
    pub(in super::super) fn release_sessions(&mut self, now_ns: u64) {
        if self.is_active() {
            // other groups' sessions go on
            self.update_quiet(now_ns);
            return self.feed_next(now_ns);
        }
        let feed = &mut self.ike.feed;
        let had = !matches!(feed.stage, Stage::Idle);
        feed.stop(Stage::Idle);
        self.end_openings();
        if had {
            self.push_action(Action::Segment(false, self.feed_version()));
        }
    }

    /// IKE SAs that charon may get.
    pub(super) fn sessions_to_feed(&self) -> impl Iterator<Item = &IkeSa> {
        let Feed {
            missing, charon, ..
        } = &self.ike.feed;
        let ikes = self.store.sessions.own.ikes.iter();
        let lacking = ikes.filter(|(spis, it)| !it.is_ended && !charon.has(spis));
        let lacking = lacking.map(|(_, it)| it);
        lacking.filter(|it| !missing.contains(&it.connection))
    }

    /// Connections of the IKE SAs that charon has.
    pub(super) fn taken_connections(&self) -> BTreeSet<String> {
        let charon = &self.ike.feed.charon;
        let ikes = self.store.sessions.own.ikes.iter();
        let taken = ikes.filter(|(spis, _)| charon.is_there && charon.has(spis));
        taken.map(|(_, it)| it.connection.clone()).collect()
    }

    /// True if charon is getting sessions.
    pub(super) fn is_feeding(&self) -> bool {
        self.ike.feed.is_under_way()
    }

    /// Handles the release of charon here, which is told before charon is said to have started.
    pub fn handle_release(&mut self, release: &str) {
        self.ike.feed.charon.version = message::version_of(release);
    }

    /// Version of charon's messages, as it has shown, or the charon before it; else that of strongSwan 5.9.
    pub(super) fn feed_version(&self) -> u8 {
        let ikes = self.store.sessions.own.ikes.values();
        let shown = self
            .ike
            .feed
            .charon
            .version
            .or(ikes.map(|it| it.version).max());
        shown.unwrap_or(message::VERSION_5)
    }

    /// Handles the result of [`Action::Segment`].
    pub fn handle_segment(&mut self, now_ns: u64, done: Result<(), NotTold>) {
        if let Err(NotTold::Stranger(why)) = &done {
            self.note_stranger(why.clone());
        }
        let Stage::Asked { until_ns } = self.ike.feed.stage else {
            return;
        };
        let why = match done {
            Ok(()) => {
                self.ike.feed.charon.is_there = true;
                return self.begin_loading(now_ns);
            }
            Err(why) => why,
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

    /// Waits for charon's connections.
    fn begin_loading(&mut self, now_ns: u64) {
        if !self.is_active() {
            self.ike.feed.stop(Stage::Idle);
            return self.report_connections(now_ns);
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
        feed.steps = if feed.charon.is_older {
            VecDeque::from([Step::Activate])
        } else {
            plan(&self.store.sessions.own, &feed.charon, version, missing)
        };
        // before charon answers again: it rekeys nothing then
        if std::mem::take(&mut feed.needs_resync) {
            feed.messages.push_back(Body::new(message::resync(version)));
        }
        feed.activate_ns = now_ns + SILENT_NS;
        if !missing.is_empty() {
            feed.missing.clone_from(missing);
            self.block_openings();
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
        let feed = &mut self.ike.feed;
        if feed.stage == Stage::Done && !feed.charon.is_older {
            self.begin_feed(now_ns);
        } else {
            feed.has_more = feed.is_under_way();
        }
    }

    fn finish_feed(&mut self, now_ns: u64) {
        if !self.is_active() {
            return self.ike.feed.stop(Stage::Idle);
        }
        if !self.ike.feed.charon.is_older {
            self.forget_lost(now_ns);
        }
        self.stop_feeding(now_ns);
    }

    fn stop_feeding(&mut self, now_ns: u64) {
        let feed = &mut self.ike.feed;
        let stays_quiet = feed.quiet == Quiet::Yes && feed.charon.is_there;
        feed.stop(Stage::Done);
        if stays_quiet {
            feed.quiet = Quiet::Yes;
        }
        self.give_up_openings(now_ns);
        self.forget_replaced_policies();
        self.continue_drain();
        self.order_adoption();
        self.mark_dirty();
    }

    /// Forgets sessions that charon did not get; those that were rekeyed go with the ones in their place.
    fn forget_lost(&mut self, now_ns: u64) {
        for spis in self.lost_sessions() {
            for id in self.store.sessions.own.remove_session(spis) {
                self.update_session_record(now_ns, id);
            }
        }
    }

    /// IKE SAs of this node that charon does not have.
    fn lost_sessions(&self) -> Vec<IkeSpis> {
        let charon = &self.ike.feed.charon;
        let ikes = self.store.sessions.own.ikes.iter();
        let lost = ikes.filter(|(spis, it)| !it.is_ended && !charon.has(spis));
        lost.map(|(spis, _)| *spis).collect()
    }

    pub(in super::super) fn handle_feed_timeout(&mut self, now_ns: u64) {
        self.handle_openings_timeout(now_ns);
        if self
            .ike
            .feed
            .batch()
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
                self.ask_ha();
            }
            Stage::Asked { .. } => {
                self.finish_feed(now_ns);
            }
            Stage::Feeding | Stage::Done if self.ike.feed.is_quieting() => {
                self.handle_quiet_timeout(now_ns);
            }
            _ => self.feed_next(now_ns),
        }
    }

    /// True if charon may still take over sessions: it is not to establish their children meanwhile.
    pub(in super::super) fn are_sessions_waiting(&self) -> bool {
        let sessions = &self.store.sessions.own;
        !sessions.ikes.is_empty() && self.ike.feed.stage != Stage::Done
    }
}
