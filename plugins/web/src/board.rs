//! Board between the two threads of the plugin: the one with the daemon's socket puts documents on it when the one that
//! serves browsers wants them, so that the daemon is asked only while somebody looks.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::timeout;

/// Age until which documents are shown again, however many look.
const LIFETIME: Duration = Duration::from_secs(1);
/// Maximum wait for documents.
const PATIENCE: Duration = Duration::from_secs(4);

/// Documents of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Status of both nodes, history and causes.
    Page,
    /// Snapshot of this node for metrics.
    Metrics,
}

impl Wanted {
    pub const ALL: [Self; 2] = [Self::Page, Self::Metrics];
}

/// JSON texts of the daemon. Those that were not wanted are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Texts {
    pub status: String,
    pub history: Arc<str>,
    pub why: String,
}

/// Documents, or a sentence why there are none.
#[derive(Debug)]
pub struct Published {
    pub at: Instant,
    pub texts: Result<Texts, String>,
}

type Latest = Option<Arc<Published>>;

/// Documents that both threads know.
pub struct Board {
    shelves: [Shelf; 2],
    wake: Box<dyn Fn() + Send + Sync>,
}

struct Shelf {
    is_wanted: AtomicBool,
    latest: watch::Sender<Latest>,
}

impl fmt::Debug for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Board").finish_non_exhaustive()
    }
}

impl Board {
    /// `wake` tells the thread with the daemon's socket that something is wanted.
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        let shelf = || Shelf {
            is_wanted: AtomicBool::new(false),
            latest: watch::Sender::new(None),
        };
        Self {
            shelves: [shelf(), shelf()],
            wake: Box::new(wake),
        }
    }

    /// Documents that are at most a second old.
    pub async fn get(&self, wanted: Wanted) -> Arc<Published> {
        let begun = Instant::now();
        let mut latest = self.shelf(wanted).latest.subscribe();
        loop {
            let found = latest.borrow_and_update().clone();
            let is_new = |it: &Arc<Published>| it.at + LIFETIME >= begun;
            if let Some(found) = found.filter(is_new) {
                return found;
            }
            self.shelf(wanted).is_wanted.store(true, Ordering::Release);
            (self.wake)();
            let left = PATIENCE.saturating_sub(begun.elapsed());
            if timeout(left, latest.changed()).await.is_err() {
                return Arc::new(Published {
                    at: Instant::now(),
                    texts: Err("the daemon does not answer".to_owned()),
                });
            }
        }
    }

    /// Takes what is wanted since the last call.
    pub fn take_wanted(&self) -> Vec<Wanted> {
        let wanted = Wanted::ALL.into_iter();
        let is_wanted = |it: &Wanted| self.shelf(*it).is_wanted.swap(false, Ordering::AcqRel);
        wanted.filter(is_wanted).collect()
    }

    pub fn publish(&self, wanted: Wanted, texts: Result<Texts, String>) {
        let at = Instant::now();
        let published = Arc::new(Published { at, texts });
        self.shelf(wanted).latest.send_replace(Some(published));
    }

    fn shelf(&self, wanted: Wanted) -> &Shelf {
        let [page, metrics] = &self.shelves;
        match wanted {
            Wanted::Page => page,
            Wanted::Metrics => metrics,
        }
    }
}
