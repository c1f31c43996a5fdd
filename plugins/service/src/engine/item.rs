//! State of one item: its goal, its observed state, and its job.

use spared_sdk::Role;
use spared_sdk::config::format_duration;

use super::goal::{Deed, Goal};
use super::seen::{Falls, is_blind, is_down};
use super::tell::{Tellings, Topic};
use super::test::Test;
use crate::config::{self, Kind};
use crate::job::{Manager, Service, Status};

const S: u64 = 1_000_000_000;
const BACKOFF_MAX_NS: u64 = 60 * S;
/// Running time in ns after which a start counts as successful.
pub(super) const STEADY_NS: u64 = 60 * S;
/// Time limit in ns for an answer of the service manager.
pub(super) const LOOK_NS: u64 = 20 * S;
const KILL_NS: u64 = 10 * S;
/// Time in ns between looks at a service whose state is unknown.
const UNANSWERED_NS: u64 = 2 * S;

#[derive(Debug)]
pub(super) struct Item {
    pub(super) spec: config::Item,
    pub(super) service: Option<Service>,
    pub(super) role: Option<Role>,
    /// True if the role of its group was reported, or it belongs to no group.
    pub(super) is_group_known: bool,
    /// True if the item keeps its role while this node is in maintenance.
    pub(super) is_held: bool,
    pub(super) previous: Option<Role>,
    pub(super) goal: Goal,
    pub(super) wished_ns: u64,
    /// True if the goal is new, or was lost, and its first try has not ended: others wait for it.
    pub(super) open: bool,
    /// True if a goal that cannot be observed is still to be reached.
    todo: bool,
    pub(super) bounce: bool,
    /// True if a bounce was cut short, and the interface is still down.
    pub(super) is_lowered: bool,
    /// True if the last job for this goal succeeded; it counts if the state cannot be observed.
    pub(super) done: bool,
    pub(super) status: Option<Status>,
    /// True if the last look gave no state; `status` is then the result of the last job, or an earlier observation.
    pub(super) unseen: bool,
    pub(super) unanswered: Unanswered,
    pub(super) changed_ns: u64,
    pub(super) job: Option<Running>,
    pub(super) retry_ns: Option<u64>,
    pub(super) in_a_row: u32,
    /// True if the service ended soon after a start: a running state counts only after a while.
    pub(super) unsteady: bool,
    pub(super) falls: Falls,
    pub(super) test: Test,
    pub(super) look: Look,
    pub(super) started_ns: Option<u64>,
    /// Time when the last job began.
    pub(super) begun_ns: Option<u64>,
    /// Time when somebody last declared it repaired.
    pub(super) repaired_ns: Option<u64>,
    pub(super) failures: u64,
    pub(super) started_by_others: u64,
    /// Present fault.
    pub(super) fault: Option<String>,
    pub(super) last_fault: Option<String>,
    pub(super) tellings: Tellings,
    pub(super) events: Vec<String>,
    pub(super) reported: Option<(u32, Option<u8>, String)>,
    /// Time until which a check that failed while active counts as failed.
    pub(super) blamed_until_ns: Option<u64>,
}

/// Number of looks in a row that gave no state of a service that can be asked, with the reason of the last one.
#[derive(Debug, Default)]
pub(super) struct Unanswered {
    looks: u32,
    why: String,
    /// Time of the next look, which comes before the next poll, so that a repair is noticed soon.
    again_ns: Option<u64>,
}

impl Unanswered {
    /// Number of such looks that are tolerated: one may come at a bad moment.
    const TOLERATED: u32 = 1;

    pub(super) fn note(&mut self, now_ns: u64, why: &str) {
        self.looks = self.looks.saturating_add(1);
        why.clone_into(&mut self.why);
        self.again_ns = Some(now_ns.saturating_add(UNANSWERED_NS));
    }

    fn take_due(&mut self, now_ns: u64) -> bool {
        self.again_ns.take_if(|at_ns| now_ns >= *at_ns).is_some()
    }

    pub(super) fn lasting(&self) -> Option<&str> {
        (self.looks > Self::TOLERATED).then_some(&self.why)
    }
}

#[derive(Clone, Debug)]
pub(super) struct Running {
    pub(super) number: u64,
    pub(super) deed: Deed,
    pub(super) until_ns: u64,
}

/// Looks at the service.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Look {
    pub(super) wanted: bool,
    pub(super) asked_ns: Option<u64>,
    /// Time before which a requested answer is outdated.
    pub(super) valid_from_ns: u64,
}

