//! Makes the findings of one node, from its facts about itself.

use crate::addresses::{self, ForeignAddress};
use crate::facts::{
    CheckStatus, Fence, Forced, GroupFacts, InterfaceFacts, InterfaceLack, NodeFacts, PluginFacts,
    PluginState, Role, STATE_LOSES, STATE_UNKNOWN,
};
use crate::files;
use crate::finding::{Finding, Id};
use crate::forwarding;
use crate::identity;
use crate::links;
use crate::needs;
use crate::outdated;
use crate::pending;
use crate::ready::plugin_lack;
use crate::routers;
use crate::time;
use crate::unheard;

/// Remedy for a router that is no node of the pair.
pub(crate) const STRANGER: &str = "Switch it off, or give one of the two groups another VRID.";

/// Returns all findings of a node. `peer` is the name of the other node.
pub(crate) fn findings(node: &NodeFacts, peer: &str, link_up: bool) -> Vec<Finding> {
    let name = node.node.as_str();
    let groups = node.groups.iter();
    let groups = groups.flat_map(|it| group(node, it, peer, link_up));
    let plugins = node.plugins.iter();
    let plugins = plugins.flat_map(|it| plugin(name, it, peer, link_up));
    let is_of_interface = |check: &&CheckStatus| is_explained(node, &check.name);
    let checks = merged(node.checks.iter().filter(|it| !is_of_interface(it)));
    let (pending, checks) = pending::split(checks);
    let is_of_link =
        |found: &&InterfaceFacts| node.links.iter().any(|it| it.interface == found.name);
    let interfaces = node.interfaces.iter().filter(|it| !is_of_link(it));
    fence(node)
        .into_iter()
        .chain(elector(node))
        .chain(starter(node))
        .chain(outdated::finding(node, link_up))
        .chain(groups)
        .chain(identity::findings(node, peer))
        .chain(plugins)
        .chain(pending.iter().map(|it| it.finding(name)))
        .chain(checks.iter().map(|it| check(node, it)))
        .chain(interfaces.map(|it| interface(name, it)))
        .chain(links::findings(node, peer))
        .chain(not_in_force(node))
        .chain(files::finding(node))
        .chain(orders(node))
        .chain(disk(node))
        .chain(not_forwarding(node))
        .chain(needs::findings(node))
        .collect()
}

/// Merges checks of the same object: the plugin that watches an object and the one that runs it may both report that it
/// fails.
fn merged<'c>(checks: impl Iterator<Item = &'c CheckStatus>) -> Vec<CheckStatus> {
    let mut merged: Vec<CheckStatus> = Vec::new();
    for check in checks {
        let is_same =
            |it: &&mut CheckStatus| it.plugin != check.plugin && object(it) == object(check);
        match merged.iter_mut().find(is_same) {
            Some(known) => add(known, check),
            None => merged.push(check.clone()),
        }
    }
    merged
}

/// Returns the object of a check: its name without the plugin's name as a prefix.
pub(crate) fn object(check: &CheckStatus) -> &str {
    let name = check.name.strip_prefix(&check.plugin);
    let name = name.and_then(|name| name.strip_prefix('.'));
    name.unwrap_or(&check.name)
}

/// Adds another plugin's report about the same object. A fault counts more than a missing result.
fn add(known: &mut CheckStatus, other: &CheckStatus) {
    let (mut first, mut second) = (known.clone(), other.clone());
    if first.state == STATE_UNKNOWN && second.state != STATE_UNKNOWN {
        std::mem::swap(&mut first, &mut second);
    }
    let said = format!("{}: {}", second.plugin, bare(&second.why));
    first.why = match first.why.as_str() {
        "" => said,
        why => format!("{}; {said}", bare(why)),
    };
    *known = first;
}

