//! The thread that serves browsers: one loop for all connections. It knows the daemon by the
//! [`Board`] alone.

mod attempts;
mod body;
mod certificate;
mod connection;
mod crowd;
mod events;
pub mod form;
pub mod host_name;
mod listen;
mod login;
mod quota;
mod render;
mod router;
mod sessions;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;

use crate::board::Board;
use crate::config::{Place, Settings};
use attempts::Attempts;
use certificate::Certificate;
use connection::{CONNECTIONS, WAITING, serve};
use crowd::Crowd;
use quota::{Limit, Quota};
use render::Renderer;
use sessions::{SessionKey, Sessions};

/// Numbers of streams.
const STREAMS: Limit = Limit {
    all: 128,
    of_address: 16,
    of_this_node: 112,
};
/// Interval between attempts to open an address, and between looks at the certificate's files.
const RETRY: Duration = Duration::from_secs(5);
const RENEW: Duration = Duration::from_secs(60);
/// Stack of a thread. The default of 2 MiB is address space alone; none of these needs more.
const STACK: usize = 512 * 1024;

/// Address that cannot be opened, or that is open: None.
pub type Opened = (String, Option<String>);

/// State that all connections share.
#[derive(Debug)]
pub struct State {
    board: Arc<Board>,
    settings: Settings,
    /// Names by which browsers may call the page, in lower case.
    names: Vec<String>,
    sessions: Mutex<Sessions>,
    attempts: Mutex<Attempts>,
    /// One password is checked at a time: each takes memory and time.
    checks: Semaphore,
    streams: Quota,
    renderer: Renderer,
}

impl State {
    fn new(board: Arc<Board>, settings: Settings) -> Self {
        let mut names = settings.names.clone();
        names.push(settings.node.to_ascii_lowercase());
        Self {
            board,
            settings,
            names,
            sessions: Mutex::default(),
            attempts: Mutex::new(Attempts::new(Instant::now())),
            checks: Semaphore::new(1),
            streams: Quota::new(STREAMS),
            renderer: Renderer::default(),
        }
    }

    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        // a panic elsewhere leaves the sessions valid
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn attempts(&self) -> MutexGuard<'_, Attempts> {
        // a panic elsewhere leaves the numbers valid
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_session(&self, key: SessionKey) -> bool {
        self.sessions().is_valid(Instant::now(), key)
    }
}

/// The thread, as long as it runs.
#[derive(Debug)]
pub struct Server {
    thread: Option<JoinHandle<()>>,
    stop: Option<oneshot::Sender<()>>,
    opened: Receiver<Opened>,
    certificate: Option<Arc<Certificate>>,
    crowd: Crowd,
    state: Arc<State>,
}

/// Numbers of what is served now.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub connections: u32,
    pub streams: u32,
    pub sessions: usize,
}

impl Server {
    /// Begins to serve. `wake` is called when an address was opened or not.
    ///
    /// # Errors
    /// A sentence: the certificate cannot be read, or there can be no thread.
    pub fn start(
        board: Arc<Board>,
        settings: Settings,
        folder: Option<PathBuf>,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Result<Self, String> {
        let is_open = settings.listen.iter().any(|it| !it.is_local());
        let certificate = match is_open {
            true => Some(Certificate::load(&settings, folder.as_deref())?),
            false => None,
        };
        let tls = certificate.clone().map(acceptor).transpose()?;
        let runtime = runtime().map_err(|error| format!("cannot serve a page: {error}"))?;
        let (stop, stopped) = oneshot::channel();
        let (sender, opened) = channel();
        let state = Arc::new(State::new(board, settings));
        let crowd = Crowd::new(CONNECTIONS, WAITING);
        let serving = Serving {
            state: state.clone(),
            tls,
            certificate: certificate.clone(),
            crowd: crowd.clone(),
            opened: sender,
            folder,
            wake: Arc::new(wake),
        };
        let thread = thread::Builder::new()
            .name("web".to_owned())
            .stack_size(STACK)
            .spawn(move || serving.run(&runtime, stopped))
            .map_err(|error| format!("cannot serve a page: {error}"))?;
        Ok(Self {
            thread: Some(thread),
            stop: Some(stop),
            opened,
            certificate,
            crowd,
            state,
        })
    }

    /// Next address that was opened or not.
    pub fn poll_opened(&self) -> Option<Opened> {
        self.opened.try_recv().ok()
    }

    /// SHA-256 of the certificate; None if nothing is encrypted.
    pub fn fingerprint(&self) -> Option<String> {
        self.certificate.as_ref().map(|it| it.fingerprint())
    }

    pub fn load(&self) -> Load {
        Load {
            connections: self.crowd.count(),
            streams: self.state.streams.count(),
            sessions: self.state.sessions().count(),
        }
    }

    /// Ends all connections and the thread.
    pub fn end(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

fn acceptor(certificate: Arc<Certificate>) -> Result<TlsAcceptor, String> {
    let terms = certificate::terms(certificate)?;
    Ok(TlsAcceptor::from(Arc::new(terms)))
}

fn runtime() -> std::io::Result<Runtime> {
    Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(1)
        .thread_stack_size(STACK)
        .build()
}

/// Everything that the thread needs.
struct Serving {
    state: Arc<State>,
    tls: Option<TlsAcceptor>,
    certificate: Option<Arc<Certificate>>,
    crowd: Crowd,
    opened: Sender<Opened>,
    /// The plugin's own folder, for sockets.
    folder: Option<PathBuf>,
    wake: Arc<dyn Fn() + Send + Sync>,
}

impl Serving {
    fn run(self, runtime: &Runtime, stopped: oneshot::Receiver<()>) {
        runtime.block_on(async {
            for place in &self.state.settings.listen {
                tokio::spawn(self.serve(place.clone()));
            }
            if let Some(certificate) = self.certificate.clone() {
                tokio::spawn(renew(certificate));
            }
            // the sender is dropped to stop
            let _ = stopped.await;
        });
    }

    fn serve(&self, place: Place) -> impl Future<Output = ()> + Send + use<> {
        let tls = self.tls.clone().filter(|_| !place.is_local());
        let (opened, wake) = (self.opened.clone(), self.wake.clone());
        let (crowd, state) = (self.crowd.clone(), self.state.clone());
        let folder = self.folder.clone();
        async move {
            loop {
                let (listener, why) = match listen::open(&place, folder.as_deref()) {
                    Ok(listener) => (Some(listener), None),
                    Err(why) => (None, Some(why)),
                };
                let _ = opened.send((place.to_string(), why));
                wake();
                match listener {
                    Some(listener) => return serve(listener, tls, crowd, state).await,
                    None => sleep(RETRY).await,
                }
            }
        }
    }
}

async fn renew(certificate: Arc<Certificate>) {
    loop {
        sleep(RENEW).await;
        if let Err(why) = certificate.renew() {
            log::warn!("the page keeps its certificate: {why}");
        }
    }
}
