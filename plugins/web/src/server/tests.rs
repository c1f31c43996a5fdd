//! The server on real sockets of this machine, with a daemon that the test plays.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use super::*;
use crate::board::Texts;
use crate::config::{Login, Token};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const PASSWORD: &str = "correct horse battery";

/// A server, and how often its daemon was asked.
struct Bed {
    server: Option<Server>,
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
    /// Role of the only group.
    role: Arc<Mutex<&'static str>>,
    /// Folder of the plugin, with a socket.
    folder: Option<PathBuf>,
}

impl Bed {
    fn new(login: Login) -> Self {
        Self::at(login, None)
    }

    fn with_socket() -> Self {
        let hash = spared_key::login::hash(PASSWORD).unwrap();
        let login = Login {
            password: hash.parse().ok(),
            token: None,
        };
        let folder = std::env::temp_dir().join(format!("spared-web-unix-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Self::at(login, Some(folder))
    }

    fn at(login: Login, folder: Option<PathBuf>) -> Self {
        let asked = Arc::new(AtomicUsize::new(0));
        let (wishes, wished) = mpsc::channel();
        let board = Arc::new(Board::new(move || {
            let _ = wishes.send(());
        }));
        let role = Arc::new(Mutex::new("active"));
        let (daemon, count, shown) = (board.clone(), asked.clone(), role.clone());
        thread::spawn(move || {
            while wished.recv().is_ok() {
                for wanted in daemon.take_wanted() {
                    count.fetch_add(1, Ordering::Relaxed);
                    let role = *shown.lock().unwrap();
                    daemon.publish(wanted, Ok(texts(role)));
                }
            }
        });
        let address = free();
        let mut listen = vec![Place::Network(address)];
        listen.extend(folder.iter().map(|_| Place::Socket("page.sock".to_owned())));
        let count = listen.len();
        let settings = Settings {
            node: "r1".to_owned(),
            listen,
            names: vec!["office.example.net".to_owned()],
            certificate: None,
            login,
        };
        let server = Server::start(board, settings, folder.clone(), || {}).unwrap();
        for _ in 0..count {
            let (place, why) = server.opened.recv_timeout(Duration::from_secs(9)).unwrap();
            assert_eq!(why, None, "{place}");
        }
        Self {
            server: Some(server),
            address,
            asked,
            role,
            folder,
        }
    }

    fn open() -> Self {
        Self::new(Login::default())
    }

    fn closed() -> Self {
        let hash = spared_key::login::hash(PASSWORD).unwrap();
        Self::new(Login {
            password: hash.parse().ok(),
            token: Some(Token::new(TOKEN)),
        })
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        let patience = Some(Duration::from_secs(20));
        stream.set_read_timeout(patience).unwrap();
        stream
    }

    /// Whole answer to a request, whose connection ends with it.
    fn ask(&self, request: &str) -> String {
        let mut stream = self.connect();
        let host = match request.contains("Host:") {
            true => "",
            false => "Host: localhost\r\n",
        };
        let (first, rest) = request.split_once("\r\n").unwrap_or((request, ""));
        let (head, body) = rest.split_once("\r\n\r\n").unwrap_or((rest, ""));
        let end = if head.is_empty() || head.ends_with("\r\n") {
            ""
        } else {
            "\r\n"
        };
        let head = format!("{head}{end}");
        let request = format!("{first} HTTP/1.1\r\n{host}{head}Connection: close\r\n\r\n{body}");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn log_in(&self, password: &str) -> String {
        let form = format!("password={}", password.replace(' ', "+"));
        let length = form.len();
        self.ask(&format!(
            "POST /login\r\nX-Forwarded-For: 192.0.2.9\r\nContent-Length: {length}\r\n\r\n{form}"
        ))
    }
}

fn texts(role: &str) -> Texts {
    let status = format!(
        "{{\"node\":\"r1\",\"verdict\":{{\"word\":\"ok\"}},\"groups\":[{{\"name\":\"office\",\"role\":\"{role}\"}}]}}"
    );
    Texts {
        status,
        history: "{}".into(),
        why: "{}".to_owned(),
    }
}

fn free() -> SocketAddr {
    let any = TcpListener::bind("127.0.0.1:0").unwrap();
    any.local_addr().unwrap()
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or_default()
}

fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let (head, _) = answer.split_once("\r\n\r\n")?;
    let lines = head.lines().filter_map(|it| it.split_once(": "));
    let mut found = lines.filter(|(key, _)| key.eq_ignore_ascii_case(name));
    found.next().map(|(_, value)| value)
}

/// Header of a proxy: who comes through one has to log in.
const PROXIED: &str = "X-Forwarded-For: 192.0.2.9\r\n";

#[test]
fn this_node_reads_without_a_login_and_nothing_is_kept_or_loaded_from_elsewhere() {
    let bed = Bed::open();
    for (path, kind, content) in [
        ("/", "text/html; charset=utf-8", "active"),
        ("/status.json", "application/json", "\"active\""),
        (
            "/metrics",
            "text/plain; version=0.0.4; charset=utf-8",
            "spared_group_state{group=\"office\"} 2",
        ),
        ("/style.css", "text/css; charset=utf-8", ""),
        ("/login", "text/html; charset=utf-8", "password"),
    ] {
        let answer = bed.ask(&format!("GET {path}"));
        assert_eq!(status(&answer), "200", "{answer}");
        assert_eq!(header(&answer, "content-type"), Some(kind), "{path}");
        assert!(answer.contains(content), "{path}: {answer}");
        let policy = header(&answer, "content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; "), "{policy}");
        assert_eq!(header(&answer, "cache-control"), Some("no-store"));
    }
    let head = bed.ask("HEAD /status.json");
    assert!(
        status(&head) == "200" && head.ends_with("\r\n\r\n"),
        "{head}"
    );
}

#[test]
fn a_page_changes_nothing_and_what_it_has_not_is_said() {
    let bed = Bed::open();
    for (request, code) in [
        ("POST /", "405"),
        ("DELETE /status.json", "405"),
        ("GET /logout", "405"),
        ("PUT /login", "405"),
        ("GET /etc/passwd", "404"),
        ("GET /../../etc/passwd", "404"),
        ("GET /%2e%2e", "404"),
    ] {
        assert_eq!(status(&bed.ask(request)), code, "{request}");
    }
    let long = format!("GET /?{}", "x".repeat(600));
    assert_eq!(status(&bed.ask(&long)), "414");
    let headers = format!("GET /\r\nX: {}\r\n", "x".repeat(9000));
    assert_eq!(status(&bed.ask(&headers)), "431");
    let many: String = (0..100).map(|it| format!("X-{it}: x\r\n")).collect();
    assert_eq!(status(&bed.ask(&format!("GET /\r\n{many}"))), "431");
}

#[test]
fn a_name_that_is_not_known_gets_nothing() {
    let bed = Bed::open();
    for (host, code) in [
        ("attacker.example", "421"),
        ("", "421"),
        ("office.example.net", "200"),
        ("R1:3781", "200"),
        ("127.0.0.1", "200"),
    ] {
        let answer = bed.ask(&format!("GET /status.json\r\nHost: {host}\r\n"));
        assert_eq!(status(&answer), code, "{host}");
    }
}

#[test]
fn who_comes_through_a_proxy_logs_in_and_out() {
    let bed = Bed::closed();
    let page = bed.ask(&format!("GET /\r\n{PROXIED}"));
    assert_eq!(status(&page), "303");
    assert_eq!(header(&page, "location"), Some("/login"));
    for request in [
        "GET /status.json",
        "GET /metrics",
        "GET /events",
        "HEAD /events",
    ] {
        let answer = bed.ask(&format!("{request}\r\n{PROXIED}"));
        assert_eq!(status(&answer), "401", "{request}");
    }
    let answer = bed.log_in(PASSWORD);
    assert_eq!(status(&answer), "303", "{answer}");
    let cookie = header(&answer, "set-cookie").unwrap();
    assert!(cookie.contains("; HttpOnly; SameSite=Strict; "), "{cookie}");
    let (cookie, _) = cookie.split_once(';').unwrap();
    let with = format!("{PROXIED}Cookie: a=b; {cookie}\r\n");
    let page = bed.ask(&format!("GET /\r\n{with}"));
    assert!(status(&page) == "200" && page.contains("/logout"), "{page}");
    let asked = bed.ask(&format!("HEAD /events\r\n{with}"));
    assert_eq!(status(&asked), "200");
    assert_eq!(bed.server.as_ref().unwrap().load().streams, 0);
    let mut stream = bed.connect();
    let request = format!("GET /events HTTP/1.1\r\nHost: localhost\r\n{with}\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    wait_for(&mut stream, "active");
    let out = bed.ask(&format!("POST /logout\r\n{with}Content-Length: 0\r\n"));
    assert_eq!(status(&out), "303");
    // the stream of the session ends with it
    let _ = stream.read_to_end(&mut Vec::new()).unwrap();
    assert_eq!(status(&bed.ask(&format!("GET /\r\n{with}"))), "303");
    // a token does as well
    let answer = bed.log_in(TOKEN);
    assert_eq!(status(&answer), "303", "{answer}");
}

#[test]
fn programs_send_the_token_and_a_wrong_one_has_to_wait() {
    let bed = Bed::closed();
    let with = |token: &str| {
        let head = format!("{PROXIED}Authorization: Bearer {token}\r\n");
        bed.ask(&format!("GET /metrics\r\n{head}"))
    };
    let answer = with(TOKEN);
    assert!(answer.contains("spared_up 1"), "{answer}");
    assert_eq!(status(&with("wrong")), "401");
    let answer = with(TOKEN);
    assert_eq!(status(&answer), "429", "the right one has to wait as well");
    assert_eq!(header(&answer, "retry-after"), Some("1"));
    thread::sleep(Duration::from_millis(1100));
    assert_eq!(status(&with(TOKEN)), "200");
}

#[test]
fn wrong_passwords_are_slowed() {
    let bed = Bed::closed();
    let answer = bed.log_in("wrong");
    assert_eq!(status(&answer), "403");
    assert!(answer.contains("The password is wrong."), "{answer}");
    let answer = bed.log_in(PASSWORD);
    assert_eq!(status(&answer), "429", "{answer}");
    assert!(answer.contains("try again in 1 s"), "{answer}");
    thread::sleep(Duration::from_millis(1100));
    assert_eq!(status(&bed.log_in(PASSWORD)), "303");
    let long = "x".repeat(2000);
    assert_eq!(status(&bed.log_in(&long)), "413");
    assert_eq!(
        status(&bed.ask("POST /login\r\nContent-Length: 3\r\n\r\na=b")),
        "400"
    );
}

#[test]
fn without_a_password_a_proxy_is_told_to_set_one() {
    let bed = Bed::open();
    let answer = bed.ask(&format!("GET /\r\n{PROXIED}"));
    assert_eq!(status(&answer), "403");
    assert!(answer.contains("`sparectl web password`"), "{answer}");
}

#[test]
fn many_who_look_cost_one_question_a_second_and_nobody_costs_none() {
    let bed = Bed::open();
    thread::sleep(Duration::from_millis(300));
    assert_eq!(bed.asked.load(Ordering::Relaxed), 0);
    for _ in 0..20 {
        assert_eq!(status(&bed.ask("GET /")), "200");
    }
    assert_eq!(bed.asked.load(Ordering::Relaxed), 1);
}

/// Reads events until one has this text.
fn wait_for(stream: &mut TcpStream, text: &str) -> String {
    let (mut read, mut buffer) = (String::new(), [0; 4096]);
    let until = Instant::now() + Duration::from_secs(20);
    while !read.contains(text) {
        assert!(Instant::now() < until, "no {text:?} in {read}");
        let length = stream.read(&mut buffer).unwrap();
        assert!(length > 0, "the stream ended: {read}");
        read.push_str(&String::from_utf8_lossy(&buffer[..length]));
    }
    read
}

fn stream_of(bed: &Bed) -> TcpStream {
    let mut stream = bed.connect();
    let request = "GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

#[test]
fn a_stream_sends_what_changed_and_signs_of_life() {
    let bed = Bed::open();
    let mut stream = stream_of(&bed);
    let first = wait_for(&mut stream, "active");
    assert!(first.contains("content-type: text/event-stream"), "{first}");
    wait_for(&mut stream, "event: alive\ndata: \n\n");
    *bed.role.lock().unwrap() = "backup";
    wait_for(&mut stream, "backup");
}

#[test]
fn streams_are_limited_and_end_with_the_server() {
    let mut bed = Bed::open();
    let mut all: Vec<TcpStream> = (0..=STREAMS.of_this_node)
        .map(|_| stream_of(&bed))
        .collect();
    let mut refused = all.pop().unwrap();
    wait_for(&mut refused, "503");
    for stream in &mut all {
        wait_for(stream, "active");
    }
    let server = bed.server.as_mut().unwrap();
    assert_eq!(server.load().streams, STREAMS.of_this_node);
    drop(all.split_off(9));
    server.end();
    for stream in &mut all {
        let mut rest = Vec::new();
        // reset or closed
        let _ = stream.read_to_end(&mut rest);
    }
    assert_eq!(server.load().streams, 0);
}

#[test]
fn half_requests_hold_up_nobody_and_end_in_time() {
    let bed = Bed::open();
    let mut half: Vec<TcpStream> = (0..150).map(|_| bed.connect()).collect();
    for stream in &mut half {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: lo").unwrap();
    }
    let began = Instant::now();
    assert_eq!(status(&bed.ask("GET /")), "200");
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
    // each byte is no new time
    thread::sleep(connection::IDLE / 2);
    for stream in &mut half {
        let _ = stream.write_all(b"c");
    }
    for stream in &mut half {
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
    }
    let took = began.elapsed();
    assert!(took < connection::IDLE + Duration::from_secs(5), "{took:?}");
    let idle = |server: &Server| server.load().connections == 0;
    let until = Instant::now() + Duration::from_secs(5);
    while !bed.server.as_ref().is_some_and(idle) {
        assert!(Instant::now() < until, "connections are left");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn connections_of_one_address_are_limited_and_others_are_served() {
    let bed = Bed::open();
    let all: Vec<TcpStream> = (0..CONNECTIONS.of_this_node + 20)
        .map(|_| bed.connect())
        .collect();
    let mut closed = 0;
    for mut stream in &all {
        stream
            .set_read_timeout(Some(Duration::from_millis(1)))
            .unwrap();
        closed += u32::from(matches!(stream.read(&mut [0; 1]), Ok(0)));
    }
    assert!(closed >= 20, "{closed}");
    drop(all);
    let until = Instant::now() + Duration::from_secs(5);
    loop {
        let mut stream = bed.connect();
        let request = b"GET /login HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        let mut answer = String::new();
        let sent = stream.write_all(request);
        if sent.is_ok() && stream.read_to_string(&mut answer).is_ok() && !answer.is_empty() {
            return assert_eq!(status(&answer), "200");
        }
        assert!(Instant::now() < until, "nobody is served any more");
    }
}

#[test]
fn an_address_in_use_is_said_and_opened_when_it_is_free() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let settings = Settings {
        node: "r1".to_owned(),
        listen: vec![Place::Network(address)],
        names: Vec::new(),
        certificate: None,
        login: Login::default(),
    };
    let board = Arc::new(Board::new(|| {}));
    let server = Server::start(board, settings, None, || {}).unwrap();
    let next = || server.opened.recv_timeout(2 * RETRY).unwrap().1;
    let why = next().unwrap();
    assert!(
        why.starts_with("another program listens there: `ss -ltnp"),
        "{why}"
    );
    drop(taken);
    assert_eq!(next(), None);
}

#[test]
fn a_self_made_certificate_is_made_once_and_a_new_file_is_taken() {
    let folder = std::env::temp_dir().join(format!("spared-web-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let settings = Settings {
        node: "r1".to_owned(),
        listen: vec![
            "0.0.0.0:3781".parse().unwrap(),
            "192.0.2.1:3781".parse().unwrap(),
        ],
        names: Vec::new(),
        certificate: None,
        login: Login::default(),
    };
    let made = Certificate::load(&settings, Some(&folder)).unwrap();
    let again = Certificate::load(&settings, Some(&folder)).unwrap();
    assert_eq!(made.fingerprint(), again.fingerprint());
    assert_eq!(made.fingerprint().len(), 95);
    std::fs::remove_file(folder.join("key.pem")).unwrap();
    Certificate::load(&settings, Some(&folder)).unwrap();
    assert_eq!(again.renew(), Ok(()));
    assert_ne!(made.fingerprint(), again.fingerprint());
    std::fs::write(folder.join("key.pem"), "none").unwrap();
    let why = again.renew().unwrap_err();
    assert!(why.ends_with("key.pem has no private key in PEM"), "{why}");
    assert_eq!(again.renew(), Ok(()), "said once");
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_proxy_asks_by_a_socket_and_says_for_whom() {
    let bed = Bed::with_socket();
    let folder = bed.folder.as_ref().unwrap();
    let ask = |head: &str| {
        let mut stream = UnixStream::connect(folder.join("page.sock")).unwrap();
        let request =
            format!("GET / HTTP/1.1\r\nHost: localhost\r\n{head}Connection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let answer = ask("");
    assert!(
        status(&answer) == "200" && answer.contains("active"),
        "{answer}"
    );
    let answer = ask(PROXIED);
    assert_eq!(header(&answer, "location"), Some("/login"), "{answer}");
    let server = bed.server.as_ref().unwrap();
    let last = server.state.settings.listen.last();
    assert_eq!(
        last.map(Place::to_string).as_deref(),
        Some("unix:page.sock")
    );
    std::fs::remove_dir_all(folder).unwrap();
}
