//! The thread that does the work: a scan, a copy or a command takes longer than a callback may.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use spared_tree::local::{Answer, Request};

use crate::job::{Jobs, Places};

/// Requests that wait; the other half has fewer under way.
const REQUESTS_MAX: usize = 256;
/// Answers that wait for the other half to take them.
const ANSWERS_MAX: usize = 32;
/// Longest time between two looks at the clock.
const IDLE: Duration = Duration::from_secs(5);

pub struct Worker {
    /// None at the end.
    requests: Option<SyncSender<Request>>,
    answers: Option<Receiver<Answer>>,
    /// Where everything is from the next request on.
    next: Arc<Mutex<Option<Places>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Takes back an interrupted change first; `wake` is called after each answer.
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

    /// Changes where everything is, after the request that is under way.
    pub fn move_to(&self, places: Places) {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(places);
    }

    pub fn poll_answer(&self) -> Option<Answer> {
        self.answers.as_ref()?.try_recv().ok()
    }
}

impl Drop for Worker {
    /// Ends it: a change that is under way is taken back at the next start.
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // either may be what the thread waits for
        (self.requests, self.answers) = (None, None);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn work(
    places: Places,
    next: &Mutex<Option<Places>>,
    stop: &AtomicBool,
    requests: &Receiver<Request>,
    answer: &mut dyn FnMut(Answer),
) {
    let mut jobs = match Jobs::new(places, stop, &|_| ()) {
        Ok(jobs) => jobs,
        Err(why) => {
            log::error!("{why}");
            let tree = String::new();
            return answer(Answer::Event { tree, text: why });
        }
    };
    if let Some(recovered) = jobs.recover() {
        answer(recovered);
    }
    loop {
        // a clock that is set does not tell this thread
        let left = jobs.next_timeout().map_or(IDLE, |it| it.min(IDLE));
        let request = requests.recv_timeout(left);
        if stop.load(Ordering::Relaxed) {
            return;
        }
        if let Some(places) = next.lock().unwrap_or_else(PoisonError::into_inner).take() {
            jobs.move_to(places);
        }
        match request {
            Ok(request) => jobs.handle(&request, answer),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if let Some(gone_back) = jobs.go_back() {
            answer(gone_back);
        }
    }
}
