//! Tells builds of a program or a plugin apart.

use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Bytes at the begin of a file that are searched for the note with its build id.
const HEAD: u64 = 4096;
/// Longest build id.
const ID_MAX: usize = 64;

/// Build of a file: the id that the linker computed from its content or, without one, size and time of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Build(Vec<u8>);

impl Build {
    /// Returns the build of the file at a path; None if the file cannot be read.
    pub fn of(path: &Path) -> Option<Self> {
        // a FIFO in the file's place does not block
        let mut options = OpenOptions::new();
        let file = options.read(true).custom_flags(libc::O_NONBLOCK);
        let file = file.open(path).ok()?;
        let about = file.metadata().ok().filter(|it| it.is_file())?;
        let mut head = Vec::new();
        file.take(HEAD).read_to_end(&mut head).ok()?;
        let size_and_time = || {
            let time = [about.mtime(), about.mtime_nsec()].map(i64::to_ne_bytes);
            [about.size().to_ne_bytes(), time[0], time[1]].concat()
        };
        Some(Self(id(&head).map_or_else(size_and_time, <[u8]>::to_vec)))
    }
}

// Returns the description of the first note NT_GNU_BUILD_ID: lengths of the name "GNU\0" and of the id, the type 3, the
// name and the id.
fn id(head: &[u8]) -> Option<&[u8]> {
    head.windows(16).enumerate().find_map(|(at, note)| {
        let word = |at: usize| Some(u32::from_ne_bytes(*note.get(at..)?.first_chunk()?));
        let is_note = word(0) == Some(4) && word(8) == Some(3) && note.ends_with(b"GNU\0");
        let length = usize::try_from(word(4)?).ok()?;
        let length = Some(length).filter(|it| is_note && (1..=ID_MAX).contains(it))?;
        head.get(at + 16..at + 16 + length)
    })
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    fn a_program_has_the_id_of_its_linker() {
        let own = std::env::current_exe().expect("this program");
        let running = Build::of(Path::new("/proc/self/exe"));
        assert!(running.is_some());
        assert_eq!(running, Build::of(&own));
        let note = [4u32, 20, 3].map(u32::to_ne_bytes).concat();
        let note = [
            vec![0; 40],
            note,
            b"GNU\0".to_vec(),
            vec![7; 20],
            vec![9; 8],
        ]
        .concat();
        assert_eq!(id(&note), Some([7; 20].as_slice()));
        assert_eq!(id(&note[..60]), None, "cut off");
        let other = [4u32, 20, 1].map(u32::to_ne_bytes).concat();
        assert_eq!(id(&[other, b"GNU\0".to_vec(), vec![7; 20]].concat()), None);
    }

    #[test]
    fn a_file_without_an_id_is_told_by_its_size_and_time() {
        let path = std::env::temp_dir().join(format!("spared-build-{}", std::process::id()));
        let write = |text: &str, time: SystemTime| {
            fs::write(&path, text).expect("our own file");
            let file = File::options()
                .write(true)
                .open(&path)
                .expect("our own file");
            file.set_modified(time).expect("our own file");
            Build::of(&path)
        };
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let first = write("a plugin", at);
        assert!(first.is_some());
        assert_eq!(write("A plugin", at), first, "installed again");
        assert_ne!(write("a plugin", at + Duration::from_secs(1)), first);
        assert_ne!(write("another plugin", at), first);
        fs::remove_file(&path).expect("our own file");
        assert_eq!(Build::of(&path), None);
        assert_eq!(Build::of(Path::new("/")), None);
    }
}
