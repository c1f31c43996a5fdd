// SPDX-License-Identifier: MIT OR Apache-2.0
//! Road warriors whose IKE sessions follow: no client notices that the router died, neither by DPD nor by a rekeying,
//! and each keeps its virtual address.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::time::Duration;

use spared_tests::Result;
use spared_tests::clock::poll;
use spared_tests::ipsec::{
    Charon, Family, OwnPings, PLUGINS, SECRET, Stats, Tunnelled, asking, services,
};
use spared_tests::lab::scenario;
use spared_tests::machine::{Machine, STEP};

const LIMIT: Duration = Duration::from_secs(30);
const SPACING: Duration = Duration::from_millis(20);
const CLIENTS: [&str; 4] = ["first", "second", "third", "fourth"];
/// Reqids of the SAs that the plugin installs. The kernel's own for a policy that leads to none has a greater one.
const OURS: std::ops::Range<u32> = 0x4000_0000..0x8000_0000;

/// Router's charon: its peer of the plugin `ha` is spared on the same node, and it assigns addresses by that.
fn settings() -> String {
    format!(
        "load = {PLUGINS} ha\n plugins {{\n ha {{\n\
           local = 127.0.0.1\n remote = 127.0.0.2\n segment_count = 1\n fifo_interface = yes\n monitor = no\n\
           resync = no\n pools {{\n pool = 10.3.0.0/24\n }}\n\
         }}\n }}\n"
    )
}

fn router() -> String {
    let (own, network) = (Family::V4.gateway(), Family::V4.lan_network());
    format!(
        "connections {{\n\
           road {{\n\
             version = 2\n mobike = no\n local_addrs = {own}\n remote_addrs = %any\n pools = pool\n\
             local {{\n auth = psk\n id = router\n }}\n\
             remote {{\n auth = psk\n }}\n\
             children {{\n road {{\n local_ts = {network}\n esp_proposals = aes128gcm16-esn\n }}\n}}\n\
           }}\n\
         }}\n\
         secrets {{\n ike-lab {{\n secret = \"{SECRET}\"\n }}\n}}\n"
    )
}

/// Clients in one machine, which soon find out if nobody answers.
fn clients() -> String {
    let (other, network) = (Family::V4.gateway(), Family::V4.lan_network());
    let client = |name: &str| {
        format!(
            "{name} {{\n\
               version = 2\n mobike = no\n remote_addrs = {other}\n vips = 0.0.0.0\n dpd_delay = 2s\n\
               local {{\n auth = psk\n id = {name}\n }}\n\
               remote {{\n auth = psk\n id = router\n }}\n\
               children {{\n {name} {{\n remote_ts = {network}\n esp_proposals = aes128gcm16-esn\n }}\n}}\n\
             }}\n"
        )
    };
    format!(
        "connections {{\n{}}}\nsecrets {{\n ike-lab {{\n secret = \"{SECRET}\"\n }}\n}}\n",
        CLIENTS.map(client).concat()
    )
}

fn start(tunnelled: &Tunnelled) -> Result<usize> {
    let [r1, r2] = &tunnelled.routers;
    for router in [r1, r2] {
        fs::write(router.dir.join("charon.conf"), settings())?;
    }
    let scripts = [
        Charon::service_with(r1, &router())?,
        Charon::service_with(r2, &router())?,
    ];
    let mut plan = asking();
    plan.plugins.push(services([&scripts[0], &scripts[1]]));
    tunnelled.start_spared(&plan)
}

/// IKE SAs of the clients, by connection: number, and both SPIs.
fn sessions(far: &Charon) -> Result<BTreeMap<String, String>> {
    let listed = far.list_sas()?;
    let lines = listed
        .lines()
        .filter(|it| it.contains("ESTABLISHED, IKEv2"));
    let named = lines.filter_map(|it| it.trim_end_matches('*').split_once(": "));
    Ok(named
        .map(|(name, rest)| (name.to_owned(), rest.replace('*', "")))
        .collect())
}