/// Returns true if an interface of that name has its own finding, which explains the finding about the check.
fn is_explained(node: &NodeFacts, name: &str) -> bool {
    let mut down = node.interfaces.iter();
    let hurts = |group: &GroupFacts| {
        let is_bare = group
            .addresses
            .bare
            .iter()
            .any(|bare| bare.interface == name);
        let is_muted = group.routers.muted.iter().any(|it| it.interface == name);
        is_bare || is_muted || unheard::explains(group, name)
    };
    down.any(|it| it.name == name) || node.groups.iter().any(hurts)
}

fn fence(node: &NodeFacts) -> Option<Finding> {
    let why = node.fence_gone.as_ref()?;
    let name = &node.node;
    let text = format!("{name}: the fence is gone: {}", bare(why));
    let todo = "Until it is back, a hung daemon keeps its addresses.";
    Some(Finding::new(Id::FenceGone, name, "fence", text).todo(todo))
}

fn elector(node: &NodeFacts) -> Option<Finding> {
    let silent = node.processes.elector_silent.as_ref()?;
    // a plugin that does not answer at all has its own finding
    let is_worse = |it: &PluginFacts| it.name == silent.plugin && (it.is_silent || !it.runs());
    if node.plugins.iter().any(is_worse) {
        return None;
    }
    let (name, plugin) = (&node.node, &silent.plugin);
    let text = format!(
        "{name}: {plugin} does not answer: it is not known what it hears, or whether its adverts are sent"
    );
    let finding = Finding::new(Id::ElectorSilent, name, plugin, text).since(&silent.since);
    Some(finding.todo(format!(
        "If this lasts, see `sparectl {plugin}` and the load of {name}."
    )))
}

fn not_in_force(node: &NodeFacts) -> impl Iterator<Item = Finding> + '_ {
    let name = &node.node;
    node.config.not_in_force.iter().map(move |key| {
        let text = format!("{name}: {key} in spared.toml is not in force yet");
        let finding = Finding::new(Id::NotInForce, name, key, text);
        finding.todo_there("Run `systemctl restart spared`, best while the node is backup.")
    })
}

fn starter(node: &NodeFacts) -> Option<Finding> {
    let name = &node.node;
    let text =
        format!("{name}: spared starter does not answer: a process that ends is not started again");
    let finding = Finding::new(Id::StarterSilent, name, "starter", text);
    let todo =
        "A starter that hangs is killed after 10 s; if this lasts, run `systemctl restart spared`.";
    node.processes
        .starter_silent
        .then(|| finding.todo_there(todo))
}

fn unproven(node: &str, group: &GroupFacts, peer: &str) -> Option<Finding> {
    let (name, networks) = (&group.name, &group.networks.unproven);
    let text = format!(
        "{node}: {name}: nothing proves that {node} is reached on {networks}: {peer} hears it on no network of the group"
    );
    let finding = Finding::new(Id::NetworksUnproven, node, name, text);
    let todo = "Let heartbeats (UDP port 3780) or adverts pass between the nodes on one of them.";
    (!networks.is_empty()).then(|| finding.todo(todo))
}

