//! Resource limits, real-time priority, locked memory.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Real-time priority: above ordinary processes, below the kernel's own threads.
pub const PRIORITY: i32 = 30;

/// CPU time in µs without a pause after which a real-time plugin gets SIGXCPU and then SIGKILL, so that it cannot block
/// the machine. The kernel counts ticks. In a virtual machine that gets little processor time or stands still, it also
/// counts ticks in which the plugin could not run. Killed early, an elector that is merely late would have to start on
/// a machine that has no time for it. An elector in an endless loop keeps no role longer than that, because its fence
/// lease ends.
const RTTIME_SOFT_US: u64 = 1_000_000;
const RTTIME_HARD_US: u64 = 2_000_000;

const DESCRIPTORS: u64 = 1024;

/// Descriptors of the elector: five sockets for each of 1024 interfaces.
const ELECTOR_DESCRIPTORS: u64 = 8192;

/// Default limit of the kernel for locked memory.
const LOCKED_BYTES: u64 = 8 << 20;

/// Maximum number of threads and processes of a worker's own account, including the children of its
/// checks.
const PROCESSES: u64 = 512;

/// Sets the limits. Call it after [`real_time`]: no thread of the elector may set a real-time priority.
///
/// # Errors
/// The first limit that could not be set.
pub fn set(realtime: bool) -> Result<(), String> {
    lower(Resource::Core, 0, 0)?;
    // the starter's unit allows real-time priority, for the starter and for the elector
    lower(Resource::Rtprio, 0, 0)?;
    let descriptors = if realtime {
        ELECTOR_DESCRIPTORS
    } else {
        DESCRIPTORS
    };
    lower(Resource::Nofile, descriptors, descriptors)?;
    if realtime {
        lower(Resource::Rttime, RTTIME_SOFT_US, RTTIME_HARD_US)?;
        lift_memory_limit();
    } else {
        // the starter's unit allows more locked memory, for the elector
        lower(Resource::Memlock, LOCKED_BYTES, LOCKED_BYTES)?;
    }
    Ok(())
}

/// Limits the memory of this process and of each child. RLIMIT_DATA counts what a process may write and nobody shares.
/// RLIMIT_AS would also count address space that is reserved and never used (64 MiB for each thread's allocator) or
/// mapped from libraries.
///
/// # Errors
/// The kernel's.
pub fn set_memory(bytes: u64) -> Result<(), String> {
    lower(Resource::Data, bytes, bytes)
}

/// Limits the processes of a worker that has its own account.
///
/// # Errors
/// The kernel's.
pub fn set_processes() -> Result<(), String> {
    lower(Resource::Nproc, PROCESSES, PROCESSES)
}

/// Sets the OOM score. If systemd protects the host from the OOM killer, workers are still killed before the host.
/// Vendors' plugins, which have a `-` in their names, are killed before all others. The elector keeps the host's score.
///
/// # Errors
/// The kernel's.
pub fn be_killed_before_the_host(name: &str, realtime: bool) -> Result<(), String> {
    const FILE: &str = "/proc/self/oom_score_adj";
    let is_vendors = name.contains('-');
    if realtime && !is_vendors {
        return Ok(());
    }
    let least = if is_vendors { 200 } else { 0 };
    let now = std::fs::read_to_string(FILE).map_err(|error| error.to_string())?;
    // a lower score than the inherited one would need a privilege, and is not wanted
    match now.trim().parse::<i32>() {
        Ok(score) if score >= least => Ok(()),
        _ => std::fs::write(FILE, least.to_string()).map_err(|error| error.to_string()),
    }
}

/// Resets what systemd sets for the host, so that children do not inherit it: a low OOM score, and a umask that hides
/// new files from others.
///
/// # Errors
/// The kernel's.
pub fn forget_the_hosts() -> Result<(), String> {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    std::fs::write("/proc/self/oom_score_adj", "0").map_err(|error| error.to_string())
}

/// Removes the limit of locked memory. Without the privilege, [`lock_memory`] reports it.
pub fn lift_memory_limit() {
    let unlimited = Rlimit {
        current: None,
        maximum: None,
    };
    let _ = setrlimit(Resource::Memlock, unlimited);
}

/// Allows as many descriptors as the hard limit. systemd's soft limit for a service is 1024.
pub fn lift_descriptor_limit() {
    let now = getrlimit(Resource::Nofile);
    let lifted = Rlimit {
        current: now.maximum,
        ..now
    };
    let _ = setrlimit(Resource::Nofile, lifted);
}

fn lower(resource: Resource, soft: u64, hard: u64) -> Result<(), String> {
    let now = getrlimit(resource);
    let cap = |wanted: u64| now.maximum.map_or(wanted, |most| wanted.min(most));
    let limit = Rlimit {
        current: Some(cap(soft)),
        maximum: Some(cap(hard)),
    };
    setrlimit(resource, limit).map_err(|errno| format!("{resource:?}: {errno}"))
}

/// Sets SCHED_FIFO for this thread; children and threads of the plugin get ordinary scheduling.
///
/// # Errors
/// The kernel's: no privilege, or a control group without real-time share.
pub fn real_time(priority: i32) -> Result<(), String> {
    let parameters = libc::sched_param {
        sched_priority: priority,
    };
    let policy = libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK;
    // SAFETY: a valid struct for this thread.
    let result = unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) };
    if result == -1 {
        return Err(std::io::Error::last_os_error().to_string());
    }
    Ok(())
}

/// Loads and locks all memory that is mapped now. If the limit is removed, later memory is locked once it is touched.
/// The heap is never returned to the kernel, so that it need not be faulted in again.
///
/// # Errors
/// The kernel's: no privilege and a low limit.
pub fn lock_memory() -> Result<(), String> {
    // SAFETY: settings of the allocator, which it guards itself.
    unsafe {
        libc::mallopt(libc::M_TRIM_THRESHOLD, -1);
        libc::mallopt(libc::M_MMAP_MAX, 0);
    }
    let limit = getrlimit(Resource::Memlock).current;
    if limit.is_some() {
        // A locked stack could not grow beyond the limit later.
        std::hint::black_box(touch_stack());
    }
    lock(libc::MCL_CURRENT)?;
    match limit {
        None => lock(libc::MCL_FUTURE | libc::MCL_ONFAULT),
        Some(bytes) => Err(format!(
            "cannot lock future memory: RLIMIT_MEMLOCK is {} kB",
            bytes / 1024
        )),
    }
}

fn lock(flags: libc::c_int) -> Result<(), String> {
    // SAFETY: flags only.
    match unsafe { libc::mlockall(flags) } {
        -1 => Err(std::io::Error::last_os_error().to_string()),
        _ => Ok(()),
    }
}

/// Grows the stack to as much as any callback may need, 1 MiB.
#[inline(never)]
fn touch_stack() -> u8 {
    let stack = [0u8; 1 << 20];
    std::hint::black_box(&stack)
        .iter()
        .step_by(4096)
        .fold(0, |sum, byte| sum | byte)
}
