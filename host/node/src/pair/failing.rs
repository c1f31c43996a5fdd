//! Stores failing callbacks of plugins, until they work again or some time has passed.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Time after the last failure for which a callback counts as failing if it is not called again.
const LASTS: Duration = Duration::from_secs(60);
/// Maximum number of callbacks that are kept for a plugin. The contract has fewer.
const CALLBACKS_MAX: usize = 16;
const NAME_MAX: usize = 32;
/// Maximum length of a reason, in characters. All reasons are sent to the peer in one message.
pub(super) const WHY_MAX: usize = 200;

/// Time and reason of the last failure, by plugin and callback.
#[derive(Debug, Default)]
pub(super) struct Failing(BTreeMap<String, BTreeMap<String, (Instant, String)>>);

impl Failing {
    /// Handles that a callback fails, or works again. Returns true if the known failures have
    /// changed.
    pub(super) fn handle_report(
        &mut self,
        now: Instant,
        plugin: &str,
        callback: String,
        why: Option<String>,
    ) -> bool {
        let Some(why) = why else {
            let of_plugin = self.0.get_mut(plugin);
            return of_plugin.is_some_and(|it| it.remove(&callback).is_some());
        };
        let of_plugin = self.0.entry(plugin.to_owned()).or_default();
        let has_room = of_plugin.len() < CALLBACKS_MAX || of_plugin.contains_key(&callback);
        if !has_room || callback.len() > NAME_MAX {
            return false;
        }
        let known = of_plugin.insert(callback, (now, why.clone()));
        known.is_none_or(|(_, before)| before != why)
    }

    pub(super) fn forget(&mut self, plugin: &str) {
        self.0.remove(plugin);
    }

    /// Returns the failing callbacks of a plugin, with the reasons.
    pub(super) fn of(&self, plugin: &str) -> BTreeMap<String, String> {
        let of_plugin = self.0.get(plugin).into_iter().flatten();
        let reasons = of_plugin.map(|(callback, (_, why))| (callback.clone(), why.clone()));
        reasons.collect()
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let failed = self.0.values().flat_map(BTreeMap::values);
        failed.map(|(at, _)| *at + LASTS).min()
    }

    /// Forgets old failures. Returns true if there were any.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> bool {
        if self.next_timeout().is_none_or(|due| now < due) {
            return false;
        }
        for of_plugin in self.0.values_mut() {
            of_plugin.retain(|_, (at, _)| now < *at + LASTS);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fails(failing: &mut Failing, now: Instant, callback: &str, why: &str) -> bool {
        failing.handle_report(now, "courier", callback.to_owned(), Some(why.to_owned()))
    }

    fn names(failing: &Failing) -> Vec<String> {
        failing.of("courier").into_keys().collect()
    }

    #[test]
    fn a_callback_fails_until_it_works_or_for_a_minute() {
        let (mut failing, now) = (Failing::default(), Instant::now());
        assert!(fails(&mut failing, now, "timer", "no luck"));
        assert!(fails(&mut failing, now, "up", "no luck"));
        assert_eq!(names(&failing), ["timer", "up"]);
        let works = failing.handle_report(now, "courier", "timer".to_owned(), None);
        assert!(works && names(&failing) == ["up"]);
        let later = now + LASTS - Duration::from_secs(1);
        assert!(!failing.handle_timeout(later));
        assert!(!fails(&mut failing, later, "up", "no luck"), "nothing new");
        assert!(!failing.handle_timeout(now + LASTS));
        assert_eq!(failing.next_timeout(), Some(later + LASTS));
        assert!(failing.handle_timeout(later + LASTS));
        assert!(names(&failing).is_empty());
    }

    #[test]
    fn a_plugin_that_ended_has_no_failure_and_none_has_them_without_end() {
        let (mut failing, now) = (Failing::default(), Instant::now());
        for number in 0..2 * CALLBACKS_MAX {
            fails(&mut failing, now, &format!("callback{number}"), "no luck");
        }
        fails(&mut failing, now, &"x".repeat(5000), "no luck");
        assert_eq!(failing.of("courier").len(), CALLBACKS_MAX);
        failing.forget("courier");
        assert!(names(&failing).is_empty());
    }
}
