//! Attempts to affect other processes of the daemon, the machine, and files of others.

use std::ffi::{CString, c_long};
use std::fs::{self, File};
use std::net::UdpSocket;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::ptr;

use spared_abi::Status;

use crate::host::{must_fail, say};

/// The host, the starter and its other children.
fn others() -> Vec<i32> {
    // SAFETY: numbers only.
    let (own, starter) = unsafe { (libc::getpid(), libc::getppid()) };
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let children = pids.filter(|pid| *pid != own && parent(*pid) == Some(starter));
    let above = host().into_iter().chain([starter]);
    above.chain(children).collect()
}

/// The host, which has started the starter if systemd has not.
fn host() -> Option<i32> {
    // SAFETY: numbers only.
    let starter = unsafe { libc::getppid() };
    parent(starter)
}

// The name between parentheses may itself hold blanks.
fn parent(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields = stat.rsplit_once(") ")?.1;
    fields.split_whitespace().nth(1)?.parse().ok()
}

fn of_each_other(what: &str, attempt: impl Fn(i32) -> c_long) -> Status {
    let others = others();
    let denied = others.iter().filter(|pid| {
        let comm = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        let result = attempt(**pid);
        // one that has ended meanwhile does not count
        comm.is_empty() || must_fail(&format!("{what} {}", comm.trim()), result)
    });
    let denied = denied.count();
    say(&format!("denied: {what} of {denied} others"));
    0
}

pub fn signal() -> Status {
    of_each_other("kill", |pid| {
        // SAFETY: numbers only.
        let sent = unsafe { libc::kill(pid, libc::SIGKILL) };
        sent.into()
    })
}

pub fn stop() -> Status {
    of_each_other("stop", |pid| {
        // SAFETY: numbers only.
        unsafe { libc::syscall(libc::SYS_tgkill, pid, pid, libc::SIGSTOP) }
    })
}

pub fn trace() -> Status {
    // SAFETY: numbers only.
    of_each_other("ptrace", |pid| unsafe {
        libc::ptrace(libc::PTRACE_SEIZE, pid, 0, 0)
    })
}

pub fn memory() -> Status {
    of_each_other("memory", |pid| {
        let byte = [0u8];
        let local = libc::iovec {
            iov_base: byte.as_ptr().cast_mut().cast(),
            iov_len: 1,
        };
        // SAFETY: the buffer is this process's own and lives through the call.
        let copied =
            unsafe { libc::process_vm_readv(pid, &raw const local, 1, &raw const local, 1, 0) };
        let opened = ["mem", "environ", "fd/3", "maps"]
            .iter()
            .any(|file| File::open(format!("/proc/{pid}/{file}")).is_ok());
        if opened { 0 } else { copied as c_long }
    })
}

pub fn limits() -> Status {
    of_each_other("prlimit", |pid| {
        let none = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        // SAFETY: the limit lives through the call.
        unsafe { libc::prlimit(pid, libc::RLIMIT_NOFILE, &raw const none, ptr::null_mut()) }.into()
    })
}

pub fn affinity() -> Status {
    of_each_other("affinity", |pid| {
        // SAFETY: the set lives through the call.
        unsafe {
            let mut set: libc::cpu_set_t = std::mem::zeroed();
            libc::CPU_SET(0, &mut set);
            libc::sched_setaffinity(pid, size_of::<libc::cpu_set_t>(), &raw const set).into()
        }
    })
}

/// Raises its own priority, and lowers that of others.
pub fn priority() -> Status {
    let first = libc::sched_param { sched_priority: 99 };
    // SAFETY: the struct lives through the calls.
    unsafe {
        let urgent = libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const first);
        must_fail("real time", urgent.into());
        let nicer = libc::setpriority(libc::PRIO_PROCESS, 0, -20);
        must_fail("priority", nicer.into());
        libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE);
    }
    of_each_other("priority", |pid| {
        // SAFETY: numbers only.
        unsafe { libc::setpriority(libc::PRIO_PROCESS, pid as _, 19) }.into()
    })
}

