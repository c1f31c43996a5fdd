//! Tracked scripts, processes, files and interfaces as the checks of health.toml.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use spared_config_reader::{is_path, toml_text};

use super::address::is_device;
use super::command::{Target, target};
use super::group::Group;
use super::route::of_both;
use super::{Both, SECONDS_MAX, Top, Translation, child, unique};
use crate::sources::Place;
use crate::toml::{Each, each, list, time};
use crate::tree::Statement;

/// Points of a check whose failure alone makes a node unfit.
const FAULT: i64 = -253;
const NAME_MAX: usize = 64;
const CHECKS_MAX: usize = 256;
/// Shortest and longest time of a check between two runs.
const INTERVAL_MS: std::ops::RangeInclusive<u64> = 100..=86_400_000;
const TIMEOUT_MS_MAX: u64 = 60_000;
/// Words of a script.
const WORDS_MAX: usize = 64;
/// Letters of a process.
const PROCESS_MAX: usize = 255;

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
struct Weight {
    points: i64,
    is_reversed: bool,
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
    place: Place,
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
) -> String {
    let tracked = tracked(translation, top, groups);
    let delays = delays(top);
    let members = groups.iter().flat_map(|it| &it.members);
    let devices: BTreeSet<String> = members.flat_map(|it| it.devices.iter().cloned()).collect();
    let mut names = BTreeSet::new();
    let mut text = String::new();
    for ((kind, name), check) in &tracked {
        if *kind == Kind::Interface && devices.contains(name) {
            continue;
        }
        if names.len() >= CHECKS_MAX {
            let why = "spared has at most 256 checks";
            translation
                .sources
                .list(check.place, name, why, "leave some out");
            continue;
        }
        if check.groups.len() < groups.len() && check.weight.points != 0 {
            let why = "a check counts for all groups of a node";
            let what = format!("weight of {name} in some instances");
            translation
                .sources
                .advise(check.place, &what, why, "look whether that is meant");
        }
        let Some((table, keys)) = check.keys(translation, *kind, name, &delays) else {
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
    for (name, statement) in delays {
        let is_written =
            tracked.contains_key(&(Kind::Interface, name.to_owned())) && !devices.contains(name);
        if !is_written {
            let why = "the carrier of a group's own interface counts at once";
            translation.list(statement, why, "nothing, unless the carrier flaps");
        }
    }
    text
}

impl Tracked<'_> {
    /// Name of the table in health.toml, and the keys of this kind, as lines.
    fn keys(
        &self,
        translation: &mut Translation<'_>,
        kind: Kind,
        name: &str,
        delays: &BTreeMap<&str, &Statement>,
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
            let members = group.members.iter().map(|it| it.both);
            members
                .chain(Some(group.both).filter(|_| group.is_sync))
                .map(move |it| (number, it))
        });
        for (group, both) in trackers {
            for (node, block) in child(&both, list).into_iter().enumerate() {
                for entry in block.into_iter().flat_map(|it| it.block()) {
                    let name = entry.word(0);
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
                        translation.list(
                            entry,
                            "a line has one name and its weight",
                            "write one line for each",
                        );
                    }
                    let blocks = blocks.unwrap_or([None, None]);
                    let weight = weight(translation, entry, &blocks, kind);
                    let place = entry.place;
                    let check = found
                        .entry((kind, name.to_owned()))
                        .or_insert_with(|| Tracked {
                            blocks,
                            place,
                            weight,
                            groups: Vec::new(),
                            on: [false; 2],
                        });
                    if check.weight != weight {
                        let why = "it has another weight elsewhere, and a check has one";
                        translation.list(entry, why, "choose one");
                    }
                    check.on[node] = true;
                    if !check.groups.contains(&group) {
                        check.groups.push(group);
                    }
                }
            }
        }
        for (name, both) in known {
            let is_tracked = found.contains_key(&(kind, name.to_owned()));
            for block in both.into_iter().flatten().filter(|_| !is_tracked) {
                let why = "no instance that is translated tracks it";
                translation.list(
                    block,
                    why,
                    "nothing, or write the check into plugins/health.toml",
                );
            }
        }
    }
    found
}

