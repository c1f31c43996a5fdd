//! Reads files.toml; *spared-files*(5) is the manual of every key.

use std::collections::BTreeSet;
use std::time::Duration;

use globset::{Glob, GlobBuilder, GlobSet, GlobSetBuilder};
use spared_config_reader::{Config, Section, format_duration, node, parse_duration};

use crate::{Hash, builtin};

const TREES_MAX: usize = 64;
const PATHS_MAX: usize = 256;
const NAME_MAX: usize = 40;
const EVERY_MIN: Duration = Duration::from_secs(60);
const EVERY_MAX: Duration = Duration::from_secs(30 * 86_400);

/// Condition on which a tree is replicated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sync {
    /// On request.
    #[default]
    Ask,
    /// When its files change.
    Change,
    Every(Duration),
}

/// Configuration of one `[[tree]]`.
#[derive(Clone, Debug)]
pub struct Tree {
    pub name: String,
    /// Absolute paths of files and folders, sorted.
    pub paths: Vec<String>,
    /// Patterns of files that each node keeps as they are.
    pub exclude: Vec<String>,
    pub(crate) excluded: GlobSet,
    pub sync: Sync,
    /// Group whose active node sends the tree without a request; None: the node that is active in all groups.
    pub group: Option<String>,
    /// Command that must succeed with the new files before they are in place.
    pub check: Vec<String>,
    /// Command that puts the new files into effect.
    pub apply: Vec<String>,
    /// Number of earlier states to keep.
    pub keep: usize,
    /// True if the only path of the tree is a symbolic link, which is switched as a whole.
    pub by_link: bool,
}

/// Contents of files.toml.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// This node's name.
    pub node: String,
    pub trees: Vec<Tree>,
}

impl PartialEq for Tree {
    fn eq(&self, other: &Self) -> bool {
        let of = |it: &Self| {
            let commands = (it.check.clone(), it.apply.clone(), it.keep);
            let sync = (it.sync, it.group.clone());
            (it.name.clone(), it.scope(), commands, sync, it.by_link)
        };
        of(self) == of(other)
    }
}

impl Settings {
    pub fn tree(&self, name: &str) -> Option<&Tree> {
        self.trees.iter().find(|it| it.name == name)
    }
}

