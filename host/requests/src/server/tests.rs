use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::*;

struct Fixture {
    server: Option<Server>,
    poller: Poller,
    dir: PathBuf,
}

impl Fixture {
    fn new(name: &str) -> Self {
        let dir =
            std::env::temp_dir().join(format!("spared-control-{name}-{}", std::process::id()));
        let poller = Poller::new().unwrap();
        std::fs::create_dir_all(&dir).unwrap();
        let server = Server::open(&dir).unwrap();
        server.watch(&poller).unwrap();
        Self {
            server: Some(server),
            poller,
            dir,
        }
    }

    fn connect(&self) -> UnixStream {
        UnixStream::connect(self.dir.join(SOCKET_NAME)).unwrap()
    }

    /// Runs one turn of the loop, and returns the requests.
    fn turn(&mut self) -> Vec<Asked> {
        let now = Instant::now();
        let server = self.server.as_mut().unwrap();
        let mut asked = Vec::new();
        for key in self.poller.wait(Some(Duration::from_millis(50))).unwrap() {
            match key {
                Key::Listener => server.handle_listener(&self.poller, now),
                Key::Client(number) => {
                    asked.extend(server.handle_client(&self.poller, now, number));
                }
                _ => {}
            }
        }
        asked
    }

    fn turns(&mut self, count: usize) -> Vec<Asked> {
        (0..count).flat_map(|_| self.turn()).collect()
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            server.close();
        }
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn line(stream: &UnixStream) -> String {
    stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    line
}

#[test]
fn a_request_is_answered_by_a_line() {
    let mut fixture = Fixture::new("answer");
    let mut stream = fixture.connect();
    stream.write_all(b"{\"verb\":\"plugins\"}\n").unwrap();
    let asked = fixture.turns(2);
    assert_eq!(asked[0].request, Request::Plugins);
    let answer = Answer::Done {
        lines: vec!["fine".to_owned()],
    };
    let server = fixture.server.as_mut().unwrap();
    server.answer(&fixture.poller, Instant::now(), asked[0].client, &answer);
    assert_eq!(
        line(&stream),
        "{\"answer\":\"done\",\"lines\":[\"fine\"]}\n"
    );
}

#[test]
fn nonsense_is_refused_and_the_connection_goes_on() {
    let mut fixture = Fixture::new("nonsense");
    let mut stream = fixture.connect();
    stream.write_all(b"hello\n{\"verb\":\"status\"}\n").unwrap();
    let asked = fixture.turns(3);
    assert_eq!(asked[0].request, Request::Status);
    assert!(line(&stream).contains("not a request"));
}

#[test]
fn a_line_without_end_closes_the_connection() {
    let mut fixture = Fixture::new("endless");
    let mut stream = fixture.connect();
    stream.set_nonblocking(true).unwrap();
    let part = [b'x'; 8192];
    let mut closed = false;
    for _ in 0..40 {
        closed |= stream
            .write_all(&part)
            .is_err_and(|e| e.kind() != io::ErrorKind::WouldBlock);
        fixture.turn();
    }
    assert!(closed, "more than a line may hold was taken");
}

#[test]
fn a_second_request_waits_for_the_answer_to_the_first() {
    let mut fixture = Fixture::new("order");
    let mut stream = fixture.connect();
    stream
        .write_all(b"{\"verb\":\"status\"}\n{\"verb\":\"plugins\"}\n")
        .unwrap();
    let asked = fixture.turns(3);
    assert_eq!(asked.len(), 1);
    let answer = Answer::Done { lines: Vec::new() };
    let server = fixture.server.as_mut().unwrap();
    server.answer(&fixture.poller, Instant::now(), asked[0].client, &answer);
    let next = fixture.turns(2);
    assert_eq!(next.len(), 1);
    assert_eq!(next[0].request, Request::Plugins);
}

#[test]
fn of_ten_thousands_of_lines_at_once_one_is_taken_in_a_turn() {
    let mut fixture = Fixture::new("lines");
    let mut stream = fixture.connect();
    stream.write_all(&[b'\n'; 60_000]).unwrap();
    stream.write_all(b"{\"verb\":\"status\"}\n").unwrap();
    fixture.turn();
    let waiting = |fixture: &Fixture| {
        let clients = &fixture.server.as_ref().unwrap().clients;
        clients.values().next().unwrap().input.len()
    };
    fixture.turn();
    let first = waiting(&fixture);
    fixture.turn();
    assert_eq!(waiting(&fixture) + 1, first);
    drop(stream.shutdown(std::net::Shutdown::Write));
    let reader = std::thread::spawn(move || {
        let answers = BufReader::new(stream).lines();
        answers.map_while(Result::ok).count()
    });
    let mut asked = Vec::new();
    while asked.is_empty() {
        asked = fixture.turn();
    }
    assert_eq!(asked[0].request, Request::Status);
    let answer = Answer::Done { lines: Vec::new() };
    let server = fixture.server.as_mut().unwrap();
    server.answer(&fixture.poller, Instant::now(), asked[0].client, &answer);
    while !fixture.server.as_ref().unwrap().clients.is_empty() {
        fixture.turn();
    }
    assert_eq!(reader.join().unwrap(), 60_001);
}

#[test]
fn who_writes_more_than_fits_while_it_waits_keeps_nobody_busy() {
    let mut fixture = Fixture::new("room");
    let mut stream = fixture.connect();
    stream.set_nonblocking(true).unwrap();
    let request = b"{\"verb\":\"status\"}\n".repeat(400);
    while stream.write(&request).is_ok() {
        fixture.turn();
    }
    assert!(
        fixture
            .poller
            .wait(Some(Duration::ZERO))
            .unwrap()
            .is_empty()
    );
    // a client that is gone is noticed
    drop(stream);
    fixture.turns(2);
    assert!(fixture.server.as_ref().unwrap().clients.is_empty());
}

#[test]
fn who_closes_its_writing_half_still_gets_the_answer() {
    let mut fixture = Fixture::new("half");
    let mut stream = fixture.connect();
    stream.write_all(b"{\"verb\":\"status\"}\n").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let asked = fixture.turns(2);
    let answer = Answer::Done { lines: Vec::new() };
    let server = fixture.server.as_mut().unwrap();
    server.answer(&fixture.poller, Instant::now(), asked[0].client, &answer);
    assert!(line(&stream).contains("done"));
    assert!(server.clients.is_empty());
}

#[test]
fn an_order_is_begun_only_while_its_client_reads() {
    let mut fixture = Fixture::new("begun");
    let gone: [fn(UnixStream); 2] = [drop, |stream| {
        // a client that gives up reads the rest of its input before it closes its end
        stream.shutdown(std::net::Shutdown::Read).unwrap();
        std::mem::forget(stream);
    }];
    for leave in gone {
        let mut stream = fixture.connect();
        stream
            .write_all(b"{\"verb\":\"freeze\",\"for_ms\":0}\n")
            .unwrap();
        leave(stream);
        let asked = fixture.turns(2);
        assert_eq!(asked[0].request, Request::Freeze { for_ms: 0 });
        let server = fixture.server.as_mut().unwrap();
        assert!(!server.begin(Instant::now(), asked[0].client));
        assert!(server.clients.is_empty());
    }
    let mut stream = fixture.connect();
    stream
        .write_all(b"{\"verb\":\"freeze\",\"for_ms\":0}\n")
        .unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let client = fixture.turns(2)[0].client;
    let answer = Answer::Done { lines: Vec::new() };
    let server = fixture.server.as_mut().unwrap();
    assert!(server.begin(Instant::now(), client));
    server.answer(&fixture.poller, Instant::now(), client, &answer);
    assert_eq!(line(&stream), " {\"answer\":\"done\",\"lines\":[]}\n");
}

#[test]
fn too_many_clients_push_out_the_idle_ones() {
    let mut fixture = Fixture::new("many");
    let streams: Vec<_> = (0..CLIENTS_MAX + 5).map(|_| fixture.connect()).collect();
    fixture.turns(3);
    assert_eq!(fixture.server.as_ref().unwrap().clients.len(), CLIENTS_MAX);
    drop(streams);
}

/// Caller who may only read.
fn stranger() -> Caller {
    Caller::here(4_000_000, 1000)
}

impl Fixture {
    /// Connects a client of a user who may only read.
    fn connect_stranger(&mut self) -> UnixStream {
        let (stream, theirs) = UnixStream::pair().unwrap();
        let now = Instant::now();
        let mut client = Client::new(theirs, now).unwrap();
        client.caller = stranger();
        let server = self.server.as_mut().unwrap();
        server.admit(&self.poller, now, client);
        stream
    }

