//! Test bed for the thread: commands and events.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use spared_ipsec::connections::Listed;
use spared_ipsec::engine::{ChildName, NamedSpi};
use spared_ipsec::vici::{Daemon, ViciEvent};

/// Longer than any time limit of the thread.
const LONG: Duration = Duration::from_secs(25);
const STEP: Duration = Duration::from_millis(100);

static NUMBER: AtomicU32 = AtomicU32::new(0);

pub struct Fixture {
    pub daemon: Daemon,
    woken: Receiver<()>,
}

impl Fixture {
    pub fn start(socket: &Path) -> Self {
        let (tell, woken) = channel();
        let wake = move || {
            let _ = tell.send(());
        };
        Self {
            daemon: Daemon::start(Some(socket.to_owned()), wake).unwrap(),
            woken,
        }
    }

    pub fn adopt(&self, child: &str, known: &[u32]) {
        let known = known.iter().copied().collect();
        self.daemon.adopt(vec![name(child)], known);
    }

    pub fn next_in(&self, time: Duration) -> Option<ViciEvent> {
        let until = Instant::now() + time;
        loop {
            match self.daemon.poll() {
                // arrives by itself, and is requested separately
                Some(ViciEvent::Listed(_)) => continue,
                Some(ViciEvent::Release(it)) => {
                    assert!(it.starts_with(['5', '6']), "{it}");
                    continue;
                }
                Some(said) => return Some(said),
                None => {}
            }
            let left = until.checked_duration_since(Instant::now())?;
            let _ = self.woken.recv_timeout(left);
        }
    }

    /// Returns the first result of `pick`; earlier events are skipped.
    pub fn until<T>(&self, mut pick: impl FnMut(&ViciEvent) -> Option<T>) -> T {
        let mut before = Vec::new();
        let until = Instant::now() + LONG;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            let Some(said) = self.next_in(left) else {
                break;
            };
            let picked = pick(&said);
            before.push(said);
            if let Some(picked) = picked {
                return picked;
            }
        }
        panic!("not among {before:#?}");
    }

    /// Returns the result of the next child.
    pub fn adopted(&self) -> Result<(), String> {
        self.until(|said| match said {
            ViciEvent::Adopted(_, result) => Some(result.clone()),
            _ => None,
        })
    }

    pub fn note(&self) -> String {
        self.until(|said| match said {
            ViciEvent::Note(line) => Some(line.clone()),
            _ => None,
        })
    }

    /// Returns the SPIs of the first names that match.
    pub fn spis(&self, are_they: impl Fn(&BTreeSet<u32>) -> bool) -> BTreeSet<u32> {
        self.until(|said| match said {
            ViciEvent::Names(names) => Some(spis(names)).filter(&are_they),
            _ => None,
        })
    }

    /// Returns the loaded connections, on request.
    pub fn listed(&self) -> Option<Listed> {
        self.daemon.list();
        let until = Instant::now() + LONG;
        while Instant::now() < until {
            if let Some(ViciEvent::Listed(listed)) = self.daemon.poll() {
                return listed;
            }
            let _ = self.woken.recv_timeout(STEP);
        }
        panic!("nothing is listed");
    }

    /// Returns true if no event arrives for this time.
    pub fn is_quiet(&self, time: Duration) -> bool {
        let said = self.next_in(time);
        if let Some(said) = &said {
            eprintln!("unexpected: {said:?}");
        }
        said.is_none()
    }

    pub fn stop_at_once(self) {
        let began = Instant::now();
        self.daemon.stop();
        let took = began.elapsed();
        assert!(took < Duration::from_secs(1), "{took:?}");
    }
}

fn spis(names: &[NamedSpi]) -> BTreeSet<u32> {
    names.iter().map(|named| named.spi).collect()
}

pub fn name(child: &str) -> ChildName {
    ChildName {
        ike: "far".to_owned(),
        child: child.to_owned(),
    }
}

/// Temporary folder of one test.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("spared-ipsec-{}-{number}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
