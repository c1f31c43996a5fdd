//! POSIX access lists with accounts by name, like owners: numbers differ between machines, and a list by number would
//! give one account's right to another.
//!
//! The kernel's form is a version and then eight bytes for each line: tag, permissions, number. In a manifest each line
//! is `TAG:NAME:PERMISSIONS`, sorted by tag and name, independent of the numbers.

use std::io;

use crate::Accounts;

/// Extended attributes that are access lists.
const LISTS: [&str; 2] = ["system.posix_acl_access", "system.posix_acl_default"];
const VERSION: [u8; 4] = 2_u32.to_le_bytes();
const LINE: usize = 8;
/// Tags of lines that concern one account.
const USER: u16 = 0x02;
const GROUP: u16 = 0x08;
/// Number in a line that concerns no account.
const NOBODY: u32 = u32::MAX;
const PERMISSIONS_MAX: u16 = 0o7;

/// An extended attribute: its name and its value.
pub type Xattr = (String, Vec<u8>);

/// Line of a list in a manifest.
struct Line<'l> {
    tag: u16,
    name: &'l str,
    permissions: u16,
}

pub fn is_list(xattr: &str) -> bool {
    LISTS.contains(&xattr)
}

/// Converts attributes to the form that they have in a manifest.
///
/// # Errors
/// The name of an account could not be looked up.
pub fn by_name(xattrs: Vec<Xattr>, accounts: &mut Accounts) -> io::Result<Vec<Xattr>> {
    let named = |(name, value): Xattr| {
        if is_list(&name) {
            Ok((name, named(&value, accounts)?))
        } else {
            Ok((name, value))
        }
    };
    xattrs.into_iter().map(named).collect()
}

/// Converts attributes of a manifest to the form of this machine's kernel.
///
/// # Errors
/// This machine lacks an account, or the list is malformed.
pub fn by_number(xattrs: &[Xattr]) -> Result<Vec<Xattr>, String> {
    let numbered = |(name, value): &Xattr| {
        if is_list(name) {
            Ok((name.clone(), numbered(value)?))
        } else {
            Ok((name.clone(), value.clone()))
        }
    };
    xattrs.iter().map(numbered).collect()
}

/// Names of the users and of the groups in the lists of a manifest.
pub fn accounts(xattrs: &[Xattr]) -> (Vec<&str>, Vec<&str>) {
    let lists = xattrs.iter().filter(|(name, _)| is_list(name));
    let lines: Vec<Line<'_>> = lists
        .flat_map(|(_, value)| lines(value).unwrap_or_default())
        .collect();
    let of = |tag: u16| {
        let lines = lines.iter().filter(|line| line.tag == tag);
        lines.map(|line| line.name).collect()
    };
    (of(USER), of(GROUP))
}

/// # Errors
/// The reason why this is not a list of a manifest.
pub fn check(value: &[u8], is_name: impl Fn(&str) -> bool) -> Result<(), String> {
    let lines = lines(value)?;
    let is_fine = |line: &Line<'_>| match line.tag {
        USER | GROUP => is_name(line.name),
        _ => line.name.is_empty(),
    };
    if lines
        .iter()
        .all(|line| is_fine(line) && line.permissions <= PERMISSIONS_MAX)
    {
        Ok(())
    } else {
        Err("has a malformed access list".to_owned())
    }
}

fn named(value: &[u8], accounts: &mut Accounts) -> io::Result<Vec<u8>> {
    let malformed = || io::Error::other("has an access list in an unknown format");
    let rest = value.strip_prefix(&VERSION).ok_or_else(malformed)?;
    if rest.len() % LINE != 0 {
        return Err(malformed());
    }
    let mut lines = Vec::new();
    for line in rest.chunks_exact(LINE) {
        let [t0, t1, p0, p1, number @ ..] = line else {
            return Err(malformed());
        };
        let tag = u16::from_le_bytes([*t0, *t1]);
        let permissions = u16::from_le_bytes([*p0, *p1]);
        let number = number.try_into().map_err(|_| malformed())?;
        let number = u32::from_le_bytes(number);
        let name = match tag {
            USER => accounts.user(number)?,
            GROUP => accounts.group(number)?,
            _ => String::new(),
        };
        lines.push((tag, name, permissions));
    }
    lines.sort();
    let text =
        |(tag, name, permissions): &(u16, String, u16)| format!("{tag}:{name}:{permissions}\n");
    Ok(lines.iter().map(text).collect::<String>().into_bytes())
}

