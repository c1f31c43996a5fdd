//! The steps of a migration, as they are printed below the files: commands to copy, and what is seen after each.

mod before;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;

use crate::conntrackd::Replication;
use crate::translate::{Decision, shell_word};
use crate::{Request, Texts};

pub use before::Before;

/// Files of keepalived and of a node's copy of the other one's, where the import has not been told any.
const KEEPALIVED: &str = "/etc/keepalived/keepalived.conf";
const INSTALL: &str = "apt install ./spared_*.deb";

/// The machine on which the import runs, if it is one of the nodes.
#[derive(Clone, Debug)]
pub struct Here {
    pub node: usize,
    /// Addresses that it has at this moment, with their prefixes.
    pub addresses: BTreeMap<IpAddr, u8>,
    /// The import writes the files.
    pub writes: bool,
}

/// A step of the migration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Node and purpose.
    pub what: String,
    /// Lines for a shell of root.
    pub commands: Vec<String>,
    /// Expected result, and what to do if it is another.
    pub then: String,
}

impl Step {
    fn new(what: impl Into<String>, commands: &[&str], then: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            commands: commands.iter().map(|it| (*it).to_owned()).collect(),
            then: then.into(),
        }
    }

    /// Lines that show the step under its number.
    pub fn lines(&self, number: usize) -> Vec<String> {
        let mut lines = vec![format!("{number}. {}", self.what)];
        lines.extend(self.commands.iter().map(|it| format!("       {it}")));
        if !self.then.is_empty() {
            lines.push(format!("   {}", self.then));
        }
        lines
    }
}

/// All that the steps depend on.
pub struct Situation<'s> {
    pub request: &'s Request,
    pub texts: &'s Texts,
    pub decisions: &'s [Decision],
    pub replication: Option<&'s Replication>,
    pub before: &'s Before,
    /// All virtual addresses.
    pub addresses: &'s BTreeSet<IpAddr>,
    /// One file was read for both nodes, and it has no lines for one of them alone.
    pub is_one: bool,
}

/// Nodes by what they are while keepalived runs on both, by name.
struct Roles<'s> {
    active: &'s str,
    backup: &'s str,
    /// Why they are taken for that.
    why: String,
    /// Groups that are active on the backup of the first one.
    elsewhere: Vec<&'s str>,
}

