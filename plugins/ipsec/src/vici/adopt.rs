//! Decides which children charon should establish again, and when; sans I/O.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::engine::ChildName;

use super::list::{Connections, Sas};

const BACK_OFF_FIRST: Duration = Duration::from_secs(2);
const BACK_OFF_MAX: Duration = Duration::from_secs(30);
/// Time after which missing connections are logged once, since they may be loaded slowly.
const LOADED_WITHIN: Duration = Duration::from_secs(30);
/// Intervals between reads of charon's lists, before and after that time.
const LOOK_FIRST: Duration = Duration::from_millis(500);
const LOOK_LATER: Duration = Duration::from_secs(5);
/// Time left to charon, which may establish a child by its own configuration.
const OWN_TRY: Duration = Duration::from_secs(10);

/// Result for a child that only the other side can initiate. Any client may have such a child, so a new one proves
/// nothing about the peer that had the earlier one.
pub const WAITS_FOR_FAR_END: &str = "waits for its peer";

/// Result for one child.
pub type Adopted = (ChildName, Result<(), String>);

#[derive(Debug)]
pub struct Adoption {
    open: Vec<PendingChild>,
    /// SPIs of the replicated SAs.
    known: BTreeSet<u32>,
    began: Instant,
    is_reported: bool,
}

#[derive(Debug)]
struct PendingChild {
    name: ChildName,
    loaded: Option<Instant>,
    /// Time of the next try.
    next: Instant,
    back_off: Duration,
    is_under_way: bool,
    tried: bool,
    has_failed: bool,
}

impl Adoption {
    pub fn new(now: Instant, names: Vec<ChildName>, known: BTreeSet<u32>) -> Self {
        let unique: BTreeSet<ChildName> = names.into_iter().collect();
        let open = unique.into_iter().map(|name| PendingChild {
            name,
            loaded: None,
            next: now,
            back_off: BACK_OFF_FIRST,
            is_under_way: false,
            tried: false,
            has_failed: false,
        });
        Self {
            open: open.collect(),
            known,
            began: now,
            is_reported: false,
        }
    }

    pub fn is_done(&self) -> bool {
        self.open.is_empty()
    }

    /// Handles charon's present SAs; returns the settled children.
    pub fn handle_lists(
        &mut self,
        now: Instant,
        connections: &Connections,
        sas: &Sas,
    ) -> Vec<Adopted> {
        let mut told = Vec::new();
        let known = &self.known;
        self.open.retain_mut(|wanted| {
            let connection = connections.get(&wanted.name.ike);
            let connection = connection.filter(|it| it.children.contains(&wanted.name.child));
            wanted.loaded = connection.map(|_| wanted.loaded.unwrap_or(now));
            let result = match connection.is_some_and(|it| it.responds_only) {
                true => Err(WAITS_FOR_FAR_END.to_owned()),
                false if sas.is_fresh(&wanted.name, known) => Ok(()),
                false => return true,
            };
            told.push((wanted.name.clone(), result));
            false
        });
        told
    }

    /// Returns the next child to initiate, by the last lists; it is then under way.
    pub fn begin(&mut self, now: Instant, sas: &Sas) -> Option<ChildName> {
        let under_way = self.open.iter().filter(|wanted| wanted.is_under_way);
        let under_way: BTreeSet<String> = under_way.map(|it| it.name.ike.clone()).collect();
        let due = |wanted: &&mut PendingChild| {
            let ike = &wanted.name.ike;
            wanted.loaded.is_some_and(|loaded| {
                // another request would create a second one
                let is_left = sas.busy.contains(ike) && (wanted.tried || now < loaded + OWN_TRY);
                wanted.next <= now && !is_left && !under_way.contains(ike)
            })
        };
        let wanted = self.open.iter_mut().find(due)?;
        wanted.is_under_way = true;
        wanted.tried = true;
        Some(wanted.name.clone())
    }

    /// Forgets initiations under way, whose answers will not come.
    pub fn handle_lost(&mut self) {
        for wanted in &mut self.open {
            wanted.is_under_way = false;
        }
    }

    /// Returns the time until the next read of charon's lists without an event.
    pub fn look_after(&self, now: Instant) -> Duration {
        if now < self.began + LOADED_WITHIN {
            LOOK_FIRST
        } else {
            LOOK_LATER
        }
    }

    /// Handles charon's failure to initiate a child; returns the result if it is new.
    pub fn handle_failed(
        &mut self,
        now: Instant,
        name: &ChildName,
        why: String,
    ) -> Option<Adopted> {
        let wanted = self.open.iter_mut().find(|wanted| wanted.name == *name)?;
        wanted.is_under_way = false;
        wanted.next = now + wanted.back_off;
        wanted.back_off = (wanted.back_off * 2).min(BACK_OFF_MAX);
        wanted.fail(why)
    }

    pub fn handle_established(&mut self, name: &ChildName) -> Option<Adopted> {
        let before = self.open.len();
        self.open.retain(|wanted| wanted.name != *name);
        (self.open.len() < before).then(|| (name.clone(), Ok(())))
    }

    /// Returns a line for the log, once, if connections or charon are missing for long.
    pub fn report_missing(&mut self, now: Instant, is_running: bool) -> Option<String> {
        if self.is_reported || now < self.began + LOADED_WITHIN {
            return None;
        }
        let is_missing = |wanted: &&PendingChild| wanted.loaded.is_none() && !wanted.has_failed;
        let mut missing = self.open.iter().filter(is_missing);
        let ChildName { ike, child } = &missing.next()?.name;
        self.is_reported = true;
        let why = if is_running {
            "charon has not loaded"
        } else {
            "there is no charon to establish"
        };
        Some(match missing.count() {
            0 => format!("{why} {ike}/{child}"),
            more => format!("{why} {ike}/{child} and {more} more"),
        })
    }
}

