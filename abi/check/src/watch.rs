//! States of the pair and events, also of kinds that no host has yet.

use std::path::Path;

use spared_contract::{
    ConfigTable, EventRecord, FindingRecord, GroupHeadline, LogLevel, PairStatus, Role, ToPlugin,
    VerdictWord,
};

use crate::checks::{stop, with_worker};
use crate::finding::Finding;

const COUNTS: [usize; 3] = [0, 1, 300];
const TEXT: &str = "it is so because of a test";

pub fn check(path: &Path, config: &ConfigTable) -> Vec<Finding> {
    with_worker(path, config, |host| {
        host.begin(config)?;
        for count in COUNTS {
            for verdict in VerdictWord::ALL {
                host.send(&ToPlugin::Status(status(*verdict, count)));
            }
            host.pass("status")?;
        }
        for lost in [0, u64::MAX] {
            host.send(&ToPlugin::Event(event(lost)));
        }
        host.pass("event")?;
        stop(host)
    })
}

fn status(verdict: VerdictWord, count: usize) -> PairStatus {
    let group = GroupHeadline {
        verdict,
        group: if count == 1 { "" } else { "office" }.to_owned(),
        headline: TEXT.to_owned(),
        role: (count > 1).then_some(Role::Fault),
    };
    let finding = FindingRecord {
        id: "SP-0000".to_owned(),
        node: TEXT.to_owned(),
        thing: TEXT.to_owned(),
        text: TEXT.to_owned(),
        todo: String::new(),
        since: String::new(),
    };
    PairStatus {
        verdict,
        node: TEXT.to_owned(),
        groups: vec![group; count],
        findings: vec![finding; count],
        left_out: count as u32,
        ..PairStatus::default()
    }
}

fn event(lost: u64) -> EventRecord {
    EventRecord {
        level: LogLevel::Trace,
        lost,
        at: "2026-11-22T18:00:00.123+01:00".to_owned(),
        kind: "later".to_owned(),
        group: String::new(),
        reason: String::new(),
        text: "something happened".to_owned(),
    }
}
