//! Makes the status of a node for `sparectl status`.

use std::collections::BTreeMap;
use std::time::Duration;

use spared_contract::Forced;
use spared_group::{Group, name_of};
use spared_kernel::FenceState;
use spared_message::control::{
    DaemonRun, GroupStatus, InterfaceStatus, PeerStatus, Status, Value, Verdict,
};
use spared_process::clock;
use spared_requests::rows::Details;

use super::NodeView;
use super::facts::{interface_of, quality_of};
use super::status_rows::StatusRows;

impl NodeView<'_> {
    /// Returns the status of this node, without rows that concern no group.
    pub fn status(&self, rows: &StatusRows) -> Status {
        let groups: Vec<GroupStatus> = self
            .groups
            .iter()
            .map(|(name, group)| self.group_status(name, group, rows))
            .collect();
        let linked = self.config.linked().is_some();
        Status {
            at: clock::now(),
            node: self.config.node().to_owned(),
            run: DaemonRun {
                config: self.config_digest(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                booted: clock::booted(),
                started: self.config.started().to_owned(),
            },
            verdict: Verdict::default(),
            groups,
            interfaces: self.interface_status(),
            plugins: self.supervisor.status(),
            last_event: self.notices.last().cloned(),
            quality: self.pair.quality().number(),
            checks: self.pair.quality().status(),
            missing: linked.then(|| self.pair.missing().to_vec()),
            orders: self.orders.facts(),
            links: self.link.status(),
            peer: None,
            rows: BTreeMap::new(),
        }
    }

    // Returns a digest of the configuration: of the compared keys, or of the whole files if nothing is compared.
    fn config_digest(&self) -> String {
        let compared = self.pair.digest();
        compared.unwrap_or_else(|| self.config.setup().digest.clone())
    }

    /// Returns the status of the peer. `there` is the peer's answer.
    pub fn peer_status(
        &self,
        rows: &StatusRows,
        there: Option<Box<Status>>,
    ) -> Option<Box<PeerStatus>> {
        let node = self.config.peer_name()?.to_owned();
        let up = self.link.is_up();
        let status = there.map(|status| {
            // The peer's knowledge of this node is dropped.
            let (peer, verdict) = (None, Verdict::default());
            Box::new(Status {
                peer,
                verdict,
                ..*status
            })
        });
        Some(Box::new(PeerStatus {
            node,
            up,
            last_heard: self.peer_last_heard(rows),
            heard_on: self.peer_heard_on(rows),
            answers_ping: self.link.state().answers_ping.filter(|_| !up),
            status,
            clock_ms: self.link.state().clock_ms.filter(|_| up),
            ignored: self.link.state().ignored,
            differences: self.pair.differences().to_vec(),
        }))
    }

    // Returns the time at which the peer was last heard: on a link, or by the elector on any interface.
    pub fn peer_last_heard(&self, rows: &StatusRows) -> Option<String> {
        let groups = self.groups.iter();
        let groups = groups.filter_map(|(name, _)| rows.details(name));
        let on_networks = groups.filter_map(silence_ms).min().map(clock::before_ms);
        let link = self.link.last_heard().map(str::to_owned);
        // Both are local times in the same format, so the later one sorts last.
        on_networks.into_iter().chain(link).max()
    }

    // Returns the links, then the interfaces on which the elector hears the peer.
    pub fn peer_heard_on(&self, rows: &StatusRows) -> Vec<String> {
        let mut heard = self.pair.heard_on().to_vec();
        let groups = self.groups.iter();
        let groups = groups.filter_map(|(name, _)| rows.details(name));
        let peer = self.config.peer_name();
        for interface in groups.flat_map(|details| networks_heard(details, peer)) {
            if !heard.iter().any(|known| known == interface) {
                heard.push(interface.to_owned());
            }
        }
        heard
    }

    fn group_status(&self, name: &str, group: &Group, rows: &StatusRows) -> GroupStatus {
        let mut details = rows.details(name).cloned().unwrap_or_default();
        let quality = quality_of(&details).unwrap_or(self.pair.quality().number());
        GroupStatus {
            name: name.to_owned(),
            role: name_of(group.role).to_owned(),
            since: group.since().to_owned(),
            why: self.sentence_of(group),
            reason: group.cause.reason(group.role).to_owned(),
            forced: forced_word(group.forced()).to_owned(),
            quality,
            fence: fence_word(rows.fence(name)).to_owned(),
            lease_ms: Duration::from_nanos(group.claims.lease_ns).as_secs_f64() * 1000.0,
            addresses: self.network.kernel().address_status(name),
            conflict: take_text(&mut details, "conflict"),
            other_active: take_text(&mut details, "other_active"),
            details,
            transitions: group.transitions(),
        }
    }

    fn interface_status(&self) -> Vec<InterfaceStatus> {
        let followed = self.network.interfaces().iter();
        followed
            .map(|(name, seen)| InterfaceStatus {
                name: name.clone(),
                state: seen.word().to_owned(),
                since: seen.since.clone(),
            })
            .collect()
    }

    /// Returns a summary in one line, for systemd.
    pub fn summary(&self) -> String {
        let groups: Vec<String> = self
            .groups
            .iter()
            .map(|(name, group)| format!("{name}: {}", name_of(group.role)))
            .collect();
        let maintenance = self.orders.is_in_maintenance().then_some("in maintenance");
        let unarmed = self.orders.is_unarmed().then_some("not armed");
        match groups.is_empty() {
            true if !self
                .config
                .setup()
                .plugins
                .iter()
                .any(|plugin| plugin.enabled) =>
            {
                "nothing configured".to_owned()
            }
            true => "no group".to_owned(),
            false => {
                let groups = groups.join(", ");
                let all = [Some(groups.as_str()), maintenance, unarmed];
                all.into_iter().flatten().collect::<Vec<_>>().join("; ")
            }
        }
    }
}

