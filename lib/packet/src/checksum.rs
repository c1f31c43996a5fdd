//! The Internet checksum: RFC 1071.

use std::net::IpAddr;

/// Ones' complement sum of bytes, to which more can be added. All parts except the last must have an even length.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum(u32);

impl Sum {
    /// Sum of no bytes.
    pub const ZERO: Sum = Sum(0);

    /// Sum of a pseudo-header of RFC 8200 section 8.1. For IPv4 it equals the one of RFC 768, because the words between
    /// the lengths are zero.
    pub fn of_pseudo_header(
        source: IpAddr,
        destination: IpAddr,
        protocol: u8,
        length: usize,
    ) -> Sum {
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        Sum::ZERO
            .plus_address(source)
            .plus_address(destination)
            .plus(&length.to_be_bytes())
            .plus(&[0, protocol])
    }

    /// Adds bytes; an odd one at the end counts as if a zero followed.
    #[must_use]
    pub fn plus(self, bytes: &[u8]) -> Sum {
        let mut sum = self.0;
        for word in bytes.chunks(2) {
            let value = match *word {
                [high, low] => u16::from_be_bytes([high, low]),
                [high] => u16::from_be_bytes([high, 0]),
                _ => 0,
            };
            // folded at once, so that no number of words overflows
            sum += u32::from(value);
            sum = (sum & 0xffff) + (sum >> 16);
        }
        Sum(sum)
    }

    /// Checksum of the sum; zero if the bytes include their own checksum.
    pub fn finish(self) -> u16 {
        let sum = (self.0 & 0xffff) + (self.0 >> 16);
        !(((sum & 0xffff) + (sum >> 16)) as u16)
    }

    fn plus_address(self, address: IpAddr) -> Sum {
        match address {
            IpAddr::V4(address) => self.plus(&address.octets()),
            IpAddr::V6(address) => self.plus(&address.octets()),
        }
    }
}

/// Checksum of bytes alone.
pub fn checksum(bytes: &[u8]) -> u16 {
    Sum::ZERO.plus(bytes).finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_1071_has_its_sum() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(checksum(&bytes), !0xddf2);
        assert_eq!(checksum(&[]), 0xffff);
    }

    #[test]
    fn a_last_odd_byte_is_the_high_half_of_a_word() {
        assert_eq!(
            checksum(&[0x12, 0x34, 0x56]),
            checksum(&[0x12, 0x34, 0x56, 0])
        );
    }

    #[test]
    fn many_words_of_ones_do_not_overflow() {
        assert_eq!(checksum(&vec![0xff; 1 << 20]), 0);
    }

    #[test]
    fn a_sum_does_not_depend_on_where_it_was_cut() {
        let bytes: Vec<u8> = (0..=255).collect();
        let cut = Sum::ZERO.plus(&bytes[..100]).plus(&bytes[100..]);
        assert_eq!(cut.finish(), checksum(&bytes));
    }
}
