//! Translates keepalived.conf and conntrackd.conf to the files of a pair: no line is lost without a word.
//!
//! ```text
//! files ── expand ──> lines ── tree ──> blocks of both nodes ── translate ──> texts
//!                       │                   │                        │
//!                       └─────────── sources: what becomes of each line ───> list
//! ```
//!
//! There is no I/O here: [`Files`] reads, and whoever calls [`import`] shows and writes the result.

#![forbid(unsafe_code)]

mod conntrackd;
mod expand;
mod limits;
pub mod page;
mod sequences;
mod sources;
mod split;
mod steps;
pub mod table;
mod toml;
mod translate;
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;

pub use limits::BYTES_MAX;
pub use sources::{Fault, Files, Outcome, Place, Problem, Sources};
pub use steps::{Here, Step};
pub use translate::{Decision, Edit, MARK, shell_word};

/// Files by path below the folder of the configuration: plugins and hooks.
pub type Texts = BTreeMap<String, String>;

/// Files of an import, and names of the nodes.
#[derive(Clone, Debug)]
pub struct Request {
    pub nodes: [String; 2],
    /// Ids of lines that begin with `@`, by node.
    pub ids: [String; 2],
    /// keepalived.conf of both nodes, which may be one file.
    pub keepalived: [PathBuf; 2],
    pub conntrackd: Option<PathBuf>,
    /// Both nodes run spared already.
    pub is_final: bool,
    pub here: Option<Here>,
}

/// Result of an import.
#[derive(Debug)]
pub struct Import {
    pub texts: Texts,
    pub sources: Sources,
    pub decisions: Vec<Decision>,
    pub steps: Vec<Step>,
    /// Reasons for which there are no steps.
    pub obstacles: Vec<String>,
}

/// Reads the files, and translates them.
///
/// # Errors
/// A file cannot be read, or a limit is reached.
pub fn import(files: &dyn Files, request: &Request) -> Result<Import, Fault> {
    let mut sources = Sources::default();
    let mut lines = Vec::new();
    let [own, peer] = &request.keepalived;
    let copies = [
        None,
        Some(request.nodes[1].as_str()).filter(|_| own != peer),
    ];
    for ((path, id), copy_of) in request.keepalived.iter().zip(&request.ids).zip(copies) {
        let main = expand::Main { path, id, copy_of };
        lines.push(expand::lines(&mut sources, files, main)?);
    }
    let is_one = own == peer && lines[0] == lines[1];
    if is_one {
        lines.pop();
    }
    let mut read = Vec::new();
    for lines in lines {
        let tree = tree::read(&mut sources, &lines)?;
        read.push(translate::merged(&mut sources, tree));
    }
    let trees = [read.first(), read.last()].map(|it| it.map_or(&[][..], Vec::as_slice));
    let virtual_addresses = addresses(trees);
    let mut translation = translate::Translation {
        sources: &mut sources,
        nodes: &request.nodes,
        is_final: request.is_final,
        is_one,
        virtual_addresses: &virtual_addresses,
        taken: translate::Taken::default(),
        uncounted: BTreeSet::new(),
        edits: Vec::new(),
        restores: [Vec::new(), Vec::new()],
        obstacles: Vec::new(),
        next_priority: [translate::PRIORITY; 2],
    };
    let (mut texts, decisions) =
        translate::translate(&mut translation, trees, request.conntrackd.is_some());
    let before = steps::Before {
        edits: std::mem::take(&mut translation.edits),
        restores: std::mem::take(&mut translation.restores),
        kept: translate::kept(trees),
        obstacles: std::mem::take(&mut translation.obstacles),
    };
    if is_one && !decisions.is_empty() {
        guessed(&mut sources, &request.nodes, trees[0]);
    }
    let here = request.here.iter().flat_map(|it| it.addresses.keys());
    let own = here.chain(&virtual_addresses).copied().collect();
    let replication = match &request.conntrackd {
        Some(path) => Some(conntrackd::read(&mut sources, files, path, &own)?),
        None => None,
    };
    if let Some(replication) = replication.as_ref().filter(|_| request.is_final) {
        texts.insert(
            "plugins/conntrack.toml".to_owned(),
            replication.text.trim_start().to_owned(),
        );
    }
    if let Some(replication) = &replication {
        if texts.contains_key(steps::CONNTRACKD_HOOK) {
            let why = "no notify script calls primary-backup.sh: the hooks 40-conntrackd call /etc/conntrackd/primary-backup.sh";
            let todo = "see that it is there and executable; if a script of yours commits conntrackd's cache by itself, remove 40-conntrackd from active.d, backup.d and fault.d";
            sources.advise(replication.place, "conntrackd", why, todo);
        }
        if request.is_final && texts.keys().any(|it| it.starts_with("hooks/")) {
            let why =
                "it has ended: scripts of hooks that call it or primary-backup.sh go on calling it";
            let todo = "take such calls out of your scripts";
            sources.advise(replication.place, "conntrackd", why, todo);
        }
    }
    sources.close();
    let situation = steps::Situation {
        request,
        texts: &texts,
        decisions: &decisions,
        replication: replication.as_ref(),
        before: &before,
        addresses: &virtual_addresses,
        is_one,
    };
    let steps = if request.is_final {
        Vec::new()
    } else {
        situation.steps()
    };
    Ok(Import {
        texts,
        sources,
        decisions,
        steps,
        obstacles: before.obstacles,
    })
}

/// Ids of lines that are for one node, in the order of the text.
pub fn ids(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for line in text.lines() {
        let id = line
            .trim_start()
            .strip_prefix('@')
            .map(|it| it.trim_start_matches('^'));
        let id = id.and_then(|it| it.split_whitespace().next());
        if let Some(id) = id.filter(|id| !found.iter().any(|it| it == id)) {
            found.push(id.to_owned());
        }
    }
    found
}

/// Says that the other node's priority is a guess.
fn guessed(sources: &mut Sources, nodes: &[String; 2], tree: &[tree::Statement]) {
    let instances = tree.iter().filter(|it| it.word(0) == "vrrp_instance");
    for place in instances.map(|it| it.child("priority").map_or(it.place, |it| it.place)) {
        let [one, two] = nodes;
        let why = format!(
            "the file is {one}'s, and {two}'s priority is in another one: it is guessed, 50 below with `state MASTER`, 50 above with `state BACKUP`, else by whether this one is below 100"
        );
        let todo =
            format!("import with --peer FILE, {two}'s keepalived.conf, or correct `priority`");
        sources.advise(place, "priority of the other node", &why, &todo);
    }
}

/// Virtual addresses of all instances.
fn addresses(trees: [&[tree::Statement]; 2]) -> BTreeSet<IpAddr> {
    let instances = trees
        .into_iter()
        .flatten()
        .filter(|it| it.word(0) == "vrrp_instance");
    let lists = instances.flat_map(|it| {
        it.children("virtual_ipaddress")
            .chain(it.children("virtual_ipaddress_excluded"))
    });
    let entries = lists.flat_map(|it| it.block());
    entries
        .filter_map(|it| Some(translate::address(it.word(0))?.addr()))
        .collect()
}
