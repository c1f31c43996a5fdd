//! The tree that every node has: spared's own configuration.

use globset::{GlobSet, GlobSetBuilder};

use crate::config::{Sync, Tree, glob};

/// Its name, which no other tree may have.
pub const NAME: &str = "spared";
pub const FOLDER: &str = "/etc/spared";
/// Opts in to a configuration of the peer, so it is no part of one.
const OPT_IN: &str = "/etc/spared/plugins/files-root.toml";
/// Names that do not end in ".toml": a pattern cannot say no to a word.
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

/// spared.toml and the plugins' files; keys, secrets and programs beside them are each node's own.
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

    /// Words of *apply*. Unless somebody insists, the daemon refuses to remove addresses of an active group.
    pub fn apply_words(&self, insists: bool) -> Vec<String> {
        let anyway = (insists && self.is_builtin()).then(|| "--anyway".to_owned());
        self.apply.iter().cloned().chain(anyway).collect()
    }
}

// Patterns of this file: one that cannot be read would leave nothing out, which the test sees.
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
