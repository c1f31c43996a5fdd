//! Runs a program in any language as a plugin.
//!
//! The worker of this plugin is confined as any other. Then, in place of a loop of its own, the plugin waits for its
//! configuration, checks the program that it names, and executes it with the socket of the daemon. No message of the
//! daemon is taken from the program: those that come before the execution are peeked at, and still in the socket
//! afterwards, the configuration included.

mod peek;
mod program;

use std::ffi::c_int;
use std::os::fd::{AsFd, OwnedFd};

use spared_contract::note::TEXT_MAX;
use spared_contract::{ConfigTable, Failure, FromPlugin, LogLevel, Surroundings, ToPlugin};
use spared_records::Receiver;
use spared_sdk::run::{self, Note, Writer};

use peek::Peek;
use program::{NotRun, Program};

/// Status of a configuration that is refused.
const INVALID: i32 = -libc::EINVAL;
/// Exit status if the daemon cannot be heard.
const BROKEN: c_int = 70;
/// Exit status when the program cannot be run now.
const NOT_NOW: i32 = 75;

const DESCRIPTOR: Writer = Writer::new(
    "exec",
    env!("CARGO_PKG_VERSION"),
    "runs a program in any language as a plugin",
)
.line("vendor", "spared")
.line("flag", run::flag::FILES)
.wire(1, 1)
.line("part", "roles")
.line("part", "transfer")
.line("part", "peer")
.line("part", "query")
.line(
    "asks",
    "status\t\tstate of the program, for sparectl status",
)
.line("asks", "ask\tWORDS...\tasks the program")
.line(
    "changes",
    "change\tWORDS...\tchanges something in the program",
);

/// The note, and room for a longer one: a copy of the file is another plugin with `examples/name.py`.
#[repr(C, align(4))]
#[allow(dead_code, reason = "it is read in the file")]
struct Notes {
    note: Note<{ DESCRIPTOR.length() }>,
    rest: Rest,
}

/// Note without a name, which nobody reads.
#[repr(C, align(4))]
#[allow(dead_code, reason = "it is read in the file")]
struct Rest {
    name_size: u32,
    room_size: u32,
    kind: u32,
    room: [u8; TEXT_MAX],
}

// exported, so that no linker drops it
#[unsafe(no_mangle)]
#[unsafe(link_section = ".note.spared")]
#[allow(non_upper_case_globals)]
static spared_plugin_note: Notes = Notes {
    note: DESCRIPTOR.note(),
    rest: Rest {
        name_size: 0,
        room_size: TEXT_MAX as u32,
        kind: 0,
        room: [0; TEXT_MAX],
    },
};

/// Executes the program. Returns if there is nothing to execute any more: 0, or another number if the daemon cannot be
/// heard.
#[unsafe(no_mangle)]
extern "C" fn spared_plugin_main(socket: c_int) -> c_int {
    // SAFETY: the contract: the socket is this function's own.
    let socket = unsafe { run::socket(socket) };
    match serve(&socket) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("the socket of the daemon cannot be read: {error}");
            BROKEN
        }
    }
}

/// Serves the daemon until a program is executed, the daemon ends the plugin, or is gone.
fn serve(socket: &OwnedFd) -> Result<(), rustix::io::Errno> {
    let mut waiting = Waiting::new(socket)?;
    while let Some(message) = waiting.peek.next()? {
        match message {
            ToPlugin::Configure {
                token,
                table,
                check,
                surroundings,
            } => {
                let is_check = check || waiting.only_checks;
                let answer = waiting.configure(&table, &surroundings, is_check);
                waiting.drop_peeked();
                waiting.answer(token, answer);
                if waiting.only_checks {
                    return Ok(());
                }
            }
            ToPlugin::CheckOnly if waiting.kept == 0 => {
                waiting.only_checks = true;
                waiting.kept = 1;
            }
            // The daemon names the program, and need not be root.
            ToPlugin::RootsFile(_) => {
                waiting.say(&FromPlugin::Log {
                    level: LogLevel::Error,
                    text: "executes no program as root: take the flag root out of its note"
                        .to_owned(),
                });
                return Ok(());
            }
            ToPlugin::Stop { token } => {
                waiting.answer(token, Ok(()));
                return Ok(());
            }
            other => waiting.pass_over(&other),
        }
    }
    Ok(())
}

/// The socket, before the program has it.
struct Waiting<'s> {
    socket: &'s OwnedFd,
    peek: Peek<'s>,
    /// Number of records that were peeked at and are left for the program.
    kept: usize,
    /// True if the process is for checks.
    only_checks: bool,
}

impl<'s> Waiting<'s> {
    fn new(socket: &'s OwnedFd) -> Result<Self, rustix::io::Errno> {
        Ok(Self {
            socket,
            peek: Peek::new(socket)?,
            kept: 0,
            only_checks: false,
        })
    }

    /// Executes the program of a configuration. Returns if that is not to be, or fails.
    fn configure(
        &self,
        table: &ConfigTable,
        surroundings: &Surroundings,
        is_check: bool,
    ) -> Result<(), Vec<Failure>> {
        let program = Program::read(table, surroundings)?;
        match program.execute(self.socket, &self.peek) {
            // A worker for checks has no right to the files that its configuration names.
            NotRun::Forbidden(_) | NotRun::NotNow(_) if is_check => Ok(()),
            // The worker is started again, later each time.
            NotRun::NotNow(text) => {
                self.say(&FromPlugin::Log {
                    level: LogLevel::Error,
                    text,
                });
                std::process::exit(NOT_NOW)
            }
            NotRun::Forbidden(why) | NotRun::Failed(why) => Err(vec![Failure {
                key: "program".to_owned(),
                why,
            }]),
        }
    }

    /// Answers a message that is of no interest, if nothing before it is left for the program.
    fn pass_over(&mut self, message: &ToPlugin) {
        if self.kept > 0 {
            self.kept += 1;
            return;
        }
        self.drop_peeked();
        if let ToPlugin::Ping { number } = *message {
            self.say(&FromPlugin::Pong {
                slow_calls: 0,
                number,
            });
        }
    }

    /// Takes what was peeked at out of the socket.
    fn drop_peeked(&mut self) {
        for _ in 0..=self.kept {
            let _ = Receiver::default().receive::<ToPlugin>(self.socket);
        }
        self.kept = 0;
    }

    fn answer(&self, token: u64, answer: Result<(), Vec<Failure>>) {
        let failures = answer.err().unwrap_or_default();
        self.say(&FromPlugin::Returned {
            token,
            status: if failures.is_empty() { 0 } else { INVALID },
            failures,
            rows: Vec::new(),
            missing: false,
        });
    }

    fn say(&self, message: &FromPlugin) {
        // a daemon that does not read has ended, or ends this process
        let _ = spared_records::send(self.socket.as_fd(), message, &[]);
    }
}
