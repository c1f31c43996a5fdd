//! Makes the record of each second for the ring: state of the host, and totals of the elector.
//!
//! Once a second the elector is asked for `totals`, if it has that verb. This takes two small messages. The answer has
//! sums over its groups, and the faults that only the elector knows.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use spared_group::{Groups, name_of};
use spared_journal::ring::{SecondRecord, Writer};
use spared_message::control::LinkStatus;
use spared_message::query::{Answered, Unanswered};
use spared_process::clock;
use spared_requests::rows::{Details, split_rows};
use spared_supervisor::Supervisor;
use spared_verdict::SilentElector;

use super::view::NodeView;

const TOTALS: &str = "totals";
/// Time limit for the elector's answer.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
/// Time after which the elector's last answer is outdated.
const STALE: Duration = Duration::from_secs(5);

/// Answers of the elector that have arrived.
#[derive(Debug, Default)]
pub struct ElectorAnswers {
    /// Name of the elector, and the time of its latest answer: for computing, and as readable text.
    last: Option<(String, Instant, String)>,
}

impl ElectorAnswers {
    /// Notes an answer, or the first request to an elector.
    fn note(&mut self, now: Instant, plugin: &str) {
        self.last = Some((plugin.to_owned(), now, clock::now()));
    }

    fn begin(&mut self, now: Instant, plugin: &str) {
        if self.last.as_ref().is_none_or(|(name, ..)| name != plugin) {
            self.note(now, plugin);
        }
    }

    /// Returns the elector, if it has not answered for too long.
    pub fn silent(&self, now: Instant) -> Option<SilentElector> {
        let (plugin, at, since) = self.last.as_ref()?;
        let is_silent = now.saturating_duration_since(*at) > STALE;
        is_silent.then(|| SilentElector {
            plugin: plugin.clone(),
            since: since.clone(),
        })
    }
}

/// Writes the records, and keeps the one that waits for the elector.
#[derive(Debug)]
pub struct Recorder {
    writer: Writer,
    /// Id of the pending request, name of the elector, and the record that waits for the answer.
    pending: Option<(u64, String, SecondRecord)>,
    answers: ElectorAnswers,
    /// Faults that only the elector knows, by group, as of its last answer.
    faults: BTreeMap<String, Details>,
    longest: Duration,
    turns: u64,
}

impl Recorder {
    pub fn new(writer: Writer) -> Self {
        Self {
            writer,
            pending: None,
            answers: ElectorAnswers::default(),
            faults: BTreeMap::new(),
            longest: Duration::ZERO,
            turns: 0,
        }
    }

    /// Counts a turn of the loop and its duration.
    pub fn note_turn(&mut self, took: Duration) {
        self.longest = self.longest.max(took);
        self.turns += 1;
    }

    pub fn awaits(&self, id: u64) -> bool {
        self.pending
            .as_ref()
            .is_some_and(|(asked, ..)| *asked == id)
    }

    // Writes the record without the elector's answer, which did not arrive within the second.
    fn give_up(&mut self) {
        if let Some((_, plugin, mut second)) = self.pending.take() {
            second.elector_silent = format!("{plugin} does not answer");
            self.writer.write(&second);
        }
    }

    /// Returns the elector, if it has not answered for too long.
    pub fn silent(&self, now: Instant) -> Option<SilentElector> {
        self.answers.silent(now)
    }

    /// Returns the faults of a group that only the elector knows, as of its last answer.
    pub fn faults_of(&self, group: &str) -> Option<&Details> {
        self.faults.get(group)
    }

    /// Handles the elector's answer: sums for the record, and the faults of its groups.
    pub fn handle_totals(
        &mut self,
        now: Instant,
        groups: &Groups,
        result: Result<Answered, Unanswered>,
    ) {
        let Some((_, plugin, mut second)) = self.pending.take() else {
            return;
        };
        match result {
            Ok(answered) => {
                let mut faults = BTreeMap::new();
                second.elector = split_rows(groups, &plugin, answered.rows, &mut faults);
                self.faults = faults;
                self.answers.note(now, &plugin);
            }
            Err(unanswered) => second.elector_silent = unanswered.why,
        }
        self.writer.write(&second);
    }

    /// Records a second. If there is an elector, the record is written when it has answered the query with this number.
    pub fn record(&mut self, now: Instant, mut second: SecondRecord, query: Option<(u64, String)>) {
        self.give_up();
        second.longest_us = micros(std::mem::take(&mut self.longest));
        second.turns = std::mem::take(&mut self.turns);
        let Some((id, plugin)) = query else {
            self.faults.clear();
            self.answers = ElectorAnswers::default();
            return self.writer.write(&second);
        };
        self.answers.begin(now, &plugin);
        if self.answers.silent(now).is_some() {
            self.faults.clear();
        }
        self.pending = Some((id, plugin, second));
    }
}

/// Returns the query for the totals of an elector.
pub fn totals() -> Vec<String> {
    vec![TOTALS.to_owned()]
}

/// Returns the elector that can be asked for its totals.
pub fn elector(supervisor: &Supervisor) -> Option<String> {
    let totals = totals();
    let mut names = supervisor.names().into_iter();
    names.find(|name| {
        let descriptor = supervisor.descriptor(name);
        supervisor.is_running(name)
            && descriptor.is_some_and(|it| it.provides_groups && it.verb(&totals).is_some())
    })
}

/// Returns the state of the host in a second, without the recorder's own counters.
pub fn second(view: NodeView<'_>, late: Duration) -> SecondRecord {
    let quality = view.pair.quality();
    let links = view.link.status().into_iter();
    let mut second = SecondRecord {
        at: clock::now_ms(),
        pid: std::process::id(),
        late_us: micros(late),
        lapsed: view.network.lapsed().cloned().collect(),
        quality: quality.number(),
        failing: quality.failing(),
        links: links.map(link_state).collect(),
        ..SecondRecord::default()
    };
    let groups = view.groups.iter();
    let roles: Vec<_> = groups.map(|(name, it)| (name, name_of(it.role))).collect();
    second.set_groups(&roles);
    second
}

fn link_state(link: LinkStatus) -> (String, String) {
    let state = match link.round_trip_ms {
        Some(ms) if link.state == "up" => format!("up {ms:.1} ms"),
        _ => link.state,
    };
    (link.interface, state)
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_elector_that_does_not_answer_for_long_is_silent_until_it_answers_or_another_is_asked() {
        let (start, mut answers) = (Instant::now(), ElectorAnswers::default());
        assert_eq!(answers.silent(start), None, "there is none");
        answers.begin(start, "vrrp");
        answers.begin(start + STALE, "vrrp");
        assert_eq!(answers.silent(start + STALE), None);
        let late = start + STALE * 2;
        assert_eq!(answers.silent(late).unwrap_or_default().plugin, "vrrp");
        answers.begin(late, "vrrp");
        assert!(answers.silent(late).is_some(), "a question is no answer");
        answers.note(late, "vrrp");
        assert_eq!(answers.silent(late), None);
        answers.begin(late + STALE * 2, "other");
        assert_eq!(answers.silent(late + STALE * 2), None);
    }
}
