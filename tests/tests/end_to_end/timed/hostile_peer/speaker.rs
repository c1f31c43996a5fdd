//! Speaker of the link that has the peer's own key, and keeps to none of the link's rules.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use spared_key::PrivateKey;
use spared_link::frame::{self, Frame, Hello, Numbered, Splitter, VERSION_MAX, VERSION_MIN};
use spared_link::tls::Tls;
use spared_link::word::Introduction;
use spared_tests::Result;
use spared_tests::lab::{Lab, Site, Wire};

const PORT: u16 = 3780;
const HANDSHAKE: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(20);
const SAMPLES_MAX: usize = 64;

// Types of frames, as `spared_link::frame` has them.
pub const HELLO: u8 = 1;
pub const WORD: u8 = 0x84;
pub const OFFER: u8 = 0x80;
pub const DATA: u8 = 0x82;

/// A plugin of the node that is spoken with.
#[derive(Clone, Debug, Default)]
pub struct Channel {
    pub number: u16,
    pub epoch: u32,
    pub wire: u32,
}

/// One session.
pub struct Speaker {
    socket: TcpStream,
    tls: rustls::Connection,
    splitter: Splitter,
    sequence: u64,
    /// Channels that the node offers, by name.
    pub channels: BTreeMap<String, Channel>,
    /// Messages that the node sent in them.
    pub samples: Vec<Vec<u8>>,
    /// Reason why the session ended: the node's own, or the error of the connection.
    pub ended: Option<String>,
}

/// A connection from the peer's address, and no word yet.
pub fn connect(site: &Site) -> Result<TcpStream> {
    let address = SocketAddr::new(Wire::Hot.ipv4(11).into(), PORT);
    site.ns.run(|| {
        let socket = TcpStream::connect_timeout(&address, HANDSHAKE)?;
        socket.set_nodelay(true)?;
        Ok(socket)
    })
}

fn key(lab: &Lab, node: &str) -> Result<PrivateKey> {
    let text = fs::read_to_string(lab.dir.join(format!("{node}.key")))?;
    PrivateKey::parse(&text).map_err(|error| error.to_string().into())
}

impl Speaker {
    /// Both have proved their keys; nobody has greeted.
    pub fn open(lab: &Lab) -> Result<Self> {
        let (own, other) = (key(lab, "r2")?, key(lab, "r1")?);
        let tls = Tls::new(&own, &[other.public()])?.connect()?;
        let socket = connect(&lab.sites[1])?;
        let mut speaker = Self {
            socket,
            tls,
            splitter: Splitter::default(),
            sequence: 0,
            channels: BTreeMap::new(),
            samples: Vec::new(),
            ended: None,
        };
        let end = Instant::now() + HANDSHAKE;
        while speaker.tls.is_handshaking() && Instant::now() < end {
            speaker.flush();
            speaker.read(LOOK);
        }
        match (speaker.tls.is_handshaking(), &speaker.ended) {
            (false, None) => Ok(speaker),
            (_, why) => Err(format!("no session: {why:?}").into()),
        }
    }

    /// And has greeted as the peer does, and heard what there is.
    pub fn greeted(lab: &Lab) -> Result<Self> {
        let mut speaker = Self::open(lab)?;
        speaker.greet(&hello());
        let end = Instant::now() + HANDSHAKE;
        while speaker.channels.is_empty() && speaker.ended.is_none() && Instant::now() < end {
            speaker.listen(LOOK);
        }
        speaker.listen(LOOK);
        Ok(speaker)
    }

    pub fn greet(&mut self, hello: &Hello) {
        let mut bytes = Vec::new();
        frame::append(&mut bytes, &Frame::Hello(Box::new(hello.clone())));
        self.say(&bytes);
    }

    /// Bytes inside TLS.
    pub fn say(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(16 * 1024) {
            if self.tls.writer().write_all(piece).is_err() || self.ended.is_some() {
                return;
            }
            self.flush();
        }
    }

    /// Bytes in place of TLS.
    pub fn say_plain(&mut self, bytes: &[u8]) {
        let written = self.socket.write_all(bytes);
        self.note(written);
    }

    pub fn frame(&mut self, kind: u8, body: &[u8]) {
        let [high, low] = u16::try_from(body.len()).unwrap_or(u16::MAX).to_be_bytes();
        self.say(&[&[kind, 0, high, low], body].concat());
    }

    /// With the number that is due.
    pub fn numbered(&mut self, kind: u8, body: &[u8]) {
        self.sequence += 1;
        let body = [&self.sequence.to_be_bytes()[..], body].concat();
        self.frame(kind, &body);
    }

    pub fn skip_numbers(&mut self, count: u64) {
        self.sequence = self.sequence.wrapping_add(count);
    }

