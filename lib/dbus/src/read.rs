//! Reader of messages from the bus: untrusted bytes.

use std::fmt;

use crate::field;

/// Maximum length in bytes of a message's fields, and of its body.
pub const MESSAGE_MAX: usize = 1 << 20;
const HEADER: usize = 16;

/// Error: the other end sent something that is not a message of D-Bus, or a message that is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotDbus;

impl fmt::Display for NotDbus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it speaks no D-Bus")
    }
}

impl std::error::Error for NotDbus {}

/// Kind of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// Answer to a call.
    Return,
    /// Refusal of a call.
    Error,
    /// Signal.
    Signal,
    /// Call, or a kind that is not used here.
    #[default]
    Other,
}

/// Message, with the parts that are used here.
#[derive(Clone, Copy, Debug, Default)]
pub struct Message<'b> {
    /// Kind of the message.
    pub kind: Kind,
    /// Path of the object that a signal comes from.
    pub path: Option<&'b str>,
    /// Name of an error.
    pub error: Option<&'b str>,
    /// Serial number of the call that the message answers.
    pub answers: Option<u32>,
    has_text: bool,
    body: &'b [u8],
    is_big: bool,
}

impl<'b> Message<'b> {
    /// Reads the first message, and returns it with the bytes after it; None: the message is incomplete.
    ///
    /// # Errors
    /// The bytes are not a message.
    pub fn read(bytes: &'b [u8]) -> Result<Option<(Self, &'b [u8])>, NotDbus> {
        let Some(header) = bytes.get(..HEADER) else {
            return Ok(None);
        };
        let is_big = match header.first() {
            Some(b'l') => false,
            Some(b'B') => true,
            _ => return Err(NotDbus),
        };
        let (body, fields) = lengths(header, is_big).ok_or(NotDbus)?;
        let Some((whole, after)) =
            bytes.split_at_checked(HEADER + fields.next_multiple_of(8) + body)
        else {
            return Ok(None);
        };
        let mut message = Self {
            kind: match header.get(1) {
                Some(2) => Kind::Return,
                Some(3) => Kind::Error,
                Some(4) => Kind::Signal,
                _ => Kind::Other,
            },
            body: whole.get(whole.len() - body..).unwrap_or_default(),
            is_big,
            ..Self::default()
        };
        let fields = whole.get(HEADER..).and_then(|it| it.get(..fields));
        let fields = fields.ok_or(NotDbus)?;
        let read = message.read_fields(&mut Reader::new(fields, is_big));
        read.ok_or(NotDbus)?;
        Ok(Some((message, after)))
    }

    /// First argument, if it is a text, such as the reason of an error.
    pub fn text(&self) -> Option<&'b str> {
        self.has_text
            .then(|| Reader::new(self.body, self.is_big).text())
            .flatten()
    }

    fn read_fields(&mut self, fields: &mut Reader<'b>) -> Option<()> {
        while !fields.is_empty() {
            let code = *fields.take(8, 1)?.first()?;
            match *fields.take(1, 3)? {
                [1, b'o' | b's', 0] => {
                    let text = fields.text()?;
                    match code {
                        field::PATH => self.path = Some(text),
                        field::ERROR => self.error = Some(text),
                        _ => {}
                    }
                }
                [1, b'u', 0] => {
                    let number = fields.number()?;
                    if code == field::ANSWERED {
                        self.answers = Some(number);
                    }
                }
                [1, b'g', 0] => {
                    let length = usize::from(*fields.take(1, 1)?.first()?);
                    let signature = fields.take(1, length)?;
                    fields.take(1, 1)?;
                    self.has_text |= code == field::SIGNATURE && signature.starts_with(b"s");
                }
                _ => return None,
            }
        }
        Some(())
    }
}

/// Lengths of the body and of the fields.
fn lengths(header: &[u8], is_big: bool) -> Option<(usize, usize)> {
    let mut numbers = Reader::new(header.get(4..)?, is_big);
    let body = usize::try_from(numbers.number()?).ok()?;
    numbers.number()?;
    let fields = usize::try_from(numbers.number()?).ok()?;
    (body <= MESSAGE_MAX && fields <= MESSAGE_MAX).then_some((body, fields))
}

struct Reader<'b> {
    bytes: &'b [u8],
    at: usize,
    is_big: bool,
}

impl<'b> Reader<'b> {
    fn new(bytes: &'b [u8], is_big: bool) -> Self {
        Self {
            bytes,
            at: 0,
            is_big,
        }
    }

    fn is_empty(&self) -> bool {
        self.at >= self.bytes.len()
    }

    fn take(&mut self, align: usize, length: usize) -> Option<&'b [u8]> {
        let from = self.at.checked_next_multiple_of(align)?;
        let to = from.checked_add(length)?;
        let part = self.bytes.get(from..to)?;
        self.at = to;
        Some(part)
    }

    fn number(&mut self) -> Option<u32> {
        let bytes = self.take(4, 4)?.try_into().ok()?;
        Some(if self.is_big {
            u32::from_be_bytes(bytes)
        } else {
            u32::from_le_bytes(bytes)
        })
    }

    fn text(&mut self) -> Option<&'b str> {
        let length = usize::try_from(self.number()?).ok()?;
        let text = self.take(1, length)?;
        self.take(1, 1)?;
        std::str::from_utf8(text).ok()
    }
}
