//! VRRP: decides who is active, by RFC 9568 and, for version 2, RFC 3768.
//!
//! This file, `actions`, `sockets` and `links` are all the I/O; `engine` holds the state machine,
//! `election` its decisions, `heartbeats` what makes a heartbeat the peer's, `wire` the bytes, `config` the
//! file. `README.md` is the manual of every key.
#![forbid(unsafe_code)]

mod actions;
mod agreeing;
mod claims;
pub mod config;
pub mod election;
pub mod engine;
pub mod error;
pub mod heartbeats;
mod limit;
mod links;
mod networks;
mod second_machine;
mod sockets;
pub mod wire;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

use rustix::time::{ClockId, clock_getres};
use spared_sdk::config::Config;
use spared_sdk::{
    Alarm, Answer, Applied, Directive, Error, GroupHandle, Groups, Host, IdentityHandle, Interest,
    InterfaceEvent, InterfaceHandle, Interfaces, Peer, PeerHandle, Plugin, Progress, Query, Ready,
    Sockets as Wanted,
};

use config::Settings;
use engine::{Engine, InterfaceFacts, Table};
use links::Links;
use second_machine::SecondMachine;
use sockets::{FRAME_MAX, Kind, Sockets};
use wire::heartbeat::group_id;
use wire::neighbour::{speaker, station};

const TIMER: u32 = 1;
/// Frames read at one go from one socket: a flood must not hold up the adverts.
const FRAMES_AT_ONCE: usize = 64;
/// More than a socket's buffer holds: what reads it empty must come to an end in a flood as well.
const FRAMES_WAITING: usize = 512;

/// The plugin's one instance.
pub struct Vrrp {
    host: Host,
    interfaces: InterfaceHandle,
    groups: GroupHandle,
    /// None where the host has no link.
    peer: Option<PeerHandle>,
    /// None on an older host.
    identity: Option<IdentityHandle>,
    /// None until `start`.
    engine: Option<Engine>,
    /// As above.
    links: Option<Links>,
    second_machine: SecondMachine,
    node: String,
    settings: Settings,
    /// By the engine's index.
    sockets: Vec<Sockets>,
    followed: BTreeMap<String, Wanted>,
    buffer: Vec<u8>,
    alarm: Alarm,
}

/// The file, and whose node it was read for.
pub struct Read {
    settings: Settings,
    node: String,
}

impl Plugin for Vrrp {
    type Settings = Read;

    fn create(host: Host) -> Result<Self, Error> {
        let missing = |what| move || Error::Plugin(format!("this host has no {what}"));
        Ok(Vrrp {
            host,
            interfaces: host
                .interfaces()
                .ok_or_else(missing("spared.interface/1"))?,
            groups: host.groups().ok_or_else(missing("spared.group/1"))?,
            peer: host.peer(),
            identity: host.identity(),
            engine: None,
            links: None,
            second_machine: SecondMachine::default(),
            node: String::new(),
            settings: Settings::default(),
            sockets: Vec::new(),
            followed: BTreeMap::new(),
            buffer: vec![0; FRAME_MAX],
            alarm: Alarm::new(host, TIMER),
        })
    }

    fn read(config: &Config) -> Result<Read, Error> {
        let settings = config::read(config, tick()).ok_or(Error::Config(Vec::new()))?;
        Ok(Read {
            settings,
            node: config.node().to_owned(),
        })
    }

