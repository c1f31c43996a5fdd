//! Messages between the halves: a kind, then a notice or a number.

pub const NOTICE: u8 = 1;
/// Message of a flood: a number follows, little-endian, and bytes that mean nothing.
pub const NUMBERED: u8 = 2;

const NOTICE_MAX: usize = 200;

/// Why a text is no notice. Both halves ask: the one that is root trusts nothing that it receives.
pub fn refusal(text: &str) -> Option<&'static str> {
    if text.is_empty() || text.len() > NOTICE_MAX {
        return Some("a notice has 1 to 200 bytes");
    }
    let is_odd = text.chars().any(char::is_control);
    is_odd.then_some("a notice is one line")
}

/// # Errors
/// Why the text is no notice.
#[allow(dead_code, reason = "used by one of the halves")]
pub fn notice(text: &str) -> Result<Vec<u8>, String> {
    match refusal(text) {
        Some(why) => Err(why.to_owned()),
        None => Ok([&[NOTICE], text.as_bytes()].concat()),
    }
}

#[allow(dead_code, reason = "used by one of the halves")]
pub fn numbered(message: &mut [u8], number: u64) {
    if let [kind, rest @ ..] = message {
        *kind = NUMBERED;
        if let Some(place) = rest.first_chunk_mut() {
            *place = number.to_le_bytes();
        }
    }
}
