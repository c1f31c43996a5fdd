//! Files that the configuration uses and that are no part of it: hooks, scripts of health checks, rulesets. Their owner and
//! mode matter, and they may be each node's own, so that a person copies them.

use std::collections::BTreeSet;
use std::fs::{self, DirEntry, Metadata};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use spared_import::shell_word;
use spared_message::plugin_files;
use spared_pairing::Texts;

use crate::folder::Folder;

/// Folder of programs that run at changes of a role.
const HOOKS: &str = "hooks";
/// Bit of a mode: somebody may execute the file.
const EXECUTABLE: u32 = 0o111;
/// Maximum number of files, for a frame that is not too long.
const FILES_MAX: usize = 1000;

/// Hooks, by path below the folder of the configuration.
pub fn hooks(folder: &Folder) -> Vec<String> {
    let mut found = Vec::new();
    for entry in entries(&folder.path().join(HOOKS)) {
        let Some(name) = name(&entry) else { continue };
        let path = format!("{HOOKS}/{name}");
        let inside = entries(&entry.path()).into_iter();
        let files = inside.filter(is_file).filter_map(|it| self::name(&it));
        found.extend(files.map(|it| format!("{path}/{it}")));
        if is_file(&entry) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn entries(folder: &Path) -> Vec<DirEntry> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.flatten().collect()
}

fn name(entry: &DirEntry) -> Option<String> {
    entry.file_name().into_string().ok()
}

fn is_file(entry: &DirEntry) -> bool {
    entry.file_type().is_ok_and(|it| it.is_file())
}

/// Hooks, and files of this machine that the configuration names: programs, and files of /etc. Others, such as lease
/// files, are written by programs of each node.
pub fn present(folder: &Folder, texts: &Texts) -> Vec<String> {
    let own: Vec<PathBuf> = texts.keys().map(|it| folder.path().join(it)).collect();
    let is_used = |path: &PathBuf| {
        let is_configured =
            |it: &Metadata| path.starts_with("/etc") || it.permissions().mode() & EXECUTABLE != 0;
        let is_there = fs::metadata(path).is_ok_and(|it| it.is_file() && is_configured(&it));
        is_there && !own.contains(path)
    };
    let named = named_paths(texts).into_iter().filter(is_used);
    let named = named.filter_map(|it| it.into_os_string().into_string().ok());
    let all = hooks(folder).into_iter().chain(named);
    all.take(FILES_MAX).collect()
}

/// Absolute paths among the values of all files. A file that is no TOML names none.
fn named_paths(texts: &Texts) -> BTreeSet<PathBuf> {
    let tables = texts
        .values()
        .filter_map(|it| spared_config_reader::table(it).ok());
    tables.flat_map(|it| plugin_files::named(&it)).collect()
}

/// Files of the first node that are missing here.
pub fn missing(folder: &Folder, used: Vec<String>) -> Vec<String> {
    let is_missing = |name: &String| !folder.path().join(name).exists();
    used.into_iter().filter(is_missing).collect()
}

/// A sentence about files of the first node that the second one lacks.
pub fn advice(folder: &Folder, missing: &[String], first: &str, second: &str) -> String {
    let paths = missing.iter().map(|it| folder.path().join(it));
    let paths: Vec<String> = paths
        .map(|it| shell_word(&it.display().to_string()))
        .collect();
    let paths = paths.join(" ");
    format!(
        "{second} lacks files that the configuration uses. To copy them with owner and mode, on {first}:\n\n    \
         tar -cP {paths} | ssh {second} tar -xP\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::Files;

    #[test]
    fn a_program_a_file_of_etc_and_a_hook_are_used_and_what_is_missing_is_named() {
        let path = std::env::temp_dir().join(format!("sparectl-used-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        for folder in ["hooks/active.d", "plugins"] {
            fs::create_dir_all(path.join(folder)).expect("a folder");
        }
        for file in ["hooks/active.d/50 route", "hooks/all", "lease", "check"] {
            fs::write(path.join(file), "").expect("a file");
        }
        let executable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(path.join("check"), executable).expect("its mode");
        let [lease, check] = ["lease", "check"].map(|it| path.join(it).display().to_string());
        let text = format!("a = \"{lease}\"\nb = [\"{check}\", \"/etc/passwd\", \"/etc/none\"]\n");
        let texts = Texts::from([("plugins/x.toml".to_owned(), text)]);
        let files = Files {
            config: Some(path.join("spared.toml")),
            plugin_dir: None,
        };
        let folder = Folder::new(&files, &path).expect("its name fits");
        let used = present(&folder, &texts);
        let expected = [
            "hooks/active.d/50 route",
            "hooks/all",
            "/etc/passwd",
            &check,
        ];
        assert_eq!(used, expected);
        assert_eq!(missing(&folder, used.clone()), [""; 0]);
        fs::remove_file(&check).expect("removed");
        fs::remove_dir_all(path.join("hooks/active.d")).expect("removed");
        let missing = missing(&folder, used);
        assert_eq!(missing, ["hooks/active.d/50 route", check.as_str()]);
        let advice = advice(&folder, &missing, "r1", "r2");
        let command = format!(
            "tar -cP '{}/hooks/active.d/50 route' {check} | ssh r2 tar -xP\n",
            path.display()
        );
        assert!(advice.ends_with(&command), "{advice}");
        fs::remove_dir_all(&path).expect("removed");
    }

    #[test]
    fn paths_are_found_in_every_kind_of_value() {
        let texts = [
            (
                "spared.toml",
                "a = \"/a\"\nb = 1\n[t]\nx = [\"/l/1\", \"l/2\", \"/../x\"]\n",
            ),
            (
                "plugins/health.toml",
                "[[script]]\ncommand = [\"/l/3\", \"-c\"]\n",
            ),
            ("plugins/wrong.toml", "= \"/no\"\n"),
        ];
        let texts = texts.map(|(name, text)| (name.to_owned(), text.to_owned()));
        let paths: Vec<PathBuf> = named_paths(&texts.into()).into_iter().collect();
        assert_eq!(paths, ["/a", "/l/1", "/l/3"].map(PathBuf::from));
    }
}
