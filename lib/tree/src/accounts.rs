//! Accounts by name: numbers differ between machines, names do not.

use std::collections::HashMap;
use std::io;

use nix::errno::Errno;
use nix::unistd::{Gid, Group, Uid, User};

/// Names and numbers of accounts, each looked up once per scan of a tree: NSS may query a server.
#[derive(Debug)]
pub struct Accounts {
    users: Names,
    groups: Names,
}

#[derive(Debug)]
struct Names {
    ask: fn(u32) -> nix::Result<Option<String>>,
    known: HashMap<u32, String>,
    /// Names from the scan before, used if a lookup fails now.
    before: HashMap<u32, String>,
}

impl Default for Accounts {
    fn default() -> Self {
        let user = |uid| Ok(User::from_uid(Uid::from_raw(uid))?.map(|it| it.name));
        let group = |gid| Ok(Group::from_gid(Gid::from_raw(gid))?.map(|it| it.name));
        Self {
            users: Names::new(user),
            groups: Names::new(group),
        }
    }
}

impl Names {
    fn new(ask: fn(u32) -> nix::Result<Option<String>>) -> Self {
        let (known, before) = (HashMap::new(), HashMap::new());
        Self { ask, known, before }
    }

    fn forget(&mut self) {
        for (number, name) in self.known.drain() {
            self.before.insert(number, name);
        }
    }

    /// Returns the name of a number. A failed lookup does not return `#NUMBER`, because that would be another owner,
    /// but the name of the last scan, so that a change that cut this node off from its account server can be undone.
    fn of(&mut self, number: u32) -> io::Result<String> {
        if let Some(name) = self.known.get(&number) {
            return Ok(name.clone());
        }
        let name = match (self.ask)(number) {
            Ok(Some(name)) => name,
            // some services answer so for a number that has no name
            Ok(None) | Err(Errno::ENOENT | Errno::ESRCH | Errno::EBADF | Errno::EPERM) => {
                format!("#{number}")
            }
            Err(errno) => match self.before.get(&number) {
                Some(name) => name.clone(),
                None => {
                    let why = format!("cannot look up the name of account {number}: {errno}");
                    return Err(io::Error::other(why));
                }
            },
        };
        self.known.insert(number, name.clone());
        Ok(name)
    }
}

impl Accounts {
    /// Looks up all names again from now on.
    pub fn forget(&mut self) {
        self.users.forget();
        self.groups.forget();
    }

    /// # Errors
    /// The lookup failed.
    pub fn user(&mut self, uid: u32) -> io::Result<String> {
        self.users.of(uid)
    }

    /// # Errors
    /// The lookup failed.
    pub fn group(&mut self, gid: u32) -> io::Result<String> {
        self.groups.of(gid)
    }

    /// Checks that a file of this user is found to be this user's once it is in place.
    ///
    /// # Errors
    /// This machine has no such user, or knows it by another name.
    pub fn check_user(&mut self, name: &str) -> Result<(), String> {
        let uid = Self::uid(name)?;
        let is = self.user(uid).map_err(|error| error.to_string())?;
        is_known_by("user", name, &is, uid)
    }

    /// Checks that a file of this group is found to be this group's once it is in place.
    ///
    /// # Errors
    /// This machine has no such group, or knows it by another name.
    pub fn check_group(&mut self, name: &str) -> Result<(), String> {
        let gid = Self::gid(name)?;
        let is = self.group(gid).map_err(|error| error.to_string())?;
        is_known_by("group", name, &is, gid)
    }

    /// # Errors
    /// This machine has no account of that name.
    pub fn uid(name: &str) -> Result<u32, String> {
        number("user", name, || {
            Ok(User::from_name(name)?.map(|it| it.uid.as_raw()))
        })
    }

    /// # Errors
    /// This machine has no group of that name.
    pub fn gid(name: &str) -> Result<u32, String> {
        number("group", name, || {
            Ok(Group::from_name(name)?.map(|it| it.gid.as_raw()))
        })
    }
}

fn number(
    what: &str,
    name: &str,
    ask: impl FnOnce() -> nix::Result<Option<u32>>,
) -> Result<u32, String> {
    if let Some(number) = unnamed(name) {
        return Ok(number);
    }
    let found = ask().map_err(|errno| format!("cannot look up {what} \"{name}\" here: {errno}"))?;
    found.ok_or_else(|| format!("there is no {what} \"{name}\" here"))
}

/// Number of an account without a name, as a scan writes it.
fn unnamed(name: &str) -> Option<u32> {
    let number: u32 = name.strip_prefix('#')?.parse().ok()?;
    (format!("#{number}") == name).then_some(number)
}

/// Checks that a scan here gives the name of a file's account for the number that the file gets.
fn is_known_by(what: &str, name: &str, is: &str, number: u32) -> Result<(), String> {
    match unnamed(name) {
        _ if is == name => Ok(()),
        Some(_) => Err(format!(
            "{what} {number} has no name in the new files and is \"{is}\" here: give the file to a named account"
        )),
        None => Err(format!(
            "{what} \"{name}\" is \"{is}\" here, as both have the number {number}: give the file to that account"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_without_an_answer_is_no_number_without_a_name() {
        let mut names = Names::new(|_| Err(Errno::EMFILE));
        let why = names.of(7).expect_err("no answer").to_string();
        assert!(
            why.starts_with("cannot look up the name of account 7"),
            "{why}"
        );
        // and the name is looked up again
        names.ask = |_| Ok(Some("seven".to_owned()));
        assert_eq!(names.of(7).expect("an answer"), "seven");
        for ask in [|_| Ok(None), |_| Err(Errno::ENOENT)] as [fn(u32) -> nix::Result<_>; 2] {
            let mut names = Names::new(ask);
            assert_eq!(names.of(7).expect("an answer"), "#7");
        }
    }

    #[test]
    fn an_account_that_a_scan_here_would_name_otherwise_is_refused() {
        let mut accounts = Accounts::default();
        accounts.users.ask = |uid| Ok((uid == 0).then(|| "root".to_owned()));
        accounts.groups.ask = |gid| Ok((gid == 0).then(|| "wheel".to_owned()));
        assert_eq!(accounts.check_user("root"), Ok(()));
        assert_eq!(accounts.check_user("#7"), Ok(()));
        let why = accounts.check_user("#0").expect_err("root");
        let expected = "user 0 has no name in the new files and is \"root\" here: give the file to a named account";
        assert_eq!(why, expected);
        // two names of one number
        let why = accounts.check_group("root").expect_err("wheel");
        let expected = "group \"root\" is \"wheel\" here, as both have the number 0: give the file to that account";
        assert_eq!(why, expected);
        // another way to write the number
        let why = accounts.check_user("#+7").expect_err("no name");
        assert_eq!(why, "there is no user \"#+7\" here");
    }

    #[test]
    fn an_account_that_was_renamed_is_asked_for_again() {
        let mut accounts = Accounts::default();
        accounts.users.ask = |_| Ok(Some("before".to_owned()));
        assert_eq!(accounts.user(7).expect("an answer"), "before");
        accounts.users.ask = |_| Ok(Some("after".to_owned()));
        assert_eq!(accounts.user(7).expect("an answer"), "before");
        accounts.forget();
        assert_eq!(accounts.user(7).expect("an answer"), "after");
        accounts.forget();
        accounts.users.ask = |_| Err(Errno::ECONNREFUSED);
        assert_eq!(accounts.user(7).expect("of the look before"), "after");
        accounts.user(8).expect_err("nobody has ever said it");
    }
}
