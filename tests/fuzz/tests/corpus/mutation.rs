//! Inputs out of other inputs: a few changes of one of a corpus, the same for the same seed.

use spared_tests::random::Random;

const LENGTH_MAX: usize = 8 * 1024;
const CHANGES_MAX: usize = 6;
const BLOCK_MAX: usize = 64;
const COPIES_MAX: usize = 16;
/// Numbers at the edges of lengths, counters, times and signs, as they are written.
const NUMBERS: [u64; 14] = [
    0,
    1,
    2,
    4,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    i64::MAX as u64,
    u64::MAX,
];

/// A mutation of one of `corpus`, which is not empty.
pub fn mutated(corpus: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut input = corpus[random.below(corpus.len())].clone();
    for _ in 0..=random.below(CHANGES_MAX) {
        let other = &corpus[random.below(corpus.len())];
        change(&mut input, other, random);
    }
    input.truncate(LENGTH_MAX);
    input
}

fn change(input: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let at = random.below(input.len() + 1);
    match random.below(9) {
        0 if at < input.len() => input[at] ^= 1 << random.below(8),
        1 if at < input.len() => input[at] = random.below(256) as u8,
        2 => write_number(input, at, random),
        3 => input.truncate(at),
        4 => drop(input.drain(block(at, input.len(), random))),
        5 => {
            let block = input[block(at, input.len(), random)].to_vec();
            let copies = 1 + random.below(COPIES_MAX);
            input.splice(at..at, block.repeat(copies));
        }
        6 => {
            let from = random.below(other.len() + 1);
            let block = block(from, other.len(), random);
            input.splice(at..at, other[block].iter().copied());
        }
        // the beginning of one and the end of another
        7 => {
            input.truncate(at);
            input.extend(&other[random.below(other.len() + 1)..]);
        }
        _ => {
            let length = 1 + random.below(8);
            let bytes: Vec<u8> = (0..length).map(|_| random.below(256) as u8).collect();
            input.splice(at..at, bytes);
        }
    }
}

fn block(from: usize, length: usize, random: &mut Random) -> std::ops::Range<usize> {
    from..length.min(from + 1 + random.below(BLOCK_MAX))
}

fn write_number(input: &mut [u8], at: usize, random: &mut Random) {
    let number = NUMBERS[random.below(NUMBERS.len())];
    let size = 1 << random.below(4);
    let (low, high) = (number.to_le_bytes(), number.to_be_bytes());
    let bytes = match random.below(2) {
        0 => &low[..size],
        _ => &high[8 - size..],
    };
    for (to, from) in input[at..].iter_mut().zip(bytes) {
        *to = *from;
    }
}

#[test]
fn the_same_seed_makes_the_same_input_and_another_seed_another() {
    let corpus = [b"one two three".to_vec(), Vec::new(), vec![7; 5000]];
    let made = |seed| mutated(&corpus, &mut Random::new(seed));
    let all: std::collections::BTreeSet<_> = (0..200).map(made).collect();
    assert!(all.len() > 150, "{}", all.len());
    assert_eq!(made(7), made(7));
    assert!(all.iter().all(|input| input.len() <= LENGTH_MAX));
}
