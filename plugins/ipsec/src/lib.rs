//! Keeps IPsec tunnels over a failover.
//!
//! This file, `node.rs`, `kernel/` and the thread of `vici/` do all I/O. README.md describes the rest,
//! *spared-ipsec*(5) every key.
#![forbid(unsafe_code)]

pub mod codec;
pub mod config;
pub mod connections;
pub mod engine;
pub mod error;
pub mod kernel;
mod node;
mod rows;
pub mod sa;
pub mod sessions;
mod state_file;
mod store;
pub mod vici;
pub mod wire;

use std::os::fd::RawFd;

use spared_sdk::config::Config;
use spared_sdk::{
    Answer, Applied, Error, Host, Io, Progress, Ready, RoleEvent, Runner, Token, replicated,
};

use config::Settings;
use engine::{Action, Engine};
use kernel::{ReadPart, Silence};
use node::Node;
use vici::ViciEvent;

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;

/// The plugin's I/O.
pub struct Ipsec {
    host: Host,
    /// Kernel interfaces; None on a kernel without IPsec.
    node: Option<Node>,
    /// Answers that wait for charon's report of its connections.
    answers: Vec<Answer>,
}

impl Io for Ipsec {
    type Settings = Settings;
    type Engine = Engine;

    fn read(config: &Config) -> Result<Settings, Error> {
        config::read(config).ok_or(Error::Config(Vec::new()))
    }

    fn start(host: Host, settings: &Settings) -> Result<(Self, Engine), Error> {
        let replica = replicated::config(host, wire::TABLES);
        let mut engine = Engine::new(host.now(), settings.clone(), replica);
        let node = Node::open(host, settings, &mut engine)?;
        if node.is_some() {
            engine.handle_silenced(host.now(), Silence::of_earlier_run());
        }
        let answers = Vec::new();
        let mut io = Self {
            host,
            node,
            answers,
        };
        io.read_addresses(&mut engine, host.now());
        Ok((io, engine))
    }

    fn configure(
        &mut self,
        engine: &mut Engine,
        now_ns: u64,
        old: &Settings,
        new: &Settings,
    ) -> Result<Applied, Error> {
        if new.adopt != old.adopt || new.routing_table != old.routing_table {
            return Ok(Applied::Restart);
        }
        engine.configure(now_ns, new.clone());
        Ok(Applied::Live)
    }

    fn stop(self, mut engine: Engine) {
        if let Some(mut node) = self.node {
            while let Some(changes) = engine.poll_last_changes(self.host.now()) {
                node.kernel.apply(&changes);
            }
            node.close(self.host);
        }
    }

    fn perform(&mut self, engine: &mut Engine, now_ns: u64, action: Action) -> Result<(), Error> {
        match &mut self.node {
            Some(node) => node.perform(self.host, engine, now_ns, action),
            None => Ok(()),
        }
    }

    fn poll(&mut self, engine: &mut Engine, now_ns: u64) -> bool {
        let Some(node) = &mut self.node else {
            return false;
        };
        if let Some(said) = node.daemon.poll() {
            if matches!(said, ViciEvent::Daemon(_)) {
                // deletions that charon made before this event
                node.catch_up(engine, now_ns);
            }
            if let ViciEvent::Listed(listed) = said {
                let was_asked = listed.is_some();
                engine.handle_listed(now_ns, listed);
                self.end_answers(engine, was_asked);
            } else if let Some(text) = engine.handle_vici(now_ns, said) {
                log::info!("{text}");
            }
            return true;
        }
        match node.kernel.poll() {
            Some(ReadPart::Entries(entries)) => engine.handle_entries(now_ns, entries),
            Some(ReadPart::Notifications(told)) => engine.handle_notifications(now_ns, told),
            Some(ReadPart::End(complete)) => engine.handle_read(now_ns, complete),
            None => return false,
        }
        true
    }

    fn fd(&mut self, engine: &mut Engine, now_ns: u64, fd: RawFd, _ready: Ready) {
        match &mut self.node {
            None => self.host.unwatch_fd(fd),
            Some(node) if fd == node.addresses.fd() => self.read_addresses(engine, now_ns),
            Some(node) if Some(fd) == node.silence.fd() => node.restore_silence(),
            Some(node) if Some(fd) == node.charon.fd() => {
                for message in node.charon.messages(now_ns) {
                    engine.handle_charon_message(now_ns, message.bytes());
                }
            }
            Some(node) => {
                if let Err(error) = node.read_events(engine, now_ns) {
                    log::error!("cannot receive change notifications, reading continues: {error}");
                    self.host.unwatch_fd(fd);
                }
            }
        }
    }

    fn role(
        &mut self,
        engine: &mut Engine,
        now_ns: u64,
        event: &RoleEvent,
        _token: Token,
    ) -> Result<Progress, Error> {
        self.read_addresses(engine, now_ns);
        spared_sdk::Engine::handle_role(engine, now_ns, &event.group, event.role);
        Ok(Progress::Done)
    }

    fn settle(&mut self, engine: &mut Engine, now_ns: u64, deadline_ns: u64) {
        // events of its own deletions, before the same SAs are installed again
        if let Some(node) = &mut self.node {
            node.catch_up(engine, now_ns);
        }
        spared_sdk::Engine::start_settle(engine, now_ns, deadline_ns);
    }
}

impl Ipsec {
    /// Reads changed addresses of this node.
    fn read_addresses(&mut self, engine: &mut Engine, now_ns: u64) {
        let node = self.node.as_mut();
        if let Some([ours, others]) = node.and_then(|it| it.addresses.read()) {
            engine.handle_own_addresses(now_ns, others);
            engine.handle_endpoints(now_ns, ours);
        }
    }
}

/// Returns the time between two moments in ms, for display and for the peer. Both are rounded to whole ms first: if
/// each forwarded age lost its fraction, it would become younger each time.
fn ms_between(since_ns: u64, now_ns: u64) -> u64 {
    (now_ns / MS).saturating_sub(since_ns / MS)
}

// net_admin: the kernel's tables; dac_override: the IKE daemon's socket, which belongs to root
spared_sdk::plugin!(Runner<Ipsec> {
    name: "ipsec",
    summary: "keeps IPsec tunnels over a failover",
    capabilities: [dac_override, net_admin],
    calls: [FILES, SOCKETS],
    wire: (3, 3),
    parts: [roles, transfer, query, peer],
});
