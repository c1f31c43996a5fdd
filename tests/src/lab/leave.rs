// SPDX-License-Identifier: MIT OR Apache-2.0
//! Handles Ctrl-C and SIGTERM: ends all started processes, removes their files, and exits.

use std::fs;
use std::process::{exit, id};
use std::sync::{Mutex, PoisonError};
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::{disk, labs_dir, process};
use crate::Result;

/// Cleans up on signals that end the program. `farewell` runs first, and may restore the terminal.
pub fn leave_when_told(farewell: impl Fn() + Send + 'static) -> Result<()> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM])?;
    thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            farewell();
            leave(128 + signal);
        }
    });
    Ok(())
}

/// Ends all started processes, removes their files, and exits.
pub fn leave(code: i32) -> ! {
    // one thread does so, the others wait for the exit
    static LEAVING: Mutex<()> = Mutex::new(());
    let _leaving = LEAVING.lock().unwrap_or_else(PoisonError::into_inner);
    process::kill_descendants();
    remove_own_dirs();
    exit(code)
}

fn remove_own_dirs() {
    let Some(entries) = labs_dir().ok().and_then(|dir| fs::read_dir(dir).ok()) else {
        return;
    };
    let own = format!("{}-", id());
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(&own) {
            process::end_users(&entry.path());
            disk::unmount_below(&entry.path());
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
