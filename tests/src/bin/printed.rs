// SPDX-License-Identifier: MIT OR Apache-2.0
//! `make messages`: every line that the programs print, with its place.

use std::path::Path;

use spared_tests::{Result, printed, say};

fn main() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for line in printed::lines(&root)? {
        say!("{}:{}: {}", line.file, line.number, line.text);
    }
    Ok(())
}
