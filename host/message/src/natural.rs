//! Order of names as people expect it: g2 comes before g10.

use std::cmp::Ordering;

/// Name that is compared by its parts: runs of digits as numbers, all else as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Natural<'t>(pub &'t str);

impl Ord for Natural<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let (mut own, mut theirs) = (self.0, other.0);
        while !own.is_empty() && !theirs.is_empty() {
            let (first, second);
            (first, own) = split(own);
            (second, theirs) = split(theirs);
            let order = compare(first, second);
            if order.is_ne() {
                return order;
            }
        }
        // names that differ only in leading zeros are not the same
        let rest = own.len().cmp(&theirs.len());
        rest.then_with(|| self.0.cmp(other.0))
    }
}

impl PartialOrd for Natural<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Splits a name after its first run of digits, or of other characters.
fn split(name: &str) -> (&str, &str) {
    let is_number = name.starts_with(|it: char| it.is_ascii_digit());
    let end = name.find(|it: char| it.is_ascii_digit() != is_number);
    name.split_at(end.unwrap_or(name.len()))
}

fn compare(first: &str, second: &str) -> Ordering {
    let is_number = |it: &str| it.starts_with(|it: char| it.is_ascii_digit());
    if !(is_number(first) && is_number(second)) {
        return first.cmp(second);
    }
    let [first, second] = [first, second].map(|it| it.trim_start_matches('0'));
    // of numbers without leading zeros the longer one is greater
    first
        .len()
        .cmp(&second.len())
        .then_with(|| first.cmp(second))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names_count_as_numbers() {
        let sorted = [
            "",
            "2",
            "10",
            "g",
            "g1",
            "g01",
            "g2",
            "g2b",
            "g10",
            "g10a2",
            "g10a11",
            "h1",
            "lan",
            "lan-2",
            "z",
            "z99999999999999999998",
            "z99999999999999999999",
            "\u{e4}1",
        ];
        let mut names = sorted;
        names.reverse();
        names.sort_by_key(|it| Natural(it));
        let mut expected = sorted;
        // leading zeros decide last
        expected.swap(4, 5);
        assert_eq!(names, expected);
        for (at, first) in names.iter().enumerate() {
            for (other, second) in names.iter().enumerate() {
                assert_eq!(
                    Natural(first).cmp(&Natural(second)),
                    at.cmp(&other),
                    "{first} {second}"
                );
            }
        }
    }
}