    fn configure(&mut self, read: Read) -> Result<Applied, Error> {
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

    fn start(&mut self) -> Result<(), Error> {
        let links = Links::new(&self.node).map_err(|error| Error::Plugin(error.to_string()))?;
        self.links = Some(links);
        self.engine = Some(Engine::new(&self.node));
        let settings = std::mem::take(&mut self.settings);
        self.apply(settings)
    }

    fn stop(&mut self) -> Result<(), Error> {
        self.tell(Engine::shut_down);
        self.engine = None;
        for index in 0..self.sockets.len() {
            self.close(index);
        }
        if let Some(mut links) = self.links.take() {
            self.unwatch(links.close());
        }
        Ok(())
    }

    fn fd(&mut self, fd: RawFd, _ready: Ready) {
        let link = self.links.as_ref().and_then(|links| links.find(fd));
        if let Some(link) = link {
            return self.receive_heartbeats(link);
        }
        let found = self
            .sockets
            .iter()
            .enumerate()
            .find_map(|(index, sockets)| Some((index, sockets.kind_of(fd)?)));
        match found {
            Some((index, kind)) => self.receive(index, kind),
            None => self.host.unwatch_fd(fd),
        }
    }

    fn timer(&mut self, _id: u32) {
        self.alarm.fired();
        // what was heard counts, however late this timer is
        let now_ns = self.host.now();
        if let Some(links) = &mut self.links {
            links.handle_timeout(now_ns);
        }
        if self
            .engine
            .as_ref()
            .is_some_and(|engine| engine.takes_over(now_ns))
        {
            self.hear_all();
            self.act();
        }
        self.tell(Engine::handle_timeout);
    }
}

impl Interfaces for Vrrp {
    fn changed(&mut self, event: &InterfaceEvent<'_>) {
        self.link_changed(event);
        self.router_changed(event);
    }
}

impl Groups for Vrrp {
    fn directive(&mut self, directive: &Directive<'_>) {
        let wanted = election::Directive {
            quality: directive.quality,
            eligible: directive.eligible,
            forced: directive.forced,
            maintenance: directive.maintenance,
            resign: directive.resign,
            joining: directive.joining,
            ready: directive.ready,
            frozen: directive.frozen,
            release: directive.release,
            prepared: directive.prepared,
            why: directive.why.to_owned(),
        };
        let group = directive.group;
        self.tell(|engine, now_ns| engine.handle_directive(now_ns, group, &wanted));
    }
}

impl Peer for Vrrp {
    fn up(&mut self, _wire: u32) {
        if let Some(engine) = &mut self.engine {
            engine.set_session(true);
        }
        // there is nothing to fetch first: who hears heartbeats knows all that vrrp knows
        if let Some(Err(error)) = self.peer.map(|peer| peer.in_sync(true, "")) {
            log::warn!("{error}");
        }
    }

    fn down(&mut self) {
        if let Some(engine) = &mut self.engine {
            engine.set_session(false);
        }
    }

    /// Nobody says anything there: heartbeats tell it all, and the channel that there is a session.
    fn message(&mut self, _message: &[u8]) {}

    fn writable(&mut self) {}
}

impl Query for Vrrp {
    fn query(&mut self, argv: &[&str], answer: &mut Answer) -> Result<Progress, Error> {
        let table = match argv {
            ["status"] => Table::Status,
            ["virtual-routers"] => Table::VirtualRouters,
            ["counters"] => Table::Counters,
            _ => {
                return Err(Error::Usage(
                    "usage: vrrp status | virtual-routers | counters".to_owned(),
                ));
            }
        };
        let (Some(engine), Some(links)) = (&self.engine, &self.links) else {
            return Ok(Progress::Done);
        };
        let now_ns = self.host.now();
        // hundreds of routers fill an answer: what fits is better than nothing, and links are few
        let rows = links.rows(now_ns, table).into_iter();
        if let Err(error) = answer.rows(rows.chain(engine.rows(now_ns, table))) {
            log::debug!("{error}");
        }
        Ok(Progress::Done)
    }
}

impl Vrrp {
    /// Brings claims, interfaces and engine to a new configuration; only differences are told.
    fn apply(&mut self, settings: Settings) -> Result<(), Error> {
        // the host may take its time over the claims: that must delay no advert
        self.tell(Engine::advertise_now);
        let old = std::mem::replace(&mut self.settings, settings);
        for group in &self.settings.groups {
            let claims = claims::claims(group);
            let was = old.groups.iter().find(|was| was.name == group.name);
            if was.is_none_or(|was| claims::claims(was) != claims) {
                self.groups.claim(&group.name, &claims)?;
            }
        }
        let settings = self.settings.clone();
        self.configure_links(&settings);
        let peer = self.identity.and_then(|_| self.host.peer_with_keys());
        if let Some(engine) = &mut self.engine {
            engine.set_keys(peer.is_some());
        }
        self.tell(|engine, now_ns| engine.configure(now_ns, &settings));
        if let (Some(links), Some(engine)) = (&mut self.links, &self.engine) {
            links.configure_networks(engine.networks());
            links.set_peer(peer.as_deref());
        }
        self.act();
        for gone in old
            .groups
            .iter()
            .filter(|was| !settings.groups.iter().any(|g| g.name == was.name))
        {
            self.groups.withdraw(&gone.name)?;
        }
        self.follow(&settings)
    }

