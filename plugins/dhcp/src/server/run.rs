//! Thread of one server: it sleeps until a file changes or the engine sends a command.

mod channel;
mod due;
mod presence;
mod setup;
mod told;

use std::collections::{BTreeSet, VecDeque};
use std::mem;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use crate::config;
use crate::lease::{Change, Key, Set};

use due::{Due, take_due};
use presence::Presence;
use told::Told;

use super::echo::Echoes;
use super::hang::Process;
use super::server_files::{ServerFiles, places};
use super::tail::{FileChanges, Look};
use super::watch::FileEvents;
use super::{Command, Event, Stamp, Unread};

pub use channel::Channel;

/// Interval between retries.
const RETRY: Duration = Duration::from_secs(3);
/// Interval between readings of the server's configuration without a reason. Some changes are not heard of: of what a
/// symbolic link leads to, or in a folder whose own folder was not there.
const READ_AGAIN: Duration = Duration::from_secs(60);
/// Time for which no process must write the file before the server counts as ended: Kea's cleaning
/// closes one file before it opens the next.
const ENDED: Duration = Duration::from_millis(50);
/// Time after a close event within which the kernel completes the close.
const CLOSED: Duration = Duration::from_millis(500);
/// Pause after a look at a rewritten file, as a multiple of the look's duration, since each reads
/// the whole file.
const REST: u32 = 4;

pub struct Thread {
    settings: config::Server,
    channel: Channel,
    /// Open files of the server; None if its configuration or folder cannot be read.
    files: Option<ServerFiles>,
    /// The watched folder has gone.
    is_unwatched: bool,
    server: Presence,
    process: Process,
    told: Told,
    echoes: Echoes,
    job: Option<Job>,
    due: Due,
    /// Time before which no further look is made.
    rest_until: Instant,
}

/// A command `Apply` in progress.
struct Job {
    serial: u64,
    changes: VecDeque<Change>,
    refused: Vec<(Key, String)>,
}

impl Thread {
    pub fn new(settings: config::Server, channel: Channel) -> Self {
        Self {
            process: Process::new(&settings),
            settings,
            channel,
            files: None,
            is_unwatched: false,
            server: Presence::default(),
            told: Told::default(),
            echoes: Echoes::default(),
            job: None,
            due: Due::default(),
            rest_until: Instant::now(),
        }
    }

    pub fn run(mut self) {
        self.open();
        while !self.channel.is_ended() {
            if self.channel.is_clock_set() {
                self.emit(Event::ClockSet);
            }
            self.handle_files();
            self.handle_due(Instant::now());
            self.work();
            while self.job.is_none() && !self.channel.is_ended() {
                match self.channel.poll_command() {
                    Some(command) => self.handle_command(command),
                    None => break,
                }
            }
            self.wait();
        }
    }

    fn wait(&self) {
        let now = Instant::now();
        let left = match (&self.job, self.due.first()) {
            (Some(_), _) => Some(Duration::ZERO),
            (None, first) => first.map(|first| first.saturating_duration_since(now)),
        };
        let watched = self.files.as_ref().map(|files| files.watch.as_fd());
        self.channel.wait(watched, left);
    }

    fn handle_files(&mut self) {
        let Some(files) = &mut self.files else {
            return;
        };
        let seen = files.watch.read();
        if seen == FileEvents::default() {
            return;
        }
        if seen.config {
            self.tell_setup();
        }
        if seen.lost || (seen.config && self.has_moved()) {
            return self.open();
        }
        if seen.identity {
            self.tell_identity();
        }
        let now = Instant::now();
        if seen.written {
            let replaced = seen.moved_in > 0 || seen.created > 1;
            if now < self.rest_until && !replaced {
                self.due.look_at(self.rest_until, false);
            } else {
                self.look(replaced, false);
            }
        }
        if seen.opened || seen.closed {
            self.see_server(false);
        }
        if seen.closed && self.server.runs == Some(true) {
            self.due.server = Some(now + ENDED);
            self.due.server_late = Some(now + CLOSED);
        }
    }

    fn handle_due(&mut self, now: Instant) {
        if take_due(&mut self.due.open, now) {
            self.try_again();
        }
        if take_due(&mut self.due.setup, now) {
            self.read_setup();
        }
        if take_due(&mut self.due.look, now) {
            let is_quiet = mem::take(&mut self.due.is_quiet);
            self.look(false, is_quiet);
        }
        let late = take_due(&mut self.due.server_late, now);
        if take_due(&mut self.due.server, now) || late {
            self.see_server(true);
        }
        if take_due(&mut self.due.probe, now) {
            self.probe();
        }
        if take_due(&mut self.due.hang, now) {
            self.look_at_process();
        }
    }

