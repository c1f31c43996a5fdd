// SPDX-License-Identifier: MIT OR Apache-2.0
//! Order, hooks, flaps and what takes too long.

use std::thread;
use std::time::Instant;

use spared_tests::lab::scenario;

use super::*;

const NAMES: [&str; 3] = ["first", "second", "third"];

/// Writes who it is called for; argument 1 is the folder of logs.
const HOOK: &str = r#"cd "$(dirname "$0")/../.." || exit 9
env | grep ^SPARED_ | grep -v WHY | sort | tr '\n' ' ' >"$SPARED_NODE/environment"
echo "$(date +%s%N) hook $(basename "$0"):$(echo "$*" | tr ' ' ':')" >>"$SPARED_NODE/log"
"#;

#[test]
fn services_follow_the_role_in_order_and_hooks_come_last() {
    scenario(2, |lab| {
        let folder = prepare(lab)?;
        install(&folder, "hooks/active.d/20-last", HOOK)?;
        install(&folder, "hooks/active.d/10-first", HOOK)?;
        install(&folder, "hooks/backup.d/10-first", HOOK)?;
        let foreign = install(&folder, "hooks/active.d/15-foreign", HOOK)?;
        fs::set_permissions(&foreign, fs::Permissions::from_mode(0o757))?;
        let tables = NAMES.map(|name| service(&folder, name, "timeout = \"1500ms\""));
        let toml = head(&folder) + &tables.concat();
        for (name, site) in NAMES.iter().flat_map(|name| [(name, "r1"), (name, "r2")]) {
            let slow = folder.join(site).join(format!("{name}.start-slow"));
            fs::write(slow, "0.1")?;
        }
        let services = Services::start(lab, &folder, toml.clone())?;
        let active = services.at()?;
        services.wait_at(active, &NAMES)?;
        a_switchover_is_in_order(&services)?;
        hooks_are_told_and_checked(&services, &toml)?;
        a_stop_that_hangs_holds_up_nobody(&services)?;
        ten_flaps_end_as_the_last_of_them(&services)
    });
}

fn a_switchover_is_in_order(services: &Services<'_>) -> Result<()> {
    hooks_have_ended(services)?;
    let seen = [0, 1].map(|site| services.notes(site).len());
    let new = services.switch()?;
    let old = 1 - new;
    services.wait_at(new, &NAMES)?;
    let ended = |site: usize, hooks: usize| {
        let told = services.told_since(site, seen[site]);
        told.iter().filter(|it| it.starts_with("hook ")).count() == hooks
    };
    services.wait("hooks had their turn", |_| ended(new, 2) && ended(old, 1))?;
    let wanted = [
        "third stop",
        "third stop-ended",
        "second stop",
        "second stop-ended",
        "first stop",
        "first stop-ended",
        "hook 10-first:office:backup:active",
    ];
    assert_eq!(services.told_since(old, seen[old]), wanted);
    let wanted = [
        "first start",
        "first start-ended",
        "second start",
        "second start-ended",
        "third start",
        "third start-ended",
        "hook 10-first:office:active:backup",
        "hook 20-last:office:active:backup",
    ];
    assert_eq!(services.told_since(new, seen[new]), wanted);
    for (site, summary) in [(new, "3 of 3 running"), (old, "3 of 3 stopped")] {
        let (_, text) = services.pair.said(site, &["status"])?;
        assert!(text.contains(summary), "r{}: {text}", site + 1);
        assert_eq!(services.number(site, "first.failures"), 0);
    }
    assert_eq!(services.text(new, "first.status"), "running");
    assert_eq!(services.text(old, "first.status"), "stopped");
    Ok(())
}

fn hooks_are_told_and_checked(services: &Services<'_>, toml: &str) -> Result<()> {
    let active = services.at()?;
    let told = fs::read_to_string(services.path(active, "environment"))?;
    let node = format!("r{}", active + 1);
    assert_eq!(
        told.trim(),
        format!(
            "SPARED_GROUP=office SPARED_MAINTENANCE=no SPARED_NODE={node} \
             SPARED_PREVIOUS=backup SPARED_ROLE=active"
        )
    );
    let foreign = services.folder.join("hooks/active.d/15-foreign");
    let refused = format!(
        "hook refused: {} can be written by users other than root",
        foreign.display()
    );
    let events = services.events(active);
    assert!(events.contains(&refused), "{events}");

    // keepalived's order of arguments
    for site in [0, 1] {
        let text = format!("notify = \"keepalived\"\n{toml}");
        Spared(&services.pair.routers[site]).write_plugin("service", &text)?;
        services.pair.done(site, &["reload"])?;
    }
    let seen = [0, 1].map(|site| services.notes(site).len());
    let new = services.switch()?;
    services.wait_at(new, &NAMES)?;
    for (site, wanted) in [
        (new, "hook 20-last:GROUP:office:MASTER:0"),
        (1 - new, "hook 10-first:GROUP:office:BACKUP:0"),
    ] {
        services.wait(wanted, |it| {
            let told = it.told_since(site, seen[site]);
            told.last().is_some_and(|last| last == wanted)
        })?;
    }
    Ok(())
}

