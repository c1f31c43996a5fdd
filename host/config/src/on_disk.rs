//! Finds files on disk that are not in force: they were changed but not reloaded, or have a fault.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use spared_process::worker::file::open_checked;
use toml::Table;

use super::restart::unreadable;
use super::{Fault, Setup, file};

/// Name of the host's own file.
pub const HOST_FILE: &str = "spared.toml";
/// Maximum bytes of a file with texts.
const TEXTS_MAX: u64 = 64 * 1024 * 1024;

/// Texts in force, by path below the folder of `spared.toml`.
pub type Texts = BTreeMap<String, String>;

/// Files whose content is not in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NotInForce {
    /// Paths of the files; never empty.
    pub files: Vec<PathBuf>,
    /// The first fault in one of them.
    pub fault: Option<Fault>,
}

/// Identity of each file, which changes with its content. Comparing identities costs less than comparing texts.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Stamps(Vec<(PathBuf, Option<Stamp>)>);

/// Inode and size, and the times of its last change.
type Stamp = ([u64; 2], [i64; 4]);

impl Setup {
    /// Texts of all files, by path.
    pub fn texts(&self) -> Texts {
        let plugins = self.plugins.iter();
        let plugins = plugins.map(|it| (path_of(&it.name), it.text.clone()));
        let host = (HOST_FILE.to_owned(), self.text.clone());
        plugins.chain([host]).collect()
    }
}

/// Reads texts that root has kept in a file; None if they cannot be read, or if somebody else could have written them.
pub fn kept_texts(path: &Path) -> Option<Texts> {
    serde_json::from_str(&roots_text(path)?).ok()
}

/// Reads a file of root's; None if it cannot be read, or if somebody else could have written it.
pub(super) fn roots_text(path: &Path) -> Option<String> {
    let mut text = String::new();
    let file = File::from(open_checked(path).ok()?);
    file.take(TEXTS_MAX).read_to_string(&mut text).ok()?;
    Some(text)
}

/// Path of the file with this node's secret, as the texts name it. `path` is the path of `spared.toml`.
pub fn secret(path: &Path, in_force: &Texts) -> PathBuf {
    let table = in_force.get(HOST_FILE).and_then(|it| it.parse().ok());
    let table: Table = table.unwrap_or_default();
    let named = table.get("secret_file").and_then(|it| it.as_str());
    folder_of(path).join(named.unwrap_or("key"))
}

/// Faults of the keys that a start would find.
pub fn key_faults(path: &Path) -> Vec<Fault> {
    let text = file::read(path).ok().flatten().unwrap_or_default();
    let host = Setup::host(path, &text);
    host.map(|host| host.key_faults).unwrap_or_default()
}

/// Identities of all files, of their folder, whose owner and mode count as well, and of the secret.
pub fn stamps(path: &Path, secret: &Path) -> Stamps {
    let names = file::plugin_names(&folder_of(path).join("plugins")).unwrap_or_default();
    let plugins = names.iter().map(|name| folder_of(path).join(path_of(name)));
    let named = [path, folder_of(path), secret].map(Path::to_owned);
    stamps_of(named.into_iter().chain(plugins))
}

/// Identities of these files.
pub(super) fn stamps_of(paths: impl Iterator<Item = PathBuf>) -> Stamps {
    let stamp = |path: PathBuf| {
        let found = path.metadata().ok();
        let found = found.map(|it| {
            let content = [it.ino(), it.size()];
            (
                content,
                [it.mtime(), it.mtime_nsec(), it.ctime(), it.ctime_nsec()],
            )
        });
        (path, found)
    };
    Stamps(paths.map(stamp).collect())
}

/// Files that differ from the texts in force by more than comments and order; None if there are none.
pub fn not_in_force(path: &Path, in_force: &Texts) -> Option<NotInForce> {
    let names = file::plugin_names(&folder_of(path).join("plugins")).unwrap_or_default();
    let found = names.iter().map(|name| path_of(name));
    let all: BTreeSet<String> = found.chain(in_force.keys().cloned()).collect();
    let mut files = Vec::new();
    let mut fault = None;
    for name in all {
        let place = place_of(path, &name);
        let text = match file::read(&place) {
            Ok(text) => text,
            // a file that could not be read at the start has a finding of its own
            Err(_) if in_force.get(&name).is_some_and(String::is_empty) => continue,
            // nobody changed the file: see `Restart`
            Err(_) if unreadable(&place).is_some() => continue,
            Err(why) => {
                fault = fault.or(Some(why));
                files.push(place);
                continue;
            }
        };
        let before = in_force.get(&name).map(String::as_str);
        let text = text.as_deref();
        let is_same = match name.as_str() {
            // a missing spared.toml counts as an empty one
            HOST_FILE => is_same(text.unwrap_or_default(), before.unwrap_or_default()),
            _ => match (text, before) {
                (Some(text), Some(before)) => is_same(text, before),
                (text, before) => text == before,
            },
        };
        if !is_same {
            files.push(place);
        }
    }
    let fault = fault.or_else(|| fault_in(path, &files));
    (!files.is_empty()).then_some(NotInForce { files, fault })
}

