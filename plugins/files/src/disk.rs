//! The plugin's own folder: staged contents from the peer, for the root half, and the state that both nodes last had.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use spared_file::{Access, remove, replace};
use spared_tree::local::STAGE;
use spared_tree::{Hash, Hasher, Manifest};

use crate::engine::Piece;

const PART: &str = "part";

pub struct Disk {
    /// Path of the folder; None in a trial of the plugin, in which nothing can be stored.
    folder: Option<PathBuf>,
    /// Content that is being written.
    part: Option<(Hash, File, Hasher)>,
}

impl Disk {
    pub fn new(folder: Option<&Path>) -> Self {
        let disk = Self {
            folder: folder.map(Path::to_owned),
            part: None,
        };
        disk.remove_stage();
        disk
    }

    /// Stages a piece of a content; the last piece completes it, if its hash is right.
    ///
    /// # Errors
    /// A sentence with the reason.
    pub fn store(&mut self, piece: &Piece) -> Result<(), String> {
        let stored = self.write(piece);
        if stored.is_err() {
            self.part = None;
        }
        stored.map_err(|error| format!("content {} cannot be staged: {error}", piece.hash))
    }

    /// Stages the manifest.
    ///
    /// # Errors
    /// A sentence with the reason.
    pub fn stage(&mut self, bytes: &[u8]) -> Result<Hash, String> {
        let hash = Hash::of(bytes);
        let piece = Piece {
            hash,
            bytes: bytes.to_vec(),
            is_last: true,
        };
        self.part = None;
        self.store(&piece).map(|()| hash)
    }

    /// Removes all staged files.
    pub fn unstage(&mut self) {
        self.part = None;
        self.remove_stage();
    }

    /// Folder of the stage.
    pub fn stage_path(&self) -> Option<PathBuf> {
        self.folder().ok().map(|it| it.join(STAGE))
    }

