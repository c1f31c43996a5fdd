//! `sparectl keygen`: creates this node's key for the link, and prints its line for `[nodes]`.

use std::fs;
use std::io;
use std::path::Path;

use spared_config_reader::Config;
use spared_file::{Access, replace};
use spared_key::{PrivateKey, public_text};

use crate::{EXIT_FAILED, EXIT_PERMISSION, as_root, output};

pub fn run(file: &Path, replace: bool) -> u8 {
    as_root::seal();
    match make(file, replace) {
        Ok((key, is_new)) => {
            if !is_new {
                let kept = "exists and was not changed; --replace creates a new one";
                output::errors(&[format!("keygen: {}: {kept}", file.display())]);
            }
            if is_new && replace {
                let todo = "the old key is gone: put this line into [nodes] of spared.toml on both nodes, and \
                            `sparectl reload` on both. Without it this node has no link from its next start on";
                output::errors(&[format!("keygen: {}: {todo}", file.display())]);
            }
            output::text(&format!("{}\n", line(&node(file), &key)));
            0
        }
        Err(Fault { why, code }) => {
            output::errors(&[format!("keygen: {}: {why}", file.display())]);
            code
        }
    }
}

/// Key of this node, which is created if there is none.
///
/// # Errors
/// A sentence with the file.
pub fn own_key(file: &Path) -> Result<PrivateKey, String> {
    let key = make(file, false).map(|(key, _)| key);
    key.map_err(|fault| format!("{}: {}", file.display(), fault.why))
}

/// Reason why there is no key, with the exit code.
#[derive(Debug)]
struct Fault {
    why: String,
    code: u8,
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::PermissionDenied => Self {
                why: "permission denied: keygen is for root".to_owned(),
                code: EXIT_PERMISSION,
            },
            _ => Self {
                why: error.to_string(),
                code: EXIT_FAILED,
            },
        }
    }
}

/// Reads or creates the key. The flag is true if the key is new.
fn make(file: &Path, anew: bool) -> Result<(PrivateKey, bool), Fault> {
    let failed = |why: String| Fault {
        why,
        code: EXIT_FAILED,
    };
    if file.exists() && !anew {
        let text = fs::read_to_string(file)?;
        let key = PrivateKey::parse(&text);
        let why = |error| failed(format!("{error}; --replace creates a new one"));
        return key.map(|key| (key, false)).map_err(why);
    }
    let key = PrivateKey::generate().map_err(|error| failed(error.to_string()))?;
    write(file, &key)?;
    Ok((key, true))
}

/// Name of the node, from the spared.toml next to the key or by the daemon's default.
fn node(file: &Path) -> String {
    let text = fs::read_to_string(file.with_file_name("spared.toml")).unwrap_or_default();
    let config = Config::parse(&text, "", &[]).ok();
    let named = config.and_then(|it| it.root().section("node")?.text("name"));
    let node = named.unwrap_or_else(spared_key::default_name);
    if node.is_empty() {
        return "NODE".to_owned();
    }
    node
}

/// Line of the node for `[nodes]`. A name that is not a bare key of TOML is quoted.
fn line(node: &str, key: &PrivateKey) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let node = if node.chars().all(is_bare) {
        node.to_owned()
    } else {
        // a JSON string is also a TOML string
        serde_json::Value::from(node).to_string()
    };
    format!("{node}.public_key = \"{}\"", public_text(&key.public()))
}

fn write(file: &Path, key: &PrivateKey) -> Result<(), Fault> {
    let folder = file.parent().filter(|it| !it.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    rustix::fs::access(folder, rustix::fs::Access::WRITE_OK).map_err(io::Error::from)?;
    let text = format!("{}\n", key.to_text());
    replace(file, text.as_bytes(), Access::Private, || Ok(())).map_err(|why| {
        let named = format!("{} ", file.display());
        let why = why.strip_prefix(&named).unwrap_or(&why).to_owned();
        let code = EXIT_FAILED;
        Fault { why, code }
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("spared-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        folder
    }

    #[test]
    fn a_key_is_made_once_for_its_owner_alone_and_kept() {
        let folder = folder("keygen");
        let file = folder.join("key");
        let (key, is_new) = make(&file, false).expect("a key");
        assert!(is_new);
        let mode = fs::metadata(&file).expect("the key").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(run(&file, false), 0);
        assert!(make(&file, false).expect("it is kept") == (key.clone(), false));
        assert!(make(&file, true).expect("another") != (key, true));
        fs::write(&file, "nonsense").expect("written");
        let why = make(&file, false).map(drop).expect_err("it is none");
        assert!(why.why.ends_with("--replace creates a new one"), "{why:?}");
        fs::remove_dir_all(&folder).expect("removed");
    }

    #[test]
    fn the_line_names_the_node_as_the_daemon_does_and_is_one_key_of_toml() {
        let folder = folder("keygen-name");
        let file = folder.join("key");
        assert_eq!(node(&file), spared_key::default_name());
        let toml = "node.name = \"r1.example.org\"\n";
        fs::write(folder.join("spared.toml"), toml).expect("written");
        assert_eq!(node(&file), "r1.example.org");
        let key = PrivateKey::generate().expect("a key");
        for node in ["r1", "east-2_b", "r1.example.org", "a\"b\\c"] {
            let line = line(node, &key);
            let text = format!("[nodes]\n{line}\n");
            let config = Config::parse(&text, "", &[]).expect("it is TOML");
            let nodes = config.root().section("nodes").expect("a table");
            let there = nodes.section(node).and_then(|it| it.text("public_key"));
            assert_eq!(there, Some(public_text(&key.public())), "{line}");
        }
        fs::remove_dir_all(&folder).expect("removed");
    }
}
