//! Groups: what moves together, by which election, and which node is preferred.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use spared_config_reader::toml_text;

use super::election::{Election, Key, is_master};
use super::member::Member;
use super::{Both, Top, Translation, child, unique};
use crate::sources::Place;
use crate::toml::{Each, each, time};

/// Letters of a group's name.
const NAME_MAX: usize = 32;
/// Maximum number of instances that are translated, more than spared can have.
const INSTANCES_MAX: usize = 1000;
/// Greatest priority of a node that owns no address.
pub const PRIORITY_MAX: i64 = 253;
const GROUPS_MAX: usize = 255;
/// Default of `failback_delay`.
const FAILBACK_MS: u64 = 30_000;

pub struct Group<'t> {
    pub name: String,
    /// Name of the sync group, or of the instance.
    pub origin: &'t str,
    pub is_sync: bool,
    /// Blocks of the sync group.
    pub both: Both<'t>,
    pub members: Vec<Member<'t>>,
    pub election: Election,
    /// Points that good checks add to the priority in keepalived.
    pub gained: Each<i64>,
    pub decision: Decision,
}

/// A decision about a group, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    pub group: String,
    /// The node that is active as long as both are fit; None if neither is preferred.
    pub preferred: Option<usize>,
    /// The node that is active by the files, as long as nothing has happened; None if they do not tell.
    pub likely: Option<usize>,
    /// First virtual address.
    pub address: String,
    pub why: String,
}

/// All groups, those of keepalived's sync groups first.
pub(super) fn groups<'t>(translation: &mut Translation<'_>, top: &Top<'t>) -> Vec<Group<'t>> {
    let mut members: Vec<Member<'t>> = Vec::new();
    for (number, (name, both)) in top.named(&["vrrp_instance"]).into_iter().enumerate() {
        if number >= INSTANCES_MAX {
            let why = "more than 1000 instances are not translated";
            translation.refuse(&both, why, "divide the file");
            continue;
        }
        only_one(translation, both);
        tell_name(translation, name, both);
        members.extend(translation.member(top, name, both));
    }
    let mut found = Vec::new();
    let mut names = BTreeSet::new();
    for (name, both) in top.named(&["vrrp_sync_group"]) {
        tell_name(translation, name, both);
        let wanted = names_of(top, &child(&both, "group"));
        let (inside, outside): (Vec<_>, Vec<_>) = members
            .into_iter()
            .partition(|it| wanted.contains_key(it.name));
        members = outside;
        let present: BTreeSet<&str> = inside.iter().map(|it| it.name).collect();
        for (name, places) in wanted {
            for place in places.iter().filter(|_| !present.contains(name)) {
                let why = "no instance of this name is translated, or another group has it";
                translation.list_at(*place, name, why, "correct the group");
            }
        }
        if inside.is_empty() {
            let why = "none of its instances is translated, so there is no such group";
            translation.refuse(
                &both,
                why,
                "nothing, or correct it on both nodes and import again",
            );
        }
        found.extend(group(translation, &mut names, name, both, inside, true));
    }
    for member in members {
        let (name, both, members) = (member.name, member.both, vec![member]);
        found.extend(group(translation, &mut names, name, both, members, false));
    }
    found
}

fn only_one(translation: &mut Translation<'_>, both: Both<'_>) {
    if let [Some(alone), None] | [None, Some(alone)] = both {
        let node = &translation.nodes[usize::from(both[0].is_none())];
        let why = format!("only {node} has this instance; it is in the files of both");
        translation.list(alone, &why, "correct the files, or the other node");
    }
}

/// Says which name of the second node is another one in the files.
fn tell_name(translation: &mut Translation<'_>, name: &str, both: Both<'_>) {
    if let Some(other) = both[1].filter(|it| it.word(1) != name) {
        let [_, node] = translation.nodes;
        let what = other.text();
        let why = format!("{node} calls so what is {name} in the files");
        translation.tell(other.place, &what, &why, "nothing");
    }
}

/// Names of the members, which may share a line.
fn names_of<'t>(top: &Top<'t>, both: &Both<'t>) -> BTreeMap<&'t str, Vec<Place>> {
    let mut found: BTreeMap<&str, Vec<Place>> = BTreeMap::new();
    for (node, block) in both.iter().enumerate() {
        for entry in block.iter().flat_map(|it| it.block()) {
            for word in &entry.words {
                let name = top.names.instance(node, word);
                found.entry(name).or_default().push(entry.place);
            }
        }
    }
    found
}

