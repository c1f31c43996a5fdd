//! The table of all metrics: kind, name, unit, help, and where the values are taken from a status.

use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use crate::sources::{Labels, fence, flag, float, now, of_group, role, seconds};
use crate::status::Status;
use crate::values::{
    Values, checks, count, dropped, each, findings, hooks, last_changes, lateness, leases,
    link_bytes, of_details, of_link, of_plugin, of_plugin_row, one, one_with, path_heartbeats,
    present, restored, role_changes, round_trips, routers, signed, some, tables, verdict,
};

/// A metric. Its name is without prefix, unit and suffix.
pub struct Metric {
    pub name: &'static str,
    pub kind: MetricType,
    pub unit: Option<Unit>,
    pub help: &'static str,
    pub values: fn(&Status) -> Values,
}

macro_rules! metrics {
    ($($kind:ident $name:literal $unit:ident: $help:literal, $values:expr;)+) => {
        /// All metrics, in the order in which they are printed.
        pub const METRICS: &[Metric] = &[$(Metric {
            name: $name,
            kind: MetricType::$kind,
            unit: unit!($unit),
            help: $help,
            values: $values,
        },)+];
    };
}

macro_rules! unit {
    (None) => {
        None
    };
    ($unit:ident) => {
        Some(Unit::$unit)
    };
}

