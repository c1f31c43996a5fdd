//! Which children charon is to establish anew, and when, without I/O.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::engine::ChildName;

use super::list::{Connections, Sas};

const BACK_OFF_FIRST: Duration = Duration::from_secs(2);
const BACK_OFF_MAX: Duration = Duration::from_secs(30);
/// Who loads the connections may be slow; then it is told, once.
const LOADED_WITHIN: Duration = Duration::from_secs(30);
/// charon may be at it by its own configuration; so long it is not disturbed.
const OWN_TRY: Duration = Duration::from_secs(10);

const WAITS: &str = "waits for its peer";

/// What came of one.
pub type Adopted = (ChildName, Result<(), String>);

#[derive(Debug)]
pub struct Adoption {
    open: Vec<Wanted>,
    /// SPIs of SAs that followed.
    known: BTreeSet<u32>,
    began: Instant,
    noted: bool,
}

#[derive(Debug)]
struct Wanted {
    name: ChildName,
    loaded: Option<Instant>,
    /// Not tried again before.
    next: Instant,
    back_off: Duration,
    tried: bool,
    has_failed: bool,
}

impl Adoption {
    pub fn new(now: Instant, names: Vec<ChildName>, known: BTreeSet<u32>) -> Self {
        let unique: BTreeSet<ChildName> = names.into_iter().collect();
        let open = unique.into_iter().map(|name| Wanted {
            name,
            loaded: None,
            next: now,
            back_off: BACK_OFF_FIRST,
            tried: false,
            has_failed: false,
        });
        Self {
            open: open.collect(),
            known,
            began: now,
            noted: false,
        }
    }

    pub fn is_done(&self) -> bool {
        self.open.is_empty()
    }

    /// What charon has now; returns what that settles.
    pub fn handle_lists(
        &mut self,
        now: Instant,
        connections: &Connections,
        sas: &Sas,
    ) -> Vec<Adopted> {
        let mut told = Vec::new();
        let known = &self.known;
        self.open.retain(|wanted| {
            let done = sas.is_fresh(&wanted.name, known);
            if done {
                told.push((wanted.name.clone(), Ok(())));
            }
            !done
        });
        for wanted in &mut self.open {
            let connection = connections.get(&wanted.name.ike);
            let connection = connection.filter(|it| it.children.contains(&wanted.name.child));
            wanted.loaded = connection.map(|_| wanted.loaded.unwrap_or(now));
            if connection.is_some_and(|it| it.waits) {
                wanted.loaded = None;
                told.extend(wanted.fail(WAITS.to_owned()));
            }
        }
        told
    }

    /// The next to be initiated, by the lists that were seen last.
    pub fn next(&self, now: Instant, sas: &Sas) -> Option<&ChildName> {
        let due = |wanted: &&Wanted| {
            let is_busy = sas.busy.contains(&wanted.name.ike);
            wanted.loaded.is_some_and(|loaded| {
                // to ask once more would make one more of it
                let is_left = is_busy && (wanted.tried || now < loaded + OWN_TRY);
                wanted.next <= now && !is_left
            })
        };
        self.open.iter().find(due).map(|wanted| &wanted.name)
    }

    /// charon was told to, and could not; returns whether that is news.
    pub fn handle_failed(
        &mut self,
        now: Instant,
        name: &ChildName,
        why: String,
    ) -> Option<Adopted> {
        let wanted = self.open.iter_mut().find(|wanted| wanted.name == *name)?;
        wanted.tried = true;
        wanted.next = now + wanted.back_off;
        wanted.back_off = (wanted.back_off * 2).min(BACK_OFF_MAX);
        wanted.fail(why)
    }

    pub fn handle_established(&mut self, name: &ChildName) -> Option<Adopted> {
        let before = self.open.len();
        self.open.retain(|wanted| wanted.name != *name);
        (self.open.len() < before).then(|| (name.clone(), Ok(())))
    }

    /// A line, once, where connections are missing for long.
    pub fn note(&mut self, now: Instant) -> Option<String> {
        if self.noted || now < self.began + LOADED_WITHIN {
            return None;
        }
        let is_missing = |wanted: &&Wanted| wanted.loaded.is_none() && !wanted.has_failed;
        let mut missing = self.open.iter().filter(is_missing);
        let ChildName { ike, child } = &missing.next()?.name;
        self.noted = true;
        Some(match missing.count() {
            0 => format!("charon has not loaded {ike}/{child}"),
            more => format!("charon has not loaded {ike}/{child} and {more} more"),
        })
    }
}

impl Wanted {
    /// The first failure is news.
    fn fail(&mut self, why: String) -> Option<Adopted> {
        let is_first = !self.has_failed;
        self.has_failed = true;
        is_first.then(|| (self.name.clone(), Err(why)))
    }
}