/// Weight of an entry: its own, or that of the definition.
fn weight(
    translation: &mut Translation<'_>,
    entry: &Statement,
    blocks: &Both<'_>,
    kind: Kind,
) -> Weight {
    let default = if matches!(kind, Kind::File | Kind::Process) {
        1
    } else {
        0
    };
    let at = entry.words.iter().position(|it| it.text == "weight");
    let own = at.map(|at| (entry, at + 1));
    let of_block = child(blocks, "weight");
    let defined = of_block[0].or(of_block[1]).map(|it| (it, 1));
    let Some((statement, at)) = own.or(defined) else {
        return Weight {
            points: default,
            is_reversed: false,
        };
    };
    let points: Option<i64> = statement.word(at).parse().ok();
    let Some(points) = points.filter(|it| (-254..=254).contains(it)) else {
        translation.list(statement, "allowed is a weight of -253 to 253", "write one");
        return Weight {
            points: default,
            is_reversed: false,
        };
    };
    let is_reversed = statement.word(at + 1) == "reverse";
    Weight {
        points,
        is_reversed,
    }
}

fn delays<'t>(top: &Top<'t>) -> BTreeMap<&'t str, &'t Statement> {
    let blocks = top
        .trees
        .into_iter()
        .flatten()
        .filter(|it| it.word(0) == "interface_up_down_delays");
    let entries = blocks.flat_map(|it| it.block());
    entries.map(|it| (it.word(0), it)).collect()
}

fn interface(translation: &mut Translation<'_>, delays: Option<&Statement>) -> String {
    let mut lines = String::new();
    let Some(delays) = delays else { return lines };
    // the second time may be absent: it is the first, too
    let up = if delays.word(2).is_empty() { 1 } else { 2 };
    for (key, position) in [("down_delay", 1), ("up_delay", up)] {
        let ms = translation.milliseconds(delays, position, SECONDS_MAX);
        if let Some(ms) = ms.filter(|it| *it > 0) {
            let _ = writeln!(lines, "{key} = {}", time(ms));
        }
    }
    lines
}

fn script(
    translation: &mut Translation<'_>,
    both: &Both<'_>,
    weight: Weight,
) -> Option<(&'static str, String)> {
    let statements = child(both, "script");
    let Some(targets) = of_both(statements.map(|it| it.and_then(target))) else {
        let block = both[0].or(both[1])?;
        translation.list(block, "it names no script", "name one");
        return None;
    };
    let (table, key, values) = match &targets {
        [Target::Process(one), Target::Process(two)] => {
            ("process", "process", [one, two].map(|it| toml_text(it)))
        }
        [Target::Tcp(one), Target::Tcp(two)] => {
            ("tcp", "address", [one, two].map(|it| toml_text(it)))
        }
        targets => {
            let argv = targets.each_ref().map(argv);
            if !argv.iter().all(|it| is_command(it)) {
                let block = statements[0].or(statements[1])?;
                let why = "a command has up to 64 words, and a path without `..`";
                translation.list(block, why, "write a script that runs it");
                return None;
            }
            ("script", "argv", argv.map(|it| list(&it)))
        }
    };
    let ms = |translation: &mut Translation<'_>, word| {
        let statement = translation.common(child(both, word));
        let ms = statement.and_then(|it| translation.milliseconds(it, 1, SECONDS_MAX));
        ms.filter(|it| *it > 0)
    };
    let interval = ms(translation, "interval").unwrap_or(1000);
    let (least, most) = (*INTERVAL_MS.start(), *INTERVAL_MS.end());
    if interval < least {
        let statement = translation.common(child(both, "interval"))?;
        let why = "checks run ten times a second at most: the files have 100 ms";
        translation.list(statement, why, "nothing");
    }
    let interval = interval.clamp(least, most);
    let timeout = ms(translation, "timeout").unwrap_or(interval);
    let timeout = timeout.clamp(10, interval.min(TIMEOUT_MS_MAX));
    let mut counts = ["rise", "fall"].map(|word| {
        let statement = translation.common(child(both, word));
        statement
            .and_then(|it| translation.number(it, 1..=100))
            .unwrap_or(1)
    });
    if weight.is_reversed {
        counts.reverse();
    }
    let keys = format!(
        "{key} = {}\ninterval = {}\ntimeout = {}\nrise = {}\nfall = {}\n",
        each(translation.nodes, &values),
        time(interval),
        time(timeout),
        counts[0],
        counts[1]
    );
    Some((table, keys))
}