fn group(of: &NodeFacts, group: &GroupFacts, peer: &str, link_up: bool) -> Vec<Finding> {
    let (node, name) = (of.node.as_str(), &group.name);
    let mut found = Vec::new();
    if group.role == Role::Active && group.fence == Fence::Blocking && !group.addresses.is_cut_off {
        let text = format!(
            "{node}: {name} is active, but its fence is blocking: its addresses do not answer"
        );
        let finding = Finding::new(Id::FenceBlocking, node, name, text);
        found.push(finding.todo(format!(
            "If this lasts, see the load of {node}, and whether a rule drops its adverts."
        )));
    }
    // an interface that is down has no addresses
    let is_up = |name: &str| !of.interfaces.iter().any(|it| it.name == name);
    let missing = group.addresses.missing.iter();
    let missing = missing.filter(|it| group.role == Role::Active && is_up(&it.interface));
    for missing in missing {
        let (address, interface) = (&missing.address, &missing.interface);
        let why = match missing.why.as_str() {
            "" => format!(", put back {} times before", missing.restored),
            why => format!(": {}", bare(why)),
        };
        let text = format!("{node}: {name}: {address} is missing on {interface}{why}");
        let todo = "`sparectl events` shows whether another program deletes it.";
        found.push(Finding::new(Id::AddressMissing, node, address, text).todo_there(todo));
    }
    let routes = group.addresses.missing_routes.iter();
    for missing in routes.filter(|it| group.role == Role::Active && is_up(&it.interface)) {
        let route = &missing.route;
        let (kind, todo) = if missing.is_rule {
            (
                "rule",
                "See whether the kernel has policy routing: `ip rule`.",
            )
        } else {
            (
                "route",
                "See whether its gateway is in a network of an interface that is up: `ip route get`.",
            )
        };
        let text = format!("{node}: {name}: the {kind} {route} is missing");
        let finding = Finding::new(Id::RouteMissing, node, route, text);
        found.push(finding.todo_there(todo));
    }
    // a copy that is an interface's only address has SP-0204
    let is_told = |it: &ForeignAddress| group.addresses.bare.iter().any(|bare| bare.is_told(it));
    let foreign = group.addresses.foreign.iter();
    let foreign = foreign.filter(|it| !is_told(it));
    found.extend(foreign.map(|it| foreign_address(node, group, it)));
    found.extend(addresses::findings(node, group, peer));
    found.extend(unheard::findings(node, group, peer, link_up));
    found.extend(unproven(node, group, peer));
    found.extend(routers::findings(node, group));
    if group.forced != Forced::No {
        let forced = group.forced.word();
        let text = format!("{name}: {node} is forced {forced}");
        let finding = Finding::new(Id::Forced, node, name, text);
        let todo = format!("Undo on {node}: sparectl force reset {name}");
        found.push(finding.since(&group.forced_since).todo(todo));
    }
    found
}

fn foreign_address(node: &str, group: &GroupFacts, copy: &ForeignAddress) -> Finding {
    let ForeignAddress { address, interface } = copy;
    let text = format!(
        "{node}: {}: {address} on {interface} was not set by spared, which does not move it with the role: the fence \
         alone keeps it silent on a backup",
        group.name
    );
    let finding = Finding::new(Id::AddressForeign, node, address, text);
    finding.todo(format!(
        "Remove it from the configuration that sets it, and on {node}: ip address delete {address} dev {interface}"
    ))
}

fn plugin(node: &str, plugin: &PluginFacts, peer: &str, link_up: bool) -> Vec<Finding> {
    let name = &plugin.name;
    let lack = plugin_lack(plugin, peer, link_up).map(|(id, text)| match id {
        Id::PluginDown => plugin_down(node, plugin),
        Id::PluginSilent => plugin_silent(node, name),
        id => Finding::new(id, node, name, format!("{node}: {text}"))
            .todo_there(format!("See `sparectl {name}`.")),
    });
    let unknown = plugin.unknown_groups.iter().map(|group| {
        let text = format!("{node}: {name}.toml: follow: there is no group \"{group}\"");
        let finding = Finding::new(Id::UnknownGroup, node, format!("{name} {group}"), text);
        finding.todo_there("Correct the name, then `sparectl reload`.")
    });
    let unlinked = plugin.is_unlinked.then(|| unlinked(node, name));
    let refused = (!plugin.refused_file.is_empty()).then(|| file_refused(node, plugin));
    let failed = plugin.failed_roles.iter().map(|(group, why)| {
        let why = bare(why);
        let text = format!("{node}: {name} did not take the role of {group}: {why}");
        let finding = Finding::new(Id::RoleFailed, node, format!("{name} {group}"), text);
        finding.todo_there(format!("See `sparectl {name}`."))
    });
    // earlier failures of a plugin that does not run or answer are explained by that
    let is_heard = plugin.runs() && !plugin.is_silent;
    let failing = (is_heard && !plugin.failing.is_empty()).then(|| callbacks(node, plugin));
    let found = lack.into_iter().chain(unlinked).chain(refused);
    let found = found.chain(unknown).chain(failing);
    found.chain(failed).collect()
}

