//! I/O of tunnels on this node: its kernel, its addresses, its IKE daemon.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;

use spared_sdk::{Error, Host, Interest};

use crate::config::Settings;
use crate::engine::{Action, Engine, MissingFeature, TunnelRoute};
use crate::kernel::{Addresses, Hold, Kernel, Openings, Routes, Silence, forwarded};
use crate::sessions::Charon;
use crate::state_file::StateFile;
use crate::vici::Daemon;

/// Last error of an operation, so that it is logged once.
#[derive(Default)]
struct Fault(Option<String>);

impl Fault {
    fn log_once<T>(&mut self, what: &str, done: io::Result<T>) -> Option<T> {
        let why = done.as_ref().err().map(ToString::to_string);
        if let Some(text) = why.as_ref().filter(|_| self.0 != why) {
            log::warn!("{what}: {text}");
        }
        self.0 = why;
        done.ok()
    }
}

pub struct Node {
    pub kernel: Kernel,
    pub addresses: Addresses,
    pub daemon: Daemon,
    pub silence: Silence,
    pub routes: Routes,
    route_fault: Fault,
    forward_fault: Fault,
    hold: Hold,
    openings: Openings,
    opening_fault: Fault,
    pub charon: Charon,
    /// Files for ended tunnels, for tunnels that the IKE daemon is still to establish, and for the time since which the
    /// nodes may differ.
    ended: StateFile,
    unadopted: StateFile,
    separation: StateFile,
}

impl Node {
    /// Opens the interfaces; None on a kernel without IPsec. Missing features are reported to the engine.
    ///
    /// # Errors
    /// Errors of the kernel or of the host.
    pub fn open(
        host: Host,
        settings: &Settings,
        engine: &mut Engine,
    ) -> Result<Option<Self>, Error> {
        let mut kernel = match Kernel::open() {
            Err(error) if is_absent(&error) => {
                report_missing_feature(engine, MissingFeature::Ipsec);
                return Ok(None);
            }
            kernel => kernel.map_err(Error::kernel("open netlink sockets"))?,
        };
        if !kernel.has_esp() {
            report_missing_feature(engine, MissingFeature::Esp);
        }
        let folder = host.state_folder();
        let [ended, unadopted, separation] = StateFile::all(folder.as_deref());
        engine.handle_saved_ended(host.now(), &ended.read());
        engine.handle_saved_unadopted(host.now(), &unadopted.read());
        engine.handle_saved_separation(host.now(), &separation.read());
        let addresses = Addresses::open().map_err(Error::kernel("watch addresses"))?;
        let charon = Charon::open(host.now(), settings.adopt.socket.is_some());
        let (waker, socket) = (host.waker(), settings.adopt.socket.clone());
        let daemon = Daemon::start(socket, move || waker.wake());
        for fd in [kernel.fd(), addresses.fd()].into_iter().chain(charon.fd()) {
            host.watch_fd(fd, Interest::READ)?;
        }
        Ok(Some(Self {
            kernel,
            charon,
            addresses,
            daemon: daemon.map_err(Error::kernel("start a thread"))?,
            silence: Silence::open().map_err(Error::kernel("open a netlink socket"))?,
            routes: Routes::open(settings.routing_table)
                .map_err(Error::kernel("open a netlink socket"))?,
            route_fault: Fault::default(),
            forward_fault: Fault::default(),
            hold: Hold::open(folder.as_deref()).map_err(Error::kernel("open a netlink socket"))?,
            openings: Openings::open().map_err(Error::kernel("open a netlink socket"))?,
            opening_fault: Fault::default(),
            ended,
            unadopted,
            separation,
        }))
    }

    /// Performs an action of the engine.
    ///
    /// # Errors
    /// The kernel does not list its tunnels.
    pub fn perform(
        &mut self,
        host: Host,
        engine: &mut Engine,
        now_ns: u64,
        action: Action,
    ) -> Result<(), Error> {
        match action {
            Action::Read => {
                return self.kernel.read().map_err(|error| {
                    engine.handle_read(now_ns, false);
                    Error::kernel("read its tunnels")(error)
                });
            }
            Action::Apply(changes) => {
                let refused = self.kernel.apply(&changes);
                engine.handle_applied(now_ns, changes, &refused);
            }
            Action::Warn(text) => log::warn!("{text}"),
            Action::Event(text) => host.event(&text),
            Action::Adopt(names, known) => self.daemon.adopt(names, known),
            Action::CancelAdoption => self.daemon.forget(),
            Action::Withhold(addresses) => self.daemon.withhold(addresses),
            Action::Ping => self.daemon.ping(),
            Action::Silence(ends) => self.silence(host, ends),
            Action::BlockOpenings(ends) => self.block_openings(ends),
            Action::Routes(routes) => self.set_routes(&routes),
            Action::Stop(ids) => {
                let stopped = self.kernel.stop(&ids).into_iter();
                let stopped: Vec<_> = stopped
                    .map(|(id, replay)| (id, replay.map(|it| it.oseq)))
                    .collect();
                engine.handle_stopped_sas(now_ns, &stopped);
            }
            Action::Detach(ids, new_sas) => {
                let detached = match self.hold.guard(&new_sas) {
                    Ok(()) => self.kernel.stop(&ids),
                    Err(error) => {
                        log::warn!("IKE sessions do not follow: nf_tables: {error}");
                        Vec::new()
                    }
                };
                engine.handle_detached(now_ns, detached);
            }
            Action::Segment(is_active, version) => {
                if let Some(fd) = self.charon.open_again(now_ns) {
                    host.watch_fd(fd, Interest::READ)?;
                }
                let done = self.charon.set_segment(version, is_active);
                engine.handle_segment(now_ns, done);
            }
            Action::ExpectDaemon => self.daemon.expect(),
            Action::GiveUp(connections) => self.daemon.give_up(connections),
            Action::AwaitConnections(names) => self.daemon.await_connections(names),
            Action::Tell(messages) => {
                let done = self.charon.tell(&messages);
                engine.handle_told(now_ns, messages, done);
            }
            Action::AwaitRead => engine.handle_messages_read(now_ns, self.charon.has_read()),
            Action::CountForwarded => engine.handle_forwarded(now_ns, self.forwarded()),
            Action::Hold(traffic) => warn_unheld(self.hold.begin(&traffic)),
            Action::ReleaseForwarded => self.hold.release_forwarded(),
            Action::EndHold => match self.hold.end() {
                Ok(true) => {}
                Ok(false) => engine.handle_still_held(now_ns),
                Err(error) => warn_unheld(Err(error)),
            },
            Action::SaveEnded(bytes) => self.ended.write(&bytes),
            Action::SaveUnadopted(bytes) => self.unadopted.write(&bytes),
            Action::SaveSeparation(bytes) => self.separation.write(&bytes),
            Action::Pause => {}
        }
        Ok(())
    }

