//! Decides whether a manifest may be put in place here: it comes from another machine.
//!
//! Both halves check it: the half that talks to the peer, to refuse early, and the half that is root, because it trusts
//! no input.

use std::fmt;

use crate::acl;
use crate::config::Tree;
use crate::{Entry, Kind, MANIFEST_MAX, Manifest};

/// Maximum number of files, folders and links in a tree.
pub const FILES_MAX: usize = 50_000;
/// Maximum size of a tree in bytes.
pub const BYTES_MAX: u64 = 4 << 30;

const PATH_MAX: usize = 4095;
const NAME_MAX: usize = 255;
const ACCOUNT_MAX: usize = 64;
pub(crate) const XATTRS_MAX: usize = 32;
const XATTR_BYTES_MAX: usize = 64 << 10;
const SET_USER_ID: u32 = 0o4000;
const SET_GROUP_ID: u32 = 0o2000;
/// Prefix and suffix of the names of files that the root half prepares.
const TEMPORARY: (&str, &str) = (".", ".spared");

/// Refusal of a manifest: the path, cut to a printable length, and the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub path: String,
    pub why: String,
}

/// # Errors
/// The first reason not to put this manifest in place of the tree.
pub fn validate(manifest: &Manifest, tree: &Tree) -> Result<(), Refused> {
    let whole = |why: String| Refused {
        path: String::new(),
        why,
    };
    let count = manifest.entries.len();
    if count > FILES_MAX {
        return Err(whole(format!("{count} files, allowed {FILES_MAX}")));
    }
    let bytes = manifest.bytes();
    if bytes > BYTES_MAX {
        return Err(whole(format!("{bytes} bytes, allowed {BYTES_MAX}")));
    }
    if manifest.encode().len() > MANIFEST_MAX {
        return Err(whole(format!("names of more than {MANIFEST_MAX} bytes")));
    }
    let mut before: Option<&Entry> = None;
    for entry in &manifest.entries {
        let refused = |why: String| Refused {
            path: shown(&entry.path),
            why,
        };
        validate_path(&entry.path).map_err(refused)?;
        if before.is_some_and(|it| it.path >= entry.path) {
            return Err(refused("is not in order, or listed twice".to_owned()));
        }
        before = Some(entry);
        validate_place(entry, manifest, tree).map_err(refused)?;
        validate_kind(entry).map_err(refused)?;
        validate_access(entry).map_err(refused)?;
    }
    Ok(())
}

/// True if a name is one that the root half gives to a file that it prepares.
pub fn is_temporary_name(name: &str) -> bool {
    let inner = name.strip_prefix(TEMPORARY.0);
    inner.is_some_and(|it| it.len() > TEMPORARY.1.len() && it.ends_with(TEMPORARY.1))
}

fn validate_path(path: &str) -> Result<(), String> {
    let Some(below) = path.strip_prefix('/') else {
        return Err("is not an absolute path".to_owned());
    };
    if path.len() > PATH_MAX {
        let length = path.len();
        return Err(format!("is {length} bytes long, allowed {PATH_MAX}"));
    }
    for name in below.split('/') {
        if matches!(name, "" | "." | "..") {
            return Err("has an empty name, \".\" or \"..\" in its path".to_owned());
        }
        if name.len() > NAME_MAX {
            return Err(format!("has a name of more than {NAME_MAX} bytes"));
        }
        if name.contains('\0') {
            return Err("has a NUL in its name".to_owned());
        }
        if is_temporary_name(name) {
            return Err("has a name that is reserved for files being prepared".to_owned());
        }
    }
    Ok(())
}

fn validate_place(entry: &Entry, manifest: &Manifest, tree: &Tree) -> Result<(), String> {
    let Some(top) = tree.top_of(&entry.path) else {
        return Err(format!("is not below the paths of tree \"{}\"", tree.name));
    };
    if tree.excludes(&entry.path) {
        return Err("is excluded by the configuration of this node".to_owned());
    }
    if entry.path == top {
        return Ok(());
    }
    let parent = entry.path.rsplit_once('/').map_or("", |(it, _)| it);
    match manifest.find(parent).map(|it| &it.kind) {
        Some(Kind::Folder) => Ok(()),
        Some(_) => Err("is below something that is no folder".to_owned()),
        None => Err("is in a folder that is not listed".to_owned()),
    }
}

fn validate_kind(entry: &Entry) -> Result<(), String> {
    match &entry.kind {
        Kind::Folder => Ok(()),
        Kind::File { .. } if entry.access.mode & (SET_USER_ID | SET_GROUP_ID) != 0 => {
            Err("has a set-user-id or set-group-id bit, which no configuration needs".to_owned())
        }
        Kind::File { .. } => Ok(()),
        Kind::Link { target } if target.is_empty() || target.len() > PATH_MAX => {
            Err(format!("is a link of {} bytes", target.len()))
        }
        Kind::Link { target } if target.contains('\0') => Err("is a link with a NUL".to_owned()),
        Kind::Link { .. } => Ok(()),
    }
}