metrics! {
    Info "build" None: "Version of the daemon.",
        |it| one_with([("version", it.run.version.clone())], 1.0);
    Gauge "status_age" Seconds: "Age of the snapshot from which these metrics are made.",
        |it| some(seconds(&it.at).map(|at| (now() - at).max(0.0)));
    Gauge "start_timestamp" Seconds: "Time at which the daemon was started, since 1970.",
        |it| some(seconds(&it.run.started));
    Gauge "verdict" None: "Verdict about the pair, 1 for the word of sparectl probe.",
        verdict;
    Gauge "findings" None: "Number of findings about both nodes.",
        |it| one(count(it.verdict.findings.len()));
    Gauge "finding" None: "Number of findings with this id.",
        findings;
    Gauge "quality" None: "Quality of this node, 0 to 100.",
        |it| one(f64::from(it.quality));
    Gauge "ready" None: "Whether a failover to this node would lose nothing.",
        |it| some(it.missing.as_ref().map(|it| flag(it.is_empty())));
    Gauge "maintenance" None: "Whether this node is in maintenance.",
        |it| one(flag(it.orders.maintenance.is_some()));
    Gauge "frozen" None: "Whether roles are frozen.",
        |it| one(flag(it.orders.frozen_until.is_some()));
    Gauge "unarmed" None: "Whether this node is paired and not armed.",
        |it| one(flag(it.orders.unarmed));
    Gauge "check" None: "Result of a check, 0 to 100.",
        checks;
    Gauge "plugin_up" None: "Whether the plugin runs.",
        |it| each(&it.plugins, |it| (of_plugin(&it.name), flag(it.state == "running")));
    Counter "plugin_restarts" None: "Restarts of the plugin since the daemon started.",
        |it| each(&it.plugins, |it| (of_plugin(&it.name), float(it.restarts)));
    Gauge "peer_up" None: "Whether the other node is heard over a link.",
        |it| each(&it.peer, |it| (Labels::new(), flag(it.up)));
    Gauge "peer_last_heard_timestamp" Seconds: "Time at which the other node was last heard, since 1970.",
        |it| some(it.peer.as_ref().and_then(|it| seconds(it.last_heard.as_ref()?)));
    Gauge "peer_clock_offset" Seconds: "Clock of the other node minus this node's.",
        |it| some(it.peer.as_ref().and_then(|it| Some(signed(it.clock_ms?) / 1e3)));
    Gauge "link_up" None: "Whether the link works.",
        |it| each(&it.links, |it| (of_link(it), flag(it.state == "up")));
    Gauge "link_rtt" Seconds: "Round trip to the other node over the link.",
        round_trips;
    Counter "link" Bytes: "Bytes on the link, with overhead.",
        link_bytes;
    Counter "link_heartbeats" None: "Heartbeats on the link.",
        |it| path_heartbeats(it, "link.");
    Counter "network_heartbeats" None: "Heartbeats on the network.",
        |it| path_heartbeats(it, "network.");
    Histogram "advert_lateness" Seconds: "Lateness of this node's adverts, of all groups.",
        lateness;
    Counter "adverts_dropped" None: "Received frames that were dropped, by reason.",
        dropped;
    Gauge "group_state" None: "Role of the group: 0 unknown, 1 backup, 2 active, 3 fault.",
        |it| each(&it.groups, |it| (of_group(it), role(&it.role)));
    Gauge "last_change_timestamp" Seconds: "Time of the last role change of the group, since 1970, with its cause.",
        last_changes;
    Counter "role_changes" None: "Changes of the group to this role.",
        role_changes;
    Counter "conflicts" None: "Times that another router was active while this node was.",
        |it| of_details(it, "conflicts", 1.0);
    Counter "both_active" Seconds: "Time for which another router was heard to be active while this node was.",
        |it| of_details(it, "both_active", 1e9);
    Counter "fence_lapses" None: "Fence leases that ended although this node was active.",
        |it| of_details(it, "lapses", 1.0);
    Gauge "fence_state" None: "Fence of the group: 0 blocking, 1 passing, 2 missing, 3 off.",
        |it| each(&it.groups, |it| (of_group(it), fence(&it.fence)));
    Gauge "addresses" None: "Virtual addresses of the group.",
        |it| each(&it.groups, |it| (of_group(it), count(it.addresses.len())));
    Gauge "addresses_present" None: "Virtual addresses of the group that the kernel has.",
        |it| each(&it.groups, present);
    Counter "addresses_restored" None: "Virtual addresses that others had deleted and the daemon restored.",
        |it| each(&it.groups, restored);
    Gauge "forced" None: "Whether an administrator forced the role of the group.",
        |it| each(&it.groups, |it| (of_group(it), flag(it.forced != "no")));
    Gauge "virtual_router_state" None: "Role of the virtual router: 0 unknown, 1 backup, 2 active, 3 fault.",
        |it| routers(it, |it| it.role());
    Counter "adverts_sent" None: "Adverts sent.",
        |it| routers(it, |it| it.count("sent"));
    Counter "adverts_received" None: "Adverts received.",
        |it| routers(it, |it| it.count("received"));
    Counter "adverts_priority_zero_sent" None: "Adverts of priority 0 sent: this node resigned.",
        |it| routers(it, |it| it.count("sent_priority_zero"));
    Counter "adverts_priority_zero_received" None: "Adverts of priority 0 received: another router resigned.",
        |it| routers(it, |it| it.count("received_priority_zero"));
    Counter "adverts_interval_mismatch" None: "Received adverts with another interval.",
        |it| routers(it, |it| it.count("interval_mismatch"));
    Counter "adverts_address_mismatch" None: "Received adverts with other addresses.",
        |it| routers(it, |it| it.count("address_list_mismatch"));
    Gauge "replica_in_sync" None: "Whether both nodes have the same records.",
        |it| tables(it, |it| Some(flag(it.in_sync)));
    Gauge "replica_lag" Seconds: "Time for which the oldest change waits to reach the other node.",
        |it| tables(it, |it| Some(it.lag_ms? / 1e3));
    Gauge "replica_backlog" None: "Changes that wait to be sent to the other node.",
        |it| tables(it, |it| it.backlog);
    Gauge "replica_records" None: "Records here.",
        |it| tables(it, |it| it.records);
    Counter "replica_resyncs" None: "Snapshots of the table begun.",
        |it| tables(it, |it| it.resyncs);
    Gauge "flows" None: "Connections in the kernel's table.",
        |it| of_plugin_row(it, "conntrack", "flows.kernel");
    Gauge "flows_limit" None: "Connections that the kernel's table holds at most.",
        |it| of_plugin_row(it, "conntrack", "flows.kernel_limit");
    Gauge "dhcp_leases" None: "DHCP leases of the server.",
        leases;
    Gauge "ipsec_sas" None: "IPsec SAs in the kernel.",
        |it| of_plugin_row(it, "ipsec", "all.sas");
    Gauge "ipsec_held_sas" None: "IPsec SAs that are kept for a failover.",
        |it| of_plugin_row(it, "ipsec", "all.held_sas");
    Counter "hook_runs" None: "Hooks of the group that ended.",
        |it| hooks(it, ".hook_runs", 1.0);
    Counter "hook_duration" Seconds: "Time that the hooks of the group took.",
        |it| hooks(it, ".hook_time", 1e9);
    Counter "hook_failures" None: "Hooks of the group that failed or were refused.",
        |it| hooks(it, ".hook_failures", 1.0);
}
