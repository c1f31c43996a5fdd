// SPDX-License-Identifier: MIT OR Apache-2.0
//! Virtual addresses of road warriors: with a half of the pool on each node no living client's address is given
//! away, neither in a failover nor by a charon that starts again, and one pool on both nodes is named. The same with
//! addresses of a DHCP server whose leases follow.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use spared_tests::Result;
use spared_tests::clock::poll;
use spared_tests::ipsec::{
    Charon, Family, OwnPings, PLUGINS, Release, SECRET, Tunnelled, asking, services,
};
use spared_tests::lab::{VIRTUAL, Wire, scenario, skipped};
use spared_tests::machine::{Machine, STEP};
use spared_tests::router::PluginFile;

const LIMIT: Duration = Duration::from_secs(30);
const SPACING: Duration = Duration::from_millis(50);
const HALVES: [&str; 2] = ["10.3.0.0/25", "10.3.0.128/25"];
/// The part of the lan from which a DHCP server gives, and a network of clients' addresses in all tests.
const GIVEN: &str = "10.1.0.128/26";
const GIVES: &str = "10.1.0.130,10.1.0.180,255.255.255.0";
const VIRTUALS: [&str; 2] = ["10.3.0.", "10.1.0."];
const LEASES: &str = "/run/dnsmasq.leases";
const CLIENTS: [&str; 4] = ["first", "second", "third", "fourth"];

/// A router that gives addresses of a pool to whoever calls.
fn router(pool: &str) -> String {
    gives("pool") + &format!("pools {{\n pool {{\n addrs = {pool}\n }}\n}}\n")
}

/// Router's connection that gives addresses of a pool, without the pool of that name.
fn gives(pool: &str) -> String {
    let (own, network) = (Family::V4.gateway(), Family::V4.lan_network());
    format!(
        "connections {{\n\
           road {{\n\
             version = 2\n mobike = no\n local_addrs = {own}\n remote_addrs = %any\n pools = {pool}\n\
             local {{\n auth = psk\n id = router\n }}\n\
             remote {{\n auth = psk\n }}\n\
             children {{\n road {{\n local_ts = {network}\n esp_proposals = aes128gcm16-esn\n }}\n}}\n\
           }}\n\
         }}\n\
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
        Charon::service_with(r1, &router(pools[0]), Release::Installed)?,
        Charon::service_with(r2, &router(pools[1]), Release::Installed)?,
    ];
    let mut plan = asking();
    plan.plugins.push(services([&scripts[0], &scripts[1]]));
    tunnelled.start_spared(&plan)
}

/// Charons of the routers with addresses of dnsmasq on the active router, whose leases are replicated; which router is
/// active.
fn start_with_dhcp(tunnelled: &Tunnelled) -> Result<usize> {
    let [r1, r2] = &tunnelled.routers;
    for router in [r1, r2] {
        let server = Wire::Lan.ipv4(VIRTUAL);
        let settings = format!(
            "load = {PLUGINS} dhcp\n plugins {{\n dhcp {{\n server = {server}\n identity_lease = yes\n }}\n}}\n"
        );
        fs::write(router.dir.join("charon.conf"), settings)?;
    }
    let charons = [
        Charon::service_with(r1, &gives("dhcp"), Release::Installed)?,
        Charon::service_with(r2, &gives("dhcp"), Release::Installed)?,
    ];
    let servers = [dnsmasq(r1)?, dnsmasq(r2)?];
    let both = |words: fn(&PathBuf) -> String| {
        let [first, second] = [&servers[0], &servers[1]].map(words);
        format!("{{ r1 = {first}, r2 = {second} }}")
    };
    let config = both(|it| format!("{:?}", it.with_extension("conf")));
    let command = |verb: &str| {
        let words = [&servers[0], &servers[1]].map(|it| format!("[{it:?}, {verb:?}]"));
        format!("{verb} = {{ r1 = {}, r2 = {} }}\n", words[0], words[1])
    };
    let commands = ["start", "stop", "status"].map(command).concat();
    let mut service = services([&charons[0], &charons[1]]);
    service.toml = service.toml.replace("[\"ipsec\"]", "[\"ipsec\", \"dhcp\"]");
    service.toml += &format!("[[service]]\nname = \"dnsmasq\"\n{commands}");
    let mut plan = asking();
    plan.plugins.push(PluginFile {
        name: "dhcp".to_owned(),
        toml: format!(
            "[[server]]\nkind = \"dnsmasq\"\nconfig = {config}\nleases = {{ r1 = {LEASES:?}, r2 = {LEASES:?} }}\n"
        ),
        file: "libspared_dhcp.so".to_owned(),
    });
    plan.plugins.push(service);
    tunnelled.start_spared(&plan)
}

