//! `sparectl watch`: shows status, traffic of the links and events live, until `q`.

mod line;
mod rates;
mod screen;
mod terminal;

use std::io::IsTerminal;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use crossterm::event::{self, Event as Input, KeyCode, KeyEventKind, KeyModifiers};
use spared_message::control::{Answer, Event, Request, Status};

use crate::args::Args;
use crate::{EXIT_FAILED, ask, output};
use rates::Rates;
use screen::{Screen, Scroll};
use terminal::Terminal;

/// Interval of queries to the daemon.
const PACE: Duration = Duration::from_millis(500);
/// Maximum delay of the reaction to a key.
const KEY_PACE: Duration = Duration::from_millis(50);
const EVENTS: usize = 100;

/// Answer of the daemon, or the reason why there is none.
type Heard = Result<(Box<Status>, Vec<Event>), String>;

pub fn run(args: &Args) -> u8 {
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        output::errors(&["watch: needs a terminal; sparectl status does not".to_owned()]);
        return EXIT_FAILED;
    }
    let shown = Terminal::open().and_then(|mut terminal| show(args, &mut terminal));
    match shown {
        Ok(()) => 0,
        Err(error) => {
            output::errors(&[format!("watch: {error}")]);
            EXIT_FAILED
        }
    }
}

fn show(args: &Args, terminal: &mut Terminal) -> std::io::Result<()> {
    thread::scope(|scope| {
        let (send, heard) = mpsc::channel();
        let (_stop, stopped) = mpsc::channel::<()>();
        // A query may take seconds if the daemon hangs, and keys must not wait for it.
        scope.spawn(move || {
            while send.send(question(args)).is_ok() {
                if !matches!(stopped.recv_timeout(PACE), Err(RecvTimeoutError::Timeout)) {
                    return;
                }
            }
        });
        let result = turn(terminal, &heard);
        drop(_stop);
        result
    })
}

fn turn(terminal: &mut Terminal, heard: &Receiver<Heard>) -> std::io::Result<()> {
    let mut screen = Screen::default();
    let mut rates = Rates::default();
    loop {
        for heard in heard.try_iter() {
            match heard {
                Ok((status, events)) => {
                    rates.note(Instant::now(), &status.links);
                    screen.update(*status, events, &rates);
                }
                Err(why) => screen.fail(why),
            }
        }
        terminal.draw(|size| screen.lines(size))?;
        if event::poll(KEY_PACE)? {
            let input = event::read()?;
            if is_end(&input) {
                return Ok(());
            }
            if let Some(wish) = scroll(&input) {
                screen.scroll(wish, crossterm::terminal::size()?.1.into());
            }
        }
    }
}

fn is_end(input: &Input) -> bool {
    let Input::Key(key) = input else { return false };
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    key.kind == KeyEventKind::Press
        && match key.code {
            KeyCode::Char('q') | KeyCode::Esc => true,
            KeyCode::Char('c') => control,
            _ => false,
        }
}

fn scroll(input: &Input) -> Option<Scroll> {
    let Input::Key(key) = input else { return None };
    if key.kind == KeyEventKind::Release {
        return None;
    }
    match key.code {
        KeyCode::Up | KeyCode::Char('k') => Some(Scroll::Up),
        KeyCode::Down | KeyCode::Char('j') => Some(Scroll::Down),
        KeyCode::PageUp => Some(Scroll::PageUp),
        KeyCode::PageDown | KeyCode::Char(' ') => Some(Scroll::PageDown),
        KeyCode::Home => Some(Scroll::Start),
        KeyCode::End => Some(Scroll::End),
        _ => None,
    }
}

fn question(args: &Args) -> Heard {
    let status = match ask(args, &Request::Status).map_err(|error| error.to_string())? {
        Answer::Status(status) => status,
        Answer::Error { lines, .. } => return Err(lines.join("; ")),
        _ => return Err("unexpected answer from the daemon".to_owned()),
    };
    let events = ask(args, &Request::Events { limit: EVENTS });
    let events = match events.map_err(|error| error.to_string())? {
        Answer::Events { events } => events,
        _ => Vec::new(),
    };
    Ok((status, events))
}
