// SPDX-License-Identifier: MIT OR Apache-2.0
//! Interfaces, settings, rules, routes and files of a role.

use std::thread;

use spared_tests::lab::{Site, scenario};

use super::*;

#[test]
fn interfaces_settings_rules_routes_and_files_follow_the_role() {
    scenario(2, |lab| {
        let folder = prepare(lab)?;
        for site in &lab.sites {
            // dial0 is what only the active node may have up, dial2 leads to a switch that forgets
            // nothing
            site.ns.ip("link add dial0 type veth peer name dial1\n\
                 link add dial2 type veth peer name dial3\n\
                 link set dial1 up\nlink set dial2 up\nlink set dial3 up\nlink set dial0 up\n")?;
        }
        let services = Services::start(lab, &folder, toml(&folder)?)?;
        let (first, second) = (services.at()?, 1 - services.at()?);
        services.wait("as the roles want it", |it| {
            follows(it, first, "active") && follows(it, second, "backup")
        })?;
        on_the_backup_it_is_put_back(&services, second)?;
        let down = watch_bounce(&services, first)?;
        assert!(
            down >= Duration::from_millis(200),
            "it was down for {down:?}"
        );
        services.wait("as the new roles want it", |it| {
            follows(it, first, "backup") && follows(it, second, "active")
        })?;
        a_killed_worker_leaves_no_stranger(&services, first)
    });
}

fn toml(folder: &Path) -> Result<String> {
    let shown = |name: &str| format!("{:?}", folder.join(name).display().to_string());
    for role in ["active", "backup"] {
        let rules = format!(
            "table inet role\ndelete table inet role\n\
             table inet role {{\nchain {role} {{ type filter hook output priority 0; }}\n}}\n"
        );
        fs::write(folder.join(format!("{role}.nft")), rules)?;
        fs::write(folder.join(format!("resolv.{role}")), format!("# {role}\n"))?;
    }
    let copies = |node: &str| shown(&format!("{node}/resolv.conf"));
    Ok(head(folder)
        + &format!(
            "[[interface]]\nname = \"dial0\"\n\
             [[interface]]\nname = \"dial2\"\nwhile_backup = \"leave\"\nbounce = \"300ms\"\n\
             [[sysctl]]\nkey = \"net.ipv6.conf.dial1.accept_ra\"\n\
             while_active = \"0\"\nwhile_backup = \"2\"\n\
             [[nftables]]\nwhile_active = {}\nwhile_backup = {}\n\
             [[route]]\nwhile = \"backup\"\nto = \"198.51.100.0/24\"\nvia = \"10.1.0.2\"\n\
             interface = \"lan\"\nmetric = 500\n\
             [[file]]\npath = {{ r1 = {}, r2 = {} }}\nwhile_active = {}\nwhile_backup = {}\n",
            shown("active.nft"),
            shown("backup.nft"),
            copies("r1"),
            copies("r2"),
            shown("resolv.active"),
            shown("resolv.backup"),
        ))
}

fn is_up(site: &Site, interface: &str) -> bool {
    let text = site.ns.shell(&format!("ip -o link show {interface}"));
    text.is_ok_and(|text| text.contains(",UP"))
}

fn route(site: &Site) -> String {
    let text = site.ns.shell("ip route show 198.51.100.0/24");
    text.unwrap_or_default().trim().to_owned()
}

fn setting(site: &Site) -> String {
    let path = "/proc/sys/net/ipv6/conf/dial1/accept_ra";
    let read = || -> Result<String> { Ok(fs::read_to_string(path)?) };
    site.ns.run(read).unwrap_or_default().trim().to_owned()
}

/// Returns true if everything at a node is as a role wants it.
fn follows(services: &Services<'_>, at: usize, role: &str) -> bool {
    let site = &services.pair.lab.sites[at];
    let active = role == "active";
    let copied = fs::read_to_string(services.path(at, "resolv.conf")).unwrap_or_default();
    let rules = site
        .ns
        .shell("nft list table inet role")
        .unwrap_or_default();
    let there = "198.51.100.0/24 via 10.1.0.2 dev lan proto 214 metric 500";
    is_up(site, "dial0") == active
        && is_up(site, "dial2")
        && setting(site) == if active { "0" } else { "2" }
        && route(site) == if active { "" } else { there }
        && copied == format!("# {role}\n")
        && rules.contains(&format!("chain {role}"))
}

fn on_the_backup_it_is_put_back(services: &Services<'_>, backup: usize) -> Result<()> {
    let site = &services.pair.lab.sites[backup];
    site.ns.ip("link set dial0 up\n")?;
    site.ns.shell("ip route del 198.51.100.0/24")?;
    site.ns.set(&[("net/ipv6/conf/dial1/accept_ra", "1")])?;
    services.wait("put back", |it| follows(it, backup, "backup"))
}

/// Has the node give way, and returns for how long an interface of it is down then.
fn watch_bounce(services: &Services<'_>, old: usize) -> Result<Duration> {
    let site = &services.pair.lab.sites[old];
    let over = std::sync::atomic::AtomicBool::new(false);
    thread::scope(|scope| {
        let watching = scope.spawn(|| {
            let mut down = None;
            while !over.load(std::sync::atomic::Ordering::Relaxed) {
                match (is_up(site, "dial2"), down) {
                    (false, None) => down = Some(std::time::Instant::now()),
                    (true, Some(since)) => return since.elapsed(),
                    _ => thread::sleep(Duration::from_millis(5)),
                }
            }
            Duration::ZERO
        });
        let switched = services.switch();
        poll(LIMIT, STEP, || watching.is_finished());
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        switched?;
        watching.join().map_err(|_| "the watcher died".into())
    })
}

/// A route of a worker that is gone, and that no configuration names, goes when the next one starts.
fn a_killed_worker_leaves_no_stranger(services: &Services<'_>, backup: usize) -> Result<()> {
    let site = &services.pair.lab.sites[backup];
    site.ns
        .shell("ip route add 203.0.113.0/24 via 10.1.0.2 proto 214")?;
    signal_to(services.worker(backup)?, Signal::KILL)?;
    services.wait("without the stranger", |it| {
        let text = site.ns.shell("ip route show proto 214").unwrap_or_default();
        !text.contains("203.0.113.0/24") && follows(it, backup, "backup")
    })
}
