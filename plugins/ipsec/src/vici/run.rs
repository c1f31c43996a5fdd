//! Thread for charon: it sleeps until charon reports a change, or a command arrives.

mod pools;
mod presence;
mod talk;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::engine::{ChildName, DaemonWord, Named};

use super::ViciEvent;
use super::adopt::{Adopted, Adoption};
use super::client::{Client, Fault};
use super::codec::Section;
use super::end::End;
use super::list::{self, Sas};
use super::listing::Listing;
use super::withhold::Withholding;
use presence::CharonPresence;
use talk::Talk;

/// Time limit of one command, such as a list of all SAs.
const TIMEOUT: Duration = Duration::from_secs(10);
/// charon's own time limit of an initiation in ms; the answer has to come soon after.
const INITIATE_MS: &str = "10000";
const INITIATE: Duration = Duration::from_secs(15);
/// Limit of initiations at a time: each occupies one of charon's sixteen threads, with a dead peer
/// until the time limit.
const AT_ONCE: usize = 4;

/// Intervals between tries to connect: without a socket, with one, during a failover.
const LOOK: Duration = Duration::from_secs(2);
const RETRY: Duration = Duration::from_secs(1);
const HURRY: Duration = Duration::from_millis(500);
/// Delay of reads after an event, since events come in bursts.
const COALESCE: Duration = Duration::from_millis(50);

const EVENTS: [&str; 4] = ["child-updown", "child-rekey", "ike-updown", "ike-rekey"];

pub enum Order {
    Adopt(Vec<ChildName>, BTreeSet<u32>),
    Forget,
    Greet,
    List,
    Withhold(BTreeSet<IpAddr>),
}

pub struct Thread {
    socket: PathBuf,
    orders: Receiver<Order>,
    bell: Arc<OwnedFd>,
    end: End,
    engine: EngineSide,
    /// None while there is no connection to charon.
    talk: Option<Talk>,
    connect_at: Instant,
    presence: CharonPresence,
    /// True while a greeting waits for its answer.
    greets: bool,
    /// Names reported last; None before the first report.
    names: Option<Vec<Named>>,
    adoption: Option<Adoption>,
    adopt_at: Instant,
    listing: Listing,
    withholding: Withholding,
}

/// Way of events to the engine.
struct EngineSide {
    events: SyncSender<ViciEvent>,
    wake: Box<dyn Fn() + Send>,
}

impl EngineSide {
    fn tell(&self, event: ViciEvent) {
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
        end: &End,
        wake: Box<dyn Fn() + Send>,
    ) -> Self {
        let now = Instant::now();
        Self {
            socket,
            orders,
            bell: Arc::clone(bell),
            end: end.clone(),
            engine: EngineSide { events, wake },
            talk: None,
            connect_at: now,
            presence: CharonPresence::default(),
            greets: false,
            names: None,
            adoption: None,
            adopt_at: now,
            listing: Listing::new(now),
            withholding: Withholding::new(now),
        }
    }

    pub fn run(mut self) {
        while !self.end.is_said() {
            while let Ok(order) = self.orders.try_recv() {
                self.handle_order(order);
            }
            if let Err(fault) = self.work() {
                self.lose(fault.to_string());
            }
            self.wait();
        }
    }

    fn handle_order(&mut self, order: Order) {
        let now = Instant::now();
        let adoption = match order {
            Order::Adopt(names, known) => Some(Adoption::new(now, names, known)),
            Order::Forget => None,
            Order::Greet => return self.greets = true,
            Order::List => return self.order_list(now),
            Order::Withhold(addresses) => return self.order_withholding(now, addresses),
        };
        if let Some(talk) = &mut self.talk {
            talk.forget_initiations();
        }
        self.adoption = adoption;
        self.adoption.take_if(|adoption| adoption.is_done());
        self.adopt_at = now;
        if self.adoption.is_some() && self.talk.is_none() {
            self.connect_at = now;
        }
    }

    fn order_list(&mut self, now: Instant) {
        match self.talk {
            Some(_) => self.listing.ask(now),
            None => self.say(ViciEvent::Listed(None)),
        }
    }

