//! Denies system calls that no plugin needs, by a seccomp deny-list.
//!
//! It is not an allow-list for all plugins, because updates of vendors' libraries change the calls that they make:
//! allow-lists broke sshd with OpenSSL 1.1.1d and again with glibc 2.31. A plugin whose maker tests it with these
//! libraries may ask for an allow-list (`allowed_calls`).

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

/// Rules by system call. A call without rules is denied for all arguments.
pub(super) type Rules = BTreeMap<libc::c_long, Vec<SeccompRule>>;

/// System calls that change the machine or look into other processes, and interfaces with a history of vulnerabilities.
const DENIED: &[libc::c_long] = &[
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_adjtimex,
    libc::SYS_bpf,
    libc::SYS_chroot,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_finit_module,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_init_module,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_kcmp,
    libc::SYS_kexec_file_load,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pivot_root,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_quotactl,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_setdomainname,
    libc::SYS_sethostname,
    libc::SYS_setns,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
];

/// Flag of a new user namespace, which gives all capabilities inside it. They open parts of the kernel that are
/// otherwise for root.
const NEW_USER: u64 = libc::CLONE_NEWUSER as u64;

/// Denies these calls with EPERM from now on. `clone3`, whose flags no filter can see, fails with ENOSYS, so that the C
/// library uses `clone` for threads and children.
///
/// # Errors
/// The kernel has no seccomp filters, or the filter compiler does not know this architecture.
pub fn deny() -> Result<(), String> {
    let mut denied: Rules = DENIED.iter().map(|call| (*call, Vec::new())).collect();
    denied.insert(
        libc::SYS_clone,
        vec![of_new_user().map_err(|error| error.to_string())?],
    );
    apply(denied, libc::EPERM)?;
    apply(Rules::from([(libc::SYS_clone3, Vec::new())]), libc::ENOSYS)
}

fn of_new_user() -> Result<SeccompRule, seccompiler::BackendError> {
    let with_flag = SeccompCmpOp::MaskedEq(NEW_USER);
    let condition = SeccompCondition::new(0, SeccompCmpArgLen::Qword, with_flag, NEW_USER)?;
    SeccompRule::new(vec![condition])
}

pub(super) fn arch() -> Result<TargetArch, String> {
    TargetArch::try_from(std::env::consts::ARCH).map_err(|error| error.to_string())
}

fn apply(rules: Rules, errno: i32) -> Result<(), String> {
    let arch = arch()?;
    let denied = SeccompAction::Errno(errno.unsigned_abs());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, denied, arch);
    let program: BpfProgram = filter
        .and_then(TryInto::try_into)
        .map_err(|error| error.to_string())?;
    install(&program)
}

/// Applies the filter to all threads, because the library's constructors may have started some.
pub(super) fn install(program: &BpfProgram) -> Result<(), String> {
    seccompiler::apply_filter_all_threads(program).map_err(|error| error.to_string())
}
