//! The file: replaced by rename, readable by its owner only.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::{Now, Resolved};

const NAME: &str = "resolved.json";
const SIZE_MAX: u64 = 1024 * 1024;

/// Where it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    folder: PathBuf,
}

impl Store {
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// What was resolved before this start. A file that cannot be believed is none, with a
    /// warning: the election decides, as if nobody had said anything.
    pub fn read(&self, now: Now) -> Resolved {
        let path = self.path();
        let text = match read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Resolved::default(),
            Err(error) => return refuse(&path, &error.to_string()),
        };
        Resolved::from_text(&text, now).unwrap_or_else(|why| refuse(&path, &why))
    }

    /// # Errors
    /// What the system refused; the file of before is still there.
    pub fn write(&self, resolved: &Resolved) -> Result<(), String> {
        let path = self.path();
        let say = |error: io::Error| format!("{}: {error}", path.display());
        fs::create_dir_all(&self.folder).map_err(say)?;
        let next = self.folder.join(format!(".{NAME}.new"));
        // Left by a host that was killed, and perhaps not ours.
        let _ = fs::remove_file(&next);
        let file = replace(&next, &path, resolved.to_text().as_bytes()).map_err(say)?;
        let folder = File::open(&self.folder).map_err(say)?;
        // A process that is killed loses nothing. A disk takes its time, and the loop none: that
        // a power cut loses nothing either, another thread sees to.
        let flush = move || file.sync_all().and_then(|()| folder.sync_all());
        let _ = std::thread::Builder::new()
            .name("flush".to_owned())
            .spawn(flush);
        Ok(())
    }

    fn path(&self) -> PathBuf {
        self.folder.join(NAME)
    }
}

fn replace(next: &Path, path: &Path, text: &[u8]) -> io::Result<File> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(next)?;
    file.write_all(text)?;
    fs::rename(next, path)?;
    Ok(file)
}

fn read(path: &Path) -> io::Result<String> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)?;
    let facts = file.metadata()?;
    let own = rustix::process::geteuid().as_raw();
    if !facts.is_file() || facts.uid() != own || facts.mode() & 0o022 != 0 {
        return Err(io::Error::other("others may write it"));
    }
    let mut text = String::new();
    file.take(SIZE_MAX).read_to_string(&mut text)?;
    Ok(text)
}

fn refuse(path: &Path, why: &str) -> Resolved {
    log::warn!(
        "{}: {why}: nothing is forced, and there is no maintenance",
        path.display()
    );
    Resolved::default()
}
