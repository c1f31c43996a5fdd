//! Collects the state from which a reload and a stop are decided.

use spared_config::reload::{ActiveGroup, InForce, KnownPlugin};
use spared_config::{Setup, by_order};
use spared_contract::Role;
use spared_group::Groups;
use spared_group::stop::PendingWork;
use spared_supervisor::Supervisor;

use crate::node_config::NodeConfig;

/// Returns the state from which a reload starts: the configuration, the state of its plugins, and the active groups.
pub fn in_force<'f>(
    config: &'f NodeConfig,
    groups: &'f Groups,
    supervisor: &'f Supervisor,
) -> InForce<'f> {
    let plugins = supervisor.names().into_iter().filter_map(|name| {
        let known = KnownPlugin {
            settings: supervisor.settings(&name)?,
            is_running: supervisor.is_running(&name),
            has_refused: !supervisor.refused_file(&name).is_empty(),
            has_worker: supervisor.has_worker(&name),
            why: supervisor.why(&name),
        };
        Some((name, known))
    });
    let active = groups.iter().filter(|it| it.1.role == Role::Active);
    let active = active.map(|(name, group)| ActiveGroup {
        name,
        owner: &group.owner,
        addresses: group.claims.addresses.iter().map(|it| it.address).collect(),
    });
    InForce {
        setup: config.setup(),
        plugins: plugins.collect(),
        active: active.collect(),
    }
}

/// Returns what a stop has to wait for: groups, electors, and followers in the order of `after`.
pub fn pending_for_stop(setup: &Setup, groups: &Groups, supervisor: &Supervisor) -> PendingWork {
    let names = supervisor.names().into_iter();
    let electors =
        names.filter(|name| supervisor.provides_groups(name) && supervisor.has_worker(name));
    let plugins = setup.plugins.iter();
    let plugins: Vec<(&str, &[String])> = plugins
        .map(|plugin| (plugin.name.as_str(), plugin.after.as_slice()))
        .collect();
    let followers = by_order(&plugins)
        .into_iter()
        .filter(|name| supervisor.is_running(name) && !supervisor.provides_groups(name));
    PendingWork {
        is_switching_over: groups.is_switching_over(),
        electors: electors.collect(),
        is_quiet: groups.is_quiet(),
        followers: followers.map(str::to_owned).collect(),
    }
}
