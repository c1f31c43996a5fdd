//! Files that a plugin may open: files that its configuration names, which only root writes, and files that its
//! descriptor asks for.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use spared_abi::{PLUGIN_FILES, PLUGIN_WRITE};
use spared_contract::{ConfigTable, ConfigValue};

use crate::load::Asks;

/// Folder with the key of the link.
const CONFIGURATION: &str = "/etc/spared";
/// Folder with the control socket.
const RUNTIME: &str = "/run/spared";

/// Folders that contain secrets, or that only the host may write.
#[derive(Clone, Copy, Debug)]
struct Private<'p> {
    state_dir: Option<&'p Path>,
}

impl<'p> Private<'p> {
    fn folders(self) -> impl Iterator<Item = &'p Path> {
        [Path::new(CONFIGURATION), Path::new(RUNTIME)]
            .into_iter()
            .chain(self.state_dir)
    }

    /// Returns true if `path` is a private folder or contains one.
    fn contains_private(self, path: &Path) -> bool {
        self.folders().any(|private| private.starts_with(path))
    }

    fn is_around(self, path: &Path) -> bool {
        self.folders().any(|private| path.starts_with(private))
    }
}

/// Returns every absolute path among the values of `config`.
pub fn named(config: &ConfigTable) -> BTreeSet<PathBuf> {
    let mut paths = BTreeSet::new();
    for value in config.0.values() {
        collect(value, &mut paths);
    }
    paths
}

/// Paths that Landlock lets a worker open.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Opened {
    pub to_read: Vec<String>,
    pub to_write: Vec<String>,
}

impl Opened {
    /// Paths for a worker whose plugin asks for these rights and has this configuration. `state_dir` is the parent of the
    /// plugins' state folders.
    pub fn new(asks: &Asks, config: &ConfigTable, state_dir: Option<&Path>) -> Self {
        let private = Private { state_dir };
        let mut opened = Self::default();
        if asks.flags & PLUGIN_FILES != 0 {
            let write = asks.flags & PLUGIN_WRITE != 0;
            opened.add_named(private, config, write);
        }
        opened.add_asked(private, &asks.paths);
        opened
    }

    /// Adds every path that `config` names, and its folder, because a file that is replaced is a new
    /// inode. Folders that contain private ones are left out.
    fn add_named(&mut self, private: Private<'_>, config: &ConfigTable, write: bool) {
        let mut paths = named(config);
        let folders: Vec<PathBuf> = paths
            .iter()
            .filter_map(|path| path.parent())
            .map(Path::to_owned)
            .collect();
        paths.extend(folders);
        for path in paths.iter().filter(|path| !private.contains_private(path)) {
            self.add(path, write && !private.is_around(path));
        }
    }

    /// Adds a descriptor's paths, except private ones. The host reports the descriptor, and may lie.
    fn add_asked(&mut self, private: Private<'_>, paths: &[String]) {
        for asked in paths {
            let path = asked.strip_prefix('+').unwrap_or(asked);
            let (is_plain, write) = (is_plain(path), path != asked);
            let path = Path::new(path);
            if is_plain && !private.contains_private(path) && !private.is_around(path) {
                self.add(path, write);
            }
        }
    }

    // Adds a path. A writable path may also be read and executed, such as a script in a writable folder.
    fn add(&mut self, path: &Path, write: bool) {
        let Some(path) = path.to_str() else { return };
        if write {
            self.to_write.push(path.to_owned());
        } else {
            self.to_read.push(path.to_owned());
        }
    }
}

fn collect(value: &ConfigValue, paths: &mut BTreeSet<PathBuf>) {
    match value {
        ConfigValue::Text(text) if is_plain(text) => {
            paths.insert(PathBuf::from(text));
        }
        ConfigValue::List(values) => values.iter().for_each(|value| collect(value, paths)),
        ConfigValue::Table(table) => table.0.values().for_each(|value| collect(value, paths)),
        _ => {}
    }
}

