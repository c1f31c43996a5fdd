//! Owns the session with the peer, its paths, and their configuration.

use ring::rand::{SecureRandom, SystemRandom};
use spared_contract::LogLevel;

use super::host::Host;
use super::trust::Trust;
use crate::message::{FromLink, Setup, State};
use crate::path::{Path, Source};
use crate::session::{Event, Now, Session};
use crate::tls::Tls;

#[derive(Debug)]
pub struct Peering {
    /// Configuration without its keys.
    setup: Setup,
    pub trust: Trust,
    tls: Tls,
    pub session: Session,
    pub paths: Vec<Path>,
}

impl Peering {
    pub fn new(setup: Setup) -> Result<Self, String> {
        let mut run = [0; 8];
        let random = SystemRandom::new().fill(&mut run);
        random.map_err(|_| "cannot get random numbers from the kernel".to_owned())?;
        let run = u64::from_be_bytes(run);
        let count = setup.paths.len();
        let introduction = setup.introduction.clone();
        let trust = Trust::of(&setup)?;
        let mut peering = Self {
            tls: trust.tls()?,
            trust,
            session: Session::new(&setup.node, &setup.peer, introduction, run, count),
            paths: Vec::new(),
            setup,
        };
        peering.paths = (0..count).filter_map(|index| peering.path(index)).collect();
        peering.setup.keys.wipe();
        Ok(peering)
    }

    fn path(&self, index: usize) -> Option<Path> {
        let setup = self.setup.paths.get(index)?.clone();
        Some(Path::new(index, setup, self.setup.port, self.listens()))
    }

    /// Returns true if this node's name comes first in the alphabet.
    fn listens(&self) -> bool {
        self.setup.node < self.setup.peer
    }

    pub fn is_of(&self, setup: &Setup) -> bool {
        (&self.setup.node, &self.setup.peer) == (&setup.node, &setup.peer)
    }

    /// Applies the differences of a configuration. Sessions whose keys changed prove them again and
    /// continue.
    pub fn apply(&mut self, now: Now, setup: Setup) -> Result<(), String> {
        let trust = self.trust.renewed(&setup)?;
        if !trust.includes(&self.trust) {
            for path in &mut self.paths {
                path.close(&mut self.session, now, "keys were changed");
            }
        }
        self.tls = trust.tls()?;
        self.trust = trust;
        self.session.introduce(setup.introduction.clone());
        self.setup = setup;
        self.setup.keys.wipe();
        self.arrange_paths(now);
        Ok(())
    }

    // Replaces the list of paths. An unchanged path continues, whatever its position in the file.
    fn arrange_paths(&mut self, now: Now) {
        let (port, listens) = (self.setup.port, self.listens());
        let mut old: Vec<Option<Path>> = self.paths.drain(..).map(Some).collect();
        let mut order = Vec::new();
        for (index, wanted) in self.setup.paths.iter().enumerate() {
            let is_it = |path: &Option<Path>| {
                path.as_ref()
                    .is_some_and(|path| path.is_of(wanted, port, listens))
            };
            let known = old.iter().position(is_it);
            let kept = known.and_then(|known| old.get_mut(known)?.take());
            order.push(known);
            self.paths.push(match kept {
                Some(path) => path.moved_to(index),
                None => Path::new(index, wanted.clone(), port, listens),
            });
        }
        for mut gone in old.into_iter().flatten() {
            gone.close(&mut self.session, now, "it is no longer configured");
        }
        self.session.arrange_paths(&order);
    }

    pub fn handle_ready(
        &mut self,
        now: Now,
        scratch: &mut [u8],
        index: usize,
        ready: (Source, bool, bool),
    ) {
        if let Some(path) = self.paths.get_mut(index) {
            path.handle_ready(&mut self.session, now, &self.tls, scratch, ready);
        }
    }

    pub fn next_timeout(&self, now: Now) -> u64 {
        let up = self.session.is_up();
        let paths = self.paths.iter().filter_map(|path| path.next_timeout(up));
        paths
            .chain(self.session.next_timeout(now))
            .min()
            .unwrap_or(u64::MAX)
    }

    pub fn handle_timeout(&mut self, now: Now) {
        self.session.handle_timeout(now);
        for path in &mut self.paths {
            path.handle_timeout(&self.session, now, &self.tls);
        }
    }

    pub fn transmit(&mut self, now: Now) -> bool {
        let mut more = false;
        for path in &mut self.paths {
            more |= path.transmit(&mut self.session, now);
        }
        more
    }

    /// Passes events to the host. Returns true if the state of the link has changed.
    pub fn drain_events(&mut self, host: &mut Host, now: Now) -> bool {
        let mut changed = false;
        while let Some(event) = self.session.poll_event() {
            changed |= !matches!(event, Event::Heard(_) | Event::Marked { .. });
            match event {
                Event::Up(introduction) => host.tell(&FromLink::Up(introduction)),
                Event::Down(why) => host.tell(&FromLink::Down { why }),
                Event::Heard(word) => host.tell_word(word),
                Event::Wire { plugin, agreed } => host.tell(&FromLink::Wire { plugin, agreed }),
                Event::RefusalOver { plugin } => host.tell(&FromLink::RefusalOver { plugin }),
                Event::Marked { id, channel } => host.tell(&FromLink::Marked { id, channel }),
                Event::Joined(path) => {
                    if let Some(path) = self.paths.get_mut(path) {
                        path.handle_joined(now);
                    }
                }
                Event::Moved { from, to, why } => {
                    let name = |index: usize| {
                        let path = self.setup.paths.get(index);
                        path.map_or("", |path| path.interface.as_str())
                    };
                    let text = format!(
                        "link {}: {why}; the data moves to link {}",
                        name(from),
                        name(to)
                    );
                    host.event("path-change", text);
                }
                Event::Close { path, why } => {
                    if let Some(path) = self.paths.get_mut(path) {
                        path.drop_current(&mut self.session, now, &why);
                    }
                }
                Event::Lost(why) => host.log(LogLevel::Warn, why),
            }
        }
        for path in &mut self.paths {
            for (reason, text) in path.poll_news() {
                changed = true;
                host.event(reason, text);
            }
        }
        changed
    }

    pub fn state(&self, now: Now) -> State {
        let mut state = State {
            paths: self.paths.iter().map(Path::state).collect(),
            ..State::default()
        };
        self.session.state(&mut state);
        for index in self.session.silent_paths(now) {
            if let Some(path) = state.paths.get_mut(index) {
                path.silent = true;
            }
        }
        state.answers_ping = self.answers_ping(now);
        state
    }

    /// Returns true if the peer's machine answers a ping on any path; None during a session.
    pub fn answers_ping(&self, now: Now) -> Option<bool> {
        let paths = self.paths.iter().filter(|_| !self.session.is_up());
        paths.filter_map(|path| path.answers_ping(now)).max()
    }
}
