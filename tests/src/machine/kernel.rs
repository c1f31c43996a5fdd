// SPDX-License-Identifier: MIT OR Apache-2.0
//! Kernel of the machines, chosen by tests/kernel/choose.sh, and the messages if one does not start.

use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::Result;
use crate::recipe::Recipe;

/// Messages after which a kernel never starts.
const FATAL: [&str; 2] = ["Kernel panic", AMX];
/// Message of a kernel that does not know the size of a process's registers on processors with AMX.
const AMX: &str = "ptrace set fp regs failed";

/// Returns the kernel that all machines boot by default.
pub fn chosen() -> Result<&'static Path> {
    static CHOSEN: Recipe = Recipe::new(&["kernel/choose.sh"]);
    CHOSEN.ask().map(Path::new)
}

/// Debian's kernel, and the program that serves its files.
pub struct Stock {
    /// `vmlinuz` and `initramfs`.
    pub dir: PathBuf,
    pub virtiofsd: PathBuf,
}

pub fn stock() -> Result<Stock> {
    static STOCK: Recipe = Recipe::new(&["kernel/stock.sh"]);
    let printed = STOCK.ask()?.split_once('\n');
    let (dir, virtiofsd) = printed.ok_or("stock.sh prints two lines")?;
    Ok(Stock {
        dir: dir.into(),
        virtiofsd: virtiofsd.into(),
    })
}

/// Output of a booting machine, and the time of its last part.
pub struct Printed {
    pub text: String,
    pub at: Instant,
    log_read: usize,
}

impl Printed {
    pub fn new(log_start: usize) -> Self {
        Self {
            text: String::new(),
            at: Instant::now(),
            log_read: log_start,
        }
    }

    pub fn add(&mut self, text: &str) {
        self.text += text;
        self.at = Instant::now();
    }

    /// Adds new output from its log.
    pub fn read(&mut self, log: &str) {
        if let Some(new @ [_, ..]) = log.as_bytes().get(self.log_read..) {
            self.add(&String::from_utf8_lossy(new));
            self.log_read = log.len();
        }
    }
}

/// Returns true if a kernel that printed this will never start.
pub fn is_fatal(printed: &str) -> bool {
    FATAL.iter().any(|words| printed.contains(words))
}

/// Returns the message why a machine did not start, from its kernel's output, with what to do.
pub fn not_started(machine: &str, kernel: &Path, what: &str, printed: &str) -> String {
    let last = printed.lines().rev().find(|line| !line.trim().is_empty());
    let said = last.map_or("printed nothing".to_owned(), |line| {
        format!("printed last: {:?}", line.trim())
    });
    let advice = if printed.contains(AMX) {
        "it cannot run on processors with AMX, such as this one's: build one that can by \
         `tests/kernel/choose.sh build`, or set SPARED_TEST_KERNEL to its path"
    } else {
        "set SPARED_TEST_KERNEL to the path of another kernel"
    };
    let kernel = kernel.display();
    format!("machine {machine}: the kernel {kernel} {what} and {said}; {advice}")
}