    fn work(&mut self) -> Result<(), Fault> {
        self.note_missing();
        if self.talk.is_none() && self.connect_at <= Instant::now() {
            self.connect()?;
        }
        if self.talk.is_some() {
            self.withhold()?;
            self.answer_greeting()?;
            self.hear()?;
            self.hear_initiations();
            self.adopt()?;
            self.list()?;
        }
        Ok(())
    }

    fn connect(&mut self) -> Result<(), Fault> {
        let client = Client::connect(&self.socket, &self.end, TIMEOUT);
        match client {
            Ok(client) => self.greet(client),
            Err(Errno::NOENT | Errno::CONNREFUSED) => {
                self.go();
                Ok(())
            }
            Err(error) => Err(Fault::Broken(error.to_string())),
        }
    }

    // Subscribes to events first: none may be missed between the subscription and the list.
    fn greet(&mut self, mut client: Client) -> Result<(), Fault> {
        for event in EVENTS {
            client.subscribe(event)?;
        }
        let sas = list::sas(&mut client)?;
        self.talk = Some(Talk::new(client));
        self.adopt_at = Instant::now();
        self.listing.begin(self.adopt_at);
        self.withholding.begin(self.adopt_at);
        if self.presence.handle_answer() {
            self.note("connected to charon".to_owned());
            self.say(ViciEvent::Daemon(DaemonWord::Came));
        }
        self.tell_names(&sas);
        Ok(())
    }

    // Reads a list that was begun after the greeting.
    fn answer_greeting(&mut self) -> Result<(), Fault> {
        if let Some(talk) = self.talk.as_mut().filter(|_| self.greets) {
            let sas = list::sas(&mut talk.client)?;
            self.greets = false;
            self.tell_names(&sas);
            self.say(ViciEvent::Daemon(DaemonWord::Answered));
        }
        Ok(())
    }

    fn hear(&mut self) -> Result<(), Fault> {
        let Some(talk) = &mut self.talk else {
            return Ok(());
        };
        let now = Instant::now();
        if talk.client.take_events()? {
            talk.list_at.get_or_insert(now + COALESCE);
        }
        if talk.list_at.take_if(|at| *at <= now).is_some() {
            let sas = list::sas(&mut talk.client)?;
            self.tell_names(&sas);
            self.adopt_at = now;
            self.listing.handle_sas(now);
        }
        Ok(())
    }

    /// Reads the lists for the check, if it is time.
    fn list(&mut self) -> Result<(), Fault> {
        let now = Instant::now();
        let Some(talk) = self.talk.as_mut().filter(|_| self.listing.due() <= now) else {
            return Ok(());
        };
        let mut listed = list::all(&mut talk.client)?;
        for pool in &mut listed.pools {
            *pool = self.withholding.whole(pool.clone());
        }
        if let Some(listed) = self.listing.handle_listed(now, listed) {
            self.say(ViciEvent::Listed(Some(listed)));
        }
        Ok(())
    }

    fn tell_names(&mut self, sas: &Sas) {
        let names = sas.names();
        if self.names.as_ref() != Some(&names) {
            self.names = Some(names.clone());
            self.say(ViciEvent::Names(names));
        }
    }

    /// Reads charon's SAs, and initiates the next child.
    fn adopt(&mut self) -> Result<(), Fault> {
        let now = Instant::now();
        let (Some(talk), Some(adoption)) = (&mut self.talk, &mut self.adoption) else {
            return Ok(());
        };
        if now < self.adopt_at || talk.room() == 0 {
            return Ok(());
        }
        self.adopt_at = now + adoption.look_after(now);
        talk.connections.take_if(|(at, _)| *at + HURRY <= now);
        let connections = match talk.connections.take() {
            Some(listed) => listed,
            None => (now, list::connections(&mut talk.client)?),
        };
        let sas = list::sas(&mut talk.client)?;
        let told = adoption.handle_lists(now, &connections.1, &sas);
        talk.connections = Some(connections);
        let room = talk.room();
        let next: Vec<ChildName> = (0..room).map_while(|_| adoption.begin(now, &sas)).collect();
        self.tell_names(&sas);
        self.tell_adopted(told);
        next.into_iter().try_for_each(|name| self.initiate(name))
    }

