//! Thread for charon: it sleeps until charon reports a change, or a command arrives.

mod loaded;
mod pools;
mod presence;
mod session;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::engine::{ChildName, DaemonEvent, NamedSpi};

use super::ViciEvent;
use super::adopt::{Adopted, Adoption};
use super::client::{Client, Fault};
use super::codec::Section;
use super::list::{self, Sas};
use super::list_schedule::ListSchedule;
use super::stop_signal::StopSignal;
use super::withhold::Withholding;
use loaded::AwaitedConnections;
use presence::CharonPresence;
use session::CharonSession;

/// Time limit of one command, such as a list of all SAs.
const TIMEOUT: Duration = Duration::from_secs(10);
/// charon's own time limit of an initiation in ms; the answer has to come soon after.
const INITIATE_MS: &str = "10000";
const INITIATE: Duration = Duration::from_secs(15);
/// Limit of initiations at a time: each occupies one of charon's sixteen threads, with a dead peer
/// until the time limit.
const INITIATIONS_MAX: usize = 4;

/// Intervals between tries to connect: without a socket, with one, during a failover.
const RETRY_ABSENT: Duration = Duration::from_secs(2);
const RETRY: Duration = Duration::from_secs(1);
const RETRY_ADOPTING: Duration = Duration::from_millis(500);
/// Interval for a charon that is to take over sessions, and its duration.
const RETRY_EXPECTED: Duration = Duration::from_millis(50);
const EXPECTED: Duration = Duration::from_secs(60);
/// Delay of reads after an event, since events come in bursts.
const COALESCE: Duration = Duration::from_millis(50);

const EVENTS: [&str; 4] = ["child-updown", "child-rekey", "ike-updown", "ike-rekey"];

pub enum Order {
    Adopt(Vec<ChildName>, BTreeSet<u32>),
    Forget,
    Ping,
    List,
    Withhold(BTreeSet<IpAddr>),
    AwaitConnections(BTreeSet<String>),
    GiveUp(BTreeSet<String>),
    Expect,
}

pub struct Thread {
    socket: PathBuf,
    orders: Receiver<Order>,
    bell: Arc<OwnedFd>,
    stop_signal: StopSignal,
    events: EventSender,
    /// None while there is no connection to charon.
    session: Option<CharonSession>,
    connecting: Connecting,
    presence: CharonPresence,
    /// True while a ping waits for its answer.
    is_pinged: bool,
    /// Names reported last; None before the first report.
    names: Option<Vec<NamedSpi>>,
    adoption: Option<Adoption>,
    adopt_at: Instant,
    list_schedule: ListSchedule,
    withholding: Withholding,
    awaited: Option<AwaitedConnections>,
}

/// Times of tries to connect to charon.
struct Connecting {
    next_at: Instant,
    /// Time until which a start of charon is expected.
    expected_until: Instant,
}

impl Connecting {
    fn new(now: Instant) -> Self {
        Self {
            next_at: now,
            expected_until: now,
        }
    }

    /// Returns the longest pause before the next try, which is `latest` unless a start is expected.
    fn pause(&self, now: Instant, latest: Duration) -> Duration {
        if now < self.expected_until {
            RETRY_EXPECTED
        } else {
            latest
        }
    }
}

/// Sends events to the engine.
struct EventSender {
    events: SyncSender<ViciEvent>,
    wake: Box<dyn Fn() + Send>,
}

impl EventSender {
    fn send(&self, event: ViciEvent) {
        // if the engine is gone, this thread is told to end, too
        let _ = self.events.send(event);
        (self.wake)();
    }
}

impl Thread {
    pub fn new(
        socket: PathBuf,
        orders: Receiver<Order>,
        events: SyncSender<ViciEvent>,
        bell: &Arc<OwnedFd>,
        stop_signal: &StopSignal,
        wake: Box<dyn Fn() + Send>,
    ) -> Self {
        let now = Instant::now();
        Self {
            socket,
            orders,
            bell: Arc::clone(bell),
            stop_signal: stop_signal.clone(),
            events: EventSender { events, wake },
            session: None,
            connecting: Connecting::new(now),
            presence: CharonPresence::default(),
            is_pinged: false,
            names: None,
            adoption: None,
            adopt_at: now,
            list_schedule: ListSchedule::new(now),
            withholding: Withholding::new(now),
            awaited: None,
        }
    }

