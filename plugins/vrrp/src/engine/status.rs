//! Rows of a key and a value for `sparectl status` and `sparectl vrrp ...`.

use std::time::Duration;

use spared_sdk::Value;

use super::Engine;
use super::active_router::ActiveRouter;
use super::group::{Group, State};
use super::identity_rows;
use super::router::VirtualRouter;
use super::senders::Stranger;
use crate::config::Election;
use crate::error::Discard;

/// Requested rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// Rows of `sparectl status`, with the counters that are not zero.
    Status,
    /// Virtual routers and their settings.
    VirtualRouters,
    Counters,
}

impl Table {
    /// Table that the words of a query name.
    pub fn named(argv: &[&str]) -> Option<Self> {
        match argv {
            ["status"] => Some(Self::Status),
            ["virtual-routers"] => Some(Self::VirtualRouters),
            ["counters"] => Some(Self::Counters),
            _ => None,
        }
    }
}

type Row = (String, Value);

impl Engine {
    /// Returns the rows of a table, groups in the order of the configuration.
    pub fn rows(&self, now_ns: u64, table: Table) -> Vec<Row> {
        let mut rows = Vec::new();
        for group in &self.groups {
            if table == Table::Status {
                group_rows(self, group, now_ns, &mut rows);
                fault_rows(self, group, now_ns, &mut rows);
            }
            for router in group.networks.routers() {
                if table != Table::Counters {
                    router_rows(group, router, &mut rows);
                }
                if table != Table::VirtualRouters {
                    router_counters(group, router, table, &mut rows);
                }
            }
            if table != Table::VirtualRouters {
                group_counters(self, group, table, &mut rows);
            }
        }
        // an answer has room for few groups, so the rows that it can do without come last
        for group in self.groups.iter().filter(|_| table == Table::Status) {
            identity_rows::all(self, group, now_ns, &mut rows);
        }
        rows
    }
}

/// Address of another active router, or the peer's name if its address is not known.
fn other_active(engine: &Engine, group: &Group, now_ns: u64) -> Option<String> {
    if group.is_active() {
        return None;
    }
    // E12: heartbeats tell on networks where adverts prove nothing
    let peer = group.living_peer(now_ns);
    if peer.is_some_and(|peer| peer.is_active()) {
        let mut sources = group.routers().filter_map(|router| router.senders.peer());
        let address = sources.next().map(|address| address.to_string());
        return address.or_else(|| engine.peer.as_ref().map(ToString::to_string));
    }
    let mut ports = group.ports();
    if ports.any(|port| group.adverts_alone(now_ns, port).is_some()) {
        return engine.peer.as_ref().map(ToString::to_string);
    }
    let other = group.watch.router()?;
    let age_ns = now_ns.saturating_sub(other.heard_ns);
    let fresh = age_ns < group.active_down_ns() && !group.watch.has_resigned();
    let address = group.active_address().unwrap_or(other.address);
    fresh.then(|| address.to_string())
}

