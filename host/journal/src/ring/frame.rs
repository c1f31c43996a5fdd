//! Format of a file of fixed size, in which the newest frames overwrite the oldest. Without I/O.
//!
//! ```text
//!  0       4        8         16       24
//!  +-------+--------+---------+--------+----------+
//!  | SPr1  | length | number  | hash   | text ... |   big-endian, at a multiple of 8
//!  +-------+--------+---------+--------+----------+
//! ```
//!
//! No frame is split: one that does not fit before the end goes to the beginning. The reader looks
//! for a frame at each multiple of 8 and accepts only those with a valid hash, so torn, overwritten
//! and foreign bytes are skipped.

use spared_message::fingerprint;

/// Size of the file in bytes.
pub const SIZE: usize = 512 * 1024;
/// Maximum bytes of a frame's text. The file holds more than two minutes of such frames.
pub const TEXT_MAX: usize = 4000;

const MAGIC: &[u8; 4] = b"SPr1";
const HEAD: usize = 24;
const ALIGN: usize = 8;

/// Place and number of the next frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    at: usize,
    number: u64,
}

/// Frame that was found in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    number: u64,
    end: usize,
    pub text: String,
}

impl Cursor {
    /// Place behind the newest frame of an earlier run.
    pub fn behind(bytes: &[u8]) -> Self {
        let newest = frames(bytes).pop();
        newest.map_or_else(Self::default, |frame| Self {
            at: frame.end,
            number: frame.number.wrapping_add(1),
        })
    }

    /// Returns the next frame as bytes, and their place; None if the text is too long.
    pub fn place(&mut self, text: &str) -> Option<(usize, Vec<u8>)> {
        let length = u32::try_from(text.len()).ok()?;
        if text.len() > TEXT_MAX {
            return None;
        }
        let mut bytes = Vec::with_capacity(HEAD + text.len() + ALIGN);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(&self.number.to_be_bytes());
        bytes.extend_from_slice(&hash(self.number, text).to_be_bytes());
        bytes.extend_from_slice(text.as_bytes());
        bytes.resize(bytes.len().next_multiple_of(ALIGN), 0);
        if self.at + bytes.len() > SIZE {
            self.at = 0;
        }
        let at = self.at;
        self.at += bytes.len();
        self.number = self.number.wrapping_add(1);
        Some((at, bytes))
    }
}

/// Frames of a file, oldest first.
pub fn frames(bytes: &[u8]) -> Vec<Frame> {
    let bytes = bytes.get(..SIZE).unwrap_or(bytes);
    let places = (0..bytes.len()).step_by(ALIGN);
    let mut found: Vec<Frame> = places.filter_map(|at| frame(bytes, at)).collect();
    found.sort_by_key(|frame| frame.number);
    found
}

fn frame(bytes: &[u8], at: usize) -> Option<Frame> {
    let (head, rest) = bytes.get(at..)?.split_at_checked(HEAD)?;
    let (magic, head) = head.split_at_checked(MAGIC.len())?;
    if magic != MAGIC {
        return None;
    }
    let (length, head) = head.split_first_chunk()?;
    let (number, head) = head.split_first_chunk()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let number = u64::from_be_bytes(*number);
    let text = rest.get(..length).filter(|text| text.len() <= TEXT_MAX)?;
    let text = std::str::from_utf8(text).ok()?;
    (head == hash(number, text).to_be_bytes()).then(|| Frame {
        number,
        end: (at + HEAD + length).next_multiple_of(ALIGN),
        text: text.to_owned(),
    })
}

fn hash(number: u64, text: &str) -> u64 {
    fingerprint([number.to_string().as_str(), text])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn put(file: &mut [u8], cursor: &mut Cursor, text: &str) {
        let (at, bytes) = cursor.place(text).unwrap();
        file[at..at + bytes.len()].copy_from_slice(&bytes);
    }

    fn texts(file: &[u8]) -> Vec<String> {
        frames(file).into_iter().map(|frame| frame.text).collect()
    }

    fn text(number: usize) -> String {
        format!("{number}{}", "x".repeat(number * 37 % TEXT_MAX.min(3000)))
    }

    #[test]
    fn the_newest_overwrite_the_oldest_and_order_is_kept() {
        let (mut file, mut cursor) = (vec![0; SIZE], Cursor::default());
        for number in 0..5000 {
            put(&mut file, &mut cursor, &text(number));
        }
        let found = texts(&file);
        let first = 5000 - found.len();
        assert!(found.len() > 120, "{}", found.len());
        let kept: Vec<String> = (first..5000).map(text).collect();
        assert!(found == kept);
    }

    #[test]
    fn the_longest_texts_of_two_minutes_fit() {
        let (mut file, mut cursor) = (vec![0; SIZE], Cursor::default());
        for _ in 0..1000 {
            put(&mut file, &mut cursor, &"x".repeat(TEXT_MAX));
        }
        assert!(texts(&file).len() >= 120);
        assert_eq!(cursor.place(&"x".repeat(TEXT_MAX + 1)), None);
    }

    #[test]
    fn the_next_run_goes_on_behind_the_newest() {
        let (mut file, mut cursor) = (vec![0; SIZE], Cursor::default());
        for number in 0..700 {
            put(&mut file, &mut cursor, &text(number));
            if number % 50 == 0 {
                assert_eq!(Cursor::behind(&file), cursor);
            }
        }
        assert_eq!(Cursor::behind(b""), Cursor::default());
    }

    #[test]
    fn a_torn_frame_is_passed_over_and_the_others_are_found() {
        let (mut file, mut cursor) = (vec![0; SIZE], Cursor::default());
        for number in 0..10 {
            put(&mut file, &mut cursor, &text(number));
        }
        let (at, bytes) = cursor.place("the last one").unwrap();
        let half = bytes.len() - 16;
        file[at..at + half].copy_from_slice(&bytes[..half]);
        assert_eq!(texts(&file), (0..10).map(text).collect::<Vec<_>>());
        file[HEAD] ^= 1;
        assert_eq!(texts(&file).len(), 9);
    }

    proptest! {
        #[test]
        fn no_bytes_do_harm(mut bytes in proptest::collection::vec(any::<u8>(), 0..400), at in 0_usize..40, length in any::<u32>()) {
            if let Some(place) = bytes.get_mut(at * ALIGN..at * ALIGN + 8) {
                place[..4].copy_from_slice(MAGIC);
                place[4..].copy_from_slice(&length.to_be_bytes());
            }
            prop_assert!(frames(&bytes).is_empty());
            let mut cursor = Cursor::behind(&bytes);
            prop_assert!(cursor.place("x").is_some());
        }
    }
}
