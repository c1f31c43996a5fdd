//! Rules that no heartbeat of the fixture may break, whatever happens to its node.

use std::collections::BTreeSet;

use super::{Key, Lab, MS};
use crate::wire::heartbeat::{Heartbeat, HeartbeatRole, group_id};

/// Time of a heartbeat, and the groups that it called active.
pub(super) type LastHeartbeat = (u64, BTreeSet<u64>);

pub(super) fn last_heartbeat(now_ns: u64, groups: &[Heartbeat]) -> LastHeartbeat {
    let active = groups
        .iter()
        .filter(|group| group.role == HeartbeatRole::Active);
    (now_ns, active.map(|group| group.group).collect())
}

impl Lab {
    /// Checks that an advert renews a lease only directly after a heartbeat that says that its group is active (E12).
    pub(super) fn check_round(&self, index: usize, key: &Key) {
        let node = &self.nodes[index];
        if !self.keys || index > 1 {
            return;
        }
        let group = node.group_of(key).expect("an action's group");
        let (at_ns, active) = &node.host.last_heartbeat;
        // adverts in between may have been refused
        let is_fresh = self.clock.now_ns() - at_ns < MS / 1000;
        let says = is_fresh && active.contains(&group_id(&group.name));
        assert!(says, "{}: an advert of {} alone", node.name, group.name);
    }

    /// Checks that a heartbeat says active only while the fence passes on every interface that it calls usable, if the
    /// node can know (E13).
    pub(super) fn check_usable(&self, index: usize, groups: &[Heartbeat]) {
        let node = &self.nodes[index];
        for own_part in groups
            .iter()
            .filter(|own_part| own_part.role == HeartbeatRole::Active)
        {
            let mut configured = node.settings.groups.iter();
            let group = configured.find(|group| group_id(&group.name) == own_part.group);
            let routers = &group.expect("a configured group").routers;
            for router in routers.iter().filter(|router| {
                let mut ports = own_part.ports.iter();
                ports.any(|port| port.network == router.path && port.usable)
            }) {
                let key = (router.interface.clone(), router.family, router.vrid);
                let until_ns = node.leases.get(&key).copied().unwrap_or(0);
                let passes = until_ns >= self.clock.now_ns() || node.tampered.contains(&key);
                let is_untold = node.host.changed.contains(&key.0);
                assert!(
                    passes || is_untold,
                    "{}: {} is called usable",
                    node.name,
                    key.0
                );
            }
        }
    }
}
