//! What is on the screen, from what the daemon said last.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Text};
use ratatui::widgets::{Block, Borders, Paragraph};
use spared_control::{Event, LinkStatus, Status};

use super::rates::{Rates, readable};
use crate::render;
use crate::verdict::{Level, Verdict};

const KEYS: &str = " q ends ";

#[derive(Default)]
pub struct Screen {
    head: Style,
    status: String,
    traffic: Vec<String>,
    events: Vec<String>,
    /// Why what is shown is old.
    failure: Option<String>,
}

impl Screen {
    pub fn update(&mut self, status: Status, events: Vec<Event>, rates: &Rates) {
        let verdict = Verdict::of(&status);
        self.head = Style::new()
            .fg(color(verdict.level()))
            .add_modifier(Modifier::BOLD);
        self.status = render::status(&status, &verdict, false);
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

    pub fn draw(&self, frame: &mut Frame<'_>) {
        let status = self.status_text();
        let traffic = self.traffic.len();
        // the status first; events take what is left
        let [top, middle, bottom] = Layout::vertical([
            Constraint::Max(lines(status.lines.len())),
            Constraint::Length(if traffic == 0 { 0 } else { lines(traffic + 1) }),
            Constraint::Min(0),
        ])
        .areas(frame.area());
        frame.render_widget(Paragraph::new(status), top);
        self.section(frame, middle, "traffic of the links", &self.traffic);
        self.section(frame, bottom, "events, newest first", &self.events);
    }

    fn status_text(&self) -> Text<'_> {
        let mut lines: Vec<Line<'_>> = Vec::new();
        if let Some(why) = &self.failure {
            let style = Style::new().fg(Color::Red).add_modifier(Modifier::BOLD);
            lines.push(Line::styled(why.as_str(), style));
            lines.push(Line::raw(""));
        }
        let old = self.failure.is_some();
        let mut in_head = true;
        for line in self.status.lines() {
            in_head &= !line.is_empty();
            let style = match (old, in_head) {
                (true, _) => Style::new().fg(Color::DarkGray),
                (false, true) => self.head,
                (false, false) => Style::new(),
            };
            lines.push(Line::styled(line, style));
        }
        Text::from(lines)
    }

    fn section(&self, frame: &mut Frame<'_>, area: Rect, title: &str, texts: &[String]) {
        let block = Block::new()
            .borders(Borders::TOP)
            .title(format!(" {title} "))
            .title_bottom(Line::raw(KEYS).right_aligned());
        let lines: Vec<Line<'_>> = texts.iter().map(|text| Line::raw(text.as_str())).collect();
        frame.render_widget(Paragraph::new(Text::from(lines)).block(block), area);
    }
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

fn color(level: Level) -> Color {
    match level {
        Level::Ok => Color::Green,
        Level::Warn => Color::Yellow,
        Level::Alone | Level::Conflict | Level::NoneActive => Color::Red,
    }
}

fn lines(count: usize) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use spared_control::Answer;

    use super::*;

    fn drawn(screen: &Screen, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(100, height)).expect("a terminal");
        terminal.draw(|frame| screen.draw(frame)).expect("drawn");
        terminal.backend().to_string()
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
            text: "utm2 joined".to_owned(),
            ..Event::default()
        };
        screen.update(recorded(), vec![event], &Rates::default());
        let text = drawn(&screen, 50);
        for part in [
            "utm2 is ready",
            "utm1 (this node)",
            "traffic of the links",
            "lan3",
            "utm2 joined",
        ] {
            assert!(text.contains(part), "{part}:\n{text}");
        }
    }

    #[test]
    fn a_daemon_that_is_gone_is_said_above_what_it_said_last() {
        let mut screen = Screen::default();
        screen.update(recorded(), Vec::new(), &Rates::default());
        screen.fail("spared is not running".to_owned());
        let text = drawn(&screen, 50);
        let gone = text.find("spared is not running");
        let last = text.find("utm2 is ready");
        assert!(gone.is_some() && gone < last, "{text}");
    }

    #[test]
    fn a_small_terminal_shows_the_sentence() {
        let mut screen = Screen::default();
        screen.update(recorded(), Vec::new(), &Rates::default());
        assert!(drawn(&screen, 3).contains("utm2 is ready"));
    }
}
