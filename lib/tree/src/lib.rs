//! Trees of files: code shared by the two halves of the plugin `files`, and by `sparectl files diff`.
//!
//! | file | holds |
//! |---|---|
//! | `builtin.rs` | the tree of spared's own configuration |
//! | `config.rs` | the file files.toml, which both halves read |
//! | `acl.rs` | access lists with accounts by name |
//! | `entry.rs` | a manifest: every file, folder and link of a tree |
//! | `validate.rs` | the decision whether a manifest of the peer may be put in place here |
//! | `compare.rs` | the differences of two manifests |
//! | `root_folder.rs` | opening files of a tree without following a link |
//! | `scan.rs` | reading the manifest of a tree from the disk |
//! | `own.rs` | lines of a file that belong to one node |
//! | `scope.rs` | the paths and patterns of a tree at an earlier time |
//! | `local.rs` | messages between the two halves |

#![forbid(unsafe_code)]

mod accounts;
pub mod acl;
pub mod builtin;
mod compare;
pub mod config;
pub mod local;
mod manifest;
pub mod own;
mod root_folder;
mod scan;
mod scope;
mod validate;

pub use accounts::Accounts;
pub use compare::{Change, What, compare};
pub use manifest::{Access, Entry, Hash, Hasher, Kind, Manifest};
pub use root_folder::{Place, RootFolder};
pub use scan::{Fault, Scanner, xattrs};
pub use scope::Scope;
pub use validate::{
    BYTES_MAX, FILES_MAX, Refused, is_replicated_xattr, is_temporary_name, validate,
};

/// Maximum length of an encoded manifest, in bytes: [`FILES_MAX`] entries of 300 bytes each.
pub const MANIFEST_MAX: usize = 16 << 20;

/// Maximum size of a content that `sparectl files diff` shows, in bytes.
pub const SHOWN_MAX: u64 = 256 << 10;