// The first fault of these files that a start would find in keys of the host. Only a plugin finds faults in its own
// keys.
fn fault_in(path: &Path, files: &[PathBuf]) -> Option<Fault> {
    match Setup::read(path) {
        Err(faults) => faults.into_iter().next(),
        Ok(setup) => {
            let changed = |name: &str| files.iter().any(|it| it.ends_with(path_of(name)));
            let plugins = setup.plugins.into_iter().filter(|it| changed(&it.name));
            let of_plugin = plugins.flat_map(|plugin| plugin.faults).next();
            let is_host = files.iter().any(|it| it == path);
            let mut of_keys = setup.host.key_faults.into_iter();
            of_plugin.or_else(|| of_keys.next().filter(|_| is_host))
        }
    }
}

fn is_same(text: &str, other: &str) -> bool {
    let table = |text: &str| text.parse::<Table>().ok();
    text == other || table(text).is_some_and(|it| Some(it) == table(other))
}

pub(super) fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}

/// Path of a file in [`Texts`].
pub(super) fn place_of(path: &Path, name: &str) -> PathBuf {
    match name {
        HOST_FILE => path.to_owned(),
        name => folder_of(path).join(name),
    }
}

/// Path of a plugin's file below the folder of `spared.toml`.
pub fn path_of(plugin: &str) -> String {
    format!("plugins/{plugin}.toml")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::Folder;

    impl Folder {
        /// Names of the files that are not in force, and the first fault.
        fn not_in_force(&self, in_force: &Texts) -> (Vec<String>, Option<String>) {
            let found = not_in_force(&self.path(), in_force).unwrap_or_default();
            let name = |file: &PathBuf| {
                let below = file.strip_prefix(&self.0).expect("in the folder");
                below.display().to_string()
            };
            let files = found.files.iter().map(name).collect();
            (files, found.fault.map(|it| it.to_string()))
        }
    }

    #[test]
    fn values_that_differ_are_found_and_comments_are_not() {
        let folder = Folder::new("unused");
        let in_force = folder.texts();
        assert_eq!(folder.not_in_force(&in_force), (vec![], None));
        folder.write("plugins/sets.toml", "# another word\nweight = 1\n");
        folder.write("spared.toml", "[node]\nname = \"r1\"\n");
        assert_eq!(folder.not_in_force(&in_force), (vec![], None));
        folder.write("plugins/sets.toml", "weight = 2\n");
        assert_eq!(folder.not_in_force(&in_force).0, ["plugins/sets.toml"]);
        folder.write("spared.toml", "node.name = \"r2\"\n");
        folder.write("plugins/more.toml", "");
        let all = ["plugins/more.toml", "plugins/sets.toml", "spared.toml"];
        assert_eq!(
            folder.not_in_force(&in_force),
            (all.map(str::to_owned).to_vec(), None)
        );
        assert_eq!(
            folder.not_in_force(&folder.texts()),
            (vec![], None),
            "reloaded"
        );
    }

    #[test]
    fn a_file_that_is_gone_is_found() {
        let folder = Folder::new("gone");
        let in_force = folder.texts();
        let found = || stamps(&folder.path(), &secret(&folder.path(), &in_force));
        let before = found();
        assert_eq!(before, found());
        folder.remove("plugins/sets.toml");
        assert_ne!(before, found());
        assert_eq!(folder.not_in_force(&in_force).0, ["plugins/sets.toml"]);
    }

    #[test]
    fn the_fault_of_a_file_that_is_not_in_force_is_told() {
        let folder = Folder::new("fault");
        let in_force = folder.texts();
        folder.write("plugins/sets.toml", "after = 7\n");
        let (files, fault) = folder.not_in_force(&in_force);
        assert_eq!(files, ["plugins/sets.toml"]);
        assert!(fault.is_some_and(|it| it.starts_with("sets.toml:1: after: ")));
        folder.write("spared.toml", "node.name = \"r1\"\nfence = \"maybe\"\n");
        let (_, fault) = folder.not_in_force(&in_force);
        assert!(fault.is_some_and(|it| it.starts_with("spared.toml:2: fence: ")));
        // the findings at the daemon's start are reported by others
        let started_with = BTreeMap::from([
            ("spared.toml".to_owned(), "node.name = \"r1\"".to_owned()),
            ("plugins/sets.toml".to_owned(), "after = 7\n".to_owned()),
        ]);
        folder.write("spared.toml", "node.name = \"r1\"\n");
        assert_eq!(folder.not_in_force(&started_with), (vec![], None));
    }

    #[test]
    fn a_key_that_others_can_read_is_a_fault_and_its_mode_is_seen() {
        let folder = Folder::new("keys");
        let key = |number: u8| {
            let key = spared_key::PrivateKey::from_seed([number; 32]);
            (key.to_text(), spared_key::public_text(&key.public()))
        };
        let [(own, first), (_, second)] = [1, 2].map(key);
        folder.write("key", &own);
        folder.write(
            "spared.toml",
            &format!("node.name = \"r1\"\n[nodes]\nr1.public_key = \"{first}\"\nr2.public_key = \"{second}\"\n"),
        );
        let in_force = folder.texts();
        let mode = |bits: u32| {
            folder.mode("key", bits);
            stamps(&folder.path(), &secret(&folder.path(), &in_force))
        };
        let before = mode(0o600);
        assert_eq!(key_faults(&folder.path()), []);
        assert_ne!(before, mode(0o644));
        let faults = key_faults(&folder.path());
        assert!(faults[0].why.contains("chmod 600"), "{faults:?}");
        let named = BTreeMap::from([(HOST_FILE.to_owned(), "secret_file = \"word\"".to_owned())]);
        assert!(secret(&folder.path(), &named).ends_with("word"));
    }
}
