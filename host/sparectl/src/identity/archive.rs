//! The archive of a node's identity: what `tar -C /etc -cz spared` makes, with the files that a node needs and no others.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Component, Path};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use spared_pairing::spared_toml;
use tar::{Archive, Builder, EntryType, Header};
use zeroize::Zeroizing;

use crate::folder::{HOST_FILE, KEY};

/// Folder of all entries.
const TOP: &str = "spared";
/// Maximum bytes of all files together.
const BYTES_MAX: u64 = 64 << 20;

/// A file with its permissions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub content: Zeroizing<Vec<u8>>,
    pub mode: u32,
}

/// Files by path below the folder of spared.toml.
pub type Entries = BTreeMap<String, Entry>;

/// # Errors
/// A path is too long for the format.
pub fn pack(entries: &Entries) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut builder = Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    for (path, entry) in entries {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(entry.mode);
        header.set_size(entry.content.len() as u64);
        let path = format!("{TOP}/{path}");
        builder.append_data(&mut header, path, entry.content.as_slice())?;
    }
    Ok(Zeroizing::new(builder.into_inner()?.finish()?))
}

/// Reads an archive of [`pack`] or of tar. Folders are passed over; links and other kinds of files are refused.
///
/// # Errors
/// A sentence about what is no identity.
pub fn unpack(bytes: impl Read) -> Result<Entries, String> {
    let none = |why: String| format!("not a file of `sparectl identity save`: {why}");
    let mut archive = Archive::new(GzDecoder::new(bytes).take(BYTES_MAX));
    let mut entries = Entries::new();
    for entry in archive.entries().map_err(|error| none(error.to_string()))? {
        let mut entry = entry.map_err(|error| none(error.to_string()))?;
        let path = entry
            .path()
            .map_err(|error| none(error.to_string()))?
            .into_owned();
        let kind = entry.header().entry_type();
        if kind == EntryType::Directory {
            continue;
        }
        let path = below(&path).ok_or_else(|| none(format!("it has {}", path.display())))?;
        if kind != EntryType::Regular {
            return Err(none(format!("{path} is no regular file")));
        }
        let mode = entry
            .header()
            .mode()
            .map_err(|error| none(error.to_string()))?;
        let mut content = Zeroizing::new(Vec::new());
        entry
            .read_to_end(&mut content)
            .map_err(|error| none(error.to_string()))?;
        entries.insert(
            path,
            Entry {
                content,
                mode: mode & 0o755,
            },
        );
    }
    let Some(host) = entries.get(HOST_FILE) else {
        return Err(none("it has no spared.toml".to_owned()));
    };
    // a pair with a passphrase needs no key
    let host = String::from_utf8_lossy(&host.content);
    if entries.contains_key(KEY) || spared_toml::secret_file(&host).is_some() {
        Ok(entries)
    } else {
        Err(none(
            "it has no key, and spared.toml names no secret_file".to_owned(),
        ))
    }
}

/// Path below the folder of all entries; None for one that leads elsewhere, or to a file that belongs to no identity.
fn below(path: &Path) -> Option<String> {
    let mut names = path.components();
    if names.next()? != Component::Normal(TOP.as_ref()) {
        return None;
    }
    let mut parts = Vec::new();
    for name in names {
        match name {
            Component::Normal(name) => parts.push(name.to_str()?),
            _ => return None,
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(text: &str, mode: u32) -> Entry {
        Entry {
            content: Zeroizing::new(text.as_bytes().to_vec()),
            mode,
        }
    }

    fn identity() -> Entries {
        [
            ("key", entry("sk1-private:x\n", 0o600)),
            ("spared.toml", entry("port = 1\n", 0o644)),
            ("hooks/office", entry("#!/bin/sh\n", 0o755)),
        ]
        .map(|(name, it)| (name.to_owned(), it))
        .into()
    }

    #[test]
    fn what_is_saved_comes_back() {
        let packed = pack(&identity()).expect("packed");
        assert_eq!(unpack(packed.as_slice()), Ok(identity()));
    }

    #[test]
    fn an_archive_that_is_no_identity_is_refused() {
        let refused = |entries: &Entries| {
            let packed = pack(entries).expect("packed");
            unpack(packed.as_slice()).expect_err("refused")
        };
        let mut without = identity();
        without.remove("key");
        assert!(refused(&without).contains("it has no key"));
        let secret = entry("secret_file = \"secret\"\n", 0o644);
        without.insert(HOST_FILE.to_owned(), secret);
        let packed = pack(&without).expect("packed");
        assert_eq!(unpack(packed.as_slice()), Ok(without.clone()));
        without.remove(HOST_FILE);
        assert!(refused(&without).contains("it has no spared.toml"));
        assert!(
            unpack(&b"nonsense"[..])
                .expect_err("refused")
                .starts_with("not a file of")
        );
        let mut builder = Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Symlink);
        header.set_size(0);
        builder
            .append_link(&mut header, "spared/hooks/x", "/etc/shadow")
            .expect("a link");
        let packed = builder
            .into_inner()
            .and_then(|it| it.finish())
            .expect("packed");
        let why = unpack(packed.as_slice()).expect_err("refused");
        assert!(why.contains("hooks/x is no regular file"), "{why}");
    }

    #[test]
    fn paths_that_lead_elsewhere_are_none() {
        for path in [
            "etc/passwd",
            "spared/../passwd",
            "/spared/key",
            "spared",
            "../spared/key",
        ] {
            assert_eq!(below(Path::new(path)), None, "{path}");
        }
        assert_eq!(
            below(Path::new("spared/./plugins/vrrp.toml")).as_deref(),
            Some("plugins/vrrp.toml")
        );
    }
}
