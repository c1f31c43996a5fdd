//! Stores the last reports of the link's process.

use std::collections::{BTreeMap, BTreeSet};

use spared_message::clean;
use spared_message::control::LinkStatus;
use spared_message::link::{PathState, State};
use spared_message::notice::{Kind, Notice};
use spared_message::word::Introduction;
use spared_process::clock;
use spared_verdict::LinkFacts;

#[derive(Debug, Default)]
pub(super) struct LinkState {
    /// True if there is a session.
    pub(super) is_up: bool,
    pub(super) channels: BTreeSet<String>,
    /// Reason why the peers of a plugin share no protocol version, by plugin.
    pub(super) refusals: BTreeMap<String, String>,
    pub(super) last_heard: Option<String>,
    pub(super) state: State,
    /// Paths, in the order of the file.
    paths: Vec<Path>,
}

#[derive(Debug)]
struct Path {
    interface: String,
    /// True if the path has a session and the peer answers.
    up: bool,
    since: String,
    /// Reason, detected by the host itself, why the path cannot be used.
    obstacle: Option<&'static str>,
}

/// Reason why a path is down that still has a session.
const SILENT: &str = "no answer for 2 s";

/// Returns true if a path has a session and the peer answers.
fn answers(said: &PathState) -> bool {
    said.up && !said.silent
}

impl LinkState {
    /// Sets the paths of the configuration. Paths that stay keep their state.
    pub(super) fn set_paths(&mut self, interfaces: Vec<String>) {
        let mut old = std::mem::take(&mut self.paths);
        for interface in interfaces {
            let known = old.iter().position(|path| path.interface == interface);
            self.paths.push(match known {
                Some(at) => old.swap_remove(at),
                None => Path {
                    interface,
                    up: false,
                    since: clock::now(),
                    obstacle: None,
                },
            });
        }
    }

    pub(super) fn set_obstacle(&mut self, index: usize, what: Option<&'static str>) {
        if let Some(path) = self.paths.get_mut(index) {
            path.obstacle = what;
        }
    }

    pub(super) fn up(&mut self) {
        self.last_heard = Some(clock::now());
        self.is_up = true;
    }

    /// Handles the end of the session. Returns false if there was none.
    pub(super) fn down(&mut self) -> bool {
        self.channels.clear();
        self.refusals.clear();
        std::mem::take(&mut self.is_up)
    }

    /// Forgets all reports, as the process is gone.
    pub(super) fn forget(&mut self, why: &str) {
        self.state = State::default();
        let now = clock::now();
        for path in self.paths.iter_mut().filter(|path| path.up) {
            (path.up, path.since) = (false, now.clone());
        }
        self.state.paths = self
            .paths
            .iter()
            .map(|path| PathState {
                interface: path.interface.clone(),
                why: why.to_owned(),
                ..PathState::default()
            })
            .collect();
    }

    /// Stores the version on which the peers of a plugin agreed, or the refusal. Returns a refusal that is new.
    pub(super) fn wire(&mut self, plugin: &str, agreed: Result<u32, String>) -> Option<String> {
        match agreed {
            Ok(_) => {
                self.refusals.remove(plugin);
                self.channels.insert(plugin.to_owned());
                None
            }
            Err(why) => {
                let why = clean::line(&why);
                self.channels.remove(plugin);
                let old = self.refusals.insert(plugin.to_owned(), why.clone());
                (old.as_ref() != Some(&why)).then_some(why)
            }
        }
    }

    /// Stores the newest state, and returns what has changed.
    pub(super) fn update(&mut self, state: State) -> Vec<Notice> {
        let mut news = Vec::new();
        for path in &mut self.paths {
            let said = state.paths.iter().find(|s| s.interface == path.interface);
            let Some(said) = said.filter(|said| answers(said) != path.up) else {
                continue;
            };
            (path.up, path.since) = (answers(said), clock::now());
            let interface = &path.interface;
            news.push(if path.up {
                Notice::new(Kind::Link, format!("link {interface}: up")).because("up")
            } else {
                let why = if said.silent {
                    SILENT.to_owned()
                } else {
                    clean::line(&said.why)
                };
                let text = format!("link {interface}: down: {why}");
                Notice::warn(Kind::Link, text).because("down")
            });
        }
        if state.paths.iter().any(|path| path.up) {
            self.last_heard = Some(clock::now());
        }
        // Only this state tells that a peer worker has ended and not yet returned.
        self.channels.retain(|plugin| {
            let channel = state.channels.get(plugin);
            channel.is_none_or(|channel| channel.wire.is_some())
        });
        self.state = state;
        news
    }

    pub(super) fn status(&self) -> Vec<LinkStatus> {
        let paths = self.paths.iter();
        paths.map(|path| self.path_status(path)).collect()
    }

    /// Returns the facts of the paths. `is_silent` is true if the process does not answer.
    pub(super) fn facts(&self, is_silent: bool) -> Vec<LinkFacts> {
        let paths = self.paths.iter();
        let facts = paths.map(|path| {
            let said = self.said_of(path);
            let narrow = said
                .narrow
                .filter(|_| !is_silent && path.obstacle.is_none());
            LinkFacts {
                interface: path.interface.clone(),
                up: path.up && !is_silent,
                since: path.since.clone(),
                why: if path.up && is_silent {
                    "the link's process does not answer".to_owned()
                } else {
                    path.why(&said)
                },
                is_local: path.obstacle.is_some() || is_silent,
                mtu: narrow.map(|(mtu, _)| mtu),
                passes: narrow.map(|(_, passes)| passes),
            }
        });
        facts.collect()
    }

    /// Returns true if there are paths, and the peer answers on none.
    pub(super) fn is_peer_unheard(&self) -> bool {
        !self.paths.is_empty() && !self.paths.iter().any(|path| path.up)
    }

    fn said_of(&self, path: &Path) -> PathState {
        let mut said = self.state.paths.iter();
        let said = said.find(|said| said.interface == path.interface);
        said.cloned().unwrap_or_default()
    }

    fn path_status(&self, path: &Path) -> LinkStatus {
        let said = self.said_of(path);
        let why = path.why(&said);
        LinkStatus {
            interface: path.interface.clone(),
            state: if path.up { "up" } else { "down" }.to_owned(),
            since: path.since.clone(),
            why,
            carries: said.carries,
            round_trip_ms: said.round_trip_us.map(|us| us as f64 / 1000.0),
            sent_bytes: said.sent_bytes,
            received_bytes: said.received_bytes,
            refused: said.refused,
        }
    }
}

impl Path {
    /// Returns why the path is down; empty if it is up.
    fn why(&self, said: &PathState) -> String {
        match (self.up, self.obstacle) {
            (true, _) => String::new(),
            (false, Some(obstacle)) => obstacle.to_owned(),
            (false, None) if said.silent => SILENT.to_owned(),
            (false, None) if said.why.is_empty() => "not yet connected".to_owned(),
            (false, None) => clean::line(&said.why),
        }
    }
}

/// Cleans the peer's texts, which are printed on terminals and in logs.
pub(super) fn clean(said: Introduction) -> Introduction {
    Introduction {
        node: clean::line(&said.node),
        version: clean::line(&said.version),
        booted: clean::line(&said.booted),
        started: clean::line(&said.started),
    }
}
