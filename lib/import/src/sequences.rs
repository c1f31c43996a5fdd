//! Sequences `~SEQ`, `~SEQx` and `~LST`, for each of whose values keepalived repeats a line.

use crate::limits::LINES_MAX;

/// Values of `~SEQ(...` or `~LST(...`, without the closing bracket: for each round the variables that it sets.
pub fn sequence(head: &str) -> Option<Vec<Vec<(String, String)>>> {
    let (kind, inner) = head.split_once('(')?;
    let (variable, values) = match kind.trim() {
        "~LST" => return list(inner),
        "~SEQ" | "~SEQx" => inner.split_once(',')?,
        _ => return None,
    };
    let is_hex = kind.trim().ends_with('x');
    let numbers: Option<Vec<i64>> = values.split(',').map(number).collect();
    let (start, step, end) = match numbers?.as_slice() {
        [end] => {
            let start = if *end < 0 { -1 } else { 1 };
            (start, if *end < 1 { -1 } else { 1 }, *end)
        }
        [start, end] => (*start, if start <= end { 1 } else { -1 }, *end),
        [start, step, end] => (*start, *step, *end),
        _ => return None,
    };
    let is_endless = step == 0 || (start < end && step < 0) || (start > end && step > 0);
    let rounds = i128::from(end).checked_sub(start.into())? / i128::from(step.max(1).max(-step));
    if is_endless || rounds.unsigned_abs() > LINES_MAX as u128 || (is_hex && start.min(end) < 0) {
        return None;
    }
    let mut values = Vec::new();
    let mut next = start;
    while (step > 0 && next <= end) || (step < 0 && next >= end) {
        let value = if is_hex {
            format!("{next:x}")
        } else {
            next.to_string()
        };
        values.push(vec![(variable.trim().to_owned(), value)]);
        next = next.checked_add(step)?;
    }
    Some(values)
}

fn list(inner: &str) -> Option<Vec<Vec<(String, String)>>> {
    let elements = elements(inner);
    let (names, values) = elements.split_first()?;
    let rounds = values.iter().map(|value| {
        let is_complete = names.len() == value.len();
        let pairs = names.iter().cloned().zip(value.iter().cloned());
        is_complete.then(|| pairs.collect())
    });
    rounds.collect()
}

/// Elements of a list, each of one value or, in braces, of several.
fn elements(text: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (element, after) = match rest.strip_prefix('{') {
            Some(inner) => inner.split_once('}').unwrap_or((inner, "")),
            None => rest.split_at(rest.find(',').unwrap_or(rest.len())),
        };
        let values = element.split(',').map(|it| it.trim().to_owned());
        found.push(values.collect());
        rest = after.trim_start().trim_start_matches(',').trim_start();
    }
    found
}

/// A number as C writes it: decimal, 0x, or octal.
fn number(text: &str) -> Option<i64> {
    let text = text.trim();
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let found = if let Some(hex) = digits.strip_prefix("0x") {
        i64::from_str_radix(hex, 16)
    } else if digits.len() > 1 && digits.starts_with('0') {
        i64::from_str_radix(digits, 8)
    } else {
        digits.parse()
    };
    let found = found.ok().filter(|it| *it >= 0)?;
    Some(if is_negative { -found } else { found })
}
