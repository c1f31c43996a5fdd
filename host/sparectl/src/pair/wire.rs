//! Frames between the nodes: a length of four bytes, and so many bytes. They travel over TCP on the link, or over the
//! standard input and output of a program that ssh runs.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use spared_pairing::{Channel, FRAME_MAX, Message};

/// Connection to the other node, before and after the code is proved.
pub struct Wire {
    input: Box<dyn Read>,
    output: Box<dyn Write>,
    /// Stream whose time limit can be changed; None for ssh, which ends with its peer.
    stream: Option<TcpStream>,
}

impl Wire {
    /// # Errors
    /// The kernel has no descriptor left.
    pub fn of_stream(stream: TcpStream) -> io::Result<Self> {
        Ok(Self {
            input: Box::new(stream.try_clone()?),
            output: Box::new(stream.try_clone()?),
            stream: Some(stream),
        })
    }

    pub fn of_pipes(input: impl Read + 'static, output: impl Write + 'static) -> Self {
        Self {
            input: Box::new(input),
            output: Box::new(output),
            stream: None,
        }
    }

    /// Sets the longest wait for the other node.
    pub fn set_patience(&self, patience: Duration) {
        if let Some(stream) = &self.stream {
            let _ = stream.set_read_timeout(Some(patience));
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
        sent.map_err(|error| lost(&error))
    }

    /// # Errors
    /// A sentence about the connection.
    pub fn receive(&mut self) -> Result<Vec<u8>, String> {
        let mut length = [0; 4];
        self.input
            .read_exact(&mut length)
            .map_err(|error| lost(&error))?;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > FRAME_MAX {
            return Err("the other side does not speak as `sparectl pair` does".to_owned());
        }
        let mut frame = vec![0; length];
        self.input
            .read_exact(&mut frame)
            .map_err(|error| lost(&error))?;
        Ok(frame)
    }

    /// # Errors
    /// See [`send`](Self::send).
    pub fn tell(&mut self, channel: &mut Channel, message: &Message) -> Result<(), String> {
        let sealed = channel.seal(message).map_err(|fault| fault.to_string())?;
        self.send(&sealed)
    }

    /// Tells the other node why nothing is done, and returns it.
    pub fn refuse(&mut self, channel: &mut Channel, why: String) -> String {
        let _ = self.tell(channel, &Message::Refused { why: why.clone() });
        why
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
}

fn lost(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
            "the other node ended the exchange: it says why".to_owned()
        }
        ErrorKind::WouldBlock | ErrorKind::TimedOut => {
            "the other node does not go on: run `sparectl pair` again on both".to_owned()
        }
        _ => format!("the connection to the other node: {error}"),
    }
}
