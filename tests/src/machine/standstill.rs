//! Detects a user-mode-linux that stands still for good: an interrupt came while its kernel rewrote the page of the
//! stack on which it would be handled (tests/kernel/README.md). Results of a test are then void.

use std::fs;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::Machine;
use crate::lab::starved;

/// Machines of this program that stood still when they ended.
static STOOD: Mutex<Vec<Standstill>> = Mutex::new(Vec::new());

struct Standstill {
    machine: String,
    latest: String,
}

/// Number of checks, and their distance. An interrupt lasts for microseconds, so that not all of them can meet the same
/// one.
const LOOKS: u32 = 15;
const APART: Duration = Duration::from_millis(20);

/// Limit of kernel lines that are shown.
const LINES: usize = 3;

const SIGALRM: u64 = 1 << 13;
const SIGIO: u64 = 1 << 28;

impl Machine {
    /// Returns the time so far for which its processes were ready to run on the host and had no processor.
    pub fn starved(&self) -> Duration {
        self.daemon().tree().into_iter().map(starved).sum()
    }
}

/// Returns true if a kernel runs with its clock and its devices blocked, now and for a while.
pub fn lasts(kernel: u32) -> bool {
    (0..LOOKS).all(|look| {
        if look > 0 {
            thread::sleep(APART);
        }
        let status = fs::read_to_string(format!("/proc/{kernel}/status"));
        status.is_ok_and(|text| is_within(&text))
    })
}

fn is_within(status: &str) -> bool {
    let value = |key: &str| {
        let mut lines = status.lines();
        lines.find_map(|line| line.strip_prefix(key)).map(str::trim)
    };
    let blocked = value("SigBlk:").and_then(|it| u64::from_str_radix(it, 16).ok());
    let runs = value("State:").is_some_and(|it| it.starts_with('R'));
    runs && blocked.is_some_and(|it| it & SIGALRM != 0 && it & SIGIO != 0)
}

/// Describes what a machine did last: its last command, and the end of its kernel's output.
pub fn latest(command: &str, printed: &str) -> String {
    let lines: Vec<&str> = printed.lines().map(str::trim).collect();
    let mut lines: Vec<&str> = lines.into_iter().filter(|line| !line.is_empty()).collect();
    let end = lines.split_off(lines.len().saturating_sub(LINES));
    if end.is_empty() {
        format!("{command}; its kernel printed nothing")
    } else {
        format!("{command}; its kernel printed last: {}", end.join(" | "))
    }
}

pub fn note(machine: &str, latest: String) {
    let machine = machine.to_owned();
    stood().push(Standstill { machine, latest });
}

/// Forgets a machine that another one has replaced.
pub fn forget(machine: &str) {
    stood().retain(|it| it.machine != machine);
}

/// Returns the machines that stood still since the last call, and their last commands, as a sentence.
pub fn take() -> Option<String> {
    let stood = std::mem::take(&mut *stood());
    let names: Vec<&str> = stood.iter().map(|it| it.machine.as_str()).collect();
    let latest = stood
        .iter()
        .map(|Standstill { machine, latest }| format!("; {machine}: {latest}"));
    (!names.is_empty()).then(|| {
        format!(
            "the user-mode-linux of {} stood still, as one with stacks of vmalloc may (tests/kernel/README.md){}",
            names.join(", "),
            latest.collect::<String>()
        )
    })
}

/// Describes what a process of a machine does that does not answer, as a line.
pub fn activity_of(pid: u32) -> String {
    let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let status = read("status");
    let wanted = ["State:", "SigPnd:", "ShdPnd:", "SigBlk:"];
    let lines = status
        .lines()
        .filter(|line| wanted.iter().any(|it| line.starts_with(it)));
    let lines: Vec<&str> = lines.collect();
    let (place, call) = (read("wchan"), read("syscall"));
    format!(
        "\n{pid}: {} in {place} of {}",
        lines.join(", "),
        call.trim()
    )
}

fn stood() -> MutexGuard<'static, Vec<Standstill>> {
    STOOD.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STOOD_STILL: &str = "Name:\tlinux-uml\nState:\tR (running)\nSigBlk:\t0000000018003000\n";

    #[test]
    fn a_kernel_that_runs_within_an_interrupt_is_told_from_one_that_does_not() {
        assert!(is_within(STOOD_STILL));
        assert!(!is_within(&STOOD_STILL.replace("R (", "S (")));
        assert!(!is_within(&STOOD_STILL.replace("18003000", "00001000")));
        assert!(!is_within(""));
        assert!(!lasts(std::process::id()));
    }

    #[test]
    fn what_stood_still_is_told_once_with_what_it_did_last() {
        note("r1", latest("no command", ""));
        note("r2", latest("its last command: `true`", "1\n2\n\n 3\n4\n"));
        note("r3", String::new());
        forget("r3");
        let told = take().expect("two stood still");
        assert!(told.contains("of r1, r2 stood still"), "{told}");
        let ends = "); r1: no command; its kernel printed nothing; \
                    r2: its last command: `true`; its kernel printed last: 2 | 3 | 4";
        assert!(told.ends_with(ends), "{told}");
        assert_eq!(take(), None);
    }
}
