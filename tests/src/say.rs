// SPDX-License-Identifier: MIT OR Apache-2.0
//! Prints the output of these programs. If its reader has ended (`demo | head`), the program ends silently, with all
//! processes that it has started.

use std::io::{Write, stdout};

use crate::lab::leave;

/// Exit code of a program that SIGPIPE ends.
const NOBODY_READS: i32 = 141;

/// Prints a line, as `println!` does.
#[macro_export]
macro_rules! say {
    ($($words:tt)*) => {
        $crate::say::put(&format!("{}\n", format_args!($($words)*)))
    };
}

/// Prints text at once.
pub fn put(text: &str) {
    let mut out = stdout().lock();
    let put = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    drop(out);
    if put.is_err() {
        leave(NOBODY_READS);
    }
}

/// Returns true if a program is asked for its help; it then does nothing else.
pub fn wants_help(words: &[String]) -> bool {
    words.iter().any(|word| word == "--help" || word == "-h")
}