impl Item {
    pub(super) fn new(now_ns: u64, spec: config::Item, service: Option<Service>) -> Self {
        Self {
            look: Look {
                wanted: service.is_some(),
                ..Look::default()
            },
            spec,
            service,
            role: None,
            is_group_known: true,
            is_held: false,
            previous: None,
            goal: Goal::Leave,
            wished_ns: now_ns,
            open: false,
            todo: false,
            bounce: false,
            is_lowered: false,
            done: false,
            status: None,
            unseen: false,
            unanswered: Unanswered::default(),
            changed_ns: now_ns,
            job: None,
            retry_ns: None,
            in_a_row: 0,
            unsteady: false,
            falls: Falls::default(),
            test: Test::default(),
            started_ns: None,
            begun_ns: None,
            repaired_ns: None,
            failures: 0,
            started_by_others: 0,
            fault: None,
            last_fault: None,
            tellings: Tellings::default(),
            events: Vec::new(),
            reported: None,
            blamed_until_ns: None,
        }
    }

    /// Takes a new goal; `known` says that an earlier worker reached it.
    pub(super) fn take_goal(&mut self, now_ns: u64, goal: Goal, known: bool) {
        self.wished_ns = now_ns;
        self.open = !matches!(goal, Goal::Leave);
        self.todo = !known && matches!(goal, Goal::Once(_) | Goal::Kept(_));
        self.goal = goal;
        self.done = known;
        self.retry_ns = None;
        (self.in_a_row, self.unsteady) = (0, false);
        (self.fault, self.repaired_ns) = (None, None);
    }

    /// True if the item is in its intended state.
    pub(super) fn is_reached(&self) -> bool {
        let seen = match (&self.goal, &self.status) {
            (Goal::Leave, _) => true,
            (Goal::Running, Some(Status::Running | Status::Armed(_))) => true,
            (Goal::Stopped, Some(status)) if is_down(status) => true,
            (Goal::Running | Goal::Stopped, Some(status)) if is_blind(status) => self.done,
            (Goal::Running | Goal::Stopped, _) => false,
            (Goal::Once(_) | Goal::Kept(_), _) => !self.todo,
        };
        seen && !self.bounce && !self.is_lowered
    }

    /// True if a goal that cannot be observed is being reached for the first time.
    pub(super) fn is_first_try(&self) -> bool {
        let is_unseen = matches!(self.goal, Goal::Once(_) | Goal::Kept(_));
        is_unseen && self.job.is_some() && !self.done
    }

    /// True if a goal that cannot be observed was reached: it is recorded for the next worker.
    pub(super) fn is_to_remember(&self) -> bool {
        let unseen = match self.goal {
            Goal::Once(_) => true,
            Goal::Running | Goal::Stopped => {
                self.unseen || self.status.as_ref().is_some_and(is_blind)
            }
            _ => false,
        };
        unseen && self.done && !self.todo && self.job.is_none() && self.fault.is_none()
    }

    /// Next job, if there is one.
    pub(super) fn need(&self) -> Option<Deed> {
        if self.bounce {
            return Some(Deed::Bounce);
        }
        if self.is_lowered {
            return self.raise();
        }
        if self.is_reached() || self.retry_ns.is_some() {
            return None;
        }
        match (&self.goal, self.status.as_ref()) {
            (Goal::Leave, _) => None,
            (Goal::Once(task), _) => Some(Deed::Task(task.clone())),
            (Goal::Kept(job), _) => Some(Deed::Keep(job.clone())),
            (Goal::Running | Goal::Stopped, None) => None,
            (Goal::Running, Some(Status::Missing(_))) => None,
            // another program starts or stops it; the next look shows the result
            (Goal::Running, Some(Status::Starting | Status::Stopping)) if !self.open => None,
            (Goal::Stopped, Some(Status::Stopping)) if !self.open => None,
            (Goal::Running, Some(_)) => Some(Deed::Start),
            (Goal::Stopped, Some(_)) => Some(Deed::Stop),
        }
    }

    /// True if the job in progress leads away from the goal, and may be abandoned at once.
    pub(super) fn is_superseded(&self) -> bool {
        let deed = self.job.as_ref().map(|job| &job.deed);
        if deed == Some(&Deed::Bounce) {
            return self.role == Some(Role::Active);
        }
        let systemd = matches!(
            self.service,
            Some(Service::Unit {
                manager: Manager::Systemd,
                ..
            })
        );
        let opposed = matches!(
            (deed, &self.goal),
            (Some(Deed::Start), Goal::Stopped) | (Some(Deed::Stop), Goal::Running)
        );
        systemd && opposed
    }