pub(super) fn group_rows(engine: &Engine, group: &Group, now_ns: u64, rows: &mut Vec<Row>) {
    let name = &group.name;
    let mut text =
        |key: &str, value: String| rows.push((format!("{name}.{key}"), Value::Text(value)));
    text("role", role(group).to_owned());
    if let Election::Quality {
        preferred: Some(preferred),
        ..
    } = group.config.election
    {
        text("preferred", if preferred { "yes" } else { "no" }.to_owned());
    }
    let peer = group.peer.last();
    // of a peer that is known by heartbeats, adverts of a third router say nothing
    let is_of_peer = |router: &ActiveRouter| {
        let mut routers = group.routers();
        peer.is_none() || routers.any(|it| it.senders.is_peer(router.address))
    };
    let advertiser = group.watch.router().filter(is_of_peer);
    if let Some(router) = advertiser.filter(|_| peer.is_none()) {
        let address = group.active_address().unwrap_or(router.address);
        text("peer", address.to_string());
    }
    if let Some(other) = other_active(engine, group, now_ns) {
        text("other_active", other);
    }
    if let Some(conflict) = group.conflicts.current() {
        let interface = conflict.interface.and_then(|at| engine.interfaces.get(at));
        let interface = interface.map_or("the link", |interface| interface.name.as_str());
        text(
            "conflict",
            format!(
                "{} (priority {}) on {interface}",
                conflict.rival, conflict.priority
            ),
        );
    }
    for (port, interface) in group.ports_with(&engine.interfaces) {
        let state = if interface.known {
            interface.fault().unwrap_or("up")
        } else {
            "unknown"
        };
        text(
            &format!("interface.{}.state", interface.name),
            state.to_owned(),
        );
        let horizon_ns = now_ns.saturating_sub(group.active_down_ns());
        if port.reception.is_filtered_since(horizon_ns) {
            let key = format!("interface.{}.heartbeats", interface.name);
            text(&key, "filtered".to_owned());
        }
    }
    if let Some(peer) = peer {
        let of_peer = |key: &str| format!("{name}.peer{key}");
        let text = |value: &str| Value::Text(value.to_owned());
        let known = engine.peer.as_deref().unwrap_or("the peer");
        rows.push((of_peer(""), text(known)));
        rows.push((of_peer("_role"), text(peer.role())));
        rows.push((of_peer("_contact"), text(group.contact(now_ns).name())));
    }
    let mut number =
        |key: &str, value: u64| rows.push((format!("{name}.{key}"), Value::Number(value)));
    number("quality", u64::from(group.candidacy.directive().quality));
    number("priority", u64::from(group.candidacy.priority()));
    if let Some(peer) = peer {
        number("peer_class", u64::from(peer.heartbeat.class));
        number("peer_quality", u64::from(peer.heartbeat.quality));
        let ago_ns = now_ns.saturating_sub(peer.heard_ns);
        number("peer_heartbeat_ms_ago", ago_ns / 1_000_000);
    }
    let advertised = advertiser.map(|router| router.priority);
    let priority = peer.map(|peer| peer.heartbeat.priority).or(advertised);
    if let Some(priority) = priority {
        number("peer_priority", u64::from(priority));
    }
    if let Some(router) = advertiser {
        let ago_ns = now_ns.saturating_sub(router.heard_ns);
        number("peer_heard_ms_ago", ago_ns / 1_000_000);
    }
    number("advert_interval_us", group.lease.interval_ns() / 1000);
    number("learned_interval_us", group.watch.interval_ns() / 1000);
    number("active_down_us", group.active_down_ns() / 1000);
    number("lease_us", group.config.lease_ns / 1000);
    match group.state {
        State::Backup { down_ns, .. } => {
            number("active_down_in_us", down_ns.saturating_sub(now_ns) / 1000);
        }
        State::Active { advert_ns, .. } => {
            number("advert_in_us", advert_ns.saturating_sub(now_ns) / 1000);
        }
        _ => {}
    }
}

/// Rows about faults of a group that only this plugin knows; normally there are none.
pub(super) fn fault_rows(engine: &Engine, group: &Group, now_ns: u64, rows: &mut Vec<Row>) {
    let mut text = |key: String, value: &str| rows.push((key, Value::Text(value.to_owned())));
    if let Some(why) = group.failover_delay_reason(engine, now_ns) {
        text(format!("{}.failover_waits", group.name), &why);
    }
    for link in engine.silent_links(now_ns) {
        let key = format!("{}.link.{link}.heartbeats_unheard", group.name);
        text(key, "yes");
    }
    for (port, there) in group.ports_with(&engine.interfaces) {
        let prefix = format!("{}.interface.{}", group.name, there.name);
        if let Some(priority) = group.adverts_alone(now_ns, port) {
            let peer = engine.peer.as_deref().unwrap_or("the peer");
            let what = format!("{peer} (priority {priority})");
            text(format!("{prefix}.adverts_alone"), &what);
        }
        if let Some(what) = group.unheard_text(now_ns, port) {
            text(format!("{prefix}.unheard"), &what);
        }
    }
    identity_rows::lost(engine, group, now_ns, rows);
    identity_rows::unproven(engine, group, now_ns, rows);
    let mut text = |key: String, value: &str| rows.push((key, Value::Text(value.to_owned())));
    for it in engine.duplicates_of(group) {
        let what = if it.is_peer {
            "duplicate_on_peer"
        } else {
            "duplicate"
        };
        let key = format!("{}.address.{}.{what}", group.name, it.address);
        text(key, &format!("{} on {}", it.macs, it.interface));
    }
    for router in group.networks.routers() {
        if let Some(stranger) = router.senders.stranger(now_ns) {
            let Stranger {
                address, priority, ..
            } = stranger;
            let key = format!("{}.stranger", prefix(group, router));
            text(key, &format!("{address} (priority {priority})"));
        }
        if let Some(signer) = router.senders.signer(now_ns) {
            text(
                format!("{}.signer", prefix(group, router)),
                &signer.to_string(),
            );
        }
        if let Some(differing) = router.senders.differing(now_ns) {
            text(
                format!("{}.other_addresses", prefix(group, router)),
                &differing,
            );
        }
        let refused = router.refused_peers(now_ns, 2 * group.active_down_ns());
        let refused: Vec<String> = refused.map(|peer| peer.to_string()).collect();
        if group.is_active() && !refused.is_empty() {
            let key = format!("{}.refused", prefix(group, router));
            text(key, &refused.join(", "));
        }
        if router.muting.is_muted() {
            let key = format!("{}.muted", prefix(group, router));
            text(key, "its adverts do not leave");
        }
    }
}

