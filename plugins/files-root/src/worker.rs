//! The worker thread: a scan, a copy or a command takes longer than a callback may.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use spared_tree::local::{Answer, Request};

use crate::clock::Now;
use crate::job::{Jobs, Places};

/// Maximum number of waiting requests; the other half sends fewer at a time.
pub const REQUESTS_MAX: usize = 256;
/// Maximum number of answers that wait for the other half.
const ANSWERS_MAX: usize = 32;
/// Maximum time between two looks at the clock.
const IDLE: Duration = Duration::from_secs(5);

pub struct Worker {
    /// Channel of requests; None at the end.
    requests: Option<SyncSender<Request>>,
    answers: Option<Receiver<Answer>>,
    /// Paths that hold from the next request on.
    next: Arc<Mutex<Option<Places>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Starts the thread, which first reverts an interrupted change; `wake` is called after each answer.
    ///
    /// # Errors
    /// The thread does not start.
    pub fn start(places: Places, wake: impl Fn() + Send + 'static) -> std::io::Result<Self> {
        let (requests, to_do) = sync_channel(REQUESTS_MAX);
        let (done, answers) = sync_channel(ANSWERS_MAX);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let next = Arc::new(Mutex::new(None));
        let later = Arc::clone(&next);
        let work = move || {
            let mut answer = |answer: Answer| {
                let _ = done.send(answer);
                wake();
            };
            work(places, &later, &stopped, &to_do, &mut answer);
        };
        let thread = thread::Builder::new()
            .name("files".to_owned())
            .spawn(work)?;
        Ok(Self {
            requests: Some(requests),
            answers: Some(answers),
            next,
            stop,
            thread: Some(thread),
        })
    }

    pub fn ask(&self, request: Request) {
        let requests = self.requests.as_ref();
        let is_taken = requests.is_some_and(|it| it.try_send(request).is_ok());
        if !is_taken {
            log::warn!("the plugin files asks more than it may: a request was dropped");
        }
    }

    /// Changes the paths, after the request in progress.
    pub fn move_to(&self, places: Places) {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(places);
    }

    pub fn poll_answer(&self) -> Option<Answer> {
        self.answers.as_ref()?.try_recv().ok()
    }
}

impl Drop for Worker {
    /// Ends the thread: a change in progress is reverted at the next start.
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // the thread may be waiting for either
        (self.requests, self.answers) = (None, None);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn work(
    mut places: Places,
    next: &Mutex<Option<Places>>,
    stop: &AtomicBool,
    requests: &Receiver<Request>,
    answer: &mut dyn FnMut(Answer),
) {
    let mut begun = begin(&places, stop, answer);
    if let Err(why) = &begun {
        log::error!("{why}");
    }
    loop {
        // no event reports that the clock was set
        let next_timeout = |jobs: &mut Jobs<'_>| jobs.next_timeout(Now::read());
        let timeout = begun.as_mut().ok().and_then(next_timeout);
        let request = requests.recv_timeout(timeout.map_or(IDLE, |it| it.min(IDLE)));
        if stop.load(Ordering::Relaxed) {
            return;
        }
        if let Some(next) = next.lock().unwrap_or_else(PoisonError::into_inner).take() {
            places = next;
            if let Ok(jobs) = &mut begun {
                jobs.move_to(places.clone());
            }
        }
        if begun.is_err() {
            begun = begin(&places, stop, answer);
        }
        match (request, &mut begun) {
            (Ok(request), Ok(jobs)) => jobs.handle(&request, answer),
            (Ok(request), Err(why)) => answer(Answer::Done {
                ticket: request.ticket(),
                result: Err(why.clone()),
            }),
            (Err(RecvTimeoutError::Timeout), _) => {}
            (Err(RecvTimeoutError::Disconnected), _) => return,
        }
        let go_back = |jobs: &mut Jobs<'_>| jobs.go_back(Now::read());
        if let Some(gone_back) = begun.as_mut().ok().and_then(go_back) {
            answer(gone_back);
        }
    }
}

/// Opens the folders, and reverts an interrupted change. A full or read-only disk may recover later.
fn begin<'j>(
    places: &Places,
    stop: &'j AtomicBool,
    answer: &mut dyn FnMut(Answer),
) -> Result<Jobs<'j>, String> {
    let mut jobs = Jobs::new(places.clone(), stop, &|_| ())?;
    if let Some(recovered) = jobs.recover() {
        answer(recovered);
    }
    Ok(jobs)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

    use std::fs;
    use std::path::PathBuf;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    #[test]
    fn a_folder_that_cannot_be_made_is_the_answer_and_is_tried_again() {
        let folder = format!("spared-files-root-worker-{}", std::process::id());
        let folder = std::env::temp_dir().join(folder);
        fs::create_dir(&folder).unwrap();
        let state = folder.join("state");
        fs::write(&state, "a file where the folder belongs").unwrap();
        let places = Places {
            root: PathBuf::from("/"),
            config: folder.join("files.toml"),
            state: state.clone(),
            stage: folder.join("stage"),
            node: "r1".to_owned(),
            nodes: Vec::new(),
            config_from_peer: false,
        };
        let worker = Worker::start(places, || ()).unwrap();
        let ask = |ticket| {
            worker.ask(Request::Confirm { ticket, tree: None });
            let answer = worker.answers.as_ref().unwrap().recv_timeout(LIMIT);
            match answer.unwrap() {
                Answer::Done { ticket: of, result } if of == ticket => result,
                other => panic!("{other:?}"),
            }
        };
        let why = ask(1).unwrap_err();
        assert!(why.contains("state"), "{why}");
        fs::remove_file(&state).unwrap();
        let after = ask(2);
        drop(worker);
        let was_made = state.is_dir();
        fs::remove_dir_all(&folder).unwrap();
        assert!(was_made, "{after:?}");
    }
}
