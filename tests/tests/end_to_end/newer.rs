// SPDX-License-Identifier: MIT OR Apache-2.0
//! A peer one version newer: its greeting, frames, words and fields, a plugin, and messages of known plugins are such as
//! this version does not know. Both are a pair at the common version, and what was ignored is counted and told.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::json;
use spared_tests::Result;
use spared_tests::clock::poll;
use spared_tests::lab::{Lab, Wire, scenario};
use spared_tests::linked::{INTERVAL, peer};
use spared_tests::probe::Watch;
use spared_tests::router::{Kind, Plan, PluginFile, Router, Spared};

use crate::timed::hostile_peer::speaker::{Channel, HELLO, Speaker, hello};

const LIMIT: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(20);
const SETS: &str = "table inet filter {\n set bans { type ipv4_addr; }\n}\n";
const SETS_TOML: &str = "[[set]]\nfamily = \"inet\"\ntable = \"filter\"\nname = \"bans\"\n";

/// Why the newer one is not ready.
const LACK: &str = "its table is not read yet";
const IGNORED: &str = "messages that only a later version of spared knows";

/// Kind of the messenger's numbered texts.
const SAID: u8 = 4;

// Types of frames, and a kind of the replica's messages, that this version does not have.
const FRAME: u8 = 0x4d;
const NUMBERED: u8 = 0xf0;
const KIND: u8 = 77;

fn plan() -> Plan {
    let mut plan = Plan::linked(INTERVAL, &[Wire::Hot]);
    let messenger = PluginFile {
        toml: "interval = \"50ms\"\n".to_owned(),
        ..peer("")
    };
    let sets = PluginFile {
        name: "sets".to_owned(),
        toml: SETS_TOML.to_owned(),
        file: "libspared_sets.so".to_owned(),
    };
    plan.plugins = vec![messenger, sets];
    plan
}

struct Newer {
    speaker: Speaker,
    messenger: Channel,
    sets: Channel,
}

impl Newer {
    /// Greets as a node whose link speaks one version more, and offers channels whose plugins do.
    fn join(lab: &Lab) -> Result<Self> {
        let mut speaker = Speaker::open(lab)?;
        let mut greeting = serde_json::to_value(hello())?;
        greeting["version_max"] = json!(hello().version_max + 1);
        greeting["later"] = json!([1]);
        greeting["introduction"]["version"] = json!("9.0.0");
        greeting["introduction"]["colour"] = json!({ "red": true });
        speaker.frame(HELLO, greeting.to_string().as_bytes());
        let met = poll(LIMIT, LOOK, || {
            speaker.listen(LOOK);
            speaker.channels.len() > 1 || speaker.ended.is_some()
        });
        let theirs = |name: &str| speaker.channels.get(name).cloned();
        let (Some(messenger), Some(sets), true) = (theirs("messenger"), theirs("sets"), met) else {
            return Err(format!("no channels: {:?}", speaker.ended).into());
        };
        let mut newer = Self {
            speaker,
            messenger: Channel {
                number: 0,
                ..messenger
            },
            sets: Channel { number: 1, ..sets },
        };
        for (name, channel) in [("messenger", &newer.messenger), ("sets", &newer.sets)] {
            let wire = (channel.wire, channel.wire + 1);
            newer.speaker.offer(channel.number, name.as_bytes(), wire);
        }
        Ok(newer)
    }

