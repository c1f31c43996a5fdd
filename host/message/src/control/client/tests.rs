use std::os::unix::net::UnixListener;
use std::thread::{self, JoinHandle};

use super::*;

/// Runtime folder with a socket, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("spared-ask-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Reads a request, answers with `said`, and keeps the connection.
    fn say(&self, said: &'static str) -> JoinHandle<UnixStream> {
        let listener = UnixListener::bind(self.0.join(SOCKET_NAME)).unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            BufReader::new(&stream)
                .read_line(&mut String::new())
                .unwrap();
            stream.write_all(said.as_bytes()).unwrap();
            stream
        })
    }

    fn ask(&self) -> Result<Answer, Fault> {
        let request = Request::Freeze { for_ms: 0 };
        ask(&self.0, &request, Duration::from_millis(200)).map_err(|error| error.fault)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn the_byte_that_says_begun_is_no_part_of_the_answer() {
    let folder = Folder::new("begun");
    let daemon = folder.say(" {\"answer\":\"done\",\"lines\":[]}\n");
    let answer = folder.ask().unwrap();
    assert_eq!(answer, Answer::Done { lines: Vec::new() });
    drop(daemon.join());
}

#[test]
fn who_has_given_up_can_no_longer_be_told_that_its_order_is_begun() {
    let folder = Folder::new("late");
    let daemon = folder.say("");
    let fault = folder.ask().unwrap_err();
    assert!(matches!(fault, Fault::Silent(_)), "{fault:?}");
    let late = daemon.join().unwrap().write(&[BEGUN]);
    assert_eq!(late.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
}

#[test]
fn an_order_that_was_begun_is_not_said_to_be_without_effect() {
    let folder = Folder::new("unfinished");
    let daemon = folder.say(" ");
    let fault = folder.ask().unwrap_err();
    assert!(matches!(fault, Fault::Unfinished(_)), "{fault:?}");
    drop(daemon.join());
}

#[test]
fn a_daemon_that_ends_after_it_began_gave_no_answer() {
    let folder = Folder::new("ended");
    let daemon = folder.say(" ");
    let ended = thread::spawn(move || drop(daemon.join()));
    let fault = folder.ask().unwrap_err();
    assert!(matches!(fault, Fault::Closed), "{fault:?}");
    ended.join().unwrap();
}
