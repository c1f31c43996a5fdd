//! Words as a host says them.

use serde_json::to_string;
use spared_config::keys::flatten;
use spared_link::word::Word;
use spared_message::control::{Answer, Past, PastFinding, PastRun, Request};
use spared_requests::Caller;
use spared_verdict::{
    CauseKind, Fitness, GroupFacts, NetworkFaults, NodeFacts, OrderFacts, RoleChange,
};

use super::{GROUP, HOST_FILE, NOW, files, machine};
use crate::control;

/// Every word, and what hosts say to each other around a switchover.
pub fn seeds() -> Vec<Vec<u8>> {
    let text = |text: &str| text.to_owned();
    let (group, why) = (text(GROUP), text("asked\u{1b}[31m"));
    let offer = Word::Offer {
        switchover: 3,
        group: group.clone(),
        reason: text("asked"),
        why: why.clone(),
        anyway: false,
        unserved: true,
        within_ms: 2000,
        channels: vec![text("conntrack")],
    };
    let request = Word::Request {
        group: group.clone(),
        reason: text("asked"),
        why: why.clone(),
        anyway: true,
    };
    let history = Answer::History(Box::new(Past {
        changes: vec![change()],
        findings: vec![finding()],
        runs: vec![PastRun {
            node: text("r2"),
            began: NOW.to_owned(),
            ..PastRun::default()
        }],
        since: Some(NOW.to_owned()),
        is_cut: true,
        silent: None,
    }));
    let ask = |id, request: &Request| Word::Ask {
        id,
        request: to_string(request).unwrap_or_default(),
        is_order: !Caller::is_read_only(request),
    };
    let mut words: Vec<Word> = control::requests()
        .iter()
        .map(|request| ask(1, request))
        .collect();
    let is_wanted = true;
    words.extend([Word::MayBegin { id: 1 }, Word::Begin { id: 1, is_wanted }]);
    words.extend([
        Word::Answer {
            id: 1,
            answer: to_string(&history).unwrap_or_default(),
        },
        Word::Answer {
            id: 2,
            answer: text("{\"answer\":\"done\",\"lines\":[\"\u{1b}[2J\"]}"),
        },
        Word::Digests {
            files: files()
                .into_keys()
                .map(|name| (name, text("0123")))
                .collect(),
        },
        Word::Keys {
            file: text("vrrp.toml"),
            keys: flatten(HOST_FILE, &[]),
        },
        Word::WantKeys {
            files: files().into_keys().collect(),
        },
        Word::WantKeys {
            files: vec![text("vrrp.toml"); 128],
        },
        Word::Status(Box::new(facts())),
        Word::Machine(Box::new(machine("accept\u{1b}"))),
        offer.clone(),
        request.clone(),
        Word::Refused {
            group,
            why: why.clone(),
        },
        Word::Freeze {
            for_ms: 9,
            by: why.clone(),
            age_ms: 5,
        },
        Word::Declined {
            switchover: 1,
            why: why.clone(),
        },
        Word::Prepared { switchover: 1 },
    ]);
    let line = |word: &Word| to_string(word).unwrap_or_default();
    let mut seeds: Vec<Vec<u8>> = words
        .iter()
        .map(|word| format!("\x02\n{}\n", line(word)).into_bytes())
        .collect();
    let talks: [(char, Vec<Word>); 4] = [
        ('\0', vec![offer.clone(), Word::Took { switchover: 3 }]),
        (
            '\0',
            vec![
                offer,
                Word::Cancelled {
                    switchover: 3,
                    why: why.clone(),
                },
            ],
        ),
        (
            '\u{1}',
            vec![
                request.clone(),
                Word::Prepared { switchover: 1 },
                Word::Took { switchover: 1 },
            ],
        ),
        (
            '\u{1}',
            vec![request, Word::Declined { switchover: 1, why }],
        ),
    ];
    for (flags, talk) in talks {
        let lines: Vec<String> = talk.iter().map(line).collect();
        seeds.push(format!("{flags}{}\n\n\n", lines.join("\n")).into_bytes());
        seeds.push(format!("{flags}{}", lines.join("\n\n")).into_bytes());
    }
    seeds
}

fn finding() -> PastFinding {
    PastFinding {
        id: "SP-0401".to_owned(),
        node: "r2".to_owned(),
        text: "lan1 \u{9b}down".to_owned(),
        began: NOW.to_owned(),
        times: 1,
        ..PastFinding::default()
    }
}

fn change() -> RoleChange {
    let cause = spared_verdict::Cause::new(CauseKind::Quality, "lan1 \u{9b}down");
    let node = |node: &str| Fitness {
        node: node.to_owned(),
        quality: 60,
        ..Fitness::default()
    };
    RoleChange {
        at: NOW.to_owned(),
        group: GROUP.to_owned(),
        ..RoleChange::new(
            spared_verdict::Role::Active,
            cause,
            node("r2"),
            Some(node("r1")),
        )
    }
}

fn facts() -> NodeFacts {
    let text = |text: &str| text.to_owned();
    let group = GroupFacts {
        name: GROUP.to_owned(),
        role: spared_verdict::Role::Active,
        since: NOW.to_owned(),
        quality: 80,
        networks: NetworkFaults {
            unheard: [(text("lan1"), text("why\u{1b}[2J"))].into(),
            ..NetworkFaults::default()
        },
        ..GroupFacts::default()
    };
    let plugin = spared_verdict::PluginFacts {
        name: text("conntrack"),
        has_channel: true,
        lack: text("resync"),
        ..spared_verdict::PluginFacts::default()
    };
    NodeFacts {
        node: text("r2"),
        quality: 200,
        missing: vec![text("conntrack: resync\n")],
        failing: vec![text("lan1: down")],
        groups: vec![group],
        plugins: vec![plugin],
        orders: OrderFacts {
            frozen_until: Some(NOW.to_owned()),
            ..OrderFacts::default()
        },
        ..NodeFacts::default()
    }
}
