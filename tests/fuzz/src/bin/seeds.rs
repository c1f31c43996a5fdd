//! Writes what the code itself encodes into the committed corpora, in place of what was there of it.

use std::fs;
use std::io;
use std::path::Path;

use spared_fuzz_targets::{TARGETS, Target};

fn main() -> io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds");
    TARGETS
        .iter()
        .try_for_each(|target| write(&folder.join(target.name), target))
}

fn write(folder: &Path, target: &Target) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for entry in folder.read_dir()? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("made-") {
            fs::remove_file(entry.path())?;
        }
    }
    let seeds = (target.seeds)();
    for (number, seed) in seeds.iter().enumerate() {
        fs::write(folder.join(format!("made-{number:02}")), seed)?;
    }
    println!("{}: {}", target.name, seeds.len());
    Ok(())
}
