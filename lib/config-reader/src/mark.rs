//! Marks of packets.

use std::str::FromStr;

/// Mark of packets, as "16" or "0x10/0xff".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mark {
    /// Value of these bits.
    pub value: u32,
    /// Bits that are compared, never 0.
    pub mask: u32,
}

impl FromStr for Mark {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let number = |text: &str| match text.strip_prefix("0x") {
            Some(digits) if digits.starts_with(|it: char| it.is_ascii_hexdigit()) => {
                u32::from_str_radix(digits, 16).map_err(drop)
            }
            Some(_) => Err(()),
            None => text.parse().map_err(drop),
        };
        let (value, mask) = match text.split_once('/') {
            Some((value, mask)) => (number(value)?, number(mask)?),
            None => (number(text)?, u32::MAX),
        };
        // the kernel compares the masked mark with the value, so a bit beyond the mask never matches
        (mask != 0 && value & !mask == 0)
            .then_some(Self { value, mask })
            .ok_or(())
    }
}
