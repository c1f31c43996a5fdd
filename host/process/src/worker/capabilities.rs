//! Capabilities that a plugin may ask for, and their names.

use rustix::thread::CapabilitySet;
use spared_abi::{FLAGS_REQUIRED, PLUGIN_ROOT};

/// Capabilities by which a worker could become root or act as root. A plugin that needs one asks
/// for the flag `root`, which the administrator sees.
const NEVER: CapabilitySet = CapabilitySet::AUDIT_CONTROL
    .union(CapabilitySet::BPF)
    .union(CapabilitySet::CHECKPOINT_RESTORE)
    .union(CapabilitySet::MAC_ADMIN)
    .union(CapabilitySet::MAC_OVERRIDE)
    .union(CapabilitySet::SETFCAP)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETPCAP)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SYS_ADMIN)
    .union(CapabilitySet::SYS_BOOT)
    .union(CapabilitySet::SYS_MODULE)
    .union(CapabilitySet::SYS_PTRACE)
    .union(CapabilitySet::SYS_RAWIO);

/// Part of `capabilities` (1 << `CAP_...`) that a plugin without root rights may have.
pub fn grantable(capabilities: u64) -> u64 {
    capabilities & !NEVER.bits()
}

/// Names of capabilities, such as "`net_admin`".
pub fn names(capabilities: u64) -> Vec<String> {
    named(capabilities).map(|(name, _)| name).collect()
}

/// Number of the capability with a name such as "`net_admin`".
pub fn number(name: &str) -> Option<u8> {
    let capability = CapabilitySet::from_name(&name.to_uppercase())?;
    u8::try_from(capability.bits().trailing_zeros()).ok()
}

/// The known ones of `capabilities`, in the order of their names.
fn named(capabilities: u64) -> impl Iterator<Item = (String, CapabilitySet)> {
    let given = CapabilitySet::from_bits_retain(capabilities);
    let mut named: Vec<_> = given
        .iter_names()
        .map(|(name, one)| (name.to_lowercase(), one))
        .collect();
    named.sort_by(|(one, _), (other, _)| one.cmp(other));
    named.into_iter()
}

/// Description of each capability that plugins ask for.
const WORDS: [(CapabilitySet, &str); 12] = [
    (CapabilitySet::CHOWN, "changes owners of files"),
    (
        CapabilitySet::DAC_OVERRIDE,
        "reads and writes files of others",
    ),
    (CapabilitySet::DAC_READ_SEARCH, "reads files of others"),
    (CapabilitySet::FOWNER, "changes modes of files of others"),
    (CapabilitySet::IPC_LOCK, "locks memory"),
    (CapabilitySet::KILL, "signals processes of others"),
    (
        CapabilitySet::LEASE,
        "is notified before other programs open its files",
    ),
    (
        CapabilitySet::NET_ADMIN,
        "changes network, firewall and tunnels",
    ),
    (CapabilitySet::NET_BIND_SERVICE, "binds ports below 1024"),
    (CapabilitySet::NET_RAW, "sends and reads raw packets"),
    (CapabilitySet::SYS_NICE, "sets priorities of others"),
    (CapabilitySet::SYS_TIME, "sets the clock"),
];

/// Descriptions of capabilities, such as "changes network, firewall and tunnels (`net_admin`)".
pub fn words(capabilities: u64) -> Vec<String> {
    let mut words: Vec<String> = named(capabilities)
        .map(
            |(name, one)| match WORDS.iter().find(|(known, _)| *known == one) {
                Some((_, words)) => format!("{words} ({name})"),
                None => name,
            },
        )
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
    let known = named(capabilities).fold(0, |set, (_, one)| set | one.bits());
    let unknown = capabilities & !known;
    if unknown != 0 {
        return Err(format!("requests unknown capabilities {unknown:#x}"));
    }
    let never = names(capabilities & !grantable(capabilities));
    if flags & PLUGIN_ROOT != 0 || never.is_empty() {
        Ok(())
    } else {
        Err(format!(
            "asks for {}, with which it could do what root does: its author must do without, or set \
             the flag root",
            never.join(", ")
        ))
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
