//! Tracked scripts, processes, files and interfaces as the checks of health.toml.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use spared_config_reader::toml_text;

use super::address::is_device;
use super::check_keys::{file, interface, process, script};
use super::group::Group;
use super::{Both, Top, Translation, child, unique};
use crate::sources::Place;
use crate::toml::Each;
use crate::tree::Statement;

/// Points of a check whose failure alone makes a node unfit.
const FAULT: i64 = -253;
const NAME_MAX: usize = 64;
const AUTOMATIC: &str = "keepalived gives its role up without an interface of the instance, of its addresses or of its routes, whatever the weight, and so does spared";
const WEAK: &str = "it is less than the nodes' priorities are apart, so alone it never moved the role; between two nodes of spared the healthier one is active";
const WEAK_TODO: &str = "`weight = 0` in plugins/health.toml, if it shall move nothing";
const IGNORED: &str =
    "keepalived ignores a check with a weight in an instance of a sync group, and so do the files";
const WITHOUT_WEIGHT: &str = "keepalived ignores the weight in an instance of a sync group: a failure is a fault, and 253 points in the files";
const CHECKS_MAX: usize = 256;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Interface,
    Script,
    Process,
    File,
}

const KINDS: [(Kind, &str, &[&str]); 4] = [
    (Kind::Interface, "track_interface", &[]),
    (Kind::Script, "track_script", &["vrrp_script"]),
    (
        Kind::Process,
        "track_process",
        &["vrrp_track_process", "track_process"],
    ),
    (Kind::File, "track_file", &["track_file", "vrrp_track_file"]),
];

/// Weight of a check in points of priority, as keepalived has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weight {
    pub points: i64,
    pub is_reversed: bool,
}

impl Weight {
    /// Points that come off while the check has failed.
    fn lost(self) -> i64 {
        match self.points {
            0 => FAULT,
            points => -points.abs().min(-FAULT),
        }
    }

    /// Points that a node has while the check is good, and did not have without the check.
    fn gained(self) -> i64 {
        let raises = (self.points > 0) != self.is_reversed;
        if raises { self.points.abs() } else { 0 }
    }
}

/// A check, and who tracks it.
struct Tracked<'t> {
    blocks: Both<'t>,
    /// Lines that track it.
    places: Vec<Place>,
    weight: Weight,
    groups: Vec<usize>,
    /// Nodes on which it is tracked.
    on: Each<bool>,
}

