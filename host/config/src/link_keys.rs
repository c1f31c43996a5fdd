//! Secrets by which the nodes identify each other: a private key next to `spared.toml`, or a passphrase in a file.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::str::FromStr;

use rustix::fs::fstat;
use spared_config_reader::{Config, Failure, Section};
use spared_key::{PrivateKey, PublicKey, Strength, parse_public, public_text, rate};
use spared_message::link::Keys;
use spared_process::worker::file::open_checked;
use zeroize::Zeroizing;

use super::link::other_of;

/// Maximum bytes of the file of a secret, which has one line.
const SECRET_BYTES_MAX: u64 = 4096;
/// Maximum number of public keys of a node: the old and the new key during a replacement.
const PUBLIC_KEYS_MAX: usize = 2;

/// Keys by which both nodes identify each other; wiped from memory when dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkKeys {
    keys: Keys,
    /// True if the passphrase is easily guessed.
    pub is_weak: bool,
}

impl LinkKeys {
    /// Returns a copy, which the caller wipes.
    pub fn reveal(&self) -> Keys {
        self.keys.clone()
    }
}

impl Drop for LinkKeys {
    fn drop(&mut self) {
        self.keys.wipe();
    }
}

/// A node of `[nodes]` with its keys.
struct Known {
    node: String,
    keys: Vec<PublicKey>,
}

/// Reads `[nodes]` and `secret_file`. If `linked`, there is a `[[link]]`, which needs keys or a passphrase. Otherwise
/// keys are read only if both nodes have one.
///
/// # Errors
/// Keys are missing, or the keys are not those of both nodes. Faults of the file's form go to its sections.
pub(super) fn read(
    config: &Config,
    folder: &Path,
    linked: bool,
) -> Result<Option<LinkKeys>, Vec<Failure>> {
    let root = config.root();
    let known = public_keys(&root, config);
    let is_pair = other_of(config).is_some();
    let Some(file) = root.text("secret_file") else {
        let complete = is_pair && known.iter().filter(|known| !known.keys.is_empty()).count() == 2;
        return if linked || complete {
            pinned(&root, config, folder, &known)
        } else {
            Ok(None)
        };
    };
    if known.iter().any(|known| !known.keys.is_empty()) {
        let why = "allowed instead of public keys in [nodes], not with them";
        root.fault("secret_file", why);
        return Ok(None);
    }
    if !linked && !is_pair {
        return Ok(None);
    }
    let (file, shown) = (folder.join(&file), file);
    let secret = read_secret(&file).map_err(|why| format!("found \"{shown}\": {why}"));
    let rated = secret.and_then(|secret| {
        let strength = rate(&secret).map_err(|why| format!("found \"{shown}\": {why}"))?;
        Ok((secret, strength))
    });
    match rated {
        Ok((secret, strength)) => Ok(Some(LinkKeys {
            keys: Keys::Secret(secret.to_string()),
            is_weak: strength == Strength::Weak,
        })),
        Err(why) => Err(vec![fault("secret_file", why)]),
    }
}

fn fault(key: &str, why: impl Into<String>) -> Failure {
    Failure {
        key: key.to_owned(),
        why: why.into(),
    }
}

fn public_keys(root: &Section<'_>, config: &Config) -> Vec<Known> {
    let Some(section) = root.section("nodes") else {
        return Vec::new();
    };
    let nodes = config.nodes().iter();
    nodes
        .filter_map(|node| {
            let section = section.section(node.as_str())?;
            Some(Known {
                node: node.clone(),
                keys: keys_of(&section),
            })
        })
        .collect()
}

// Public keys of a node: one key, or a list of two.
fn keys_of(section: &Section<'_>) -> Vec<PublicKey> {
    const ALLOWED: &str = "a public key like \"sk1:...\", printed by `sparectl keygen`";
    if !section.is_array("public_key") {
        let key: Option<Public> = section.parsed("public_key", ALLOWED);
        return key.map(|Public(key)| key).into_iter().collect();
    }
    let keys: Vec<Public> = section.list("public_key", ALLOWED).unwrap_or_default();
    if keys.len() > PUBLIC_KEYS_MAX {
        let why = format!("found {} keys, allowed one or two", keys.len());
        section.fault("public_key", why);
    }
    keys.into_iter().map(|Public(key)| key).collect()
}

