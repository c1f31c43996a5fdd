//! Names that a shared object exports, from its dynamic symbol table.

use object::{Object, ObjectSymbol, ObjectSymbolTable, SymbolScope};

/// The exported names. None: not an ELF file, or without a readable table.
pub fn exported(file: &[u8]) -> Option<Vec<String>> {
    let file = object::File::parse(file).ok()?;
    let symbols = file.dynamic_symbol_table()?.symbols();
    let seen = symbols.filter(|it| !it.is_undefined() && it.scope() == SymbolScope::Dynamic);
    Some(
        seen.filter_map(|it| it.name().ok().map(str::to_owned))
            .collect(),
    )
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
    fn a_real_file_that_is_cut_or_altered_is_no_panic() {
        let test = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        for length in (0..test.len()).step_by(test.len() / 50 + 1) {
            exported(&test[..length]);
        }
        for place in 0..64 {
            let mut altered = test.clone();
            altered[place] ^= 0xff;
            exported(&altered);
        }
    }

    /// A header, two dynamic symbols, their names, three section headers.
    fn library_of_32_bits_and_big_endian() -> Vec<u8> {
        const SYMBOLS: u32 = 52;
        const NAMES: u32 = SYMBOLS + 2 * 16;
        const SECTIONS: u32 = NAMES + 20;
        let mut file = b"\x7fELF\x01\x02\x01\0\0\0\0\0\0\0\0\0".to_vec();
        let mut put = |words: &[u32]| {
            file.extend(words.iter().flat_map(|word| word.to_be_bytes()));
        };
        // ET_DYN of MIPS; three sections, the third with all names
        put(&[
            0x0003_0008,
            1,
            0,
            0,
            SECTIONS,
            0,
            0x0034_0000,
            40,
            0x0003_0002,
        ]);
        // STB_GLOBAL, STT_FUNC, STV_DEFAULT, in section 1
        put(&[0, 0, 0, 0, 1, 0x10, 4, 0x1200_0001]);
        file.extend(b"\0spared_plugin_main\0");
        let mut put = |words: [u32; 10]| {
            file.extend(words.iter().flat_map(|word| word.to_be_bytes()));
        };
        put([0; 10]);
        put([0, 11, 2, 0, SYMBOLS, 32, 2, 1, 4, 16]);
        put([0, 3, 2, 0, NAMES, 20, 0, 0, 1, 0]);
        file
    }

    #[test]
    fn a_library_for_another_kind_of_processor_is_read() {
        let names = exported(&library_of_32_bits_and_big_endian());
        assert_eq!(names, Some(vec!["spared_plugin_main".to_owned()]));
    }

    #[test]
    fn the_names_of_a_real_library_are_found() {
        let test = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        // a program exports little: only that its table is read matters
        assert!(exported(&test).is_some());
    }
}