    /// Says what this version does not know.
    fn say_all(&mut self) {
        let it = &mut self.speaker;
        it.frame(FRAME, b"later");
        it.numbered(NUMBERED, b"later");
        it.word(br#"{"word":"later","of":[1,2]}"#);
        it.offer(2, b"of-tomorrow", (1, 1));
        let tomorrow = Channel {
            number: 2,
            ..Channel::default()
        };
        it.message(&tomorrow, b"later");
        it.message(&self.messenger, b"later");
        let message = [&[KIND][..], &[0; 19]].concat();
        it.message(&self.sets, &message);
    }

    /// Reports itself: facts and a plugin of a later version are among those that this version knows.
    fn report(&mut self) {
        let facts = json!({
            "word": "status", "node": "r2", "quality": 100, "colour": "red", "missing": [LACK],
            "groups": [{ "name": "office", "role": "backup", "shade": { "dark": 1 } }],
            "plugins": [{ "name": "of-tomorrow", "state": "running", "shade": 1 }],
        });
        let files = json!({
            "spared.toml": "", "vrrp.toml": "", "messenger.toml": "", "sets.toml": "",
            "of-tomorrow.toml": "00",
        });
        let digests = json!({ "word": "digests", "files": files, "shades": {} });
        for word in [facts, digests] {
            self.speaker.word(word.to_string().as_bytes());
        }
    }

    /// Returns messages of the messenger to where they came from, in their order.
    fn answer(&mut self) {
        for message in std::mem::take(&mut self.speaker.samples) {
            if message.first() != Some(&SAID) {
                continue; // of sets
            }
            self.speaker.message(&self.messenger, &message);
        }
    }
}

/// Facts about the newer peer that the node does not show yet.
fn unsaid(router: &Router) -> Result<Vec<&'static str>> {
    let it = Spared(router);
    let peer = it.status()?.peer.unwrap_or_default();
    let log = router.log();
    let messenger = |key: &str| it.row(&["messenger", "status"], key).unwrap_or_default();
    let garbage = it.row(&["sets"], "all.garbage_here")?;
    let said = [
        ("the peer is up", peer.up),
        ("a frame, a numbered one and a word", peer.ignored == 3),
        ("them in the journal", log.matches(IGNORED).count() == 1),
        (
            "a plugin that it lacks, among unknown fields",
            peer.differences
                .iter()
                .any(|it| it.file == "of-tomorrow.toml"),
        ),
        ("the common wire", messenger("peer") == "up wire 2"),
        ("an unknown message of messenger", messenger("corrupt") == 1),
        ("the others", messenger("received").as_u64() > Some(10)),
        (
            "none is missing",
            messenger("gaps") == 0 && messenger("repeats") == 0,
        ),
        ("an unknown message of sets", garbage == 1),
        (
            "that in the journal",
            log.contains("message has unknown kind 77"),
        ),
    ];
    Ok(said.into_iter().filter(|it| !it.1).map(|it| it.0).collect())
}

#[test]
fn a_peer_one_version_newer_works_at_the_common_version_and_what_only_it_knows_is_counted() {
    scenario(2, |lab| {
        let watch = Watch::start(lab)?;
        lab.sites.iter().try_for_each(|site| site.ns.nft(SETS))?;
        let router = Router::start(lab, &lab.sites[0], Kind::Spared, &plan())?;
        let address = Wire::Hot.ipv4(12);
        lab.sites[1]
            .ns
            .ip(&format!("address add {address}/24 dev hot\n"))?;
        watch.wait_active(0, Wire::Lan, INTERVAL * 3, LIMIT)?;
        let mut newer = Newer::join(lab)?;
        newer.say_all();
        newer.report();
        let (mut missing, is_over) = (Vec::new(), AtomicBool::new(false));
        // the link ends if nobody answers for 2 s, and programs that are asked may take longer
        let (all, ended) = thread::scope(|scope| {
            let speaks = scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) && newer.speaker.ended.is_none() {
                    newer.speaker.listen(LOOK);
                    newer.answer();
                }
                format!("{:?}", newer.speaker.ended)
            });
            let all = poll(LIMIT, LOOK, || {
                missing = unsaid(&router).unwrap_or(vec!["its status"]);
                missing.is_empty()
            });
            is_over.store(true, Ordering::Relaxed);
            (all, speaks.join().unwrap_or_default())
        });
        if all && ended == "None" {
            return Ok(());
        }
        let status = Spared(&router).sparectl(&["status", "-v"])?.stdout;
        let status = String::from_utf8_lossy(&status);
        Err(format!("ended {ended}, not said: {missing:?}\n{status}").into())
    });
}
