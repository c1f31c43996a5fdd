//! Limits the time that a plugin has once the daemon is gone.

use std::sync::Weak;
use std::thread;
use std::time::Duration;

/// Maximum time for a plugin to resign.
const RESIGN: Duration = Duration::from_secs(2);
/// Stack of the thread in bytes: it only sleeps, and memory of a real-time worker is locked.
const STACK_BYTES: usize = 64 * 1024;

/// Ends this process after [`RESIGN`], whatever it is doing then, unless the loop has ended.
pub(super) fn limit_remaining_time(of_loop: Weak<()>) {
    let thread = thread::Builder::new().stack_size(STACK_BYTES);
    let _ = thread.spawn(move || {
        thread::sleep(RESIGN);
        if of_loop.strong_count() > 0 {
            std::process::abort();
        }
    });
}
