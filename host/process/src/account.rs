//! Accounts of the processes that do not run as root. Each process has its own, so that none can signal, trace, stop or
//! slow another, or read the control socket.

use std::collections::BTreeMap;
use std::fs;
use std::ops::RangeInclusive;

/// User id and group id.
pub type Account = (u32, u32);

/// Prefix of an account's name. The package creates the accounts of its own plugins.
const PREFIX: &str = "spared-";
/// Ids for processes without an account of that name. Neither systemd nor Debian assigns them.
const NUMBERS: RangeInclusive<u32> = 60706..=CHECK_ACCOUNT;
/// Account and group of short-lived checks, which may run at the same time as a host.
pub const CHECK_ACCOUNT: u32 = 61183;

/// Accounts in use, by process name. A name keeps its account for the life of this value.
#[derive(Debug, Default)]
pub struct Accounts {
    given: BTreeMap<String, Account>,
}

impl Accounts {
    /// Creates an empty list. None if this process cannot change to the accounts: it is not root, or its user namespace
    /// does not map all of them.
    pub fn new() -> Option<Self> {
        let may = rustix::process::geteuid().is_root();
        let has = |map| [NUMBERS.start(), NUMBERS.end()].map(|id| is_mapped(map, *id));
        let has_all = [has("uid_map"), has("gid_map")] == [[true; 2]; 2];
        (may && has_all).then(Self::default)
    }

    /// The account `spared-NAME` if it exists, otherwise an unused id. It prefers `kept`, the owner of the process's
    /// files, and never chooses one of `others`, which own files of other processes.
    pub fn of(&mut self, name: &str, kept: Option<u32>, others: &[u32]) -> Account {
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        self.choose(&passwd, name, kept, others)
    }

    fn choose(&mut self, passwd: &str, name: &str, kept: Option<u32>, others: &[u32]) -> Account {
        if let Some(account) = self.given.get(name) {
            return *account;
        }
        let account = user_in(passwd, &format!("{PREFIX}{name}"));
        let account = account.unwrap_or_else(|| {
            let kept = kept.filter(|id| NUMBERS.contains(id) && *id != CHECK_ACCOUNT);
            let mut free = kept.into_iter().chain(NUMBERS).filter(|id| {
                let mut given = self.given.values();
                let is_given = given.any(|(uid, _)| uid == id);
                !is_given && !others.contains(id) && !is_taken(passwd, *id)
            });
            // if all ids are in use, the last one is shared
            let id = free.next().unwrap_or(CHECK_ACCOUNT);
            (id, id)
        });
        self.given.insert(name.to_owned(), account);
        account
    }
}

/// Account for the check of any configuration.
pub fn for_check() -> Option<Account> {
    Accounts::new().map(|_| (CHECK_ACCOUNT, CHECK_ACCOUNT))
}

fn is_taken(passwd: &str, id: u32) -> bool {
    let id = id.to_string();
    let mut users = passwd.lines().map(|line| line.split(':').nth(2));
    users.any(|uid| uid == Some(id.as_str()))
}

/// User id and group id of a user.
pub fn user(name: &str) -> Option<Account> {
    user_in(&fs::read_to_string("/etc/passwd").ok()?, name)
}

fn user_in(passwd: &str, name: &str) -> Option<Account> {
    let fields = entry(passwd, name)?;
    Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
}

/// Id of a group.
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

// Returns true if an id exists: in a user namespace, only mapped ids do.
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

    const PASSWD: &str = "root:x:0:0::/root:/bin/sh\nspared-vrrp:x:995:994::/:/bin/false\n\
                          somebody:x:60706:60706::/:/bin/sh\n";

    #[test]
    fn each_name_has_an_account_that_nobody_else_has() {
        let mut accounts = Accounts::default();
        assert_eq!(accounts.choose(PASSWD, "vrrp", None, &[]), (995, 994));
        assert_eq!(accounts.choose(PASSWD, "acme-x", None, &[]), (60707, 60707));
        assert_eq!(accounts.choose(PASSWD, "acme-y", None, &[]), (60708, 60708));
        assert_eq!(
            accounts.choose(PASSWD, "acme-x", Some(60800), &[]),
            (60707, 60707)
        );
    }

    #[test]
    fn the_owner_of_the_files_stays_it_unless_somebody_has_the_number() {
        let mut accounts = Accounts::default();
        assert_eq!(
            accounts.choose(PASSWD, "a", Some(60800), &[]),
            (60800, 60800)
        );
        for kept in [60800, 60706, 0, 1000, CHECK_ACCOUNT] {
            let (uid, _) = accounts.choose(PASSWD, &format!("b{kept}"), Some(kept), &[]);
            assert!(uid != kept && NUMBERS.contains(&uid), "{kept} {uid}");
        }
    }

    /// Otherwise a plugin that is installed later could read the files, and their own process could not.
    #[test]
    fn a_number_to_whom_files_of_another_belong_is_nobody_elses() {
        let mut accounts = Accounts::default();
        let others = [60707, 60709];
        let new = accounts.choose(PASSWD, "acme-a", None, &others);
        assert_eq!(new, (60708, 60708));
        let shared = accounts.choose(PASSWD, "acme-b", Some(60709), &others);
        assert_eq!(shared, (60710, 60710));
        let own = accounts.choose(PASSWD, "acme-c", Some(60707), &[60708, 60709]);
        assert_eq!(own, (60707, 60707));
    }

    #[test]
    fn whoever_comes_when_all_are_given_is_not_root() {
        let mut accounts = Accounts::default();
        let all = (0..1000).map(|n| accounts.choose(PASSWD, &n.to_string(), None, &[]));
        assert!(
            all.into_iter()
                .all(|(uid, gid)| NUMBERS.contains(&uid) && uid == gid)
        );
    }

    #[test]
    fn a_user_namespace_with_one_account_has_no_nobody() {
        assert!(is_within("0 0 4294967295", 65534));
        assert!(!is_within("0 1000 1", 65534));
        assert!(is_within("0 1000 1\n65534 1 1", 65534));
    }
}
