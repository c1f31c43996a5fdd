//! Executes the engine's actions.

use std::sync::Arc;

use rustix::io::Errno;
use spared_sdk::{Error, Interest, Publication, Role};

use crate::Vrrp;
use crate::engine::{Action, Engine, SwitchoverAnswer};
use crate::links::Links;
use crate::sockets::{Sockets, neighbours};

/// Error of the host while a switchover of the group is under way.
const EALREADY: i32 = Errno::ALREADY.raw_os_error();
const EHOSTUNREACH: i32 = Errno::HOSTUNREACH.raw_os_error();

impl Vrrp {
    pub(crate) fn with_engine(&mut self, call: impl FnOnce(&mut Engine, u64)) {
        self.execute_directives();
        if let Some(engine) = &mut self.engine {
            call(engine, self.host.now());
        }
        self.execute_actions();
    }

    /// Executes the actions that directives caused, before the engine gets any other input.
    pub(crate) fn execute_directives(&mut self) {
        if !self.directed.is_empty() {
            self.execute_actions();
        }
    }

    /// Executes the engine's actions, then sets the timer.
    pub(crate) fn execute_actions(&mut self) {
        self.directed.clear();
        self.execute_all();
        self.execute_agreement();
        self.execute_all();
        let engine = self.engine.as_ref().and_then(Engine::next_timeout);
        let links = self.links.as_ref().and_then(Links::next_timeout);
        let look = self.engine.as_ref().and_then(Engine::address_check_timeout);
        let others = [links, look, self.second_machine.next_timeout()];
        let times = engine.into_iter().chain(others.into_iter().flatten());
        self.alarm.set(times.min());
    }

    pub(crate) fn execute_all(&mut self) {
        while let Some(action) = self.next_action() {
            self.execute(action);
        }
    }

    // Messages of a node that became active meanwhile, or took the group back, wait in the sockets.
    fn next_action(&mut self) -> Option<Action> {
        let engine = self.engine.as_ref()?;
        if engine.asks_to_be_active() {
            self.read_sockets();
        }
        self.engine.as_mut()?.poll_action()
    }

