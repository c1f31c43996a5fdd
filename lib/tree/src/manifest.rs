//! A manifest: every file, folder and link of a tree, with its access but without content.

use std::collections::BTreeMap;
use std::fmt;

use ring::digest::{Context, SHA256};
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::validate::{FILES_MAX, XATTRS_MAX};

/// SHA-256 of a content or of a manifest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Hash(pub [u8; 32]);

/// Computes a [`struct@Hash`] piece by piece.
pub struct Hasher(Context);

/// Owner, group, mode and extended attributes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// Permissions with set-group-id and the sticky bit, without the type.
    pub mode: u32,
    /// Name of the account; `#1000` for a number without a name.
    pub owner: String,
    /// Name of the group; `#1000` for a number without a name.
    pub group: String,
    /// Attributes of users and POSIX access lists, sorted by name.
    #[serde(deserialize_with = "few")]
    pub xattrs: Vec<(String, Vec<u8>)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    Folder,
    File { size: u64, hash: Hash },
    Link { target: String },
}

/// One file, folder or link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Absolute path.
    pub path: String,
    pub kind: Kind,
    pub access: Access,
    /// Time of the last change of the content, in seconds and nanoseconds since 1970. It is sent with the content, and
    /// does not count as a difference.
    pub modified: (i64, u32),
}

/// All entries of a tree, sorted by path, each path once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub entries: Vec<Entry>,
}

impl Manifest {
    /// Hash of everything except the times.
    pub fn digest(&self) -> Hash {
        let mut hasher = Hasher::default();
        let mut bytes = Vec::new();
        for entry in &self.entries {
            let timeless = (&entry.path, &entry.kind, &entry.access);
            bytes.clear();
            bytes = postcard::to_extend(&timeless, bytes).unwrap_or_default();
            hasher.add(&bytes);
        }
        hasher.end()
    }

    pub fn encode(&self) -> Vec<u8> {
        postcard::to_stdvec(self).unwrap_or_default()
    }

    /// # Errors
    /// The bytes are not a manifest.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        // a few bytes in a message can take much memory
        let count = postcard::take_from_bytes::<u64>(bytes).map_or(0, |(count, _)| count);
        if count > FILES_MAX as u64 {
            return Err(format!("{count} files, allowed {FILES_MAX}"));
        }
        let (manifest, rest) =
            postcard::take_from_bytes(bytes).map_err(|_| "malformed list of files".to_owned())?;
        match rest {
            [] => Ok(manifest),
            _ => Err(format!("{} bytes after the list of files", rest.len())),
        }
    }

    pub fn find(&self, path: &str) -> Option<&Entry> {
        let at = self
            .entries
            .binary_search_by(|it| it.path.as_str().cmp(path));
        at.ok().and_then(|at| self.entries.get(at))
    }

    /// Sizes in bytes of all contents, each content once.
    pub fn contents(&self) -> BTreeMap<Hash, u64> {
        let content = |entry: &Entry| match entry.kind {
            Kind::File { size, hash } => Some((hash, size)),
            _ => None,
        };
        self.entries.iter().filter_map(content).collect()
    }

    /// Number of entries that are not folders.
    pub fn files(&self) -> usize {
        let files = self.entries.iter().filter(|it| it.kind != Kind::Folder);
        files.count()
    }

    /// Size of all files in bytes.
    pub fn bytes(&self) -> u64 {
        let size = |entry: &Entry| match entry.kind {
            Kind::File { size, .. } => size,
            _ => 0,
        };
        let sizes = self.entries.iter().map(size);
        sizes.fold(0, u64::saturating_add)
    }
}

impl Hash {
    pub fn of(bytes: &[u8]) -> Self {
        let mut hasher = Hasher::default();
        hasher.add(bytes);
        hasher.end()
    }

    /// File name for this content.
    pub fn name(&self) -> String {
        let mut name = String::with_capacity(64);
        for byte in self.0 {
            name.push_str(&format!("{byte:02x}"));
        }
        name
    }
}

/// Reads at most [`XATTRS_MAX`] attributes: more are refused before they are in memory.
fn few<'d, D: Deserializer<'d>>(from: D) -> Result<Vec<(String, Vec<u8>)>, D::Error> {
    struct Few;

    impl<'d> Visitor<'d> for Few {
        type Value = Vec<(String, Vec<u8>)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "at most {XATTRS_MAX} attributes")
        }

        fn visit_seq<A: SeqAccess<'d>>(self, mut from: A) -> Result<Self::Value, A::Error> {
            let mut all = Vec::new();
            while let Some(one) = from.next_element()? {
                if all.len() >= XATTRS_MAX {
                    return Err(de::Error::invalid_length(all.len(), &self));
                }
                all.push(one);
            }
            Ok(all)
        }
    }

    from.deserialize_seq(Few)
}

/// First 6 hexadecimal digits.
impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = self.0.iter().take(3);
        first.into_iter().try_for_each(|it| write!(f, "{it:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Default for Hasher {
    fn default() -> Self {
        Self(Context::new(&SHA256))
    }
}

impl Hasher {
    pub fn add(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub fn end(self) -> Hash {
        let digest = self.0.finish();
        Hash(digest.as_ref().try_into().unwrap_or([0; 32]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Encodes `count` copies of a value, and nothing after them.
    fn many<T: Serialize + Clone>(one: T, count: usize) -> Vec<u8> {
        postcard::to_stdvec(&vec![one; count]).expect("small")
    }

    #[test]
    fn more_entries_or_attributes_than_a_tree_may_have_are_refused_before_they_are_read() {
        // path, kind, mode, owner, group, attributes, time
        let entry = (
            "",
            0u32,
            0u32,
            "",
            "",
            Vec::<(&str, Vec<u8>)>::new(),
            (0i64, 0u32),
        );
        assert!(Manifest::decode(&many(&entry, 3)).is_ok());
        let why = Manifest::decode(&many(&entry, 1_000_000)).expect_err("too many");
        assert_eq!(why, "1000000 files, allowed 50000");
        let with = |count| {
            (
                "",
                0u32,
                0u32,
                "",
                "",
                vec![("", Vec::<u8>::new()); count],
                (0i64, 0u32),
            )
        };
        assert!(Manifest::decode(&many(with(XATTRS_MAX), 1)).is_ok());
        assert!(Manifest::decode(&many(with(XATTRS_MAX + 1), 1)).is_err());
        // a count that is too large
        assert!(Manifest::decode(&[0xff, 0xff, 3]).is_err());
    }
}
