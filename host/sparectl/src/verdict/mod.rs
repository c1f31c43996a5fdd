//! What a [`Status`] amounts to: one sentence per group, what is degraded, and the exit code.
//!
//! `lone` speaks for a node without a link, `pair` for two nodes that know each other.

mod lone;
mod notes;
mod pair;

use spared_control::{GroupStatus, PluginStatus, Status};

/// From fine to worst; the worst of all groups is the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Ok,
    Warn,
    Alone,
    Conflict,
    NoneActive,
}

impl Level {
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warn => "WARN",
            Self::Alone => "ALONE",
            Self::Conflict => "CONFLICT",
            Self::NoneActive => "NONE",
        }
    }

    /// As `probe` and `--json` say it.
    pub fn probe_word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "degraded",
            Self::Alone => "alone",
            Self::Conflict => "conflict",
            Self::NoneActive => "none",
        }
    }

    pub fn exit_code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Warn => 1,
            Self::Alone | Self::Conflict => 2,
            Self::NoneActive => 3,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Headline {
    pub level: Level,
    /// A sentence, or two on lines of their own.
    pub text: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// One per group, in the order of the configuration.
    pub headlines: Vec<Headline>,
    /// What is degraded and what to do, worst first.
    pub notes: Vec<String>,
}

impl Verdict {
    pub fn of(status: &Status) -> Self {
        let mut headlines: Vec<Headline> = status
            .groups
            .iter()
            .map(|group| match &status.peer {
                Some(peer) => pair::headline(status, peer, group),
                None => lone::headline(&status.node, group),
            })
            .collect();
        if headlines.is_empty() {
            headlines.push(without_groups(&status.plugins));
        }
        let notes = notes::of(status);
        if !notes.is_empty() {
            headlines
                .iter_mut()
                .for_each(|headline| headline.level = headline.level.max(Level::Warn));
        }
        Self { headlines, notes }
    }

    pub fn level(&self) -> Level {
        self.headlines
            .iter()
            .map(|headline| headline.level)
            .max()
            .unwrap_or(Level::Ok)
    }
}

fn without_groups(plugins: &[PluginStatus]) -> Headline {
    let mut wanted = plugins
        .iter()
        .filter(|plugin| plugin.state != "disabled")
        .peekable();
    let (level, text) = if wanted.peek().is_none() {
        (
            Level::Ok,
            "nothing configured: this node is never active on any address.",
        )
    } else if wanted.all(|plugin| plugin.state == "running") {
        (
            Level::Ok,
            "no group configured: this node is never active on any address.",
        )
    } else {
        (
            Level::NoneActive,
            "no group: a plugin that should run does not.",
        )
    };
    Headline {
        level,
        text: text.into(),
    }
}

// The part of "r1 is fault because ..." that is new to the reader.
fn reason(group: &GroupStatus) -> &str {
    let why = bare(&group.why);
    why.split_once(" because ")
        .map_or(why, |(_, reason)| reason)
}

// A sentence without its full stop, to go on in another one.
fn bare(sentence: &str) -> &str {
    sentence.trim_end_matches('.')
}
