//! Reads the descriptor of a plugin from the note in its file, without running its code.

use std::fs::File;
use std::os::fd::BorrowedFd;

use object::elf::{FileHeader32, FileHeader64, PT_NOTE};
use object::read::elf::{FileHeader, ProgramHeader};
use object::{Endianness, FileKind, ReadCache};
use spared_contract::{Descriptor, note};

use crate::worker::capabilities;

/// Maximum number of program headers of a file; shared objects have about ten.
const HEADERS_MAX: usize = 64;
/// Maximum bytes of all notes that are read.
const NOTES_MAX: u64 = 64 * 1024;

/// Fault of a file, or of its note.
pub(crate) enum Fault {
    File(String),
    Note(String),
}

/// Reads the descriptor; None if the file has no such note.
///
/// # Errors
/// The fault.
pub(crate) fn read(file: BorrowedFd<'_>) -> Result<Option<Descriptor>, Fault> {
    let unread = |error: std::io::Error| Fault::File(format!("cannot be read: {error}"));
    let file = file.try_clone_to_owned().map_err(unread)?;
    let cache = ReadCache::new(File::from(file));
    let text = match FileKind::parse(&cache) {
        Ok(FileKind::Elf64) => text::<FileHeader64<Endianness>>(&cache),
        Ok(FileKind::Elf32) => text::<FileHeader32<Endianness>>(&cache),
        // the loader reports what else the file is
        _ => return Ok(None),
    };
    let text = text.map_err(|error| {
        Fault::File(format!(
            "is damaged ({error}): reinstall the package that it came from"
        ))
    })?;
    let parsed = text.map(|text| note::parse(&text, capabilities::number));
    parsed.transpose().map_err(Fault::Note)
}

/// Text of the note, with the NUL bytes at its end.
fn text<H: FileHeader<Endian = Endianness>>(
    file: &ReadCache<File>,
) -> Result<Option<Vec<u8>>, object::Error> {
    let header = H::parse(file)?;
    let endian = header.endian()?;
    let segments = header.program_headers(endian, file)?;
    for segment in segments.iter().take(HEADERS_MAX) {
        let size: u64 = segment.p_filesz(endian).into();
        if segment.p_type(endian) != PT_NOTE || size > NOTES_MAX {
            continue;
        }
        let Some(mut notes) = segment.notes(endian, file)? else {
            continue;
        };
        while let Some(found) = notes.next()? {
            let is_ours = found.name() == note::NAME.strip_suffix(b"\0").unwrap_or_default();
            if is_ours && found.n_type(endian).0 == note::TYPE {
                return Ok(Some(found.desc().to_vec()));
            }
        }
    }
    Ok(None)
}
