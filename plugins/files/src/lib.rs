//! Copies trees of files to the other node: configurations, certificates.
//!
//! This half talks to the peer and opens no file of a tree. The plugin `files-root` reads the trees and puts them in
//! place; it is root and has no peer. *spared-files*(5) is the manual of every key.
#![forbid(unsafe_code)]

mod disk;
pub mod engine;
mod verbs;
pub mod wire;

use std::collections::{BTreeMap, VecDeque};

use spared_sdk::CauseKind;
use spared_sdk::config::Config;
use spared_sdk::{
    Answer, Applied, Commands, Error, Host, Io, Partner, Progress, RoleEvent, Runner, SendError,
    Token, Verb,
};
use spared_tree::config::{self, Settings};
use spared_tree::{builtin, local};

use disk::Disk;
use engine::{Action, Engine, parse};

/// Index of the only partner.
const ROOT_HALF: usize = 0;

pub struct Files {
    host: Host,
    disk: Disk,
    /// Requests to the root half that the channel had no room for.
    requests: VecDeque<Vec<u8>>,
    is_full: bool,
    /// Answers that were promised, by the engine's token.
    answers: BTreeMap<u64, Answer>,
    promised: u64,
}

impl Io for Files {
    type Settings = Settings;
    type Engine = Engine;

    fn read(config: &Config) -> Result<Settings, Error> {
        let mut settings = config::read(config).ok_or(Error::Config(Vec::new()))?;
        settings.trees.push(builtin::tree());
        Ok(settings)
    }

    fn start(host: Host, settings: &Settings) -> Result<(Self, Engine), Error> {
        let disk = Disk::new(host.state_folder().as_deref());
        let bases = disk.bases(settings.trees.iter().map(|it| it.name.as_str()));
        let peer = host.peer_with_keys();
        let peer = peer.unwrap_or_else(|| "the peer".to_owned());
        let nodes = [host.node().unwrap_or_default(), peer];
        let now_ns = host.now();
        let mut engine = Engine::new(now_ns, now_ns, nodes, settings, bases);
        for tree in &settings.trees {
            if let Some(age) = disk.copy_age(&tree.name) {
                engine.handle_last_copy(now_ns, &tree.name, age);
            }
            if let Some(digest) = disk.unconfirmed(&tree.name) {
                engine.handle_saved_unconfirmed(&tree.name, digest);
            }
        }
        let io = Self {
            host,
            disk,
            requests: VecDeque::new(),
            is_full: true,
            answers: BTreeMap::new(),
            promised: 0,
        };
        Ok((io, engine))
    }

    fn configure(
        &mut self,
        _engine: &mut Engine,
        _now_ns: u64,
        old: &Settings,
        new: &Settings,
    ) -> Result<Applied, Error> {
        Ok(if old == new {
            Applied::Live
        } else {
            Applied::Restart
        })
    }

    fn perform(&mut self, engine: &mut Engine, now_ns: u64, action: Action) -> Result<(), Error> {
        match action {
            Action::Request(request) => self.requests.push_back(local::encode(&request)),
            Action::Store(piece) => {
                let stored = self.disk.store(&piece);
                engine.handle_stored(now_ns, piece.is_last, stored);
            }
            Action::Stage(manifest) => {
                let staged = self.disk.stage(&manifest);
                engine.handle_staged(now_ns, staged);
            }
            Action::Unstage => self.disk.unstage(),
            Action::Remember { tree, manifest } => {
                let kept = self.disk.remember(&tree, &manifest);
                return kept.map_err(Error::Plugin);
            }
            Action::Copied(tree) => {
                return self.disk.save_copied(&tree).map_err(Error::Plugin);
            }
            Action::SaveUnconfirmed { tree, digest } => {
                let saved = self.disk.save_unconfirmed(&tree, digest);
                if saved.is_err() {
                    engine.handle_unsaved(now_ns, &tree);
                }
                return saved.map_err(Error::Plugin);
            }
            Action::Event(text) => self.host.event(&text),
            Action::Answer { token, answer } => {
                if let Some(kept) = self.answers.remove(&token) {
                    verbs::put(kept, answer, self.disk.stage_path());
                }
            }
        }
        Ok(())
    }

    fn role(
        &mut self,
        engine: &mut Engine,
        now_ns: u64,
        event: &RoleEvent,
        _token: Token,
    ) -> Result<Progress, Error> {
        match event.cause.kind {
            CauseKind::Withdrawn => engine.handle_group_gone(now_ns, &event.group),
            _ => spared_sdk::Engine::handle_role(engine, now_ns, &event.group, event.role),
        }
        Ok(Progress::Done)
    }

    fn poll(&mut self, _engine: &mut Engine, _now_ns: u64) -> bool {
        let Some(request) = self.requests.front() else {
            return false;
        };
        if self.is_full {
            return false;
        }
        match self.host.local().send(ROOT_HALF, request) {
            Ok(()) => drop(self.requests.pop_front()),
            Err(SendError::Full | SendError::Down) => self.is_full = true,
            Err(error) => {
                log::error!("a request of {} bytes: {error}", request.len());
                self.requests.pop_front();
            }
        }
        !self.is_full
    }

    fn stop(mut self, engine: Engine) {
        if engine.is_showing() {
            self.disk.unstage();
        }
    }

    const PARTNERS: &'static [Partner] = &[Partner::named(c"files-root")];

    fn partner_up(&mut self, engine: &mut Engine, now_ns: u64, _partner: usize) {
        self.requests.clear();
        self.is_full = false;
        engine.handle_root_up(now_ns);
    }

    fn partner_down(&mut self, engine: &mut Engine, now_ns: u64, _partner: usize) {
        self.requests.clear();
        self.is_full = true;
        engine.handle_root_down(now_ns);
    }

    fn partner_writable(&mut self, _engine: &mut Engine, _now_ns: u64, _partner: usize) {
        self.is_full = false;
    }

    fn partner_message(&mut self, engine: &mut Engine, now_ns: u64, _: usize, message: &[u8]) {
        match local::decode(message) {
            Ok(answer) => engine.handle_answer(now_ns, answer),
            Err(why) => log::error!("files-root sent {} bytes: {why}", message.len()),
        }
    }
}

impl Commands for Files {
    const VERBS: &'static [Verb] = &verbs::ALL;

    fn query(
        &mut self,
        engine: &mut Engine,
        now_ns: u64,
        argv: &[&str],
        answer: &mut Answer,
    ) -> Result<Progress, Error> {
        match argv {
            ["status"] => answer.text("summary", &engine.summary())?,
            [] => {
                answer.rows(engine.rows(now_ns))?;
                if !spared_sdk::Engine::troubles(engine).is_empty() {
                    answer.attention();
                }
            }
            argv => {
                let command = parse(argv).ok_or_else(|| Error::Usage(engine::USAGE.to_owned()))?;
                self.promised = self.promised.wrapping_add(1);
                self.answers.insert(self.promised, answer.later());
                engine.handle_command(now_ns, self.promised, command);
                return Ok(Progress::Pending);
            }
        }
        Ok(Progress::Done)
    }
}

spared_sdk::plugin!(Runner<Files> {
    name: "files",
    summary: "configurations and certificates that are copied",
    flags: ASIDE,
    calls: [FILES],
    wire: (1, 1),
    parts: [roles, query, peer, local],
});
