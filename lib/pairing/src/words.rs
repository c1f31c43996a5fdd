//! The words of codes: short, known to children, and no two of them differ in one letter alone.

use strsim::levenshtein;

/// Number of words is a power of two, so that a byte without its highest bit chooses one.
#[rustfmt::skip]
pub(crate) const WORDS: [&str; 128] = [
    "acorn", "apple", "arrow", "bacon", "badge", "bamboo", "basket", "bicycle",
    "bishop", "blanket", "bottle", "bridge", "bucket", "butter", "cabin", "cactus",
    "camel", "candle", "canyon", "carpet", "castle", "cedar", "cherry", "circle",
    "cobalt", "copper", "cotton", "cradle", "crystal", "daisy", "desert", "diamond",
    "dolphin", "donkey", "dragon", "eagle", "elbow", "ember", "engine", "falcon",
    "fiddle", "finger", "forest", "fossil", "garden", "garlic", "glacier", "goblet",
    "granite", "guitar", "hammer", "hazel", "helmet", "hockey", "honey", "hotel",
    "icicle", "igloo", "island", "ivory", "jacket", "jaguar", "jelly", "jungle",
    "kettle", "kitten", "ladder", "lantern", "lizard", "lobster", "magnet", "mango",
    "marble", "meadow", "melon", "mirror", "mosaic", "mustard", "napkin", "needle",
    "nickel", "nutmeg", "oboe", "olive", "onion", "orange", "orchid", "otter",
    "oyster", "panda", "parrot", "pebble", "pepper", "picnic", "pillow", "pirate",
    "planet", "pocket", "potato", "pumpkin", "puzzle", "quartz", "rabbit", "radish",
    "raven", "ribbon", "river", "robin", "saddle", "salmon", "sandal", "shadow",
    "silver", "spider", "sugar", "summer", "sunset", "tablet", "temple", "thunder",
    "tiger", "timber", "tomato", "trumpet", "tulip", "turtle", "umbrella", "velvet",
];

/// The word that was probably meant.
pub(crate) fn nearest(word: &str) -> Option<&'static str> {
    let near = WORDS.iter().map(|it| (levenshtein(word, it), *it));
    let near = near.filter(|(distance, _)| *distance <= 2).min();
    near.map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_words_differ_in_one_letter() {
        for (number, word) in WORDS.iter().enumerate() {
            assert!(word.chars().all(|it| it.is_ascii_lowercase()), "{word}");
            assert!((3..=8).contains(&word.len()), "{word}");
            for other in &WORDS[number + 1..] {
                assert!(
                    word < other && levenshtein(word, other) > 1,
                    "{word} {other}"
                );
            }
        }
    }
}
