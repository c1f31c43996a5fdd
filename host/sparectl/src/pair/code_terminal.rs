//! Shows and reads a code, which stays in no list of processes and of which no copy stays in memory. No core has it:
//! [`crate::as_root`].

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::io::{FdFlags, fcntl_setfd, retry_on_intr};
use rustix::pipe::{PipeFlags, pipe_with};
use spared_pairing::Code;
use zeroize::Zeroizing;

use crate::args::Args;
use crate::line::Pair;

/// Maximum bytes of a line with a code.
const LINE_MAX: usize = 256;

/// Prints a code in a line of its own, of which no copy stays in memory.
pub fn show(code: &Code) {
    let mut line = Zeroizing::new(String::with_capacity(LINE_MAX));
    for part in ["    ", code.text(), "\n"] {
        line.push_str(part);
    }
    // a whole line is not buffered
    let _ = io::stdout().write_all(line.as_bytes());
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
    let read = match pair.code_fd {
        Some(number) => File::open(format!("/proc/self/fd/{number}")).and_then(read_line),
        None => {
            let input = io::stdin();
            if input.is_terminal() {
                let _ = write!(
                    io::stderr(),
                    "code that `sparectl pair` shows on the first node: "
                );
            }
            read_line(input)
        }
    };
    let failed = |why: String| format!("the code cannot be read: {why}");
    let line = read.map_err(|error| failed(error.to_string()))?;
    let text = std::str::from_utf8(&line).map_err(|error| failed(error.to_string()))?;
    Code::parse(text).map_err(|error| error.to_string())
}

/// Reads a line of limited length, byte by byte: what follows the line belongs to others, and no buffer keeps the code.
fn read_line(input: impl AsFd) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut line = Zeroizing::new(Vec::with_capacity(LINE_MAX));
    let mut byte = [0];
    while line.len() < LINE_MAX {
        let length = retry_on_intr(|| rustix::io::read(&input, &mut byte[..]))?;
        if length == 0 || byte == *b"\n" {
            break;
        }
        line.extend(byte);
    }
    Ok(line)
}
