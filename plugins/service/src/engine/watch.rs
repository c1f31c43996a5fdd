//! Units of systemd, which reports their changes: units at rest are looked at once a minute.

use super::item::{Item, STEADY_NS};
use super::{Action, Engine};
use crate::engine::goal::Goal;
use crate::job::{Manager, Service, Status};

/// Time in ns between looks at units at rest: no change is known that systemd would not report.
const ALL_NS: u64 = 60_000_000_000;
/// Time in ns for which changes are collected: systemd reports each several times.
const COLLECT_NS: u64 = 50_000_000;
/// Minimum time in ns for two looks after changes, unless polls are more frequent: it limits the cost of a unit that
/// keeps changing.
const BURST_NS: u64 = 5_000_000_000;

/// Reports of systemd, and the looks that follow.
#[derive(Debug, Default)]
pub(super) struct Watch {
    has_signals: bool,
    /// Reason why systemd reports nothing, so that units are polled; None: it reports, or there are no units.
    no_signals_reason: Option<String>,
    /// Time of the look at changed units.
    due_ns: Option<u64>,
    /// Times of the last two such looks.
    last_ns: [Option<u64>; 2],
    /// Time of the next look at all units.
    all_ns: u64,
}

impl Engine {
    /// Handles that systemd reports changes from now on, or why it does not.
    pub fn handle_watched(&mut self, now_ns: u64, result: Result<(), String>) {
        let has_signals = result.is_ok();
        self.watch.no_signals_reason = result.err();
        // a second failure changes nothing
        if std::mem::replace(&mut self.watch.has_signals, has_signals) != has_signals {
            self.look_at_units();
            self.step(now_ns);
        }
    }

    /// Reason why the units of systemd are polled, if they are.
    pub(super) fn no_signals_reason(&self) -> Option<&str> {
        self.watch.no_signals_reason.as_deref()
    }

    /// Handles a change of a unit.
    pub fn handle_changed(&mut self, now_ns: u64) {
        let soon_ns = now_ns.saturating_add(COLLECT_NS);
        let interval_ns = self.settings.poll_interval_ns.min(BURST_NS);
        let [older_ns, _] = self.watch.last_ns;
        let free_ns = older_ns.map_or(0, |at_ns| at_ns.saturating_add(interval_ns));
        self.watch.due_ns.get_or_insert(soon_ns.max(free_ns));
    }

    pub(super) fn next_change_ns(&self) -> Option<u64> {
        self.watch.due_ns
    }

    pub(super) fn look_at_changes(&mut self, now_ns: u64) {
        if self
            .watch
            .due_ns
            .take_if(|at_ns| now_ns >= *at_ns)
            .is_some()
        {
            let [_, last_ns] = self.watch.last_ns;
            self.watch.last_ns = [last_ns, Some(now_ns)];
            self.look_at_units();
        }
    }

    /// Polls all items.
    pub(super) fn poll_items(&mut self, now_ns: u64) {
        let is_for_all = !self.watch.has_signals || now_ns >= self.watch.all_ns;
        if is_for_all {
            self.watch.all_ns = now_ns.saturating_add(ALL_NS);
        }
        for item in &mut self.items {
            item.poll(is_for_all || !item.is_at_rest(now_ns));
        }
        self.request_removed_looks(|_| true);
        self.watch_units();
    }

    /// Asks systemd to report changes, if there are units of systemd.
    pub(super) fn watch_units(&mut self) {
        let items = self.items.iter().filter_map(|it| it.service.as_ref());
        let mut services = items.chain(
            self.removed
                .iter()
                .map(super::removed::RemovedService::service),
        );
        let wanted = services.any(is_unit);
        // the end of reports that were cancelled is not announced
        self.watch.has_signals &= wanted;
        self.watch.no_signals_reason.take_if(|_| !wanted);
        self.actions.push_back(Action::Watch(wanted));
    }

    fn look_at_units(&mut self) {
        for item in &mut self.items {
            let is_wanted = item.service.as_ref().is_some_and(is_unit);
            item.observation.request_look_if(is_wanted);
        }
        self.request_removed_looks(is_unit);
    }
}

impl Item {
    /// True for a unit that is as it should be, and whose state does not change only by the passing of time.
    fn is_at_rest(&self, now_ns: u64) -> bool {
        let is_steady = |at_ns| now_ns.saturating_sub(at_ns) >= STEADY_NS;
        let is_passing = matches!(
            self.observation.status(),
            None | Some(
                Status::Missing(_) | Status::Unknown(_) | Status::Starting | Status::Stopping
            )
        );
        let pursuit = &self.pursuit;
        let has_proved = !pursuit.is_for(&Goal::Running)
            || self.work.started_ns().is_none_or(is_steady) && !pursuit.has_failed();
        self.service.as_ref().is_some_and(is_unit)
            && self.is_reached()
            && !is_passing
            && !self.observation.is_unconfirmed()
            && !pursuit.is_unsteady()
            && pursuit.fault().is_none()
            && has_proved
    }
}

pub(super) fn is_unit(service: &Service) -> bool {
    matches!(
        service,
        Service::Unit {
            manager: Manager::Systemd,
            ..
        }
    )
}
