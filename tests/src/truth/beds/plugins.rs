// SPDX-License-Identifier: MIT OR Apache-2.0
//! Faults of plugins, and of the things that they watch.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use rustix::process::Signal;
use spared_verdict::Word;

use super::plain::{SET, service_toml};
use crate::Result;
use crate::clock::poll;
use crate::lab::{build_dir, signal_to};
use crate::router::{Files, install_other_build};
use crate::truth::{Bed, Found::*, On, State};

const NO_SET: &str = "delete set inet filter bans";
/// A set that no plugin can replicate.
const FIXED: &str = "table inet filter {\n set fixed { type ipv4_addr; flags constant; elements = { 192.0.2.9 }; }\n}\n";
const FIXED_TOO: &str = "\n[[set]]\nfamily = \"inet\"\ntable = \"filter\"\nname = \"fixed\"\n";
const STEP: Duration = Duration::from_millis(20);

pub(super) const STATES: &[State] = &[
    State::warns(
        "a check of weight 0 fails",
        On::Either,
        &[Struck("SP-0401")],
        |bed, at| bed.tell(at, &["messenger", "check", "bad"]),
        |bed, at| bed.tell(at, &["messenger", "check", "good"]),
    )
    .reads("can take over; see the findings below."),
    State::warns(
        "another build of a plugin is installed than runs",
        On::Either,
        &[Struck("SP-0894")],
        |bed, at| {
            let library = bed.pair.routers[at].dir.join("plugins/sets.so");
            bed.put_aside(library.clone())?;
            install_other_build(&library)
        },
        |bed, _| bed.restore(),
    ),
    State::warns(
        "a health check fails",
        On::Either,
        &[Struck("SP-0401")],
        |bed, at| bed.put(at, "check-fails"),
        |bed, at| bed.take(at, "check-fails"),
    ),
    State::warns(
        "a health check hangs",
        On::Either,
        &[Struck("SP-0401")],
        |bed, at| bed.put(at, "check-hangs"),
        |bed, at| bed.take(at, "check-hangs"),
    )
    .slow(),
    State::warns(
        "a service ended and cannot be started",
        On::Active,
        &[Struck("SP-0401")],
        |bed, at| {
            bed.put(at, "web-start-fails")?;
            bed.take(at, "web-up")
        },
        |bed, at| {
            bed.take(at, "web-start-fails")?;
            bed.tell(at, &["service", "retry"])
        },
    ),
    State::warns(
        "a service ends as often as it is started",
        On::Active,
        &[Struck("SP-0401")],
        |bed, at| {
            bed.put(at, "web-vanishes")?;
            bed.take(at, "web-up")
        },
        |bed, at| {
            bed.take(at, "web-vanishes")?;
            bed.tell(at, &["service", "retry"])
        },
    ),
    State::warns(
        "a service cannot be stopped",
        On::Backup,
        &[Struck("SP-0401")],
        |bed, at| {
            bed.put(at, "web-stop-fails")?;
            bed.put(at, "web-up")
        },
        |bed, at| {
            bed.take(at, "web-stop-fails")?;
            bed.tell(at, &["service", "retry"])
        },
    ),
    State::warns(
        "a service hangs while it is started",
        On::Active,
        &[Struck("SP-0401")],
        |bed, at| {
            bed.put(at, "mail-start-hangs")?;
            bed.take(at, "mail-up")
        },
        |bed, at| {
            bed.take(at, "mail-start-hangs")?;
            bed.tell(at, &["service", "retry"])
        },
    )
    .slow(),
    State::warns(
        "a service would not start",
        On::Either,
        &[Struck("SP-0401")],
        |bed, at| bed.put(at, "web-test-fails"),
        |bed, at| bed.take(at, "web-test-fails"),
    ),
    State::warns(
        "a hook of another role would be refused",
        On::Backup,
        &[Struck("SP-0401")],
        |bed, at| {
            let folder = bed.own(at).join("hooks/active.d");
            fs::create_dir_all(&folder)?;
            fs::write(folder.join("mail"), "#!/bin/sh\n")?;
            let all = fs::Permissions::from_mode(0o777);
            Ok(fs::set_permissions(folder.join("mail"), all)?)
        },
        |bed, at| Ok(fs::remove_dir_all(bed.own(at).join("hooks"))?),
    ),
    State::warns(
        "rules of the active node would not load",
        On::Backup,
        &[Struck("SP-0401")],
        |bed, at| {
            let file = |site: usize| bed.own(site).join("active.nft");
            let toml = service_toml(&bed.folder);
            let rules = format!(
                "[[nftables]]\nwhile_active = {{ r1 = {:?}, r2 = {:?} }}\n",
                file(0).display().to_string(),
                file(1).display().to_string()
            );
            fs::write(file(1 - at), "table inet extra {}\n")?;
            fs::write(file(at), "table inet extra {\n")?;
            (0..2).try_for_each(|site| bed.reload_with(site, "service", &format!("{toml}{rules}")))
        },
        |bed, _| {
            bed.restore()?;
            (0..2).try_for_each(|site| bed.tell(site, &["reload"]))
        },
    )
    .slow(),
    State::warns(
        "a service left the file while it runs",
        On::Both,
        &[R1("SP-0401")],
        |bed, _| {
            let toml = service_toml(&bed.folder);
            let first = toml.find("[[service]]").ok_or("no service")?;
            let mail = toml.rfind("[[service]]").ok_or("no service")?;
            let toml = format!("{}{}", &toml[..first], &toml[mail..]);
            (0..2).try_for_each(|site| bed.reload_with(site, "service", &toml))
        },
        |bed, _| {
            bed.restore()?;
            (0..2).try_for_each(|site| bed.tell(site, &["reload"]))
        },
    ),
    State::warns(
        "a plugin is not in sync",
        On::Either,
        &[Struck("SP-0304")],
        |bed, at| bed.tell(at, &["messenger", "in-sync", "no"]),
        |bed, at| bed.tell(at, &["messenger", "in-sync", "yes"]),
    ),
    State::warns(
        "a set is gone",
        On::Backup,
        &[Struck("SP-0304")],
        |bed, at| bed.nft(at, NO_SET),
        |bed, at| bed.nft(at, SET),
    )
    .reads("r1 is active, r2 is not ready: sets is not yet in sync"),
    State::warns(
        "a set is gone",
        On::Active,
        &[Struck("SP-0401")],
        |bed, at| bed.nft(at, NO_SET),
        |bed, at| bed.nft(at, SET),
    ),
    State::warns(
        "a plugin refuses its role",
        On::Either,
        &[Struck("SP-0306"), Own("SP-0602")],
        |bed, at| add(bed, at, "faulty", "faulty", "fault = \"refuse-role\"\n"),
        |bed, at| remove(bed, at, "faulty"),
    ),
    State::warns(
        "a plugin never ends its role",
        On::Either,
        &[Struck("SP-0306"), Own("SP-0602")],
        |bed, at| add(bed, at, "faulty", "faulty", "fault = \"never-done\"\n"),
        |bed, at| remove(bed, at, "faulty"),
    )
    .slow(),
    State::warns(
        "a callback of a plugin fails",
        On::Either,
        &[Struck("SP-0312"), Own("SP-0602")],
        |bed, at| add(bed, at, "hostile", "status-eio-in-timer", ""),
        |bed, at| remove(bed, at, "status-eio-in-timer"),
    ),
    State::warns(
        "a plugin refuses its new file",
        On::Either,
        &[Struck("SP-0310"), Own("SP-0602")],
        |bed, at| {
            bed.nft(at, FIXED)?;
            let file = bed.etc(at).join("plugins/sets.toml");
            let before = fs::read_to_string(&file)?;
            fs::write(&file, before + FIXED_TOO)?;
            match bed.tell(at, &["reload"]) {
                Ok(()) => Err("the reload succeeded".into()),
                Err(_) => Ok(()),
            }
        },
        |bed, at| {
            let file = bed.etc(at).join("plugins/sets.toml");
            let now = fs::read_to_string(&file)?;
            fs::write(&file, now.replacen(FIXED_TOO, "", 1))?;
            bed.tell(at, &["reload"])?;
            bed.nft(at, "delete set inet filter fixed")
        },
    ),
    State::is_fine(
        "a plugin is killed once and runs again",
        On::Either,
        |bed, at| {
            let old = bed.pair.process(at, "messenger");
            kill(bed, at)?;
            wait(|| {
                let new = bed.pair.process(at, "messenger");
                new.is_some() && new != old
            })
        },
        |_, _| Ok(()),
    ),
    State::warns(
        "a plugin dies too often",
        On::Either,
        &[Struck("SP-0301")],
        |bed, at| {
            let is_failed = |bed: &Bed<'_>| {
                let plugins = bed.status(at).plugins;
                let mut messenger = plugins.iter().filter(|it| it.name == "messenger");
                messenger.any(|it| it.state == "failed")
            };
            let given_up = poll(Duration::from_secs(60), STEP, || {
                let _ = kill(bed, at);
                is_failed(bed)
            });
            if given_up {
                Ok(())
            } else {
                Err("it is started for ever".into())
            }
        },
        |bed, at| bed.tell(at, &["reload"]),
    )
    .slow(),
    State::new(
        "a plugin is stopped in its tracks",
        On::Either,
        Word::Ok,
        &[],
        |bed, at| {
            let old = bed.pair.process(at, "messenger").ok_or("no process")?;
            signal_to(old, Signal::STOP)?;
            wait(|| {
                let new = bed.pair.process(at, "messenger");
                new.is_some() && new != Some(old)
            })
        },
        |_, _| Ok(()),
    )
    .slow(),
];

/// Adds an example plugin, under a name, until it is removed.
fn add(bed: &mut Bed<'_>, at: usize, example: &str, name: &str, toml: &str) -> Result<()> {
    let dir = &bed.pair.routers[at].dir;
    let program = build_dir()?.join(format!("libspared_example_{example}.so"));
    let files = Files { dir };
    files.install_plugin(name, &program)?;
    files.write_plugin(name, toml)?;
    bed.tell(at, &["reload"])
}

fn remove(bed: &mut Bed<'_>, at: usize, name: &str) -> Result<()> {
    fs::remove_file(bed.etc(at).join(format!("plugins/{name}.toml")))?;
    bed.tell(at, &["reload"])
}

fn kill(bed: &Bed<'_>, at: usize) -> Result<()> {
    match bed.pair.process(at, "messenger") {
        Some(pid) => signal_to(pid, Signal::KILL),
        None => Ok(()),
    }
}

fn wait(done: impl FnMut() -> bool) -> Result<()> {
    if poll(Duration::from_secs(20), STEP, done) {
        Ok(())
    } else {
        Err("the plugin was not started again".into())
    }
}