fn addresses(far: &Machine) -> Result<Vec<IpAddr>> {
    let text = far.ok("ip -4 -o addr show")?;
    let words = text.split_whitespace();
    let mut addresses: Vec<IpAddr> = words
        .filter(|it| it.starts_with("10.3.0."))
        .filter_map(|it| it.split('/').next()?.parse().ok())
        .collect();
    addresses.sort_unstable();
    Ok(addresses)
}

/// Calls until the router's charon is there.
fn call(far: &Charon, client: &str) {
    let called = poll(LIMIT, STEP, || far.initiate_child(client).is_ok());
    assert!(called, "the {client} client is not let in");
}

/// Waits until charon of a router has so many clients and their SAs.
fn wait_taken_over(tunnelled: &Tunnelled, router: usize, count: usize) -> Result<()> {
    let machine = &tunnelled.routers[router];
    let mut said = String::new();
    let all = || {
        let listed = Charon::of_service(machine).and_then(|it| it.list_sas());
        said = listed.unwrap_or_default();
        let sas = machine.sas().unwrap_or_default();
        said.matches("ESTABLISHED").count() == count
            && said.matches("INSTALLED").count() == count
            && !sas.iter().any(|sa| OURS.contains(&sa.reqid))
    };
    if poll(LIMIT, STEP, all) {
        return Ok(());
    }
    let rows = tunnelled.nodes()[router].done("ipsec").unwrap_or_default();
    let log = fs::read_to_string(machine.log_of("charon-ike")).unwrap_or_default();
    Err(format!("not {count} clients:\n{said}\n{rows}\n{log}").into())
}

/// Each client rekeys in its session, and asks whether the router lives.
fn rekey(far: &Charon, clients: &[&str]) -> Result<()> {
    for client in clients {
        far.swanctl(&format!("--rekey --child {client}"))?;
        far.swanctl(&format!("--rekey --ike {client}"))?;
        std::thread::sleep(Duration::from_millis(500));
    }
    let listed = far.list_sas()?;
    assert_eq!(
        listed.matches("INSTALLED").count(),
        clients.len(),
        "{listed}"
    );
    Ok(())
}

fn far_log(tunnelled: &Tunnelled) -> String {
    fs::read_to_string(tunnelled.far.log_of("charon-ike")).unwrap_or_default()
}

#[test]
fn no_client_notices_a_switchover_back_and_a_death() {
    scenario(0, |lab| {
        let tunnelled = Tunnelled::boot(lab)?;
        let first = start(&tunnelled)?;
        let second = 1 - first;
        let far = Charon::start_with(&tunnelled.far, &clients())?;
        for client in &CLIENTS[..3] {
            call(&far, client);
        }
        tunnelled.wait_followed(first, 6, 9)?;
        let mut before = sessions(&far)?;
        let assigned = addresses(&tunnelled.far)?;
        assert_eq!(
            (before.len(), assigned.len()),
            (3, 3),
            "{before:?} {assigned:?}"
        );
        let pings = OwnPings::start(&tunnelled.far, Family::V4.client(), SPACING)?;

        for router in [second, first, second] {
            tunnelled.switch_to(router)?;
            wait_taken_over(&tunnelled, router, 3)?;
            assert!(pings.wait_answers(100, LIMIT), "no answers");
            assert_eq!(sessions(&far)?, before, "{}", far_log(&tunnelled));
            rekey(&far, &CLIENTS[..3])?;
            before = sessions(&far)?;
            tunnelled.wait_followed(router, 6, 9)?;
        }
        tunnelled.routers[second].kill();
        tunnelled.nodes()[first].wait_role("active", LIMIT)?;
        wait_taken_over(&tunnelled, first, 3)?;
        assert!(pings.wait_answers(100, LIMIT), "no answers");
        assert_eq!(sessions(&far)?, before, "{}", far_log(&tunnelled));
        rekey(&far, &CLIENTS[..3])?;
        call(&far, "fourth");
        let all = addresses(&tunnelled.far)?;
        assert_eq!(all.len(), 4, "{all:?} {assigned:?}");
        assert!(
            assigned.iter().all(|it| all.contains(it)),
            "{all:?} {assigned:?}"
        );
        assert_eq!(tunnelled.far.xfrm_errors()?, Stats::new());
        Ok(())
    });
}