impl Tree {
    /// Configured path that equals a path or contains it.
    pub fn top_of(&self, path: &str) -> Option<&str> {
        let is_top = |top: &&String| {
            let below = path.strip_prefix(top.as_str());
            below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.paths.iter().find(is_top).map(String::as_str)
    }

    /// True if a path stays as it is on each node. A pattern with a slash is compared with the whole path, any other
    /// pattern with each name in the path below the configured one.
    pub fn excludes(&self, path: &str) -> bool {
        let Some(top) = self.top_of(path) else {
            return true;
        };
        let below = path.strip_prefix(top).unwrap_or_default();
        let mut prefix = top.to_owned();
        for name in below.split('/').skip(1) {
            prefix.push('/');
            prefix.push_str(name);
            if self.excluded.is_match(name) || self.excluded.is_match(&prefix) {
                return true;
            }
        }
        false
    }

    /// Hash of the paths and patterns of the tree: nodes with different ones exchange nothing.
    pub fn scope(&self) -> Hash {
        let of = |texts: &[String]| texts.join("\n");
        let lines = [of(&self.paths), of(&self.exclude)];
        Hash::of(lines.join("\n\n").as_bytes())
    }
}

/// Reads the file; None if `config` has noted faults that leave nothing to return.
pub fn read(config: &Config) -> Option<Settings> {
    let root = config.root();
    let sections = root.sections("tree");
    root.at_most("tree", "trees", sections.len(), TREES_MAX);
    let trees: Vec<Option<Tree>> = sections.iter().map(tree).collect();
    refuse_repeats(&sections, &trees);
    Some(Settings {
        node: config.node().to_owned(),
        trees: trees.into_iter().collect::<Option<_>>()?,
    })
}

fn tree(section: &Section<'_>) -> Option<Tree> {
    let name = section.required("name", section.text("name"));
    let name = name.filter(|name| name_fits(section, name));
    let paths = section.required("paths", section.texts("paths"));
    let paths = paths.and_then(|paths| paths_fit(section, paths));
    let exclude = section.texts("exclude").unwrap_or_default();
    let excluded = patterns(section, &exclude);
    let command = |key: &str| section.texts(node(key)).unwrap_or_default();
    let (check, apply) = (command("check"), command("apply"));
    let keep = section.integer("keep", 1..=100).unwrap_or(10);
    let sync = sync(section);
    let by_link = by_link(section, paths.as_deref());
    let group = section.text("group");
    Some(Tree {
        name: name?,
        paths: paths?,
        exclude,
        excluded: excluded?,
        sync,
        group,
        check,
        apply,
        keep: usize::try_from(keep).unwrap_or(10),
        by_link,
    })
}

fn by_link(section: &Section<'_>, paths: Option<&[String]>) -> bool {
    match section.text("switch").as_deref() {
        None | Some("files") => false,
        Some("link") => {
            if let Some(paths) = paths.filter(|it| it.len() != 1) {
                let why = format!("\"link\" needs one path, found {}", paths.len());
                section.fault("switch", why);
            }
            true
        }
        Some(other) => {
            section.fault(
                "switch",
                format!("found {other:?}, allowed \"files\" and \"link\""),
            );
            false
        }
    }
}

fn sync(section: &Section<'_>) -> Sync {
    let Some(text) = section.text("sync") else {
        return Sync::Ask;
    };
    match text.as_str() {
        "ask" => return Sync::Ask,
        "change" => return Sync::Change,
        _ => {}
    }
    let time = parse_duration(&text).filter(|it| (EVERY_MIN..=EVERY_MAX).contains(it));
    if time.is_none() {
        let (least, most) = (format_duration(EVERY_MIN), format_duration(EVERY_MAX));
        let why =
            format!("found {text:?}, allowed \"ask\", \"change\", or \"{least}\" to \"{most}\"");
        section.fault("sync", why);
    }
    time.map_or(Sync::Ask, Sync::Every)
}

fn name_fits(section: &Section<'_>, name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let fits = !name.is_empty() && name.len() <= NAME_MAX && name.chars().all(plain);
    if name == builtin::NAME {
        section.fault(
            "name",
            "is the tree of spared's own configuration: `sparectl config push`",
        );
        return false;
    }
    if !fits {
        let why = format!("found {name:?}, allowed 1-{NAME_MAX} letters, digits, \"-\" and \"_\"");
        section.fault("name", why);
    }
    fits
}

fn paths_fit(section: &Section<'_>, mut paths: Vec<String>) -> Option<Vec<String>> {
    let mut fits = true;
    let mut fault = |at: usize, why: &str| {
        section.fault(&format!("paths.{at}"), why);
        fits = false;
    };
    for (at, path) in paths.iter().enumerate() {
        let below = path.strip_prefix('/').unwrap_or_default();
        let is_plain = |name: &str| {
            !matches!(name, "" | "." | "..") && !name.contains(|c: char| c.is_control())
        };
        if !below.split('/').all(is_plain) {
            let why = "allowed is an absolute path without \".\", \"..\" or a slash at its end";
            fault(at, &format!("found {path:?}, {why}"));
        }
        if is_within(path, "/etc/spared") || is_within("/etc/spared", path) {
            fault(
                at,
                "/etc/spared holds this node's key: it cannot be in a tree",
            );
        }
        if let Some(other) = paths.iter().take(at).find(|it| overlaps(it, path)) {
            fault(at, &format!("{path} and {other} overlap"));
        }
    }
    if paths.is_empty() || paths.len() > PATHS_MAX {
        let why = format!("found {} paths, allowed 1-{PATHS_MAX}", paths.len());
        section.fault("paths", why);
        fits = false;
    }
    paths.sort();
    fits.then_some(paths)
}

pub(crate) fn is_within(path: &str, folder: &str) -> bool {
    let below = path.strip_prefix(folder);
    below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn overlaps(one: &str, other: &str) -> bool {
    is_within(one, other) || is_within(other, one)
}

/// Parses a pattern of `exclude`.
pub(crate) fn glob(pattern: &str) -> Result<Glob, globset::Error> {
    GlobBuilder::new(pattern).literal_separator(true).build()
}

fn patterns(section: &Section<'_>, exclude: &[String]) -> Option<GlobSet> {
    let mut set = GlobSetBuilder::new();
    let mut fits = true;
    for (at, pattern) in exclude.iter().enumerate() {
        match glob(pattern) {
            Ok(glob) => drop(set.add(glob)),
            Err(error) => {
                section.fault(&format!("exclude.{at}"), error.to_string());
                fits = false;
            }
        }
    }
    set.build().ok().filter(|_| fits)
}

fn refuse_repeats(sections: &[Section<'_>], trees: &[Option<Tree>]) {
    let mut names = BTreeSet::new();
    let mut paths: Vec<&str> = Vec::new();
    for (section, tree) in sections.iter().zip(trees) {
        let Some(tree) = tree else { continue };
        if !names.insert(&tree.name) {
            section.fault("name", format!("the tree {:?} is named twice", tree.name));
        }
        for path in &tree.paths {
            if let Some(other) = paths.iter().find(|it| overlaps(it, path)) {
                let why = format!("{path} and {other}, of another tree, overlap");
                section.fault("paths", why);
            }
        }
        paths.extend(tree.paths.iter().map(String::as_str));
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const TREE: &str = "[[tree]]\nname = \"fw\"\npaths = [\"/etc/fw\", \"/etc/fw.conf\"]\n\
        exclude = [\"*.local\", \"/etc/fw/own-*\"]\n";

    pub(crate) fn tree() -> Tree {
        let config = Config::parse(TREE, "r1", &[]).expect("TOML");
        let settings = read(&config).expect("no fault");
        assert_eq!(config.finish(), Ok(()));
        settings.trees[0].clone()
    }

    fn faults(text: &str) -> Vec<String> {
        let config = Config::parse(text, "r1", &[]).expect("TOML");
        let _ = read(&config);
        let faults = config.finish().expect_err("something is wrong");
        let lines = faults.iter().map(|it| format!("{}: {}", it.key, it.why));
        lines.collect()
    }

    #[test]
    fn patterns_with_a_slash_are_of_paths_and_others_of_names() {
        let tree = tree();
        for path in [
            "/etc/fw/x.local",
            "/etc/fw/d.local/x",
            "/etc/fw/own-1",
            "/etc/fw/own-d/x",
            "/etc/other",
        ] {
            assert!(tree.excludes(path), "{path}");
        }
        for path in ["/etc/fw", "/etc/fw.conf", "/etc/fw/x", "/etc/fw/d/own-1"] {
            assert!(!tree.excludes(path), "{path}");
        }
    }

    #[test]
    fn every_fault_is_found_at_once() {
        let text = "[[tree]]\nname = \"a b\"\npaths = [\"etc\", \"/x/../y\", \"/z/\"]\nkeep = 0\n\
            [[tree]]\nname = \"t\"\npaths = [\"/a\", \"/a/b\", \"/etc\", \"/etc/spared/x\"]\n\
            exclude = [\"[\"]\nsync = \"never\"\nsize = 1\n[[tree]]\nname = \"u\"\n";
        let faults = faults(text);
        for part in [
            "tree.0.name: found \"a b\"",
            "tree.0.paths.0: found \"etc\"",
            "tree.0.paths.1: found",
            "tree.0.paths.2: found",
            "tree.0.keep: found 0",
            "tree.1.paths.1: /a/b and /a overlap",
            "tree.1.paths.2: /etc/spared holds",
            "tree.1.paths.3: /etc/spared holds",
            "tree.1.exclude.0: ",
            "tree.1.sync: found \"never\"",
            "tree.1.size: unknown key",
            "tree.2.paths: missing",
        ] {
            let is_there = faults.iter().any(|it| it.starts_with(part));
            assert!(is_there, "{part}: {faults:#?}");
        }
        assert_eq!(faults.len(), 13, "{faults:#?}");
    }

    #[test]
    fn a_tree_follows_on_request_as_it_changes_or_at_an_interval() {
        let day = Sync::Every(Duration::from_secs(86_400));
        for (text, expected) in [("ask", Sync::Ask), ("change", Sync::Change), ("24h", day)] {
            let text = format!("{TREE}sync = \"{text}\"\ngroup = \"g\"\n");
            let config = Config::parse(&text, "r1", &[]).expect("TOML");
            let settings = read(&config).expect("no fault");
            assert_eq!(config.finish(), Ok(()));
            assert_eq!(settings.trees[0].sync, expected);
        }
        for text in ["59s", "31d", "never"] {
            let faults = faults(&format!("{TREE}sync = \"{text}\"\n"));
            assert!(
                faults[0].contains("allowed \"ask\", \"change\""),
                "{faults:?}"
            );
        }
    }

    #[test]
    fn trees_do_not_overlap() {
        let again = TREE
            .replace("\"fw\"", "\"g\"")
            .replace("/etc/fw", "/etc/fw/sub");
        let faults = faults(&format!("{TREE}{again}"));
        assert!(faults[0].contains("of another tree, overlap"), "{faults:?}");
    }
}
