//! VRRP: decides which node is active, by RFC 9568 and, for version 2, RFC 3768.
//!
//! This file, `settings`, `interfaces`, `frames`, `actions`, `sockets`, `links` and `session` do all I/O; `engine`
//! holds the state machine, `election` its decisions, `heartbeats` authenticates heartbeats, `wire` encodes messages,
//! `config` reads the file. `README.md` describes every key.
#![forbid(unsafe_code)]

mod actions;
mod claims;
pub mod config;
pub mod election;
pub mod engine;
pub mod error;
mod frames;
pub mod heartbeats;
mod interfaces;
mod key_agreement;
mod limit;
mod links;
mod networks;
mod rows;
mod second_machine;
mod session;
mod settings;
mod sockets;
pub mod wire;

use std::os::fd::RawFd;

use spared_sdk::config::Config;
use spared_sdk::{
    Alarm, Applied, Directive, Error, GroupHandle, Groups, Host, IdentityHandle, PeerHandle,
    Plugin, Progress, Ready, Token,
};

use config::Settings;
use engine::Engine;
use interfaces::FollowedInterfaces;
use links::Links;
use second_machine::SecondMachine;
use settings::NodeSettings;
use sockets::{FRAME_MAX, Sockets};

const TIMER: u32 = 1;

/// The plugin.
pub struct Vrrp {
    host: Host,
    followed: FollowedInterfaces,
    groups: GroupHandle,
    /// Channel to the peer; None if the host has no link.
    peer: PeerHandle,
    /// Signatures of this node; None on an older host.
    identity: IdentityHandle,
    /// State machine; None until `start`.
    engine: Option<Engine>,
    /// Paths to the peer; None until `start`.
    links: Option<Links>,
    second_machine: SecondMachine,
    node: String,
    settings: Settings,
    /// The host refused a claim, so it still has claims of other groups.
    are_claims_unsure: bool,
    /// Sockets by the engine's index of the interface.
    sockets: Vec<Sockets>,
    buffer: Vec<u8>,
    alarm: Alarm,
    /// Groups whose directives the engine has received, while their actions wait for directives of other groups.
    directed: Vec<String>,
}

impl Plugin for Vrrp {
    type Settings = NodeSettings;

    fn create(host: Host) -> Result<Self, Error> {
        Ok(Vrrp {
            host,
            followed: FollowedInterfaces::new(host.interfaces()),
            groups: host.groups(),
            peer: host.peer(),
            identity: host.identity(),
            engine: None,
            links: None,
            second_machine: SecondMachine::default(),
            node: String::new(),
            settings: Settings::default(),
            are_claims_unsure: false,
            sockets: Vec::new(),
            buffer: vec![0; FRAME_MAX],
            alarm: Alarm::new(host, TIMER),
            directed: Vec::new(),
        })
    }

    fn read(config: &Config) -> Result<NodeSettings, Error> {
        let settings = config::read(config, settings::tick()).ok_or(Error::Config(Vec::new()))?;
        Ok(NodeSettings {
            settings,
            node: config.node().to_owned(),
        })
    }

    fn configure(&mut self, read: NodeSettings) -> Result<Applied, Error> {
        if self.engine.is_some() && read.node != self.node {
            return Ok(Applied::Restart);
        }
        self.node = read.node;
        if self.engine.is_some() {
            self.apply(read.settings)?;
        } else {
            self.settings = read.settings;
        }
        Ok(Applied::Live)
    }

    fn start(&mut self, _token: Token) -> Result<Progress, Error> {
        let links = Links::new(&self.node).map_err(|error| Error::Plugin(error.to_string()))?;
        self.links = Some(links);
        self.engine = Some(Engine::new(&self.node));
        let settings = std::mem::take(&mut self.settings);
        self.apply(settings)?;
        Ok(Progress::Done)
    }

    fn stop(&mut self, _token: Token) -> Result<Progress, Error> {
        self.with_engine(Engine::shut_down);
        self.engine = None;
        for index in 0..self.sockets.len() {
            self.close(index);
        }
        if let Some(mut links) = self.links.take() {
            self.unwatch(links.close());
        }
        Ok(Progress::Done)
    }

    fn fd(&mut self, fd: RawFd, _ready: Ready) {
        self.receive_from(fd);
    }

    fn timer(&mut self, _id: u32) {
        self.alarm.fired();
        self.execute_directives();
        // heartbeats that have arrived count, however late this timer is
        let now_ns = self.host.now();
        if let Some(links) = &mut self.links {
            links.handle_timeout(now_ns);
        }
        if self
            .engine
            .as_ref()
            .is_some_and(|engine| engine.takes_over(now_ns))
        {
            self.read_sockets();
            self.execute_actions();
        }
        self.with_engine(Engine::handle_timeout);
        self.check_addresses();
    }
}

impl Groups for Vrrp {
    // Passes a directive to the engine. In a switchover of many groups their directives come one after the other. Their
    // effects are executed together, in the next turn of the loop: one call to the host, and one heartbeat.
    fn directive(&mut self, directive: &Directive) {
        let group = directive.group.as_str();
        if self.directed.iter().any(|directed| directed == group) {
            self.execute_directives();
        }
        let now_ns = self.host.now();
        if let Some(engine) = &mut self.engine {
            engine.handle_directive(now_ns, group, directive);
        }
        if self.directed.is_empty() {
            self.alarm.set(Some(now_ns));
        }
        self.directed.push(group.to_owned());
    }
}

spared_sdk::plugin!(Vrrp {
    name: "vrrp",
    summary: "decides who is active, by VRRP",
    flags: REALTIME,
    calls: [],
    wire: (1, 1),
    parts: [query, interfaces, groups, peer, identity],
});
