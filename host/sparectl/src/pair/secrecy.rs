//! Secrecy of a code: it stays in no list of processes, and no core has it.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use spared_pairing::Code;
use zeroize::Zeroizing;

use crate::args::Args;
use crate::line::Pair;

/// Maximum bytes of a line with a code.
const LINE_MAX: u64 = 256;

/// Keeps the memory of this process out of cores, and from other processes of the same user.
pub fn seal() {
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

/// Starts this program again with the code in a pipe instead of among its arguments, which every user of the machine can
/// read. Returns only if that fails.
pub fn start_again(args: &Args, pair: &Pair) -> String {
    let again = || -> io::Result<io::Error> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
        let typed = Zeroizing::new(format!("{}\n", pair.code.join(" ")));
        File::from(writer).write_all(typed.as_bytes())?;
        fcntl_setfd(&reader, FdFlags::empty())?;
        let mut command = Command::new("/proc/self/exe");
        command
            .arg0("sparectl")
            .arg("--runtime-dir")
            .arg(&args.runtime_dir);
        command
            .args(["pair", "--code-fd"])
            .arg(reader.as_raw_fd().to_string());
        command.args(pair.words());
        Ok(command.exec())
    };
    let error = again().unwrap_or_else(|error| error);
    format!(
        "the code cannot be taken from the command line ({error}): run `sparectl pair`, and type it when asked"
    )
}

/// Reads the code: from a pipe of [`start_again`], or from the standard input, with a question if that is a terminal.
///
/// # Errors
/// There is no code in the line.
pub fn read_code(pair: &Pair) -> Result<Code, String> {
    let mut line = Zeroizing::new(String::new());
    let read = match pair.code_fd {
        Some(number) => File::open(format!("/proc/self/fd/{number}"))
            .and_then(|file| BufReader::new(file.take(LINE_MAX)).read_line(&mut line)),
        None => {
            let input = io::stdin();
            if input.is_terminal() {
                let _ = write!(
                    io::stderr(),
                    "code that `sparectl pair` shows on the first node: "
                );
            }
            // byte by byte: what follows the line belongs to others
            read_line(&mut input.lock(), &mut line)
        }
    };
    read.map_err(|error| format!("the code cannot be read: {error}"))?;
    seal();
    Code::parse(&line).map_err(|error| error.to_string())
}

/// Reads a line of limited length.
fn read_line(input: &mut impl BufRead, line: &mut String) -> io::Result<usize> {
    input.take(LINE_MAX).read_line(line)
}
