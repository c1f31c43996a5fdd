//! The reload of a configuration: everything is checked before anything changes, and only differences are applied.
//!
//! [`Reload::request`] and the `handle_*` methods feed [`Reload`]; they get the state of the host as [`InForce`].
//! [`Reload::poll_step`] returns what to do, in order. Checks run in short-lived workers while the host continues, so
//! that no advert waits for a reload. Requests that arrive meanwhile are served by one more reload, which reads the
//! newest files. No input or output, and no clock.

mod changes;
mod confirm;
mod in_force;
mod lost;
mod plan;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use crate::{Fault, Host, Plugin, Setup};
use spared_message::control::{Answer, ErrorCode};
use spared_message::notice::{Kind, Notice};

use confirm::Confirmation;
pub use in_force::{ActiveGroup, InForce, KnownPlugin};
use plan::Plan;

/// Maximum wait for the plugins to answer and to start.
pub(crate) const APPLY_TIMEOUT: Duration = Duration::from_secs(10);

/// Action of a reload.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Keep the files in force, so that they can come back; [`Reload::handle_kept`] follows. Within a term, which a
    /// reload across restarts has, a start does not bring them back.
    Keep {
        /// The term; zero if there is none.
        term: Duration,
    },
    /// Read the files; [`Reload::handle_files`] gets them.
    Read,
    /// Read the files that were kept; [`Reload::handle_files`] gets them.
    ReadKept,
    /// Put the kept files back, which are in force but could not be put back before.
    PutBack,
    /// Keep the files from before no longer.
    Forget,
    /// Check a plugin's new file in a process of its own, with the new file of the host. [`Reload::handle_checked`]
    /// gets the faults.
    Check(Box<Plugin>, Box<Host>),
    /// Take the new configuration: from here on it is in force for the host.
    Take(Box<Setup>),
    /// Give the link the configuration in force.
    ConfigureLink,
    /// Start a plugin, or list it if it is disabled.
    Add(Box<Plugin>),
    /// Store the new file of a plugin. Another step gives it to the plugin.
    Set(Box<Plugin>),
    /// Give a plugin its new file; [`Reload::handle_taken`] or [`Reload::handle_refused`] follows.
    Reconfigure(String),
    /// Kill the worker of a plugin and start it again.
    Restart(String),
    /// Stop a plugin; [`Reload::handle_stopped`] follows.
    Stop(String),
    /// Forget a plugin.
    Remove(String),
    Tell(Notice),
    /// End the reload; its answers follow.
    End,
    Answer(u64, Answer),
}

/// The reload in progress with its steps, and the request for the next one.
#[derive(Debug, Default)]
pub struct Reload {
    stage: Stage,
    request: ReloadRequest,
    /// Requests that arrived after the files were read.
    next: Option<ReloadRequest>,
    steps: VecDeque<Step>,
    confirmation: Confirmation,
    /// Clients that wait until the configuration is taken back.
    back: Vec<u64>,
    /// Next attempt to put files back that are kept although nothing waits for a confirmation.
    keeps: Option<Instant>,
}

/// Clients that wait for a reload.
#[derive(Debug, Default)]
struct ReloadRequest {
    clients: Vec<u64>,
    /// True if one of them wants the reload even if an active group loses addresses.
    anyway: bool,
}

impl ReloadRequest {
    fn join(&mut self, client: Option<u64>, anyway: bool) {
        self.clients.extend(client);
        self.anyway |= anyway;
    }
}

#[derive(Debug, Default)]
enum Stage {
    #[default]
    Idle,
    /// Waits for the files to be read.
    Reading,
    Checking {
        setup: Box<Setup>,
        waiting: BTreeSet<String>,
        faults: Vec<Fault>,
    },
    Applying(Applying),
}

#[derive(Debug)]
struct Applying {
    /// Plugins whose `configure` or `stop` has not returned.
    waiting: BTreeSet<String>,
    /// Plugins that were started and should run at the end, each with the text of the answer for it.
    started: Vec<(String, &'static str)>,
    lines: Vec<String>,
    faults: Vec<String>,
    /// Plugins that refused their new files.
    refused: Vec<String>,
    /// Line about the confirmation that is waited for.
    unconfirmed: Option<String>,
    digest: String,
    until: Instant,
}

impl Reload {
    /// Requests a reload, for a signal or for a client that waits for the result.
    pub fn request(&mut self, client: Option<u64>, anyway: bool) {
        if let Some(why) = self.objection() {
            return self.refuse_request(client, why);
        }
        match self.stage {
            Stage::Idle => {
                self.request.join(client, anyway);
                self.begin();
            }
            Stage::Reading => self.request.join(client, anyway),
            Stage::Checking { .. } | Stage::Applying(_) => {
                self.next.get_or_insert_default().join(client, anyway);
            }
        }
    }

    /// Returns true if no reload is in progress.
    pub fn is_idle(&self) -> bool {
        matches!(self.stage, Stage::Idle) && self.steps.is_empty()
    }

