// SPDX-License-Identifier: MIT OR Apache-2.0
//! A pair with its users: makes each fault, and measures what it cost them.

use std::thread;
use std::time::Duration;

use spared_tests::Result;
use spared_tests::clock::{Stamp, poll};
use spared_tests::dhcp::Lease4;
use spared_tests::lab::{Lab, VIRTUAL, Wire};
use spared_tests::probe::{Asker, Echo, Questions, Watch};

use crate::faults::Fault;
use crate::measures::{Loss, both_answered};
use crate::pairs::{Camp, Carries, Pair};
use crate::users::{Census, Clients, Idle, Intruder, Lease, Loading, wait_patiently};

/// Time from the last change of state, a ban and a lease, to the fault.
pub const FRESH: Duration = Duration::from_secs(1);
/// Time after a fault in which everything has its effect.
const EFFECT: Duration = Duration::from_millis(2500);
/// Time after its end.
const CALM: Duration = Duration::from_millis(500);
/// Interval of questions for the gateway's address.
const ASKING: Duration = Duration::from_millis(4);
/// Time without an advert after which a node is no longer active.
const QUIET: Duration = Duration::from_millis(250);

/// Probes of a pair that can be read at any time, also by the screen.
pub struct Sights {
    pub watch: Watch,
    /// Packets from lan to wan.
    pub echo: Echo,
    pub loading: Option<Loading>,
    pub since: Stamp,
}

impl Sights {
    /// Sites that have advertised lately.
    pub fn active(&self) -> Vec<usize> {
        let lately = Stamp::now().before(QUIET);
        let advertises = |site: &usize| {
            let adverts = self.watch.adverts(lately, *site, Wire::Lan);
            adverts.last().is_some_and(|(_, last)| last.priority > 0)
        };
        (0..2).filter(advertises).collect()
    }
}

pub struct Scene<'l> {
    pub lab: &'l Lab,
    pair: Box<dyn Pair + 'l>,
    carries: Carries,
    clients: Option<Clients>,
    session: Option<Idle>,
    intruder: Option<Intruder>,
    census: Option<Census>,
    _asker: Asker,
}

impl<'l> Scene<'l> {
    /// Starts a pair, and its users as soon as it serves them.
    pub fn start(lab: &'l Lab, camp: Camp) -> Result<(Self, Sights)> {
        let watch = Watch::start(lab)?;
        let pair = camp.start(lab)?;
        pair.wait_ready()?;
        let carries = pair.carries();
        let sights = Sights {
            watch,
            echo: Echo::through(lab)?,
            loading: some(carries.connections, || Loading::start(lab))?,
            since: Stamp::now(),
        };
        let questions = Questions {
            ipv4: vec![Wire::Lan.ipv4(VIRTUAL)],
            ..Questions::default()
        };
        let scene = Self {
            lab,
            carries,
            census: pair.server(0).zip(pair.server(1)).map(Census::of),
            pair,
            clients: some(carries.services, || Clients::new(lab))?,
            session: some(carries.connections, || Idle::open(lab))?,
            intruder: some(carries.bans, || Intruder::start(lab))?,
            _asker: Asker::start(lab, questions, ASKING)?,
        };
        Ok((scene, sights))
    }

    /// Waits until the pair is whole again. Returns the active site.
    pub fn settle(&self, sights: &Sights) -> Result<usize> {
        self.pair.wait_ready()?;
        // neighbours that learned nothing new from a fault do not notice the next one
        for ns in [&self.lab.lan, &self.lab.wan] {
            ns.shell("ip neigh flush all")?;
        }
        let mut active = Vec::new();
        let whole = poll(Duration::from_secs(10), Duration::from_millis(20), || {
            active = sights.active();
            active.len() == 1 && sights.echo.is_steady(Duration::from_millis(200))
        });
        match active.as_slice() {
            [one] if whole => Ok(*one),
            _ => Err(format!("active: {active:?}; packets do not flow").into()),
        }
    }

    /// Strikes the active node, asks its users, and ends the fault. `say` tells what happens.
    pub fn suffer(
        &mut self,
        fault: Fault,
        at: usize,
        sights: &Sights,
        say: &dyn Fn(String),
    ) -> Result<Loss> {
        let active = &self.lab.sites[at].ns;
        if let Some(intruder) = &self.intruder {
            intruder.ban(active)?;
        }
        let lease = self.clients.as_mut().map(Clients::lease).transpose()?;
        thread::sleep(FRESH);
        say(fault.sentence(at));
        let began = Stamp::now();
        fault.begin(self.lab, self.pair.as_mut(), at)?;
        thread::sleep(EFFECT);
        wait_patiently(|| sights.echo.is_steady(Duration::from_millis(200)));
        let session = match &mut self.session {
            Some(session) => session.survives(self.lab)?,
            None => true,
        };
        let lease = lease.map_or(Lease::Kept, |lease| self.renew(&lease, sights, at));
        say(format!("{}: ends", fault.title()));
        fault.end(self.lab, self.pair.as_mut(), at)?;
        self.pair.wait_ready()?;
        thread::sleep(CALM);
        self.count(sights, began, session, lease)
    }

    fn count(&self, sights: &Sights, began: Stamp, session: bool, lease: Lease) -> Result<Loss> {
        let now = Stamp::now();
        // packets of the last moment are still in transit
        let ended = now.before(Duration::from_millis(50));
        let passed = |from| {
            let intruder = self.intruder.as_ref();
            intruder.map_or(Duration::ZERO, |intruder| intruder.passed(from))
        };
        let servers = |number| {
            let census = self.census.as_ref();
            census.map_or(Duration::ZERO, |it| it.time(number, began, ended))
        };
        Ok(Loss {
            carried: self.carries,
            began,
            ended,
            packets: sights.echo.outage(began, ended).total,
            both: both_answered(&sights.watch, began),
            pause: match &sights.loading {
                Some(loading) => loading.pause(self.lab, began, ended)?,
                None => Some(Duration::ZERO),
            },
            session,
            lease,
            banned: passed(began),
            ban_gone: !passed(now.before(CALM)).is_zero(),
            without_server: servers(0),
            two_servers: servers(2),
        })
    }

    fn renew(&mut self, lease: &Lease4, sights: &Sights, at: usize) -> Lease {
        // while both advertise, the new one is meant
        let now = sights.active();
        let now = now.iter().find(|site| **site != at).or(now.first());
        let server = self.pair.server(now.copied().unwrap_or(at));
        let (Some(server), Some(clients)) = (server, &mut self.clients) else {
            return Lease::Kept;
        };
        wait_patiently(|| server.runs());
        clients.renew(lease, server)
    }
}

fn some<T>(wanted: bool, start: impl FnOnce() -> Result<T>) -> Result<Option<T>> {
    wanted.then(start).transpose()
}