    fn execute(&mut self, action: Action) {
        let Some(engine) = &mut self.engine else {
            return;
        };
        match action {
            Action::Transmit(id) => {
                let Some(outgoing) = engine.packet(id) else {
                    return;
                };
                let sockets = self.sockets.get(outgoing.interface);
                let sent = sockets.map(|sockets| sockets.send(outgoing.to, outgoing.bytes));
                if !matches!(sent, Some(Ok(()))) {
                    engine.handle_unsent(self.host.now(), id);
                }
            }
            Action::Publish { group, role, cause } => {
                let mut roles = vec![(group.clone(), Publication::new(role, cause))];
                for action in engine.poll_publications(&group) {
                    if let Action::Publish { group, role, cause } = action {
                        roles.push((group, Publication::new(role, cause)));
                    }
                }
                self.publish(&roles);
            }
            Action::Explain { group, role, cause } => {
                if let Err(error) = self.groups.explain(&group, role, &cause) {
                    log::warn!("{group}: {error}");
                }
            }
            Action::Reopen { group, cause } => {
                // messages of a node that became active meanwhile wait in the sockets
                self.read_sockets();
                let engine = self.engine.as_ref();
                if !engine.is_some_and(|engine| engine.wants_active(&group)) {
                    return;
                }
                let done = self.groups.reopen(&group, &cause);
                if let Err(error) = &done {
                    log::warn!("{group}: {error}");
                }
                self.read_sockets();
                self.handle_answer(&group, Role::Active, done.is_ok());
            }
            Action::LastAdvert {
                interface,
                to,
                bytes,
            } => {
                // the last packet of a removed virtual router: a node that misses it waits a little longer
                let _ = self
                    .sockets
                    .get(interface)
                    .map(|sockets| sockets.send(to, &bytes));
            }
            Action::Heartbeat => {
                if let Some(links) = &mut self.links {
                    let now_ns = self.host.now();
                    let (heartbeats, targets) = engine.heartbeat(now_ns);
                    let sockets = &self.sockets;
                    links.send(now_ns, heartbeats, targets, |interface, to, bytes| {
                        let sockets = sockets.get(interface);
                        sockets.is_some_and(|sockets| sockets.send(to, bytes).is_ok())
                    });
                }
            }
            Action::Check {
                name,
                weight,
                state,
                why,
            } => {
                if let Err(error) = self.host.checks().report(&name, weight, state, why) {
                    log::warn!("{error}");
                }
            }
            Action::ForgetCheck(name) => {
                if let Err(error) = self.host.checks().forget(&name) {
                    log::warn!("{error}");
                }
            }
            Action::SwitchOver { group, cause } => {
                let answer = match self.groups.switch_over(&group, &cause) {
                    Ok(()) => SwitchoverAnswer::Begun,
                    Err(Error::Host { errno, .. }) if errno == EALREADY => {
                        SwitchoverAnswer::AlreadyBegun
                    }
                    // the findings about the links report it as long as no link is up
                    Err(Error::Host { errno, .. }) if errno == EHOSTUNREACH => {
                        log::debug!("{group}: not switched over: no link is up");
                        SwitchoverAnswer::Refused
                    }
                    Err(error) => {
                        log::info!("{group}: {error}");
                        SwitchoverAnswer::Refused
                    }
                };
                engine.handle_switch_over_answer(self.host.now(), &group, answer);
            }
            Action::Announce(group) => {
                if let Err(error) = self.groups.announce(&group) {
                    log::warn!("{group}: {error}");
                }
            }
            Action::Event(text) => self.host.event(&text),
            Action::Conflict(text) => self.host.conflict(&text),
            Action::Warn(text) => log::warn!("{text}"),
            Action::Info(text) => log::info!("{text}"),
            Action::Listen { interface, on } => self.listen(interface, on),
            Action::FindNeighbours(interface) => {
                let name = engine.interfaces().nth(interface).map(str::to_owned);
                let found = name.map_or(Vec::new(), |name| neighbours(&name));
                engine.handle_neighbours(self.host.now(), interface, &found);
            }
            Action::Probe { interface, frame } => {
                let sent = self
                    .sockets
                    .get(interface)
                    .map(|sockets| sockets.probe(&frame));
                if let Some(Err(error)) = sent {
                    log::debug!("probe: {error}");
                }
            }
        }
    }

    /// Publishes the roles of several groups in one call.
    fn publish(&mut self, roles: &[(Arc<str>, Publication)]) {
        let wanted = roles.iter().map(|(group, wanted)| (&**group, wanted));
        let results = self.groups.publish_all(&wanted.collect::<Vec<_>>());
        if roles.iter().any(|(_, it)| it.role == Role::Active) {
            self.read_sockets();
        }
        for ((group, it), done) in roles.iter().zip(results) {
            if let Err(error) = &done {
                log::warn!("{group}: {error}");
            }
            self.handle_answer(group, it.role, done.is_ok());
        }
    }

    // Passes the host's answer to the engine. The answer may have taken long: adverts of a router that became active
    // meanwhile were read from the sockets before.
    fn handle_answer(&mut self, group: &str, role: Role, done: bool) {
        if let Some(engine) = &mut self.engine {
            engine.handle_published(self.host.now(), group, role, done);
        }
    }

    fn listen(&mut self, index: usize, on: bool) {
        let stations = self.sockets.get(index).and_then(Sockets::stations);
        let Some(fd) = stations else { return };
        if !on {
            return self.host.unwatch_fd(fd);
        }
        // frames that wait there are older than the question
        self.read_claims(index);
        if let Err(error) = self.host.watch_fd(fd, Interest::READ) {
            log::error!("{error}");
        }
    }
}
