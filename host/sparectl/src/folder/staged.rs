//! A folder beside the present files, in which `spared check` reads new ones before they are written.

use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use rustix::io::Errno;
use spared_file::{Access, replace};
use spared_pairing::Texts;

use super::{Folder, KEY, host_text, inner_secret};

/// Folder with new files, the key and the passphrase, which `spared check` reads; removed at the end.
pub(super) struct Staged(pub(super) PathBuf);

impl Staged {
    pub(super) fn new<'s>(
        folder: &Folder,
        texts: &Texts,
        secret: impl Fn(&str) -> Option<&'s [u8]>,
    ) -> io::Result<Self> {
        let path = folder.path.join(".pairing");
        // left by a program that was killed
        let _ = fs::remove_dir_all(&path);
        let mut builder = DirBuilder::new();
        builder.mode(0o700).create(&path)?;
        let staged = Self(path);
        builder.create(staged.0.join("plugins"))?;
        for (name, text) in texts {
            fs::write(staged.0.join(name), text)?;
        }
        let passphrase = inner_secret(host_text(texts)).filter(|it| it != KEY);
        builder.recursive(true);
        for name in [Some(KEY.to_owned()), passphrase].into_iter().flatten() {
            let path = staged.0.join(&name);
            builder.create(path.parent().unwrap_or(&staged.0))?;
            if let Some(content) = secret(&name) {
                replace(&path, content, Access::Private, || Ok(())).map_err(io::Error::other)?;
                continue;
            }
            let there = folder.path.join(&name);
            // the same file, so that there is no second copy of it; the check says if it is missing
            match fs::hard_link(&there, &path) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                // mounted into the folder
                Err(error) if Errno::from_io_error(&error) == Some(Errno::XDEV) => {
                    fs::copy(there, path)?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(staged)
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