    /// The links as they are now: the host configures again whenever they change.
    fn configure_links(&mut self, settings: &Settings) {
        let Some(links) = &mut self.links else { return };
        let interfaces = self.host.links();
        let is_new = !links.interfaces().eq(&interfaces);
        let groups = settings.groups.iter();
        let gone = links.configure(&interfaces, groups.map(|group| group_id(&group.name)));
        self.unwatch(gone);
        if is_new {
            self.tell(|engine, now_ns| engine.set_links(now_ns, &interfaces));
        }
    }

    fn follow(&mut self, settings: &Settings) -> Result<(), Error> {
        let mut wanted: BTreeMap<String, Wanted> = BTreeMap::new();
        let routers = settings.groups.iter().flat_map(|group| &group.routers);
        for router in routers {
            wanted.insert(router.interface.clone(), Wanted::VRRP);
        }
        for link in self.links.iter().flat_map(Links::interfaces) {
            let sockets = wanted.entry(link.to_owned()).or_insert(Wanted::NONE);
            *sockets = *sockets | Wanted::HEARTBEAT;
        }
        let followed = self.followed.clone();
        for gone in followed.keys().filter(|name| !wanted.contains_key(*name)) {
            self.interfaces.unfollow(gone)?;
            let engine = self.engine.as_ref();
            if let Some(index) = engine.and_then(|engine| engine.interface_index(gone)) {
                self.close(index);
            }
        }
        for (name, sockets) in &wanted {
            if followed.get(name) != Some(sockets) {
                self.interfaces.follow(name, *sockets)?;
            }
        }
        self.followed = wanted;
        Ok(())
    }

    fn close(&mut self, index: usize) {
        let gone = self.sockets.get_mut(index).map(Sockets::take);
        self.unwatch(gone.unwrap_or_default());
    }

    fn watch(&self, interface: &str, fd: RawFd) {
        if let Err(error) = self.host.watch_fd(fd, Interest::READ) {
            log::error!("{interface}: {error}");
        }
    }

    /// Ends the watch over sockets, then closes them.
    fn unwatch(&self, gone: Vec<OwnedFd>) {
        for fd in &gone {
            self.host.unwatch_fd(fd.as_raw_fd());
        }
    }

    fn link_changed(&mut self, event: &InterfaceEvent<'_>) {
        let Some(links) = &mut self.links else { return };
        let (gone, new) = links.update(event);
        self.unwatch(gone);
        if let Some(fd) = new {
            self.watch(&event.name, fd);
        }
    }

