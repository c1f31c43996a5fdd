//! Values of metrics, each with its labels, from a status.

use std::collections::BTreeMap;

use spared_contract::VerdictWord;
use spared_contract::check::{CHECK_LOSES, CHECK_UNKNOWN};

use crate::sources::{
    Labels, ReplicaTable, RouterRows, between, flag, float, number, of_group, replica_tables,
    seconds, virtual_routers,
};
use crate::status::{CheckStatus, GroupStatus, LinkStatus, Status};

/// Values of a metric.
pub enum Values {
    Samples(Vec<(Labels, f64)>),
    Histogram(Histogram),
}

/// A histogram: sum, number of values, and the number in each bucket by its upper limit.
pub struct Histogram {
    pub sum: f64,
    pub count: u64,
    pub buckets: Vec<(f64, u64)>,
}

pub fn one_with<const N: usize>(labels: [(&'static str, String); N], value: f64) -> Values {
    Values::Samples(vec![(labels.into(), value)])
}

pub fn one(value: f64) -> Values {
    one_with([], value)
}

pub fn some(value: Option<f64>) -> Values {
    value.map_or_else(|| Values::Samples(Vec::new()), one)
}

pub fn each<'s, T: 's>(
    all: impl IntoIterator<Item = &'s T>,
    sample: impl Fn(&T) -> (Labels, f64),
) -> Values {
    Values::Samples(all.into_iter().map(sample).collect())
}

pub fn count(length: usize) -> f64 {
    float(u64::try_from(length).unwrap_or(u64::MAX))
}

pub fn signed(number: i64) -> f64 {
    number as f64
}

pub fn of_plugin(name: &str) -> Labels {
    vec![("plugin", name.to_owned())]
}

pub fn of_link(link: &LinkStatus) -> Labels {
    vec![("interface", link.interface.clone())]
}

pub fn verdict(status: &Status) -> Values {
    each(VerdictWord::ALL, |word| {
        let labels = vec![("word", word.probe_word().to_owned())];
        (labels, flag(*word == status.verdict.word))
    })
}

pub fn findings(status: &Status) -> Values {
    let mut ids: BTreeMap<&str, usize> = BTreeMap::new();
    for finding in &status.verdict.findings {
        *ids.entry(&finding.id).or_default() += 1;
    }
    let ids = ids.into_iter();
    let samples = ids.map(|(id, number)| (vec![("id", id.to_owned())], count(number)));
    Values::Samples(samples.collect())
}

// A check without a result has no number yet.
pub fn checks(status: &Status) -> Values {
    let known = status.checks.iter();
    let known = known.filter(|it| it.state != CHECK_UNKNOWN);
    let sample = |it: &CheckStatus| {
        let mut labels = of_plugin(&it.plugin);
        labels.push(("name", it.name.clone()));
        let state = if it.state == CHECK_LOSES { 0 } else { it.state };
        (labels, f64::from(state))
    };
    Values::Samples(known.map(sample).collect())
}

pub fn round_trips(status: &Status) -> Values {
    let links = status.links.iter();
    let samples = links.filter_map(|it| Some((of_link(it), it.round_trip_ms? / 1e3)));
    Values::Samples(samples.collect())
}

pub fn link_bytes(status: &Status) -> Values {
    let samples = status.links.iter().flat_map(|it| {
        let bytes = [("sent", it.sent_bytes), ("received", it.received_bytes)];
        bytes.map(|(direction, bytes)| (directed(of_link(it), direction), float(bytes)))
    });
    Values::Samples(samples.collect())
}

fn directed(mut labels: Labels, direction: &str) -> Labels {
    labels.push(("direction", direction.to_owned()));
    labels
}

pub fn path_heartbeats(status: &Status, path: &'static str) -> Values {
    let keys = [
        ("sent", ".heartbeats_sent"),
        ("received", ".heartbeats_received"),
    ];
    let samples = keys.into_iter().flat_map(|(direction, key)| {
        between(status, path, key).map(move |(interface, number)| {
            let labels = vec![("interface", interface.to_owned())];
            (directed(labels, direction), number)
        })
    });
    Values::Samples(samples.collect())
}

// Upper limits in microseconds. The rows have one for each power of two, and what is longer than the last is counted
// there, too.
pub fn lateness(status: &Status) -> Values {
    const LIMITS_US: [u64; 9] = [4, 16, 64, 256, 1024, 4096, 16384, 65536, 262_144];
    let mut buckets: Vec<(f64, u64)> = LIMITS_US.iter().map(|us| (float(*us) / 1e6, 0)).collect();
    buckets.push((f64::INFINITY, 0));
    let mut all = 0;
    for (below_us, number) in between(status, "advert_late.below_", "_us") {
        let below = below_us.parse().unwrap_or(f64::INFINITY) / 1e6;
        let number = number as u64;
        if let Some(bucket) = buckets.iter_mut().find(|it| below <= it.0) {
            bucket.1 += number;
        }
        all += number;
    }
    let sums: Vec<f64> = between(status, "advert_late.", "sum")
        .map(|it| it.1)
        .collect();
    if sums.is_empty() {
        return Values::Samples(Vec::new());
    }
    Values::Histogram(Histogram {
        sum: sums.into_iter().sum::<f64>() / 1e9,
        count: all,
        buckets,
    })
}

pub fn dropped(status: &Status) -> Values {
    let dropped = between(status, "dropped.", "");
    let samples = dropped.map(|(reason, number)| (vec![("reason", reason.to_owned())], number));
    Values::Samples(samples.collect())
}

pub fn last_changes(status: &Status) -> Values {
    let samples = status.groups.iter().filter_map(|it| {
        let mut labels = of_group(it);
        labels.push(("cause", it.reason.clone()));
        Some((labels, seconds(&it.since)?))
    });
    Values::Samples(samples.collect())
}

pub fn role_changes(status: &Status) -> Values {
    let samples = status.groups.iter().flat_map(|group| {
        let roles = [("active", "became_active"), ("backup", "became_backup")];
        roles.into_iter().filter_map(|(to, key)| {
            let mut labels = of_group(group);
            labels.push(("to", to.to_owned()));
            Some((labels, number(&group.details, key)?))
        })
    });
    Values::Samples(samples.collect())
}

pub fn of_details(status: &Status, key: &str, unit: f64) -> Values {
    let groups = status.groups.iter();
    let samples = groups.filter_map(|it| Some((of_group(it), number(&it.details, key)? / unit)));
    Values::Samples(samples.collect())
}

pub fn present(group: &GroupStatus) -> (Labels, f64) {
    let present = group.addresses.iter().filter(|it| it.present);
    (of_group(group), count(present.count()))
}

pub fn restored(group: &GroupStatus) -> (Labels, f64) {
    let restored = group.addresses.iter().map(|it| it.restored);
    (of_group(group), float(restored.sum()))
}

pub fn routers(status: &Status, value: impl Fn(&RouterRows<'_>) -> f64) -> Values {
    let routers = virtual_routers(status);
    Values::Samples(routers.map(|it| (it.labels(), value(&it))).collect())
}

pub fn tables(status: &Status, value: impl Fn(&ReplicaTable<'_>) -> Option<f64>) -> Values {
    let tables = replica_tables(status).into_iter();
    let samples = tables.filter_map(|it| {
        let value = value(&it)?;
        Some((it.labels, value))
    });
    Values::Samples(samples.collect())
}

pub fn leases(status: &Status) -> Values {
    let tables = replica_tables(status).into_iter();
    let servers = tables.filter(|it| it.of.0 == "dhcp");
    let samples =
        servers.filter_map(|it| Some((vec![("server", it.of.1.to_owned())], it.records?)));
    Values::Samples(samples.collect())
}

pub fn of_plugin_row(status: &Status, plugin: &str, key: &str) -> Values {
    some(status.rows.get(plugin).and_then(|rows| number(rows, key)))
}

pub fn hooks(status: &Status, key: &'static str, unit: f64) -> Values {
    let hooks = between(status, "group.", key);
    let samples = hooks.map(|(group, number)| (vec![("group", group.to_owned())], number / unit));
    Values::Samples(samples.collect())
}