    /// In pieces, as a host's word is.
    pub fn word(&mut self, json: &[u8]) {
        let pieces = json.chunks(frame::FRAGMENT_MAX);
        let count = pieces.len();
        for (at, piece) in pieces.enumerate() {
            let last = u8::from(at + 1 == count);
            self.numbered(WORD, &[&[last], piece].concat());
        }
    }

    /// A channel of this side, by the number that stands beside it there.
    pub fn offer(&mut self, number: u16, name: &[u8], wire: (u32, u32)) {
        let body = [
            &number.to_be_bytes()[..],
            &1u32.to_be_bytes(),
            &wire.0.to_be_bytes(),
            &wire.1.to_be_bytes(),
            name,
        ];
        self.numbered(OFFER, &body.concat());
    }

    /// A message of the peer plugin.
    pub fn message(&mut self, channel: &Channel, message: &[u8]) {
        let pieces: Vec<&[u8]> = if message.is_empty() {
            vec![&[]]
        } else {
            message.chunks(frame::FRAGMENT_MAX).collect()
        };
        let count = pieces.len();
        for (at, piece) in pieces.into_iter().enumerate() {
            let last = u8::from(at + 1 == count);
            let body = [
                &channel.number.to_be_bytes()[..],
                &channel.epoch.to_be_bytes(),
                &[last],
                piece,
            ];
            self.numbered(DATA, &body.concat());
        }
    }

    /// Reads, and does what keeps a session: answers pings, and grants credit without an end.
    pub fn listen(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while self.ended.is_none() && Instant::now() < end {
            self.read(LOOK.min(time));
            self.flush();
        }
    }

    fn read(&mut self, time: Duration) {
        let mut bytes = [0; 65_536];
        let _ = self.socket.set_read_timeout(Some(time));
        let length = match self.socket.read(&mut bytes) {
            Ok(0) => return self.end("it closed the connection"),
            Ok(length) => length,
            Err(error) if is_pause(&error) => return,
            Err(error) => return self.end(&error.to_string()),
        };
        let mut rest = &bytes[..length];
        while !rest.is_empty() {
            if self.tls.read_tls(&mut rest).is_err() || self.tls.process_new_packets().is_err() {
                return self.end("it broke TLS");
            }
            self.take();
        }
    }

    fn take(&mut self) {
        let mut plain = Vec::new();
        let mut piece = [0; 16 * 1024];
        while let Ok(length @ 1..) = self.tls.reader().read(&mut piece) {
            plain.extend_from_slice(&piece[..length]);
        }
        let mut splitter = std::mem::take(&mut self.splitter);
        let _ = splitter.feed(&plain, |kind, body| {
            if let Ok(Some(frame)) = Frame::parse(kind, body) {
                self.handle(&frame);
            }
            Ok::<(), ()>(())
        });
        self.splitter = splitter;
    }

    fn handle(&mut self, frame: &Frame<'_>) {
        match frame {
            Frame::Ping { number } => {
                let pong = Frame::Pong {
                    number: *number,
                    received_us: 0,
                    sent_us: u64::MAX,
                };
                let mut bytes = Vec::new();
                frame::append(&mut bytes, &pong);
                self.say(&bytes);
            }
            Frame::Refused(why) => self.end(why),
            Frame::Numbered(
                _,
                Numbered::Offer {
                    channel,
                    epoch,
                    wire_max,
                    name,
                    ..
                },
            ) => {
                let channel = Channel {
                    number: *channel,
                    epoch: *epoch,
                    wire: *wire_max,
                };
                self.channels.insert((*name).to_owned(), channel);
            }
            Frame::Numbered(_, Numbered::Data { piece, .. })
                if self.samples.len() < SAMPLES_MAX =>
            {
                self.samples.push(piece.to_vec());
            }
            _ => {}
        }
    }

    fn flush(&mut self) {
        while self.tls.wants_write() {
            let written = self.tls.write_tls(&mut self.socket);
            if written.is_err() {
                return self.note(written.map(drop));
            }
        }
    }

    fn note(&mut self, result: io::Result<()>) {
        match result {
            Err(error) if !is_pause(&error) => self.end(&error.to_string()),
            _ => {}
        }
    }

    fn end(&mut self, why: &str) {
        self.ended.get_or_insert(why.to_owned());
    }
}

/// As the peer greets.
pub fn hello() -> Hello {
    Hello {
        version_min: VERSION_MIN,
        version_max: VERSION_MAX,
        run: u64::from(std::process::id()) << 20
            | u64::from(
                std::time::UNIX_EPOCH
                    .elapsed()
                    .map_or(7, |it| it.subsec_nanos())
                    >> 10,
            ),
        introduction: Introduction {
            node: "r2".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..Introduction::default()
        },
        ..Hello::default()
    }
}

fn is_pause(error: &io::Error) -> bool {
    let kinds = [io::ErrorKind::WouldBlock, io::ErrorKind::TimedOut];
    kinds.contains(&error.kind())
}