impl PendingChild {
    /// Returns the first failure.
    fn fail(&mut self, why: String) -> Option<Adopted> {
        let is_first = !self.has_failed;
        self.has_failed = true;
        is_first.then(|| (self.name.clone(), Err(why)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::list::{Child, Connection};
    use super::*;

    fn name() -> ChildName {
        ChildName {
            ike: "far".to_owned(),
            child: "net".to_owned(),
        }
    }

    fn loaded(responds_only: bool) -> Connections {
        let connection = Connection {
            children: ["net".to_owned()].into(),
            responds_only,
            ..Connection::default()
        };
        [("far".to_owned(), connection)].into()
    }

    fn busy() -> Sas {
        Sas {
            busy: ["far".to_owned()].into(),
            ..Sas::default()
        }
    }

    fn up(spi: u32) -> Sas {
        let child = Child {
            name: name(),
            is_installed: true,
            spis: [Some(spi), None],
        };
        Sas {
            children: vec![child],
            ..Sas::default()
        }
    }

    fn begin() -> (Instant, Adoption) {
        let now = Instant::now();
        (now, Adoption::new(now, vec![name(), name()], [1].into()))
    }

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_child_is_next_when_it_is_loaded_and_only_once() {
        let (now, mut adoption) = begin();
        assert_eq!(adoption.handle_lists(now, &Connections::new(), &up(1)), []);
        assert_eq!(adoption.begin(now, &up(1)), None);
        assert_eq!(adoption.handle_lists(now, &loaded(false), &up(1)), []);
        assert_eq!(adoption.begin(now, &up(1)), Some(name()));
        assert_eq!(adoption.handle_established(&name()), Some((name(), Ok(()))));
        assert!(adoption.is_done());
    }

    #[test]
    fn a_child_that_came_up_of_itself_is_adopted() {
        let (now, mut adoption) = begin();
        let told = adoption.handle_lists(now, &loaded(false), &up(2));
        assert_eq!(told, [(name(), Ok(()))]);
        assert!(adoption.is_done());
    }

    #[test]
    fn tries_come_less_and_less_often_and_the_first_failure_is_told() {
        let (mut now, mut adoption) = begin();
        let sas = Sas::default();
        adoption.handle_lists(now, &loaded(false), &sas);
        let mut told = Vec::new();
        for seconds in [2, 4, 8, 16, 30, 30] {
            assert_eq!(adoption.begin(now, &sas), Some(name()));
            told.extend(adoption.handle_failed(now, &name(), "no".to_owned()));
            let early = now + s(seconds) - Duration::from_millis(1);
            assert_eq!(adoption.begin(early, &sas), None);
            now += s(seconds);
        }
        assert_eq!(told, [(name(), Err("no".to_owned()))]);
    }

    #[test]
    fn what_charon_tries_itself_is_left_to_it_for_a_while() {
        let (now, mut adoption) = begin();
        adoption.handle_lists(now, &loaded(false), &busy());
        assert_eq!(adoption.begin(now + s(9), &busy()), None);
        assert_eq!(adoption.begin(now + s(10), &busy()), Some(name()));
    }

    #[test]
    fn what_is_still_under_way_is_not_asked_for_again() {
        let (now, mut adoption) = begin();
        let idle = Sas::default();
        adoption.handle_lists(now, &loaded(false), &idle);
        assert_eq!(adoption.begin(now, &idle), Some(name()));
        assert_eq!(adoption.begin(now, &idle), None);
        adoption.handle_failed(now, &name(), "no".to_owned());
        assert_eq!(adoption.begin(now + s(99), &busy()), None);
        assert_eq!(adoption.begin(now + s(99), &idle), Some(name()));
    }

    #[test]
    fn one_that_waits_for_its_peer_is_told_once_and_never_called() {
        let (now, mut adoption) = begin();
        let sas = Sas::default();
        let told = adoption.handle_lists(now, &loaded(true), &sas);
        assert_eq!(told, [(name(), Err(WAITS_FOR_FAR_END.to_owned()))]);
        assert!(adoption.is_done());
        assert_eq!(adoption.handle_lists(now, &loaded(true), &sas), []);
        assert_eq!(adoption.begin(now + s(99), &sas), None);
        assert_eq!(adoption.report_missing(now + s(99), true), None);
    }

    /// Several clients have children with the same name.
    #[test]
    fn a_child_of_a_connection_that_waits_proves_nothing_of_the_one_before() {
        let (now, mut adoption) = begin();
        let told = adoption.handle_lists(now, &loaded(true), &up(2));
        assert_eq!(told, [(name(), Err(WAITS_FOR_FAR_END.to_owned()))]);
        assert_eq!(adoption.handle_lists(now, &loaded(true), &up(3)), []);
    }

    #[test]
    fn what_was_lost_under_way_is_begun_again() {
        let (now, mut adoption) = begin();
        let sas = Sas::default();
        adoption.handle_lists(now, &loaded(false), &sas);
        assert_eq!(adoption.begin(now, &sas), Some(name()));
        adoption.handle_lost();
        assert_eq!(adoption.begin(now, &sas), Some(name()));
    }

    #[test]
    fn what_is_not_loaded_for_long_is_noted_once() {
        let (now, mut adoption) = begin();
        assert_eq!(adoption.report_missing(now + s(29), true), None);
        let note = adoption.report_missing(now + s(30), true);
        assert_eq!(note.as_deref(), Some("charon has not loaded far/net"));
        assert_eq!(adoption.report_missing(now + s(99), true), None);
    }
}