fn validate_access(entry: &Entry) -> Result<(), String> {
    let access = &entry.access;
    if access.mode & !0o7777 != 0 || access.mode & SET_USER_ID != 0 {
        return Err(format!(
            "has the mode {:o}, which is not allowed",
            access.mode
        ));
    }
    for name in [&access.owner, &access.group] {
        if !is_account(name) {
            return Err(format!("belongs to {:?}", shown(name)));
        }
    }
    if entry.modified.1 >= 1_000_000_000 {
        return Err("has an impossible time".to_owned());
    }
    let mut lists = access.xattrs.iter().filter(|(name, _)| acl::is_list(name));
    lists.try_for_each(|(_, value)| acl::check(value, is_account))?;
    let bytes: usize = access.xattrs.iter().map(|(_, it)| it.len()).sum();
    if access.xattrs.len() > XATTRS_MAX || bytes > XATTR_BYTES_MAX {
        return Err("has too many or too long attributes".to_owned());
    }
    match access
        .xattrs
        .iter()
        .find(|(name, _)| !is_replicated_xattr(name))
    {
        Some((name, _)) => Err(format!(
            "has the attribute {:?}, which is not allowed",
            shown(name)
        )),
        None => Ok(()),
    }
}

fn is_account(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_graphic() && !matches!(c, ':' | '/');
    !name.is_empty() && name.len() <= ACCOUNT_MAX && name.chars().all(fits)
}

/// True if an extended attribute is part of a tree. Attributes of the kernel's security modules belong to the node: a
/// capability on a file, for example, would be a right.
pub fn is_replicated_xattr(xattr: &str) -> bool {
    let is_list = matches!(
        xattr,
        "system.posix_acl_access" | "system.posix_acl_default"
    );
    let is_users = xattr.starts_with("user.") && xattr.len() <= NAME_MAX;
    (is_list || is_users) && !xattr.contains('\0')
}

/// Text of the peer in printable form, for a message.
fn shown(text: &str) -> String {
    const SHOWN_MAX: usize = 120;
    let plain = |c: char| if c.is_control() { '?' } else { c };
    let mut shown: String = text.chars().take(SHOWN_MAX).map(plain).collect();
    if text.chars().nth(SHOWN_MAX).is_some() {
        shown.push_str("...");
    }
    shown
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => f.write_str(&self.why),
            path => write!(f, "{path} {}", self.why),
        }
    }
}

impl std::error::Error for Refused {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::tree;
    use crate::{Access, Hash};

    fn entry(path: &str, kind: Kind) -> Entry {
        Entry {
            path: path.to_owned(),
            kind,
            access: Access {
                mode: 0o644,
                owner: "root".to_owned(),
                group: "root".to_owned(),
                xattrs: Vec::new(),
            },
            modified: (0, 0),
        }
    }

    fn file() -> Kind {
        let hash = Hash::of(b"");
        Kind::File { size: 0, hash }
    }

    fn link(target: &str) -> Kind {
        let target = target.to_owned();
        Kind::Link { target }
    }

    fn refused(entries: Vec<Entry>) -> String {
        let refused = validate(&Manifest { entries }, &tree()).expect_err("it fits");
        refused.to_string()
    }

    #[test]
    fn a_tree_as_configured_fits() {
        let entries = vec![
            entry("/etc/fw", Kind::Folder),
            entry("/etc/fw/a", file()),
            entry("/etc/fw/b", link("/anywhere/../else")),
            entry("/etc/fw.conf", file()),
        ];
        let mut entries = entries;
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        validate(&Manifest { entries }, &tree()).expect("it fits");
    }

    #[test]
    fn what_leaves_the_configured_paths_is_refused() {
        let folder = || entry("/etc/fw", Kind::Folder);
        for path in [
            "/etc/passwd",
            "/etc/fw/../passwd",
            "/etc/fw/./a",
            "/etc/fw//a",
            "/etc/fw/",
            "etc/fw/a",
            "",
            "/",
            "/etc/fwother",
            "/etc/fw/a\0b",
            "/etc/fw/.a.spared",
            "/etc/fw/x.local",
        ] {
            refused(vec![folder(), entry(path, file())]);
        }
        let long = format!("/etc/fw/{}", "n".repeat(4096));
        assert!(refused(vec![folder(), entry(&long, file())]).len() < 300);
        // through a link, or a folder that is not in the manifest
        refused(vec![
            entry("/etc/fw", link("/root")),
            entry("/etc/fw/a", file()),
        ]);
        refused(vec![entry("/etc/fw/a", file())]);
        refused(vec![folder(), entry("/etc/fw/b/a", file())]);
    }

    #[test]
    fn rights_that_no_configuration_needs_are_refused() {
        let with = |change: &dyn Fn(&mut Entry)| {
            let mut file = entry("/etc/fw.conf", file());
            change(&mut file);
            refused(vec![file])
        };
        with(&|it| it.access.mode = 0o4755);
        with(&|it| it.access.mode = 0o2755);
        with(&|it| it.access.mode = 0o20644);
        with(&|it| it.access.owner = "a:b".to_owned());
        with(&|it| it.access.group = "\n".to_owned());
        with(&|it| it.modified = (0, 1_000_000_000));
        with(&|it| it.access.xattrs = vec![("security.capability".to_owned(), vec![1])]);
        with(&|it| it.access.xattrs = vec![("trusted.x".to_owned(), vec![1])]);
        with(&|it| it.access.xattrs = vec![("user.x".to_owned(), vec![0; 1 << 17])]);
        with(&|it| it.kind = link(""));
        with(&|it| {
            let hash = Hash::of(b"");
            let size = u64::MAX;
            it.kind = Kind::File { size, hash };
        });
    }

    #[test]
    fn too_many_files_and_a_disorder_are_refused() {
        let one = |n: usize| entry(&format!("/etc/fw/{n:07}"), file());
        let why = refused((0..=FILES_MAX).map(one).collect());
        assert_eq!(why, format!("{} files, allowed {FILES_MAX}", FILES_MAX + 1));
        let folder = || entry("/etc/fw", Kind::Folder);
        refused(vec![folder(), one(1), one(1)]);
        refused(vec![folder(), one(2), one(1)]);
    }
}