    /// Takes all places with clients that wait for an answer.
    fn crowd(&mut self, connect: impl Fn(&mut Self) -> UnixStream) -> Vec<UnixStream> {
        let streams = (0..CLIENTS_MAX).map(|_| {
            let mut stream = connect(self);
            stream.write_all(b"{\"verb\":\"plugins\"}\n").unwrap();
            stream
        });
        let streams: Vec<UnixStream> = streams.collect();
        assert_eq!(self.turns(5).len(), CLIENTS_MAX);
        streams
    }

    fn clients(&self) -> &BTreeMap<u64, Client> {
        &self.server.as_ref().unwrap().clients
    }
}

#[test]
fn root_gets_a_place_whatever_others_do() {
    let mut fixture = Fixture::new("root");
    let crowd = fixture.crowd(Fixture::connect_stranger);
    let why = format!("{CLIENTS_MAX} programs use the control socket");
    let refused = fixture.connect_stranger();
    assert!(line(&refused).contains(&why));
    let mut root = fixture.connect();
    root.write_all(b"{\"verb\":\"status\"}\n").unwrap();
    let asked = fixture.turns(3);
    assert_eq!(asked[0].request, Request::Status);
    assert_eq!(fixture.clients().len(), CLIENTS_MAX);
    let told = crowd.iter().filter(|stream| {
        stream.set_nonblocking(true).unwrap();
        let mut text = String::new();
        let read = BufReader::new(*stream).read_line(&mut text);
        read.is_ok() && text.contains(&why)
    });
    assert_eq!(told.count(), 1, "who lost its place is told why");
    // the new client keeps the place, although it is the only idle one
    let answer = Answer::Done { lines: Vec::new() };
    let server = fixture.server.as_mut().unwrap();
    server.answer(&fixture.poller, Instant::now(), asked[0].client, &answer);
    assert!(line(&fixture.connect_stranger()).contains(&why));
    assert!(fixture.clients().contains_key(&asked[0].client));
}

#[test]
fn who_finds_no_place_is_told_so() {
    let mut fixture = Fixture::new("crowd");
    let crowd = fixture.crowd(|it| it.connect());
    let dir = fixture.dir.clone();
    let asking = std::thread::spawn(move || {
        spared_message::control::ask(&dir, &Request::Status, Duration::from_secs(5))
    });
    while !asking.is_finished() {
        assert_eq!(fixture.turn(), []);
    }
    let answer = asking.join().unwrap().unwrap();
    let Answer::Error { lines, .. } = answer else {
        panic!("{answer:?}");
    };
    assert!(lines[0].starts_with("32 programs use"), "{lines:?}");
    assert_eq!(fixture.clients().len(), crowd.len());
}

#[test]
fn who_writes_and_does_not_read_is_dropped_like_one_that_does_nothing() {
    let mut fixture = Fixture::new("unread");
    let mut stream = fixture.connect();
    stream.write_all(b"{\"verb\":\"status\"}\n").unwrap();
    let client = fixture.turns(2)[0].client;
    let answer = Answer::Done {
        lines: vec!["x".repeat(4 << 20)],
    };
    let (poller, asked_at) = (&fixture.poller, Instant::now());
    let server = fixture.server.as_mut().unwrap();
    // an answer that comes late may stay unread as long as any other
    let answered_at = asked_at + Duration::from_secs(60);
    server.answer(poller, answered_at, client, &answer);
    let mut lives = |seconds| {
        let now = answered_at + Duration::from_secs(seconds);
        stream.write_all(b"\n").unwrap();
        server.handle_client(poller, now, client);
        server.handle_timeout(now);
        server.clients.contains_key(&client)
    };
    assert_eq!([1, 9, 18].map(&mut lives), [true, true, false]);
}

#[test]
fn strangers_may_read_and_not_change() {
    let stranger = stranger();
    let own = Caller::here(1000, 1000);
    let plugin = |word: &str| Request::Plugin {
        name: "vrrp".to_owned(),
        argv: vec![word.to_owned()],
    };
    assert!(stranger.may(&Request::Status));
    assert!(stranger.may(&plugin("status")));
    // rights for verbs of plugins are checked later
    assert!(stranger.may(&plugin("reset")) && !stranger.may_change());
    assert!(own.may_change() && !Caller::over_link("r2").may_change());
    assert!(!stranger.may(&Request::Reload { anyway: false }));
    assert!(own.may(&Request::Reload { anyway: false }));
    let there = |request: Request| Request::Node {
        node: "r2".to_owned(),
        request: Box::new(request),
    };
    assert!(stranger.may(&there(Request::Status)));
    assert!(!stranger.may(&there(Request::Reload { anyway: false })));
    assert!(!stranger.may(&there(there(Request::Status))));
    assert!(!stranger.may(&there(Request::OwnReport { from: 0 })));
    assert!(!stranger.may(&Request::OwnReport { from: 0 }));
    assert!(own.may(&there(Request::Reload { anyway: false })));
}

#[test]
fn a_socket_that_somebody_removes_is_there_again() {
    let mut fixture = Fixture::new("removed");
    let path = fixture.dir.join(SOCKET_NAME);
    let restore_socket = |fixture: &mut Fixture| {
        fixture
            .server
            .as_mut()
            .unwrap()
            .restore_socket(&fixture.poller)
    };
    let before = path.metadata().unwrap().ino();
    let mut early = fixture.connect();
    assert_eq!(fixture.turns(2).len(), 0);
    restore_socket(&mut fixture);
    assert_eq!(path.metadata().unwrap().ino(), before, "it is not touched");
    std::fs::remove_file(&path).unwrap();
    restore_socket(&mut fixture);
    assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o660);
    // a file in place of the socket
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "").unwrap();
    restore_socket(&mut fixture);
    let mut late = fixture.connect();
    for stream in [&mut early, &mut late] {
        stream.write_all(b"{\"verb\":\"plugins\"}\n").unwrap();
        let asked: Vec<Request> = fixture.turns(3).into_iter().map(|it| it.request).collect();
        assert_eq!(asked, [Request::Plugins]);
    }
}