    pub(super) fn begin(&mut self, now_ns: u64, number: u64, deed: Deed) {
        match deed {
            Deed::Bounce => self.bounce = false,
            Deed::Task(_) | Deed::Keep(_) => (self.todo, self.is_lowered) = (false, false),
            _ => {}
        }
        let time_ns = match (&deed, &self.spec.kind) {
            (Deed::Kill, _) => KILL_NS,
            (
                Deed::Bounce,
                Kind::Interface {
                    bounce_ms: Some(ms),
                    ..
                },
            ) => ms
                .saturating_mul(1_000_000)
                .saturating_add(self.spec.timeout_ns),
            _ => self.spec.timeout_ns,
        };
        self.begun_ns = Some(now_ns);
        self.retry_ns = None;
        self.job = Some(Running {
            number,
            deed,
            until_ns: now_ns.saturating_add(time_ns),
        });
    }

    /// Handles the end of the item's job, or of an abandoned one.
    pub(super) fn end(&mut self, now_ns: u64, deed: &Deed, result: Result<(), String>) {
        self.job = None;
        self.look.valid_from_ns = now_ns;
        self.look.wanted = self.service.is_some();
        match (deed, result) {
            (Deed::Start, Ok(())) => {
                self.started_ns = Some(now_ns);
                self.set_status(now_ns, Status::Running);
                self.succeed(now_ns, self.goal == Goal::Running);
            }
            (Deed::Stop | Deed::Kill, Ok(())) => {
                self.set_status(now_ns, Status::Stopped);
                self.succeed(now_ns, self.goal == Goal::Stopped);
            }
            (Deed::Start, Err(why)) => {
                self.unsteady = false;
                self.set_status(now_ns, Status::Failed(why.clone()));
                self.fail_for(now_ns, deed, &why, self.goal == Goal::Running);
                if self.take_repaired() {
                    self.retry_ns = None;
                }
                if self.goal == Goal::Stopped {
                    // a part of it may run
                    self.set_status(now_ns, Status::Unknown(why));
                }
            }
            (Deed::Stop | Deed::Kill, Err(why)) => {
                self.set_status(now_ns, Status::Unknown(why.clone()));
                self.fail_for(now_ns, deed, &why, self.goal == Goal::Stopped);
            }
            (Deed::Bounce, Ok(())) => {}
            (deed, Ok(())) => {
                let reached = self.is_for(deed) && !self.todo;
                self.succeed(now_ns, reached);
            }
            (Deed::Keep(_), Err(why)) => {
                let wanted = self.is_for(deed);
                self.todo |= wanted;
                self.fail_for(now_ns, deed, &why, wanted);
            }
            (deed, Err(why)) => {
                // a goal that cannot be observed is not retried automatically
                let wanted = *deed == Deed::Bounce || self.is_for(deed) && !self.todo;
                let (open, retry_ns) = (self.open && !self.is_reached(), self.retry_ns);
                self.fail_for(now_ns, deed, &why, wanted);
                (self.open, self.retry_ns) = (open, retry_ns);
            }
        }
    }

    /// Ends a wait that is over. A new goal that cannot be reached, or is reached already, delays no other item.
    pub(super) fn ripen(&mut self, now_ns: u64) {
        self.retry_ns.take_if(|retry_ns| now_ns >= *retry_ns);
        if self.unanswered.take_due(now_ns) {
            self.look.wanted = self.service.is_some();
        }
        if self.job.is_some() {
            return;
        }
        if self.is_reached() {
            self.open = false;
        } else if let (true, Goal::Running, Some(Status::Missing(why))) =
            (self.open, &self.goal, &self.status)
        {
            self.fault = Some(why.clone());
            self.open = false;
        }
    }

    fn is_for(&self, deed: &Deed) -> bool {
        match (deed, &self.goal) {
            (Deed::Task(task), Goal::Once(wanted)) => task == wanted,
            (Deed::Keep(job), Goal::Kept(wanted)) => job == wanted,
            _ => false,
        }
    }

    /// Sentence about a job that took too long; the second value is true if a kill follows.
    pub(super) fn late(&self, deed: &Deed) -> (String, bool) {
        let time = std::time::Duration::from_nanos(self.spec.timeout_ns);
        let word = match deed {
            Deed::Start => "start",
            Deed::Stop => "stop",
            Deed::Kill => "end though killed",
            _ => "end",
        };
        // a command that was cancelled was killed; a service of commands has nothing else to kill it with
        let has_kill = matches!(self.service, Some(Service::Unit { .. }));
        let kill = *deed == Deed::Stop && self.goal == Goal::Stopped && has_kill;
        (
            format!("did not {word} within {}", format_duration(time)),
            kill,
        )
    }

    /// Reports a stop that hangs, whatever the result of the kill.
    pub(super) fn note_kill(&mut self, now_ns: u64, why: &str) {
        self.failures = self.failures.saturating_add(1);
        self.last_fault = Some(why.to_owned());
        let text = format!("{} {why}: killed", self.spec.name);
        self.tell(now_ns, Topic::Killed, text);
    }

