//! Error output of a worker. It contains the last output of a plugin that panics, and messages of its libraries.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

use crate::worker::process::to_line;

/// Maximum length of a line in bytes; a longer one is split.
const LINE_MAX: usize = 1024;
/// Maximum number of bytes of one read.
const READ_MAX: usize = 16 * 1024;

/// The host's end of a worker's error output.
#[derive(Debug)]
pub struct ErrorOutput {
    pipe: OwnedFd,
    /// Beginning of a line that has not ended yet.
    begun: Vec<u8>,
}

impl ErrorOutput {
    /// Creates the host's end and the worker's end. Writes of the worker block while the pipe is full.
    pub(crate) fn pair() -> io::Result<(Self, OwnedFd)> {
        let (pipe, theirs) = pipe_with(PipeFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&pipe, true)?;
        Ok((Self::from(pipe), theirs))
    }

    /// Reads some output. Returns the number of bytes and the lines that they complete; None after the end.
    pub fn read(&mut self) -> Option<(usize, Vec<String>)> {
        let mut bytes = [0; READ_MAX];
        match rustix::io::read(&self.pipe, &mut bytes) {
            Ok(0) if self.begun.is_empty() => None,
            Ok(0) => Some((0, vec![text(&std::mem::take(&mut self.begun))])),
            Ok(length) => Some((length, self.lines(&bytes[..length]))),
            Err(Errno::AGAIN | Errno::INTR) => Some((0, Vec::new())),
            Err(_) => None,
        }
    }

    fn lines(&mut self, bytes: &[u8]) -> Vec<String> {
        self.begun.extend_from_slice(bytes);
        let mut lines = Vec::new();
        loop {
            let end = self.begun.iter().position(|byte| *byte == b'\n');
            let length = match end {
                Some(length) if length <= LINE_MAX => length,
                _ if self.begun.len() > LINE_MAX => LINE_MAX,
                _ => return lines,
            };
            lines.push(text(&self.begun[..length]));
            self.begun
                .drain(..length + usize::from(end == Some(length)));
        }
    }
}

impl From<OwnedFd> for ErrorOutput {
    fn from(pipe: OwnedFd) -> Self {
        let begun = Vec::new();
        Self { pipe, begun }
    }
}

impl From<ErrorOutput> for OwnedFd {
    fn from(errors: ErrorOutput) -> Self {
        errors.pipe
    }
}

impl AsFd for ErrorOutput {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

fn text(line: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(line).into_owned();
    to_line(&mut text);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_when_they_have_ended_and_the_last_without_an_end() {
        let (mut errors, theirs) = ErrorOutput::pair().unwrap();
        assert_eq!(errors.read(), Some((0, Vec::new())));
        rustix::io::write(&theirs, b"one\ntw").unwrap();
        assert_eq!(errors.read(), Some((6, vec!["one".to_owned()])));
        rustix::io::write(&theirs, b"o\n\x1b[31mthree\xff").unwrap();
        assert_eq!(errors.read().unwrap().1, ["two"]);
        drop(theirs);
        assert_eq!(
            errors.read(),
            Some((0, vec![" [31mthree\u{fffd}".to_owned()]))
        );
        assert_eq!(errors.read(), None);
    }

    #[test]
    fn a_line_without_an_end_is_cut() {
        let (mut errors, theirs) = ErrorOutput::pair().unwrap();
        let long = [b'x'; 2 * LINE_MAX + 10];
        rustix::io::write(&theirs, &long).unwrap();
        let (length, lines) = errors.read().unwrap();
        assert_eq!((length, lines.len()), (long.len(), 2));
        rustix::io::write(&theirs, b"\nend\n").unwrap();
        assert_eq!(errors.read().unwrap().1, ["x".repeat(10), "end".to_owned()]);
    }
}