/// Returns the time in ms for which the elector of a group has heard neither heartbeats nor adverts of the peer. While
/// it hears heartbeats, it does not check adverts.
fn silence_ms(details: &Details) -> Option<u64> {
    let rows = ["peer_heartbeat_ms_ago", "peer_heard_ms_ago"];
    let ages = rows.into_iter().filter_map(|row| match details.get(row)? {
        Value::Number(ms) => Some(*ms),
        _ => None,
    });
    ages.min()
}

/// Returns the interfaces on which the elector of a group hears the peer, from keys such as
/// "virtual_router.lan2.50.ipv4.heard". The row "peer" has the peer's name if its heartbeats are known, otherwise the
/// source address of its adverts.
fn networks_heard<'d>(
    details: &'d Details,
    name: Option<&'d str>,
) -> impl Iterator<Item = &'d str> {
    let peer = details.get("peer");
    let is_known = matches!(peer, Some(Value::Text(peer)) if Some(peer.as_str()) == name);
    details.iter().filter_map(move |(key, value)| {
        let router = key.strip_suffix(".heard")?;
        let interface = interface_of(router)?;
        (is_known || Some(value) == peer).then_some(interface)
    })
}

fn take_text(details: &mut Details, key: &str) -> Option<String> {
    match details.remove(key)? {
        Value::Text(text) if !text.is_empty() => Some(text),
        _ => None,
    }
}

fn forced_word(forced: Forced) -> &'static str {
    match forced {
        Forced::No => "no",
        Forced::Active => "active",
        Forced::Backup => "backup",
    }
}

fn fence_word(fence: FenceState) -> &'static str {
    match fence {
        FenceState::Passing => "passing",
        FenceState::Blocking => "blocking",
        FenceState::Missing => "missing",
        FenceState::Off => "off",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn details<const N: usize>(rows: [(&str, Value); N]) -> Details {
        rows.map(|(key, value)| (key.to_owned(), value)).into()
    }

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    #[test]
    fn a_peer_that_fell_silent_was_last_heard_by_heartbeat_or_advert() {
        let age = |rows: &[(&str, u64)]| {
            let rows = rows.iter();
            let rows = rows.map(|(key, ms)| ((*key).to_owned(), Value::Number(*ms)));
            silence_ms(&rows.collect())
        };
        let (heartbeat, advert) = ("peer_heartbeat_ms_ago", "peer_heard_ms_ago");
        assert_eq!(age(&[]), None);
        assert_eq!(age(&[(heartbeat, 1000)]), Some(1000));
        assert_eq!(age(&[(advert, 1000)]), Some(1000));
        assert_eq!(age(&[(heartbeat, 1000), (advert, 900_000)]), Some(1000));
        assert_eq!(age(&[(heartbeat, 900_000), (advert, 1000)]), Some(1000));
    }

    #[test]
    fn networks_on_which_the_peer_was_heard_are_known_by_heartbeats_too() {
        let heard = |peer: &str| {
            let rows = details([
                ("peer", text(peer)),
                ("virtual_router.lan.50.ipv4.heard", text("10.0.0.3")),
                ("virtual_router.lan.50.ipv4.source", text("10.0.0.2")),
                ("virtual_router.wan.51.ipv4.source", text("192.0.2.2")),
                ("virtual_router.dmz.52.ipv4.heard", text("10.1.0.3")),
            ]);
            let networks = networks_heard(&rows, Some("r2"));
            networks.map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(heard("r2"), ["dmz", "lan"]);
        assert_eq!(heard("10.0.0.3"), ["lan"]);
        assert_eq!(heard("10.0.0.9"), Vec::<String>::new());
    }
}
