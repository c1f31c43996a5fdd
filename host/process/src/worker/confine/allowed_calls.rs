//! Allow-list of system calls that a plugin's maker asked for. Every other call fails with EPERM, and a line on the
//! error output names the call, once. It does not end the process, because an updated library may try a new call and do
//! without it.
//!
//! A filter cannot distinguish a plugin from the programs that it starts, which inherit its filter but no handler of
//! signals. So with programs a call fails without a line.

mod handler;
mod table;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};
use spared_abi::{CALLS_BASIC, CALLS_FILES, CALLS_PROGRAMS, CALLS_SOCKETS};

pub use self::handler::is_refusal;
use super::denied_calls::{Rules, arch, install};

/// All groups.
pub const GROUPS: u32 = CALLS_BASIC | CALLS_FILES | CALLS_SOCKETS | CALLS_PROGRAMS;

const NAMES: [(u32, &str); 4] = [
    (CALLS_BASIC, "basic"),
    (CALLS_FILES, "files"),
    (CALLS_SOCKETS, "sockets"),
    (CALLS_PROGRAMS, "programs"),
];

/// Flag of a thread, as opposed to another process.
const THREAD: u64 = libc::CLONE_THREAD as u64;

/// Names of groups, such as "basic"; empty if the plugin asked for no list.
pub fn group_names(groups: u32) -> Vec<&'static str> {
    let groups = if groups == 0 { 0 } else { groups | CALLS_BASIC };
    let named = NAMES.into_iter().filter(|(group, _)| groups & group != 0);
    named.map(|(_, name)| name).collect()
}

/// Restricts this process and its children to these groups from now on.
///
/// # Errors
/// The kernel has no seccomp filters, or the filter compiler does not know this architecture.
pub fn enforce(groups: u32) -> Result<(), String> {
    let program = program(groups).map_err(|error| error.to_string())?;
    if groups & CALLS_PROGRAMS == 0 {
        handler::install()?;
    }
    install(&program)
}

fn program(groups: u32) -> Result<BpfProgram, Box<dyn std::error::Error>> {
    let denied = match groups & CALLS_PROGRAMS {
        0 => SeccompAction::Trap,
        _ => SeccompAction::Errno(libc::EPERM.unsigned_abs()),
    };
    let filter = SeccompFilter::new(rules(groups)?, denied, SeccompAction::Allow, arch()?);
    Ok(filter?.try_into()?)
}

fn rules(groups: u32) -> Result<Rules, seccompiler::BackendError> {
    let has = |group| groups & (group | CALLS_PROGRAMS) != 0;
    let mut rules: Rules = table::BASIC
        .iter()
        .map(|(_, call)| (*call, Vec::new()))
        .collect();
    if has(CALLS_PROGRAMS) {
        rules.extend(table::PROGRAMS.iter().map(|(_, call)| (*call, Vec::new())));
    } else {
        rules.insert(libc::SYS_clone, vec![of_threads()?]);
    }
    for (group, calls) in [(CALLS_FILES, table::FILES), (CALLS_SOCKETS, table::SOCKETS)] {
        if has(group) {
            rules.extend(calls.iter().map(|(_, call)| (*call, Vec::new())));
        }
    }
    Ok(rules)
}

fn of_threads() -> Result<SeccompRule, seccompiler::BackendError> {
    let with_flag = SeccompCmpOp::MaskedEq(THREAD);
    let condition = SeccompCondition::new(0, SeccompCmpArgLen::Qword, with_flag, THREAD)?;
    SeccompRule::new(vec![condition])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_set_of_groups_is_a_filter() {
        for groups in 1..=GROUPS {
            program(groups).unwrap();
        }
    }

    #[test]
    fn a_call_is_in_one_group() {
        let all = [table::BASIC, table::FILES, table::SOCKETS, table::PROGRAMS].concat();
        let numbers: BTreeSet<_> = all.iter().map(|(_, call)| *call).collect();
        assert_eq!(numbers.len(), all.len());
    }

    #[test]
    fn groups_have_names_and_basic_is_always_among_them() {
        assert_eq!(group_names(0), [""; 0]);
        assert_eq!(group_names(CALLS_SOCKETS), ["basic", "sockets"]);
    }
}