impl Situation<'_> {
    /// All steps, until two nodes of spared are a pair.
    pub fn steps(&self) -> Vec<Step> {
        let first = self.decisions.first();
        let Some(first) = first.filter(|_| self.before.obstacles.is_empty()) else {
            return Vec::new();
        };
        let (active, why) = self.active(first);
        let [a, b] = [active, 1 - active].map(|it| self.request.nodes[it].as_str());
        let is_elsewhere = |it: &&Decision| self.node_of(it) == Some(1 - active);
        let moving = self.decisions.iter().filter(is_elsewhere);
        let roles = Roles {
            active: a,
            backup: b,
            why,
            elsewhere: moving.map(|it| it.group.as_str()).collect(),
        };
        let mut steps = vec![which(first, &roles)];
        steps.extend(self.edits(active, &roles));
        steps.extend(self.restores(active, &roles));
        steps.extend(self.before.stays());
        steps.extend(elsewhere(&roles));
        steps.push(self.write(1 - active, &roles));
        steps.extend(self.one_by_one(1 - active, first, &roles));
        steps.extend(self.pair(1 - active, &roles));
        steps
    }

    /// Node that is active now, and how that is known.
    fn active(&self, first: &Decision) -> (usize, String) {
        let nodes = &self.request.nodes;
        let address = first.address.parse::<IpAddr>();
        match (&self.request.here, address, first.likely) {
            (Some(here), Ok(address), _) if here.addresses.contains_key(&address) => {
                (here.node, "this machine has the address now".to_owned())
            }
            (Some(here), Ok(_), _) => (
                1 - here.node,
                "this machine does not have the address now".to_owned(),
            ),
            (_, _, Some(likely)) if !self.is_one => (
                likely,
                format!("by the files, {} begins as master", nodes[likely]),
            ),
            (_, _, likely) => (likely.unwrap_or(1), "that is a guess".to_owned()),
        }
    }

    /// Node on which a group is active now; None if nothing tells.
    fn node_of(&self, group: &Decision) -> Option<usize> {
        match (&self.request.here, group.address.parse::<IpAddr>()) {
            (Some(here), Ok(address)) if here.addresses.contains_key(&address) => Some(here.node),
            (Some(here), Ok(_)) => Some(1 - here.node),
            _ => group.likely,
        }
    }

    /// The files on the node that is backup.
    fn write(&self, backup: usize, roles: &Roles<'_>) -> Step {
        let Roles {
            active, backup: b, ..
        } = roles;
        let warned = format!(
            "`sparectl check` warns (other-vrrp) that keepalived speaks VRRP, too: so it is until the next step. Errors have to be gone{}",
            self.expected(backup, roles)
        );
        let here = self.request.here.as_ref().filter(|it| it.node == backup);
        let import = format!("sparectl import {}", self.arguments(backup));
        match here {
            Some(here) if here.writes => Step::new(
                format!(
                    "on {b}, this machine: the files are written. Work through *to do by hand*"
                ),
                &["sparectl check"],
                warned,
            ),
            Some(_) => Step::new(
                format!("on {b}, this machine: write the files, and work through *to do by hand*"),
                &[&import, "sparectl check"],
                warned,
            ),
            None => {
                let copy = format!("scp -r {active}:/etc/keepalived {}", copy_of(active));
                let mut commands = vec![INSTALL, &copy, &import, "sparectl check"];
                if self.is_shared() {
                    commands.remove(1);
                }
                Step::new(
                    format!(
                        "on {b}: install spared, write its files, and work through *to do by hand*"
                    ),
                    &commands,
                    warned,
                )
            }
        }
    }

    /// Errors that the next step ends: keepalived has addresses of groups that are active there.
    fn expected(&self, backup: usize, roles: &Roles<'_>) -> String {
        let here = self.request.here.as_ref().filter(|it| it.node == backup);
        let held = here.map(|it| it.addresses.keys().filter(|it| self.addresses.contains(it)));
        let held: Option<Vec<String>> = held.map(|it| it.map(ToString::to_string).collect());
        let of = match held {
            Some(held) if held.is_empty() => return String::new(),
            Some(held) => held.join(", "),
            None if roles.elsewhere.is_empty() => return String::new(),
            None => format!("addresses of {}", roles.elsewhere.join(", ")),
        };
        format!(
            ", but for own-address-virtual of {of}: keepalived has that, and takes it away in the next step"
        )
    }

    /// True if both nodes have one file, with lines for each.
    fn is_shared(&self) -> bool {
        let [one, two] = &self.request.keepalived;
        one == two && !self.is_one
    }

    /// File of keepalived on a node, as a word of a shell.
    fn own_file(&self, node: usize) -> String {
        let here = self.request.here.as_ref().filter(|it| it.node == node);
        match here {
            Some(_) => shell_word(&self.request.keepalived[0].display().to_string()),
            None => KEEPALIVED.to_owned(),
        }
    }

    /// Arguments of the import on a node.
    fn arguments(&self, node: usize) -> String {
        let Request {
            nodes,
            ids,
            keepalived,
            conntrackd,
            here,
            ..
        } = self.request;
        let is_here = here.as_ref().is_some_and(|it| it.node == node);
        let word = |path: &Path| shell_word(&path.display().to_string());
        let own = self.own_file(node);
        let peer = if is_here {
            (keepalived[0] != keepalived[1]).then(|| word(&keepalived[1]))
        } else {
            let peer = format!("{}/keepalived.conf", copy_of(&nodes[1 - node]));
            Some(peer).filter(|_| !self.is_shared())
        };
        let mut words = vec![own];
        words.extend(conntrackd.as_deref().map(word));
        words.extend(peer.map(|it| format!("--peer {it}")));
        let order = if is_here { [0, 1] } else { [node, 1 - node] };
        words.extend(order.map(|it| {
            let (id, name) = (shell_word(&ids[it]), shell_word(&nodes[it]));
            if id == name {
                format!("--id {id}")
            } else {
                format!("--id {id}={name}")
            }
        }));
        words.join(" ")
    }

    /// From two nodes with keepalived to two with spared.
    fn one_by_one(&self, at: usize, first: &Decision, roles: &Roles<'_>) -> Vec<Step> {
        let Roles { active, backup, .. } = roles;
        let group = &first.group;
        let shows = shows(&first.address);
        let mut commands = self.before.end_keepalived(&self.own_file(at));
        let begin = [
            "systemctl enable --now spared",
            "sparectl reload",
            "sparectl status",
        ];
        commands.extend(begin.map(str::to_owned));
        let mut steps = vec![Step {
            what: format!("on {backup}: spared in place of keepalived"),
            commands,
            then: format!(
                "{group}: OK, {backup} stands by, after the seconds in which it says NONE and listens. keepalived of {active} is active and stays so"
            ),
        }];
        if let Some(step) = self.conntrackd() {
            steps.push(step);
        }
        steps.push(Step::new(
            format!("on {backup}: take the role{}", only_change(roles)),
            &["sparectl force active", &shows],
            format!(
                "the address is on {backup}. From now on `sparectl status` there says UNKNOWN until the nodes are a pair: a VRRP backup sends nothing, so it is not known whether {active} lives. Its advice of `sparectl keygen` (SP-0102) is not for now: `sparectl pair` exchanges the keys"
            ),
        ));
        let hooks = self.texts.keys().any(|it| it.starts_with("hooks/"));
        let parts = if hooks {
            "spared.toml, plugins and hooks"
        } else {
            "spared.toml and plugins"
        };
        let copy = format!("rsync -a --exclude=/key {backup}:/etc/spared/ /etc/spared/");
        let mut commands = self.before.end_keepalived(KEEPALIVED);
        commands.push(shows.clone());
        steps.push(Step {
            what: format!("on {active}: end keepalived. From here to the end of the next step {backup} serves alone"),
            commands,
            then: format!("nothing: the address stays on {backup}"),
        });
        steps.push(Step::new(
            format!("on {active}: install spared, and copy {parts} from {backup}, never the key"),
            &[
                INSTALL,
                &copy,
                "systemctl enable --now spared",
                "sparectl reload",
                "sparectl status",
            ],
            format!(
                "{group}: OK, {active} stands by. If spared.toml has the name of {backup} (`node.name`), write {active} there before the reload"
            ),
        ));
        steps.push(Step::new(
            format!("on {backup}: take `force active` back"),
            &["sparectl force reset", &shows],
            format!("{backup} stays active, by `preempt = false`"),
        ));
        steps
    }

    fn conntrackd(&self) -> Option<Step> {
        self.replication?;
        let script = if self.texts.contains_key(CONNTRACKD_HOOK) {
            "the hooks 40-conntrackd call /etc/conntrackd/primary-backup.sh, which no notify script names"
        } else {
            "the hooks call primary-backup.sh, as keepalived's notify scripts did"
        };
        let what = format!(
            "conntrackd goes on running on both nodes until both run spared: {script}. It commits conntrackd's cache on the node that becomes active"
        );
        Some(Step::new(what, &[], ""))
    }

    /// From two nodes with spared to a pair of them.
    fn pair(&self, at: usize, roles: &Roles<'_>) -> Vec<Step> {
        let Roles { active, backup, .. } = roles;
        let mut steps = Vec::new();
        if self.replication.is_some() {
            steps.push(Step::new(
                "on both: end conntrackd",
                &["systemctl disable --now conntrackd"],
                "connections are replicated again when the nodes are a pair",
            ));
        }
        let mut arguments = self.arguments(at);
        if !self.before.kept.is_empty() {
            let own = self.own_file(at);
            arguments = arguments.replacen(&own, &format!("{own}{}", before::WHOLE), 1);
        }
        let both = format!("sparectl import --both {arguments}");
        steps.push(Step::new(
            format!("on {backup}: write the files of two nodes that run spared"),
            &[&both],
            "it shows what changes, and asks. Files that it would not change otherwise stay as they are now; if it would take changes by hand away, it shows these and refuses. Roles stay as they are: the files are in force when the nodes are a pair",
        ));
        let has_faults = self.texts.keys().any(|it| it.starts_with("hooks/fault.d/"));
        let faults = if has_faults {
            ", may not be active, and runs the hooks of fault.d for that"
        } else {
            ""
        };
        let (link, about) = self.link();
        steps.push(Step::new(
            format!("on {backup}: write the link, a cable between the nodes"),
            &[&link],
            about,
        ));
        steps.push(Step::new(
            format!("on {backup}, then on {active}: make them a pair"),
            &[&self.pairing()],
            format!(
                "{backup} shows a code; {active} asks for it, and before it replaces its files. Both reload, and `sparectl status` says ALONE until the next step: {active} is not armed{faults}. Without a cable: `sparectl pair --ssh {active}` on {backup} alone"
            ),
        ));
        if self.replication.is_some() {
            let copy = format!("rsync -a --delete {backup}:/etc/spared/hooks/ /etc/spared/hooks/");
            steps.push(Step::new(
                format!("on {active}: remove the hooks that call conntrackd, as {backup} did"),
                &[&copy],
                "",
            ));
        }
        let back = self.decisions.iter().any(|it| it.preferred.is_some());
        let back = if back {
            ". The role goes back to the preferred node (`prefer`) after `failback_delay`, without loss: take `prefer` out before if it shall not"
        } else {
            ""
        };
        steps.push(Step::new(
            format!("on {active}: let both be active"),
            &["sparectl arm", "sparectl status"],
            format!("OK, {active} is ready: a failover now would lose nothing{back}"),
        ));
        steps.push(Step::new(
            "later, in a quiet hour: take `version` and `advert_interval` out of plugins/vrrp.toml on both, for failovers in 0.3 s. Then on the backup, and at once on the active node",
            &["sparectl reload --anyway"],
            "a group whose version changes begins again: an interruption of a second",
        ));
        steps
    }

    /// The command that pairs. The second node has no link yet, and would not look on an interface that conntrackd's
    /// address made one of a network.
    fn pairing(&self) -> String {
        match self.replication.and_then(|it| it.link.as_ref()) {
            Some((interface, _, _)) => format!("sparectl pair --interface {interface}"),
            None => "sparectl pair".to_owned(),
        }
    }

    /// The command that makes a link, as far as conntrackd.conf says what it needs, and what to know about it.
    fn link(&self) -> (String, String) {
        let next = "It shows what changes, and asks. The next step is `sparectl pair`, as it says";
        match self.replication.and_then(|it| it.link.as_ref()) {
            Some((interface, own, other)) if !own.is_empty() && !other.is_empty() => {
                let here = self.request.here.as_ref();
                let known = here.zip(own.parse().ok());
                let known = known.and_then(|(here, own)| here.addresses.get(&own));
                let (len, about) = match known {
                    Some(len) => (len.to_string(), String::new()),
                    None => (
                        "LEN".to_owned(),
                        format!(
                            "LEN is the length of the prefix, as `ip -br address show {interface}` prints it behind the slash. "
                        ),
                    ),
                };
                (
                    format!(
                        "sparectl init --link {interface} --link-addresses {own}/{len},{other}/{len}"
                    ),
                    about + next,
                )
            }
            Some((interface, _, _)) => {
                (format!("sparectl init --link {interface}"), next.to_owned())
            }
            None => (
                "sparectl init --link IF".to_owned(),
                format!(
                    "IF is the interface of the cable. If it has an address in a network of more than two, write --link-addresses with those of both nodes behind it. Without a cable leave this step out: nothing is replicated then. {next}"
                ),
            ),
        }
    }
}