/// Returns true if `text` is an absolute path without `..`.
fn is_plain(text: &str) -> bool {
    let path = Path::new(text);
    let mut parts = path.components();
    path.is_absolute() && parts.all(|part| part != Component::ParentDir)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATE: &str = "/var/lib/spared";

    fn opened(asks: &Asks, config: &ConfigTable) -> Opened {
        Opened::new(asks, config, Some(Path::new(STATE)))
    }

    fn opened_of(text: &str, write: bool) -> Opened {
        let write = if write { PLUGIN_WRITE } else { 0 };
        let asks = Asks {
            flags: PLUGIN_FILES | write,
            ..Asks::default()
        };
        opened(&asks, &spared_config_reader::table(text).unwrap())
    }

    fn named_in(text: &str) -> Vec<String> {
        let opened = opened_of(text, false);
        assert_eq!(opened.to_write, Vec::<String>::new());
        opened.to_read
    }

    #[test]
    fn a_path_is_named_with_its_folder_wherever_it_stands() {
        let text = "[[script]]\nname = \"a\"\nargv = [\"/opt/checks/dsl\", \"-v\", \"/srv/x/y\"]\n\
                    [[file]]\npath = { r1 = \"/srv/up\", r2 = \"no/path\" }";
        let wanted = [
            "/opt/checks",
            "/opt/checks/dsl",
            "/srv",
            "/srv/up",
            "/srv/x",
            "/srv/x/y",
        ];
        assert_eq!(named_in(text), wanted);
    }

    #[test]
    fn a_folder_with_something_private_is_never_opened_as_a_whole() {
        for (path, wanted) in [
            ("/etc/issue", vec!["/etc/issue"]),
            ("/etc/spared/up", vec!["/etc/spared/up"]),
            ("/etc/spared", vec![]),
            ("/var/lib/spared", vec![]),
            ("/var/lib/flag", vec!["/var/lib/flag"]),
            ("/vmlinuz", vec!["/vmlinuz"]),
            ("/", vec![]),
            ("/srv/../etc/spared/key", vec![]),
            (
                "/etc/spared/checks/dsl",
                vec!["/etc/spared/checks", "/etc/spared/checks/dsl"],
            ),
        ] {
            assert_eq!(named_in(&format!("path = {path:?}")), wanted, "{path}");
        }
    }

    #[test]
    fn a_plugin_without_the_flag_gets_nothing_that_its_configuration_names() {
        let config = spared_config_reader::table("path = \"/srv/x/y\"").unwrap();
        assert_eq!(opened(&Asks::default(), &config), Opened::default());
    }

    #[test]
    fn who_writes_writes_what_is_named_but_nothing_of_the_hosts() {
        let text = "leases = \"/srv/lib/leases\"\nhook = \"/etc/spared/hooks/up\"\n\
                    issue = \"/etc/issue\"";
        let opened = opened_of(text, true);
        assert_eq!(
            opened.to_write,
            ["/etc/issue", "/srv/lib", "/srv/lib/leases"]
        );
        let read = ["/etc/spared/hooks", "/etc/spared/hooks/up"];
        assert_eq!(opened.to_read, read);
    }

    #[test]
    fn a_descriptor_opens_what_it_asks_for_and_nothing_private() {
        let asked = [
            "/etc/kea",
            "+/var/lib/kea",
            "/etc",
            "/etc/spared",
            "/etc/spared/key",
            "+/run/spared",
            "+/var/lib",
            "+/var/lib/spared/other",
            "/",
            "+/srv/../etc",
            "relative",
        ];
        let asks = Asks {
            paths: asked.map(str::to_owned).to_vec(),
            ..Asks::default()
        };
        let opened = opened(&asks, &ConfigTable::default());
        assert_eq!(opened.to_read, ["/etc/kea"]);
        assert_eq!(opened.to_write, ["/var/lib/kea"]);
    }
}
