//! dhcpd's configuration.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::{Files, Places};
use crate::codec::dhcpd::lexer::{Token, statement};

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
    let leases = leases(files, path, family)?;
    Ok(Places::of(leases.unwrap_or_else(|| family.leases().into())))
}

fn leases(files: &mut Files, path: &Path, family: Family) -> Result<Option<PathBuf>, String> {
    let source = files.read(path)?;
    let mut rest = source.as_slice();
    let mut found = None;
    while let Some(statement) = statement(&mut rest) {
        let [Token::Word(word), Token::Text(text)] = statement.tokens.as_slice() else {
            continue;
        };
        let named = Path::new(OsStr::from_bytes(text));
        if word.eq_ignore_ascii_case(family.option()) {
            found = Some(named.to_owned());
        } else if word.eq_ignore_ascii_case(b"include") {
            found = files
                .include(named, |files| leases(files, named, family))?
                .or(found);
        }
    }
    Ok(found)
}
