//! Sends the state of the pair and its events to plugins that watch it. The state is sent once a
//! second if it changed. Both are limited, and no plugin is waited for.

use std::collections::BTreeMap;
use std::time::Instant;

use spared_abi::{WATCH_EVENTS, WATCH_STATUS};
use spared_contract::{EventRecord, FindingRecord, GroupHeadline, LogLevel, PairStatus, ToPlugin};
use spared_group::Groups;
use spared_message::control::Event;
use spared_process::token_bucket::TokenBucket;
use spared_records::encode;
use spared_verdict::{Finding, Headline, Verdict};

/// Maximum rate of events sent to a plugin, per second, and size of a burst.
const EVENTS_PER_S: u32 = 20;
const EVENTS_BURST: u32 = 100;
/// Maximum numbers of groups and findings in a status, and of characters in a text.
const GROUPS_MAX: usize = 256;
const FINDINGS_MAX: usize = 64;
const TEXT_MAX: usize = 256;

/// Plugins that watch the pair.
#[derive(Debug, Default)]
pub struct Watchers {
    plugins: BTreeMap<String, Watcher>,
}

#[derive(Debug)]
struct Watcher {
    what: u32,
    /// Status that the plugin was last sent.
    told: Option<PairStatus>,
    limit: TokenBucket,
    lost: u64,
}

impl Watchers {
    /// Makes a plugin watch. It gets the status at the next second, however often it asks.
    pub fn set(&mut self, now: Instant, plugin: &str, what: u32) {
        let new = || Watcher {
            what,
            told: None,
            limit: TokenBucket::new(EVENTS_PER_S, EVENTS_BURST, now),
            lost: 0,
        };
        let watcher = self.plugins.entry(plugin.to_owned()).or_insert_with(new);
        watcher.what = what;
        watcher.told = None;
    }

    /// Forgets a plugin whose worker has ended.
    pub fn forget(&mut self, plugin: &str) {
        self.plugins.remove(plugin);
    }

    fn want_events(&self) -> bool {
        self.plugins.values().any(|it| it.what & WATCH_EVENTS != 0)
    }

    /// Returns true if a plugin watches the status.
    pub fn want_status(&self) -> bool {
        self.plugins.values().any(|it| it.what & WATCH_STATUS != 0)
    }

    /// Returns the messages about an event.
    pub fn handle_event(
        &mut self,
        now: Instant,
        level: log::Level,
        event: &Event,
    ) -> Vec<(String, ToPlugin)> {
        if self.want_events() {
            self.event(now, &event_of(level, event))
        } else {
            Vec::new()
        }
    }

    fn event(&mut self, now: Instant, event: &EventRecord) -> Vec<(String, ToPlugin)> {
        let mut messages = Vec::new();
        let watching = self
            .plugins
            .iter_mut()
            .filter(|(_, it)| it.what & WATCH_EVENTS != 0);
        for (plugin, watcher) in watching {
            if !watcher.limit.take(now) {
                watcher.lost += 1;
                continue;
            }
            let lost = std::mem::take(&mut watcher.lost);
            let event = EventRecord {
                lost,
                ..event.clone()
            };
            messages.push((plugin.clone(), ToPlugin::Event(event)));
        }
        messages
    }

    /// Returns the messages about a status, for plugins that were sent another one before.
    pub fn handle_status(&mut self, status: &PairStatus) -> Vec<(String, ToPlugin)> {
        let mut messages = Vec::new();
        let watching = self
            .plugins
            .iter_mut()
            .filter(|(_, it)| it.what & WATCH_STATUS != 0);
        for (plugin, watcher) in watching {
            if watcher.told.as_ref() != Some(status) {
                watcher.told = Some(status.clone());
                messages.push((plugin.clone(), ToPlugin::Status(status.clone())));
            }
        }
        messages
    }
}

/// Adds headlines and findings of a verdict to a status, as many as fit into a message.
pub fn with_verdict(status: PairStatus, verdict: &Verdict, known: &Groups) -> PairStatus {
    let groups = verdict.headlines.iter().take(GROUPS_MAX);
    let groups: Vec<_> = groups.map(|it| group_headline(it, known)).collect();
    let findings = verdict.findings.iter().take(FINDINGS_MAX);
    let findings: Vec<_> = findings.map(record_of).collect();
    let all = verdict.headlines.len() + verdict.findings.len();
    bounded(PairStatus {
        verdict: verdict.word,
        left_out: u32::try_from(all - groups.len() - findings.len()).unwrap_or(u32::MAX),
        groups,
        findings,
        ..status
    })
}

