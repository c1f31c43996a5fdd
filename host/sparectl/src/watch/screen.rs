//! Contents of the screen, from the daemon's last answer.

use spared_message::control::{Event, LinkStatus, Status};
use spared_verdict::Word;

use super::line::{Line, Size, Style};
use super::rates::{Rates, readable};
use crate::render;

const KEYS: &str = " arrows scroll, q ends ";
/// Indents of lines that a narrow screen breaks: rows of the traffic align with the value, events with the text.
const ROW: usize = 22;
const EVENT: usize = 25;

#[derive(Default)]
pub struct Screen {
    head: Style,
    status: Option<Box<Status>>,
    /// Status as text, with the width for which it was rendered.
    drawn: (usize, String),
    traffic: Vec<String>,
    events: Vec<String>,
    /// Reason why the contents are outdated.
    failure: Option<String>,
    /// Number of lines above the screen.
    top: usize,
}

/// Request to show another part of the lines.
#[derive(Clone, Copy)]
pub enum Scroll {
    Up,
    Down,
    PageUp,
    PageDown,
    Start,
    End,
}

impl Screen {
    pub fn update(&mut self, status: Status, events: Vec<Event>, rates: &Rates) {
        self.head = style(status.verdict.word);
        self.traffic = status.links.iter().map(|it| traffic(it, rates)).collect();
        self.status = Some(Box::new(status));
        self.drawn = (0, String::new());
        self.events = render::events(&events)
            .lines()
            .rev()
            .map(str::to_owned)
            .collect();
        self.failure = None;
    }

    pub fn fail(&mut self, why: String) {
        self.failure = Some(why);
    }

    pub fn scroll(&mut self, wish: Scroll, rows: usize) {
        let page = rows.saturating_sub(2).max(1);
        self.top = match wish {
            Scroll::Up => self.top.saturating_sub(1),
            Scroll::Down => self.top.saturating_add(1),
            Scroll::PageUp => self.top.saturating_sub(page),
            Scroll::PageDown => self.top.saturating_add(page),
            Scroll::Start => 0,
            Scroll::End => usize::MAX,
        };
    }

    /// Lines of the screen: the status first, then traffic and events in the remaining space. On a scrolled screen the
    /// first line stays, because it says whether anything is wrong or outdated, and the last row says which part is
    /// shown.
    pub fn lines(&mut self, size: Size) -> Vec<Line> {
        let mut lines = self.status_lines(size.columns);
        if !self.traffic.is_empty() {
            lines.push(Line::rule(" traffic of the links ", "", size.columns));
            lines.extend(plain(&self.traffic, ROW, size.columns));
        }
        // One row is reserved for the footer, or for the title of the events.
        let room = size.rows.saturating_sub(1);
        let above_events = lines.len();
        lines.push(Line::rule(" events, newest first ", KEYS, size.columns));
        lines.extend(plain(&self.events, EVENT, size.columns));
        // After an answer or a resize there may be fewer lines, which must not leave an empty screen.
        self.top = self.top.min(lines.len().saturating_sub(room));
        if self.top > 0 && room > 0 {
            let kept = usize::from(room > 1);
            return part(lines, kept, self.top, room, size.columns);
        }
        let hidden = above_events.saturating_sub(room);
        if hidden > 0 && room > 0 {
            lines.truncate(room);
            let title = format!(" {hidden} more lines ");
            lines.push(Line::rule(&title, KEYS, size.columns));
        }
        lines.truncate(size.rows);
        lines
    }

    fn status_lines(&mut self, columns: usize) -> Vec<Line> {
        let mut lines = Vec::new();
        if let Some(status) = self.status.as_ref().filter(|_| self.drawn.0 != columns) {
            self.drawn = (columns, render::status(status, false, columns));
        }
        if let Some(why) = &self.failure {
            lines.extend(Line::wrapped(why, Style::Bad, 0, columns));
            lines.push(Line::new("", Style::Plain, columns));
        }
        let old = self.failure.is_some();
        let mut in_head = true;
        for line in self.drawn.1.lines() {
            in_head &= !line.is_empty();
            let style = match (old, in_head) {
                (true, _) => Style::Old,
                (false, true) => self.head,
                (false, false) => Style::Plain,
            };
            lines.push(Line::new(line, style, columns));
        }
        lines
    }
}

/// The first `kept` lines, then the lines after the `top` lines that are left out; `room` lines in total.
fn part(mut lines: Vec<Line>, kept: usize, top: usize, room: usize, columns: usize) -> Vec<Line> {
    let all = lines.len();
    lines.drain(kept..kept + top);
    lines.truncate(room);
    let (first, last) = (kept + top + 1, top + lines.len());
    let title = format!(" lines {first} to {last} of {all} ");
    lines.push(Line::rule(&title, KEYS, columns));
    lines
}

fn plain(texts: &[String], indent: usize, columns: usize) -> impl Iterator<Item = Line> {
    texts
        .iter()
        .flat_map(move |text| Line::wrapped(text, Style::Plain, indent, columns))
}

fn traffic(link: &LinkStatus, rates: &Rates) -> String {
    let (sent, received) = rates.of(&link.interface).unwrap_or_default();
    let carries = if link.carries {
        ", carries the data"
    } else {
        ""
    };
    format!(
        "    {:<18}out {:<14}in {:<14}{}{carries}",
        link.interface,
        readable(sent),
        readable(received),
        link.state
    )
}

fn style(word: Word) -> Style {
    match word {
        Word::Ok => Style::Good,
        Word::Warn | Word::Unknown => Style::Warning,
        Word::Alone | Word::Conflict | Word::None => Style::Bad,
    }
}

#[cfg(test)]
mod tests;
