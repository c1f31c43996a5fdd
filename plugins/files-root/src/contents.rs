//! Contents: requested by the other half, staged by it, or belonging to this node only.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::path::Path;

use spared_tree::config::Tree;
use spared_tree::local::PIECE;
use spared_tree::own::{Line, MARKED_MAX, Own, split};
use spared_tree::{Entry, Hash, Kind, MANIFEST_MAX, Manifest, RootFolder};

use crate::job::Jobs;

/// Tree as of the last scan.
pub struct Scanned {
    tree: Tree,
    manifest: Manifest,
    digest: Hash,
    /// Index of an entry that has the content.
    holders: HashMap<Hash, usize>,
}

impl Scanned {
    pub fn new(tree: Tree, manifest: Manifest) -> Self {
        let holder = |(at, entry): (usize, &Entry)| match entry.kind {
            Kind::File { hash, .. } => Some((hash, at)),
            _ => None,
        };
        let holders = manifest.entries.iter().enumerate().filter_map(holder);
        Self {
            holders: holders.collect(),
            digest: manifest.digest(),
            tree,
            manifest,
        }
    }

    /// True if the tree is unchanged. This comparison is faster than a digest.
    pub fn is(&self, tree: &Tree, manifest: &Manifest) -> bool {
        self.manifest == *manifest && self.tree == *tree
    }

    /// Path and size of a file that has the content.
    fn holder(&self, hash: Hash) -> Option<(&str, u64)> {
        let entry = self.manifest.entries.get(*self.holders.get(&hash)?)?;
        match entry.kind {
            Kind::File { size, .. } => Some((&entry.path, size)),
            _ => None,
        }
    }
}

/// Content whose pieces are read one after the other.
pub struct Reading {
    tree: String,
    hash: Hash,
    /// Offset of the next piece.
    offset: u64,
    content: Content,
}

/// Part of a file that is read for the peer.
enum Content {
    File(File),
    Bytes(Cursor<Vec<u8>>),
}