/// Returns the text of health.toml, and adds to the groups' priorities what good checks are worth.
pub(super) fn health(
    translation: &mut Translation<'_>,
    top: &Top<'_>,
    groups: &mut [Group<'_>],
    has_conntrackd: bool,
) -> String {
    let tracked = tracked(translation, top, groups);
    let delays = delays(top);
    let mut names = BTreeSet::new();
    let mut text = String::new();
    for ((kind, name), check) in &tracked {
        if check.is_automatic(*kind, name, groups) {
            let what = format!("weight {} of {name}", check.weight.points);
            for place in check.places.iter().filter(|_| check.weight.points != 0) {
                translation.sources.needless(*place, &what, AUTOMATIC);
            }
            continue;
        }
        if names.len() >= CHECKS_MAX {
            let (why, todo) = ("spared has at most 256 checks", "leave some out");
            check.refuse(translation, name, why, todo);
            continue;
        }
        if has_conntrackd && check.is_of_conntrackd() {
            let why = "conntrackd ends in the migration: the check would fail from then on";
            check.refuse(translation, name, why, "nothing");
            continue;
        }
        check.advise(translation, *kind, name, groups);
        let Some((table, keys)) = check.keys(translation, *kind, name, &delays) else {
            for place in &check.places {
                let why = "the check is not in the files, for the reason at its definition";
                translation.list_at(*place, name, why, "look there");
            }
            continue;
        };
        // an interface has its own name, and is first: others get another one if theirs is taken
        let name = unique(&mut names, name, NAME_MAX, |it| it.is_ascii_graphic());
        // a file that is missing or 0 adds nothing
        let gained = if *kind == Kind::File {
            0
        } else {
            check.weight.gained()
        };
        for group in &check.groups {
            groups[*group].add(check.on.map(|is_on| if is_on { gained } else { 0 }));
        }
        if gained > 0 && !translation.is_final {
            let what = format!("weight {gained} of {name}");
            let why = "a good check raises no priority: the points are in `priority`, and come off while it fails";
            translation.tell(check.place(), &what, why, "nothing");
        }
        let between = if text.is_empty() { "" } else { "\n" };
        let _ = writeln!(
            text,
            "{between}[[{table}]]\nname = {}\n{keys}weight = {}",
            toml_text(&name),
            check.weight.lost()
        );
        if check.weight.is_reversed && *kind != Kind::File {
            text += "reverse = true\n";
        }
    }
    // lines that are accounted for by nothing above
    let blocks = top.trees.into_iter().flatten();
    let entries = blocks.flat_map(|it| it.children("track_interface"));
    for entry in entries.flat_map(Statement::block) {
        if translation.sources.is_open(entry.place) {
            translation.sources.translated(entry.place);
        }
    }
    for (name, entry) in delays {
        let check = tracked.get(&(Kind::Interface, name.to_owned()));
        let why = if groups.iter().any(|it| it.watches(name)) {
            "the carrier of a group's own interface counts at once"
        } else {
            "no instance that is translated tracks it"
        };
        if check.is_none_or(|it| it.is_automatic(Kind::Interface, name, groups)) {
            translation.list_both(&entry, why, "nothing, unless the carrier flaps");
        }
    }
    text
}

impl Tracked<'_> {
    /// True for an interface whose carrier counts without a check, for each group that tracks it.
    fn is_automatic(&self, kind: Kind, name: &str, groups: &[Group<'_>]) -> bool {
        kind == Kind::Interface && self.groups.iter().all(|it| groups[*it].watches(name))
    }

    fn place(&self) -> Place {
        self.places.first().copied().unwrap_or_default()
    }

    /// Leaves the check out of the files.
    fn refuse(&self, translation: &mut Translation<'_>, name: &str, why: &str, todo: &str) {
        for place in &self.places {
            translation.list_at(*place, name, why, todo);
        }
        translation.refuse(&self.blocks, why, todo);
    }

    /// True if it looks whether conntrackd runs.
    fn is_of_conntrackd(&self) -> bool {
        let commands = ["script", "process"].map(|word| child(&self.blocks, word));
        let mut commands = commands.iter().flatten().flatten();
        commands.any(|it| it.text().contains("conntrackd"))
    }

    /// Name of the table in health.toml, and the keys of this kind, as lines.
    fn keys(
        &self,
        translation: &mut Translation<'_>,
        kind: Kind,
        name: &str,
        delays: &BTreeMap<&str, Both<'_>>,
    ) -> Option<(&'static str, String)> {
        match kind {
            Kind::Interface => {
                let keys = interface(translation, delays.get(name).copied());
                Some(("interface", keys))
            }
            Kind::Script => script(translation, &self.blocks, self.weight),
            Kind::Process => process(translation, &self.blocks),
            Kind::File => file(translation, &self.blocks, self.weight),
        }
    }

    /// Says where the check means something else than in keepalived.
    fn advise(
        &self,
        translation: &mut Translation<'_>,
        kind: Kind,
        name: &str,
        groups: &[Group<'_>],
    ) {
        let mut advise = |what: &str, why: &str, todo: &str| {
            translation.tell(self.place(), what, why, todo);
        };
        let what = format!("weight {} of {name}", self.weight.points);
        if self.weight.points == 0 {
            let why = "keepalived gives its role up when it fails, also if no other node lives; this node then keeps it";
            let todo = "nothing, or stop what must not run by a hook in fault.d";
            advise("a check without a weight", why, todo);
        }
        // a group loses its role by its own interface in any case
        let is_own = |it: &Group<'_>| kind == Kind::Interface && it.watches(name);
        let (tracking, moved): (Vec<_>, Vec<_>) = groups
            .iter()
            .enumerate()
            .filter(|it| self.groups.contains(&it.0) || !is_own(it.1))
            .partition(|it| self.groups.contains(&it.0));
        if !moved.is_empty() {
            let names = |found: Vec<(usize, &Group<'_>)>| {
                let names = found.into_iter().map(|it| it.1.name.as_str());
                names.collect::<Vec<_>>().join(", ")
            };
            let what = format!("check {name}");
            let why = format!(
                "a check counts for all groups of a node: it is tracked by {}, and moves {}, too",
                names(tracking),
                names(moved)
            );
            advise(
                &what,
                &why,
                "`weight = 0` in plugins/health.toml, if it shall move nothing",
            );
        }
        if self.weight.points.abs() > -FAULT {
            let why = "a check has up to 253 points: the files have 253";
            advise(&what, why, "nothing");
        }
        if let Some(node) = self.on.iter().position(|it| !it) {
            let alone = &translation.nodes[1 - node];
            let why = format!("only {alone} tracks it, and the files are for both nodes");
            let todo = match kind {
                Kind::Interface => "write `name = { ... }` with the interface of each node",
                _ => "take it out, or import again when the other node has it, too",
            };
            translation.list_at(self.place(), name, &why, todo);
        }
        let apart = self.groups.iter().map(|it| {
            let [one, two] = groups[*it].election.priority;
            (one - two).abs()
        });
        let apart = apart.min().filter(|it| *it > -self.weight.lost());
        let Some(apart) = apart.filter(|_| translation.is_final) else {
            return;
        };
        if kind == Kind::File {
            // the points of each 1 in the file
            let number = apart / -self.weight.lost();
            let why = format!(
                "numbers up to {number} in the file take fewer points off than the nodes' priorities are apart, so alone they never moved the role; between two nodes of spared the healthier one is active"
            );
            let todo =
                format!("`best = {number}` in plugins/health.toml, if these shall move nothing");
            translation.tell(self.place(), &what, &why, &todo);
        } else {
            translation.tell(self.place(), &what, WEAK, WEAK_TODO);
        }
    }
}

fn tracked<'t>(
    translation: &mut Translation<'_>,
    top: &Top<'t>,
    groups: &[Group<'t>],
) -> BTreeMap<(Kind, String), Tracked<'t>> {
    let mut found: BTreeMap<(Kind, String), Tracked<'t>> = BTreeMap::new();
    for (kind, list, words) in KINDS {
        let known: BTreeMap<&str, Both<'t>> = top.named(words).into_iter().collect();
        let trackers = groups.iter().enumerate().flat_map(|(number, group)| {
            let members = group.members.iter().map(move |it| (number, it.both, true));
            let own = (number, group.both, false);
            members.chain(Some(own).filter(|_| group.is_sync))
        });
        for (group, both, is_member) in trackers {
            for (node, block) in child(&both, list).into_iter().enumerate() {
                for entry in block.into_iter().flat_map(|it| it.block()) {
                    let name = top.names.check(node, list, entry.word(0));
                    let blocks = known.get(name).copied();
                    if kind != Kind::Interface && blocks.is_none() {
                        let why = "nothing of this name is defined";
                        translation.list(entry, why, "define it, or take it out");
                        continue;
                    }
                    if kind == Kind::Interface && !is_device(name) {
                        translation.list(entry, "no interface has such a name", "correct it");
                        continue;
                    }
                    if !matches!(entry.word(1), "" | "weight") {
                        let why = "a line has one name and its weight: keepalived ignores all of this one";
                        translation.list(entry, why, "write one line for each");
                        continue;
                    }
                    let blocks = blocks.unwrap_or([None, None]);
                    let block = blocks[node].or(blocks[1 - node]);
                    let mut weight = weight(translation, entry, block, kind);
                    if is_member && !groups[group].counts_weights(node) {
                        let counted = without_weight(translation, entry, weight, kind);
                        let Some(counted) = counted else { continue };
                        weight = counted;
                    }
                    let place = entry.place;
                    let check = found
                        .entry((kind, name.to_owned()))
                        .or_insert_with(|| Tracked {
                            blocks,
                            places: Vec::new(),
                            weight,
                            groups: Vec::new(),
                            on: [false; 2],
                        });
                    if check.weight != weight {
                        let why = "it has another weight elsewhere, and a check has one";
                        translation.list(entry, why, "choose one");
                    }
                    check.places.push(place);
                    check.on[node] = true;
                    if !check.groups.contains(&group) {
                        check.groups.push(group);
                    }
                }
            }
        }
        for (name, both) in known {
            let is_tracked = found.contains_key(&(kind, name.to_owned()));
            if !is_tracked {
                let why = "no instance that is translated tracks it";
                let todo = "nothing, or write the check into plugins/health.toml";
                translation.refuse(&both, why, todo);
            }
        }
    }
    found
}

/// Weight of a tracker of a member whose sync group counts none, as keepalived has it; None if it ignores the tracker.
fn without_weight(
    translation: &mut Translation<'_>,
    entry: &Statement,
    weight: Weight,
    kind: Kind,
) -> Option<Weight> {
    // keepalived forgets those of processes
    if weight.points == 0 || kind == Kind::Process {
        return Some(weight);
    }
    let is_fault = kind == Kind::Interface || (kind == Kind::File && weight.points == 1);
    let (why, todo) = if is_fault {
        (WITHOUT_WEIGHT, "nothing, or, if the weight shall count,")
    } else {
        (IGNORED, "nothing, or, if it shall count,")
    };
    let todo =
        format!("{todo} write `sync_group_tracking_weight` into the group, and import again");
    translation.list(entry, why, &todo);
    is_fault.then_some(Weight {
        points: 0,
        ..weight
    })
}

/// Weight of an entry: its own, or that of the definition.
fn weight(
    translation: &mut Translation<'_>,
    entry: &Statement,
    block: Option<&Statement>,
    kind: Kind,
) -> Weight {
    let default = Weight {
        points: i64::from(matches!(kind, Kind::File | Kind::Process)),
        is_reversed: false,
    };
    let at = entry.words.iter().position(|it| it == "weight");
    let own = at.map(|at| (entry, at + 1));
    let defined = block.and_then(|it| Some((it.child("weight")?, 1)));
    let Some((statement, at)) = own.or(defined) else {
        return default;
    };
    let points: Option<i64> = statement.word(at).parse().ok();
    let Some(points) = points.filter(|it| (-254..=254).contains(it)) else {
        translation.list(statement, "allowed is a weight of -253 to 253", "write one");
        return default;
    };
    let is_reversed = statement.word(at + 1) == "reverse";
    Weight {
        points,
        is_reversed,
    }
}

fn delays<'t>(top: &Top<'t>) -> BTreeMap<&'t str, Both<'t>> {
    let mut found: BTreeMap<&str, Both<'t>> = BTreeMap::new();
    for (node, tree) in top.trees.into_iter().enumerate() {
        let blocks = tree
            .iter()
            .filter(|it| it.word(0) == "interface_up_down_delays");
        for entry in blocks.flat_map(Statement::block) {
            found.entry(entry.word(0)).or_default()[node] = Some(entry);
        }
    }
    found
}
