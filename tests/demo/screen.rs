// SPDX-License-Identifier: MIT OR Apache-2.0
//! The screen: a picture whose changed lines are drawn again in place, on a terminal and into a recording; plain lines
//! if the output is no terminal.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, IsTerminal, Write as _};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::json;
use spared_tests::{Result, say};

/// Size of the recording's terminal.
const SIZE: [usize; 2] = [80, 24];

pub struct Screen {
    start: Instant,
    terminal: bool,
    recording: Option<Mutex<File>>,
    /// Lines of the picture as they were drawn last.
    drawn: Mutex<Vec<String>>,
}

impl Screen {
    pub fn new(recording: Option<&Path>) -> Result<Self> {
        let recording = recording.map(create).transpose()?;
        let screen = Self {
            start: Instant::now(),
            terminal: io::stdout().is_terminal(),
            recording: recording.map(Mutex::new),
            drawn: Mutex::default(),
        };
        screen.put("\x1b[?25l");
        Ok(screen)
    }

    /// Shows the cursor again.
    pub fn restore() {
        if io::stdout().is_terminal() {
            say!("\x1b[?25h");
        }
    }

    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// Prints what happens, if there is no picture to show it.
    pub fn log(&self, line: &str) {
        if !self.terminal {
            say!("{:6.1} s  {line}", self.elapsed().as_secs_f64());
        }
    }

    /// Prints lines of the picture where it is not seen.
    pub fn log_rows(&self, lines: &[String]) {
        if !self.terminal {
            lines.iter().for_each(|line| say!("{line}"));
        }
    }

    /// Draws the lines of a picture that have changed. All pictures have the same number of lines.
    pub fn draw(&self, picture: &[String]) {
        let mut drawn = self.drawn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        if drawn.is_empty() {
            picture
                .iter()
                .for_each(|line| text += &format!("{line}\r\n"));
        }
        for (number, (old, new)) in drawn.iter().zip(picture).enumerate() {
            let up = picture.len() - number;
            if old != new {
                let _ = write!(text, "\x1b[{up}A{new}\x1b[K\r\x1b[{up}B");
            }
        }
        *drawn = picture.to_vec();
        self.put(&text);
    }

    /// Prints lines below the picture, also where there is none.
    pub fn print(&self, text: &str) {
        if !self.terminal {
            say::put(text);
        }
        self.put(&text.replace('\n', "\r\n"));
    }

    pub fn finish(&self) {
        self.put("\x1b[?25h");
    }

    // A recording is asciicast v2: a header, then for each output the seconds, "o" and the text.
    fn put(&self, text: &str) {
        if text.is_empty() {
            return;
        }
        if self.terminal {
            say::put(text);
        }
        if let Some(recording) = &self.recording {
            let mut file = recording.lock().unwrap_or_else(PoisonError::into_inner);
            let seconds = (self.elapsed().as_secs_f64() * 1e3).round() / 1e3;
            let _ = writeln!(file, "{}", json!([seconds, "o", text]));
        }
    }
}

fn create(path: &Path) -> Result<File> {
    let why = |error| format!("{}: {error}", path.display());
    let mut file = File::create(path).map_err(why)?;
    let [width, height] = SIZE;
    let header = json!({ "version": 2, "width": width, "height": height, "title": "make demo" });
    writeln!(file, "{header}").map_err(why)?;
    Ok(file)
}
