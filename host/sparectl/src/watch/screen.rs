//! The contents of the screen, from the daemon's last answer.

use spared_control::{Event, LinkStatus, Status};
use spared_pair::Word;

use super::line::{Line, Size, Style};
use super::rates::{Rates, readable};
use crate::render;

const KEYS: &str = " q ends ";

#[derive(Default)]
pub struct Screen {
    head: Style,
    status: String,
    traffic: Vec<String>,
    events: Vec<String>,
    /// Reason why the contents are outdated.
    failure: Option<String>,
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

    /// The status first; traffic, then events get the remaining space.
    pub fn lines(&self, size: Size) -> Vec<Line> {
        let mut lines = self.status_lines(size.columns);
        if !self.traffic.is_empty() {
            lines.push(Line::rule(" traffic of the links ", "", size.columns));
            lines.extend(plain(&self.traffic, size.columns));
        }
        let hidden = lines.len().saturating_sub(size.rows);
        if hidden > 0 && size.rows > 1 {
            lines.truncate(size.rows - 1);
            let title = format!(" {} more lines ", hidden + 1);
            lines.push(Line::rule(&title, KEYS, size.columns));
        }
        lines.push(Line::rule(" events, newest first ", KEYS, size.columns));
        lines.extend(plain(&self.events, size.columns));
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

    fn drawn(screen: &Screen, columns: usize, rows: usize) -> String {
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
        let text = drawn(&screen, 100, 50);
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
        let text = drawn(&screen, 100, 50);
        let gone = text.find("spared is not running");
        let last = text.find("r2 is ready");
        assert!(gone.is_some() && gone < last, "{text}");
    }

    #[test]
    fn a_terminal_of_80_by_24_has_status_traffic_and_the_keys() {
        let mut screen = Screen::default();
        screen.update(recorded(), Vec::new(), &Rates::default());
        let text = drawn(&screen, 80, 24);
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
        let text = drawn(&screen, 80, 3);
        assert!(text.contains("r2 is ready"), "{text}");
        assert!(text.contains(" 21 more lines "), "{text}");
        assert!(text.contains("q ends"), "{text}");
        assert!(drawn(&screen, 80, 1).contains("r2 is ready"));
        assert_eq!(drawn(&screen, 0, 0), "");
    }
}
