//! Lines that a client may write to the control socket: whatever the bytes and their pieces, each line has one answer,
//! whoever asks gets no more than that, and nobody stays behind.
//!
//! Input: pieces, each with its length (units of 16) in a byte before it; the highest bit of the length lets
//! the client read and the host answer in between. A length of zero is a client who writes no more, and
//! another one comes.

use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use serde_json::{from_slice, to_string};
use spared_message::control::{Answer, Force, PastQuery, Request, SOCKET_NAME};
use spared_process::poller::{Key, Poller};
use spared_requests::Caller;
use spared_requests::server::{Asked, Server};

use crate::folder::Folder;

/// Most bytes of an answer, apart from what it repeats of its line.
const ANSWER_MAX: usize = 1024;

thread_local! {
    static HOST: RefCell<Host> = RefCell::new(Host::new());
}

pub fn run(input: &[u8]) {
    HOST.with_borrow_mut(|host| {
        let mut rest = input;
        while !rest.is_empty() {
            rest = host.serve_client(rest);
        }
    });
}

struct Host {
    folder: Folder,
    server: Server,
    poller: Poller,
    now: Instant,
    /// Asked and not answered.
    open: Vec<Asked>,
}

impl Host {
    fn new() -> Self {
        let folder = Folder::new("control");
        let server = Server::open(folder.path()).expect("a folder of the test's own");
        let poller = Poller::new().expect("an epoll instance");
        server.watch(&poller).expect("a socket to watch");
        Self {
            folder,
            server,
            poller,
            now: Instant::now(),
            open: Vec::new(),
        }
    }

    /// One client from its connection to its end; what follows it in the input comes back.
    fn serve_client<'i>(&mut self, mut rest: &'i [u8]) -> &'i [u8] {
        let path = self.folder.path().join(SOCKET_NAME);
        let mut client = UnixStream::connect(path).expect("a host that listens");
        client.set_nonblocking(true).expect("a socket");
        let (mut asked, mut heard) = (Vec::new(), Vec::new());
        while let [length, tail @ ..] = rest {
            let size = usize::from(length & 0x7f) * 16;
            let (piece, after) = tail.split_at(size.min(tail.len()));
            rest = after;
            if piece.is_empty() || client.write_all(piece).is_err() {
                break;
            }
            asked.extend_from_slice(piece);
            self.turn();
            if length & 0x80 != 0 {
                self.answer();
                let _ = client.read_to_end(&mut heard);
            }
        }
        let _ = client.shutdown(Shutdown::Write);
        while !self.open.is_empty() || self.turn() {
            self.answer();
            let _ = client.read_to_end(&mut heard);
        }
        judge(&asked, &heard);
        rest
    }

    /// Serves what is ready. Returns true if anything was.
    fn turn(&mut self) -> bool {
        let ready = self.poller.wait(Some(Duration::ZERO)).expect("epoll");
        for key in &ready {
            match *key {
                Key::Listener => self.server.handle_listener(&self.poller, self.now),
                Key::Client(number) => {
                    let asked = self.server.handle_client(&self.poller, self.now, number);
                    self.open.extend(asked);
                }
                _ => {}
            }
        }
        self.server.handle_timeout(self.now);
        !ready.is_empty()
    }

    /// Answers what was asked.
    fn answer(&mut self) {
        while let Some(asked) = self.open.pop() {
            look(&asked);
            let lines = Vec::new();
            let answer = Answer::Done { lines };
            self.server
                .answer(&self.poller, self.now, asked.client, &answer);
        }
    }
}

/// Asserts that a caller who may only read changes nothing, and that a request is the same after it crossed the link.
fn look(asked: &Asked) {
    let stranger = Caller::here(4_000_000, 0);
    if stranger.may(&asked.request) {
        let inner = match &asked.request {
            Request::Node { request, .. } => request,
            request => request,
        };
        assert!(Caller::is_read_only(inner));
    }
    let line = to_string(&asked.request).expect("a request has a line");
    assert_eq!(
        from_slice::<Request>(line.as_bytes()).ok().as_ref(),
        Some(&asked.request)
    );
}

/// An answer for each line, in order; none where the client was sent away for a line without an end.
fn judge(asked: &[u8], heard: &[u8]) {
    let lines = asked.iter().filter(|byte| **byte == b'\n').count();
    let answers = heard.strip_suffix(b"\n").map_or(Vec::new(), |heard| {
        heard.split(|byte| *byte == b'\n').collect()
    });
    assert_eq!(answers.len(), lines);
    for answer in answers {
        assert!(answer.len() <= ANSWER_MAX + 6 * asked.len());
        assert!(from_slice::<Answer>(answer).is_ok());
    }
}

/// Every request, whole and in pieces, of clients that wait, ask on, or go.
pub fn seeds() -> Vec<Vec<u8>> {
    let lines: Vec<Vec<u8>> = requests().iter().map(line).collect();
    let mut seeds: Vec<Vec<u8>> = lines.iter().map(|line| pieces(line, 0x87)).collect();
    let all = lines.concat();
    seeds.extend([0x01, 0x7f, 0x81, 0xff].map(|length| pieces(&all, length)));
    let wrong = b"\n{}\n[1]\n{\"verb\":\"never\"}\n\xff\n{\"verb\":\"why\",\"group\":7}\nno end";
    seeds.push(pieces(wrong, 0x02));
    let nested = [
        &b"{\"verb\":\"node\",\"node\":\"r1\",\"request\":".repeat(40)[..],
        b"1\n",
    ]
    .concat();
    seeds.push(pieces(&nested, 0x7f));
    seeds
}

pub(crate) fn requests() -> Vec<Request> {
    let group = || Some("office".to_owned());
    vec![
        Request::Status,
        Request::OwnStatus,
        Request::Why { group: group() },
        Request::History(PastQuery::default()),
        Request::OwnHistory(PastQuery {
            since: Some("2026-11-20T00:00:00+01:00".to_owned()),
            until: Some("2026-11-21T00:00:00+01:00".to_owned()),
            group: Some("office".to_owned()),
            roles_only: true,
            limit: Some(100),
        }),
        Request::OwnReport { from: 65_536 },
        Request::Events { limit: 20 },
        Request::Plugins,
        Request::Reload { anyway: true },
        Request::Force {
            group: None,
            to: Force::Backup,
            anyway: false,
        },
        Request::Switch {
            group: group(),
            to: Some("r2".to_owned()),
            anyway: false,
        },
        Request::Maintenance {
            on: true,
            for_s: Some(3600),
            anyway: false,
        },
        Request::Freeze { for_ms: 60_000 },
        Request::Node {
            node: "r2".to_owned(),
            request: Box::new(Request::Status),
        },
        Request::Plugin {
            name: "vrrp".to_owned(),
            argv: vec!["status".to_owned()],
        },
    ]
}

fn line(request: &Request) -> Vec<u8> {
    let line = to_string(request).unwrap_or_default();
    [line.as_bytes(), b"\n"].concat()
}

fn pieces(bytes: &[u8], length: u8) -> Vec<u8> {
    let size = usize::from(length & 0x7f) * 16;
    let piece = |piece: &[u8]| [&[length], piece].concat();
    bytes.chunks(size).flat_map(piece).collect()
}
