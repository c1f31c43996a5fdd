//! Rows for the daemon's snapshot: status and counters of all groups, in parts that are quick to make, so that no advert
//! waits for hundreds of groups.

use std::collections::BTreeMap;
use std::time::Duration;

use spared_sdk::Value;

use super::status::{Table, fault_rows, group_rows, role_counters, router_counters, router_rows};
use super::{Engine, identity_rows};
use crate::error::Discard;

/// Groups of a part. Their rows fit into an answer.
const GROUPS_MAX: usize = 16;
/// Row with the word that asks for the next part.
const MORE: &str = "more";

type Row = (String, Value);

impl Engine {
    /// Returns the rows of a part, which begins with this group. The first part also has the sums over all groups.
    pub fn metrics(&self, now_ns: u64, from: usize) -> Vec<Row> {
        let mut rows = Vec::new();
        let next = from.saturating_add(GROUPS_MAX);
        if next < self.groups.len() {
            rows.push((MORE.to_owned(), Value::Text(next.to_string())));
        }
        if from == 0 {
            self.lateness_rows(&mut rows);
            self.dropped_rows(&mut rows);
        }
        for group in self.groups.iter().skip(from).take(GROUPS_MAX) {
            group_rows(self, group, now_ns, &mut rows);
            fault_rows(self, group, now_ns, &mut rows);
            role_counters(group, &mut rows);
            for router in group.networks.routers() {
                router_rows(group, router, &mut rows);
                router_counters(group, router, Table::Status, &mut rows);
            }
            identity_rows::all(self, group, now_ns, &mut rows);
        }
        rows
    }

    fn lateness_rows(&self, rows: &mut Vec<Row>) {
        let latenesses = || self.groups.iter().map(|group| &group.counters.lateness);
        let mut buckets: BTreeMap<u64, u64> = BTreeMap::new();
        for (below_us, count) in latenesses().flat_map(|it| it.buckets()) {
            *buckets.entry(below_us).or_default() += count;
        }
        let buckets = buckets.into_iter();
        rows.extend(buckets.map(|(below_us, count)| {
            let key = format!("advert_late.below_{below_us}_us");
            (key, Value::Counter(count))
        }));
        let sum_ns = latenesses().map(|it| it.sum_ns).sum();
        let sum = Value::TimeCounter(Duration::from_nanos(sum_ns));
        rows.push(("advert_late.sum".to_owned(), sum));
    }

    fn dropped_rows(&self, rows: &mut Vec<Row>) {
        for &reason in Discard::ALL {
            let counts = self.interfaces.iter().map(|it| it.discards.get(reason));
            let key = format!("dropped.{}", reason.name());
            rows.push((key, Value::Counter(counts.sum())));
        }
    }
}
