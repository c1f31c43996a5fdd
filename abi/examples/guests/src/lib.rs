//! Guests of a network, the same on both nodes: `sparectl guests admit NAME ADDRESS`.

use spared_sdk::config::{Config, node};
use spared_sdk::replicated::{Map, Replicated, life};
use spared_sdk::*;

/// Addresses by name, on both nodes. This is the engine: there is nothing else to decide.
type Guests = Replicated<Map<String, String>>;

struct Reception(Checks);

impl Reception {
    /// A node whose table is full is less fit.
    fn report(&self, guests: &Guests) -> Result<(), Error> {
        let (count, is_full) = (guests.store().count(), guests.store().is_full());
        let state = if is_full { 0 } else { 100 };
        let why = format!("{count} guests");
        self.0.report("room", 100, state, &why)
    }
}

impl Io for Reception {
    type Settings = usize;
    type Engine = Guests;

    fn read(config: &Config) -> Result<usize, Error> {
        let limit = config.root().integer(node("limit"), 1..=100_000);
        Ok(limit.unwrap_or(1000) as usize)
    }

    fn start(host: Host, limit: &usize) -> Result<(Self, Guests), Error> {
        let table = Map::new(life()).limited_to(*limit);
        let guests = Replicated::new(host, ["guests"], table.with_changes_of_backups());
        let reception = Self(host.checks());
        reception.report(&guests)?;
        Ok((reception, guests))
    }

    /// The peer admitted or dismissed somebody.
    fn perform(&mut self, guests: &mut Guests, _now_ns: u64, _name: String) -> Result<(), Error> {
        self.report(guests)
    }
}

impl Commands for Reception {
    const VERBS: &'static [Verb] = &[
        Verb::ROWS,
        Verb::STATUS,
        Verb::changes(c"admit", c"NAME ADDRESS", c"adds a guest"),
        Verb::changes(c"dismiss", c"NAME", c"removes a guest"),
    ];

    fn query(
        &mut self,
        guests: &mut Guests,
        now_ns: u64,
        argv: &[&str],
        answer: &mut Answer,
    ) -> Result<Progress, Error> {
        match *argv {
            ["status"] => answer.text("summary", &guests.summary())?,
            ["admit", name, address] => guests.put(now_ns, name.into(), address.into())?,
            ["dismiss", name] => drop(guests.remove(now_ns, &name.into())),
            [] => {
                answer.rows(guests.rows(now_ns))?;
                for (name, address) in guests.store().iter() {
                    answer.text(&format!("guest.{name}"), address)?;
                }
            }
            _ => return Err(Verb::usage("guests", Self::VERBS)),
        }
        self.report(guests)?;
        Ok(Progress::Done)
    }
}

plugin!(Runner<Reception> {
    name: "guests",
    summary: "guests that both nodes know",
    wire: (1, 1),
    parts: [roles, transfer, query, peer],
});
