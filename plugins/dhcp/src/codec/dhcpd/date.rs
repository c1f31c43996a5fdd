//! Reads and writes dhcpd's dates.

use std::io::Write as _;
use std::str;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::lexer::Token;

/// End of the year 9999; dhcpd has no date for later times.
const LAST_S: i64 = 253_402_300_799;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Date {
    At(i64),
    Never,
}

/// Parses `5 2026/11/20 17:56:45` (UTC), `epoch 1795197610` or `never`.
pub fn parse(tokens: &[Token]) -> Option<Date> {
    match tokens {
        [Token::Word(b"never")] => Some(Date::Never),
        [Token::Word(b"epoch"), Token::Word(seconds)] => {
            Some(Date::At(str::from_utf8(seconds).ok()?.parse().ok()?))
        }
        [Token::Word(_weekday), Token::Word(day), Token::Word(time)] => {
            let [year, month, day] = numbers(day, b'/')?;
            let [hour, minute, second] = numbers(time, b':')?;
            let small = |number: i16| i8::try_from(number).ok();
            let date = DateTime::new(
                year,
                small(month)?,
                small(day)?,
                small(hour)?,
                small(minute)?,
                small(second)?,
                0,
            );
            let at = TimeZone::UTC.to_timestamp(date.ok()?).ok()?;
            Some(Date::At(at.as_second()))
        }
        _ => None,
    }
}

fn numbers(text: &[u8], between: u8) -> Option<[i16; 3]> {
    let mut parts = text.split(|byte| *byte == between);
    let mut next = || str::from_utf8(parts.next()?).ok()?.parse().ok();
    let numbers = [next()?, next()?, next()?];
    parts.next().is_none().then_some(numbers)
}

pub fn write(out: &mut Vec<u8>, date: Date) {
    let at = match date {
        Date::At(seconds) => Timestamp::from_second(seconds.clamp(0, LAST_S)).ok(),
        Date::Never => None,
    };
    let Some(at) = at else {
        out.extend_from_slice(b"never");
        return;
    };
    let at = TimeZone::UTC.to_datetime(at);
    let weekday = at.weekday().to_sunday_zero_offset();
    // writing to a vector cannot fail
    let _ = write!(
        out,
        "{weekday} {:04}/{:02}/{:02} {:02}:{:02}:{:02}",
        at.year(),
        at.month(),
        at.day(),
        at.hour(),
        at.minute(),
        at.second()
    );
}
