// SPDX-License-Identifier: MIT OR Apache-2.0
//! A malicious peer that holds the pair's own key, and wants files where they do not belong: nothing outside the
//! configured paths is touched, nothing is run but what this node's own file says, and the plugin lives on.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use spared_sdk::config::Config;
use spared_tests::Result;
use spared_tests::clock::poll;
use spared_tests::lab::{Lab, Wire, scenario};
use spared_tests::router::{Kind as Daemon, Router};
use spared_tree::{Access, Entry, Hash, Kind, Manifest};

use crate::files::{FW, TREE, own, plan, rule};
use crate::timed::hostile_peer::speaker::{Channel, Speaker};

const LIMIT: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(30);
const PIECE: usize = 48 << 10;

type Report = std::result::Result<Vec<String>, String>;

/// The peer's half of the plugin.
struct Liar {
    speaker: Speaker,
    channel: Channel,
    ticket: u64,
    contents: BTreeMap<[u8; 32], Vec<u8>>,
}

impl Liar {
    fn meet(lab: &Lab) -> Result<Self> {
        let mut speaker = Speaker::greeted(lab)?;
        let theirs = speaker.channels.get("files").cloned();
        let theirs = theirs.ok_or("r1 offers no channel of files")?;
        speaker.offer(0, b"files", (theirs.wire, theirs.wire));
        let number = 0;
        let channel = Channel { number, ..theirs };
        let mut liar = Self {
            speaker,
            channel,
            ticket: 0,
            contents: BTreeMap::new(),
        };
        liar.speaker.listen(LOOK);
        let scope = {
            let config = Config::parse(TREE, "r2", &[])?;
            let settings = spared_tree::config::read(&config).ok_or("the tree")?;
            settings.trees[0].scope()
        };
        let (base, changes) = (None::<Hash>, None::<u32>);
        let digest: std::result::Result<Hash, String> = Ok(Hash::of(b"a lie"));
        let names = Vec::<String>::new();
        let state = ("firewall", scope, digest, base, changes, names, None::<u32>);
        liar.say(&(0u32, state));
        Ok(liar)
    }

    /// A message: the number of its variant, and its fields.
    fn say<M: Serialize>(&mut self, message: &M) {
        let bytes = postcard::to_stdvec(message).unwrap_or_default();
        self.speaker.message(&self.channel, &bytes);
    }

    /// Has a list of files offered, and gives what r1 asks for; what r1 reports.
    fn offer(&mut self, list: &[u8]) -> Result<Report> {
        self.ticket += 1;
        let ticket = self.ticket;
        let how = (false, true, false, 0u32, false);
        self.speaker.samples.clear();
        self.say(&(5u32, ticket, "firewall", how, None::<Hash>));
        let mut report = None;
        poll(LIMIT, LOOK, || {
            self.speaker.listen(LOOK);
            for message in std::mem::take(&mut self.speaker.samples) {
                report = self.handle(list, &message).or(report.take());
            }
            report.is_some() || self.speaker.ended.is_some()
        });
        report.ok_or_else(|| format!("no report: {:?}", self.speaker.ended).into())
    }

    fn handle(&mut self, list: &[u8], message: &[u8]) -> Option<Report> {
        if let Ok((1u32, ticket, "firewall")) = postcard::from_bytes::<(u32, u64, &str)>(message) {
            self.give(ticket, list);
        }
        if let Ok((2u32, ticket, hash)) = postcard::from_bytes::<(u32, u64, [u8; 32])>(message) {
            let content = self.contents.get(&hash).cloned().unwrap_or_default();
            self.give(ticket, &content);
        }
        match postcard::from_bytes::<(u32, u64, Report)>(message) {
            Ok((6, ticket, report)) if ticket == self.ticket => Some(report),
            _ => None,
        }
    }

    fn give(&mut self, ticket: u64, bytes: &[u8]) {
        let count = bytes.chunks(PIECE).count().max(1);
        for at in 0..count {
            let piece = bytes.chunks(PIECE).nth(at).unwrap_or_default();
            self.say(&(3u32, ticket, piece, at + 1 == count));
            // r1 gives credit for 1 MB
            if at % 12 == 11 {
                self.speaker.listen(LOOK * 5);
            }
        }
    }
}