fn group<'t>(
    translation: &mut Translation<'_>,
    names: &mut BTreeSet<String>,
    origin: &'t str,
    both: Both<'t>,
    mut members: Vec<Member<'t>>,
    is_sync: bool,
) -> Option<Group<'t>> {
    if names.len() >= GROUPS_MAX {
        for member in members {
            let why = "spared has at most 255 groups";
            translation.refuse(&member.both, why, "divide the file");
        }
        return None;
    }
    // that of IPv4: adverts of IPv6 are of version 3 in any group
    let first = members.iter().min_by_key(|it| it.election.version)?;
    let (mut election, first) = (first.election.clone(), first.name);
    for other in members.iter().map(|it| &it.election) {
        election.preempts &= other.preempts;
        election.failback_ms = election.failback_ms.max(other.failback_ms);
    }
    for member in &members {
        list_differences(translation, &election, first, member);
    }
    let name = unique(names, origin, NAME_MAX, is_name);
    let decision = decide(translation, &name, origin, &members, &election, is_sync);
    for member in &members {
        let delay = child(&member.both, "preempt_delay");
        translation.resolve(
            &delay,
            no_failback(translation.is_final, &election, &decision),
        );
    }
    if translation.is_final {
        join(translation, &mut members);
    }
    limit_adverts(translation, &mut members);
    Some(Group {
        name,
        origin,
        is_sync,
        both,
        members,
        election,
        gained: [0, 0],
        decision,
    })
}

/// Lists what a member has otherwise than the group, which has it once.
fn list_differences(
    translation: &mut Translation<'_>,
    group: &Election,
    first: &str,
    member: &Member<'_>,
) {
    let (common, own) = (group.wishes(), member.election.wishes());
    let words: BTreeSet<_> = common.keys().chain(own.keys()).copied().collect();
    for word in words.into_iter().filter(|it| common.get(it) != own.get(it)) {
        let Some((key, _)) = common.get(word).or(own.get(word)) else {
            continue;
        };
        if word == "version" {
            // IPv6 has no other, and two nodes of spared need none of IPv4
            if translation.is_final || member.is_ipv6 {
                continue;
            }
            translation.obstacles.push(format!(
                "{}: keepalived would refuse its adverts of another `version`. Do what *to do by hand* says about it, and import again",
                member.name
            ));
        }
        let why = format!("a group has one `{key}`: that of {first} is in the files");
        let todo = "give all members the same on both nodes before you begin";
        let what = format!("vrrp_instance {}: {word}", member.name);
        let statements = child(&member.both, word);
        if statements.iter().all(Option::is_none) {
            translation.tell(member.place, &what, &why, todo);
        }
        for statement in statements.into_iter().flatten() {
            for place in statement.places() {
                translation.list_at(place, &what, &why, todo);
            }
        }
    }
    if member.election.preempts != group.preempts {
        let what = format!("vrrp_instance {}", member.name);
        let why = "another member has `nopreempt`: the group does not take its role back";
        let todo = "give all members the same, and import again";
        translation.tell(member.place, &what, why, todo);
    }
    if group.preempts && member.election.failback_ms != group.failback_ms {
        let why = "a group has one `failback_delay`: the longest of its members";
        let what = format!("vrrp_instance {}: preempt_delay", member.name);
        translation.tell(member.place, &what, why, "nothing");
    }
}

/// Why a `preempt_delay` is not in the files, if it is not.
fn no_failback(is_final: bool, election: &Election, decision: &Decision) -> Option<&'static str> {
    if !election.preempts {
        Some("with `nopreempt` no role goes back")
    } else if decision.preferred.is_none() {
        Some("no node is preferred, so no role goes back")
    } else if !is_final {
        Some("no role goes back until both run spared: import --both writes it as `failback_delay`")
    } else {
        None
    }
}

fn is_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || "-_".contains(letter)
}

/// Gives the addresses of members on one interface to the first, once no other router has a VRID for each.
fn join(translation: &mut Translation<'_>, members: &mut [Member<'_>]) {
    for at in 1..members.len() {
        let (before, rest) = members.split_at_mut(at);
        let (before, Some(member)) = (before.iter_mut(), rest.first_mut()) else {
            continue;
        };
        let what = format!("vrrp_instance {}", member.name);
        let mut met = before.filter(|it| it.shares(member));
        let Some(first) = met.next() else { continue };
        let name = first.name;
        if first.interface == member.interface {
            let why = format!(
                "its addresses are in `[[group.interface]]` of {name}: one takes all of an interface"
            );
            translation.tell(member.place, &what, &why, "nothing");
            first.absorb(member);
        } else {
            let why = format!("on one node it has the interface of {name}, on the other not");
            let todo = "give both the same on both nodes, and import again";
            translation.list_at(member.place, &what, &why, todo);
            member.clear();
        }
    }
}

fn limit_adverts(translation: &mut Translation<'_>, members: &mut [Member<'_>]) {
    for member in members {
        if member.limit_advert() {
            let what = "virtual_ipaddress";
            let why = "an advert has room for 255 addresses: the others are `unadvertised`";
            translation.tell(member.place, what, why, "nothing");
        }
    }
}

