//! Alarms: tells people when a finding begins and when it is over, by programs, webhooks, mail and syslog.
//!
//! All I/O is in this file, `store.rs` and `send`; `engine` decides, `wire` has the messages to the peer plugin, `config`
//! the file. *spared-alarm*(5) is the manual of the keys.
#![forbid(unsafe_code)]

pub mod config;
pub mod engine;
pub mod finding;
pub mod notification;
mod rows;
pub mod send;
pub mod severity;
mod store;
pub mod wire;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use spared_sdk::config::Config;
use spared_sdk::{
    Answer, Applied, Engine as _, Error, Host, Io, PairStatus, Runner, Watched, nanoseconds,
};

use config::{Destination, Settings};
use engine::{Action, Engine};
use send::{Ended, Threads};

/// Maximum time for which the end of the plugin waits for threads.
const JOIN_WAIT: Duration = Duration::from_millis(500);

/// I/O of alarms: threads that send, and the file with the book.
pub struct Alarms {
    host: Host,
    threads: Threads,
    answers: Answers,
    /// File with the book; None if the plugin has no folder.
    book: Option<PathBuf>,
}

/// Answers to queries that wait for results.
#[derive(Default)]
struct Answers {
    last: u64,
    waiting: BTreeMap<u64, Answer>,
}

impl Answers {
    fn keep(&mut self, answer: &Answer) -> u64 {
        self.last += 1;
        self.waiting.insert(self.last, answer.later());
        self.last
    }

    fn take(&mut self, token: u64) -> Option<Answer> {
        self.waiting.remove(&token)
    }
}

impl Io for Alarms {
    type Settings = Settings;
    type Engine = Engine;

    fn read(config: &Config) -> Result<Settings, Error> {
        let settings = config::read(config).ok_or(Error::Config(Vec::new()))?;
        config::check_programs(config, &settings);
        Ok(settings)
    }

    fn start(host: Host, settings: &Settings) -> Result<(Self, Engine), Error> {
        let book = host.state_folder().map(|folder| folder.join(store::NAME));
        let saved = book.as_deref().map(store::load).unwrap_or_default();
        let mut engine = Engine::new(host.now(), settings.clone(), saved);
        engine.set_clock(host.now(), clock_ms());
        host.status().watch(Watched::STATUS)?;
        let alarms = Self {
            host,
            threads: Threads::default(),
            answers: Answers::default(),
            book,
        };
        Ok((alarms, engine))
    }

    fn configure(
        &mut self,
        engine: &mut Engine,
        now_ns: u64,
        old: &Settings,
        new: &Settings,
    ) -> Result<Applied, Error> {
        // a running worker never gets more rights to files
        if old.node != new.node || files(old) != files(new) {
            return Ok(Applied::Restart);
        }
        engine.configure(now_ns, new.clone());
        Ok(Applied::Live)
    }

    fn stop(mut self, _engine: Engine) {
        self.threads.end(JOIN_WAIT);
    }

    fn handle_timeout(&mut self, engine: &mut Engine, now_ns: u64) {
        engine.set_clock(now_ns, clock_ms());
        engine.handle_timeout(now_ns);
    }

    fn status(&mut self, engine: &mut Engine, now_ns: u64, status: &PairStatus) {
        engine.set_clock(now_ns, clock_ms());
        engine.handle_status(now_ns, status);
    }

    fn poll(&mut self, engine: &mut Engine, now_ns: u64) -> bool {
        match self.threads.poll() {
            Some(Ended::Sent(run, result)) => engine.handle_result(now_ns, run, result),
            Some(Ended::Saved(result)) => engine.handle_saved(result),
            None => return false,
        }
        true
    }

    fn perform(&mut self, engine: &mut Engine, now_ns: u64, action: Action) -> Result<(), Error> {
        let waker = self.host.waker();
        let wake = move || waker.wake();
        match action {
            Action::Send {
                run,
                recipient,
                notification,
            } => {
                let begun = self.threads.send(run, *recipient, *notification, wake);
                if let Err(why) = begun {
                    engine.handle_result(now_ns, run, Err(why));
                }
            }
            Action::Save(bytes) => match self.book.clone() {
                Some(path) => {
                    let begun = self.threads.save(move || store::save(&path, &bytes), wake);
                    if begun.is_err() {
                        engine.handle_saved(begun);
                    }
                }
                None => engine.handle_saved(Ok(())),
            },
            Action::Answer { token, results } => {
                if let Some(answer) = self.answers.take(token) {
                    rows::answer(answer, &results);
                }
            }
        }
        Ok(())
    }
}

/// Files that this worker may open, and programs that it may run: fixed at its start.
fn files(settings: &Settings) -> Vec<&str> {
    let recipients = settings.recipients.iter();
    let files = recipients.flat_map(|it| match &it.to {
        Destination::Webhook(webhook) => webhook.ca.to_str().into_iter().collect(),
        to => {
            let argv = to.program().map_or(&[][..], |(_, argv)| argv);
            argv.iter().map(String::as_str).collect::<Vec<_>>()
        }
    });
    files.filter(|it| it.starts_with('/')).collect()
}

/// Time of the machine's clock in ms since 1970.
fn clock_ms() -> u64 {
    let passed = SystemTime::now().duration_since(UNIX_EPOCH);
    nanoseconds(passed.unwrap_or_default()) / 1_000_000
}

spared_sdk::plugin!(Runner<Alarms> {
    name: "alarm",
    summary: "tells people of findings",
    flags: FILES | ASIDE,
    // certificates, and where other programs put the file behind /etc/resolv.conf
    paths: ["/etc/ssl/certs", "/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager"],
    calls: [FILES, SOCKETS, PROGRAMS],
    wire: (1, 1),
    parts: [query, peer, watch],
});
