//! Test commands: they find out if a service would start, before it has to.
//!
//! The test of a file of nftables is `nft -c -f` with the file that the next role loads: on the active node that of the
//! backup, otherwise that of the active node.
//!
//! A test runs at the start, after a change of a file that it names or of the unit's file, and every ten minutes. A
//! test that fails runs more often, to notice the repair. One test runs at a time.

use std::path::Path;

use spared_sdk::Role;
use spared_sdk::config::format_duration;

use super::event_limiter::Topic;
use super::item::Item;
use super::{Action, Engine};
use crate::config::Kind;
use crate::job::Job;

const S: u64 = 1_000_000_000;
const AGAIN_NS: u64 = 600 * S;
const AGAIN_FAILED_NS: u64 = 15 * S;
const AFTER_ROLE_NS: u64 = 5 * S;

/// Object of a test.
enum TestTarget<'i> {
    Command(&'i [String]),
    /// File of nftables.
    Rules(&'i Path),
}

impl TestTarget<'_> {
    fn text(&self) -> String {
        match self {
            Self::Command(argv) => argv.join(" "),
            Self::Rules(file) => format!("nft -c -f {}", file.display()),
        }
    }

    fn job(&self) -> Job {
        match self {
            Self::Command(argv) => Job::Run {
                argv: argv.to_vec(),
                environment: Vec::new(),
                user: None,
            },
            Self::Rules(file) => Job::CheckRules {
                file: file.to_path_buf(),
            },
        }
    }
}

/// Test of one item.
#[derive(Debug, Default)]
pub(super) struct Test {
    run: Option<Run>,
    due_ns: u64,
    /// State of the files; None: not known yet.
    stamp: Option<u64>,
    fault: Option<String>,
    /// Object that was tested last, as text: another role has another file.
    target_text: String,
    /// Reason why a file that the item needs in another role cannot be used.
    pub(super) source_fault: Option<String>,
}

#[derive(Debug)]
struct Run {
    number: u64,
    until_ns: u64,
}

impl Engine {
    /// Handles the states of the files that the tests depend on, for each item by its name.
    pub fn handle_stamps(&mut self, now_ns: u64, stamps: &[(String, u64)]) {
        for (name, stamp) in stamps {
            if let Some(item) = self.items.iter_mut().find(|it| it.name() == name) {
                let before = item.test.stamp.replace(*stamp);
                if before.is_some_and(|before| before != *stamp) {
                    item.test.due_ns = now_ns;
                }
            }
        }
        self.step(now_ns);
    }

    /// Requests the states of the files.
    pub(super) fn look_at_files(&mut self) {
        let tested = self.items.iter().filter(|item| item.has_test());
        let items: Vec<_> = tested.map(Item::files).collect();
        if !items.is_empty() {
            self.actions.push_back(Action::Stamp(items));
        }
    }

    /// Begins the next test that is due.
    pub(super) fn begin_tests(&mut self, now_ns: u64) {
        if self.items.iter().any(|item| item.test.run.is_some()) {
            return;
        }
        let mut items = self.items.iter();
        let Some(at) = items.position(|item| item.is_test_due(now_ns)) else {
            return;
        };
        let number = self.next_number();
        let Some(item) = self.items.get_mut(at) else {
            return;
        };
        let until_ns = now_ns.saturating_add(item.spec.timeout_ns);
        let Some(tested) = item.tested() else {
            return;
        };
        let (job, words) = (tested.job(), tested.text());
        item.test.run = Some(Run { number, until_ns });
        item.test.target_text = words;
        self.actions.push_back(Action::Begin { number, job });
    }

    pub(super) fn next_test_ns(&self) -> Option<u64> {
        let mut runs = self.items.iter().filter_map(|it| it.test.run.as_ref());
        let items = || self.items.iter().filter(|item| item.may_be_tested());
        let due = || items().map(|item| item.test.due_ns).min();
        runs.next().map(|run| run.until_ns).or_else(due)
    }

    /// Handles the end of a job; true if the job was a test.
    pub(super) fn end_test(
        &mut self,
        now_ns: u64,
        number: u64,
        result: &Result<(), String>,
    ) -> bool {
        let is_it = |item: &&mut Item| {
            let run = item.test.run.as_ref();
            run.is_some_and(|run| run.number == number)
        };
        match self.items.iter_mut().find(is_it) {
            Some(item) => {
                item.end_test(now_ns, result);
                true
            }
            None => false,
        }
    }