    pub fn run(mut self) {
        while !self.stop_signal.is_sent() {
            while let Ok(order) = self.orders.try_recv() {
                self.handle_order(order);
            }
            if let Err(fault) = self.work() {
                self.handle_fault(fault.to_string());
            }
            self.wait();
        }
    }

    fn handle_order(&mut self, order: Order) {
        let now = Instant::now();
        let adoption = match order {
            Order::Adopt(names, known) => Some(Adoption::new(now, names, known)),
            Order::Forget => None,
            Order::Ping => return self.is_pinged = true,
            Order::List => return self.order_list(now),
            Order::Withhold(addresses) => return self.order_withholding(now, addresses),
            Order::Expect => return self.expect(now),
            Order::GiveUp(connections) => return self.order_giving_up(connections),
            Order::AwaitConnections(names) => {
                return self.awaited = Some(AwaitedConnections::new(now, names));
            }
        };
        if let Some(session) = &mut self.session {
            session.forget_initiations();
        }
        self.adoption = adoption;
        self.adoption.take_if(|adoption| adoption.is_done());
        self.adopt_at = now;
        if self.adoption.is_some() && self.session.is_none() {
            self.connecting.next_at = now;
        }
    }

    fn expect(&mut self, now: Instant) {
        self.connecting.expected_until = now + EXPECTED;
        if self.session.is_none() {
            self.connecting.next_at = now;
        }
    }

    // A charon that has ended has given up all.
    fn order_giving_up(&mut self, connections: BTreeSet<String>) {
        match &mut self.session {
            Some(session) => session.given_up = Some(connections),
            None => self.report(ViciEvent::GivenUp),
        }
    }

    fn order_list(&mut self, now: Instant) {
        match self.session {
            Some(_) => self.list_schedule.ask(now),
            None => self.report(ViciEvent::Listed(None)),
        }
    }

    fn work(&mut self) -> Result<(), Fault> {
        self.report_missing();
        if self.session.is_none() && self.connecting.next_at <= Instant::now() {
            self.connect()?;
        }
        if self.session.is_some() {
            self.withhold()?;
            self.answer_ping()?;
            self.handle_events()?;
            self.look_for_connections()?;
            self.give_up()?;
            self.handle_initiations();
            self.adopt()?;
            self.list()?;
        }
        Ok(())
    }

    fn connect(&mut self) -> Result<(), Fault> {
        let client = Client::connect(&self.socket, &self.stop_signal, TIMEOUT);
        match client {
            Ok(client) => self.begin_session(client),
            Err(Errno::NOENT | Errno::CONNREFUSED) => {
                self.handle_absent();
                Ok(())
            }
            Err(error) => Err(Fault::Broken(error.to_string())),
        }
    }

    // Subscribes to events first: none may be missed between the subscription and the list.
    fn begin_session(&mut self, mut client: Client) -> Result<(), Fault> {
        for event in EVENTS {
            client.subscribe(event)?;
        }
        let sas = list::sas(&mut client)?;
        let release = list::release(&mut client)?;
        self.session = Some(CharonSession::new(client));
        self.adopt_at = Instant::now();
        self.list_schedule.begin(self.adopt_at);
        self.withholding.begin(self.adopt_at);
        if self.presence.handle_answer() {
            self.note("connected to charon".to_owned());
            if let Some(release) = release {
                self.report(ViciEvent::Release(release));
            }
            self.report(ViciEvent::Running(sas.ikes.clone()));
            self.report(ViciEvent::Daemon(DaemonEvent::Started));
        }
        self.report_names(&sas);
        Ok(())
    }

    fn look_for_connections(&mut self) -> Result<(), Fault> {
        let now = Instant::now();
        let is_due = |it: &&mut AwaitedConnections| it.look_at() <= now;
        let Some(awaited) = self.awaited.as_mut().filter(is_due) else {
            return Ok(());
        };
        let Some(session) = &mut self.session else {
            return Ok(());
        };
        let connections = list::connections(&mut session.client)?;
        if let Some(missing) = awaited.handle_list(now, connections.keys()) {
            self.awaited = None;
            self.report(ViciEvent::Loaded(missing));
        }
        Ok(())
    }

