//! Sums over all groups for the host's record of the last minutes, and the faults of each group; cheap enough for a
//! query each second.

use spared_sdk::Value;

use super::Engine;
use super::group::{Group, State};
use super::status::fault_rows;
use crate::heartbeats::Counters;

/// Lateness from which an advert counts as late.
const LATE_US: u64 = 1024;

type Row = (String, Value);

impl Engine {
    /// Returns rows about the adverts of all groups, the time since a backup last heard the active node, and faults.
    pub fn totals(&self, now_ns: u64) -> Vec<Row> {
        let routers = || {
            self.groups
                .iter()
                .flat_map(|group| group.networks.routers())
        };
        let groups = || self.groups.iter().map(|group| &group.counters);
        let late = groups().map(|counters| counters.lateness.above(LATE_US));
        let worst_ns = groups().map(|counters| counters.lateness.worst_ns);
        let mut rows = vec![
            counter("adverts_sent", routers().map(|it| it.counters.sent).sum()),
            counter(
                "adverts_send_errors",
                routers().map(|it| it.counters.send_errors).sum(),
            ),
            counter(
                "adverts_received",
                routers().map(|it| it.counters.received).sum(),
            ),
            counter("adverts_late", late.sum()),
            number("adverts_late_worst_us", worst_ns.max().unwrap_or(0) / 1000),
            counter("lapses", groups().map(|it| it.lapses).sum()),
        ];
        let ages = self
            .groups
            .iter()
            .filter_map(|it| advert_age_ns(it, now_ns));
        rows.extend(ages.max().map(|ns| number("advert_age_ms", ns / 1_000_000)));
        for group in &self.groups {
            fault_rows(self, group, now_ns, &mut rows);
        }
        rows
    }
}

// Time since a backup heard the active router's last advert.
fn advert_age_ns(group: &Group, now_ns: u64) -> Option<u64> {
    let heard = group.watch.router()?.heard_ns;
    let is_backup = matches!(group.state, State::Backup { .. } | State::Promoting { .. });
    is_backup.then(|| now_ns.saturating_sub(heard))
}

/// Rows about the heartbeats of one or several paths.
pub(crate) fn of_paths<'c>(
    name: &str,
    now_ns: u64,
    paths: impl Iterator<Item = &'c Counters> + Clone,
) -> Vec<Row> {
    let key = |key: &str| format!("{name}.{key}");
    let mut rows = vec![
        counter(
            &key("heartbeats_sent"),
            paths.clone().map(|it| it.sent).sum(),
        ),
        counter(
            &key("heartbeats_received"),
            paths.clone().map(|it| it.received).sum(),
        ),
    ];
    let ages = paths.filter_map(|it| it.age_ns(now_ns));
    rows.extend(
        ages.min()
            .map(|ns| number(&key("heartbeat_age_ms"), ns / 1_000_000)),
    );
    rows
}

fn counter(key: &str, count: u64) -> Row {
    (key.to_owned(), Value::Counter(count))
}

fn number(key: &str, value: u64) -> Row {
    (key.to_owned(), Value::Number(value))
}
