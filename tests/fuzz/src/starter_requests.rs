//! Requests of the daemon to the starter, which is root: whoever speaks for a daemon that was broken into gets no
//! process that root has not enabled, and reaps and kills nobody else's.
//!
//! Input: records, each with its length in two bytes before it. No plugin is there, so nothing may start; the link and
//! the firewall, which anybody may have, are left out.

use std::cell::RefCell;

use spared_contract::codec::Message;
use spared_message::load::Asks;
use spared_message::starter::{Asked, Reaped, Request, Start};
use spared_process::starter::ProcessStarter;
use spared_supervisor::starter::{Files, Launcher};

use crate::folder::Folder;

// A starter for all inputs.
thread_local! {
    static STARTER: RefCell<(Launcher, Folder)> = RefCell::new(starter());
}

fn starter() -> (Launcher, Folder) {
    let folder = Folder::new("starter");
    let files = Files {
        config: folder.path().join("spared.toml"),
        plugin_dir: folder.path().to_owned(),
        state_dir: Some(folder.path().join("state")),
    };
    let mut launcher = Launcher::with_program("/bin/false".into(), files);
    launcher.configure("").expect("no file is an empty one");
    (launcher, folder)
}

pub fn run(input: &[u8]) {
    STARTER.with_borrow_mut(|(launcher, _)| {
        let mut rest = input;
        while let [high, low, tail @ ..] = rest {
            let length = usize::from(u16::from_be_bytes([*high, *low])).min(tail.len());
            let (record, after) = tail.split_at(length);
            rest = after;
            if let Ok(request) = Request::decode(record) {
                ask(launcher, request.what);
            }
        }
    });
}

fn ask(launcher: &mut Launcher, asked: Asked) {
    match asked {
        Asked::Configure { digest, .. } => {
            launcher
                .configure(&digest)
                .expect("the files are as they were");
        }
        Asked::Start(Start::Link | Start::Firewall) => {}
        Asked::Start(start) => {
            let started = launcher.start(&start);
            assert!(started.is_err(), "{start:?} has started something");
        }
        Asked::Kill(process) => launcher.kill(process),
        Asked::KillAndReap(process) => launcher.kill_and_reap(process),
        Asked::Reap(process) => assert_eq!(launcher.reap(process), Reaped::Unknown),
        // the process keeps files, not its launcher
        Asked::KeepFiles { .. } | Asked::EndTerm | Asked::ForgetFiles | Asked::Ping => {}
    }
}

/// Every request.
pub fn seeds() -> Vec<Vec<u8>> {
    let plugin = || "vrrp".to_owned();
    let asks = Asks {
        flags: u32::MAX,
        capabilities: u64::MAX,
        calls: 7,
        paths: vec!["+/etc".to_owned(), "/".to_owned()],
    };
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let check = |plugin: &str| Start::Check {
        plugin: plugin.to_owned(),
        memory: 1 << 30,
    };
    let worker = Start::Worker {
        plugin: plugin(),
        asks,
    };
    let requests = [
        Asked::Configure {
            version,
            digest: "00000000".to_owned(),
        },
        Asked::KeepFiles {
            digest: "00000000".to_owned(),
            term_s: 60,
        },
        Asked::ForgetFiles,
        Asked::EndTerm,
        Asked::Start(check("vrrp")),
        Asked::Start(check("../../../etc/passwd")),
        Asked::Start(worker),
        Asked::Kill(1),
        Asked::KillAndReap(1),
        Asked::Reap(1),
        Asked::Ping,
    ];
    let all = requests.into_iter().zip(1..).map(|(what, number)| {
        let request = Request { number, what };
        let record = request.encode().expect("a short message");
        let length = u16::try_from(record.len()).expect("a short message");
        [&length.to_be_bytes()[..], &record].concat()
    });
    let all: Vec<Vec<u8>> = all.collect();
    all.iter().cloned().chain([all.concat()]).collect()
}
