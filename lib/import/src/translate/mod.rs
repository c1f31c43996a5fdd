//! Translation of both nodes' trees to the files of the pair.
//!
//! Each word is accounted for by its row of the table first. The parts below then read what they translate, and put into
//! the list what a row promises and they cannot keep.

mod address;
mod check_keys;
mod command;
mod common_names;
mod doubled;
mod echo;
mod election;
mod group;
mod hook;
mod lowered;
mod member;
mod route;
mod rule;
mod taken;
mod tracked;
mod unicast;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use crate::Texts;
use crate::limits::NAMED_MAX;
use crate::sources::{Place, Sources};
use crate::table::{Block, Fate, find};
use crate::toml::Each;
use crate::tree::Statement;
use common_names::CommonNames;

pub use address::address;
pub use command::shell_word;
pub use doubled::merged;
pub use group::Decision;
pub use hook::MARK;
pub use rule::PRIORITY;
pub use taken::Taken;

/// A statement of each node; None where the node has none.
type Both<'t> = Each<Option<&'t Statement>>;

/// All that the parts of a translation share.
pub struct Translation<'s> {
    pub sources: &'s mut Sources,
    pub nodes: &'s Each<String>,
    /// Both nodes run spared: no keepalived has to understand the adverts.
    pub is_final: bool,
    /// One file was read for both nodes, and it has no lines for one of them alone.
    pub is_one: bool,
    /// Virtual addresses of all instances.
    pub virtual_addresses: &'s BTreeSet<IpAddr>,
    /// Names and numbers that are in the files.
    pub taken: Taken,
    /// Addresses in keepalived's adverts that are not in spared's.
    pub uncounted: BTreeSet<IpAddr>,
    /// Changes that keepalived's files need before the migration.
    pub edits: Vec<Edit>,
    /// Commands that put addresses back which the edits take away, by node.
    pub restores: Each<Vec<String>>,
    /// Reasons for which the migration cannot begin.
    pub obstacles: Vec<String>,
    /// Priority above that of the next rule that has none, of IPv4 and of IPv6.
    pub next_priority: [u32; 2],
}

/// A change of keepalived.conf before the migration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// Node of the file; None if both have the line.
    pub node: Option<usize>,
    /// Change, in words for a person.
    pub line: String,
    pub why: &'static str,
}

/// Words with a value that changes nothing.
const DEFAULTS: [(&str, &str); 6] = [
    ("vrrp_mcast_group4", "224.0.0.18"),
    ("vrrp_mcast_group6", "ff02::12"),
    ("smtp_alert", "false"),
    ("smtp_alert", "off"),
    ("smtp_alert", "no"),
    ("quorum", "1"),
];

/// Advice about what is lost and may be missed.
const LOOK: &str = "look whether anything needs it";

/// Blocks of which spared does nothing, and that end with keepalived.
const KEPT: [&str; 6] = [
    "static_ipaddress",
    "static_routes",
    "static_rules",
    "track_group",
    "virtual_server",
    "virtual_server_group",
];

/// Maximum number of changes before the migration that are shown.
const EDITS_MAX: usize = 200;

/// Longest time that the files have: a day.
const SECONDS_MAX: u32 = 86_400;

/// Returns files of plugins and hooks, and what was decided about each group.
pub fn translate(
    translation: &mut Translation<'_>,
    trees: Each<&[Statement]>,
    has_conntrackd: bool,
) -> (Texts, Vec<Decision>) {
    for tree in trees {
        translation.account(Block::Top, tree);
    }
    let names = CommonNames::new(trees, translation.nodes);
    let key = |node: usize, it: &Statement| {
        let rest = it.words.get(2..).unwrap_or_default().join(" ");
        format!("{} {} {rest}", it.word(0), names.of(node, it))
    };
    pair_lines(translation.sources, trees, &key);
    let top = Top::new(trees, &names);
    for word in ["vrrp_mcast_group4", "vrrp_mcast_group6"] {
        let is_other = |it: &&Statement| !DEFAULTS.contains(&(word, it.word(1)));
        let why = "spared sends to the addresses of RFC 9568 alone";
        translation.take_out(&top.global(word).map(|it| it.filter(is_other)), why);
    }
    let mut groups = group::groups(translation, &top);
    let health = tracked::health(translation, &top, &mut groups, has_conntrackd);
    lowered::lower(translation, &top, &mut groups);
    translation.restores = address::restores(trees, &translation.uncounted);
    translation.obstacles.extend(obstacle(&top, &groups));
    let hooks = hook::hooks(translation, &top, &groups, has_conntrackd);
    let mut texts = Texts::new();
    if !groups.is_empty() {
        let vrrp = group::text(translation, &groups);
        texts.insert("plugins/vrrp.toml".to_owned(), vrrp);
    }
    if !health.is_empty() {
        texts.insert("plugins/health.toml".to_owned(), health);
    }
    if !hooks.is_empty() {
        let service = "# keepalived's scripts\n";
        texts.insert("plugins/service.toml".to_owned(), service.to_owned());
    }
    texts.extend(hooks);
    let decisions = groups.into_iter().map(|it| it.decision);
    (texts, decisions.collect())
}

