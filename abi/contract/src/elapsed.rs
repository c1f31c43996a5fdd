//! Writes times in sentences.

use std::fmt;

/// Nanoseconds, printed in readable form: "0.3 ms", "303 ms", "12.4 s".
#[derive(Clone, Copy, Debug)]
pub struct Elapsed(pub u64);

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0 / 1_000_000;
        if ms < 10 {
            write!(f, "{}.{} ms", ms, self.0 / 100_000 % 10)
        } else if ms < 10_000 {
            write!(f, "{ms} ms")
        } else if ms % 1000 == 0 {
            write!(f, "{} s", ms / 1000)
        } else {
            write!(f, "{}.{} s", ms / 1000, ms / 100 % 10)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_as_many_digits_as_count() {
        for (us, text) in [
            (340, "0.3 ms"),
            (9_990, "9.9 ms"),
            (303_000, "303 ms"),
            (9_999_999, "9999 ms"),
            (10_000_000, "10 s"),
            (12_480_000, "12.4 s"),
        ] {
            assert_eq!(Elapsed(us * 1000).to_string(), text);
        }
    }
}
