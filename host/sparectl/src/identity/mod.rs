//! Verbs `identity save` and `identity restore`: the key and the files of this node in one file, for another machine.

mod archive;

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use spared_file::{Access, replace};
use spared_key::{PrivateKey, public_text};
use spared_pairing::{Texts, spared_toml};
use zeroize::Zeroizing;

use crate::args::Args;
use crate::consent::{agree, is_lossy};
use crate::folder::{Folder, HOST_FILE, KEY, host_text, inner_secret, last_line};
use crate::line::{Files, Identity};
use crate::output::say;
use crate::pair::service;
use crate::refusal::Refusal;
use crate::{as_root, pair, used};
use archive::{Entries, Entry, pack, unpack};

/// Prints what it did, and returns the exit code.
pub fn run(args: &Args, identity: &Identity) -> u8 {
    as_root::run(
        "identity is for root: it reads and writes the key",
        || match identity {
            Identity::Save { out, files } => save(args, out, files),
            Identity::Restore { from, yes, files } => restore(args, from, *yes, files),
        },
    )
}

fn save(args: &Args, out: &Path, files: &Files) -> Result<(), Refusal> {
    let folder = Folder::new(files, &args.runtime_dir)?;
    let texts = folder.read()?;
    let mut entries = Entries::new();
    let host = host_text(&texts);
    let secret = spared_toml::secret_file(host);
    // a pair with a passphrase needs no key
    if secret.is_none() || folder.key().exists() {
        add(&mut entries, &folder, KEY)?;
    }
    for name in texts.keys() {
        add(&mut entries, &folder, name)?;
    }
    // one elsewhere is not the folder's, and is named below
    let inside = inner_secret(host);
    if let Some(name) = &inside {
        add(&mut entries, &folder, name)?;
    }
    for name in used::hooks(&folder) {
        add(&mut entries, &folder, &name)?;
    }
    let packed = pack(&entries).map_err(|error| format!("{}: {error}", out.display()))?;
    let mut options = OpenOptions::new();
    let written = options.write(true).create_new(true).mode(0o600).open(out);
    let written =
        written.and_then(|mut file| file.write_all(&packed).and_then(|()| file.sync_all()));
    written.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => format!(
            "{} exists, and no file is overwritten: name another",
            out.display()
        ),
        _ => format!("{}: {error}", out.display()),
    })?;
    let what = if entries.contains_key(KEY) {
        "the private key"
    } else {
        "the secrets of this node"
    };
    say(&format!(
        "{}: the identity of {}, {} files. It contains {what}: whoever has it can be this node",
        out.display(),
        pair::own_name(&texts),
        entries.len()
    ));
    if let (Some(secret), None) = (&secret, inside) {
        say(&format!(
            "the passphrase in {secret} is not in it: save that as well"
        ));
    }
    Ok(())
}

fn add(entries: &mut Entries, folder: &Folder, name: &str) -> Result<(), String> {
    let path = folder.path().join(name);
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let content = Zeroizing::new(fs::read(&path).map_err(failed)?);
    let mode = fs::metadata(&path).map_err(failed)?.permissions().mode() & 0o755;
    entries.insert(name.to_owned(), Entry { content, mode });
    Ok(())
}

fn restore(args: &Args, from: &Path, yes: bool, files: &Files) -> Result<(), Refusal> {
    let folder = Folder::new(files, &args.runtime_dir)?;
    let _claim = folder.claim()?;
    let shown = from.display();
    let file = File::open(from).map_err(|error| format!("{shown}: {error}"))?;
    let mut entries = unpack(file).map_err(|why| format!("{shown}: {why}"))?;
    service::no_reload_waits(args)?;
    let active = service::active_groups(args)?;
    if !active.is_empty() {
        return Err(format!(
            "this node is active for {}: `sparectl switch` first, or stop the daemon",
            active.join(", ")
        )
        .into());
    }
    let key = entries.remove(KEY);
    let private = key.as_ref().map(|it| {
        let text = Zeroizing::new(String::from_utf8_lossy(&it.content).into_owned());
        PrivateKey::parse(&text).map_err(|error| format!("{shown}: the key: {error}"))
    });
    let private = private.transpose()?;
    let (new, others) = texts(entries);
    let old = folder.read()?;
    // before anything is replaced: the old identity is in no other file
    let checked = folder.check_with(&new, |name| {
        let entry = if name == KEY {
            key.as_ref()
        } else {
            others.get(name)
        };
        entry.map(|it| it.content.as_slice())
    })?;
    let known = fs::read(folder.key()).map(Zeroizing::new).ok();
    let is_other = |it: &Entry| known.as_ref().is_some_and(|known| *known != it.content);
    let is_new_key = key.as_ref().is_some_and(is_other);
    let changes = folder.changes(&old, &new);
    if !changes.is_empty() {
        say(&format!("the files change:\n{}", changes.trim_end()));
    }
    if let Some(private) = private.filter(|_| is_new_key) {
        say(&format!(
            "the key of this machine is replaced by {}",
            public_text(&private.public())
        ));
    }
    agree(yes, is_new_key || is_lossy(&old, &new))?;
    folder.stays(&old)?;
    let passphrase = inner_secret(host_text(&new));
    for (name, entry) in &others {
        let path = folder.path().join(name);
        let around = path.parent().unwrap_or(folder.path());
        fs::create_dir_all(around).map_err(|error| format!("{}: {error}", around.display()))?;
        let access = if passphrase.as_ref() == Some(name) {
            Access::Private
        } else {
            Access::Given {
                uid: 0,
                gid: 0,
                mode: entry.mode,
            }
        };
        replace(&path, &entry.content, access, || Ok(()))?;
    }
    if let Some(key) = &key {
        replace(&folder.key(), &key.content, Access::Private, || Ok(()))?;
    }
    folder.write(&old, &new, || Ok(()))?;
    say(&format!("restored: {}", last_line(&checked)));
    say(&service::bring_up(args, &folder)?);
    Ok(())
}

/// The files that people write, and the others.
fn texts(entries: Entries) -> (Texts, Entries) {
    let is_text = |name: &str| {
        let plugin = name
            .strip_prefix("plugins/")
            .is_some_and(|it| !it.contains('/'));
        name == HOST_FILE || plugin && name.ends_with(".toml")
    };
    let (texts, others): (Entries, Entries) =
        entries.into_iter().partition(|(name, _)| is_text(name));
    let text = |entry: &Entry| String::from_utf8_lossy(&entry.content).into_owned();
    let texts = texts
        .iter()
        .map(|(name, entry)| (name.clone(), text(entry)));
    (texts.collect(), others)
}