fn pinned(
    root: &Section<'_>,
    config: &Config,
    folder: &Path,
    known: &[Known],
) -> Result<Option<LinkKeys>, Vec<Failure>> {
    let path = folder.join("key");
    let shown = path.display();
    let private = read_secret(&path)
        .and_then(|text| PrivateKey::parse(&text).map_err(|error| error.to_string()));
    let mut own = None;
    let mut peer = Vec::new();
    let mut faults = Vec::new();
    for Known { node, keys } in known {
        let key = format!("nodes.{node}.public_key");
        if keys.is_empty() {
            // a value that is not a public key is a fault of the file
            let section = root.section("nodes");
            let section = section.and_then(|nodes| nodes.section(node.as_str()));
            if section.is_some_and(|section| !section.has("public_key")) {
                let why = "missing: `sparectl keygen` on that node prints it (or set secret_file)";
                faults.push(fault(&key, why));
            }
        } else if node == config.node() {
            own = Some((key, keys));
        } else {
            peer.clone_from(keys);
        }
    }
    let private = match private {
        Ok(private) => private,
        Err(why) => {
            let at = if root.has("link") { "link" } else { "nodes" };
            faults.push(fault(at, format!("the private key {shown}: {why}")));
            return Err(faults);
        }
    };
    let Some((key, listed)) = own else {
        return no_keys(faults);
    };
    let public = private.public();
    if !listed.contains(&public) {
        let listed: Vec<String> = listed.iter().map(public_text).collect();
        let (here, listed) = (public_text(&public), listed.join(", "));
        let why = format!(
            "found {listed}, but this node's key is {here} ({shown}): write that on both nodes"
        );
        faults.push(fault(&key, why));
        return Err(faults);
    }
    if peer.contains(&public) {
        let why = "found one key for both nodes, allowed one for each";
        faults.push(fault("nodes", why));
    }
    if !faults.is_empty() || peer.is_empty() {
        return no_keys(faults);
    }
    Ok(Some(LinkKeys {
        keys: Keys::Pinned {
            seed: *private.seed(),
            peer,
        },
        is_weak: false,
    }))
}

// Without faults of the keys, the fault is in the file's form.
fn no_keys(faults: Vec<Failure>) -> Result<Option<LinkKeys>, Vec<Failure>> {
    if faults.is_empty() {
        Ok(None)
    } else {
        Err(faults)
    }
}

/// Text of a file that nobody else may read, without surrounding white space.
fn read_secret(path: &Path) -> Result<Zeroizing<String>, String> {
    let shown = path.display();
    if path.symlink_metadata().is_err() {
        return Err(match path.file_name() {
            Some(name) if name == "key" => "no such file: `sparectl keygen` creates it".to_owned(),
            _ => "no such file".to_owned(),
        });
    }
    let prefix = format!("{shown}: ");
    let file = open_checked(path).map_err(|why| {
        let short = why.strip_prefix(&prefix).map(str::to_owned);
        short.unwrap_or(why)
    })?;
    let stat = fstat(&file).map_err(|errno| errno.to_string())?;
    if stat.st_mode & 0o077 != 0 {
        return Err(format!("is readable by others: chmod 600 {shown}"));
    }
    // Large enough from the start, because growing would leave copies in memory.
    let mut text = Zeroizing::new(String::with_capacity(SECRET_BYTES_MAX as usize + 2));
    File::from(file)
        .take(SECRET_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .map_err(|error| format!("cannot be read: {error}"))?;
    if text.len() as u64 > SECRET_BYTES_MAX {
        return Err(format!("is larger than {SECRET_BYTES_MAX} bytes"));
    }
    Ok(Zeroizing::new(text.trim().to_owned()))
}

/// Public key, as a type for the SDK's reader.
struct Public(PublicKey);

impl FromStr for Public {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        parse_public(text).map(Self).map_err(|_| ())
    }
}