impl Jobs<'_> {
    /// Digest of a tree as of the last scan.
    pub(crate) fn digest(&self, tree: &str) -> Option<Hash> {
        self.scanned.get(tree).map(|it| it.digest)
    }

    /// Reads a piece of a content of the last scan; the file may have changed since, which its hash will show.
    pub(crate) fn read(
        &mut self,
        name: &str,
        hash: Hash,
        offset: u64,
    ) -> Result<(Vec<u8>, bool), String> {
        let begun = self.reading.take();
        let begun = begun.filter(|it| it.tree == name && it.hash == hash && it.offset == offset);
        let scanned = self.scanned.get(name);
        let held = scanned.and_then(|it| Some((&it.tree, it.holder(hash)?)));
        let missing = || format!("tree \"{name}\" has no content {hash}");
        let (tree, (path, size)) = held.ok_or_else(missing)?;
        let shown = |error: io::Error| format!("{path}: {error}");
        let mut content = match begun {
            Some(it) => it.content,
            None => {
                let mut content = self.open(&self.files_of(tree)?, path).map_err(shown)?;
                content.seek(SeekFrom::Start(offset)).map_err(shown)?;
                content
            }
        };
        let mut bytes = Vec::with_capacity(PIECE);
        let limit = PIECE as u64;
        let read = content.by_ref().take(limit).read_to_end(&mut bytes);
        read.map_err(shown)?;
        let end = offset.saturating_add(bytes.len() as u64);
        let is_last = bytes.len() < PIECE || end >= size;
        if !is_last {
            self.reading = Some(Reading {
                tree: name.to_owned(),
                hash,
                offset: end,
                content,
            });
        }
        Ok((bytes, is_last))
    }

    /// Opens the part that both nodes have of a file, as of the last scan.
    fn open(&self, root: &RootFolder, path: &str) -> io::Result<Content> {
        let mut file = root.file(path)?;
        if !self.scanner.has_own(path) {
            return Ok(Content::File(file));
        }
        let mut bytes = Vec::new();
        file.by_ref().take(MARKED_MAX + 1).read_to_end(&mut bytes)?;
        let both = split(&bytes).map_err(io::Error::other)?;
        Ok(Content::Bytes(Cursor::new(
            both.map_or(bytes, |it| it.both),
        )))
    }

    /// Checks, before anything changes, that this node has a line for each mark in the new files.
    pub(crate) fn own_is_complete(
        &self,
        old: &Manifest,
        new: &Manifest,
        own: &Own,
    ) -> Result<(), String> {
        for entry in &new.entries {
            let Kind::File { hash, .. } = entry.kind else {
                continue;
            };
            let lines = own.get(&entry.path).map_or(&[][..], Vec::as_slice);
            if old.find(&entry.path).is_none_or(|it| it.kind != entry.kind) {
                let joined = self.store.with_own(hash, lines);
                joined.map_err(|why| format!("{}: {why}", entry.path))?;
            }
        }
        Ok(())
    }

    pub(crate) fn take_present(&self, tree: &Tree, present: &Manifest) -> Result<(), String> {
        let root = self.files_of(tree)?;
        for entry in &present.entries {
            if let Kind::File { size, hash } = entry.kind {
                let open = || self.open(&root, &entry.path);
                let taken = self.store.store_content(hash, size, open);
                taken
                    .map(drop)
                    .map_err(|why| format!("{}: {why}", entry.path))?;
            }
        }
        Ok(())
    }

    /// Copies staged contents that are not in the store yet, and returns their hashes. An earlier state has all its
    /// contents in the store, and there may be no stage.
    pub(crate) fn take_staged(&self, new: &Manifest) -> Result<BTreeSet<Hash>, String> {
        let stage = self.open_stage();
        let open = |hash: Hash| match &stage {
            Ok(stage) => stage.file(&hash.name()),
            Err(why) => Err(io::Error::other(why.clone())),
        };
        let mut taken = BTreeSet::new();
        for (hash, size) in new.contents() {
            if self.store.store_content(hash, size, || open(hash))? {
                taken.insert(hash);
            }
            if let Ok(stage) = &stage {
                // a deleted file need not be written to the disk
                let _ = stage.remove(&hash.name());
            }
        }
        Ok(taken)
    }

    pub(crate) fn staged(&mut self, hash: Hash) -> Result<Manifest, String> {
        let shown = |error: io::Error| format!("the staged list of files: {error}");
        let file = self.open_stage()?.file(&hash.name()).map_err(shown)?;
        let bytes = read(&file).map_err(shown)?;
        if Hash::of(&bytes) != hash {
            return Err("the staged list of files is not what was announced".to_owned());
        }
        Manifest::decode(&bytes)
    }

    // Opens the other half's folder again for each request; neither the folder nor a file in it may be a link.
    fn open_stage(&self) -> Result<RootFolder, String> {
        let path: &Path = &self.places.stage;
        RootFolder::new(path).map_err(|error| format!("{}: {error}", path.display()))
    }
}

impl Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::File(it) => it.read(buffer),
            Self::Bytes(it) => it.read(buffer),
        }
    }
}

impl Seek for Content {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match self {
            Self::File(it) => it.seek(to),
            Self::Bytes(it) => it.seek(to),
        }
    }
}

/// Lines of this node, with lines of an earlier state for marks that have none now.
pub fn with_earlier(mut now: Own, earlier: Own) -> Own {
    for (path, lines) in earlier {
        let present = now.entry(path).or_default();
        let is_gone = |line: &Line| present.iter().all(|it| it.name != line.name);
        let gone: Vec<Line> = lines.into_iter().filter(is_gone).collect();
        present.extend(gone);
    }
    now
}

fn read(file: &File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = MANIFEST_MAX as u64;
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() > MANIFEST_MAX {
        Err(io::Error::other("is too long"))
    } else {
        Ok(bytes)
    }
}
