//! Lines about a plugin that breaks the rules of its process, as `spared-plugin-check` finds them
//! among its own lines.

use spared_sdk::run::CLOSED_DESCRIPTOR;

const WRONG_THREAD: &str = "() from a thread other than the loop's";

/// A call of `function` that is for the loop's thread only.
pub(super) fn wrong_thread(function: &str) -> String {
    format!("called {function}{WRONG_THREAD}")
}

/// Whether the driver logs this line, at level ERROR, about a fault of the plugin's.
pub fn is_misbehaviour(line: &str) -> bool {
    line.ends_with(WRONG_THREAD) || line.starts_with(CLOSED_DESCRIPTOR)
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;
    use spared_sdk::run::closed_descriptor;

    use super::*;

    #[test]
    fn each_line_is_found_among_others() {
        assert!(is_misbehaviour(&wrong_thread("timer")));
        assert!(is_misbehaviour(&closed_descriptor(Errno::BADF)));
        assert!(!is_misbehaviour("timer(): more than 64 timers"));
    }
}
