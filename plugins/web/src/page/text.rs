//! Texts of others, made harmless where they are read: names and sentences may come from a peer that is hostile.

use std::fmt;

use maud::{Escaper, Render};
use serde::Deserialize;

/// Most characters of a text that are kept. The longest sentence of a finding has half of that.
const MAX_CHARACTERS: usize = 1000;
/// Most characters of a word that are kept; a name of a node has 64 at most.
const MAX_WORD: usize = 96;
/// Sign for a character that is not shown.
const HIDDEN: char = '\u{FFFD}';

/// One line of visible characters, which keep their place and direction to themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(from = "String")]
pub struct Text(String);

impl Text {
    pub fn new(text: &str) -> Self {
        let (mut shown, mut word) = (String::new(), 0);
        let mut characters = text.chars().map(visible);
        for character in characters.by_ref().take(MAX_CHARACTERS) {
            word = if character == ' ' { 0 } else { word + 1 };
            match word {
                0..=MAX_WORD => shown.push(character),
                _ if shown.ends_with('…') => {}
                _ => shown.push('…'),
            }
        }
        if characters.next().is_some() && !shown.ends_with('…') {
            shown.push('…');
        }
        Self(shown)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self::new(&text)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Render for Text {
    fn render_to(&self, buffer: &mut String) {
        // writing to a String does not fail
        let _ = fmt::Write::write_str(&mut Escaper::new(buffer), &self.0);
    }
}

/// The character, or a sign for one that would change how others are shown.
fn visible(character: char) -> char {
    match character {
        '\t' | '\n' | '\r' | '\u{2028}' | '\u{2029}' => ' ',
        // characters without a width, those that change the direction, and tags
        '\u{00AD}'
        | '\u{034F}'
        | '\u{061C}'
        | '\u{180E}'
        | '\u{200B}'..='\u{200F}'
        | '\u{202A}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}'
        | '\u{FE00}'..='\u{FE0F}'
        | '\u{FEFF}'
        | '\u{FFF9}'..='\u{FFFB}'
        | '\u{FFFE}'
        | '\u{FFFF}'
        | '\u{E0000}'..='\u{E0FFF}' => HIDDEN,
        // marks that pile up on their neighbour
        '\u{0300}'..='\u{036F}' | '\u{1AB0}'..='\u{1AFF}' | '\u{20D0}'..='\u{20FF}' => HIDDEN,
        other if other.is_control() => HIDDEN,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use maud::html;

    use super::*;

    #[test]
    fn markup_is_escaped_in_contents_and_in_attributes() {
        let text = Text::new("\"><script>alert('1')</script>&amp;");
        let shown = html! { p title=(text) { (text) } }.into_string();
        let escaped = "&quot;&gt;&lt;script&gt;alert('1')&lt;/script&gt;&amp;amp;";
        assert_eq!(shown, format!("<p title=\"{escaped}\">{escaped}</p>"));
    }

    #[test]
    fn characters_that_hide_or_turn_others_are_shown_as_such() {
        let text = Text::new("a\u{202E}b\u{0}c\u{200B}d\u{1B}[31me\u{0301}\nf\u{85}");
        assert_eq!(
            text.as_str(),
            "a\u{FFFD}b\u{FFFD}c\u{FFFD}d\u{FFFD}[31me\u{FFFD} f\u{FFFD}"
        );
    }

    #[test]
    fn a_long_text_is_cut() {
        let text = Text::new(&"word ".repeat(2048));
        assert_eq!(text.as_str().chars().count(), MAX_CHARACTERS + 1);
        assert!(text.as_str().ends_with('…'));
    }

    #[test]
    fn a_long_word_is_cut() {
        let name = "x".repeat(10_240);
        assert_eq!(Text::new(&name).as_str().chars().count(), MAX_WORD + 1);
        let text = Text::new(&format!("{} is down", &name[..500]));
        assert!(text.as_str().ends_with("x… is down"), "{text}");
    }

    #[test]
    fn names_of_any_script_stay() {
        for name in ["büro", "משרד", "事務所", "мост"] {
            assert_eq!(Text::new(name).as_str(), name);
        }
    }
}