/// Why no step can be taken: some instance would end with keepalived.
fn obstacle(top: &Top<'_>, groups: &[group::Group<'_>]) -> Option<String> {
    let members = groups.iter().flat_map(|it| &it.members);
    let written: BTreeSet<&str> = members.map(|it| it.name).collect();
    let mut names = top.named(&["vrrp_instance"]);
    names.retain(|it| !written.contains(it.0));
    let shown = names.iter().take(NAMED_MAX).map(|it| it.0);
    let mut shown: Vec<String> = shown.map(str::to_owned).collect();
    if names.len() > NAMED_MAX {
        shown.push(format!("{} more", names.len() - NAMED_MAX));
    }
    if groups.is_empty() {
        let why = "no `vrrp_instance` is translated, so keepalived stays as it is";
        return Some(why.to_owned());
    }
    (!shown.is_empty()).then(|| {
        format!(
            "{}: not translated, and the end of keepalived would be its end. Do what *to do by hand* says about it on both nodes, and import again",
            shown.join(", ")
        )
    })
}

/// Blocks of the top for which a keepalived has to stay.
pub fn kept(trees: Each<&[Statement]>) -> BTreeSet<&'static str> {
    let words = trees.into_iter().flatten().map(|it| it.word(0));
    let words: BTreeSet<&str> = words.collect();
    KEPT.into_iter().filter(|it| words.contains(it)).collect()
}

/// Notes which lines both files have in the same block.
fn pair_lines(
    sources: &mut Sources,
    [one, two]: Each<&[Statement]>,
    key: &dyn Fn(usize, &Statement) -> String,
) {
    let mut free: HashMap<String, Vec<&Statement>> = HashMap::new();
    for statement in two.iter().rev() {
        free.entry(key(1, statement)).or_default().push(statement);
    }
    for statement in one {
        if let Some(same) = free.get_mut(&key(0, statement)).and_then(Vec::pop) {
            sources.pair(statement.place, same.place);
            for (one, two) in statement.braces.iter().zip(&same.braces) {
                sources.pair(*one, *two);
            }
            let inner = [statement.block(), same.block()];
            pair_lines(sources, inner, &|_, it| it.text());
        }
    }
}

/// Blocks of the top by kind and name.
struct Top<'t> {
    trees: Each<&'t [Statement]>,
    names: &'t CommonNames,
    /// Words of `global_defs`: the last of each counts.
    globals: Each<BTreeMap<&'t str, &'t Statement>>,
}

impl<'t> Top<'t> {
    fn new(trees: Each<&'t [Statement]>, names: &'t CommonNames) -> Self {
        let globals = trees.map(|tree| {
            let blocks = tree.iter().filter(|it| it.word(0) == "global_defs");
            blocks
                .flat_map(|it| it.block())
                .map(|it| (it.word(0), it))
                .collect()
        });
        Self {
            trees,
            names,
            globals,
        }
    }

    /// Named blocks of a kind, in the order of the first node's file.
    fn named(&self, words: &[&str]) -> Vec<(&'t str, Both<'t>)> {
        let mut found: Vec<(&str, Both<'t>)> = Vec::new();
        let mut known: BTreeMap<&str, usize> = BTreeMap::new();
        for (node, tree) in self.trees.iter().enumerate() {
            for statement in tree.iter().filter(|it| words.contains(&it.word(0))) {
                let name = self.names.of(node, statement);
                let at = *known.entry(name).or_insert_with(|| {
                    found.push((name, [None, None]));
                    found.len() - 1
                });
                found[at].1[node] = Some(statement);
            }
        }
        found
    }

    /// A word of `global_defs`.
    fn global(&self, word: &str) -> Both<'t> {
        self.globals.each_ref().map(|it| it.get(word).copied())
    }
}

