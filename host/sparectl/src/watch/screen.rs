//! The contents of the screen, from the daemon's last answer.

use spared_control::{Event, LinkStatus, Status};
use spared_pair::Word;

use super::line::{Line, Size, Style};
use super::rates::{Rates, readable};
use crate::render;

const KEYS: &str = " arrows scroll, q ends ";

#[derive(Default)]
pub struct Screen {
    head: Style,
    status: String,
    traffic: Vec<String>,
    events: Vec<String>,
    /// Reason why the contents are outdated.
    failure: Option<String>,
    /// Lines above the screen.
    top: usize,
}

/// A wish to see another part of the lines.
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
        self.status = render::status(&status, false);
        self.traffic = status.links.iter().map(|it| traffic(it, rates)).collect();
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

    /// The status first; traffic, then events get the remaining space. Scrolled, the first line stays, as it says
    /// whether anything is wrong or that the rest is old, and the last row says what part is seen.
    pub fn lines(&mut self, size: Size) -> Vec<Line> {
        let mut lines = self.status_lines(size.columns);
        if !self.traffic.is_empty() {
            lines.push(Line::rule(" traffic of the links ", "", size.columns));
            lines.extend(plain(&self.traffic, size.columns));
        }
        // One row is the footer's, or the title of the events.
        let room = size.rows.saturating_sub(1);
        let above_events = lines.len();
        lines.push(Line::rule(" events, newest first ", KEYS, size.columns));
        lines.extend(plain(&self.events, size.columns));
        // Fewer lines after an answer or a resize must not leave an empty screen.
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

    fn status_lines(&self, columns: usize) -> Vec<Line> {
        let mut lines = Vec::new();
        if let Some(why) = &self.failure {
            lines.push(Line::new(why, Style::Bad, columns));
            lines.push(Line::new("", Style::Plain, columns));
        }
        let old = self.failure.is_some();
        let mut in_head = true;
        for line in self.status.lines() {
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

/// The first `kept` lines, and what follows after leaving out `top` more; `room` in all.
fn part(mut lines: Vec<Line>, kept: usize, top: usize, room: usize, columns: usize) -> Vec<Line> {
    let all = lines.len();
    lines.drain(kept..kept + top);
    lines.truncate(room);
    let (first, last) = (kept + top + 1, top + lines.len());
    let title = format!(" lines {first} to {last} of {all} ");
    lines.push(Line::rule(&title, KEYS, columns));
    lines
}

fn plain(texts: &[String], columns: usize) -> impl Iterator<Item = Line> {
    texts
        .iter()
        .map(move |text| Line::new(text, Style::Plain, columns))
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
mod tests {
    use spared_control::Answer;

    use super::*;

    fn drawn(screen: &mut Screen, columns: usize, rows: usize) -> String {
        let lines = screen.lines(Size { columns, rows });
        assert!(lines.len() <= rows, "{lines:?}");
        lines
            .iter()
            .map(|line| format!("{}\n", line.text))
            .collect()
    }

    fn recorded() -> Status {
        let json = include_str!("../../tests/cases/status-pair.json");
        match serde_json::from_str(json).expect("a recorded answer") {
            Answer::Status(status) => *status,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn status_traffic_and_events_are_on_the_screen() {
        let mut screen = Screen::default();
        let event = Event {
            at: "2026-11-14T08:12:41.000+01:00".to_owned(),
            text: "r2 joined".to_owned(),
            ..Event::default()
        };
        screen.update(recorded(), vec![event], &Rates::default());
        let text = drawn(&mut screen, 100, 50);
        for part in [
            "r2 is ready",
            "r1 (this node)",
            "traffic of the links",
            "lan3",
            "r2 joined",
        ] {
            assert!(text.contains(part), "{part}:\n{text}");
        }
    }

    #[test]
    fn a_daemon_that_is_gone_is_said_above_what_it_said_last() {
        let mut screen = Screen::default();
        screen.update(recorded(), Vec::new(), &Rates::default());
        screen.fail("spared is not running".to_owned());
        let text = drawn(&mut screen, 100, 50);
        let gone = text.find("spared is not running");
        let last = text.find("r2 is ready");
        assert!(gone.is_some() && gone < last, "{text}");
    }

    #[test]
    fn a_terminal_of_80_by_24_has_status_traffic_and_the_keys() {
        let mut screen = Screen::default();
        screen.update(recorded(), Vec::new(), &Rates::default());
        let text = drawn(&mut screen, 80, 24);
        for part in [
            "r2 is ready",
            "last event",
            "out 0 B/s",
            "events, newest first",
            "q ends",
        ] {
            assert!(text.contains(part), "{part}:\n{text}");
        }
    }

    #[test]
    fn a_small_terminal_shows_the_sentence_and_how_much_is_missing() {
        let mut screen = Screen::default();
        screen.update(recorded(), Vec::new(), &Rates::default());
        let text = drawn(&mut screen, 80, 3);
        assert!(text.contains("r2 is ready"), "{text}");
        assert!(text.contains(" 21 more lines "), "{text}");
        assert!(text.contains("q ends"), "{text}");
        assert!(drawn(&mut screen, 80, 1).contains("r2 is ready"));
        assert_eq!(drawn(&mut screen, 0, 0), "");
    }

    #[test]
    fn scrolling_reaches_the_last_event_and_returns_at_every_size() {
        for (columns, rows) in [(80, 24), (132, 43), (40, 10), (20, 2)] {
            let mut screen = Screen::default();
            let events = (0..60).map(|it| Event {
                text: format!("e{it}"),
                ..Event::default()
            });
            screen.update(recorded(), events.collect(), &Rates::default());
            let first = drawn(&mut screen, columns, rows);
            screen.scroll(Scroll::End, rows);
            let last = drawn(&mut screen, columns, rows);
            assert!(last.contains("e0"), "{columns}x{rows}:\n{last}");
            screen.scroll(Scroll::Down, rows);
            assert_eq!(drawn(&mut screen, columns, rows), last);
            screen.scroll(Scroll::Up, rows);
            assert_ne!(drawn(&mut screen, columns, rows), last);
            screen.scroll(Scroll::Start, rows);
            assert_eq!(drawn(&mut screen, columns, rows), first);
        }
    }

    #[test]
    fn what_is_wrong_stays_in_view_however_far_the_rest_is_scrolled() {
        for (columns, rows) in [(80, 24), (132, 43), (60, 5), (60, 3)] {
            let mut screen = Screen::default();
            let events = vec![Event::default(); 60];
            screen.update(recorded(), events, &Rates::default());
            screen.scroll(Scroll::End, rows);
            let text = drawn(&mut screen, columns, rows);
            assert!(text.contains("r2 is ready"), "{columns}x{rows}:\n{text}");
            screen.fail("spared is not running".to_owned());
            let text = drawn(&mut screen, columns, rows);
            assert!(text.contains("is not running"), "{columns}x{rows}:\n{text}");
        }
    }

    #[test]
    fn a_position_that_a_larger_terminal_or_a_shorter_answer_does_not_have_is_left() {
        let mut screen = Screen::default();
        screen.update(recorded(), Vec::new(), &Rates::default());
        screen.scroll(Scroll::End, 5);
        assert!(drawn(&mut screen, 80, 5).contains(" lines "));
        let whole = drawn(&mut screen, 132, 80);
        assert!(
            whole.contains("r2 is ready") && !whole.contains(" lines "),
            "{whole}"
        );
        assert!(whole.contains("events, newest first"), "{whole}");
    }

    #[test]
    fn the_panel_of_traffic_names_each_link_at_80_by_24_and_132_by_43() {
        for (columns, rows) in [(80, 24), (132, 43)] {
            let mut screen = Screen::default();
            let status = recorded();
            let links: Vec<String> = status.links.iter().map(|it| it.interface.clone()).collect();
            screen.update(status, Vec::new(), &Rates::default());
            let text = drawn(&mut screen, columns, rows);
            let (_, below) = text.split_once("traffic of the links").expect("the panel");
            let (panel, _) = below.split_once("events, newest first").expect("its end");
            for link in links {
                assert!(panel.contains(&link), "{link}:\n{text}");
            }
        }
    }
}