    fn handle_command(&mut self, command: Command) {
        match command {
            Command::Read { serial } => {
                self.look(false, false);
                self.see_server(true);
                let result = self.told.fault().cloned().map_or(Ok(()), Err);
                self.done(serial, result, Vec::new());
            }
            Command::Probe { serial, leases } => {
                // files that cannot be opened are reported as a fault
                let files = self.files.as_ref();
                let result = files.map_or(Ok(()), |files| files.probe(leases));
                self.done(serial, result, Vec::new());
            }
            Command::Replace { serial, set } => {
                let result = self.replace(&set);
                self.done(serial, result, Vec::new());
            }
            Command::Apply { serial, changes } => {
                let mut changes = last_of_each(changes);
                if let Some(files) = &self.files {
                    let taken = changes.into_iter().map(|it| files.control.as_taken(it));
                    changes = taken.collect();
                }
                self.echoes.expect(&changes, Instant::now());
                self.job = Some(Job {
                    serial,
                    changes: changes.into(),
                    refused: Vec::new(),
                });
            }
            Command::Silence { serial, silent } => {
                self.server.silent = silent;
                let result = self.silence();
                self.done(serial, result, Vec::new());
            }
        }
    }

    /// Finds the server's places again, and reads everything that was not read.
    fn open(&mut self) {
        self.tell_setup();
        if self.is_ahead() {
            self.look(false, false);
            self.see_server(true);
            self.due.open.get_or_insert(Instant::now() + RETRY);
            return;
        }
        self.due = Due {
            setup: Some(Instant::now() + READ_AGAIN),
            ..Due::default()
        };
        let mut before = self.files.take();
        match ServerFiles::open(&self.settings, self.channel.end(), &mut before) {
            Ok(files) => {
                let leases = files.places.leases.clone();
                self.files = Some(files);
                self.is_unwatched = false;
                // the new watch has no part of the configuration yet
                self.tell_setup();
                self.emit(Event::Place(Some(leases)));
                self.server.runs = None;
                self.look(false, false);
                self.see_server(true);
            }
            // the folder has gone, and the server continues in its file
            Err(_) if before.as_ref().is_some_and(ServerFiles::is_still_written) => {
                self.files = before;
                self.look(false, false);
                self.see_server(true);
                self.is_unwatched = true;
                self.due.open = Some(Instant::now() + RETRY);
            }
            Err(why) => {
                if places(&self.settings).is_err() {
                    self.emit(Event::Place(None));
                }
                let event = self.told.handle_unnamed_file(false);
                self.emit_if(event);
                self.fail(why);
            }
        }
    }

    /// Retries after a fault. If the file has gone, its server may still have it.
    fn try_again(&mut self) {
        if self.files.is_none() || self.is_unwatched || self.has_moved() {
            return self.open();
        }
        self.look(false, false);
        self.see_server(true);
    }

    /// Returns true if the server's configuration names other places than the open ones.
    fn has_moved(&self) -> bool {
        let open = self.files.as_ref().map(|files| &files.places);
        // a configuration that is being edited may be unreadable
        places(&self.settings).is_ok_and(|places| Some(&places) != open)
    }

    /// Returns true if the server's configuration names a file that the server will use after its
    /// next start.
    fn is_ahead(&self) -> bool {
        let Some(files) = &self.files else {
            return false;
        };
        let places = places(&self.settings);
        places.is_ok_and(|places| places.leases != files.places.leases) && files.is_still_written()
    }

    fn look(&mut self, replaced: bool, quiet: bool) {
        let Some(files) = &mut self.files else {
            return;
        };
        let began = Instant::now();
        self.due.look = None;
        // a write in the meantime gives another stamp
        let stamp = Stamp::of(&files.places.leases);
        let looked = files.tail.look(Look {
            replaced,
            // or it is unknown
            writer: self.server.runs != Some(false),
            quiet,
        });
        let now = Instant::now();
        if !files.format.is_journal() {
            self.rest_until = now + now.duration_since(began) * REST;
        }
        match looked {
            Ok(news) => {
                files.control.note(files.tail.known());
                if let Some(after) = news.again {
                    self.due.look_at(now + after, true);
                }
                self.recover();
                self.report_unnamed_file();
                self.tell_stamp(stamp);
                self.tell(news);
            }
            Err(why) => {
                self.report_unnamed_file();
                self.fail(why);
            }
        }
    }

