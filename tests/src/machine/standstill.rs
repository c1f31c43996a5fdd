//! A user-mode-linux that stands still for good: an interrupt came while its kernel wrote anew the page of the stack
//! on which it would be handled (tests/kernel/README.md). Whatever a test finds then says nothing of spared.

use std::fs;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// Names of the machines of this program that stood still when they ended.
static STOOD: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Interrupts last for microseconds: so many looks at so great a distance never meet the same one.
const LOOKS: u32 = 15;
const APART: Duration = Duration::from_millis(20);

const SIGALRM: u64 = 1 << 13;
const SIGIO: u64 = 1 << 28;

/// Whether a kernel runs with its clock and its devices blocked, now and for a while.
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

pub fn note(machine: &str) {
    let mut stood = STOOD.lock().unwrap_or_else(PoisonError::into_inner);
    stood.push(machine.to_owned());
}

/// What stood still since this was asked last, as a sentence.
pub fn take() -> Option<String> {
    let mut stood = STOOD.lock().unwrap_or_else(PoisonError::into_inner);
    let names = std::mem::take(&mut *stood).join(", ");
    (!names.is_empty()).then(|| {
        format!(
            "the user-mode-linux of {names} stood still, as one with stacks of vmalloc may (tests/kernel/README.md)"
        )
    })
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
    fn what_stood_still_is_told_once() {
        note("r2");
        assert!(take().is_some_and(|it| it.contains("of r2 stood still")));
        assert_eq!(take(), None);
    }
}