    fn initiate(&mut self, name: ChildName) -> Result<(), Fault> {
        let message = Section::new()
            .value("child", &name.child)
            .value("ike", &name.ike)
            .value("timeout", INITIATE_MS);
        let client = Client::connect(&self.socket, &self.end, INITIATE);
        let mut client = client.map_err(|error| Fault::Broken(error.to_string()))?;
        let deadline = client.begin("initiate", message)?;
        if let Some(talk) = &mut self.talk {
            talk.begin(name, client, deadline);
        }
        Ok(())
    }

    fn hear_initiations(&mut self) {
        let now = Instant::now();
        let talk = self.talk.as_mut();
        for (name, answer) in talk.map_or_else(Vec::new, |it| it.take_answers(now)) {
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
        self.tell_adopted(told);
    }

    fn tell_adopted(&mut self, told: impl IntoIterator<Item = Adopted>) {
        for (name, result) in told {
            self.say(ViciEvent::Adopted(name, result));
        }
        self.adoption.take_if(|adoption| adoption.is_done());
    }

    fn note_missing(&mut self) {
        let adoption = self.adoption.as_mut();
        let is_there = self.presence.is_there();
        let note = adoption.and_then(|adoption| adoption.note(Instant::now(), is_there));
        if let Some(note) = note {
            self.note(note);
        }
    }

    /// Returns the time of the next try to connect, at the latest after `latest`.
    fn look_at(&self, now: Instant, latest: Duration) -> Instant {
        let sooner = self.withholding.connect_after(now);
        now + sooner.map_or(latest, |it| it.min(latest))
    }

    /// Handles a fault, which is logged once for all tries that fail with it.
    fn lose(&mut self, why: String) {
        if self.presence.is_there() {
            self.withholding.expect(Instant::now());
        }
        self.disconnect(RETRY);
        if self.end.is_said() {
            return;
        }
        let loss = self.presence.handle_fault(why);
        self.greets &= !loss.was_there;
        if let Some(note) = loss.note {
            self.note(note);
        }
        if loss.is_end {
            self.say(ViciEvent::Daemon(DaemonWord::Ended));
        }
    }

    /// Handles the absence of charon.
    fn go(&mut self) {
        let again = if self.socket.exists() { RETRY } else { LOOK };
        self.disconnect(again);
        if self.presence.handle_absent() {
            self.say(ViciEvent::Daemon(DaemonWord::Absent));
        }
    }

    fn disconnect(&mut self, again: Duration) {
        let again = match self.adoption {
            Some(_) => HURRY,
            None => again,
        };
        self.talk = None;
        if self.listing.handle_fault() {
            self.say(ViciEvent::Listed(None));
        }
        if let Some(adoption) = &mut self.adoption {
            adoption.handle_lost();
        }
        self.connect_at = self.look_at(Instant::now(), again);
    }

    fn note(&mut self, line: String) {
        self.say(ViciEvent::Note(line));
    }

    fn say(&mut self, said: ViciEvent) {
        self.engine.tell(said);
    }

    fn wait(&self) {
        let left = self.due().saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).ok();
        let mut descriptors = vec![
            PollFd::new(&self.bell, PollFlags::IN),
            PollFd::new(&self.end, PollFlags::IN),
        ];
        for client in self.talk.iter().flat_map(Talk::clients) {
            descriptors.push(PollFd::from_borrowed_fd(client.as_fd(), PollFlags::IN));
        }
        let _ = poll(&mut descriptors, left.as_ref());
        let _ = rustix::io::read(&self.bell, &mut [0; 8]);
    }

    /// Returns the time of the next work without a command.
    fn due(&self) -> Instant {
        let Some(talk) = &self.talk else {
            return self.connect_at;
        };
        let adopts = self.adoption.is_some() && talk.room() > 0;
        let due = [
            talk.list_at,
            adopts.then_some(self.adopt_at),
            Some(self.listing.due()),
            self.withholding.due(),
        ];
        let due = due.into_iter().flatten().chain(talk.deadlines()).min();
        due.unwrap_or_else(|| Instant::now() + LOOK)
    }
}