fn entry(path: &str, kind: Kind) -> Entry {
    let mode = match kind {
        Kind::Folder => 0o755,
        Kind::File { .. } | Kind::Link { .. } => 0o644,
    };
    Entry {
        path: path.to_owned(),
        kind,
        access: Access {
            mode,
            owner: "root".to_owned(),
            group: "root".to_owned(),
            xattrs: Vec::new(),
        },
        modified: (0, 0),
    }
}

fn file(path: &str, content: &str) -> Entry {
    let (size, hash) = (content.len() as u64, Hash::of(content.as_bytes()));
    entry(path, Kind::File { size, hash })
}

fn link(path: &str, target: &str) -> Entry {
    let target = target.to_owned();
    entry(path, Kind::Link { target })
}

/// A list with the tree as it should be and these entries.
fn list(more: Vec<Entry>) -> Vec<u8> {
    let mut entries = vec![file("/mnt/fw.conf", FW), entry("/mnt/fw.d", Kind::Folder)];
    entries.extend(more);
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    Manifest { entries }.encode()
}

fn with(change: impl FnOnce(&mut Entry)) -> Vec<u8> {
    let mut evil = file("/mnt/fw.d/evil.nft", "evil");
    change(&mut evil);
    list(vec![evil])
}

/// Lists that a hostile peer offers, each with a part of the reason of the refusal.
fn lies() -> Vec<(Vec<u8>, &'static str)> {
    let secret = |path: &str| list(vec![file(path, "evil")]);
    let below_link = vec![
        link("/mnt/fw.d/out", "/mnt/outside"),
        file("/mnt/fw.d/out/secret", "evil"),
    ];
    let none = ("", 0u32, 0u32, "", "", Vec::<u8>::new(), (0i64, 0u32));
    let million = vec![none; 1_000_000];
    let device = vec![("/mnt/fw.d/disk", 3u32, 0o600u32, "root", "root")];
    let long = format!("/mnt/fw.d/{}", "n".repeat(256));
    let longer = format!("/mnt/fw.d/{}", "n".repeat(4096));
    let deep = format!("/mnt/fw.d{}", "/d".repeat(2100));
    vec![
        (secret("/mnt/fw.d/../outside/secret"), "\"..\" in its path"),
        (secret("/mnt/outside/secret"), "is not below the paths"),
        (secret("/etc/cron.d/evil"), "is not below the paths"),
        (secret("/mnt/fw.d/this.local"), "is excluded"),
        (secret("/mnt/fw.d/.x.spared"), "is reserved"),
        (secret("mnt/fw.d/x"), "is not an absolute path"),
        (list(below_link), "is below something that is no folder"),
        (
            secret("/mnt/fw.d/no/x"),
            "is in a folder that is not listed",
        ),
        (secret(&long), "name of more than 255 bytes"),
        (secret(&longer), "bytes long, allowed 4095"),
        (secret(&deep), "bytes long, allowed 4095"),
        (with(|it| it.access.mode = 0o4755), "set-user-id"),
        (with(|it| it.access.mode = 0o060_600), "mode"),
        (
            with(|it| it.access.owner = "no-such-user".to_owned()),
            "there is no user",
        ),
        (
            with(|it| it.access.owner = "root\n/".to_owned()),
            "belongs to",
        ),
        (
            with(|it| it.access.xattrs = vec![("security.capability".to_owned(), vec![1; 20])]),
            "has the attribute",
        ),
        (
            with(|it| it.access.xattrs = vec![("user.x".to_owned(), Vec::new()); 60_000]),
            "malformed",
        ),
        (
            with(|it| {
                let (size, hash) = (u64::MAX, Hash::of(b"evil"));
                it.kind = Kind::File { size, hash };
            }),
            "bytes, allowed",
        ),
        // shorter and longer than announced, and another content
        (
            with(|it| {
                let (size, hash) = (3, Hash::of(b"evil"));
                it.kind = Kind::File { size, hash };
            }),
            "changed while it was sent",
        ),
        (
            with(|it| {
                let (size, hash) = (5, Hash::of(b"evil"));
                it.kind = Kind::File { size, hash };
            }),
            "changed while it was sent",
        ),
        (
            list(vec![file("/mnt/fw.d/evil.nft", "\0\0\0\0")]),
            "changed while it was sent",
        ),
        (
            postcard::to_stdvec(&million).unwrap_or_default(),
            "1000000 files, allowed",
        ),
        (
            postcard::to_stdvec(&device).unwrap_or_default(),
            "malformed",
        ),
        (vec![0xff; 17 << 20], "more than"),
        (b"\x03".to_vec(), "malformed"),
        // the own check of this node
        (secret("/mnt/fw.d/evil.nft"), "the check refused it"),
    ]
}