/// Reads and writes files of the daemon and of the system.
pub fn files() -> Status {
    let mut paths: Vec<PathBuf> = ["/etc/shadow", "/etc/spared/key", "/root", "/tmp"]
        .iter()
        .map(PathBuf::from)
        .collect();
    // in a lab the daemon's files are where its command line says
    paths.extend(lab_files());
    for path in &paths {
        let opened = File::open(path);
        must_fail(&format!("to read {}", path.display()), number(&opened));
        let made = File::create(path.join("hostile"));
        must_fail(&format!("to write in {}", path.display()), number(&made));
    }
    let passwd = File::options().append(true).open("/etc/passwd");
    must_fail("to write /etc/passwd", number(&passwd));
    let linked = std::os::unix::fs::symlink("/etc/shadow", "/tmp/hostile");
    must_fail("to link", number(&linked));
    say(&format!("denied: {} files", paths.len()));
    0
}

fn number<T, E>(result: &Result<T, E>) -> i64 {
    match result {
        Ok(_) => 0,
        Err(_) => -1,
    }
}

/// Paths of the host's command line: `--config`, `--runtime-dir`, `--plugin-dir`.
fn lab_files() -> Vec<PathBuf> {
    let host = host().unwrap_or_default();
    let line = fs::read(format!("/proc/{host}/cmdline")).unwrap_or_default();
    let words = line.split(|byte| *byte == 0);
    let words = words.map(|word| String::from_utf8_lossy(word).into_owned());
    let mut paths: Vec<PathBuf> = words
        .filter(|word| word.starts_with('/'))
        .map(PathBuf::from)
        .collect();
    let beside = |path: &PathBuf| path.parent().map(|folder| folder.join("key"));
    paths.extend(paths.iter().filter_map(beside).collect::<Vec<_>>());
    // everybody may read programs
    paths.retain(|path| !path.ends_with("spared") && !path.ends_with("plugins"));
    paths
}

pub fn control() -> Status {
    let folders = lab_files();
    for folder in folders.iter().map(PathBuf::as_path) {
        for name in ["control", "control.sock", "spared.sock", "socket"] {
            let connected = UnixStream::connect(folder.join(name));
            must_fail("to ask the host", number(&connected));
        }
    }
    let connected = UnixStream::connect("/run/spared/control");
    must_fail("to ask the machine's spared", number(&connected));
    say("denied: to ask the host");
    0
}

pub fn network() -> Status {
    // SAFETY: numbers only.
    unsafe {
        let raw = libc::socket(libc::AF_INET, libc::SOCK_RAW, 112);
        must_fail("a raw socket", raw.into());
        let packet = libc::socket(libc::AF_PACKET, libc::SOCK_RAW, 0);
        must_fail("a packet socket", packet.into());
    }
    must_fail("to delete an address", delete_address().into());
    say("denied: raw sockets, and the addresses");
    0
}

/// Deletes 10.1.0.1 (RTM_DELADDR) on one interface after the other, until it succeeds.
fn delete_address() -> i32 {
    const ACKNOWLEDGED: u16 = 5;
    // SAFETY: the buffers live through the calls.
    unsafe {
        let socket = libc::socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_ROUTE);
        for index in 1u32..20 {
            let mut message = Vec::new();
            message.extend(32u32.to_ne_bytes());
            message.extend(libc::RTM_DELADDR.to_ne_bytes());
            message.extend(ACKNOWLEDGED.to_ne_bytes());
            message.extend([0; 8]);
            message.extend([2, 24, 0, 0]);
            message.extend(index.to_ne_bytes());
            message.extend(8u16.to_ne_bytes());
            message.extend(libc::IFA_LOCAL.to_ne_bytes());
            message.extend([10, 1, 0, 1]);
            libc::send(socket, message.as_ptr().cast(), message.len(), 0);
            let mut answer = [0u8; 4096];
            let length = libc::recv(socket, answer.as_mut_ptr().cast(), answer.len(), 0);
            if length >= 20 && answer[16..20] == [0; 4] {
                return 0;
            }
        }
    }
    -1
}