    fn give_up(&mut self) -> Result<(), Fault> {
        let Some(session) = &mut self.session else {
            return Ok(());
        };
        let Some(connections) = session.given_up.take() else {
            return Ok(());
        };
        let given_up = list::give_up(&mut session.client, &connections)?;
        if given_up > 0 {
            log::debug!("charon has given up {given_up} IKE SAs beside those that it got");
        }
        self.report(ViciEvent::GivenUp);
        Ok(())
    }

    // Reads a list that was begun after the ping.
    fn answer_ping(&mut self) -> Result<(), Fault> {
        if let Some(session) = self.session.as_mut().filter(|_| self.is_pinged) {
            let sas = list::sas(&mut session.client)?;
            self.is_pinged = false;
            self.report_names(&sas);
            self.report(ViciEvent::Daemon(DaemonEvent::Answered));
        }
        Ok(())
    }

    fn handle_events(&mut self) -> Result<(), Fault> {
        let Some(session) = &mut self.session else {
            return Ok(());
        };
        let now = Instant::now();
        if session.client.take_events()? {
            session.list_at.get_or_insert(now + COALESCE);
        }
        if session.list_at.take_if(|at| *at <= now).is_some() {
            let sas = list::sas(&mut session.client)?;
            self.report_names(&sas);
            self.adopt_at = now;
            self.list_schedule.handle_sas(now);
        }
        Ok(())
    }

    /// Reads the lists for the check, if it is time.
    fn list(&mut self) -> Result<(), Fault> {
        let now = Instant::now();
        let Some(session) = self
            .session
            .as_mut()
            .filter(|_| self.list_schedule.due() <= now)
        else {
            return Ok(());
        };
        let mut listed = list::all(&mut session.client)?;
        for pool in &mut listed.pools {
            *pool = self.withholding.as_loaded(pool.clone());
        }
        if let Some(listed) = self.list_schedule.handle_listed(now, listed) {
            self.report(ViciEvent::Listed(Some(listed)));
        }
        Ok(())
    }

    fn report_names(&mut self, sas: &Sas) {
        let names = sas.names();
        if self.names.as_ref() != Some(&names) {
            self.names = Some(names.clone());
            self.report(ViciEvent::Names(names));
        }
    }

    /// Reads charon's SAs, and initiates the next child.
    fn adopt(&mut self) -> Result<(), Fault> {
        let now = Instant::now();
        let (Some(session), Some(adoption)) = (&mut self.session, &mut self.adoption) else {
            return Ok(());
        };
        if now < self.adopt_at || session.room() == 0 {
            return Ok(());
        }
        self.adopt_at = now + adoption.look_after(now);
        session
            .connections
            .take_if(|(at, _)| *at + RETRY_ADOPTING <= now);
        let connections = match session.connections.take() {
            Some(listed) => listed,
            None => (now, list::connections(&mut session.client)?),
        };
        let sas = list::sas(&mut session.client)?;
        let told = adoption.handle_lists(now, &connections.1, &sas);
        session.connections = Some(connections);
        let room = session.room();
        let next: Vec<ChildName> = (0..room).map_while(|_| adoption.begin(now, &sas)).collect();
        self.report_names(&sas);
        self.report_adopted(told);
        next.into_iter().try_for_each(|name| self.initiate(name))
    }

    fn initiate(&mut self, name: ChildName) -> Result<(), Fault> {
        let message = Section::new()
            .value("child", &name.child)
            .value("ike", &name.ike)
            .value("timeout", INITIATE_MS);
        let client = Client::connect(&self.socket, &self.stop_signal, INITIATE);
        let mut client = client.map_err(|error| Fault::Broken(error.to_string()))?;
        let deadline = client.begin("initiate", message)?;
        if let Some(session) = &mut self.session {
            session.begin(name, client, deadline);
        }
        Ok(())
    }

