//! Owners by name: numbers differ between machines, names do not.

use std::collections::HashMap;

use nix::unistd::{Gid, Group, Uid, User};

/// Names and numbers of accounts, each asked for once: with NSS a question may go to a server.
#[derive(Debug, Default)]
pub struct Accounts {
    users: HashMap<u32, String>,
    groups: HashMap<u32, String>,
}

impl Accounts {
    pub fn user(&mut self, uid: u32) -> String {
        let ask = || User::from_uid(Uid::from_raw(uid)).ok().flatten();
        let name = || ask().map_or_else(|| format!("#{uid}"), |user| user.name);
        self.users.entry(uid).or_insert_with(name).clone()
    }

    pub fn group(&mut self, gid: u32) -> String {
        let ask = || Group::from_gid(Gid::from_raw(gid)).ok().flatten();
        let name = || ask().map_or_else(|| format!("#{gid}"), |group| group.name);
        self.groups.entry(gid).or_insert_with(name).clone()
    }

    /// # Errors
    /// This machine has no account of that name.
    pub fn uid(name: &str) -> Result<u32, String> {
        if let Some(number) = number(name) {
            return Ok(number);
        }
        match User::from_name(name) {
            Ok(Some(user)) => Ok(user.uid.as_raw()),
            _ => Err(format!("there is no user \"{name}\" here")),
        }
    }

    /// # Errors
    /// This machine has no group of that name.
    pub fn gid(name: &str) -> Result<u32, String> {
        if let Some(number) = number(name) {
            return Ok(number);
        }
        match Group::from_name(name) {
            Ok(Some(group)) => Ok(group.gid.as_raw()),
            _ => Err(format!("there is no group \"{name}\" here")),
        }
    }
}

fn number(name: &str) -> Option<u32> {
    name.strip_prefix('#')
        .and_then(|digits| digits.parse().ok())
}