    /// Reports whether the server continues in a file that has lost its name, and watches that file
    /// itself.
    fn report_unnamed_file(&mut self) {
        let Some(files) = &mut self.files else {
            return;
        };
        match files.watch_unnamed_file() {
            // data written until now
            Ok(true) => self.due.look_at(Instant::now(), false),
            Ok(false) => {}
            Err(why) => return self.fail(why),
        }
        let has_unnamed_file = files.tail.unnamed_file().is_some();
        let event = self.told.handle_unnamed_file(has_unnamed_file);
        self.emit_if(event);
    }

    fn tell_stamp(&mut self, stamp: Option<Stamp>) {
        let event = self.told.handle_stamp(stamp);
        self.emit_if(event);
    }

    fn tell_unread(&mut self, unread: Unread) {
        let event = self.told.handle_unread(unread);
        self.emit_if(event);
    }

    fn tell(&mut self, news: FileChanges) {
        if let Some(unread) = news.unread {
            self.tell_unread(unread);
        }
        if let Some((mut set, broken)) = news.whole {
            set.identity = self.read_identity().or(set.identity);
            self.told.note_identity(set.identity.clone());
            return self.emit(Event::Reading { set, broken });
        }
        let now = Instant::now();
        let mut changes = news.changes;
        changes.retain(|change| !self.echoes.is_echo(change, now));
        if !changes.is_empty() {
            self.emit(Event::Changes(changes));
        }
        let event = self.told.handle_identity(news.identity);
        self.emit_if(event);
    }

    fn tell_identity(&mut self) {
        let identity = self.read_identity();
        let event = self.told.handle_identity(identity);
        self.emit_if(event);
    }

    fn read_identity(&self) -> Option<Vec<u8>> {
        let read = self.files.as_ref()?.identity();
        read.unwrap_or_else(|why| {
            log::warn!("{}: {why}", self.settings.name);
            None
        })
    }

    fn replace(&mut self, set: &Set) -> Result<(), String> {
        // unreported leases must not be overwritten
        self.look(false, false);
        let Some(files) = &mut self.files else {
            return Err(self.told.fault().cloned().unwrap_or_default());
        };
        files.replace(set)?;
        let stamp = Stamp::of(&files.places.leases);
        self.tell_stamp(stamp);
        self.tell_unread(Unread::default());
        if set.identity.is_some() {
            self.told.note_identity(set.identity.clone());
        }
        self.recover();
        self.see_server(true);
        Ok(())
    }

    /// Continues an `Apply` for a while.
    fn work(&mut self) {
        let Some(mut job) = self.job.take() else {
            return;
        };
        let refused_before = job.refused.len();
        let result = match &mut self.files {
            _ if job.changes.is_empty() => Ok(()),
            Some(files) if self.server.runs == Some(true) => {
                let known = files.tail.known();
                files
                    .control
                    .apply(known, &mut job.changes, &mut job.refused)
            }
            _ => Err("the server does not run".to_owned()),
        };
        for (key, _) in job.refused.iter().skip(refused_before) {
            self.echoes.forget(*key);
        }
        if result.is_ok() && !job.changes.is_empty() {
            self.job = Some(job);
            return;
        }
        // before an echo could be mistaken for one of the next command
        self.look(false, false);
        self.done(job.serial, result, job.refused);
    }

    fn fail(&mut self, why: String) {
        self.due.open = Some(Instant::now() + RETRY);
        let event = self.told.handle_fault(Some(why));
        self.emit_if(event);
    }

    fn recover(&mut self) {
        if let Some(event) = self.told.handle_fault(None) {
            self.due.open = None;
            self.emit(event);
        }
    }

    fn done(&mut self, serial: u64, result: Result<(), String>, refused: Vec<(Key, String)>) {
        self.emit(Event::Done {
            serial,
            result,
            refused,
        });
    }

    fn emit_if(&self, event: Option<Event>) {
        if let Some(event) = event {
            self.emit(event);
        }
    }

    fn emit(&self, event: Event) {
        self.channel.emit(event);
    }
}

/// Returns the last change of each key, in the order of these changes.
fn last_of_each(changes: Vec<Change>) -> Vec<Change> {
    let mut seen = BTreeSet::new();
    let last = changes
        .into_iter()
        .rev()
        .filter(|change| seen.insert(change.key()));
    let mut last: Vec<Change> = last.collect();
    last.reverse();
    last
}