/// Writes the files for a router. Returns the path of a script that starts, stops and queries dnsmasq. An address that is
/// given back is the next one that it gives.
fn dnsmasq(machine: &Machine) -> Result<PathBuf> {
    const PROGRAM: &str = "/usr/sbin/dnsmasq";
    if !fs::exists(PROGRAM)? || !fs::exists("/usr/lib/ipsec/plugins/libstrongswan-dhcp.so")? {
        return Err(skipped("dnsmasq or charon's plugin dhcp is not installed"));
    }
    let script = machine.dir.join("dnsmasq.sh");
    let conf = script.with_extension("conf");
    let log = machine.log_of("dnsmasq");
    fs::write(
        &conf,
        format!(
            "port=0\nuser=root\nno-ping\nlog-dhcp\nlog-facility={}\npid-file=/run/dnsmasq.pid\n\
             dhcp-leasefile={LEASES}\ndhcp-sequential-ip\ndhcp-range={GIVES},3600\n",
            log.display()
        ),
    )?;
    fs::write(
        &script,
        format!(
            "#!/bin/sh\npid=$(pidof dnsmasq)\ncase $1 in\n\
             start) [ -n \"$pid\" ] || exec {PROGRAM} -C {};;\n\
             stop) [ -z \"$pid\" ] || kill $pid; while pidof dnsmasq; do sleep 0.05; done;;\n\
             status) [ -n \"$pid\" ] || exit 3;;\nesac\n",
            conf.display()
        ),
    )?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    machine.forget_files()?;
    Ok(script)
}

