//! The check of a new state before it is in place: its files are mounted over the present ones, in a mount namespace
//! that ends with the command.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use rustix::fs::{FileType, Mode, OFlags, fstat, openat};
use spared_tree::config::Tree;
use spared_tree::own::Own;
use spared_tree::{Manifest, RootFolder, Scanner};

use crate::command::{self, Failed};
use crate::put::Put;
use crate::store::Store;

const DEPTH_MAX: usize = 64;

/// Arguments: pairs of a path and the file to mount over it, then `--` and the command. A file that does not exist yet
/// has nothing to mount over: its folder gets an overlay instead.
const SCRIPT: &str = r#"while [ "$1" != -- ]; do
	if [ -e "$1" ] || [ -L "$1" ]; then mount --bind "$2" "$1"
	else mount -t overlay -o "ro,lowerdir=${2%/*}:${1%/*}" overlay "${1%/*}"; fi
	shift 2
done
shift
exec "$@""#;

/// # Errors
/// The error of the check, or a sentence with the reason why it could not be run.
pub fn check(
    root: &RootFolder,
    store: &Store,
    tree: &Tree,
    new: &Manifest,
    own: &Own,
    stop: &AtomicBool,
) -> Result<(), Failed> {
    if tree.check.is_empty() {
        return Ok(());
    }
    let view = store.view();
    let _ = fs::remove_dir_all(&view);
    let made = make(root, store, tree, new, own, &view);
    let checked = made.map_err(Failed::Why).and_then(|()| {
        let mut argv = words(&view, tree);
        let mut command = tree.check.clone();
        if let Some(name) = command.first_mut() {
            let program = command::find(name).map_err(Failed::Why)?;
            *name = program.display().to_string();
        }
        argv.extend(command);
        let name = tree.check.first().map_or("", String::as_str);
        command::run_as(name, &argv, stop)
    });
    let _ = fs::remove_dir_all(&view);
    checked
}

fn words(view: &Path, tree: &Tree) -> Vec<String> {
    let words = [
        "unshare",
        "--mount",
        "--propagation",
        "private",
        "--",
        "/bin/sh",
        "-euc",
        SCRIPT,
        "check",
    ];
    let mut words: Vec<String> = words.map(str::to_owned).into();
    for top in &tree.paths {
        let over = format!("{}{top}", view.display());
        // a file that the new state lacks cannot be hidden; an empty folder can be mounted over
        if Path::new(&over).exists() {
            words.extend([top.clone(), over]);
        }
    }
    words.push("--".to_owned());
    words
}

/// Puts the new state, and the excluded files of the present one, in a folder.
fn make(
    root: &RootFolder,
    store: &Store,
    tree: &Tree,
    new: &Manifest,
    own: &Own,
    view: &Path,
) -> Result<(), String> {
    let shown = |error: std::io::Error| format!("{}: {error}", view.display());
    let make_folder = |path: &Path| {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o755).create(path)
    };
    for top in &tree.paths {
        let parent = format!("{}{top}", view.display());
        let parent = Path::new(&parent).parent().unwrap_or(view);
        make_folder(parent).map_err(shown)?;
    }
    let there = RootFolder::new(view).map_err(shown)?;
    let put = Put {
        root: &there,
        store,
        tree,
        before: None,
        own,
        movable: BTreeSet::new(),
        step: &|_| (),
        extent: Cell::default(),
    };
    let put = put.run(&mut Scanner::default(), new);
    put.map_err(|failed| failed.why)?;
    for top in &tree.paths {
        copy_excluded(root, &there, tree, top, 0)?;
    }
    Ok(())
}

/// Copies the excluded files of a folder, which stay as they are. A folder here may be a link in the new state, which
/// may lead anywhere.
fn copy_excluded(
    root: &RootFolder,
    there: &RootFolder,
    tree: &Tree,
    path: &str,
    depth: usize,
) -> Result<(), String> {
    let shown = |error: std::io::Error| format!("{path}: {error}");
    let is_folder = |path: &str| {
        let stat = root.stat(path).ok().flatten();
        stat.is_some_and(|it| FileType::from_raw_mode(it.st_mode) == FileType::Directory)
    };
    if !is_folder(path) || there.folder(path).is_err() || depth > DEPTH_MAX {
        return Ok(());
    }
    let folder = root.folder(path).map_err(shown)?;
    let names = rustix::fs::Dir::read_from(&folder).map_err(|it| shown(it.into()))?;
    for name in names.flatten() {
        let Some(name) = name
            .file_name()
            .to_str()
            .ok()
            .filter(|it| *it != "." && *it != "..")
        else {
            continue;
        };
        let below = format!("{path}/{name}");
        if is_folder(&below) {
            copy_excluded(root, there, tree, &below, depth + 1)?;
        } else if tree.excludes(&below) {
            copy(root, there, &below).map_err(shown)?;
        }
    }
    Ok(())
}

fn copy(root: &RootFolder, there: &RootFolder, path: &str) -> std::io::Result<()> {
    // links and pipes are skipped: no check needs those of the node
    let Ok(mut file) = root.file(path) else {
        return Ok(());
    };
    let stat = fstat(file.as_fd())?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Ok(());
    }
    let place = there.place(path)?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mode = Mode::RUSR | Mode::WUSR;
    let mut copy: fs::File = openat(&place.folder, place.name, flags, mode)?.into();
    std::io::copy(&mut file, &mut copy)?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(stat.st_mode & 0o777);
    copy.set_permissions(mode)?;
    std::os::unix::fs::fchown(&copy, Some(stat.st_uid), Some(stat.st_gid))
}
