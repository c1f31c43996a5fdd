//! Reads dhcpd's configuration.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::{Files, Places};
use crate::codec::dhcpd::lexer::{Token, statement};

/// Statements that define a pool.
const RANGES: [&str; 3] = ["range", "range6", "prefix6"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}

impl Family {
    fn option(self) -> &'static [u8] {
        match self {
            Self::V4 => b"lease-file-name",
            Self::V6 => b"dhcpv6-lease-file-name",
        }
    }

    fn leases(self) -> &'static str {
        match self {
            Self::V4 => "/var/lib/dhcp/dhcpd.leases",
            Self::V6 => "/var/lib/dhcp/dhcpd6.leases",
        }
    }
}

pub fn read(files: &mut Files, path: &Path, family: Family) -> Result<Places, String> {
    let mut pools = Vec::new();
    let leases = leases(files, path, family, &mut pools)?;
    let leases = leases.unwrap_or_else(|| family.leases().into());
    Ok(Places {
        pools,
        ..Places::of(leases)
    })
}

/// Returns the lease file if it is configured, and adds the pools to `pools`.
fn leases(
    files: &mut Files,
    path: &Path,
    family: Family,
    pools: &mut Vec<String>,
) -> Result<Option<PathBuf>, String> {
    let source = files.read(path)?;
    let mut rest = source.as_slice();
    let mut found = None;
    while let Some(statement) = statement(&mut rest) {
        pools.extend(ranges(statement.body.unwrap_or_default()));
        let [Token::Word(word), Token::Text(text)] = statement.tokens.as_slice() else {
            continue;
        };
        let named = Path::new(OsStr::from_bytes(text));
        if word.eq_ignore_ascii_case(family.option()) {
            found = Some(named.to_owned());
        } else if word.eq_ignore_ascii_case(b"include") {
            found = files
                .include(named, |files| leases(files, named, family, pools))?
                .or(found);
        }
    }
    Ok(found)
}

/// Returns the ranges of addresses and prefixes in a block and the blocks nested in it.
fn ranges(body: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    let mut blocks = vec![body];
    while let Some(mut rest) = blocks.pop() {
        while let Some(statement) = statement(&mut rest) {
            blocks.extend(statement.body);
            let words = statement.tokens.iter().map(|token| match token {
                Token::Word(word) => String::from_utf8_lossy(word),
                Token::Text(text) => String::from_utf8_lossy(text),
            });
            let words: Vec<_> = words.collect();
            let is_range = |word: &str| RANGES.iter().any(|it| word.eq_ignore_ascii_case(it));
            if words.first().is_some_and(|word| is_range(word)) {
                found.push(words.join(" "));
            }
        }
    }
    found
}
