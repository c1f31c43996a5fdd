// SPDX-License-Identifier: MIT OR Apache-2.0
//! Serial console of a machine, whose shell takes one command after the other.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::Result;

/// Time after a command's own time limit in which its answer may still arrive.
const GRACE: Duration = Duration::from_secs(5);

/// Pause before an empty line is sent: user-mode-linux may leave a line unread until another one comes.
const NUDGE_EVERY: Duration = Duration::from_secs(1);

/// Limit of characters of a command that are shown.
const LINE_LIMIT: usize = 100;

pub struct Console {
    name: String,
    dir: PathBuf,
    token: String,
    input: ChildStdin,
    lines: Receiver<String>,
    number: u32,
    last: Option<Last>,
}

/// The command that was given last.
struct Last {
    line: String,
    at: Instant,
    is_answered: bool,
}

/// Output of a booting machine on its serial console.
pub enum Boot {
    /// The machine accepts commands; the text is what its init has found out about the kernel.
    Up(String),
    /// The machine printed another line.
    Progress(String),
    /// The machine printed nothing. Whether it has ended is checked elsewhere.
    Silent,
}

/// Returns a random word that only our init prints.
pub fn token() -> Result<String> {
    let mut bytes = [0; 8];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(format!("t{:016x}", u64::from_ne_bytes(bytes)))
}

impl Console {
    pub fn new(name: &str, dir: &Path, token: String, pipes: (ChildStdin, ChildStdout)) -> Self {
        let (input, output) = pipes;
        let (sender, lines) = channel();
        thread::spawn(move || read(output, &sender));
        Self {
            name: name.to_owned(),
            dir: dir.to_owned(),
            token,
            input,
            lines,
            number: 0,
            last: None,
        }
    }

    /// Waits for output of a booting machine.
    pub fn poll_up(&self, limit: Duration) -> Boot {
        let line = match self.lines.recv_timeout(limit) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => return Boot::Silent,
            Err(RecvTimeoutError::Disconnected) => {
                thread::sleep(limit);
                return Boot::Silent;
            }
        };
        let mut words = line.split_whitespace();
        match (words.next() == Some(&self.token), words.next()) {
            (true, Some("up")) => Boot::Up(words.next().unwrap_or_default().to_owned()),
            _ => Boot::Progress(line.clone()),
        }
    }

    /// Runs a command. Returns its exit code and output; the code is 124 if it took too long.
    pub fn run(&mut self, line: &str, limit: Duration) -> Result<(i32, String)> {
        self.obey("run", line, line, limit)
    }

    /// Asks the daemon of a folder. Returns its answer.
    pub fn ask(&mut self, runtime_dir: &Path, words: &str, limit: Duration) -> Result<Value> {
        let command = format!("{}\n{words}\n", runtime_dir.display());
        match self.obey("ask", words, &command, limit)? {
            (0, text) => Ok(serde_json::from_str(&text)?),
            (_, why) => Err(format!("{}: {words}: {why}", self.name).into()),
        }
    }

    /// Has `machine-console` do what is in `command`, which people call `line`.
    fn obey(
        &mut self,
        kind: &str,
        line: &str,
        command: &str,
        limit: Duration,
    ) -> Result<(i32, String)> {
        self.number += 1;
        self.last = Some(Last {
            line: line.to_owned(),
            at: Instant::now(),
            is_answered: false,
        });
        // The name has the token, so that no later machine of the same name reads this file.
        let stem = format!("{}-{}", self.token, self.number);
        let [input, output] =
            ["command", "output"].map(|end| self.dir.join(format!("{stem}.{end}")));
        fs::write(&input, command)?;
        let limit_s = limit.as_secs().max(1);
        writeln!(self.input, "{kind} {stem} {limit_s}")
            .map_err(|error| format!("{}: its console: {error}", self.name))?;
        let code = self.wait(&stem, Duration::from_secs(limit_s) + GRACE)?;
        if let Some(last) = &mut self.last {
            last.is_answered = true;
        }
        let text = fs::read(&output)?;
        for file in [input, output] {
            fs::remove_file(file)?;
        }
        let text = String::from_utf8_lossy(&text).into_owned();
        Ok((code.parse()?, text))
    }

    /// Describes the last command.
    pub fn latest(&self) -> String {
        match &self.last {
            Some(last) => last.words(last.at.elapsed()),
            None => "it was given no command".to_owned(),
        }
    }

    /// Waits for a line with the token and this word. Returns the word after them.
    fn wait(&mut self, word: &str, limit: Duration) -> Result<String> {
        let end = Instant::now() + limit;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let line = match self.lines.recv_timeout(left.min(NUDGE_EVERY)) {
                Ok(line) => line,
                Err(RecvTimeoutError::Timeout) if left > NUDGE_EVERY => {
                    // a machine that has ended is found by its silence
                    let _ = self.input.write_all(b"\n");
                    continue;
                }
                Err(error) => return Err(format!("{}: no answer ({error})", self.name).into()),
            };
            let mut words = line.split_whitespace();
            if words.next() == Some(&self.token) && words.next() == Some(word) {
                return Ok(words.next().unwrap_or_default().to_owned());
            }
        }
    }
}

impl Last {
    fn words(&self, ago: Duration) -> String {
        let (seconds, line) = (ago.as_secs_f64(), shortened(&self.line));
        let not = if self.is_answered { "" } else { " not" };
        format!("its last command, given {seconds:.1} s earlier, was{not} answered: `{line}`")
    }
}

/// Returns the first line of a command, shortened.
fn shortened(command: &str) -> String {
    let first = command.trim().lines().next().unwrap_or_default();
    match first.char_indices().nth(LINE_LIMIT) {
        Some((end, _)) => format!("{}...", &first[..end]),
        None => first.to_owned(),
    }
}

fn read(output: ChildStdout, sender: &Sender<String>) {
    let mut reader = BufReader::new(output);
    let mut line = Vec::new();
    // Lines of our init are only a few words long.
    while matches!(
        reader.by_ref().take(4096).read_until(b'\n', &mut line),
        Ok(1..)
    ) {
        if sender
            .send(String::from_utf8_lossy(&line).into_owned())
            .is_err()
        {
            return;
        }
        line.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_command_is_told_in_one_line_with_its_age() {
        let mut last = Last {
            line: "ip -batch - <<'END'\naddr add\nEND\n".to_owned(),
            at: Instant::now(),
            is_answered: false,
        };
        let age = Duration::from_millis(4140);
        let told = "its last command, given 4.1 s earlier, was not answered: `ip -batch - <<'END'`";
        assert_eq!(last.words(age), told);
        last.is_answered = true;
        assert!(last.words(age).contains("was answered: "));
        last.line = "ä".repeat(101);
        assert!(last.words(age).ends_with("ä...`"));
    }
}