fn unlinked(node: &str, plugin: &str) -> Finding {
    let text =
        format!("{node}: {plugin} exchanges nothing with its peer: spared.toml has no [[link]]");
    let finding = Finding::new(Id::Unlinked, node, plugin, text);
    finding.todo(format!(
        "Configure a link on both nodes, or remove {plugin}.toml."
    ))
}

fn file_refused(node: &str, plugin: &PluginFacts) -> Finding {
    let (name, why) = (&plugin.name, bare(&plugin.refused_file));
    let text = format!(
        "{node}: {name} still runs with its previous file, because it refused the new one: {why}"
    );
    let finding = Finding::new(Id::FileRefused, node, name, text);
    finding.todo_there("Fix that, then `sparectl reload`.")
}

fn callbacks(node: &str, plugin: &PluginFacts) -> Finding {
    let name = &plugin.name;
    let failing = plugin.failing.iter();
    let failing = failing.map(|(callback, why)| format!("`{callback}`: {}", bare(why)));
    let failing: Vec<String> = failing.collect();
    let what = match failing.as_slice() {
        [_] => "its callback fails",
        _ => "its callbacks fail",
    };
    let text = format!(
        "{node}: {name} is not working, {what}: {}",
        failing.join("; ")
    );
    let finding = Finding::new(Id::CallbackFails, node, name, text);
    finding.todo_there(format!("See `sparectl {name}` and `journalctl -u spared`."))
}

fn plugin_down(node: &str, plugin: &PluginFacts) -> Finding {
    let PluginFacts {
        name, state, why, ..
    } = plugin;
    let why = match why.as_str() {
        "" => String::new(),
        why => format!(": {}", bare(why)),
    };
    let text = format!("{node}: plugin {name}: {}{why}", state.word());
    let todo = match state {
        PluginState::Failed => "`sparectl reload` starts it at once.",
        PluginState::Refused => "Fix that, then `sparectl reload`.",
        _ => "If this lasts, the reason is in the journal: journalctl -u spared",
    };
    Finding::new(Id::PluginDown, node, name, text).todo_there(todo)
}

fn plugin_silent(node: &str, name: &str) -> Finding {
    let text = format!("{node}: {name} does not answer: its state is not known");
    let todo =
        format!("If this lasts, look at the load of {node}; a plugin that hangs is started again.");
    Finding::new(Id::PluginSilent, node, name, text).todo(todo)
}

fn check(of: &NodeFacts, check: &CheckStatus) -> Finding {
    let node = of.node.as_str();
    let CheckStatus {
        plugin,
        name,
        state,
        why,
        since,
        is_shared,
        ..
    } = check;
    if *state == STATE_LOSES {
        let text = format!("{node}: {}", bare(why));
        let finding = Finding::new(Id::WouldBeLost, node, name, text).since(since);
        return finding.todo_there(format!("See `sparectl check` and `sparectl {plugin}`."));
    }
    let why = match why.as_str() {
        "" => String::new(),
        why => format!(" ({})", bare(why)),
    };
    let (id, verb) = match *state {
        STATE_UNKNOWN => (Id::CheckUnknown, "is not known yet".to_owned()),
        0 => (Id::CheckFails, "fails".to_owned()),
        state => (Id::CheckFails, format!("is at {state} of 100")),
    };
    let by = if *is_shared {
        format!(" of {plugin}")
    } else {
        String::new()
    };
    let text = format!("{node}: check \"{name}\"{by} {verb}{why}");
    let finding = Finding::new(id, node, name, text).since(since);
    let mut hints = of.machine.own_translations.iter().map(|it| it.hint(node));
    let hint = hints.next().filter(|_| id == Id::CheckFails);
    let hint = hint.map_or(String::new(), |hint| format!(" {hint}"));
    finding.todo_there(format!("See `sparectl {plugin}`.{hint}"))
}

