//! Digests of the elements of sets, reported once a set has not changed for a while. So sets that programs change all
//! the time are never compared. A set that is changed on both nodes at almost the same time is compared after that.
//!
//! Without I/O: `handle_*` and `set_*` feed it, [`Elements::due`] says what to read, [`Elements::digests`] what to
//! report.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use spared_message::firewall::RuleDigests;

use super::sets::{Declared, SetName};

/// Maximum number of sets that are compared, in the order of their names, and maximum bytes of their names and digests.
const SETS_MAX: usize = 64;
const NAMES_MAX: usize = 8 * 1024;
const DIGESTS: usize = 32;

/// Sets that were changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ChangedSets {
    pub(super) sets: BTreeSet<SetName>,
    /// True if changes were lost: any set may have changed.
    pub(super) is_uncertain: bool,
}

#[derive(Debug, Default)]
pub(super) struct Elements {
    sets: BTreeMap<SetName, Watched>,
}

#[derive(Debug)]
struct Watched {
    declared: Declared,
    /// Time of the last change.
    since: Instant,
    /// Digests of the elements, once the set was calm; also None if it has too many elements.
    digests: Option<[u32; 2]>,
    /// True if the elements have to be read.
    is_due: bool,
}

impl Watched {
    fn new(now: Instant, declared: Declared) -> Self {
        Self {
            declared,
            since: now,
            digests: None,
            is_due: true,
        }
    }

    fn forget(&mut self, now: Instant) {
        *self = Self::new(now, self.declared.clone());
    }

    fn is_calm(&self, now: Instant, calm: Duration) -> bool {
        now.saturating_duration_since(self.since) >= calm
    }
}

impl Elements {
    /// Sets which sets exist. `replicated` names those that a plugin keeps equal, such as "inet filter bans".
    pub(super) fn set_declared(
        &mut self,
        now: Instant,
        mut declared: Vec<Declared>,
        replicated: &BTreeSet<String>,
    ) {
        let mut old = std::mem::take(&mut self.sets);
        declared.sort_by(|one, other| one.name.cmp(&other.name));
        let is_kept_equal = |it: &Declared| {
            let (table, name) = (it.name.table(), it.name.name());
            replicated.contains(&format!("{table} {name}"))
        };
        let mut bytes = 0;
        let compared = declared
            .into_iter()
            .filter(|it| !is_kept_equal(it))
            .take_while(|it| {
                bytes += it.name.table().len() + it.name.name().len() + DIGESTS;
                bytes <= NAMES_MAX
            });
        for declared in compared.take(SETS_MAX) {
            let name = declared.name.clone();
            let known = old.remove(&name).filter(|it| it.declared == declared);
            let watched = known.unwrap_or_else(|| Watched::new(now, declared));
            self.sets.insert(name, watched);
        }
    }

    pub(super) fn handle_changes(&mut self, now: Instant, changed_sets: &ChangedSets) {
        for (name, watched) in &mut self.sets {
            if changed_sets.sets.contains(name) {
                watched.forget(now);
            }
            watched.is_due |= changed_sets.is_uncertain;
        }
    }

    /// Handles a change of the names of interfaces or addresses: all sets are read again.
    pub(super) fn handle_names(&mut self) {
        for watched in self.sets.values_mut() {
            (watched.digests, watched.is_due) = (None, true);
        }
    }

    /// Sets the digests of a set that was read; None if it has too many elements.
    pub(super) fn set_digests(&mut self, now: Instant, name: &SetName, digests: Option<[u32; 2]>) {
        let Some(watched) = self.sets.get_mut(name) else {
            return;
        };
        let is_changed = watched.digests.is_some() && watched.digests != digests;
        if is_changed {
            return watched.forget(now);
        }
        (watched.digests, watched.is_due) = (digests, false);
    }

    /// Calm sets that have to be read.
    pub(super) fn due(&self, now: Instant, calm: Duration) -> Vec<Declared> {
        let sets = self.sets.values();
        let due = sets.filter(|it| it.is_due && it.is_calm(now, calm));
        due.map(|it| it.declared.clone()).collect()
    }

