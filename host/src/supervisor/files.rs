//! Which files a plugin may open because its configuration, which only root writes, names them.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

/// Holds the key of the link.
const CONFIGURATION: &str = "/etc/spared";

/// Every absolute path among the values of `text`, and the folder around it: a file that is
/// replaced is another file. A folder that holds what is private is left out.
pub(super) fn named(text: &str, state_dir: Option<&Path>) -> Vec<String> {
    let Ok(table) = text.parse::<toml::Table>() else {
        return Vec::new();
    };
    let mut paths = BTreeSet::new();
    for value in table.values() {
        collect(value, &mut paths);
    }
    let private = [Some(Path::new(CONFIGURATION)), state_dir];
    let is_private = |folder: &Path| {
        let mut private = private.into_iter().flatten();
        private.any(|private| private.starts_with(folder))
    };
    let folders: Vec<PathBuf> = paths
        .iter()
        .filter_map(|path| path.parent())
        .filter(|folder| !is_private(folder))
        .map(Path::to_owned)
        .collect();
    paths.retain(|path| !is_private(path));
    paths.extend(folders);
    let texts = paths.iter().filter_map(|path| path.to_str());
    texts.map(str::to_owned).collect()
}

fn collect(value: &toml::Value, paths: &mut BTreeSet<PathBuf>) {
    match value {
        toml::Value::String(text) if is_plain(text) => {
            paths.insert(PathBuf::from(text));
        }
        toml::Value::Array(values) => values.iter().for_each(|value| collect(value, paths)),
        toml::Value::Table(table) => table.values().for_each(|value| collect(value, paths)),
        _ => {}
    }
}

/// Absolute, and without a way back up.
fn is_plain(text: &str) -> bool {
    let path = Path::new(text);
    let mut parts = path.components();
    path.is_absolute() && parts.all(|part| part != Component::ParentDir)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named_in(text: &str) -> Vec<String> {
        named(text, Some(Path::new("/var/lib/spared")))
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
    fn text_that_is_no_toml_names_nothing() {
        assert_eq!(named_in("path = /etc"), Vec::<String>::new());
    }
}
