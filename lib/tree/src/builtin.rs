//! The tree that every node has: spared's own configuration.

use globset::{GlobSet, GlobSetBuilder};

use crate::config::{Sync, Tree, glob};

/// Name of this tree, which no other tree may have.
pub const NAME: &str = "spared";
pub const FOLDER: &str = "/etc/spared";
/// File that opts in to the peer's configuration, and so is not part of the tree.
const OPT_IN: &str = "/etc/spared/plugins/files-root.toml";
/// Patterns that match all names that do not end in ".toml": a glob cannot negate a word.
const OTHERS: [&str; 9] = [
    "*[!l]",
    "*[!m]l",
    "*[!o]ml",
    "*[!t]oml",
    "*[!.]toml",
    "?",
    "??",
    "???",
    "????",
];

/// The tree of spared.toml and the plugins' files. Keys, secrets and programs in the same folder belong to each node.
pub fn tree() -> Tree {
    let exclude: Vec<String> = [OPT_IN]
        .iter()
        .chain(&OTHERS)
        .map(|it| (*it).to_owned())
        .collect();
    Tree {
        name: NAME.to_owned(),
        paths: vec![format!("{FOLDER}/plugins"), format!("{FOLDER}/spared.toml")],
        excluded: patterns(&exclude),
        exclude,
        sync: Sync::Ask,
        group: None,
        check: ["spared", "check"].map(str::to_owned).into(),
        apply: ["sparectl", "reload"].map(str::to_owned).into(),
        keep: 10,
        by_link: false,
    }
}

impl Tree {
    pub fn is_builtin(&self) -> bool {
        self.name == NAME
    }

    /// Command `apply` with its arguments. Unless the user insists, the daemon refuses to remove addresses of an active
    /// group.
    pub fn apply_words(&self, insists: bool) -> Vec<String> {
        let anyway = (insists && self.is_builtin()).then(|| "--anyway".to_owned());
        self.apply.iter().cloned().chain(anyway).collect()
    }
}

// Builds a set from the patterns of this file. An invalid one would exclude nothing, which the test detects.
fn patterns(exclude: &[String]) -> GlobSet {
    let mut set = GlobSetBuilder::new();
    for glob in exclude.iter().filter_map(|it| glob(it).ok()) {
        set.add(glob);
    }
    set.build().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_spared_toml_and_the_files_of_plugins() {
        let tree = tree();
        for path in [
            "spared.toml",
            "plugins",
            "plugins/vrrp.toml",
            "plugins/x.toml",
        ] {
            assert!(!tree.excludes(&format!("{FOLDER}/{path}")), "{path}");
        }
        for path in [
            "key",
            "secret",
            "up.sh",
            "plugins/files-root.toml",
            "plugins/vrrp.toml~",
            "plugins/vrrp.tom",
            "plugins/l",
            "plugins/ml",
            "plugins/oml",
            "plugins/toml",
            "plugins/key",
            "plugins/a.TOML",
            "plugins/d/x.toml",
        ] {
            assert!(tree.excludes(&format!("{FOLDER}/{path}")), "{path}");
        }
    }
}