/// True for a command that a check can run.
fn is_command(argv: &[String]) -> bool {
    let is_program = argv.first().is_some_and(|it| is_path(it));
    is_program && argv.len() <= WORDS_MAX && !argv.iter().any(|it| it.contains('\0'))
}

fn argv(target: &Target) -> Vec<String> {
    let of = |words: &[&str]| words.iter().map(|it| (*it).to_owned()).collect();
    match target {
        Target::Script(argv) => argv.clone(),
        Target::Process(name) => of(&["/usr/bin/env", "pidof", "-q", name]),
        Target::Tcp(address) => of(&["/usr/bin/env", "nc", "-z", address]),
    }
}

fn process(translation: &mut Translation<'_>, both: &Both<'_>) -> Option<(&'static str, String)> {
    let statements = child(both, "process");
    if let Some(long) = statements.iter().flatten().find(|it| it.words.len() > 2) {
        let why = "a process is found by its name, not by its arguments";
        translation.list(long, why, "write a `[[script]]` that looks for them");
    }
    let program = |it: &Statement| {
        let name = it.word(1).rsplit('/').next().unwrap_or_default();
        Some(toml_text(name)).filter(|_| (1..=PROCESS_MAX).contains(&name.len()))
    };
    let Some(programs) = of_both(statements.map(|it| it.and_then(program))) else {
        let block = both[0].or(both[1])?;
        translation.list(block, "it names no process", "name one");
        return None;
    };
    let mut keys = format!(
        "process = {}\ninterval = \"1s\"\ntimeout = \"1s\"\nrise = 1\nfall = 1\n",
        each(translation.nodes, &programs)
    );
    for (key, words) in [
        ("up_delay", ["fork_delay", "delay"]),
        ("down_delay", ["terminate_delay", "delay"]),
    ] {
        let statement = words
            .iter()
            .find_map(|word| translation.common(child(both, word)));
        let ms = statement.and_then(|it| translation.milliseconds(it, 1, SECONDS_MAX));
        if let Some(ms) = ms.filter(|it| *it > 0) {
            let _ = writeln!(keys, "{key} = {}", time(ms));
        }
    }
    Some(("process", keys))
}

fn file(
    translation: &mut Translation<'_>,
    both: &Both<'_>,
    weight: Weight,
) -> Option<(&'static str, String)> {
    let path = |it: &Statement| Some(toml_text(it.word(1))).filter(|_| is_path(it.word(1)));
    let statements = child(both, "file");
    let Some(paths) = of_both(statements.map(|it| it.and_then(path))) else {
        let block = both[0].or(both[1])?;
        translation.list(block, "it names no file by an absolute path", "name one");
        return None;
    };
    let raises = (weight.points > 0) != weight.is_reversed;
    let worse = if raises && weight.points != 0 {
        "below"
    } else {
        "above"
    };
    if worse == "below" {
        let block = statements[0].or(statements[1])?;
        let why = "the number of the file raises the priority, and spared only takes points off";
        let todo = "write `best = ` with the greatest number that is written there, and add it times the weight to `priority`";
        translation
            .sources
            .advise(block.place, &block.text(), why, todo);
    }
    let path = each(translation.nodes, &paths);
    Some(("number", format!("path = {path}\nworse = \"{worse}\"\n")))
}