    /// Handles a poll: a goal that is kept is reached again.
    pub(super) fn poll(&mut self, is_looked_at: bool) {
        self.look.wanted |= is_looked_at && self.service.is_some();
        if matches!(self.goal, Goal::Kept(_)) && self.fault.is_none() {
            self.todo = true;
        }
    }

    /// Retries a failed job now, because somebody declared it repaired; false if nothing is known to have failed.
    pub(super) fn retry(&mut self, now_ns: u64) -> bool {
        self.repaired_ns = Some(now_ns);
        self.look.wanted = self.service.is_some();
        let was_blamed = self.blamed_until_ns.take().is_some();
        let had_fault = self.fault.is_some();
        if self.test_fault().is_some() {
            self.test_now();
        } else if !had_fault {
            return was_blamed;
        }
        if !had_fault {
            return true;
        }
        (self.unsteady, self.falls) = (false, Falls::default());
        (self.retry_ns, self.in_a_row) = (None, 0);
        self.todo = matches!(self.goal, Goal::Once(_) | Goal::Kept(_));
        true
    }

    /// True if the last try began before the repair, and so proves nothing against it; once for each repair.
    pub(super) fn take_repaired(&mut self) -> bool {
        let (begun_ns, repaired_ns) = (self.begun_ns, self.repaired_ns.take());
        repaired_ns.is_some_and(|at_ns| begun_ns.is_some_and(|begun_ns| begun_ns < at_ns))
    }

    pub(super) fn next_timeout(&self) -> Option<u64> {
        let job = self.job.as_ref().map(|job| job.until_ns);
        let retry = self.retry_ns.filter(|_| self.job.is_none());
        let look = self
            .look
            .asked_ns
            .map(|at_ns| at_ns.saturating_add(LOOK_NS));
        let again = self.unanswered.again_ns;
        let times = [job, retry, look, again, self.blamed_until_ns];
        times.into_iter().flatten().min()
    }

    pub(super) fn role_word(&self) -> String {
        self.role
            .map_or_else(|| "unknown".to_owned(), |role| role.to_string())
    }

    pub(super) fn set_status(&mut self, now_ns: u64, status: Status) {
        if self.status.as_ref() != Some(&status) {
            self.changed_ns = now_ns;
            self.status = Some(status);
        }
    }

    fn succeed(&mut self, now_ns: u64, reached: bool) {
        if !reached {
            return;
        }
        self.done = true;
        self.open = self.bounce;
        if self.goal != Goal::Running {
            self.in_a_row = 0;
        }
        self.recover(now_ns);
    }

    pub(super) fn recover(&mut self, now_ns: u64) {
        if !self.unsteady && self.fault.take().is_some() {
            let text = match self.goal {
                Goal::Running => format!("{} runs again", self.spec.name),
                Goal::Stopped => format!("{} has stopped now", self.spec.name),
                _ => format!("{} is as it should be again", self.spec.name),
            };
            self.tell(now_ns, Topic::Recovered, text);
        }
    }

    /// Counts a failure, unless the goal of the job has changed.
    fn fail_for(&mut self, now_ns: u64, deed: &Deed, why: &str, wanted: bool) {
        if !wanted {
            return;
        }
        let first = self.fault.is_none();
        let wait_ns = self.fail(now_ns, format!("{}: {why}", deed.word()));
        if first {
            let name = &self.spec.name;
            let wait = format_duration(std::time::Duration::from_nanos(wait_ns));
            let again = match deed {
                Deed::Task(_) | Deed::Bounce => String::new(),
                _ => format!("; again in {wait}"),
            };
            let text = format!("{name}: {} failed: {why}{again}", deed.word());
            self.tell(now_ns, Topic::Failed, text);
        }
    }

    /// Counts a failure; returns the time in ns until the next try.
    pub(super) fn fail(&mut self, now_ns: u64, why: String) -> u64 {
        let wait_ns = 2u64
            .checked_shl(self.in_a_row)
            .map_or(BACKOFF_MAX_NS, |seconds| seconds.saturating_mul(S))
            .min(BACKOFF_MAX_NS);
        self.failures = self.failures.saturating_add(1);
        self.in_a_row = self.in_a_row.saturating_add(1).min(32);
        self.retry_ns = Some(now_ns.saturating_add(wait_ns));
        self.last_fault = Some(why.clone());
        self.fault = Some(why);
        self.open = false;
        wait_ns
    }

    pub(super) fn tell(&mut self, now_ns: u64, topic: Topic, text: String) {
        let text = self.tellings.tell(now_ns, topic, text);
        self.events.extend(text);
    }
}