pub fn namespaces() -> Status {
    let new = [
        libc::CLONE_NEWUSER,
        libc::CLONE_NEWNET,
        libc::CLONE_NEWNS,
        libc::CLONE_NEWPID,
    ];
    // SAFETY: numbers only.
    unsafe {
        for flag in new {
            must_fail("unshare", libc::unshare(flag).into());
            let cloned = libc::syscall(libc::SYS_clone, flag | libc::SIGCHLD, 0, 0, 0, 0);
            if cloned == 0 {
                libc::_exit(0);
            }
            must_fail("clone", cloned);
        }
        must_fail("clone3", libc::syscall(libc::SYS_clone3, 0, 0));
        let host = File::open("/proc/1/ns/net").or_else(|_| File::open("/proc/self/ns/net"));
        if let Ok(host) = host {
            let raw = std::os::fd::AsRawFd::as_raw_fd(&host);
            must_fail("setns", libc::setns(raw, 0).into());
        }
    }
    say("denied: namespaces");
    0
}

/// Calls that change the machine; none would do harm if it succeeded.
pub fn machine() -> Status {
    let nowhere = CString::new("/nowhere").unwrap_or_default();
    let path = nowhere.as_ptr();
    // SAFETY: the texts live through the calls.
    unsafe {
        must_fail(
            "mount",
            libc::mount(path, path, path, 0, ptr::null()).into(),
        );
        must_fail("umount", libc::umount2(path, 0).into());
        must_fail("chroot", libc::chroot(c"/".as_ptr()).into());
        must_fail("swapoff", libc::swapoff(path).into());
        must_fail("reboot", libc::reboot(libc::RB_ENABLE_CAD).into());
        must_fail("sethostname", libc::sethostname(path, 1).into());
        must_fail("settimeofday", libc::syscall(libc::SYS_settimeofday, 0, 0));
        must_fail("acct", libc::syscall(libc::SYS_acct, 0));
        must_fail("syslog", libc::klogctl(10, ptr::null_mut(), 0).into());
        must_fail("setuid", libc::setresuid(0, 0, 0).into());
        must_fail("setgid", libc::setresgid(0, 0, 0).into());
    }
    say("denied: the machine");
    0
}

/// Parts of the kernel with a history of holes.
pub fn kernel() -> Status {
    for (name, call) in [
        ("bpf", libc::SYS_bpf),
        ("perf_event_open", libc::SYS_perf_event_open),
        ("userfaultfd", libc::SYS_userfaultfd),
        ("io_uring_setup", libc::SYS_io_uring_setup),
        ("add_key", libc::SYS_add_key),
        ("keyctl", libc::SYS_keyctl),
        ("init_module", libc::SYS_init_module),
        ("finit_module", libc::SYS_finit_module),
        ("kexec_load", libc::SYS_kexec_load),
        ("open_by_handle_at", libc::SYS_open_by_handle_at),
        ("fsopen", libc::SYS_fsopen),
        ("move_mount", libc::SYS_move_mount),
        ("pidfd_getfd", libc::SYS_pidfd_getfd),
        ("kcmp", libc::SYS_kcmp),
    ] {
        // SAFETY: every argument is zero: none of it does anything.
        must_fail(name, unsafe { libc::syscall(call, 0, 0, 0, 0, 0, 0) });
    }
    say("denied: parts of the kernel");
    0
}

/// A call that is not on its list.
pub fn socket() -> Status {
    let socket = UdpSocket::bind("127.0.0.1:0");
    tell("a socket", socket.map(drop))
}

/// A process, by a plugin on whose list are sockets.
pub fn fork() -> Status {
    let made = UdpSocket::bind("127.0.0.1:0");
    if made.is_err() {
        say("a socket, which is on its list, was refused");
    }
    // SAFETY: the child ends at once.
    match unsafe { libc::fork() } {
        -1 => tell("a process", Err(std::io::Error::last_os_error())),
        // SAFETY: as above.
        0 => unsafe { libc::_exit(0) },
        _ => tell("a process", Ok(())),
    }
}

fn tell(what: &str, result: std::io::Result<()>) -> Status {
    match result {
        Ok(()) => say(&format!("ALLOWED: {what}")),
        Err(error) => say(&format!("denied: {what}: {error}")),
    }
    0
}