    /// Manifests that both nodes last had of these trees.
    pub fn bases<'t>(&self, trees: impl Iterator<Item = &'t str>) -> BTreeMap<String, Manifest> {
        let base = |name: &str| {
            let bytes = fs::read(self.base(name).ok()?).ok()?;
            let manifest = Manifest::decode(&bytes);
            let manifest = manifest.inspect_err(|why| log::warn!("what both had of {name}: {why}"));
            Some((name.to_owned(), manifest.ok()?))
        };
        trees.filter_map(base).collect()
    }

    /// # Errors
    /// A sentence with the reason.
    pub fn remember(&self, tree: &str, manifest: &Manifest) -> Result<(), String> {
        replace(
            &self.base(tree)?,
            &manifest.encode(),
            Access::Private,
            || Ok(()),
        )
    }

    /// Time since a tree was last copied automatically.
    pub fn copy_age(&self, tree: &str) -> Option<Duration> {
        let path = self.folder().ok()?.join(format!("followed-{tree}"));
        // None if the clock was set back, so that the next copy waits no longer than the interval
        fs::metadata(path).ok()?.modified().ok()?.elapsed().ok()
    }

    /// # Errors
    /// A sentence with the reason.
    pub fn save_copied(&self, tree: &str) -> Result<(), String> {
        let path = self.folder()?.join(format!("followed-{tree}"));
        File::create(&path)
            .map(drop)
            .map_err(|error| format!("{}: {error}", path.display()))
    }

    /// Digest that the peer reverts, or has reverted, because nobody confirms it.
    pub fn unconfirmed(&self, tree: &str) -> Option<Hash> {
        let bytes = fs::read(self.unconfirmed_path(tree).ok()?).ok()?;
        bytes.try_into().ok().map(Hash)
    }

    /// # Errors
    /// A sentence with the reason.
    pub fn save_unconfirmed(&self, tree: &str, digest: Option<Hash>) -> Result<(), String> {
        let path = self.unconfirmed_path(tree)?;
        match digest {
            Some(digest) => replace(&path, &digest.0, Access::Private, || Ok(())),
            None => remove(&[path]),
        }
    }

    fn unconfirmed_path(&self, tree: &str) -> Result<PathBuf, String> {
        Ok(self.folder()?.join(format!("doubt-{tree}")))
    }

    fn write(&mut self, piece: &Piece) -> io::Result<()> {
        let stage = self.folder().map_err(io::Error::other)?.join(STAGE);
        let path = stage.join(PART);
        let (hash, file, hasher) = match &mut self.part {
            Some(part) => part,
            None => {
                fs::create_dir_all(&stage)?;
                let mut options = File::options();
                let options = options.write(true).create(true).truncate(true).mode(0o600);
                let part = (piece.hash, options.open(&path)?, Hasher::default());
                self.part.insert(part)
            }
        };
        if *hash != piece.hash {
            return Err(io::Error::other("another content is not complete"));
        }
        hasher.add(&piece.bytes);
        file.write_all(&piece.bytes)?;
        if !piece.is_last {
            return Ok(());
        }
        let complete = self.part.take();
        let found = complete.map(|(_, _, hasher)| hasher.end());
        if found != Some(piece.hash) {
            let why = "a file changed while it was sent: try again";
            return Err(io::Error::other(why));
        }
        fs::rename(&path, stage.join(piece.hash.name()))
    }

    fn remove_stage(&self) {
        if let Ok(folder) = self.folder() {
            let _ = fs::remove_dir_all(folder.join(STAGE));
        }
    }

    fn base(&self, tree: &str) -> Result<PathBuf, String> {
        Ok(self.folder()?.join(format!("both-{tree}")))
    }

    fn folder(&self) -> Result<&Path, String> {
        let missing = || "there is no folder for its state".to_owned();
        self.folder.as_deref().ok_or_else(missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(test: &str) -> Self {
            let name = format!("spared-stage-{test}-{}", std::process::id());
            let folder = Self(std::env::temp_dir().join(name));
            let _ = fs::remove_dir_all(&folder.0);
            fs::create_dir_all(&folder.0).expect("a folder");
            folder
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn piece(hash: Hash, bytes: &str, is_last: bool) -> Piece {
        Piece {
            hash,
            bytes: bytes.as_bytes().to_vec(),
            is_last,
        }
    }

    #[test]
    fn a_content_is_staged_under_its_hash_or_not_at_all() {
        let folder = Folder::new("content");
        let mut disk = Disk::new(Some(&folder.0));
        let hash = Hash::of(b"two pieces");
        disk.store(&piece(hash, "two ", false)).expect("stored");
        disk.store(&piece(hash, "pieces", true)).expect("stored");
        let staged = folder.0.join(STAGE).join(hash.name());
        assert_eq!(fs::read(&staged).expect("staged"), b"two pieces");
        disk.store(&piece(hash, "other", true)).expect_err("not it");
        let other = Hash::of(b"other");
        disk.store(&piece(hash, "a", false)).expect("stored");
        disk.store(&piece(other, "other", true))
            .expect_err("in between");
        disk.store(&piece(other, "other", true)).expect("stored");
        disk.unstage();
        assert!(!staged.exists());
    }

    #[test]
    fn what_both_had_outlives_the_worker() {
        let folder = Folder::new("bases");
        let disk = Disk::new(Some(&folder.0));
        disk.remember("fw", &Manifest::default()).expect("kept");
        let bases = Disk::new(Some(&folder.0)).bases(["fw", "other"].into_iter());
        assert_eq!(bases.keys().collect::<Vec<_>>(), ["fw"]);
        let digest = Hash::of(b"fw");
        for unconfirmed in [Some(digest), None, None] {
            disk.save_unconfirmed("fw", unconfirmed).expect("kept");
            assert_eq!(Disk::new(Some(&folder.0)).unconfirmed("fw"), unconfirmed);
        }
    }
}