/// A name of these letters that nothing else has.
fn unique(
    names: &mut BTreeSet<String>,
    wanted: &str,
    letters_max: usize,
    is_allowed: fn(char) -> bool,
) -> String {
    let letters = wanted.chars().take(letters_max);
    let mut name: String = letters
        .map(|it| if is_allowed(it) { it } else { '-' })
        .collect();
    if name.is_empty() {
        name.push_str("main");
    }
    let mut free = name.clone();
    let mut number = 2;
    while !names.insert(free.clone()) {
        let room = name.get(..letters_max - 5).unwrap_or(&name);
        free = format!("{room}-{number}");
        number += 1;
    }
    free
}

/// The word in each node's block.
fn child<'t>(block: &Both<'t>, word: &str) -> Both<'t> {
    block.map(|it| it.and_then(|it| it.child(word)))
}

/// Words for whose lines it depends on others whether they are in the files.
const LATE: [&str; 3] = ["preempt_delay", "auth_type", "auth_pass"];

impl Translation<'_> {
    fn account(&mut self, block: Block, tree: &[Statement]) {
        for statement in tree {
            let word = statement.word(0);
            let Some(row) = find(block, word) else {
                let why = "keepalived does not know this word here, or spared does not";
                let todo = "look whether it does anything";
                self.sources.list_all(statement, word, why, todo);
                continue;
            };
            if DEFAULTS.contains(&(word, statement.word(1))) {
                let why = "it is keepalived's default";
                self.sources.needless_all(statement, word, why);
                continue;
            }
            if matches!(row.fate, Fate::Becomes(_)) {
                for brace in &statement.braces {
                    self.sources.translated(*brace);
                }
            }
            match row.fate {
                Fate::Becomes(_) if LATE.contains(&word) => {}
                Fate::Becomes(_) => self.sources.translated(statement.place),
                Fate::Needless => self.sources.needless_all(statement, word, row.note),
                Fate::Lost(todo) => self.sources.list_all(statement, word, row.note, todo),
            }
            let is_becoming = matches!(row.fate, Fate::Becomes(_));
            match row.opens.filter(|_| is_becoming) {
                // a weight may be in no file
                Some(Block::Entries) if word == "track_interface" => {}
                Some(Block::Entries) => {
                    for entry in statement.block() {
                        for place in entry.places() {
                            self.sources.translated(place);
                        }
                    }
                }
                Some(inner) => self.account(inner, statement.block()),
                None if is_becoming && !statement.block().is_empty() => {
                    let why = "it has no block";
                    for inner in statement.block() {
                        self.sources
                            .list_all(inner, word, why, "look what was meant");
                    }
                }
                None => {}
            }
        }
    }

    fn edit(&mut self, edit: Edit) {
        let more = "and the further lines of this kind in *to do by hand*";
        match self.edits.len() {
            0..EDITS_MAX if !self.edits.contains(&edit) => self.edits.push(edit),
            EDITS_MAX => self.edits.push(Edit {
                node: None,
                line: more.to_owned(),
                why: edit.why,
            }),
            _ => {}
        }
    }

    fn list(&mut self, statement: &Statement, why: &str, todo: &str) {
        self.list_at(statement.place, &statement.text(), why, todo);
    }

    fn list_at(&mut self, place: Place, what: &str, why: &str, todo: &str) {
        self.sources.list(place, what, why, todo);
    }

    fn list_both(&mut self, both: &Both<'_>, why: &str, todo: &str) {
        for statement in both.iter().flatten() {
            self.list(statement, why, todo);
        }
    }

    /// Says what differs from keepalived about something of a line that is in the files.
    fn tell(&mut self, place: Place, what: &str, why: &str, todo: &str) {
        self.sources.advise(place, what, why, todo);
    }

    /// Says what differs from keepalived about a statement that is in the files.
    fn advise(&mut self, statement: &Statement, why: &str, todo: &str) {
        self.tell(statement.place, &statement.text(), why, todo);
    }

    /// Says what differs from keepalived about a part of statements that are in the files.
    fn advise_on(&mut self, both: &Both<'_>, what: &str, why: &str, todo: &str) {
        for statement in both.iter().flatten() {
            self.tell(statement.place, what, why, todo);
        }
    }

    /// Lists blocks with all that is in them, none of which is in the files.
    fn refuse(&mut self, both: &Both<'_>, why: &str, todo: &str) {
        for statement in both.iter().flatten() {
            self.sources
                .list_all(statement, &statement.text(), why, todo);
        }
    }

    /// Accounts for lines whose outcome depends on others: they are in the files, or there is a reason why not.
    fn resolve(&mut self, both: &Both<'_>, needless: Option<&'static str>) {
        for statement in both.iter().flatten() {
            match needless {
                Some(why) => self
                    .sources
                    .needless(statement.place, statement.word(0), why),
                None => self.sources.translated(statement.place),
            }
        }
    }

    /// The statement of a word in the blocks of both nodes, which need the same.
    fn setting<'t>(&mut self, both: &Both<'t>, word: &str) -> Option<&'t Statement> {
        let found = child(both, word);
        if both.iter().all(Option::is_some) {
            if let [Some(alone), None] | [None, Some(alone)] = found {
                let node = &self.nodes[usize::from(found[0].is_none())];
                let why = format!("only {node} has it; it is in the files of both");
                self.advise(alone, &why, "give both nodes the same, and import again");
            }
        }
        self.common(found)
    }

    /// The statement of a key that both nodes must have in common: the first node's.
    fn common<'t>(&mut self, both: Both<'t>) -> Option<&'t Statement> {
        if let [Some(one), Some(two)] = both {
            if one.text() != two.text() {
                let [name, other] = self.nodes.clone();
                let why = format!("{name} has {}, and both nodes need the same", one.text());
                let todo = format!("{name}'s is in the files: correct {other} or the files");
                self.list(two, &why, &todo);
            }
        }
        both[0].or(both[1])
    }

    /// A whole number of a statement in a range.
    fn number(
        &mut self,
        statement: &Statement,
        allowed: std::ops::RangeInclusive<i64>,
    ) -> Option<i64> {
        let found = statement
            .word(1)
            .parse()
            .ok()
            .filter(|it| allowed.contains(it));
        if found.is_none() {
            let why = format!("allowed is {} to {}", allowed.start(), allowed.end());
            self.list(statement, &why, "write a number that fits into both");
        }
        found
    }

    /// Seconds of a statement, with or without a fraction, in ms.
    fn milliseconds(
        &mut self,
        statement: &Statement,
        position: usize,
        seconds_max: u32,
    ) -> Option<u64> {
        let seconds: Option<f64> = statement.word(position).parse().ok();
        let fitting = seconds.filter(|it| (0.0..=f64::from(seconds_max)).contains(it));
        if fitting.is_none() {
            let why = format!("allowed is a time of up to {seconds_max} s");
            self.list(statement, &why, "write one");
        }
        fitting.map(|it| (it * 1000.0).round() as u64)
    }

    /// Matches the entries of both nodes' lists, by what `key` makes of them.
    fn entries<'t>(
        &mut self,
        both: &Both<'t>,
        key: impl Fn(&Statement) -> String,
    ) -> Vec<Both<'t>> {
        let [one, two] = both.map(|it| it.map_or(&[][..], Statement::block));
        let mut found: Vec<Both<'t>> = one.iter().map(|it| [Some(it), None]).collect();
        let mut free: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (at, entry) in one.iter().enumerate().rev() {
            free.entry(key(entry)).or_default().push(at);
        }
        for entry in two {
            match free.get_mut(&key(entry)).and_then(Vec::pop) {
                Some(at) => found[at][1] = Some(entry),
                None => found.push([None, Some(entry)]),
            }
        }
        let is_both = both.iter().all(Option::is_some);
        for (node, entry) in [(0, 1), (1, 0)].into_iter().flat_map(|(here, there)| {
            let alone = found.iter().filter(move |it| it[there].is_none());
            alone.filter_map(move |it| Some((here, it[here]?)))
        }) {
            if is_both {
                let why = format!(
                    "only {} has it; it is in the files of both",
                    self.nodes[node]
                );
                self.list(entry, &why, "correct the other node");
            }
        }
        found
    }
}
