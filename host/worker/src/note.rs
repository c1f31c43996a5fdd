//! Reads the descriptor of a plugin from the note in its file, without running its code.

use std::fs::File;
use std::os::fd::BorrowedFd;

use object::elf::{FileHeader32, FileHeader64, PT_NOTE};
use object::read::elf::{FileHeader, ProgramHeader};
use object::{Endianness, FileKind, ReadCache};
use spared_contract::{Descriptor, note};

use crate::capabilities;

/// The most program headers of a file; shared objects have some ten.
const HEADERS_MAX: usize = 64;
/// Size of all notes that are looked at.
const NOTES_MAX: u64 = 64 * 1024;

/// The descriptor; None if the file has no such note, as a plugin in C.
///
/// # Errors
/// What is wrong with the note.
pub(crate) fn read(file: BorrowedFd<'_>) -> Result<Option<Descriptor>, String> {
    let file = file.try_clone_to_owned().map_err(|it| it.to_string())?;
    let cache = ReadCache::new(File::from(file));
    let text = match FileKind::parse(&cache) {
        Ok(FileKind::Elf64) => text::<FileHeader64<Endianness>>(&cache),
        Ok(FileKind::Elf32) => text::<FileHeader32<Endianness>>(&cache),
        // what it is instead is said where it is loaded
        _ => return Ok(None),
    };
    // a file that is cut off has none, and the loader says what is wrong with it
    let Ok(Some(text)) = text else {
        return Ok(None);
    };
    note::parse(&text, capabilities::number).map(Some)
}

/// The text of the note, NUL bytes at its end included.
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
