//! The terminal: gets lines, and writes those that differ from the screen.

use std::io::{self, Stdout, Write};

use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::queue;
use crossterm::style::{Attribute, Color, Print, ResetColor, SetAttribute, SetForegroundColor};
use crossterm::terminal::{
    self, BeginSynchronizedUpdate, Clear, ClearType, DisableLineWrap, EnableLineWrap,
    EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen,
};

use super::line::{Line, Size, Style};
use crate::output::without_controls;

/// The terminal while its screen is ours. Dropping it restores the terminal.
pub struct Terminal {
    out: Stdout,
    painter: Painter,
}

impl Terminal {
    /// # Errors
    /// Standard output is not a writable terminal.
    pub fn open() -> io::Result<Self> {
        terminal::enable_raw_mode()?;
        let mut this = Self {
            out: io::stdout(),
            painter: Painter::default(),
        };
        // a character wider than one column must not push the rest to the next line
        queue!(this.out, EnterAlternateScreen, DisableLineWrap, Hide)?;
        this.out.flush()?;
        Ok(this)
    }

    pub fn draw(&mut self, lines: impl FnOnce(Size) -> Vec<Line>) -> io::Result<()> {
        let (columns, rows) = terminal::size()?;
        let size = Size {
            columns: columns.into(),
            rows: rows.into(),
        };
        self.painter.paint(&mut self.out, size, lines(size))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // A closed terminal does not need to be restored.
        let _ = queue!(self.out, Show, EnableLineWrap, LeaveAlternateScreen);
        let _ = self.out.flush();
        let _ = terminal::disable_raw_mode();
    }
}

/// Writes the lines that changed since the last call.
#[derive(Default)]
struct Painter {
    size: Size,
    shown: Vec<Line>,
}

impl Painter {
    fn paint(&mut self, out: &mut impl Write, size: Size, lines: Vec<Line>) -> io::Result<()> {
        if self.size == size && self.shown == lines {
            return Ok(());
        }
        queue!(out, BeginSynchronizedUpdate)?;
        if self.size != size {
            self.shown.clear();
            queue!(out, Clear(ClearType::All))?;
        }
        for row in 0..self.shown.len().max(lines.len()).min(size.rows) {
            if lines.get(row) != self.shown.get(row) {
                paint_row(out, row, lines.get(row))?;
            }
        }
        queue!(out, EndSynchronizedUpdate)?;
        (self.size, self.shown) = (size, lines);
        out.flush()
    }
}

fn paint_row(out: &mut impl Write, row: usize, line: Option<&Line>) -> io::Result<()> {
    queue!(out, MoveTo(0, u16::try_from(row).unwrap_or(u16::MAX)))?;
    if let Some(line) = line {
        if let Some(color) = color(line.style) {
            queue!(out, SetForegroundColor(color))?;
        }
        if matches!(line.style, Style::Good | Style::Warning | Style::Bad) {
            queue!(out, SetAttribute(Attribute::Bold))?;
        }
        queue!(out, Print(without_controls(&line.text)))?;
        queue!(out, SetAttribute(Attribute::Reset), ResetColor)?;
    }
    queue!(out, Clear(ClearType::UntilNewLine))
}

fn color(style: Style) -> Option<Color> {
    match style {
        Style::Plain => None,
        Style::Old => Some(Color::DarkGrey),
        Style::Good => Some(Color::Green),
        Style::Warning => Some(Color::Yellow),
        Style::Bad => Some(Color::Red),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size {
        columns: 80,
        rows: 24,
    };

    fn painted(painter: &mut Painter, size: Size, texts: &[&str]) -> String {
        let lines = texts.iter().map(|it| Line::new(it, Style::Plain, 80));
        let mut out = Vec::new();
        painter
            .paint(&mut out, size, lines.collect())
            .expect("a buffer takes all");
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn only_lines_that_changed_are_written() {
        let mut painter = Painter::default();
        let all = painted(&mut painter, SIZE, &["first", "second"]);
        assert!(all.contains("first") && all.contains("second"), "{all:?}");
        assert_eq!(painted(&mut painter, SIZE, &["first", "second"]), "");
        let changed = painted(&mut painter, SIZE, &["first", "other"]);
        assert!(changed.contains("other"), "{changed:?}");
        assert!(!changed.contains("first"), "{changed:?}");
    }

    #[test]
    fn a_line_that_is_gone_is_cleared() {
        let mut painter = Painter::default();
        painted(&mut painter, SIZE, &["first", "second"]);
        let shorter = painted(&mut painter, SIZE, &["first"]);
        // the second row, then "erase to the end of the line"
        assert!(shorter.contains("\u{1b}[2;1H\u{1b}[K"), "{shorter:?}");
    }

    #[test]
    fn another_size_is_drawn_from_the_beginning() {
        let mut painter = Painter::default();
        painted(&mut painter, SIZE, &["first"]);
        let wider = Size {
            columns: 100,
            ..SIZE
        };
        let all = painted(&mut painter, wider, &["first"]);
        assert!(
            all.contains("\u{1b}[2J") && all.contains("first"),
            "{all:?}"
        );
    }

    #[test]
    fn what_a_terminal_would_obey_is_not_passed_on() {
        let text = painted(&mut Painter::default(), SIZE, &["a\u{1b}[31mb"]);
        assert!(text.contains("a\u{fffd}[31mb"), "{text:?}");
    }
}
