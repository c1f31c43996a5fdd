//! The record of each second, for the ring: state of the host, and totals of the elector.
//!
//! The elector is asked `totals` once a second, if it has that verb: two small messages, sums over its
//! groups, and the faults that only the elector knows.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use spared_control::LinkStatus;
use spared_group::name_of;
use spared_pair::SilentElector;
use spared_process::clock;
use spared_requests::questions::{Answered, Unanswered};
use spared_requests::rows::split_rows;
use spared_ring::{Second, Writer};

use super::core::Core;

const TOTALS: &str = "totals";
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
/// Time after which the elector's last answer says nothing about the present.
const STALE: Duration = Duration::from_secs(5);

/// What is known of the elector's answers.
#[derive(Debug, Default)]
pub struct Answers {
    /// Name of the elector, and its latest answer: when, and by which clock people read.
    last: Option<(String, Instant, String)>,
}

impl Answers {
    /// Notes an answer, or that an elector is asked for the first time.
    fn note(&mut self, now: Instant, plugin: &str) {
        self.last = Some((plugin.to_owned(), now, clock::now()));
    }

    fn begin(&mut self, now: Instant, plugin: &str) {
        if self.last.as_ref().is_none_or(|(name, ..)| name != plugin) {
            self.note(now, plugin);
        }
    }

    /// The elector, if it has not answered for too long.
    pub fn silent(&self, now: Instant) -> Option<SilentElector> {
        let (plugin, at, since) = self.last.as_ref()?;
        let is_silent = now.saturating_duration_since(*at) > STALE;
        is_silent.then(|| SilentElector {
            plugin: plugin.clone(),
            since: since.clone(),
        })
    }
}

/// The record that is not written yet.
#[derive(Debug)]
pub struct Recorder {
    writer: Writer,
    /// Id of the question to the elector, the elector, and the record that waits for the answer.
    open: Option<(u64, String, Second)>,
    pub answers: Answers,
    longest: Duration,
    turns: u64,
}

impl Recorder {
    pub fn new(writer: Writer) -> Self {
        Self {
            writer,
            open: None,
            answers: Answers::default(),
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
        self.open.as_ref().is_some_and(|(asked, ..)| *asked == id)
    }

    // Writes the record without an answer, which did not come within the second.
    fn give_up(&mut self) {
        if let Some((_, plugin, mut second)) = self.open.take() {
            second.elector_silent = format!("{plugin} does not answer");
            self.writer.write(&second);
        }
    }

    fn take_turns(&mut self) -> (Duration, u64) {
        (
            std::mem::take(&mut self.longest),
            std::mem::take(&mut self.turns),
        )
    }
}

impl Core {
    /// Takes the elector's answer: sums for the record, and the faults of its groups.
    pub(super) fn handle_totals(&mut self, now: Instant, result: Result<Answered, Unanswered>) {
        let Some((_, plugin, mut second)) = self.recorder.open.take() else {
            return;
        };
        match result {
            Ok(answered) => {
                let mut faults = BTreeMap::new();
                second.elector = split_rows(&self.groups, &plugin, answered.rows, &mut faults);
                self.group_faults = faults;
                self.recorder.answers.note(now, &plugin);
            }
            Err(unanswered) => second.elector_silent = unanswered.why,
        }
        self.recorder.writer.write(&second);
    }

    pub(super) fn record(&mut self, now: Instant, late: Duration) {
        self.recorder.give_up();
        let second = self.second(late);
        match self.elector() {
            None => {
                self.group_faults.clear();
                self.recorder.answers = Answers::default();
                self.recorder.writer.write(&second);
            }
            Some(plugin) => {
                self.recorder.answers.begin(now, &plugin);
                if self.recorder.answers.silent(now).is_some() {
                    self.group_faults.clear();
                }
                let id = self.questions.next_number();
                self.recorder.open = Some((id, plugin.clone(), second));
                let words = vec![TOTALS.to_owned()];
                let until = now + ANSWER_TIMEOUT;
                self.supervisor.query(now, until, &plugin, words, id);
            }
        }
    }

    fn elector(&self) -> Option<String> {
        let totals = [TOTALS.to_owned()];
        let mut names = self.supervisor.names().into_iter();
        names.find(|name| {
            let descriptor = self.supervisor.descriptor(name);
            self.supervisor.is_running(name)
                && descriptor.is_some_and(|it| it.provides_groups && it.verb(&totals).is_some())
        })
    }

    fn second(&mut self, late: Duration) -> Second {
        let (longest, turns) = self.recorder.take_turns();
        let links = self.link_status().into_iter();
        let mut second = Second {
            at: clock::now_ms(),
            pid: std::process::id(),
            late_us: micros(late),
            longest_us: micros(longest),
            turns,
            lapsed: self.lapsed.keys().cloned().collect(),
            quality: self.quality.number(),
            failing: self.quality.failing(),
            links: links.map(link_state).collect(),
            ..Second::default()
        };
        let groups = self.groups.iter();
        let roles: Vec<_> = groups.map(|(name, it)| (name, name_of(it.role))).collect();
        second.set_groups(&roles);
        second
    }
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
        let (start, mut answers) = (Instant::now(), Answers::default());
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
