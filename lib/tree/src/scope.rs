//! Paths and patterns that a tree had at an earlier time: files.toml may change them.

use globset::GlobSetBuilder;
use serde::{Deserialize, Serialize};

use crate::config::{Tree, glob, is_within};

/// Paths of a tree, and patterns of the files that are excluded below them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    paths: Vec<String>,
    exclude: Vec<String>,
}

impl From<&Tree> for Scope {
    fn from(tree: &Tree) -> Self {
        Self {
            paths: tree.paths.clone(),
            exclude: tree.exclude.clone(),
        }
    }
}

impl Tree {
    /// Returns the part of the tree that also belonged to it when it had this scope.
    ///
    /// # Errors
    /// A pattern is invalid.
    pub fn within(&self, scope: &Scope) -> Result<Self, String> {
        let then = self.with(scope.clone())?;
        let pairs = self
            .paths
            .iter()
            .flat_map(|now| then.paths.iter().map(move |then| (now, then)));
        let mut paths: Vec<String> = pairs.filter_map(deeper).cloned().collect();
        // a name within a deeper path may be excluded
        paths.retain(|it| !self.excludes(it) && !then.excludes(it));
        // a link is switched as a whole
        paths.retain(|it| !self.by_link || self.paths.contains(it));
        paths.sort();
        let mut exclude = self.exclude.clone();
        exclude.extend(then.exclude);
        self.with(Scope { paths, exclude })
    }

    fn with(&self, scope: Scope) -> Result<Self, String> {
        let mut excluded = GlobSetBuilder::new();
        for pattern in &scope.exclude {
            excluded.add(glob(pattern).map_err(|error| error.to_string())?);
        }
        Ok(Self {
            paths: scope.paths,
            exclude: scope.exclude,
            excluded: excluded.build().map_err(|error| error.to_string())?,
            ..self.clone()
        })
    }
}

fn deeper<'p>((one, other): (&'p String, &'p String)) -> Option<&'p String> {
    match (is_within(one, other), is_within(other, one)) {
        (true, _) => Some(one),
        (_, true) => Some(other),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::tree;

    fn scope(paths: &[&str], exclude: &[&str]) -> Scope {
        let owned = |texts: &[&str]| texts.iter().map(|it| (*it).to_owned()).collect();
        Scope {
            paths: owned(paths),
            exclude: owned(exclude),
        }
    }

    #[test]
    fn what_a_tree_had_at_two_times_is_below_paths_of_both_and_excluded_in_neither() {
        let tree = tree();
        let within = |paths: &[&str], exclude: &[&str]| {
            let within = tree.within(&scope(paths, exclude));
            within.expect("patterns")
        };
        assert_eq!(within(&["/etc/fw", "/etc/fw.conf"], &[]).paths, tree.paths);
        assert_eq!(within(&["/etc/fw/d", "/srv"], &[]).paths, ["/etc/fw/d"]);
        assert_eq!(within(&["/etc"], &[]).paths, tree.paths);
        for (path, exclude) in [("/etc/fw/d.local", ""), ("/etc", "fw"), ("/etc", "fw*")] {
            let paths = within(&[path], &[exclude]).paths;
            assert!(!paths.contains(&"/etc/fw".to_owned()), "{paths:?}");
            assert!(!paths.contains(&path.to_owned()), "{paths:?}");
        }
        let both = within(&["/etc/fw"], &["*.old"]);
        for path in ["/etc/fw.conf", "/etc/fw/x.local", "/etc/fw/d.old/x"] {
            assert!(both.excludes(path), "{path}");
        }
        assert!(!both.excludes("/etc/fw/x"));
    }
}