    pub fn poll_step(&mut self) -> Option<Step> {
        self.steps.pop_front()
    }

    /// Time after which plugins that have not answered are no longer waited for, or a configuration is taken back.
    pub fn next_timeout(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Applying(applying) => Some(applying.until),
            Stage::Idle => self.confirmation_due().or(self.keeps),
            Stage::Reading | Stage::Checking { .. } => None,
        }
    }

    fn begin(&mut self) {
        self.stage = Stage::Reading;
        self.steps.push_back(Step::Read);
    }

    // ---- the check

    /// Handles the files that were read: checks the plugins that would run with something new.
    pub fn handle_files(
        &mut self,
        now: Instant,
        files: Result<Setup, Vec<Fault>>,
        in_force: &InForce<'_>,
    ) {
        let setup = match files {
            Ok(setup) => setup,
            Err(faults) => return self.refuse_faults(&faults),
        };
        let faults = setup.faults();
        let checked = in_force.to_check(&setup);
        let waiting = checked.iter().map(|plugin| plugin.name.clone()).collect();
        for plugin in checked {
            let host = Box::new(setup.host.clone());
            self.steps.push_back(Step::Check(Box::new(plugin), host));
        }
        self.stage = Stage::Checking {
            setup: Box::new(setup),
            waiting,
            faults,
        };
        self.end_checking(now, in_force);
    }

    /// Handles the faults that the check of a plugin has found.
    pub fn handle_checked(
        &mut self,
        now: Instant,
        plugin: &str,
        found: Vec<Fault>,
        in_force: &InForce<'_>,
    ) {
        if let Stage::Checking {
            waiting, faults, ..
        } = &mut self.stage
        {
            waiting.remove(plugin);
            faults.extend(found);
            self.end_checking(now, in_force);
        }
    }

    fn end_checking(&mut self, now: Instant, in_force: &InForce<'_>) {
        if !matches!(&self.stage, Stage::Checking { waiting, .. } if waiting.is_empty()) {
            return;
        }
        let Stage::Checking { setup, faults, .. } = std::mem::take(&mut self.stage) else {
            return;
        };
        if !faults.is_empty() {
            return self.refuse_faults(&faults);
        }
        let lost = in_force.lost_addresses(&setup);
        if lost.is_empty() || self.request.anyway {
            self.apply(now, setup, in_force)
        } else {
            self.refuse_loss(lost)
        }
    }

    fn refuse_faults(&mut self, faults: &[Fault]) {
        let mut lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
        for line in &lines {
            log::error!("{line}");
        }
        let count = match lines.len() {
            1 => "1 fault".to_owned(),
            count => format!("{count} faults"),
        };
        self.tell_refused(&count, &lines);
        lines.extend(self.another_attempt());
        let code = ErrorCode::Config;
        self.end(&Answer::Error { code, lines });
    }

    fn refuse_loss(&mut self, mut lines: Vec<String>) {
        self.tell_refused("an active group would be left, or lose addresses", &lines);
        lines.push("use --anyway to override".to_owned());
        let code = ErrorCode::Refused;
        self.end(&Answer::Error { code, lines });
    }

    fn tell_refused(&mut self, why: &str, lines: &[String]) {
        let lines = lines.join("; ");
        let text = format!("reload refused, {why}: nothing changed. {lines}");
        let notice = Notice::warn(Kind::Reload, text).because("refused");
        self.steps.push_back(Step::Tell(notice));
    }

    // ---- the change

    fn apply(&mut self, now: Instant, setup: Box<Setup>, in_force: &InForce<'_>) {
        let plan = Plan::new(in_force, &setup);
        let is_same = setup.digest == in_force.setup.digest;
        let digest = setup.digest.clone();
        self.steps.push_back(Step::Take(setup));
        let unconfirmed = self.note_applied(now, is_same);
        self.stage = Stage::Applying(Applying {
            waiting: plan.waiting,
            started: plan.started,
            lines: plan.lines,
            faults: Vec::new(),
            refused: Vec::new(),
            unconfirmed,
            digest,
            until: now + APPLY_TIMEOUT,
        });
        self.steps.extend(plan.steps);
    }

    /// Handles a plugin that took its new file, or that needs a restart for it.
    pub fn handle_taken(&mut self, plugin: &str, needs_restart: bool) {
        if needs_restart {
            // The plugin is stopped first, so that an elector resigns instead of falling silent.
            self.note(format!("{plugin}: restarted for its new configuration"));
            return self.steps.push_back(Step::Stop(plugin.to_owned()));
        }
        self.note(format!("{plugin}: new configuration in force"));
        self.no_longer_wait_for(plugin);
    }

    /// Handles an event that a plugin reports while it takes its new file: the event becomes a line of the answer.
    pub fn handle_said(&mut self, plugin: &str, text: &str) {
        if let Stage::Applying(applying) = &mut self.stage {
            if applying.waiting.contains(plugin) {
                applying.lines.push(format!("{plugin}: {text}"));
            }
        }
    }

