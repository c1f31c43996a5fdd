// SPDX-License-Identifier: MIT OR Apache-2.0
//! Virtual addresses of road warriors: with a half of the pool on each node no living client's address is given
//! away, neither in a failover nor by a charon that starts anew, and one pool on both nodes is named.

use std::net::IpAddr;
use std::time::Duration;

use spared_tests::Result;
use spared_tests::clock::poll;
use spared_tests::ipsec::{Charon, Family, OwnPings, SECRET, Tunnelled, asking, services};
use spared_tests::lab::scenario;
use spared_tests::machine::Machine;

const STEP: Duration = Duration::from_millis(100);
const LIMIT: Duration = Duration::from_secs(30);
const SPACING: Duration = Duration::from_millis(50);
const HALVES: [&str; 2] = ["10.3.0.0/25", "10.3.0.128/25"];
const CLIENTS: [&str; 4] = ["first", "second", "third", "fourth"];

/// A router that gives addresses of a pool to whoever calls.
fn router(pool: &str) -> String {
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
         pools {{\n pool {{\n addrs = {pool}\n }}\n}}\n\
         secrets {{\n ike-lab {{\n secret = \"{SECRET}\"\n }}\n}}\n"
    )
}

/// Road warriors in one machine.
fn clients() -> String {
    let (other, network) = (Family::V4.gateway(), Family::V4.lan_network());
    let client = |name: &str| {
        format!(
            "{name} {{\n\
               version = 2\n remote_addrs = {other}\n vips = 0.0.0.0\n\
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

/// Charons of the routers with these pools; which router is active.
fn start(tunnelled: &Tunnelled, pools: [&str; 2]) -> Result<usize> {
    let [r1, r2] = &tunnelled.routers;
    let scripts = [
        Charon::service_with(r1, &router(pools[0]))?,
        Charon::service_with(r2, &router(pools[1]))?,
    ];
    let mut plan = asking();
    plan.plugins.push(services([&scripts[0], &scripts[1]]));
    tunnelled.start_spared(&plan)
}

/// The virtual addresses of the machine with the clients.
fn virtual_addresses(far: &Machine) -> Result<Vec<IpAddr>> {
    let text = far.ok("ip -4 -o addr show")?;
    let words = text.split_whitespace();
    let addresses = words.filter_map(|word| word.split('/').next()?.parse().ok());
    Ok(addresses
        .filter(|ip: &IpAddr| ip.to_string().starts_with("10.3.0."))
        .collect())
}

/// Calls until the router's charon is there; the address that the client gets.
fn call(far: &Charon, client: &str) -> Result<IpAddr> {
    let before = virtual_addresses(far.machine)?;
    let called = poll(LIMIT, STEP, || far.initiate_child(client).is_ok());
    assert!(called, "the {client} client is not let in");
    let mut all = virtual_addresses(far.machine)?;
    all.retain(|ip| !before.contains(ip));
    match all[..] {
        [address] => Ok(address),
        // the machine has a second client's once
        [] => Err(format!("the {client} client gets one of {before:?}").into()),
        _ => Err(format!("the {client} client gets {all:?}").into()),
    }
}

/// Pings from this client's address, whose answers must come by this SA of the client's.
fn is_reached(far: &Machine, client: IpAddr, spi: u32) -> Result<bool> {
    let before = far.sa(spi)?.packets;
    let to = Family::V4.client();
    let reached = || far.run(&format!("ping -c 1 -W 1 -I {client} {to}"));
    let answered = poll(LIMIT, STEP, || reached().is_ok_and(|(code, _)| code == 0));
    Ok(answered && far.sa(spi)?.packets > before)
}

#[test]
fn a_charon_that_starts_anew_gives_no_living_clients_address() {
    scenario(0, |lab| {
        let tunnelled = Tunnelled::boot(lab)?;
        let active = start(&tunnelled, HALVES)?;
        let far = Charon::start_with(&tunnelled.far, &clients())?;
        let living = call(&far, "first")?;
        tunnelled.wait_followed(active, 2, 3)?;
        let to_far = Family::V4.far();
        let sas = tunnelled.far.sas()?;
        let inbound = sas.iter().find(|sa| sa.destination == Some(to_far));
        let spi = inbound.ok_or("the first client has no SA")?.spi;
        assert!(is_reached(&tunnelled.far, living, spi)?, "at first");

        tunnelled.switch_to(1 - active)?;
        call(&far, "second")?;
        tunnelled.wait_followed(1 - active, 4, 6)?;
        tunnelled.switch_to(active)?;
        call(&far, "third")?;
        assert!(
            is_reached(&tunnelled.far, living, spi)?,
            "after two switches"
        );

        tunnelled.wait_followed(active, 6, 9)?;
        tunnelled.routers[active].ok("kill -KILL $(pidof charon)")?;
        call(&far, "fourth")?;
        assert!(
            is_reached(&tunnelled.far, living, spi)?,
            "after charon died"
        );
        let trouble = tunnelled.nodes()[active].sparectl("status")?.1;
        assert!(!trouble.contains("pools"), "{trouble}");
        Ok(())
    });
}

#[test]
fn a_newcomer_gets_no_living_clients_address_where_each_node_gives_its_own_half() {
    scenario(0, |lab| {
        let tunnelled = Tunnelled::boot(lab)?;
        let active = start(&tunnelled, HALVES)?;
        let far = Charon::start_with(&tunnelled.far, &clients())?;
        far.initiate_child("first")?;
        tunnelled.wait_followed(active, 2, 3)?;
        let [living] = virtual_addresses(&tunnelled.far)?[..] else {
            return Err("no virtual address".into());
        };
        let pings = OwnPings::start(&tunnelled.far, Family::V4.client(), SPACING)?;

        tunnelled.routers[active].kill();
        let survivor = 1 - active;
        tunnelled.nodes()[survivor].wait_role("active", LIMIT)?;
        assert!(
            pings.wait_answers(20, LIMIT),
            "the living client has no answers"
        );
        let called = poll(LIMIT, STEP, || far.initiate_child("second").is_ok());
        assert!(called, "the newcomer is not let in");
        let all = virtual_addresses(&tunnelled.far)?;
        assert!(
            all.len() == 2 && all[0] != all[1] && all.contains(&living),
            "{all:?}"
        );
        assert!(
            pings.wait_answers(20, LIMIT),
            "the living client has lost its tunnel"
        );
        Ok(())
    });
}

#[test]
fn one_pool_on_both_nodes_is_named() {
    scenario(0, |lab| {
        let tunnelled = Tunnelled::boot(lab)?;
        let active = start(&tunnelled, ["10.3.0.0/24", HALVES[1]])?;
        let node = tunnelled.nodes()[active];
        let read = || node.ipsec_check("all.charon") == "asked";
        assert!(
            poll(LIMIT, STEP, read),
            "{:?}",
            node.sparectl("ipsec check")
        );
        let pool = |at: usize| tunnelled.nodes()[at].ipsec_check("pool.pool");
        assert_eq!(pool(active), "", "the other node's is not known yet");
        tunnelled.switch_to(1 - active)?;
        for at in [0, 1] {
            let named = || pool(at).contains("both nodes give addresses from 10.3.0.128 on");
            assert!(poll(LIMIT, STEP, named), "{at}: {}", pool(at));
            let checked = tunnelled.nodes()[at].check()?;
            let warned = "warning: ipsec: pool.pool: both nodes give addresses from 10.3.0.128 on";
            let is_warned = checked.lines().any(|line| line.starts_with(warned));
            assert!(is_warned, "{at}: {checked}");
        }
        let status = tunnelled.nodes()[1 - active].sparectl("status")?.1;
        assert!(status.contains("sparectl ipsec check"), "{status}");
        Ok(())
    });
}