fn role(group: &Group) -> &'static str {
    match group.state {
        State::Active { .. } | State::Lapsed { .. } => "active",
        State::Backup { .. } | State::Promoting { .. } => "backup",
        State::Initialize { .. } => "fault",
    }
}

pub(super) fn router_rows(group: &Group, router: &VirtualRouter, rows: &mut Vec<Row>) {
    let prefix = prefix(group, router);
    let mut text =
        |key: &str, value: String| rows.push((format!("{prefix}.{key}"), Value::Text(value)));
    let source = router
        .source
        .map_or("none".to_owned(), |source| source.to_string());
    text("source", source);
    text("checksum", router.adverts.form().name().to_owned());
    if let Some(address) = group.last_heard_there(router) {
        text("heard", address.to_string());
    }
    if router.adverts.is_capped() {
        text(
            "advertised",
            "fewer than configured: the mtu leaves no room".to_owned(),
        );
    }
}

pub(super) fn router_counters(
    group: &Group,
    router: &VirtualRouter,
    table: Table,
    rows: &mut Vec<Row>,
) {
    let prefix = prefix(group, router);
    let counters = &router.counters;
    for (key, value) in [
        ("sent", counters.sent),
        ("sent_priority_zero", counters.sent_priority_zero),
        ("send_errors", counters.send_errors),
        ("received", counters.received),
        ("received_priority_zero", counters.received_priority_zero),
        ("received_losing", counters.received_losing),
        ("interval_mismatch", counters.interval_mismatch),
        ("address_list_mismatch", counters.address_list_mismatch),
        ("checksum_changes", counters.checksum_changes),
        ("foreign", counters.foreign),
        ("signed", counters.signed),
    ] {
        let always = table == Table::Counters || matches!(key, "sent" | "received");
        if always || value > 0 {
            rows.push((format!("{prefix}.{key}"), Value::Counter(value)));
        }
    }
}

fn prefix(group: &Group, router: &VirtualRouter) -> String {
    let config = &router.config;
    let family = config.family.name();
    format!(
        "{}.virtual_router.{}.{}.{family}",
        group.name, config.interface, config.vrid
    )
}

fn group_counters(engine: &Engine, group: &Group, table: Table, rows: &mut Vec<Row>) {
    role_counters(group, rows);
    late_and_dropped(engine, group, table, rows);
}

pub(super) fn role_counters(group: &Group, rows: &mut Vec<Row>) {
    let name = &group.name;
    let counters = &group.counters;
    for (key, value) in [
        ("became_active", counters.became_active),
        ("became_backup", counters.became_backup),
        ("publish_failed", counters.publish_failed),
        ("conflicts", counters.conflicts),
        ("unheard_interfaces", counters.unheard_interfaces),
        ("claims", counters.claims),
        ("lapses", counters.lapses),
        ("late_step_downs", counters.late_step_downs),
    ] {
        rows.push((format!("{name}.{key}"), Value::Counter(value)));
    }
    let both_active = Duration::from_nanos(group.conflicts.both_active_ns());
    let both_active = Value::TimeCounter(both_active);
    rows.push((format!("{name}.both_active"), both_active));
}

fn late_and_dropped(engine: &Engine, group: &Group, table: Table, rows: &mut Vec<Row>) {
    let (name, lateness) = (&group.name, &group.counters.lateness);
    rows.push((
        format!("{name}.advert_late_worst_us"),
        Value::Number(lateness.worst_ns / 1000),
    ));
    for (below_us, count) in lateness.buckets() {
        rows.push((
            format!("{name}.advert_late.below_{below_us}_us"),
            Value::Counter(count),
        ));
    }
    for (_, interface) in group.ports_with(&engine.interfaces) {
        for &reason in Discard::ALL {
            let key = format!(
                "{name}.interface.{}.dropped.{}",
                interface.name,
                reason.name()
            );
            let count = interface.discards.get(reason);
            if table == Table::Counters || count > 0 {
                rows.push((key, Value::Counter(count)));
            }
        }
    }
}