    pub(super) fn end_late_tests(&mut self, now_ns: u64) {
        for item in &mut self.items {
            let is_late = |run: &&Run| now_ns >= run.until_ns;
            let Some(run) = item.test.run.as_ref().filter(is_late) else {
                continue;
            };
            let number = run.number;
            self.actions.push_back(Action::Cancel(number));
            let time = item.timeout();
            let why = format!("did not end within {}", format_duration(time));
            item.end_test(now_ns, &Err(why));
        }
    }
}

impl Item {
    pub(super) fn has_test(&self) -> bool {
        self.tested().is_some()
    }

    fn tested(&self) -> Option<TestTarget<'_>> {
        let Kind::Rules { files } = &self.spec.kind else {
            return Some(TestTarget::Command(&self.spec.test))
                .filter(|_| !self.spec.test.is_empty());
        };
        let role = self.membership.role()?;
        let next = match role {
            Role::Active => &files.backup,
            _ => &files.active,
        };
        let next = next.as_deref().filter(|_| next != files.of(role));
        next.map(TestTarget::Rules)
    }

    /// Fault of the test, with the command that shows it.
    pub(super) fn test_fault(&self) -> Option<String> {
        let (tested, why) = (self.tested()?, self.test.fault.as_ref()?);
        let words = tested.text();
        let what = match (tested, self.membership.role()) {
            (TestTarget::Rules(_), _) => "would not load in another role",
            (_, Some(Role::Active)) => "would not start again",
            _ => "would not start",
        };
        (self.test.target_text == words).then(|| format!("{what}: `{words}`: {why}"))
    }

    /// Makes the test due at once: the file has another test, or somebody declared it repaired.
    pub(super) fn test_now(&mut self) {
        self.test.due_ns = 0;
    }

    /// Plans the test after a role change: the next role's file is another one. The effects of the change come first.
    pub(super) fn test_after_role(&mut self, now_ns: u64) {
        if matches!(self.spec.kind, Kind::Rules { .. }) {
            self.test.due_ns = now_ns.saturating_add(AFTER_ROLE_NS);
        }
    }

    /// Number of the running test, if the service left the file.
    pub(super) fn test_number(&self) -> Option<u64> {
        self.test.run.as_ref().map(|run| run.number)
    }

    // True if the item may be tested: a start or stop shows its own faults, and must not be slowed down.
    fn may_be_tested(&self) -> bool {
        let is_quiet = !self.work.is_busy() && !self.pursuit.is_open();
        self.has_test() && self.membership.role().is_some() && is_quiet
    }

    fn is_test_due(&self, now_ns: u64) -> bool {
        self.may_be_tested() && now_ns >= self.test.due_ns
    }

    fn end_test(&mut self, now_ns: u64, result: &Result<(), String>) {
        self.test.run = None;
        let name = self.name().to_owned();
        let had_fault = self.test.fault.is_some();
        match result {
            Ok(()) => {
                self.test.fault = None;
                self.test.due_ns = now_ns.saturating_add(AGAIN_NS);
                if had_fault {
                    self.queue_event(
                        now_ns,
                        Topic::Tested,
                        format!("{name}: its test succeeds again"),
                    );
                }
            }
            Err(why) => {
                self.test.fault = Some(why.clone());
                self.test.due_ns = now_ns.saturating_add(AGAIN_FAILED_NS);
                if let (false, Some(fault)) = (had_fault, self.test_fault()) {
                    self.queue_event(now_ns, Topic::TestFailed, format!("{name} {fault}"));
                }
            }
        }
    }

    /// Files on which the state of its test depends: absolute paths of the command, the unit, files of rules.
    fn files(&self) -> (String, Vec<String>) {
        let words = self.spec.test.iter().filter(|word| word.starts_with('/'));
        let mut files: Vec<String> = words.cloned().collect();
        match &self.spec.kind {
            Kind::Service {
                target: crate::config::Target::Unit(unit),
                ..
            } => files.push(unit.clone()),
            Kind::Rules { files: rules } => {
                let rules = [&rules.active, &rules.backup].into_iter().flatten();
                files.extend(rules.map(|file| file.display().to_string()));
            }
            _ => {}
        }
        (self.name().to_owned(), files)
    }
}
