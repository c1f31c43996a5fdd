//! Accounts by name, from /etc/passwd and /etc/group.

use std::fs;

const NOBODY: (u32, u32) = (65534, 65534);

/// The user and group that plugins run as: the named account, `nobody` where it does not exist;
/// None where this process may not change to it.
pub fn for_plugins(name: &str) -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let account = user(name).unwrap_or(NOBODY);
    (is_mapped("uid_map", account.0) && is_mapped("gid_map", account.1)).then_some(account)
}

/// A user's id and group.
pub fn user(name: &str) -> Option<(u32, u32)> {
    let passwd = fs::read_to_string("/etc/passwd").ok()?;
    let fields = entry(&passwd, name)?;
    Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
}

/// A group's id.
pub fn group(name: &str) -> Option<u32> {
    let groups = fs::read_to_string("/etc/group").ok()?;
    entry(&groups, name)?.get(2)?.parse().ok()
}

fn entry<'t>(table: &'t str, name: &str) -> Option<Vec<&'t str>> {
    let mut entries = table
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>());
    entries.find(|fields| fields.first() == Some(&name))
}

// In a user namespace only what is mapped exists.
fn is_mapped(map: &str, id: u32) -> bool {
    let map = fs::read_to_string(format!("/proc/self/{map}")).unwrap_or_default();
    is_within(&map, id)
}

fn is_within(map: &str, id: u32) -> bool {
    map.lines().any(|line| {
        let numbers: Vec<u64> = line
            .split_ascii_whitespace()
            .filter_map(|number| number.parse().ok())
            .collect();
        match numbers.as_slice() {
            [first, _, count] => (*first..first.saturating_add(*count)).contains(&u64::from(id)),
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_found_by_name() {
        assert_eq!(user("root"), Some((0, 0)));
        assert_eq!(user("no such user"), None);
    }

    #[test]
    fn a_user_namespace_with_one_account_has_no_nobody() {
        assert!(is_within("0 0 4294967295", 65534));
        assert!(!is_within("0 1000 1", 65534));
        assert!(is_within("0 1000 1\n65534 1 1", 65534));
    }
}
