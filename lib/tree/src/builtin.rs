//! The tree that every node has: spared's own configuration.

use globset::{GlobSet, GlobSetBuilder};

use crate::config::{Sync, Tree, glob};

/// Name of this tree, which no other tree may have.
pub const NAME: &str = "spared";
pub const FOLDER: &str = "/etc/spared";
/// End of a sentence about this tree.
pub const WAITS: &str =
    "is kept or taken back by the daemon: run `sparectl confirm` or `sparectl reload --back`";
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

    /// Command `apply` with its arguments. For spared's own configuration the daemon waits `confirm_s` seconds for a
    /// confirmation, if that is not 0, and refuses to remove addresses of an active group unless the user insists.
    pub fn apply_words(&self, insists: bool, confirm_s: u32) -> Vec<String> {
        let mut words = self.apply.clone();
        if self.is_builtin() && confirm_s > 0 {
            words.extend(["--across-restarts", "--confirm"].map(str::to_owned));
            words.push(format!("{confirm_s}s"));
        }
        if self.is_builtin() && insists {
            words.push("--anyway".to_owned());
        }
        words
    }

    /// Command that has the daemon take its configuration back.
    pub fn back_words() -> Vec<String> {
        ["sparectl", "reload", "--back"].map(str::to_owned).into()
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
    fn the_daemon_takes_its_configuration_back_and_is_told_when() {
        for (insists, confirm_s, expected) in [
            (false, 0, "sparectl reload"),
            (true, 0, "sparectl reload --anyway"),
            (false, 60, "sparectl reload --across-restarts --confirm 60s"),
            (
                true,
                60,
                "sparectl reload --across-restarts --confirm 60s --anyway",
            ),
        ] {
            assert_eq!(tree().apply_words(insists, confirm_s).join(" "), expected);
        }
        let other = Tree {
            name: "fw".to_owned(),
            ..tree()
        };
        assert_eq!(other.apply_words(true, 60).join(" "), "sparectl reload");
    }

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
