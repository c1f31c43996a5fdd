//! One session with charon: it lasts as long as a connection to its socket.

use std::collections::BTreeSet;
use std::mem;
use std::time::Instant;

use super::super::client::Client;
use super::super::list::Connections;
use super::INITIATIONS_MAX;
use crate::engine::ChildName;

pub struct CharonSession {
    /// For lists and events.
    pub client: Client,
    /// Time at which the SAs are to be listed, as events have come.
    pub list_at: Option<Instant>,
    /// The connections, and the time of their listing.
    pub connections: Option<(Instant, Connections)>,
    initiations: Vec<Initiation>,
    /// Connections whose IKE SAs without keys charon is to give up.
    pub given_up: Option<BTreeSet<String>>,
}

/// On a connection of its own, that neither events nor orders wait for it.
struct Initiation {
    name: ChildName,
    client: Client,
    deadline: Instant,
}

impl CharonSession {
    pub fn new(client: Client) -> Self {
        Self {
            client,
            list_at: None,
            connections: None,
            initiations: Vec::new(),
            given_up: None,
        }
    }

    /// charon was asked for a child, and answers until then.
    pub fn begin(&mut self, name: ChildName, client: Client, deadline: Instant) {
        self.initiations.push(Initiation {
            name,
            client,
            deadline,
        });
    }

    /// Answers for children that charon was asked for.
    pub fn take_answers(&mut self, now: Instant) -> Vec<(ChildName, Result<(), String>)> {
        let mut answers = Vec::new();
        for mut initiation in mem::take(&mut self.initiations) {
            match initiation.answer(now) {
                Some(answer) => answers.push((initiation.name, answer)),
                None => self.initiations.push(initiation),
            }
        }
        answers
    }

    /// Nobody waits any more for the children that charon was asked for.
    pub fn forget_initiations(&mut self) {
        self.initiations.clear();
    }

    /// Number of children that charon may be asked for beyond those that are under way.
    pub fn room(&self) -> usize {
        INITIATIONS_MAX.saturating_sub(self.initiations.len())
    }

    /// Times until which answers have to be there.
    pub fn deadlines(&self) -> impl Iterator<Item = Instant> {
        self.initiations.iter().map(|it| it.deadline)
    }

    pub fn clients(&self) -> impl Iterator<Item = &Client> {
        let initiations = self.initiations.iter().map(|it| &it.client);
        std::iter::once(&self.client).chain(initiations)
    }
}

impl Initiation {
    fn answer(&mut self, now: Instant) -> Option<Result<(), String>> {
        match self.client.try_answer("initiate") {
            Ok(None) if now < self.deadline => None,
            Ok(None) => Some(Err("initiate: it does not answer".to_owned())),
            Ok(Some(_)) => Some(Ok(())),
            Err(fault) => Some(Err(fault.to_string())),
        }
    }
}