fn a_stop_that_hangs_holds_up_nobody(services: &Services<'_>) -> Result<()> {
    let old = services.at()?;
    services.set(old, "second.stop-hangs", "")?;
    let begun = Instant::now();
    let new = services.switch()?;
    services.wait("all at the other", |it| {
        NAMES.iter().all(|name| it.runs(new, name))
    })?;
    let elapsed = begun.elapsed();
    services.wait("stopped but for one", |it| {
        !it.runs(old, "first") && !it.runs(old, "third")
    })?;
    assert!(services.runs(old, "second"));
    services.wait("told", |it| !it.text(old, "second.fault").is_empty())?;
    let fault = services.text(old, "second.fault");
    assert!(
        fault.contains("1.5s") || fault.contains("1500ms"),
        "{fault}"
    );
    assert_eq!(services.pair.role(old), "backup");
    println!("with a stop that hangs: {elapsed:?}");
    services.unset(old, "second.stop-hangs")?;
    services.pair.done(old, &["service", "retry", "second"])?;
    services.wait_at(new, &NAMES)
}

fn ten_flaps_end_as_the_last_of_them(services: &Services<'_>) -> Result<()> {
    let active = services.at()?;
    services.pair.wait_settled()?;
    let seen = [0, 1].map(|site| services.notes(site).len());
    let changes = || -> u64 {
        (0..2)
            .map(|site| services.pair.group(site).transitions)
            .sum()
    };
    let before = changes();
    // each command waits for its effect, and the next one does not; a node that is not through with
    // leaving declines, so that what comes of ten depends on how busy the machine is
    thread::scope(|scope| {
        for flap in 0..10u32 {
            let role = ["backup", "active"][flap as usize % 2];
            let force = || {
                services
                    .pair
                    .said(active, &["force", role, "--anyway"])
                    .map(drop)
            };
            scope.spawn(force);
            thread::sleep(Duration::from_millis(300));
        }
    });
    let flaps = changes() - before;
    println!("{flaps} changes of role");
    assert!(flaps >= 4, "only {flaps} changes of role");
    services.pair.done(active, &["force", "reset"])?;
    services.pair.wait_settled()?;
    let active = services.at()?;
    services.wait_at(active, &NAMES)?;
    for site in [0, 1] {
        let notes: Vec<Note> = services.notes(site).into_iter().skip(seen[site]).collect();
        one_at_a_time(&notes);
        let starts = notes.iter().filter(|note| note.what == "start").count();
        assert!(starts <= 10 * NAMES.len(), "{starts} starts for ten flaps");
    }
    hooks_have_ended(services)?;
    // and it stays so
    let seen = [0, 1].map(|site| services.notes(site).len());
    thread::sleep(Duration::from_millis(1200));
    for site in [0, 1] {
        assert_eq!(services.told_since(site, seen[site]), [] as [String; 0]);
    }
    Ok(())
}

/// Waits for the hooks of the present roles. A role that is back before the other was told is not told again, and may
/// have had its services stopped and started meanwhile.
fn hooks_have_ended(services: &Services<'_>) -> Result<()> {
    services.wait("hooks had their turn", |it| {
        let last = |site| {
            let mut told = it.told_since(site, 0).into_iter();
            told.rfind(|it| it.starts_with("hook ")).unwrap_or_default()
        };
        it.at().is_ok_and(|at| {
            last(at).starts_with("hook 20-last") && last(1 - at).starts_with("hook 10-first")
        })
    })
}

/// No command of a service begins before another of the same has ended.
fn one_at_a_time(notes: &[Note]) {
    for name in NAMES {
        let mut open = None;
        for note in notes.iter().filter(|note| note.name == name) {
            match note.what.strip_suffix("-ended") {
                Some(what) => {
                    assert_eq!(open.take().as_deref(), Some(what), "{name}: {notes:?}");
                }
                None => {
                    let other = open.replace(note.what.clone());
                    assert_eq!(other, None, "{name}: {notes:?}");
                }
            }
        }
    }
}
