//! The names that a shared object exports: the dynamic symbol table of an ELF file, 64 bits.

/// Kinds of sections and symbols, of elf(5).
const SHT_DYNSYM: u32 = 11;
const STB_LOCAL: u8 = 0;
const STV_DEFAULT: u8 = 0;
const SYMBOL_BYTES: usize = 24;

/// None where the file has none that can be read.
pub fn exported(file: &[u8]) -> Option<Vec<String>> {
    // e_ident: 64 bits, this machine's byte order.
    let order = if cfg!(target_endian = "little") { 1 } else { 2 };
    if !file.starts_with(b"\x7fELF\x02") || file.get(5) != Some(&order) {
        return None;
    }
    let sections = usize::try_from(number::<8>(file, 40)?).ok()?;
    let section_bytes = usize::try_from(number::<2>(file, 58)?).ok()?;
    let count = usize::try_from(number::<2>(file, 60)?).ok()?;
    let section =
        |index: usize| file.get(sections.checked_add(index.checked_mul(section_bytes)?)?..);
    let symbols = (0..count)
        .filter_map(section)
        .find(|header| number::<4>(header, 4) == Some(SHT_DYNSYM.into()))?;
    let strings = content(
        file,
        section(usize::try_from(number::<4>(symbols, 40)?).ok()?)?,
    )?;
    let symbols = content(file, symbols)?;
    Some(
        symbols
            .chunks_exact(SYMBOL_BYTES)
            .filter_map(|symbol| name(symbol, strings))
            .collect(),
    )
}

/// The bytes of a section: sh_offset, sh_size.
fn content<'a>(file: &'a [u8], header: &[u8]) -> Option<&'a [u8]> {
    let offset = usize::try_from(number::<8>(header, 24)?).ok()?;
    let size = usize::try_from(number::<8>(header, 32)?).ok()?;
    file.get(offset..offset.checked_add(size)?)
}

/// The name of a symbol that others can see and that is defined here.
fn name(symbol: &[u8], strings: &[u8]) -> Option<String> {
    let (info, other) = (*symbol.get(4)?, *symbol.get(5)?);
    let defined = number::<2>(symbol, 6)? != 0;
    if info >> 4 == STB_LOCAL || other & 3 != STV_DEFAULT || !defined {
        return None;
    }
    let start = strings.get(usize::try_from(number::<4>(symbol, 0)?).ok()?..)?;
    let end = start.iter().position(|byte| *byte == 0)?;
    std::str::from_utf8(start.get(..end)?)
        .ok()
        .map(str::to_owned)
}

/// `N` bytes at `offset`, in this machine's order.
fn number<const N: usize>(bytes: &[u8], offset: usize) -> Option<u64> {
    let bytes: &[u8; N] = bytes.get(offset..offset.checked_add(N)?)?.try_into().ok()?;
    let mut wide = [0; 8];
    let place = if cfg!(target_endian = "little") {
        0..N
    } else {
        8 - N..8
    };
    wide.get_mut(place)?.copy_from_slice(bytes);
    Some(u64::from_ne_bytes(wide))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_has_no_names_and_is_no_panic() {
        let mut file = b"\x7fELF\x02\x01".to_vec();
        file.resize(64, 0xff);
        for length in 0..=file.len() {
            exported(&file[..length]);
        }
        assert_eq!(exported(b"no file at all"), None);
        assert_eq!(exported(&file), None);
    }

    #[test]
    fn the_names_of_a_real_library_are_found() {
        let test = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        // A program exports little; what matters is that its table is read.
        assert!(exported(&test).is_some());
    }
}
