//! Finds the account of a user.

use std::fs;
use std::path::Path;

/// User id and group id of a user in /etc/passwd.
///
/// # Errors
/// A sentence: there is no such user, or the file cannot be read.
pub(super) fn account(root: &Path, user: &str) -> Result<(u32, u32), String> {
    let unread = |error| format!("user {user:?}: /etc/passwd cannot be read: {error}");
    let text = fs::read_to_string(root.join("etc/passwd")).map_err(unread)?;
    let accounts = text.lines().filter_map(|line| {
        let [name, _, user, group, ..] = *line.split(':').collect::<Vec<_>>() else {
            return None;
        };
        Some((name, (user.parse().ok()?, group.parse().ok()?)))
    });
    let mut accounts = accounts.filter(|(name, _)| *name == user);
    let found = accounts.next().map(|(_, account)| account);
    found.ok_or_else(|| format!("user {user:?} is not in /etc/passwd"))
}
