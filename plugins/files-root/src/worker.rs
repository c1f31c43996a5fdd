//! The worker thread: a scan, a copy or a command takes longer than a callback may.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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
    withdrawn: Arc<AtomicU64>,
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
        let withdrawn = Arc::new(AtomicU64::new(0));
        let to_stop = Arc::clone(&withdrawn);
        let work = move || {
            let mut answer = |answer: Answer| {
                let _ = done.send(answer);
                wake();
            };
            work(places, &later, (&stopped, &to_stop), &to_do, &mut answer);
        };
        let thread = thread::Builder::new()
            .name("files".to_owned())
            .spawn(work)?;
        Ok(Self {
            requests: Some(requests),
            answers: Some(answers),
            next,
            withdrawn,
            stop,
            thread: Some(thread),
        })
    }

    pub fn ask(&self, request: Request) {
        // at once: the thread may be at work for it
        if let Request::Withdraw { ticket } = request {
            return self.withdrawn.store(ticket, Ordering::Relaxed);
        }
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
    (stop, withdrawn): (&AtomicBool, &Arc<AtomicU64>),
    requests: &Receiver<Request>,
    answer: &mut dyn FnMut(Answer),
) {
    let mut begun = begin(&places, (stop, withdrawn), answer);
    if let Err(why) = &begun {
        log::error!("{why}");
    }
    let mut waiting = VecDeque::new();
    loop {
        // no event reports that the clock was set
        let next_timeout = |jobs: &mut Jobs<'_>| jobs.next_timeout(Now::read());
        let timeout = begun.as_mut().ok().and_then(next_timeout);
        let request = match waiting.pop_front() {
            Some(request) => Ok(request),
            None => requests.recv_timeout(timeout.map_or(IDLE, |it| it.min(IDLE))),
        };
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
            begun = begin(&places, (stop, withdrawn), answer);
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
        let Ok(jobs) = &mut begun else {
            continue;
        };
        // somebody may have confirmed during the request, which can take minutes
        let room = REQUESTS_MAX.saturating_sub(waiting.len());
        waiting.extend(requests.try_iter().take(room));
        for confirm in take_confirmations(&mut waiting) {
            jobs.handle(&confirm, answer);
        }
        if let Some(gone_back) = jobs.go_back(Now::read()) {
            answer(gone_back);
        }
    }
}

/// Takes the confirmations out of the queue, except those behind a request that takes the same tree back.
fn take_confirmations(waiting: &mut VecDeque<Request>) -> Vec<Request> {
    let mut going_back = Vec::new();
    let mut taken = Vec::new();
    waiting.retain(|request| match request {
        Request::GoBack { tree, .. } | Request::Back { tree, .. } => {
            going_back.push(tree.clone());
            true
        }
        Request::Confirm { tree, .. } => {
            let is_behind = match tree {
                Some(tree) => going_back.contains(tree),
                None => !going_back.is_empty(),
            };
            if !is_behind {
                taken.push(request.clone());
            }
            is_behind
        }
        _ => true,
    });
    taken
}

/// Opens the folders, and reverts an interrupted change. A full or read-only disk may recover later.
fn begin<'j>(
    places: &Places,
    (stop, withdrawn): (&'j AtomicBool, &Arc<AtomicU64>),
    answer: &mut dyn FnMut(Answer),
) -> Result<Jobs<'j>, String> {
    let mut jobs = Jobs::new(places.clone(), stop, &|_| ())?;
    jobs.watch(withdrawn);
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
    use crate::store::{Store, Unconfirmed};

    const LIMIT: Duration = Duration::from_secs(10);

    fn places(folder: &std::path::Path) -> Places {
        Places {
            root: PathBuf::from("/"),
            config: folder.join("files.toml"),
            state: folder.join("state"),
            stage: folder.join("stage"),
            node: "r1".to_owned(),
            nodes: Vec::new(),
            config_from_peer: false,
        }
    }

    /// Checks requests that waited while the deadline passed.
    #[test]
    fn a_confirmation_behind_other_work_counts_before_its_deadline() {
        let folder = format!("spared-files-root-behind-{}", std::process::id());
        let folder = std::env::temp_dir().join(folder);
        fs::create_dir(&folder).unwrap();
        let places = places(&folder);
        let store = Store::open(&places.state).unwrap();
        let waits = |tree: &str| Unconfirmed {
            tree: tree.to_owned(),
            state: 1,
            until_s: 0,
            span_s: 10,
        };
        store.set_unconfirmed(&[waits("fw"), waits("www")]).unwrap();
        let (ask, requests) = sync_channel(REQUESTS_MAX);
        let log = |ticket| Request::Log {
            ticket,
            tree: "fw".to_owned(),
        };
        let confirm = |ticket, tree: &str| Request::Confirm {
            ticket,
            tree: Some(tree.to_owned()),
        };
        let back = Request::GoBack {
            ticket: 4,
            tree: "www".to_owned(),
        };
        for request in [log(1), log(2), back, confirm(3, "fw"), confirm(5, "www")] {
            ask.send(request).unwrap();
        }
        drop(ask);
        let mut answers = Vec::new();
        let (next, stop) = (Mutex::new(None), AtomicBool::new(false));
        let stop = (&stop, &Arc::default());
        work(places, &next, stop, &requests, &mut |it| answers.push(it));
        fs::remove_dir_all(&folder).unwrap();
        let of = |wanted: u64| {
            answers.iter().find_map(|it| match it {
                Answer::Done { ticket, result } if *ticket == wanted => Some(result.clone()),
                _ => None,
            })
        };
        let confirmed = of(3).unwrap().map(|it| it.text());
        assert_eq!(confirmed.as_deref(), Ok("confirmed: fw"), "{answers:?}");
        // somebody wanted this one to go back before it was confirmed
        of(5).unwrap().unwrap_err();
        assert_eq!(answers.len(), 6, "{answers:?}");
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_the_answer_and_is_tried_again() {
        let folder = format!("spared-files-root-worker-{}", std::process::id());
        let folder = std::env::temp_dir().join(folder);
        fs::create_dir(&folder).unwrap();
        let state = folder.join("state");
        fs::write(&state, "a file where the folder belongs").unwrap();
        let places = places(&folder);
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