    /// Handles a plugin that refused its new file, although the check found no fault.
    pub fn handle_refused(&mut self, plugin: &str, faults: Vec<String>) {
        for line in &faults {
            log::error!("{line}");
        }
        if let Stage::Applying(applying) = &mut self.stage {
            applying.faults.extend(faults);
            applying.refused.push(plugin.to_owned());
        }
        self.no_longer_wait_for(plugin);
    }

    /// Handles a plugin that ended before it had taken its new file, with the reason. It starts again with that file.
    pub fn handle_ended(&mut self, plugin: &str, why: &str) {
        if let Stage::Applying(applying) = &mut self.stage {
            if applying.waiting.remove(plugin) {
                let line = format!("{why}: it is started again with its new file");
                log::error!("{line}");
                applying.faults.push(line);
            }
        }
    }

    /// Handles a plugin that has stopped, to be removed or to be restarted with its new configuration. `configured` is
    /// the plugin's file, if there is one.
    pub fn handle_stopped(&mut self, plugin: &str, configured: Option<&Plugin>) {
        let name = plugin.to_owned();
        match configured {
            Some(it) if it.enabled => self.steps.push_back(Step::Restart(name)),
            left => {
                self.note(format!("{plugin}: stopped"));
                self.steps.push_back(Step::Remove(name));
                let disabled = left.map(|it| Step::Add(Box::new(it.clone())));
                self.steps.extend(disabled);
            }
        }
        self.no_longer_wait_for(plugin);
    }

    /// Returns true if all plugins have answered and started, or their time is over. `is_settled`: no start is in
    /// progress.
    pub fn is_over(&self, now: Instant, is_settled: bool) -> bool {
        match &self.stage {
            Stage::Applying(it) => now >= it.until || it.waiting.is_empty() && is_settled,
            _ => false,
        }
    }

    /// Ends a reload that is over.
    pub fn handle_over(&mut self, in_force: &InForce<'_>) {
        let Stage::Applying(applying) = std::mem::take(&mut self.stage) else {
            return;
        };
        let text = format!("reloaded, configuration {}", applying.digest);
        let answer = applying.answer(in_force);
        let notice = match &answer {
            Answer::Error { lines, .. } => {
                let why = lines.join("; ");
                Notice::warn(Kind::Reload, format!("reloaded with faults: {why}"))
            }
            _ => Notice::new(Kind::Reload, text),
        };
        self.steps.push_back(Step::Tell(notice.because("reloaded")));
        self.end(&answer);
    }

    fn end(&mut self, answer: &Answer) {
        self.stage = Stage::Idle;
        self.note_ended();
        self.steps.push_back(Step::End);
        for client in std::mem::take(&mut self.request).clients {
            self.steps.push_back(Step::Answer(client, answer.clone()));
        }
        if let Some(next) = self.next.take() {
            self.request = next;
            self.begin();
        }
    }

    fn note(&mut self, line: String) {
        if let Stage::Applying(applying) = &mut self.stage {
            applying.lines.push(line);
        }
    }

    fn no_longer_wait_for(&mut self, plugin: &str) {
        if let Stage::Applying(applying) = &mut self.stage {
            applying.waiting.remove(plugin);
        }
    }
}

impl Applying {
    fn answer(mut self, in_force: &InForce<'_>) -> Answer {
        let silent = self.waiting.iter();
        let silent = silent.map(|name| {
            format!("{name}: does not answer: its part of the configuration may not be in force")
        });
        self.faults.extend(silent);
        for (name, said) in &self.started {
            match in_force.plugins.get(name) {
                Some(known) if known.is_running => self.lines.push(format!("{name}: {said}")),
                Some(known) => self.faults.push(known.why.clone()),
                None => self.faults.push(format!("{name} is not running yet")),
            }
        }
        if !self.faults.is_empty() {
            return self.partly();
        }
        let mut lines = self.lines;
        if lines.is_empty() {
            lines.push("nothing changed".to_owned());
        }
        lines.push(format!("reloaded, configuration {}", self.digest));
        lines.extend(self.unconfirmed);
        Answer::Done { lines }
    }

    /// Answer of a reload with faults: the faults, then which files are in force.
    fn partly(self) -> Answer {
        let Self {
            digest, waiting, ..
        } = &self;
        let not_in_force = self.refused.iter().map(|name| {
            format!("{name}.toml is not in force: {name} still runs with its previous file")
        });
        let not_in_force: Vec<String> = not_in_force.collect();
        let last = if not_in_force.is_empty() && waiting.is_empty() {
            format!("all files are in force, configuration {digest}")
        } else {
            format!("all other files are in force, configuration {digest}")
        };
        let mut lines = [self.faults, not_in_force, self.lines, vec![last]].concat();
        lines.extend(self.unconfirmed);
        Answer::Error {
            code: ErrorCode::Failed,
            lines,
        }
    }
}
