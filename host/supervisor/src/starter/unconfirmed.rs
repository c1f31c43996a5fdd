//! Keeps the files in force while a reload waits for its confirmation, and puts them back if none comes.
//!
//! The texts are those that root had written: the host can only say when they come back. The kept texts are removed
//! last, so that a crash at any step leaves a start that has them in force and puts them back. Their term, if they have
//! one, is removed first for the same reason.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use spared_config::on_disk::{HOST_FILE, Texts, kept_texts, path_of};
use spared_config::{Setup, plugin_names};
use spared_file::starter::{LOADED, TERM, UNCONFIRMED};
use spared_file::{Access, remove, replace};
use spared_process::clock::boot;

use super::loaded;

/// Folder for what was put back: the files that nobody confirmed.
const TAKEN_BACK: &str = "taken-back";

/// Keeps the texts that are in force, whose configuration has this digest. With a term above 0 a start within it, and
/// within this boot, has the new files in force.
pub(crate) fn keep(
    state: Option<&Path>,
    config: &Path,
    digest: &str,
    term_s: u64,
) -> Result<(), String> {
    let state = state.ok_or("there is no folder for spared's state")?;
    let texts = loaded::read(Some(state));
    let setup = Setup::of_texts(config, &texts).ok();
    if setup.is_none_or(|it| it.digest != digest) {
        let path = state.join(LOADED);
        return Err(format!("{}: not what is in force", path.display()));
    }
    let text = serde_json::to_string(&texts).map_err(|error| error.to_string())?;
    let _ = fs::remove_dir_all(state.join(TAKEN_BACK));
    let term_path = state.join(TERM);
    if term_s == 0 {
        remove_if_present(&[term_path])?;
    } else {
        let term = boot::end_after(Duration::from_secs(term_s));
        replace(&term_path, term.as_bytes(), Access::Private, || Ok(()))?;
    }
    let path = state.join(UNCONFIRMED);
    replace(&path, text.as_bytes(), Access::Private, || Ok(()))
}

/// Ends the term, so that a start puts the kept files back. It stays until the first of them is put back: by it the
/// plugin files-root sees that the daemon goes back.
pub(crate) fn end_term(state: Option<&Path>) -> Result<(), String> {
    let path = state.map(|it| it.join(TERM)).filter(|it| it.exists());
    let Some(path) = path else { return Ok(()) };
    let over = boot::end_after(Duration::ZERO);
    replace(&path, over.as_bytes(), Access::Private, || Ok(()))
}

/// Keeps no files any longer.
pub(crate) fn forget(state: Option<&Path>) -> Result<(), String> {
    let Some(state) = state else { return Ok(()) };
    // a term alone means nothing
    remove_if_present(&[UNCONFIRMED, TERM].map(|name| state.join(name)))
}

// Removes the files of one folder, which need not exist.
fn remove_if_present(paths: &[PathBuf]) -> Result<(), String> {
    if paths.iter().any(|path| path.exists()) {
        remove(paths)
    } else {
        Ok(())
    }
}

/// Configuration that the kept texts form, if it has this digest.
pub(crate) fn setup(state: Option<&Path>, config: &Path, digest: &str) -> Option<Setup> {
    let texts = kept_texts(&state?.join(UNCONFIRMED))?;
    let setup = Setup::of_texts(config, &texts).ok()?;
    (setup.digest == digest).then_some(setup)
}

/// Puts the kept files back if their configuration has this digest, that of the configuration in force. `step` is
/// called before each change of a file.
///
/// # Errors
/// A sentence about the first file that cannot be put back. The texts are still kept.
pub(crate) fn put_back(
    state: Option<&Path>,
    config: &Path,
    digest: &str,
    mut step: impl FnMut(&Path) -> Result<(), String>,
) -> Result<(), String> {
    let Some(state) = state else { return Ok(()) };
    let path = state.join(UNCONFIRMED);
    let Some(texts) = kept_texts(&path) else {
        return Ok(());
    };
    if setup(Some(state), config, digest).is_none() {
        return Ok(());
    }
    let folder = config.parent().unwrap_or(Path::new("."));
    let term = state.join(TERM);
    if term.exists() {
        step(&term)?;
        remove(&[term])?;
    }
    put_back_texts(state, config, &texts, &mut step).map_err(|why| {
        format!(
            "the files that nobody confirmed stay in {}, and those from before are in force: {why}",
            folder.display()
        )
    })?;
    step(&path)?;
    remove(&[path])
}

fn put_back_texts(
    state: &Path,
    config: &Path,
    texts: &Texts,
    step: &mut impl FnMut(&Path) -> Result<(), String>,
) -> Result<(), String> {
    let folder = config.parent().unwrap_or(Path::new("."));
    let place = |name: &str| match name {
        HOST_FILE => config.to_owned(),
        name => folder.join(name),
    };
    for (name, text) in texts {
        let path = place(name);
        let present = fs::read(&path).ok();
        let is_same = present.as_deref().unwrap_or_default() == text.as_bytes();
        // a missing spared.toml counts as an empty one
        if is_same && (present.is_some() || name == HOST_FILE) {
            continue;
        }
        step(&path)?;
        set_aside(state, name, &path, present)?;
        if let Some(folder) = path.parent() {
            let fault = |error| format!("{}: {error}", folder.display());
            fs::create_dir_all(folder).map_err(fault)?;
        }
        replace(&path, text.as_bytes(), Access::AsBefore, || Ok(()))?;
    }
    let names = plugin_names(&folder.join("plugins")).map_err(|fault| fault.to_string())?;
    let names = names.iter().map(|name| path_of(name));
    for name in names.filter(|name| !texts.contains_key(name)) {
        let path = place(&name);
        step(&path)?;
        set_aside(state, &name, &path, fs::read(&path).ok())?;
        remove(&[path])?;
    }
    Ok(())
}

// Keeps a file that nobody confirmed. If that fails, the files from before come back all the same; but not over a file
// that was edited after it had been kept.
fn set_aside(
    state: &Path,
    name: &str,
    path: &Path,
    content: Option<Vec<u8>>,
) -> Result<(), String> {
    let Some(content) = content else {
        return Ok(());
    };
    let kept = state.join(TAKEN_BACK).join(name);
    match fs::read(&kept) {
        Ok(earlier) if earlier == content => return Ok(()),
        Ok(_) => {
            let path = path.display();
            return Err(format!("{path}: was edited since: run `sparectl reload`"));
        }
        Err(_) => {}
    }
    let mut folder = DirBuilder::new();
    folder.recursive(true).mode(0o700);
    let made = kept.parent().map_or(Ok(()), |it| folder.create(it));
    let made = made.map_err(|error| format!("{}: {error}", kept.display()));
    let written = made.and_then(|()| replace(&kept, &content, Access::Private, || Ok(())));
    if let Err(why) = written {
        eprintln!("spared starter: {why}");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
