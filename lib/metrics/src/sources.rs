//! Values of metrics in a status: rows of plugins, virtual routers, replicated tables, times.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::status::{GroupStatus, Status, Value};

/// Labels of a sample: names and values.
pub type Labels = Vec<(&'static str, String)>;

/// Rows of a plugin, or of a group.
type Rows = BTreeMap<String, Value>;

/// A virtual router, from rows such as "virtual_router.lan2.50.ipv4.sent".
pub struct RouterRows<'s> {
    group: &'s GroupStatus,
    /// Interface, VRID and family.
    place: (&'s str, &'s str, &'s str),
    prefix: &'s str,
}

/// A replicated table of a plugin.
pub struct ReplicaTable<'s> {
    pub labels: Labels,
    pub in_sync: bool,
    pub lag_ms: Option<f64>,
    pub backlog: Option<f64>,
    pub records: Option<f64>,
    pub resyncs: Option<f64>,
    /// Plugin, and name of the table.
    pub of: (&'s str, &'s str),
}

pub fn number(rows: &Rows, key: &str) -> Option<f64> {
    match rows.get(key)? {
        Value::Number(number) => Some(float(*number)),
        Value::Signed(number) => Some(*number as f64),
        Value::Text(_) | Value::Flag(_) => None,
    }
}

pub fn float(number: u64) -> f64 {
    number as f64
}

pub fn flag(is_so: bool) -> f64 {
    if is_so { 1.0 } else { 0.0 }
}

/// Seconds since 1970 of a time in a status.
pub fn seconds(time: &str) -> Option<f64> {
    let time: Timestamp = time.parse().ok()?;
    Some(time.as_duration().as_secs_f64())
}

/// Seconds since 1970.
pub fn now() -> f64 {
    Timestamp::now().as_duration().as_secs_f64()
}

/// Role as keepalived's exporters number it.
pub fn role(role: &str) -> f64 {
    match role {
        "backup" => 1.0,
        "active" => 2.0,
        "fault" => 3.0,
        _ => 0.0,
    }
}

pub fn fence(fence: &str) -> f64 {
    match fence {
        "blocking" => 0.0,
        "passing" => 1.0,
        "missing" => 2.0,
        _ => 3.0,
    }
}

pub fn of_group(group: &GroupStatus) -> Labels {
    vec![("group", group.name.clone())]
}

/// Numbers of all plugins whose keys begin and end so, with what is between.
pub fn between<'s>(
    status: &'s Status,
    first: &'static str,
    last: &'static str,
) -> impl Iterator<Item = (&'s str, f64)> {
    let plugins = status.rows.values();
    plugins.flat_map(move |rows| {
        rows.keys().filter_map(move |key| {
            let middle = key.strip_prefix(first)?.strip_suffix(last)?;
            Some((middle, number(rows, key)?))
        })
    })
}

/// Virtual routers of all groups.
pub fn virtual_routers(status: &Status) -> impl Iterator<Item = RouterRows<'_>> {
    status.groups.iter().flat_map(|group| {
        group.details.keys().filter_map(move |key| {
            let prefix = key.strip_suffix(".sent")?;
            let place = prefix.strip_prefix("virtual_router.")?;
            // a name of an interface may have dots
            let (rest, family) = place.rsplit_once('.')?;
            let (interface, vrid) = rest.rsplit_once('.')?;
            Some(RouterRows {
                group,
                place: (interface, vrid, family),
                prefix,
            })
        })
    })
}

impl<'s> RouterRows<'s> {
    pub fn labels(&self) -> Labels {
        let (interface, vrid, family) = self.place;
        let mut labels = of_group(self.group);
        labels.extend([
            ("interface", interface.to_owned()),
            ("vrid", vrid.to_owned()),
            ("family", family.to_owned()),
        ]);
        labels
    }

    pub fn group(&self) -> &'s GroupStatus {
        self.group
    }

    /// Interface, VRID and family.
    pub fn place(&self) -> (&'s str, &'s str, &'s str) {
        self.place
    }

    /// Row of this router with a text.
    pub fn text(&self, key: &str) -> Option<&'s str> {
        let key = format!("{}.{key}", self.prefix);
        match self.group.details.get(&key)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn role(&self) -> f64 {
        role(&self.group.role)
    }

    /// Counter of this router, which has no row while it is 0.
    pub fn count(&self, key: &str) -> f64 {
        let key = format!("{}.{key}", self.prefix);
        number(&self.group.details, &key).unwrap_or(0.0)
    }
}

/// Tables of all plugins that replicate: those of the replica, and the flows, which have rows of their own.
pub fn replica_tables(status: &Status) -> Vec<ReplicaTable<'_>> {
    let mut tables = Vec::new();
    for (plugin, rows) in &status.rows {
        let names = rows.keys().filter_map(|key| key.strip_suffix(".behind_ms"));
        tables.extend(names.map(|name| {
            let of = |key: &str| number(rows, &format!("{name}.{key}"));
            let state = rows.get(&format!("{name}.state"));
            ReplicaTable {
                labels: of_table(plugin, name),
                in_sync: state == Some(&Value::Text("in sync".to_owned())),
                lag_ms: of("behind_ms"),
                backlog: of("backlog"),
                records: of("records_here"),
                resyncs: of("resyncs"),
                of: (plugin, name),
            }
        }));
        if let Some(lag_ms) = number(rows, "lag_ms") {
            let flows = ["flows.local", "flows.remote"].map(|key| number(rows, key));
            tables.push(ReplicaTable {
                labels: of_table(plugin, "flows"),
                in_sync: rows.get("in_sync") == Some(&Value::Text("yes".to_owned())),
                lag_ms: Some(lag_ms),
                backlog: number(rows, "backlog"),
                records: Some(flows.into_iter().flatten().sum()),
                resyncs: number(rows, "resyncs"),
                of: (plugin, "flows"),
            });
        }
    }
    tables
}

fn of_table(plugin: &str, table: &str) -> Labels {
    vec![("plugin", plugin.to_owned()), ("table", table.to_owned())]
}