    fn handle_initiations(&mut self) {
        let now = Instant::now();
        let session = self.session.as_mut();
        for (name, answer) in session.map_or_else(Vec::new, |it| it.take_answers(now)) {
            self.handle_initiated(now, &name, answer);
        }
    }

    fn handle_initiated(&mut self, now: Instant, name: &ChildName, answer: Result<(), String>) {
        self.adopt_at = now;
        let Some(adoption) = &mut self.adoption else {
            return;
        };
        let told = match answer {
            Ok(()) => adoption.handle_established(name),
            Err(why) => adoption.handle_failed(now, name, why),
        };
        self.report_adopted(told);
    }

    fn report_adopted(&mut self, told: impl IntoIterator<Item = Adopted>) {
        for (name, result) in told {
            self.report(ViciEvent::Adopted(name, result));
        }
        self.adoption.take_if(|adoption| adoption.is_done());
    }

    fn report_missing(&mut self) {
        let adoption = self.adoption.as_mut();
        let is_running = self.presence.is_running();
        let note =
            adoption.and_then(|adoption| adoption.report_missing(Instant::now(), is_running));
        if let Some(note) = note {
            self.note(note);
        }
    }

    /// Returns the time of the next try to connect, at the latest after `latest`.
    fn next_connect_at(&self, now: Instant, latest: Duration) -> Instant {
        let sooner = self.withholding.connect_after(now);
        let latest = self.connecting.pause(now, latest);
        now + sooner.map_or(latest, |it| it.min(latest))
    }

    /// Handles a fault, which is logged once for all tries that fail with it.
    fn handle_fault(&mut self, why: String) {
        if self.presence.is_running() {
            self.withholding.expect(Instant::now());
        }
        self.disconnect(RETRY);
        if self.stop_signal.is_sent() {
            return;
        }
        let loss = self.presence.handle_fault(why);
        self.is_pinged &= !loss.was_running;
        if let Some(note) = loss.note {
            self.note(note);
        }
        if loss.is_end {
            self.report(ViciEvent::Daemon(DaemonEvent::Ended));
        }
    }

    /// Handles the absence of charon.
    fn handle_absent(&mut self) {
        let again = if self.socket.exists() {
            RETRY
        } else {
            RETRY_ABSENT
        };
        self.disconnect(again);
        if self.presence.handle_absent() {
            self.report(ViciEvent::Daemon(DaemonEvent::Absent));
        }
    }

    fn disconnect(&mut self, again: Duration) {
        let again = match self.adoption {
            Some(_) => RETRY_ADOPTING,
            None => again,
        };
        self.session = None;
        self.awaited = None;
        if self.list_schedule.handle_fault() {
            self.report(ViciEvent::Listed(None));
        }
        if let Some(adoption) = &mut self.adoption {
            adoption.handle_lost();
        }
        self.connecting.next_at = self.next_connect_at(Instant::now(), again);
    }

    fn note(&mut self, line: String) {
        self.report(ViciEvent::Note(line));
    }

    fn report(&mut self, event: ViciEvent) {
        self.events.send(event);
    }

    fn wait(&self) {
        let left = self.due().saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).ok();
        let mut descriptors = vec![
            PollFd::new(&self.bell, PollFlags::IN),
            PollFd::new(&self.stop_signal, PollFlags::IN),
        ];
        for client in self.session.iter().flat_map(CharonSession::clients) {
            descriptors.push(PollFd::from_borrowed_fd(client.as_fd(), PollFlags::IN));
        }
        let _ = poll(&mut descriptors, left.as_ref());
        let _ = rustix::io::read(&self.bell, &mut [0; 8]);
    }

    /// Returns the time of the next work without a command.
    fn due(&self) -> Instant {
        let Some(session) = &self.session else {
            return self.connecting.next_at;
        };
        let adopts = self.adoption.is_some() && session.room() > 0;
        let due = [
            session.list_at,
            adopts.then_some(self.adopt_at),
            Some(self.list_schedule.due()),
            self.withholding.due(),
            self.awaited.as_ref().map(AwaitedConnections::look_at),
        ];
        let due = due.into_iter().flatten().chain(session.deadlines()).min();
        due.unwrap_or_else(|| Instant::now() + RETRY_ABSENT)
    }
}