fn interface(node: &str, interface: &InterfaceFacts) -> Finding {
    let InterfaceFacts { name, lack, since } = interface;
    let (what, todo) = match lack {
        InterfaceLack::Carrier => (
            "has no carrier",
            "Check its cable or switch port.".to_owned(),
        ),
        InterfaceLack::Freedom => (
            "is a port of a bridge or bond, which has its frames, so no address answers there",
            format!(
                "Name the bridge or bond in the files, or on {node}: ip link set {name} nomaster"
            ),
        ),
        InterfaceLack::Up => ("is down", format!("On {node}: ip link set {name} up")),
        InterfaceLack::Existence => ("is absent", "It is used as soon as it appears.".to_owned()),
    };
    let text = format!("{node}: interface \"{name}\" {what}");
    let finding = Finding::new(Id::InterfaceDown, node, name, text);
    finding.since(since).todo(todo)
}

/// Returns findings about overrides on the node, with the commands that end them.
fn orders(node: &NodeFacts) -> Vec<Finding> {
    let name = node.node.as_str();
    let mut found = Vec::new();
    if node.orders.unarmed {
        let text = format!("{name} is paired but not armed: it is never active");
        let finding = Finding::new(Id::Unarmed, name, "unarmed", text);
        found
            .push(finding.todo("Run `sparectl arm` on either node: it arms both if a link is up."));
    }
    if let Some(it) = &node.orders.maintenance {
        let text = format!("{name} is in maintenance (by {})", it.by);
        let finding = Finding::new(Id::Maintenance, name, "maintenance", text);
        let ends = it.until.as_ref().map_or(String::new(), |until| {
            format!("It ends at {}. ", time::clock(until))
        });
        let todo = format!("{ends}End on {name}: sparectl maintenance off");
        found.push(finding.since(&it.since).todo(todo));
    }
    if let Some(until) = &node.orders.unconfirmed_until {
        let until = time::clock(until);
        let text = format!(
            "{name}: the last reload is not confirmed: the configuration from before it comes back at {until}"
        );
        let finding = Finding::new(Id::Unconfirmed, name, "reload", text);
        let todo = format!(
            "If all is well: sparectl confirm. Otherwise, on {name}: sparectl reload --back"
        );
        found.push(finding.todo(todo));
    }
    if let Some(until) = &node.orders.frozen_until {
        let until = time::clock(until);
        let text = format!("frozen until {until}: no role changes for quality or preference");
        let finding = Finding::new(Id::Frozen, name, "freeze", text);
        found.push(finding.todo("End: sparectl freeze off"));
    }
    found
}

fn disk(node: &NodeFacts) -> Option<Finding> {
    let why = node.machine.unwritten.as_ref()?;
    let name = &node.node;
    let text = format!("{name}: cannot write its state: {}", bare(why));
    let place = why.split(": ").next().unwrap_or(why);
    let todo = format!(
        "Make it writable again: `findmnt -T {place}`, `df {place}` and `ls -ld {place}` show why it is not. Until \
         then a restart loses forced roles, maintenance, freezes and the history."
    );
    Some(Finding::new(Id::Unwritten, name, "state", text).todo_there(todo))
}

fn not_forwarding(node: &NodeFacts) -> impl Iterator<Item = Finding> + '_ {
    let name = &node.node;
    node.machine.not_forwarding.iter().map(move |setting| {
        let text = format!("{name}: {}", forwarding::sentence(setting));
        let command = forwarding::command(setting);
        let todo =
            format!("Run `{command}`, and add the setting to a file in /etc/sysctl.d to keep it.");
        Finding::new(Id::NotForwarding, name, setting, text).todo_there(todo)
    })
}

/// Returns a sentence without its full stop, to continue it.
pub(crate) fn bare(sentence: &str) -> &str {
    sentence.trim_end_matches('.')
}