    fn router_changed(&mut self, event: &InterfaceEvent<'_>) {
        let engine = self.engine.as_ref();
        let Some(index) = engine.and_then(|engine| engine.interface_index(&event.name)) else {
            return;
        };
        if self.sockets.len() <= index {
            self.sockets.resize_with(index + 1, Sockets::default);
        }
        let Some(sockets) = self.sockets.get_mut(index) else {
            return;
        };
        let before = sockets.watched();
        let gone = sockets.update(event);
        let (watched, link) = (sockets.watched(), sockets.link());
        self.unwatch(gone);
        for (fd, before) in watched.into_iter().zip(before) {
            if let Some(fd) = fd.filter(|_| fd != before) {
                self.watch(&event.name, fd);
            }
        }
        let facts = InterfaceFacts {
            present: event.present,
            up: event.up,
            carrier: event.carrier,
            mac: event.mac,
            mtu: event.mtu,
            addresses: event
                .addresses
                .iter()
                .map(|(address, _)| *address)
                .collect(),
            broadcasts: broadcasts(&event.addresses),
            link_socket: link.is_some(),
        };
        self.tell(|engine, now_ns| engine.handle_interface(now_ns, &event.name, &facts));
    }

    fn receive(&mut self, index: usize, kind: Kind) {
        for _ in 0..FRAMES_AT_ONCE {
            if !self.receive_one(index, kind) {
                return;
            }
            self.act();
        }
    }

    fn receive_heartbeats(&mut self, link: usize) {
        for _ in 0..FRAMES_AT_ONCE {
            if !self.receive_heartbeat(link) {
                return;
            }
            self.act();
        }
    }

    /// Gives every frame that waits to the engine, and leaves its actions for later.
    fn hear_all(&mut self) {
        for link in 0..self.links.as_ref().map_or(0, Links::count) {
            for _ in 0..FRAMES_WAITING {
                if !self.receive_heartbeat(link) {
                    break;
                }
            }
        }
        for kind in [Kind::Heartbeats, Kind::Link] {
            for index in 0..self.sockets.len() {
                for _ in 0..FRAMES_WAITING {
                    if !self.receive_one(index, kind) {
                        break;
                    }
                }
            }
        }
    }

    fn receive_one(&mut self, index: usize, kind: Kind) -> bool {
        let (Some(sockets), Some(engine)) = (self.sockets.get(index), &mut self.engine) else {
            return false;
        };
        let Some(frame) = sockets.receive(kind, &mut self.buffer) else {
            return false;
        };
        let now_ns = self.host.now();
        match kind {
            Kind::Link => engine.handle_frame(now_ns, index, frame),
            Kind::Stations => {
                if let Some(mac) = station(frame) {
                    engine.handle_station(now_ns, index, mac, speaker(frame));
                }
            }
            Kind::Heartbeats => {
                let Some(links) = &mut self.links else {
                    return true;
                };
                links.hear_on_network(now_ns, index, frame, engine);
            }
        }
        true
    }

    fn receive_heartbeat(&mut self, link: usize) -> bool {
        let (Some(links), Some(engine)) = (&mut self.links, &mut self.engine) else {
            return false;
        };
        let Some(packet) = links.receive(link, &mut self.buffer) else {
            return false;
        };
        let now_ns = self.host.now();
        links.hear_on_link(now_ns, link, packet, engine);
        true
    }
}

/// The broadcast addresses of the networks of IPv4 addresses; one of two has none (RFC 3021).
fn broadcasts(addresses: &[(IpAddr, u8)]) -> Vec<Ipv4Addr> {
    let broadcast = |(address, prefix): &(IpAddr, u8)| match address {
        IpAddr::V4(address) if *prefix < 31 => {
            Some(Ipv4Addr::from(u32::from(*address) | u32::MAX >> prefix))
        }
        _ => None,
    };
    addresses.iter().filter_map(broadcast).collect()
}

/// The kernel's tick, to which set timeouts are good.
fn tick() -> Duration {
    let tick = clock_getres(ClockId::MonotonicCoarse);
    let ns = |value| u64::try_from(value).unwrap_or(0);
    Duration::from_secs(ns(tick.tv_sec)) + Duration::from_nanos(ns(tick.tv_nsec))
}

spared_sdk::export!(Vrrp {
    name: "vrrp",
    summary: "decides who is active, by VRRP",
    flags: REALTIME,
    wire: (1, 1),
    parts: [query, interfaces, groups, peer, identity],
});
