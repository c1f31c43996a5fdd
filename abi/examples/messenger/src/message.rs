//! Messages: kind, number, checksum of number and content, content.

/// Content of no meaning. Numbered, like [`SAID`], from 1 at each `up`.
pub const BULK: u8 = 1;
/// To be sent back as [`PONG`].
pub const PING: u8 = 2;
pub const PONG: u8 = 3;
/// A text, numbered.
pub const SAID: u8 = 4;

/// Length of a message without content.
pub const LEAST: usize = 17;

/// Puts kind, number and checksum in front of the content that begins at [`LEAST`].
pub fn seal(message: &mut [u8], kind: u8, number: u64) {
    let Some((head, content)) = message.split_at_mut_checked(LEAST) else {
        return;
    };
    let sum = checksum(number, content);
    let fields = [kind].into_iter().chain(number.to_le_bytes());
    let fields = fields.chain(sum.to_le_bytes());
    head.iter_mut()
        .zip(fields)
        .for_each(|(to, byte)| *to = byte);
}

/// Kind, number and content; None if the message is malformed.
pub fn open(message: &[u8]) -> Option<(u8, u64, &[u8])> {
    let (head, content) = message.split_at_checked(LEAST)?;
    let (kind, fields) = head.split_first()?;
    let (number, sum) = fields.split_first_chunk()?;
    let number = u64::from_le_bytes(*number);
    let sum = u64::from_le_bytes(*sum.first_chunk()?);
    (sum == checksum(number, content)).then_some((*kind, number, content))
}

/// Fletcher's sums over words, four at a time: fast enough not to dominate a benchmark.
fn checksum(number: u64, content: &[u8]) -> u64 {
    const LANES: usize = 4;
    let blocks = content.chunks_exact(8 * LANES);
    let rest = blocks.remainder();
    let (mut sums, mut sums_of_sums) = ([0u64; LANES], [0u64; LANES]);
    for block in blocks {
        for (lane, word) in block.chunks_exact(8).enumerate() {
            let word = word.try_into().map_or(0, u64::from_le_bytes);
            sums[lane] = sums[lane].wrapping_add(word);
            sums_of_sums[lane] = sums_of_sums[lane].wrapping_add(sums[lane]);
        }
    }
    let mix = |sum: u64, word: u64| (sum ^ word).wrapping_mul(0x0100_0000_01b3);
    let begin = mix(content.len() as u64, number);
    let sum = sums.into_iter().chain(sums_of_sums).fold(begin, mix);
    rest.iter()
        .fold(sum, |sum, byte| mix(sum, u64::from(*byte)))
}
