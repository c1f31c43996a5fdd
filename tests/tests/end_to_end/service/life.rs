// SPDX-License-Identifier: MIT OR Apache-2.0
//! Services stay as asserted through deaths, strangers, failures, maintenance, and the end of the plugin itself.

use std::thread;

use spared_tests::lab::scenario;

use super::*;

const NAMES: [&str; 2] = ["web", "keeper"];

#[test]
fn services_stay_as_the_role_wants_them_whatever_befalls_them() {
    scenario(2, |lab| {
        let folder = prepare(lab)?;
        let toml = head(&folder)
            + &service(&folder, "web", "needed = true\ntimeout = \"2s\"")
            + &service(&folder, "keeper", "")
            + "[maintenance]\nkeep = [\"keeper\"]\n";
        let mut services = Services::start(lab, &folder, toml)?;
        let active = services.at()?;
        services.wait_at(active, &NAMES)?;
        the_dead_are_started_and_strangers_stopped(&services)?;
        a_worker_that_dies_changes_nothing(&services)?;
        a_start_that_fails_makes_the_node_less_fit(&services)?;
        maintenance_keeps_what_it_names(&services)?;
        a_node_that_died_gives_up_what_its_peer_took_over(&mut services)
    });
}

fn the_dead_are_started_and_strangers_stopped(services: &Services<'_>) -> Result<()> {
    let active = services.at()?;
    let backup = 1 - active;
    let killed = services.pid(active, "keeper");
    services.kill(active, "keeper")?;
    services.wait("started again", |it| {
        let pid = it.pid(active, "keeper");
        pid.is_some() && pid != killed
    })?;
    services.wait("told", |it| it.events(active).contains("keeper ended"))?;

    // by hand, on the backup
    let script = services.folder.join("serve").display().to_string();
    let node = format!("r{}", backup + 1);
    let line = format!("{script} {node} web start");
    services.pair.lab.sites[backup].ns.shell(&line)?;
    services.wait("stopped again", |it| {
        it.number(backup, "web.started_by_others") == 1 && !it.runs(backup, "web")
    })?;
    let wanted = "web was started by another program while backup: stopped again";
    services.wait(wanted, |it| it.events(backup).contains(wanted))?;
    services.wait("at peace", |it| it.text(backup, "web.status") == "stopped")?;
    services.wait("at peace", |it| it.text(active, "web.status") == "running")
}

fn a_worker_that_dies_changes_nothing(services: &Services<'_>) -> Result<()> {
    let active = services.at()?;
    let backup = 1 - active;
    let seen = [0, 1].map(|site| services.notes(site).len());
    let pid = services.pid(active, "web");
    for site in [active, backup] {
        let worker = services.worker(site)?;
        // what happens meanwhile is made good
        signal_to(worker, Signal::KILL)?;
        services.wait("another worker", |it| {
            it.worker(site).is_ok_and(|other| other != worker)
        })?;
        let word = if site == active { "running" } else { "stopped" };
        services.wait("an observed service", |it| {
            it.text(site, "web.status") == word
        })?;
    }
    assert_eq!(services.pid(active, "web"), pid);
    for site in [0, 1] {
        assert_eq!(services.told_since(site, seen[site]), [] as [String; 0]);
    }
    Ok(())
}

fn quality(services: &Services<'_>, site: usize) -> u8 {
    services.pair.group(site).quality
}

fn a_start_that_fails_makes_the_node_less_fit(services: &Services<'_>) -> Result<()> {
    let active = services.at()?;
    let backup = 1 - active;
    // it fails on both, or the other would take over at once
    for site in [active, backup] {
        services.set(site, "web.start-fails", "")?;
    }
    services.kill(active, "web")?;
    services.wait("less fit", |it| {
        quality(it, active) < 100 || it.pair.role(backup) == "active"
    })?;
    services.wait("told", |it| {
        let failed = |site| it.text(site, "web.fault").contains("no luck today");
        failed(active) || failed(backup)
    })?;
    for site in [active, backup] {
        services.unset(site, "web.start-fails")?;
    }
    services.wait("well again", |it| {
        it.at()
            .is_ok_and(|at| it.runs(at, "web") && quality(it, at) == 100)
    })?;
    services.pair.wait_settled()
}

fn maintenance_keeps_what_it_names(services: &Services<'_>) -> Result<()> {
    let old = services.at()?;
    let new = 1 - old;
    let kept = services.pid(old, "keeper");
    services.pair.done(old, &["maintenance", "on"])?;
    services.pair.wait_active(new)?;
    services.wait("taken over", |it| {
        NAMES.iter().all(|name| it.runs(new, name)) && !it.runs(old, "web")
    })?;
    thread::sleep(Duration::from_millis(1200));
    assert_eq!(
        services.pid(old, "keeper"),
        kept,
        "it goes on in maintenance"
    );
    services.pair.done(old, &["maintenance", "off"])?;
    services.wait_at(new, &NAMES)?;
    services.pair.wait_settled()
}

fn a_node_that_died_gives_up_what_its_peer_took_over(services: &mut Services<'_>) -> Result<()> {
    let old = services.at()?;
    let new = 1 - old;
    services.pair.routers[old].kill();
    services.wait("taken over", |it| {
        it.pair.role(new) == "active" && NAMES.iter().all(|name| it.runs(new, name))
    })?;
    assert!(services.runs(old, "web"), "nobody was left to stop it");
    services.pair.restart(old)?;
    services.wait_at(new, &NAMES)
}
