//! Reads frames from sockets and passes them to the engine.

use std::os::fd::RawFd;

use crate::Vrrp;
use crate::engine::Engine;
use crate::links::Links;
use crate::sockets::{FRAMES_WAITING, FrameSource};
use crate::wire::neighbour::claim;

/// Limit of frames read from one socket in one turn: a flood must not delay the adverts.
const FRAMES_AT_ONCE: usize = 64;

impl Vrrp {
    /// Reads from a socket that is ready.
    pub(crate) fn receive_from(&mut self, fd: RawFd) {
        self.execute_directives();
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
    fn receive(&mut self, index: usize, kind: FrameSource) {
        for _ in 0..FRAMES_AT_ONCE {
            if !self.receive_one(index, kind) {
                break;
            }
            match kind {
                FrameSource::Heartbeats => self.execute_actions(),
                FrameSource::Link | FrameSource::Stations => self.execute_all(),
            }
        }
        self.execute_actions();
    }

    fn receive_heartbeats(&mut self, link: usize) {
        for _ in 0..FRAMES_AT_ONCE {
            if !self.receive_heartbeat(link) {
                return;
            }
            self.execute_actions();
        }
    }

    /// Passes all waiting frames to the engine, without executing its actions.
    pub(crate) fn read_sockets(&mut self) {
        for link in 0..self.links.as_ref().map_or(0, Links::count) {
            for _ in 0..FRAMES_WAITING {
                if !self.receive_heartbeat(link) {
                    break;
                }
            }
        }
        for kind in [FrameSource::Heartbeats, FrameSource::Link] {
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
    pub(crate) fn check_addresses(&mut self) {
        let now_ns = self.host.now();
        let due_ns = self.engine.as_ref().and_then(Engine::address_check_timeout);
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
        self.with_engine(Engine::check_addresses);
    }

    /// Reads frames that stations sent while the engine did not listen; only their claims of addresses count.
    pub(crate) fn read_claims(&mut self, index: usize) {
        let (Some(sockets), Some(engine)) = (self.sockets.get(index), &mut self.engine) else {
            return;
        };
        let now_ns = self.host.now();
        sockets.read_waiting(FrameSource::Stations, &mut self.buffer, |frame| {
            if let Some(claim) = claim(frame) {
                engine.handle_claim(now_ns, index, claim);
            }
        });
    }

    fn receive_one(&mut self, index: usize, kind: FrameSource) -> bool {
        let (Some(sockets), Some(engine)) = (self.sockets.get(index), &mut self.engine) else {
            return false;
        };
        let Some(frame) = sockets.receive(kind, &mut self.buffer) else {
            return false;
        };
        let now_ns = self.host.now();
        match kind {
            FrameSource::Link => engine.handle_frame(now_ns, index, frame),
            FrameSource::Stations => engine.handle_station(now_ns, index, frame),
            FrameSource::Heartbeats => {
                let Some(links) = &mut self.links else {
                    return true;
                };
                links.handle_network_frame(now_ns, index, frame, engine);
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
        links.handle_link_packet(now_ns, link, packet, engine);
        true
    }
}