fn group_headline(headline: &Headline, known: &Groups) -> GroupHeadline {
    let name = headline.group.as_deref().unwrap_or_default();
    GroupHeadline {
        verdict: headline.word,
        group: cut(name),
        headline: cut(&headline.text),
        role: known.get(name).map(|group| group.role),
    }
}

/// Drops groups and findings until the status fits into a record. A longer record would end the worker.
fn bounded(mut status: PairStatus) -> PairStatus {
    loop {
        let message = ToPlugin::Status(status);
        let is_long = encode(&message).is_err();
        let ToPlugin::Status(tried) = message else {
            return PairStatus::default();
        };
        status = tried;
        let all = status.groups.len() + status.findings.len();
        if !is_long || all == 0 {
            return status;
        }
        status.groups.truncate(status.groups.len() / 2);
        status.findings.truncate(status.findings.len() / 2);
        let kept = status.groups.len() + status.findings.len();
        status.left_out += u32::try_from(all - kept).unwrap_or_default();
    }
}

fn event_of(level: log::Level, event: &Event) -> EventRecord {
    EventRecord {
        level: match level {
            log::Level::Error => LogLevel::Error,
            log::Level::Warn => LogLevel::Warn,
            _ => LogLevel::Info,
        },
        lost: 0,
        at: event.at.clone(),
        kind: event.event.clone(),
        group: cut(event.group.as_deref().unwrap_or_default()),
        reason: cut(event.reason.as_deref().unwrap_or_default()),
        text: cut(&event.text),
    }
}

fn record_of(finding: &Finding) -> FindingRecord {
    FindingRecord {
        id: finding.id.clone(),
        node: cut(&finding.node),
        thing: cut(&finding.thing),
        text: cut(&finding.text),
        todo: cut(&finding.todo),
        since: cut(finding.since.as_deref().unwrap_or_default()),
    }
}

fn cut(text: &str) -> String {
    text.chars().take(TEXT_MAX).collect()
}

#[cfg(test)]
mod tests {
    use spared_contract::VerdictWord;

    use super::*;

    fn event() -> EventRecord {
        EventRecord {
            level: LogLevel::Info,
            lost: 0,
            at: String::new(),
            kind: "role".to_owned(),
            group: String::new(),
            reason: String::new(),
            text: String::new(),
        }
    }

    #[test]
    fn a_flood_of_events_is_counted_and_not_told() {
        let now = Instant::now();
        let mut watchers = Watchers::default();
        watchers.set(now, "lamp", WATCH_EVENTS);
        let told: usize = (0..150).map(|_| watchers.event(now, &event()).len()).sum();
        assert_eq!(told, EVENTS_BURST as usize);
        let later = now + std::time::Duration::from_secs(1);
        let messages = watchers.event(later, &event());
        let [(_, ToPlugin::Event(next))] = &messages[..] else {
            panic!("{messages:?}");
        };
        assert_eq!(next.lost, 50);
        assert_eq!(watchers.handle_status(&PairStatus::default()), []);
    }

    #[test]
    fn a_status_is_told_once_to_each_and_again_when_it_changes() {
        let mut watchers = Watchers::default();
        watchers.set(Instant::now(), "lamp", WATCH_STATUS);
        let mut status = PairStatus::default();
        assert_eq!(watchers.handle_status(&status).len(), 1);
        assert_eq!(watchers.handle_status(&status).len(), 0);
        status.verdict = VerdictWord::None;
        assert_eq!(watchers.handle_status(&status).len(), 1);
        watchers.forget("lamp");
        assert_eq!(watchers.handle_status(&PairStatus::default()).len(), 0);
    }

    #[test]
    fn the_greatest_status_fits_a_record() {
        let text = "\u{10348}".repeat(TEXT_MAX + 9);
        let finding = record_of(&Finding {
            id: "SP-0401".to_owned(),
            node: text.clone(),
            thing: text.clone(),
            text: text.clone(),
            todo: text.clone(),
            ..Finding::default()
        });
        let group = GroupHeadline {
            verdict: VerdictWord::Ok,
            group: cut(&text),
            headline: cut(&text),
            role: None,
        };
        let status = bounded(PairStatus {
            groups: vec![group; GROUPS_MAX],
            findings: vec![finding; FINDINGS_MAX],
            ..PairStatus::default()
        });
        assert!(encode(&ToPlugin::Status(status.clone())).is_ok());
        let kept = status.groups.len() + status.findings.len();
        assert_eq!(status.left_out as usize, GROUPS_MAX + FINDINGS_MAX - kept);
        assert!(kept > 0);
    }
}
