//! System calls by group, with their names. Modelled on systemd's groups `@basic-io`, `@file-system`,
//! `@network-io`, `@process` and `@system-service`.

/// Name and number of a system call.
type Call = (&'static str, libc::c_long);

/// List of system calls: calls of all architectures, then calls of x86_64 alone, of which newer architectures have only
/// the later form, then calls that libc does not name for x86_64.
macro_rules! calls {
    ($($call:ident)* $(; x86_64: $($old:ident)*)? $(; others: $($new:ident)*)?) => {
        &[
            $((stringify!($call), libc::$call),)*
            $($(#[cfg(target_arch = "x86_64")] (stringify!($old), libc::$old),)*)?
            $($(#[cfg(not(target_arch = "x86_64"))] (stringify!($new), libc::$new),)*)?
        ]
    };
}

/// Calls that every plugin needs, and the worker around it.
pub(super) const BASIC: &[Call] = calls! {
    // reads, writes and descriptors
    SYS_read SYS_readv SYS_pread64 SYS_preadv SYS_preadv2 SYS_write SYS_writev SYS_pwrite64
    SYS_pwritev SYS_pwritev2 SYS_close SYS_close_range SYS_lseek SYS_fadvise64 SYS_fcntl SYS_dup
    SYS_dup3 SYS_ioctl SYS_pipe2
    // looks at files
    SYS_openat SYS_openat2 SYS_fstat SYS_newfstatat SYS_statx SYS_statfs SYS_fstatfs SYS_readlinkat
    SYS_getdents64 SYS_faccessat SYS_faccessat2 SYS_getcwd SYS_umask
    // waits and timers
    SYS_epoll_create1 SYS_epoll_ctl SYS_epoll_pwait SYS_epoll_pwait2 SYS_ppoll SYS_pselect6
    SYS_eventfd2 SYS_signalfd4 SYS_timerfd_create SYS_timerfd_settime SYS_timerfd_gettime
    SYS_timer_create SYS_timer_settime SYS_timer_gettime SYS_timer_delete SYS_timer_getoverrun
    SYS_setitimer SYS_getitimer SYS_inotify_init1 SYS_inotify_add_watch SYS_inotify_rm_watch
    // memory
    SYS_mmap SYS_munmap SYS_mremap SYS_mprotect SYS_madvise SYS_brk SYS_mlock SYS_mlock2 SYS_munlock
    SYS_mlockall SYS_munlockall SYS_msync SYS_mincore SYS_membarrier
    // threads and signals
    SYS_futex SYS_futex_waitv SYS_get_robust_list SYS_set_robust_list SYS_rseq SYS_set_tid_address
    SYS_restart_syscall SYS_clone SYS_clone3 SYS_exit SYS_exit_group SYS_rt_sigaction
    SYS_rt_sigprocmask SYS_rt_sigreturn SYS_rt_sigpending SYS_rt_sigsuspend SYS_rt_sigtimedwait
    SYS_sigaltstack SYS_tgkill
    // identity and limits
    SYS_getpid SYS_gettid SYS_getppid SYS_getuid SYS_geteuid SYS_getgid SYS_getegid SYS_getgroups
    SYS_getresuid SYS_getresgid SYS_getpgid SYS_getsid SYS_capget SYS_getrusage SYS_prlimit64
    SYS_getrlimit SYS_prctl
    // processors and time
    SYS_sched_yield SYS_sched_getaffinity SYS_sched_getscheduler SYS_sched_getparam
    SYS_sched_get_priority_max SYS_sched_get_priority_min SYS_getpriority SYS_getcpu
    SYS_clock_gettime SYS_clock_getres SYS_clock_nanosleep SYS_nanosleep SYS_gettimeofday SYS_times
    // the system
    SYS_getrandom SYS_uname SYS_sysinfo
    // sockets that are there
    SYS_sendmsg SYS_recvmsg SYS_sendto SYS_recvfrom SYS_sendmmsg SYS_recvmmsg SYS_getsockname
    SYS_getpeername SYS_getsockopt SYS_setsockopt SYS_shutdown SYS_socketpair;
    x86_64:
    SYS_access SYS_alarm SYS_arch_prctl SYS_dup2 SYS_epoll_create SYS_epoll_wait SYS_eventfd
    SYS_getdents SYS_getpgrp SYS_inotify_init SYS_lstat SYS_open SYS_pause SYS_pipe SYS_poll
    SYS_readlink SYS_select SYS_stat SYS_time
};

/// Calls that change files in more than their content.
pub(super) const FILES: &[Call] = calls! {
    // names
    SYS_mkdirat SYS_mknodat SYS_renameat SYS_renameat2 SYS_unlinkat SYS_linkat SYS_symlinkat
    // modes, owners and times
    SYS_fchmod SYS_fchmodat SYS_fchown SYS_fchownat SYS_utimensat
    // contents
    SYS_ftruncate SYS_truncate SYS_fsync SYS_fdatasync SYS_sync_file_range SYS_flock SYS_fallocate
    SYS_copy_file_range SYS_sendfile SYS_splice SYS_tee
    // attributes
    SYS_setxattr SYS_lsetxattr SYS_fsetxattr SYS_getxattr SYS_lgetxattr SYS_fgetxattr SYS_listxattr
    SYS_llistxattr SYS_flistxattr SYS_removexattr SYS_lremovexattr SYS_fremovexattr;
    x86_64:
    SYS_chmod SYS_chown SYS_creat SYS_futimesat SYS_lchown SYS_link SYS_mkdir SYS_mknod SYS_rename
    SYS_rmdir SYS_symlink SYS_unlink SYS_utime SYS_utimes
};

/// Calls for sockets of the plugin's own.
pub(super) const SOCKETS: &[Call] = calls! {
    SYS_socket SYS_bind SYS_listen SYS_connect SYS_accept SYS_accept4
};

/// Calls that start other programs, and calls that these need in addition to all other groups.
pub(super) const PROGRAMS: &[Call] = calls! {
    // programs and their ends
    SYS_execve SYS_execveat SYS_wait4 SYS_waitid SYS_kill SYS_tkill SYS_rt_sigqueueinfo
    SYS_rt_tgsigqueueinfo SYS_pidfd_open SYS_pidfd_send_signal SYS_chdir SYS_fchdir SYS_setpgid
    SYS_setsid SYS_personality
    // priorities and limits
    SYS_setrlimit SYS_setpriority SYS_sched_setaffinity SYS_sched_setattr SYS_sched_getattr
    SYS_sched_setparam SYS_sched_setscheduler SYS_sched_rr_get_interval SYS_ioprio_get
    SYS_ioprio_set
    // accounts and rights
    SYS_setuid SYS_setgid SYS_setreuid SYS_setregid SYS_setresuid SYS_setresgid SYS_setfsuid
    SYS_setfsgid SYS_setgroups SYS_capset SYS_landlock_create_ruleset SYS_landlock_add_rule
    SYS_landlock_restrict_self SYS_seccomp
    // memory
    SYS_memfd_create SYS_memfd_secret SYS_pkey_alloc SYS_pkey_free SYS_pkey_mprotect
    SYS_process_madvise SYS_remap_file_pages SYS_get_mempolicy SYS_set_mempolicy SYS_mbind
    // disks
    SYS_readahead SYS_vmsplice SYS_sync SYS_syncfs SYS_io_setup SYS_io_destroy SYS_io_submit
    SYS_io_cancel SYS_io_getevents
    // messages between processes
    SYS_shmat SYS_shmctl SYS_shmdt SYS_shmget SYS_semctl SYS_semget SYS_semop SYS_semtimedop
    SYS_msgctl SYS_msgget SYS_msgrcv SYS_msgsnd SYS_mq_getsetattr SYS_mq_notify SYS_mq_open
    SYS_mq_timedreceive SYS_mq_timedsend SYS_mq_unlink;
    x86_64:
    SYS_fork SYS_vfork SYS_signalfd;
    others:
    SYS_io_pgetevents
};

/// Calls outside all groups that a plugin may try. They are here for their names.
const OTHERS: &[Call] = calls! {
    SYS_bpf SYS_chroot SYS_fanotify_init SYS_io_uring_setup SYS_keyctl SYS_mount SYS_perf_event_open
    SYS_ptrace SYS_reboot SYS_setns SYS_umount2 SYS_unshare
};

/// Name of a call; None if it is not known here.
pub(super) fn name(number: libc::c_long) -> Option<&'static str> {
    let mut all = [BASIC, FILES, SOCKETS, PROGRAMS, OTHERS]
        .into_iter()
        .flatten();
    let (name, _) = all.find(|(_, call)| *call == number)?;
    name.strip_prefix("SYS_")
}

/// Group that contains the call, in brackets; empty if there is none.
pub(super) fn group(number: libc::c_long) -> &'static str {
    let has = |group: &[Call]| group.iter().any(|(_, call)| *call == number);
    match number {
        libc::SYS_clone => " (the group programs has it)",
        _ if has(FILES) => " (the group files has it)",
        _ if has(SOCKETS) => " (the group sockets has it)",
        _ if has(PROGRAMS) => " (the group programs has it)",
        _ => "",
    }
}
