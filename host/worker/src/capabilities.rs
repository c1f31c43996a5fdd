//! Capabilities that a plugin may ask for, and their names.

use caps::Capability;
use spared_abi::{FLAGS_REQUIRED, PLUGIN_ROOT};

/// Capabilities by which a worker could become root or act as root. A plugin that needs one asks
/// for `SPARED_PLUGIN_ROOT`, which the administrator sees.
const NEVER: [Capability; 14] = [
    Capability::CAP_AUDIT_CONTROL,
    Capability::CAP_BPF,
    Capability::CAP_CHECKPOINT_RESTORE,
    Capability::CAP_MAC_ADMIN,
    Capability::CAP_MAC_OVERRIDE,
    Capability::CAP_SETFCAP,
    Capability::CAP_SETGID,
    Capability::CAP_SETPCAP,
    Capability::CAP_SETUID,
    Capability::CAP_SYS_ADMIN,
    Capability::CAP_SYS_BOOT,
    Capability::CAP_SYS_MODULE,
    Capability::CAP_SYS_PTRACE,
    Capability::CAP_SYS_RAWIO,
];

/// Part of `capabilities` (1 << `CAP_...`) that a plugin without root rights may have.
pub fn grantable(capabilities: u64) -> u64 {
    let never = NEVER.iter().fold(0, |set, one| set | one.bitmask());
    capabilities & !never
}

/// Names of capabilities, such as "`net_admin`".
pub fn names(capabilities: u64) -> Vec<String> {
    let all = caps::all().into_iter();
    let mut names: Vec<String> = all
        .filter(|one| capabilities & one.bitmask() != 0)
        .map(|one| one.to_string().to_lowercase().replacen("cap_", "", 1))
        .collect();
    names.sort();
    names
}

/// Number of the capability with a name such as "`net_admin`".
pub fn number(name: &str) -> Option<u8> {
    let full = format!("CAP_{}", name.to_uppercase());
    let capability: Capability = full.parse().ok()?;
    Some(capability.index())
}

/// Description of each capability that plugins ask for.
const WORDS: [(Capability, &str); 12] = [
    (Capability::CAP_CHOWN, "changes owners of files"),
    (
        Capability::CAP_DAC_OVERRIDE,
        "reads and writes files of others",
    ),
    (Capability::CAP_DAC_READ_SEARCH, "reads files of others"),
    (Capability::CAP_FOWNER, "changes modes of files of others"),
    (Capability::CAP_IPC_LOCK, "locks memory"),
    (Capability::CAP_KILL, "signals processes of others"),
    (
        Capability::CAP_LEASE,
        "is notified before other programs open its files",
    ),
    (
        Capability::CAP_NET_ADMIN,
        "changes network, firewall and tunnels",
    ),
    (Capability::CAP_NET_BIND_SERVICE, "binds ports below 1024"),
    (Capability::CAP_NET_RAW, "sends and reads raw packets"),
    (Capability::CAP_SYS_NICE, "sets priorities of others"),
    (Capability::CAP_SYS_TIME, "sets the clock"),
];

/// Descriptions of capabilities, such as "changes network, firewall and tunnels (`net_admin`)".
pub fn words(capabilities: u64) -> Vec<String> {
    let all = caps::all().into_iter();
    let given = all.filter(|one| capabilities & one.bitmask() != 0);
    let mut words: Vec<String> = given
        .map(|one| {
            let name = names(one.bitmask()).concat();
            match WORDS.iter().find(|(known, _)| *known == one) {
                Some((_, words)) => format!("{words} ({name})"),
                None => name,
            }
        })
        .collect();
    words.sort();
    words
}

/// # Errors
/// A right that cannot be granted, as a sentence that follows the name of the plugin's file.
pub fn check(flags: u32, capabilities: u64) -> Result<(), String> {
    let unknown = flags & FLAGS_REQUIRED;
    if unknown != 0 {
        return Err(format!(
            "has the flags {unknown:#x}, which this spared does not know: update spared"
        ));
    }
    let known = caps::all().iter().fold(0, |set, one| set | one.bitmask());
    let unknown = capabilities & !known;
    if unknown != 0 {
        return Err(format!("requests unknown capabilities {unknown:#x}"));
    }
    let never = names(capabilities & !grantable(capabilities));
    match flags & PLUGIN_ROOT != 0 || never.is_empty() {
        true => Ok(()),
        false => Err(format!(
            "asks for {}, with which it could do what root does: its author must do without, or set \
             SPARED_PLUGIN_ROOT",
            never.join(", ")
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NET_ADMIN: u64 = 1 << 12;
    const SYS_ADMIN: u64 = 1 << 21;

    #[test]
    fn what_makes_root_is_never_given() {
        assert_eq!(grantable(NET_ADMIN | SYS_ADMIN), NET_ADMIN);
        assert_eq!(check(0, NET_ADMIN), Ok(()));
        let refused = check(0, NET_ADMIN | SYS_ADMIN).unwrap_err();
        assert!(
            refused.starts_with("asks for sys_admin, with which"),
            "{refused}"
        );
        assert_eq!(check(PLUGIN_ROOT, SYS_ADMIN), Ok(()));
    }

    #[test]
    fn what_is_not_known_is_refused_unless_it_is_a_hint() {
        assert_eq!(check(0x8000, 0), Ok(()));
        let refused = check(0x4_0000, 0).unwrap_err();
        assert!(refused.contains("0x40000"), "{refused}");
        let refused = check(0, 1 << 63).unwrap_err();
        assert!(refused.contains("0x8000000000000000"), "{refused}");
    }

    #[test]
    fn names_are_those_of_allow() {
        assert_eq!(names(NET_ADMIN | 1 << 13), ["net_admin", "net_raw"]);
        let words = words(NET_ADMIN | 1 << 30);
        let wanted = [
            "audit_control",
            "changes network, firewall and tunnels (net_admin)",
        ];
        assert_eq!(words, wanted);
    }
}
