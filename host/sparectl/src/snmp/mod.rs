//! `sparectl snmp`: answers snmpd's `pass_persist` with rows of VRRPV3-MIB (RFC 6527). It only reads, and keeps what the
//! daemon answered for a second, however fast somebody walks.

mod errors;
mod oid;
mod rows;
#[cfg(test)]
mod tests;

use std::io::{self, BufRead, Read as _, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketType, netdevice, socket};
use spared_message::control::{self, Answer, Request};
use spared_metrics::Status;
use spared_metrics::sources::now;

use crate::args::Args;
use crate::metrics::facts;
use crate::{EXIT_FAILED, output};
use errors::ProtocolErrors;
use oid::Oid;
use rows::{Facts, Rows};

/// Longest line that snmpd may send: an object identifier has at most 128 numbers of 10 digits.
const LINE_MAX: u64 = 2048;
/// Age until which rows are used again.
const LIFETIME: Duration = Duration::from_secs(1);
/// Maximum wait for the daemon, in which snmpd answers nobody.
const PATIENCE: Duration = Duration::from_secs(1);

/// Answers until snmpd closes the pipe.
pub fn run(args: &Args) -> u8 {
    let mut agent = Agent::new(&args.runtime_dir);
    let (input, output) = (io::stdin().lock(), io::stdout().lock());
    match serve(input, output, || agent.rows(Instant::now())) {
        Ok(()) => 0,
        Err(error) => {
            output::errors(&[format!("pass_persist: {error}")]);
            EXIT_FAILED
        }
    }
}

/// Rows of the daemon, with what is known of earlier ones.
struct Agent<'a> {
    runtime_dir: &'a Path,
    /// Time of the start in seconds since 1970.
    started: f64,
    rows: Rc<Rows>,
    read: Option<Instant>,
    errors: ProtocolErrors,
}

impl<'a> Agent<'a> {
    fn new(runtime_dir: &'a Path) -> Self {
        Self {
            runtime_dir,
            started: now(),
            rows: Rc::default(),
            read: None,
            errors: ProtocolErrors::default(),
        }
    }

    /// Rows that are at most a second old; none if the daemon does not answer.
    fn rows(&mut self, at: Instant) -> Rc<Rows> {
        let is_new = |read: Instant| at.saturating_duration_since(read) < LIFETIME;
        if !self.read.is_some_and(is_new) {
            self.rows = Rc::new(self.read(at).unwrap_or_default());
            self.read = Some(at);
        }
        self.rows.clone()
    }

    fn read(&mut self, at: Instant) -> Option<Rows> {
        let status = self.status()?;
        let facts = Facts {
            now: now(),
            started: self.started,
            error: self.errors.update(at, &status),
            index: &interface_index,
        };
        Some(rows::of(&status, &facts))
    }

    fn status(&self) -> Option<Status> {
        match control::ask(self.runtime_dir, &Request::Metrics, PATIENCE) {
            Ok(Answer::Status(status)) => Some(facts(&status)),
            _ => None,
        }
    }
}

// The folder /sys/class/net may be that of another network namespace.
fn interface_index(name: &str) -> Option<u32> {
    let any = socket(AddressFamily::INET, SocketType::DGRAM, None).ok()?;
    netdevice::name_to_index(any.as_fd(), name).ok()
}

/// Answers the commands of `pass_persist` until the input ends.
fn serve(
    mut input: impl BufRead,
    mut output: impl Write,
    mut rows: impl FnMut() -> Rc<Rows>,
) -> io::Result<()> {
    while let Some(command) = line(&mut input)? {
        let answer = match command.as_str() {
            // snmpd ends
            "" => return Ok(()),
            "PING" => "PONG\n".to_owned(),
            "get" => {
                let (oid, rows) = (oid(&mut input)?, rows());
                let found = oid.and_then(|oid| rows.get_key_value(&oid));
                found.map_or_else(none, rows::answer)
            }
            "getnext" => {
                let (oid, rows) = (oid(&mut input)?, rows());
                let found = oid.and_then(|oid| oid.next_in(&rows));
                found.map_or_else(none, rows::answer)
            }
            "set" => {
                // the object, and its value
                line(&mut input)?;
                line(&mut input)?;
                "not-writable\n".to_owned()
            }
            _ => none(),
        };
        output.write_all(answer.as_bytes())?;
        output.flush()?;
    }
    Ok(())
}

fn none() -> String {
    "NONE\n".to_owned()
}

fn oid(input: &mut impl BufRead) -> io::Result<Option<Oid>> {
    Ok(line(input)?.and_then(|it| it.parse().ok()))
}

/// Next line without its end; None at the end of the input.
fn line(input: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = String::new();
    if input.take(LINE_MAX).read_line(&mut line)? == 0 {
        return Ok(None);
    }
    match line.strip_suffix('\n') {
        Some(line) => Ok(Some(line.trim_end().to_owned())),
        None => Err(io::Error::other("a line does not end")),
    }
}
