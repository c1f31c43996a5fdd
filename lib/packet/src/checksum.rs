//! The Internet checksum: RFC 1071.

use std::net::IpAddr;

/// The ones' complement sum of some bytes, to which more can be added. What is added before more
/// follows has an even length.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum(u32);

impl Sum {
    /// The sum of nothing.
    pub const ZERO: Sum = Sum(0);

    /// The sum of a pseudo-header: RFC 8200 section 8.1, which gives RFC 768's for IPv4, as the
    /// words between the lengths are zero.
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

    /// With these bytes added; an odd one at the end counts as if a zero followed.
    #[must_use]
    pub fn plus(self, bytes: &[u8]) -> Sum {
        let mut sum = self.0;
        for word in bytes.chunks(2) {
            let value = match *word {
                [high, low] => u16::from_be_bytes([high, low]),
                [high] => u16::from_be_bytes([high, 0]),
                _ => 0,
            };
            // folded at once: no number of words can overflow it
            sum += u32::from(value);
            sum = (sum & 0xffff) + (sum >> 16);
        }
        Sum(sum)
    }

    /// The checksum: zero over bytes that hold their own.
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

/// The checksum of bytes alone.
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
