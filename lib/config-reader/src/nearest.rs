//! Finds the word that a misspelt one was meant to be.

/// Maximum length of a word that is compared, in letters.
const LETTERS_MAX: usize = 64;

/// Word in `words` that is most similar to `word`, if a typing error explains the difference: at most a third of the
/// letters, but at least one, may be wrong, missing, added or swapped with the next one. Case and the difference
/// between `-` and `_` do not count.
///
/// ```
/// use spared_config_reader::nearest;
///
/// assert_eq!(nearest("intreface", ["interface", "vrid"]), Some("interface"));
/// assert_eq!(nearest("colour", ["interface", "vrid"]), None);
/// ```
pub fn nearest<'w>(word: &str, words: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    let typed = letters(word);
    let is_near = |other: &str| {
        let meant = letters(other);
        let longest = typed.chars().count().max(meant.chars().count());
        let most = (longest / 3).max(1);
        let found = strsim::osa_distance(&typed, &meant);
        (longest <= LETTERS_MAX && found <= most && found < longest).then_some(found)
    };
    let near = words
        .into_iter()
        .filter_map(|it| Some((is_near(it)?, it)))
        .min_by_key(|(found, _)| *found);
    near.map(|(_, word)| word)
}

fn letters(word: &str) -> String {
    let plain = |letter: char| if letter == '-' { '_' } else { letter };
    let all = word.chars().flat_map(char::to_lowercase).map(plain);
    all.take(LETTERS_MAX + 1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typing_error_is_near_and_another_word_is_not() {
        for (word, words, meant) in [
            ("nmae", &["name", "vrid"][..], Some("name")),
            ("adress", &["addresses", "advert_loss"], Some("addresses")),
            (
                "Advert-Interval",
                &["advert_interval"],
                Some("advert_interval"),
            ),
            ("contrack", &["conntrack", "dhcp"], Some("conntrack")),
            ("x", &["y"], None),
            ("", &["a"], None),
            ("name", &["node"], None),
            ("max_age", &["min_age", "mark_bit"], Some("min_age")),
            ("failover", &["files", "force", "switch"], None),
        ] {
            assert_eq!(nearest(word, words.iter().copied()), meant, "{word}");
        }
        let long = "a".repeat(100_000);
        assert_eq!(nearest(&long, [long.as_str()]), None);
    }
}