    /// Returns the number of forwarded packets, if it can be read; a failure is logged once.
    fn forwarded(&mut self) -> Option<u64> {
        const WHAT: &str = "packets that come late in a switchover may be lost, as forwarded ones cannot be counted";
        self.forward_fault.log_once(WHAT, forwarded())
    }

    /// Describes the greatest number of packets that wait in a switchover.
    pub fn hold_capacity(&self) -> String {
        self.hold.capacity()
    }

    /// Passes changes that the kernel reports to the engine.
    ///
    /// # Errors
    /// Errors of the socket.
    pub fn read_events(&mut self, engine: &mut Engine, now_ns: u64) -> io::Result<()> {
        engine.handle_notifications(now_ns, self.kernel.events()?);
        Ok(())
    }

    /// Passes pending changes to the engine, before a later event.
    pub fn catch_up(&mut self, engine: &mut Engine, now_ns: u64) {
        if let Err(error) = self.read_events(engine, now_ns) {
            log::warn!("cannot receive change notifications: {error}");
        }
    }

    /// Prevents IKE requests that could end a tunnel from leaving with these addresses.
    pub fn silence(&mut self, host: Host, ends: BTreeSet<IpAddr>) {
        if let Some(fd) = self.silence.fd() {
            host.unwatch_fd(fd);
        }
        let done = self.silence.set(ends);
        warn_unsilenced(done);
        if let Some(fd) = self.silence.fd() {
            if let Err(error) = host.watch_fd(fd, Interest::READ) {
                log::warn!("cannot receive change notifications of nf_tables: {error}");
            }
        }
    }

    /// Restores that after others changed nf_tables.
    pub fn restore_silence(&mut self) {
        warn_unsilenced(self.silence.restore());
    }

    /// Sets the routes into tunnels.
    pub fn set_routes(&mut self, routes: &BTreeSet<TunnelRoute>) {
        let done = self.routes.set(routes);
        self.route_fault
            .log_once("routes into tunnels are missing", done);
    }

    /// Prevents this node from beginning IKE SAs between these ends.
    fn block_openings(&mut self, ends: BTreeSet<(IpAddr, IpAddr)>) {
        let risk = if ends.is_empty() {
            "the table spared-ipsec-init stays for up to 5 minutes, and drops charon's first requests to some far ends"
        } else {
            "charon may begin a second session beside one that it gets"
        };
        let done = self.openings.block(ends);
        self.opening_fault.log_once(risk, done);
    }

    pub fn close(mut self, host: Host) {
        self.silence(host, BTreeSet::new());
        self.block_openings(BTreeSet::new());
        warn_unheld(self.hold.close());
        let fds = [self.kernel.fd(), self.addresses.fd()];
        for fd in fds.into_iter().chain(self.charon.fd()) {
            host.unwatch_fd(fd);
        }
        self.daemon.stop();
    }
}

fn warn_unheld(done: io::Result<()>) {
    if let Err(error) = done {
        log::warn!("packets of a switchover's first milliseconds may be lost: {error}");
    }
}

fn warn_unsilenced(done: io::Result<()>) {
    if let Err(error) = done {
        log::warn!("nf_tables: an IKE daemon that is being stopped may end tunnels: {error}");
    }
}

fn report_missing_feature(engine: &mut Engine, missing: MissingFeature) {
    log::warn!("{}", missing.text());
    engine.handle_missing_feature(missing);
}

/// Returns true if the kernel has no netlink interface of IPsec.
fn is_absent(error: &io::Error) -> bool {
    const EPROTONOSUPPORT: i32 = 93;
    error.raw_os_error() == Some(EPROTONOSUPPORT)
}
