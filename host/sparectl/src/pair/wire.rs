//! Frames between the nodes: a length of four bytes, and so many bytes. They travel over TCP on the link, or over the
//! standard input and output of a program that ssh runs.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use spared_pairing::{Channel, FRAME_MAX, Message};

use crate::refusal::Refusal;

/// Connection to the other node, before and after the code is proved.
pub struct Wire {
    input: Box<dyn Read>,
    output: Box<dyn Write>,
    /// Stream whose time limit can be changed; None for ssh, which ends with its peer.
    stream: Option<TcpStream>,
    /// The other node was told to write its files: a pairing does not begin again as a whole.
    has_gone: bool,
    /// Longest time for a whole frame, however slowly its bytes arrive; None: no limit.
    patience: Option<Duration>,
    /// Time since some moment.
    clock: Box<dyn Fn() -> Duration>,
}

impl Wire {
    /// # Errors
    /// The kernel has no descriptor left.
    pub fn of_stream(stream: TcpStream) -> io::Result<Self> {
        Ok(Self {
            stream: Some(stream.try_clone()?),
            ..Self::of_pipes(stream.try_clone()?, stream)
        })
    }

    pub fn of_pipes(input: impl Read + 'static, output: impl Write + 'static) -> Self {
        let begun = Instant::now();
        Self {
            input: Box::new(input),
            output: Box::new(output),
            stream: None,
            has_gone: false,
            patience: None,
            clock: Box::new(move || begun.elapsed()),
        }
    }

    /// Sets the longest time for a frame of the other node.
    pub fn set_patience(&mut self, patience: Duration) {
        if let Some(stream) = &self.stream {
            self.patience = Some(patience);
            let _ = stream.set_write_timeout(Some(patience));
        }
    }

    /// # Errors
    /// A sentence about the connection.
    pub fn send(&mut self, frame: &[u8]) -> Result<(), String> {
        let length = u32::try_from(frame.len()).unwrap_or(u32::MAX);
        let bytes = [&length.to_be_bytes()[..], frame].concat();
        let sent = self
            .output
            .write_all(&bytes)
            .and_then(|()| self.output.flush());
        sent.map_err(|error| self.lost(&error))
    }

    /// # Errors
    /// A sentence about the connection.
    pub fn receive(&mut self) -> Result<Vec<u8>, String> {
        let until = self.patience.map(|patience| (self.clock)() + patience);
        let mut length = [0; 4];
        self.fill(&mut length, until)
            .map_err(|error| self.lost(&error))?;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > FRAME_MAX {
            return Err("the other side does not speak as `sparectl pair` does".to_owned());
        }
        let mut frame = vec![0; length];
        self.fill(&mut frame, until)
            .map_err(|error| self.lost(&error))?;
        Ok(frame)
    }

    /// Reads all of these bytes before this time.
    fn fill(&mut self, mut rest: &mut [u8], until: Option<Duration>) -> io::Result<()> {
        while !rest.is_empty() {
            if let Some(until) = until {
                let left = until.saturating_sub((self.clock)());
                if left.is_zero() {
                    return Err(ErrorKind::TimedOut.into());
                }
                if let Some(stream) = &self.stream {
                    stream.set_read_timeout(Some(left))?;
                }
            }
            match self.input.read(rest) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(length) => rest = rest.get_mut(length..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// # Errors
    /// See [`send`](Self::send).
    pub fn tell(&mut self, channel: &mut Channel, message: &Message) -> Result<(), String> {
        let sealed = channel.seal(message).map_err(|fault| fault.to_string())?;
        self.send(&sealed)
    }

    /// Tells the other node to write its files.
    ///
    /// # Errors
    /// See [`send`](Self::send): the other node may write them all the same.
    pub fn go(&mut self, channel: &mut Channel) -> Result<(), String> {
        self.has_gone = true;
        self.tell(channel, &Message::Go)
    }

    /// Tells the other node why nothing is done, and returns it.
    pub fn refuse(&mut self, channel: &mut Channel, refusal: impl Into<Refusal>) -> Refusal {
        let refusal = refusal.into();
        let why = refusal.why.clone();
        let _ = self.tell(channel, &Message::Refused { why });
        refusal
    }

    /// # Errors
    /// See [`receive`](Self::receive); or the other node's refusal.
    pub fn hear(&mut self, channel: &mut Channel) -> Result<Message, String> {
        let frame = self.receive()?;
        match channel.open(frame).map_err(|fault| fault.to_string())? {
            Message::Refused { why } => Err(format!("{}: {why}", channel.peer.node)),
            message => Ok(message),
        }
    }

    fn lost(&self, error: &io::Error) -> String {
        match error.kind() {
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
                let by = if self.stream.is_some() { "" } else { " or ssh" };
                format!("the other node{by} ended the exchange: it says why")
            }
            ErrorKind::WouldBlock | ErrorKind::TimedOut if self.has_gone => {
                "the other node does not go on".to_owned()
            }
            ErrorKind::WouldBlock | ErrorKind::TimedOut => {
                "the other node does not go on: run `sparectl pair` again on both".to_owned()
            }
            _ => format!("the connection to the other node: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;

    /// Somebody who sends a byte at each interval.
    struct Dripping {
        now: Rc<Cell<Duration>>,
        interval: Duration,
        bytes: Vec<u8>,
    }

    impl Read for Dripping {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.now.set(self.now.get() + self.interval);
            match (buffer.first_mut(), self.bytes.is_empty()) {
                (Some(first), false) => {
                    *first = self.bytes.remove(0);
                    Ok(1)
                }
                _ => Ok(0),
            }
        }
    }

    /// Has a frame of 200 bytes arrive a byte at each interval. Returns whether it did, and the time that passed.
    fn received(interval: Duration, patience: Duration) -> (bool, Duration) {
        let now = Rc::new(Cell::new(Duration::from_secs(1000)));
        let begun = now.get();
        let input = Dripping {
            now: Rc::clone(&now),
            interval,
            bytes: [&200_u32.to_be_bytes()[..], &[7; 200]].concat(),
        };
        let clock = Rc::clone(&now);
        let mut wire = Wire {
            clock: Box::new(move || clock.get()),
            patience: Some(patience),
            ..Wire::of_pipes(input, io::sink())
        };
        let frame = wire.receive();
        (frame == Ok(vec![7; 200]), now.get() - begun)
    }

    #[test]
    fn a_slow_frame_takes_no_longer_than_the_patience() {
        let patience = Duration::from_secs(2);
        let (all, took) = received(Duration::from_millis(300), patience);
        assert!(!all && took < Duration::from_millis(2300), "{took:?}");
        let (all, took) = received(Duration::from_millis(1), patience);
        assert!(all && took < patience, "{took:?}");
    }

    #[test]
    fn once_the_other_node_may_write_nobody_is_told_to_begin_again() {
        let mut wire = Wire::of_pipes(io::empty(), io::sink());
        let late = ErrorKind::TimedOut.into();
        assert!(wire.lost(&late).ends_with("`sparectl pair` again on both"));
        wire.has_gone = true;
        assert!(wire.lost(&late).ends_with("does not go on"));
    }
}