fn decide(
    translation: &Translation<'_>,
    group: &str,
    origin: &str,
    members: &[Member<'_>],
    election: &Election,
    is_sync: bool,
) -> Decision {
    let [one, two] = election.priority;
    let nodes = translation.nodes;
    let greater = match one.cmp(&two) {
        Ordering::Greater => Some(0),
        Ordering::Less => Some(1),
        Ordering::Equal => None,
    };
    let preferred = greater.filter(|_| election.preempts);
    let names: Vec<&str> = members.iter().map(|it| it.name).collect();
    let mut why = if is_sync {
        format!(
            "the sync group {origin} ({}) becomes one group, so that its members move together",
            names.join(", ")
        )
    } else {
        format!("the instance {origin} is a group of its own, as no sync group has it")
    };
    why += &match greater.map(|it| &nodes[it]) {
        None => "; no node is preferred, as both have the same priority".to_owned(),
        Some(node) if !election.preempts => format!(
            "; {node} has the greater priority, and does not take the role back (nopreempt)"
        ),
        Some(node) => {
            let [a, b] = nodes;
            format!("; {node} is preferred, as its priority is greater ({a} {one}, {b} {two})")
        }
    };
    if translation.is_final && preferred.is_some() {
        let delay_ms = match election.failback_ms {
            0 => FAILBACK_MS,
            ms => ms,
        };
        why += &format!(
            ". The role goes back to it when it has been ready for {} (`failback_delay`)",
            time(delay_ms).trim_matches('"')
        );
    }
    let first = members.first();
    Decision {
        group: group.to_owned(),
        preferred,
        likely: greater.or_else(|| first.and_then(|it| master(&it.both))),
        address: first.map_or_else(String::new, Member::address),
        why,
    }
}

/// The node that starts as master, if the other one does not.
fn master(both: &Both<'_>) -> Option<usize> {
    match both.map(|it| it.is_some_and(is_master)) {
        [true, false] => Some(0),
        [false, true] => Some(1),
        _ => None,
    }
}

/// The text of vrrp.toml.
pub(super) fn text(translation: &Translation<'_>, groups: &[Group<'_>]) -> String {
    let mut text = String::new();
    for group in groups {
        let kind = if group.is_sync {
            "vrrp_sync_group"
        } else {
            "vrrp_instance"
        };
        let between = if text.is_empty() { "" } else { "\n" };
        let _ = write!(
            text,
            "{between}# {kind} {}\n[[group]]\nname = {}\n",
            one_line(group.origin),
            toml_text(&group.name)
        );
        text += &election_keys(translation, group);
        for member in &group.members {
            text += &member.text(translation.nodes);
        }
    }
    text
}

fn one_line(text: &str) -> String {
    text.chars().filter(|it| !it.is_control()).collect()
}

fn election_keys(translation: &Translation<'_>, group: &Group<'_>) -> String {
    let Election {
        priority,
        failback_ms,
        version,
        interval_ms,
        keys,
        ..
    } = &group.election;
    let nodes = translation.nodes;
    let mut text = String::new();
    if translation.is_final {
        if let Some(node) = group.decision.preferred {
            let _ = writeln!(text, "prefer = {}", toml_text(&nodes[node]));
            if *failback_ms > 0 {
                let _ = writeln!(text, "failback_delay = {}", time(*failback_ms));
            }
        }
    } else {
        let values = priority.map(|it| it.to_string());
        let _ = write!(
            text,
            "priority = {}\nrouters = \"any\"    # keepalived is on the other node\npreempt = false    # no role moves back meanwhile\n",
            each(nodes, &values)
        );
    }
    if *version == 2 {
        text += "version = 2\n";
    }
    let is_default = *version == 2 && *interval_ms == 1000;
    if !is_default {
        let _ = writeln!(text, "advert_interval = {}", time(*interval_ms));
    }
    for Key { name, value, .. } in keys {
        let _ = writeln!(text, "{name} = {value}");
    }
    text
}

impl Group<'_> {
    /// True if keepalived on a node counts the weights of checks in an instance.
    pub fn counts_weights(&self, node: usize) -> bool {
        let words = ["sync_group_tracking_weight", "global_tracking"];
        !self.is_sync
            || words
                .iter()
                .any(|word| child(&self.both, word)[node].is_some())
    }

    /// True if the carrier of an interface counts for the group without a check.
    pub fn watches(&self, device: &str) -> bool {
        let is_there = |it: &Member<'_>| it.devices.iter().any(|it| it == device);
        self.members.iter().any(is_there) && !self.members.iter().any(Member::is_blind)
    }

    /// Adds what a good check is worth in keepalived.
    pub fn add(&mut self, points: Each<i64>) {
        for (gained, points) in self.gained.iter_mut().zip(points) {
            *gained += points;
        }
    }
}
