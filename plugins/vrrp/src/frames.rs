//! Reads frames from sockets and passes them to the engine.

use std::os::fd::RawFd;

use crate::Vrrp;
use crate::engine::Engine;
use crate::links::Links;
use crate::sockets::{FRAMES_WAITING, Kind};
use crate::wire::neighbour::claim;

/// Limit of frames read from one socket in one turn: a flood must not delay the adverts.
const FRAMES_AT_ONCE: usize = 64;

impl Vrrp {
    /// Reads from a socket that is ready.
    pub(crate) fn receive_from(&mut self, fd: RawFd) {
        self.follow_directives();
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

    // Reads waiting frames. With hundreds of groups, most adverts come in bursts and change nothing: the timers of all
    // groups are checked once, after a burst.
    fn receive(&mut self, index: usize, kind: Kind) {
        for _ in 0..FRAMES_AT_ONCE {
            if !self.receive_one(index, kind) {
                break;
            }
            match kind {
                Kind::Heartbeats => self.act(),
                Kind::Link | Kind::Stations => self.perform_all(),
            }
        }
        self.act();
    }

    fn receive_heartbeats(&mut self, link: usize) {
        for _ in 0..FRAMES_AT_ONCE {
            if !self.receive_heartbeat(link) {
                return;
            }
            self.act();
        }
    }

    /// Passes all waiting frames to the engine, without executing its actions.
    pub(crate) fn hear_all(&mut self) {
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

    /// Checks if another machine answers for a virtual address, when it is due.
    pub(crate) fn look_at_addresses(&mut self) {
        let now_ns = self.host.now();
        let due_ns = self.engine.as_ref().and_then(Engine::look_timeout);
        if due_ns.is_none_or(|due_ns| now_ns < due_ns) {
            return;
        }
        for index in 0..self.sockets.len() {
            // if the engine listens, each frame is read when it arrives
            let listens = |engine: &Engine| engine.listens(index);
            if !self.engine.as_ref().is_some_and(listens) {
                self.read_claims(index);
            }
        }
        self.tell(Engine::look_at_addresses);
    }

    /// Reads frames that stations sent while the engine did not listen; only their claims of addresses count.
    pub(crate) fn read_claims(&mut self, index: usize) {
        let (Some(sockets), Some(engine)) = (self.sockets.get(index), &mut self.engine) else {
            return;
        };
        let now_ns = self.host.now();
        sockets.read_waiting(Kind::Stations, &mut self.buffer, |frame| {
            if let Some(claim) = claim(frame) {
                engine.handle_claim(now_ns, index, claim);
            }
        });
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
            Kind::Stations => engine.handle_station(now_ns, index, frame),
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