/// All that is there, by path: contents and targets of links.
fn look(folder: &Path, all: &mut BTreeMap<String, String>) {
    for it in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = it.path();
        let what = match fs::read_link(&path) {
            Ok(target) => format!("-> {}", target.display()),
            Err(_) => fs::read_to_string(&path).unwrap_or_default(),
        };
        if path.is_dir() && !path.is_symlink() {
            look(&path, all);
        }
        all.insert(path.display().to_string(), what);
    }
}

#[test]
fn whatever_a_peer_offers_only_the_files_of_the_tree_change() {
    scenario(2, |lab| {
        let mine = own(lab, 0);
        for folder in ["fw.d", "outside"] {
            fs::create_dir_all(mine.join(folder))?;
        }
        fs::write(mine.join("fw.conf"), FW)?;
        fs::write(mine.join("fw.d/10-web.nft"), rule(81))?;
        fs::write(mine.join("outside/secret"), "untouched")?;
        symlink("/mnt/outside", mine.join("fw.d/out"))?;
        let router = Router::start(lab, &lab.sites[0], Daemon::Spared, &plan(lab, "r1", TREE))?;
        let address = Wire::Hot.ipv4(12);
        lab.sites[1]
            .ns
            .ip(&format!("address add {address}/24 dev hot\n"))?;
        let mut liar = Err("not met".into());
        poll(LIMIT, LOOK * 10, || {
            liar = Liar::meet(lab);
            // both halves have begun
            liar.as_mut().is_ok_and(
                |it| !matches!(it.offer(&[]), Ok(Err(why)) if why.contains("files-root")),
            )
        });
        let mut liar: Liar = liar?;
        let present = || {
            let mut all = BTreeMap::new();
            look(&mine, &mut all);
            all
        };
        let before = present();
        let evil = Hash::of(b"evil").0;
        liar.contents.insert(evil, b"evil".to_vec());
        for (list, part) in lies() {
            let why = liar.offer(&list)?.err().unwrap_or_default();
            assert!(why.contains(part), "{part:?} is not in {why:?}");
            assert_eq!(present(), before, "{part}");
        }
        // what nobody asked for
        for number in 0..2000u64 {
            liar.say(&(2u32, number, [7u8; 32]));
            liar.say(&(8u32, number));
            liar.say(&(9u32, number));
            liar.say(&(7u32, number));
        }
        liar.speaker.listen(LOOK * 10);
        // and what it may: a script is a file like others, which nothing runs
        let script = "#!/bin/sh\ntouch /mnt/outside/executed\n";
        let good = rule(99);
        for content in [script, FW, &good] {
            let hash = Hash::of(content.as_bytes()).0;
            liar.contents.insert(hash, content.as_bytes().to_vec());
        }
        let mut run = file("/mnt/fw.d/run.sh", script);
        run.access.mode = 0o755;
        let report = liar.offer(&list(vec![run, file("/mnt/fw.d/10-web.nft", &good)]))?;
        assert!(report.is_ok(), "{report:?}");
        let after = present();
        let is = |name: &str| after.get(&mine.join(name).display().to_string()).cloned();
        assert_eq!(is("fw.d/10-web.nft"), Some(good));
        assert_eq!(is("outside/secret").as_deref(), Some("untouched"));
        assert_eq!((is("outside/executed"), is("fw.d/out")), (None, None));
        let log = router.log();
        assert!(!log.contains("plugin files died"), "{log}");
        Ok(())
    });
}
