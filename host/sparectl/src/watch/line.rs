//! Lines of a screen, each of one style, cut to the width of the terminal.

/// Width and height, in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    pub columns: usize,
    pub rows: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    #[default]
    Plain,
    /// Possibly outdated.
    Old,
    Good,
    Warning,
    Bad,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub text: String,
    pub style: Style,
}

impl Line {
    /// A line longer than the screen is wide ends in "…".
    pub fn new(text: &str, style: Style, columns: usize) -> Self {
        let text = if text.chars().count() > columns {
            let kept = text.chars().take(columns.saturating_sub(1));
            kept.chain(['…']).collect()
        } else {
            text.to_owned()
        };
        Self { text, style }
    }

    /// A rule across the screen: a title on its left, a hint on its right.
    pub fn rule(title: &str, hint: &str, columns: usize) -> Self {
        let used = title.chars().count() + hint.chars().count() + 2;
        let filling = "─".repeat(columns.saturating_sub(used));
        Self::new(&format!("─{title}{filling}{hint}─"), Style::Plain, columns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_never_wider_than_the_screen() {
        for columns in 0..20 {
            for line in [
                Line::new("ten letters", Style::Plain, columns),
                Line::rule(" events ", " q ends ", columns),
            ] {
                assert!(line.text.chars().count() <= columns.max(1), "{line:?}");
            }
        }
        assert_eq!(Line::new("abcdef", Style::Plain, 4).text, "abc…");
        assert_eq!(Line::rule(" a ", " b ", 10).text, "─ a ── b ─");
    }
}