/// The virtual addresses of the machine with the clients.
fn virtual_addresses(far: &Machine) -> Result<Vec<IpAddr>> {
    let text = far.ok("ip -4 -o addr show")?;
    let words = text.split_whitespace();
    let addresses = words.filter_map(|word| word.split('/').next()?.parse().ok());
    Ok(addresses
        .filter(|ip: &IpAddr| {
            let text = ip.to_string();
            VIRTUALS.iter().any(|it| text.starts_with(it))
        })
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

/// The address of a client that is reached, and the SPI by which.
fn first_client(
    tunnelled: &Tunnelled<'_>,
    far: &Charon<'_>,
    active: usize,
) -> Result<(IpAddr, u32)> {
    let living = call(far, "first")?;
    tunnelled.wait_followed(active, 2, 3)?;
    let to_far = Family::V4.far();
    let sas = tunnelled.far.sas()?;
    let inbound = sas.iter().find(|sa| sa.destination == Some(to_far));
    let spi = inbound.ok_or("the first client has no SA")?.spi;
    assert!(is_reached(&tunnelled.far, living, spi)?, "at first");
    Ok((living, spi))
}

#[test]
fn a_charon_that_starts_anew_gives_no_living_clients_address() {
    scenario(0, |lab| {
        let tunnelled = Tunnelled::boot(lab)?;
        let active = start(&tunnelled, HALVES)?;
        let far = Charon::start_with(&tunnelled.far, &clients(), Release::Installed)?;
        let (living, spi) = first_client(&tunnelled, &far, active)?;

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
        let far = Charon::start_with(&tunnelled.far, &clients(), Release::Installed)?;
        let living = call(&far, "first")?;
        tunnelled.wait_followed(active, 2, 3)?;
        let pings = OwnPings::start(&tunnelled.far, Family::V4.client(), SPACING)?;

        tunnelled.routers[active].kill();
        let survivor = 1 - active;
        tunnelled.nodes()[survivor].wait_role("active", LIMIT)?;
        assert!(
            pings.wait_answers(20, LIMIT),
            "the living client has no answers"
        );
        call(&far, "second")?;
        let all = virtual_addresses(&tunnelled.far)?;
        assert!(all.contains(&living), "{all:?}");
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
        // charon may be asked before its connections are loaded, and is stopped in a moment
        let read = || {
            let is_asked = node.ipsec_check("all.charon") == "asked";
            is_asked && node.ipsec_check("all.connections") == "1"
        };
        assert!(
            poll(LIMIT, STEP, read),
            "{:?}",
            node.sparectl("ipsec check")
        );
        let pool = |at: usize| tunnelled.nodes()[at].ipsec_check("pool.pool");
        assert_eq!(pool(active), "", "the other node's is not known yet");
        tunnelled.switch_to(1 - active)?;
        for at in [0, 1] {
            let named = || pool(at).contains("both nodes assign addresses from 10.3.0.128 upwards");
            assert!(poll(LIMIT, STEP, named), "{at}: {}", pool(at));
            let checked = tunnelled.nodes()[at].check()?;
            let warned = "warning[plugin]: ipsec: pool.pool: both nodes assign addresses from 10.3.0.128 upwards";
            let is_warned = checked.lines().any(|line| line.starts_with(warned));
            assert!(is_warned, "{at}: {checked}");
        }
        let node = tunnelled.nodes()[1 - active];
        let status = || node.sparectl("status").map(|it| it.1).unwrap_or_default();
        let is_told = || status().contains("sparectl ipsec check");
        assert!(poll(LIMIT, STEP, is_told), "{}", status());
        Ok(())
    });
}

#[test]
#[ignore = "a minute: make soak-ipsec"]
fn a_dhcp_server_whose_leases_follow_gives_no_living_clients_address() {
    scenario(0, |lab| {
        let tunnelled = Tunnelled::boot(lab)?;
        let active = start_with_dhcp(&tunnelled)?;
        // nobody answers ARP for those who are far away
        lab.lan.ip(&format!(
            "route add {GIVEN} via {}\n",
            Wire::Lan.ipv4(VIRTUAL)
        ))?;
        let far = Charon::start_with(&tunnelled.far, &clients(), Release::Installed)?;
        let (living, spi) = first_client(&tunnelled, &far, active)?;
        let leases = |at: usize| tunnelled.routers[at].ok(&format!("cat {LEASES}"));
        let has = |text: &str, ip: IpAddr| text.contains(&format!(" {ip} "));

        tunnelled.switch_to(1 - active)?;
        let second = call(&far, "second")?;
        let text = leases(1 - active)?;
        assert!(
            has(&text, living) && has(&text, second),
            "{living}, {second}: {text}"
        );
        assert!(is_reached(&tunnelled.far, living, spi)?, "after a switch");
        tunnelled.wait_followed(1 - active, 4, 6)?;
        for node in tunnelled.nodes() {
            let checked = node.check()?;
            assert!(!checked.contains("pool"), "{checked}");
        }

        tunnelled.routers[1 - active].kill();
        tunnelled.nodes()[active].wait_role("active", LIMIT)?;
        let third = call(&far, "third")?;
        let text = leases(active)?;
        let all = [living, second, third];
        assert!(all.iter().all(|ip| has(&text, *ip)), "{all:?}: {text}");
        assert!(is_reached(&tunnelled.far, living, spi)?, "after a death");
        Ok(())
    });
}
