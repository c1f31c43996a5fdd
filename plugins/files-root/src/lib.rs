//! Puts trees of files in place that the plugin `files` has received.
//!
//! This half is root and has no peer. It reads in files.toml itself which paths it may touch. The other half gives it
//! the name of a tree and a hash, and every staged file is validated again. *spared-files*(5) is the manual.
#![forbid(unsafe_code)]

mod back;
mod change;
pub mod clock;
pub mod command;
mod config;
mod confirm;
mod contents;
pub mod job;
mod link_switch;
pub mod put;
mod spared;
mod staged_check;
pub mod store;
mod worker;

use std::collections::VecDeque;
use std::path::PathBuf;

use spared_sdk::config::Config;
use spared_sdk::{Applied, Engine, Error, Host, Io, Partner, Runner, SendError};
use spared_tree::local::{Answer, FILES, Request, STAGE, decode, encode};

use config::Settings;
use job::Places;
use worker::Worker;

/// Index of the only partner.
const OTHER_HALF: usize = 0;

pub struct Root {
    host: Host,
    /// Worker thread; None without a folder for its state, as in a trial of the plugin.
    worker: Option<Worker>,
    /// Answers that the channel had no room for.
    waiting: VecDeque<Vec<u8>>,
    is_full: bool,
}

/// Engine without decisions: the other half requests, the thread works.
pub struct NoEngine;

impl Engine for NoEngine {
    type Action = ();

    fn handle_timeout(&mut self, _now_ns: u64) {}

    fn next_timeout(&self, _now_ns: u64) -> Option<u64> {
        None
    }

    fn poll_action(&mut self, _now_ns: u64) -> Option<()> {
        None
    }
}

impl Io for Root {
    type Settings = Settings;
    type Engine = NoEngine;

    fn read(config: &Config) -> Result<Settings, Error> {
        Ok(config::read(config))
    }

    fn start(host: Host, settings: &Settings) -> Result<(Self, NoEngine), Error> {
        let worker = places(host, settings).map(|places| {
            let waker = host.waker();
            Worker::start(places, move || waker.wake())
        });
        if worker.is_none() {
            log::warn!("{NO_STATE}: nothing is read or put in place");
        }
        let root = Self {
            host,
            worker: worker
                .transpose()
                .map_err(Error::kernel("start a thread"))?,
            waiting: VecDeque::new(),
            is_full: true,
        };
        Ok((root, NoEngine))
    }

    /// Applies settings without a restart: this plugin itself may be making the change, which a restart would
    /// interrupt.
    fn configure(
        &mut self,
        _engine: &mut NoEngine,
        _now_ns: u64,
        _old: &Settings,
        new: &Settings,
    ) -> Result<Applied, Error> {
        if let (Some(worker), Some(places)) = (&self.worker, places(self.host, new)) {
            worker.move_to(places);
        }
        Ok(Applied::Live)
    }

    fn poll(&mut self, _engine: &mut NoEngine, _now_ns: u64) -> bool {
        let answer = if self.waiting.is_empty() {
            self.worker.as_ref().and_then(Worker::poll_answer)
        } else {
            None
        };
        if let Some(Answer::Event { tree, text }) = &answer {
            self.host.event(&format!("tree \"{tree}\": {text}"));
        }
        self.waiting.extend(answer.as_ref().map(encode));
        self.send()
    }

    const PARTNERS: &'static [Partner] = &[Partner::named(c"files")];

    fn partner_up(&mut self, _engine: &mut NoEngine, _now_ns: u64, _partner: usize) {
        self.waiting.clear();
        self.is_full = false;
    }

    fn partner_down(&mut self, _engine: &mut NoEngine, _now_ns: u64, _partner: usize) {
        self.is_full = true;
    }

    fn partner_writable(&mut self, _engine: &mut NoEngine, _now_ns: u64, _partner: usize) {
        self.is_full = false;
    }

    fn partner_message(&mut self, _: &mut NoEngine, _now_ns: u64, _partner: usize, message: &[u8]) {
        match decode::<Request>(message) {
            Ok(request) => match &self.worker {
                Some(worker) => worker.ask(request),
                None => self.refuse(request.ticket()),
            },
            Err(why) => log::warn!("the plugin files sent {} bytes: {why}", message.len()),
        }
    }
}

const NO_STATE: &str =
    "files-root has no folder for its state: spared was started without STATE_DIRECTORY";

/// Paths of the files; None without a folder for the state.
fn places(host: Host, settings: &Settings) -> Option<Places> {
    let state = host.state_folder()?;
    Some(Places {
        root: PathBuf::from("/"),
        config: settings.trees.clone(),
        stage: state.with_file_name(FILES).join(STAGE),
        state,
        node: settings.node.clone(),
        nodes: settings.nodes.clone(),
        config_from_peer: settings.config_from_peer,
    })
}

impl Root {
    fn refuse(&mut self, ticket: u64) {
        let result = Err(NO_STATE.to_owned());
        // the other half sends fewer at a time
        if self.waiting.len() < worker::REQUESTS_MAX {
            self.waiting
                .push_back(encode(&Answer::Done { ticket, result }));
        }
    }

    /// Sends an answer; true if one was sent.
    fn send(&mut self) -> bool {
        let Some(message) = self.waiting.front() else {
            return false;
        };
        if self.is_full {
            return false;
        }
        match self.host.local().send(OTHER_HALF, message) {
            Ok(()) => drop(self.waiting.pop_front()),
            Err(SendError::Full) => self.is_full = true,
            // the other half will ask again
            Err(SendError::Down) => {
                self.waiting.clear();
                self.is_full = true;
            }
            Err(error) => {
                log::error!("an answer of {} bytes: {error}", message.len());
                self.waiting.pop_front();
            }
        }
        !self.is_full
    }
}

spared_sdk::plugin!(Runner<Root> {
    name: "files-root",
    summary: "puts files of the peer in place",
    flags: ROOT | ASIDE,
    parts: [local],
});
