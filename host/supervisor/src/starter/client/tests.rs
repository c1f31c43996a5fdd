use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use rustix::net::{bind, listen};

use super::*;

/// Thread that returns the processes which it had to abandon.
type Said = JoinHandle<Vec<u64>>;

/// Time at which a starter answers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    AtOnce,
    /// After the test has allowed it.
    Told,
}

use When::{AtOnce, Told};

/// Channel on which the test allows the waiting answer.
type Tell = mpsc::Sender<()>;

/// Starter that gives the answers of a test, a list for each connection. None is a record that is cut off, such as an
/// answer whose descriptors the host has no room for.
fn says<A>(name: &str, connections: Vec<Vec<(When, A)>>) -> (PathBuf, Said, Tell)
where
    A: Into<Option<Answered>> + Send + 'static,
{
    let file = format!("spared-client-{name}-{}.sock", std::process::id());
    let path = std::env::temp_dir().join(file);
    let _ = std::fs::remove_file(&path);
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
    bind(&socket, &SocketAddrUnix::new(&path).unwrap()).unwrap();
    listen(&socket, 8).unwrap();
    let file = path.clone();
    let (tell, told) = mpsc::channel();
    let starter = thread::spawn(move || {
        let mut abandoned = Vec::new();
        for answers in connections {
            let host = rustix::net::accept(&socket).unwrap();
            for (when, what) in answers {
                let number = hear(&host, &mut abandoned);
                if when == Told {
                    told.recv().unwrap();
                }
                answer(&host, number, what.into());
            }
        }
        std::fs::remove_file(file).unwrap();
        abandoned
    });
    (path, starter, tell)
}

/// Number of the next request whose answer the host waits for.
fn hear(host: &OwnedFd, abandoned: &mut Vec<u64>) -> u64 {
    let mut receiver = Receiver::default();
    loop {
        is_readable(host, Duration::from_secs(10));
        let Some((request, _)) = receiver.receive::<Request>(host).unwrap() else {
            continue;
        };
        match request.what {
            Asked::Kill(_) => {}
            Asked::KillAndReap(process) => abandoned.push(process),
            _ => return request.number,
        }
    }
}

fn answer(host: &OwnedFd, number: u64, what: Option<Answered>) {
    let Some(what) = what else {
        return spared_records::transmit(host.as_fd(), b"\xff", &[]).unwrap();
    };
    let (one, _other) = spared_records::pair().unwrap();
    let is_started = matches!(what, Answered::Started { .. });
    let descriptors = is_started.then(|| one.as_fd());
    spared_records::send(
        host.as_fd(),
        &Answer { number, what },
        descriptors.as_slice(),
    )
    .unwrap();
}

fn configured() -> (When, Answered) {
    let about = About {
        state_dir: None,
        groups: Err(String::new()),
    };
    (AtOnce, Answered::Configured { about, fault: None })
}

fn why(started: Result<Started, NotStarted>) -> String {
    match started {
        Err(NotStarted::Failed(why) | NotStarted::Refused(why)) => why,
        Ok(_) => panic!("it was started"),
    }
}

/// Allows the starter's answer, and waits until it has arrived.
fn tell_and_wait(tell: &Tell, client: &StarterClient) {
    tell.send(()).unwrap();
    let socket = &client.connection.as_ref().unwrap().socket;
    assert!(is_readable(socket, Duration::from_secs(10)));
}

#[test]
fn a_starter_that_is_replaced_by_one_of_another_version_makes_the_host_give_way() {
    let own = "0.0.1".to_owned();
    let second = vec![(AtOnce, Answered::Outdated { own })];
    let (path, starter, _) = says("version", vec![vec![configured()], second]);
    let mut client = StarterClient::new(StarterAddress::At(path), "").unwrap();
    assert!(!client.is_outdated());
    let why = why(client.start(&Start::Link));
    assert!(why.contains("version 0.0.1"), "{why}");
    assert!(client.is_outdated());
    drop(client);
    starter.join().unwrap();
}

#[test]
fn an_answer_that_is_late_is_waited_for_once_and_its_process_is_nobodys() {
    let (one, other) = (Answered::Started { pid: 1 }, Answered::Started { pid: 1 });
    let answers = vec![configured(), (Told, one), (AtOnce, other)];
    let (path, starter, tell) = says("late", vec![answers]);
    let mut client = StarterClient::new(StarterAddress::At(path), "").unwrap();
    let since = Instant::now();
    for _ in 0..20 {
        let why = why(client.start(&Start::Link));
        assert!(why.contains("does not answer"), "{why}");
    }
    assert!(since.elapsed() < PATIENCE * 3, "{:?}", since.elapsed());
    assert_eq!(client.reap(7), Reaped::Running, "it may live");
    tell_and_wait(&tell, &client);
    let started = client.start(&Start::Link).unwrap();
    assert_eq!(started.process, client.number);
    drop(client);
    assert_eq!(starter.join().unwrap(), [2]);
}

#[test]
fn a_process_whose_descriptors_do_not_fit_is_nobodys() {
    let (_, configured) = configured();
    let started = Answered::Started { pid: 1 };
    let answers = [Some(configured), None, Some(started)].map(|it| (AtOnce, it));
    let (path, starter, _) = says("unfit", vec![answers.to_vec()]);
    let mut client = StarterClient::new(StarterAddress::At(path), "").unwrap();
    let why = why(client.start(&Start::Link));
    assert!(why.contains("Too many open files"), "{why}");
    assert!(client.start(&Start::Link).is_ok());
    drop(client);
    assert_eq!(starter.join().unwrap(), [2]);
}

#[test]
fn without_a_starter_it_is_said_what_to_do_and_tried_no_more_often_than_once_a_second() {
    let nowhere = StarterAddress::At(PathBuf::from("/nowhere/starter.sock"));
    let why = StarterClient::new(nowhere, "").unwrap_err();
    assert!(
        why.contains("systemctl start spared-starter.socket"),
        "{why}"
    );
    let (path, starter, _) = says("gone", vec![vec![configured()]]);
    let mut client = StarterClient::new(StarterAddress::At(path), "").unwrap();
    starter.join().unwrap();
    for _ in 0..3 {
        let why = self::why(client.start(&Start::Firewall));
        assert!(why.contains("starter.socket"), "{why}");
    }
    assert_eq!(client.reap(1), Reaped::Unknown);
}

#[test]
fn a_starter_that_does_not_answer_a_look_is_silent_until_it_does_and_a_request_waits_for_no_look() {
    let answers = vec![
        configured(),
        (Told, Answered::Pong),
        (AtOnce, Answered::Started { pid: 1 }),
    ];
    let (path, starter, tell) = says("silent", vec![answers]);
    let mut client = StarterClient::new(StarterAddress::At(path), "").unwrap();
    let now = Instant::now();
    assert!(!client.is_silent_at(now), "it was asked this moment");
    let just_before = now + SILENCE - Duration::from_millis(1);
    assert!(!client.is_silent_at(just_before));
    assert!(client.is_silent_at(now + SILENCE));
    tell_and_wait(&tell, &client);
    assert!(!client.is_silent_at(now + SILENCE));
    assert!(client.start(&Start::Link).is_ok());
    drop(client);
    starter.join().unwrap();
}