fn numbered(value: &[u8]) -> Result<Vec<u8>, String> {
    let mut bytes = VERSION.to_vec();
    for line in lines(value)? {
        let number = match line.tag {
            USER => Accounts::uid(line.name)?,
            GROUP => Accounts::gid(line.name)?,
            _ => NOBODY,
        };
        bytes.extend(line.tag.to_le_bytes());
        bytes.extend(line.permissions.to_le_bytes());
        bytes.extend(number.to_le_bytes());
    }
    Ok(bytes)
}

fn lines(value: &[u8]) -> Result<Vec<Line<'_>>, String> {
    let malformed = || "has a malformed access list".to_owned();
    let text = std::str::from_utf8(value).map_err(|_| malformed())?;
    let line = |line| {
        let mut parts = str::split(line, ':');
        let (tag, name) = (parts.next()?.parse().ok()?, parts.next()?);
        let permissions = parts.next()?.parse().ok()?;
        parts.next().is_none().then_some(Line {
            tag,
            name,
            permissions,
        })
    };
    text.lines()
        .map(|it| line(it).ok_or_else(malformed))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCESS: &str = LISTS[0];

    fn list(lines: &[(u16, u16, u32)]) -> Vec<u8> {
        let mut bytes = VERSION.to_vec();
        for (tag, permissions, number) in lines {
            bytes.extend(tag.to_le_bytes());
            bytes.extend(permissions.to_le_bytes());
            bytes.extend(number.to_le_bytes());
        }
        bytes
    }

    #[test]
    fn accounts_of_a_list_go_by_name_and_come_back_as_this_machines_numbers() {
        let kernels = list(&[
            (0x01, 6, NOBODY),
            (USER, 4, 0),
            (USER, 6, 4_000_000_001),
            (0x04, 4, NOBODY),
            (GROUP, 5, 0),
            (0x10, 7, NOBODY),
            (0x20, 0, NOBODY),
        ]);
        let user = ("user.note".to_owned(), b"x".to_vec());
        let xattrs = vec![(ACCESS.to_owned(), kernels.clone()), user.clone()];
        let named = by_name(xattrs.clone(), &mut Accounts::default()).expect("names");
        let text = "1::6\n2:#4000000001:6\n2:root:4\n4::4\n8:root:5\n16::7\n32::0\n";
        assert_eq!(named[0].1, text.as_bytes());
        assert_eq!(named[1], user);
        assert_eq!(
            accounts(&named),
            (vec!["#4000000001", "root"], vec!["root"])
        );
        // sorted by name here, but the same list
        let back = by_number(&named).expect("accounts");
        assert_eq!(back[0].1.len(), kernels.len());
        let again = by_name(back, &mut Accounts::default()).expect("names");
        assert_eq!(again, named);
    }

    #[test]
    fn an_account_that_is_not_here_is_named_and_a_list_by_number_is_refused() {
        let of = |text: &str| vec![(ACCESS.to_owned(), text.as_bytes().to_vec())];
        let why = by_number(&of("2:nobody-of-this-name:6\n")).expect_err("no such account");
        assert_eq!(why, "there is no user \"nobody-of-this-name\" here");
        let is_name = |name: &str| !name.is_empty() && !name.contains('/');
        let of_kernel = list(&[(USER, 6, 1000)]);
        for wrong in [
            &of_kernel[..],
            b"\xff",
            b"2:a",
            b"2::6",
            b"1:a:6",
            b"2:a/b:6",
            b"2:a:8",
            b"2:a:6:7",
        ] {
            check(wrong, is_name).expect_err("no list of a manifest");
        }
        check(b"1::6\n2:bob:4\n", is_name).expect("a list");
    }
}
