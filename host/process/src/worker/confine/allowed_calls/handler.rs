//! Handles SIGSYS: names the system call that is not on the list, and makes it fail with EPERM.

use std::ffi::c_void;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};

use super::table;

/// Numbers of calls that were named, a bit for each. Numbers that are too large share the last bit.
static NAMED: [AtomicU64; 8] = [const { AtomicU64::new(0) }; 8];

/// Offset of the call's number in siginfo_t: after three numbers, padding and an address.
const NUMBER_AT: usize = 24;

const BEGIN: &str = "the system call ";
const NOT_LISTED: &str = " is not on its list";
const END: &str = ": refused";

/// Returns true if a line of a worker's error output names a call that was refused.
pub fn is_refusal(line: &str) -> bool {
    line.starts_with(BEGIN) && line.contains(NOT_LISTED) && line.ends_with(END)
}

pub(super) fn install() -> Result<(), String> {
    // SAFETY: zero is a value of all its fields.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handle as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_NODEFER | libc::SA_ONSTACK;
    // SAFETY: the handler makes only calls that signals allow.
    match unsafe { libc::sigaction(libc::SIGSYS, &raw const action, std::ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error().to_string()),
    }
}

extern "C" fn handle(_signal: i32, info: *const libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel's own structs. Of a signal that another process sent, the number is some
    // number, and the register is one that a call would set.
    let number = unsafe {
        fail(context.cast());
        info.cast::<u8>().add(NUMBER_AT).cast::<i32>().read()
    };
    if is_first(number) {
        say(number);
    }
}

fn is_first(number: i32) -> bool {
    let number = usize::try_from(number).unwrap_or(0);
    let word = (number / 64).min(NAMED.len() - 1);
    let bit = 1 << (number % 64);
    NAMED[word].fetch_or(bit, Ordering::Relaxed) & bit == 0
}

/// # Safety
/// `context` is what the kernel gave the handler.
unsafe fn fail(context: *mut libc::ucontext_t) {
    let result = -libc::EPERM;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the caller's promise.
    unsafe {
        (*context).uc_mcontext.gregs[libc::REG_RAX as usize] = result.into();
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: the caller's promise.
    unsafe {
        (*context).uc_mcontext.regs[0] = i64::from(result).cast_unsigned();
    }
    // riscv64: the result is in a0
    #[cfg(target_arch = "riscv64")]
    // SAFETY: the caller's promise.
    unsafe {
        (*context).uc_mcontext.__gregs[10] = i64::from(result).cast_unsigned();
    }
}

/// Writes a line without allocating; what is too long for it is cut off.
fn say(number: i32) {
    let mut line = [0; 160];
    let mut rest = line.as_mut_slice();
    let _ = write_line(&mut rest, number);
    let length = 160 - rest.len();
    // SAFETY: as many bytes as there are.
    unsafe { libc::write(libc::STDERR_FILENO, line.as_ptr().cast(), length) };
}

fn write_line(line: &mut impl Write, number: i32) -> io::Result<()> {
    let group = table::group(number.into());
    match table::name(number.into()) {
        Some(name) => writeln!(line, "{BEGIN}{name}{NOT_LISTED}{group}{END}"),
        None => writeln!(line, "{BEGIN}{number}{NOT_LISTED}{group}{END}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_named_once_and_an_unknown_one_by_its_number() {
        assert!(is_first(41));
        assert!(!is_first(41));
        assert!(is_first(-1) && is_first(100_000));
        let line = |number: libc::c_long| {
            let mut line = Vec::new();
            write_line(&mut line, i32::try_from(number).unwrap()).unwrap();
            String::from_utf8(line).unwrap()
        };
        let wanted =
            "the system call socket is not on its list (the group sockets has it): refused\n";
        assert_eq!(line(libc::SYS_socket), wanted);
        let wanted = "the system call 100000 is not on its list: refused\n";
        assert_eq!(line(100_000), wanted);
    }
}