    /// Digests of calm sets, by table.
    pub(super) fn digests(&self) -> RuleDigests {
        let mut all = RuleDigests::new();
        for (name, watched) in &self.sets {
            let Some(digests) = watched.digests else {
                continue;
            };
            let kind = if watched.declared.is_map {
                "map"
            } else {
                "set"
            };
            let parts = all.entry(name.table()).or_default();
            parts.insert(format!("{kind} {}", name.name()), digests);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::super::sets::tests::set;
    use super::*;

    const CALM: Duration = Duration::from_secs(60);

    struct Clock(Instant);

    impl Clock {
        fn at(&self, seconds: u64) -> Instant {
            self.0 + Duration::from_secs(seconds)
        }
    }

    fn watching(names: &[&str]) -> (Elements, Clock) {
        let clock = Clock(Instant::now());
        let mut elements = Elements::default();
        let declared = names.iter().map(|it| set("office", it)).collect();
        elements.set_declared(clock.at(0), declared, &BTreeSet::new());
        (elements, clock)
    }

    /// Reads the sets that are due, and returns their number.
    fn read(elements: &mut Elements, now: Instant, digest: u32) -> usize {
        let due = elements.due(now, CALM);
        for it in &due {
            elements.set_digests(now, &it.name, Some([digest; 2]));
        }
        due.len()
    }

    fn digests(elements: &Elements) -> Vec<String> {
        let all = elements.digests();
        let parts = all.iter().flat_map(|(table, parts)| {
            let parts = parts.iter();
            parts.map(move |(part, digests)| format!("{table} {part} {}", digests[0]))
        });
        parts.collect()
    }

    fn changed(name: &str) -> ChangedSets {
        ChangedSets {
            sets: [set("office", name).name].into(),
            is_uncertain: false,
        }
    }

    #[test]
    fn a_set_is_read_once_it_was_calm_and_told_until_it_changes() {
        let (mut elements, clock) = watching(&["admins"]);
        assert_eq!(read(&mut elements, clock.at(59), 1), 0);
        assert_eq!(read(&mut elements, clock.at(60), 1), 1);
        assert_eq!(digests(&elements), ["inet office set admins 1"]);
        assert_eq!(read(&mut elements, clock.at(90), 1), 0, "only once");
        elements.handle_changes(clock.at(100), &changed("guests"));
        assert_eq!(digests(&elements).len(), 1, "another set");
        elements.handle_changes(clock.at(100), &changed("admins"));
        assert_eq!(digests(&elements), [""; 0]);
        assert_eq!(read(&mut elements, clock.at(159), 2), 0);
        assert_eq!(read(&mut elements, clock.at(160), 2), 1);
        assert_eq!(digests(&elements), ["inet office set admins 2"]);
    }

    #[test]
    fn a_set_that_is_changed_all_the_time_is_never_read() {
        let (mut elements, clock) = watching(&["admins"]);
        for second in (0..600).step_by(30) {
            elements.handle_changes(clock.at(second), &changed("admins"));
            assert_eq!(read(&mut elements, clock.at(second + 29), 1), 0);
        }
    }

    #[test]
    fn after_lost_changes_all_are_read_again_and_only_those_that_changed_wait() {
        let (mut elements, clock) = watching(&["admins", "guests"]);
        read(&mut elements, clock.at(60), 1);
        let lost = ChangedSets {
            is_uncertain: true,
            ..ChangedSets::default()
        };
        elements.handle_changes(clock.at(100), &lost);
        assert_eq!(digests(&elements).len(), 2);
        let due = elements.due(clock.at(100), CALM);
        elements.set_digests(clock.at(100), &due[0].name, Some([1; 2]));
        elements.set_digests(clock.at(100), &due[1].name, Some([2; 2]));
        assert_eq!(digests(&elements), ["inet office set admins 1"]);
        assert_eq!(read(&mut elements, clock.at(159), 2), 0);
        assert_eq!(read(&mut elements, clock.at(160), 2), 1);
    }

    #[test]
    fn other_names_of_the_node_need_no_new_calm() {
        let (mut elements, clock) = watching(&["admins"]);
        read(&mut elements, clock.at(60), 1);
        elements.handle_names();
        assert_eq!(digests(&elements), [""; 0]);
        assert_eq!(read(&mut elements, clock.at(61), 3), 1);
        assert_eq!(digests(&elements), ["inet office set admins 3"]);
    }

    #[test]
    fn a_set_that_a_plugin_replicates_and_one_with_too_many_elements_are_not_told() {
        let (mut elements, clock) = watching(&[]);
        let declared = vec![set("office", "admins"), set("office", "bans")];
        let replicated = ["inet office bans".to_owned()].into();
        elements.set_declared(clock.at(0), declared, &replicated);
        let due = elements.due(clock.at(60), CALM);
        assert_eq!(due.len(), 1);
        elements.set_digests(clock.at(60), &due[0].name, None);
        assert_eq!(digests(&elements), [""; 0]);
        assert_eq!(read(&mut elements, clock.at(90), 1), 0, "not tried again");
    }

    #[test]
    fn the_number_of_sets_is_bounded_and_a_list_of_them_keeps_what_is_known() {
        let names: Vec<String> = (0..100).map(|it| format!("s{it:03}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let (mut elements, clock) = watching(&names);
        assert_eq!(read(&mut elements, clock.at(60), 1), SETS_MAX);
        let fewer = names[1..3].iter().map(|it| set("office", it)).collect();
        elements.set_declared(clock.at(61), fewer, &BTreeSet::new());
        assert_eq!(
            digests(&elements),
            ["inet office set s001 1", "inet office set s002 1"]
        );
    }
}