/// Hook that calls conntrackd where no notify script does.
pub const CONNTRACKD_HOOK: &str = "hooks/active.d/40-conntrackd";

/// Groups that move twice, as they are active on the node where the steps begin.
fn elsewhere(roles: &Roles<'_>) -> Option<Step> {
    let Roles {
        active,
        backup,
        elsewhere,
        ..
    } = roles;
    let moves = match elsewhere.len() {
        0 => return None,
        1 => "is active on {b}: it moves",
        _ => "are active on {b}: they move",
    };
    let what = format!(
        "{} {} to {active} when keepalived of {backup} ends, and back with the others",
        elsewhere.join(", "),
        moves.replace("{b}", backup)
    );
    Some(Step::new(what, &[], ""))
}

/// Changes of roles that a migration needs.
fn only_change(roles: &Roles<'_>) -> String {
    if roles.elsewhere.is_empty() {
        return ". It is the only change of roles".to_owned();
    }
    let names = roles.elsewhere.join(", ");
    format!("s. It is the second change of {names}, and the only one of the others")
}

/// The step that tells which node is backup.
fn which(first: &Decision, roles: &Roles<'_>) -> Step {
    let Roles {
        active,
        backup,
        why,
        ..
    } = roles;
    Step::new(
        "on both: see which node is backup",
        &[&shows(&first.address)],
        format!(
            "the node that prints nothing is backup, and the steps begin there. Below it is {backup}: {why}. If it is {active}, import there: it sees that, and prints these steps for it"
        ),
    )
}

/// Command that shows whether a node has an address.
fn shows(address: &str) -> String {
    format!("ip -br address | grep -wF {address}")
}

/// Folder for a copy of the other node's files.
fn copy_of(node: &str) -> String {
    format!("/root/keepalived-{}", shell_word(node))
}
