// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tunnels that follow, and the IKE daemon that comes after them: real charons on routers and the
//! far gateway.

use std::time::Duration;

use spared_tests::Result;
use spared_tests::clock::{Stamp, poll};
use spared_tests::ipsec::{
    CHILD, Charon, Connection, Family, Mode, SWITCH_PACKETS_MAX, Sa, Side, Stats, Suite, Tunnel,
    Tunnelled, asking, following, late_packets,
};
use spared_tests::lab::{disturbed, scenario};
use spared_tests::machine::{Machine, STEP};
use spared_tests::probe::{Outage, Pings};
use spared_tests::router::PluginFile;

const SPACING: Duration = Duration::from_millis(5);
const LIMIT: Duration = Duration::from_secs(20);
/// Everything that comes after a failover has its effect meanwhile.
const CALM: Duration = Duration::from_millis(500);
/// A switchover between machines that others use as well; what is sent once more comes after 4 s.
const LONG: Duration = Duration::from_secs(2);
/// First reqid of the SAs that the plugin installs.
const OURS: u32 = 0x4000_0000;
/// The last message of a negotiation is on its way and understood within this, on a machine that
/// others use as well. A message that is sent once more comes after 4 s.
const ANSWER: Duration = Duration::from_millis(500);

/// Both ends keep what they have when a new daemon says hello.
fn patient(connection: Connection) -> Connection {
    Connection {
        lines: "unique = never".to_owned(),
        ..connection
    }
}

/// And a daemon that loses its address does not go on with another: with MOBIKE it would move the
/// tunnel to the node's own address, and then end it.
fn settled(connection: Connection) -> Connection {
    Connection {
        lines: "unique = never\n mobike = no".to_owned(),
        ..connection
    }
}

/// Charons on the far gateway and the active router, with all children up.
fn connect<'t>(
    tunnelled: &'t Tunnelled,
    active: usize,
    connection: &Connection,
) -> Result<[Charon<'t>; 2]> {
    let far = Charon::start(&tunnelled.far, Side::Far, connection)?;
    let own = Charon::start(&tunnelled.routers[active], Side::Router, connection)?;
    let brought = own.initiate();
    if brought.is_err() && tunnelled.nodes()[active].role() != "active" {
        return Err(disturbed("the roles changed while charon began"));
    }
    brought?;
    for (child, _) in &connection.others {
        own.initiate_child(child)?;
    }
    Ok([own, far])
}

/// The router's power is cut; its tunnel goes on at the other one.
fn lose(tunnelled: &Tunnelled, active: usize, pings: &[&Pings]) -> Result<()> {
    std::thread::sleep(Duration::from_secs(1));
    let killed = Stamp::now();
    tunnelled.routers[active].kill();
    for pings in pings {
        let outage = pings.outage_of(killed, CALM, LIMIT).ok_or("no end of it")?;
        assert_eq!(outage.gaps, 1, "{outage:?}");
    }
    Ok(())
}

fn spis(sas: &[Sa]) -> Vec<u32> {
    sas.iter().map(|sa| sa.spi).collect()
}

/// Waits until a router has only SAs of its own daemon, so many, and none of those before.
fn wait_native(router: &Machine, count: usize, before: &[Sa]) -> Result<Vec<Sa>> {
    let old = spis(before);
    let mut sas = Vec::new();
    let native = || {
        sas = router.sas().unwrap_or_default();
        let is_native = |sa: &Sa| sa.reqid < OURS && !old.contains(&sa.spi);
        sas.len() == count && sas.iter().all(is_native)
    };
    if poll(LIMIT, STEP, native) {
        Ok(sas)
    } else {
        Err(format!("not {count} native SAs: {sas:#?}").into())
    }
}

/// Fresh charon on a router, which negotiates instead of using the replicated SAs. The end that sends the last message
/// uses the new keys at once; its packets are lost until the other end has read that message.
fn negotiate(
    tunnelled: &Tunnelled,
    router: usize,
    connection: &Connection,
    pings: &[&Pings],
) -> Result<()> {
    assert_eq!(tunnelled.far.xfrm_errors()?, Stats::new());
    negotiate_only(tunnelled, router, connection, pings)?;
    assert_eq!(far_errors(tunnelled)?, Stats::new());
    Ok(())
}

/// The far gateway's errors are the price of so many switches.
fn assert_price(errors: &Stats, switches: u64) {
    let late = late_packets(errors);
    assert_eq!(late, errors.values().sum::<u64>(), "{errors:?}");
    assert!(late <= switches * SWITCH_PACKETS_MAX, "{errors:?}");
}

fn negotiate_only(
    tunnelled: &Tunnelled,
    router: usize,
    connection: &Connection,
    pings: &[&Pings],
) -> Result<()> {
    let router = &tunnelled.routers[router];
    let children = 1 + connection.others.len();
    let followed = router.sas()?;
    assert_eq!(followed.len(), 2 * children);
    assert!(followed.iter().all(|sa| sa.reqid >= OURS), "{followed:?}");

    let started = Stamp::now();
    Charon::start(router, Side::Router, connection)?;
    let native = wait_native(router, 2 * children, &followed)?;
    assert!(native.iter().all(|sa| sa.packets > 0), "{native:?}");
    for pings in pings {
        let outage = pings
            .outage_of(started, CALM, LIMIT)
            .ok_or("no end of it")?;
        // one gap of each direction, as their SAs are not complete in the same moment
        assert!(outage.gaps <= 2 && outage.total < ANSWER, "{outage:?}");
    }
    let policies = router.policies()?;
    assert_eq!(policies.len(), 3 * children, "{policies:?}");
    Ok(())
}

/// All but packets of new SAs that were not yet complete, as IKEv1 has the router speak last.
fn far_errors(tunnelled: &Tunnelled) -> Result<Stats> {
    let mut errors = tunnelled.far.xfrm_errors()?;
    errors.remove("XfrmAcquireError");
    Ok(errors)
}

#[test]
fn a_fresh_charon_negotiates_anew_while_what_followed_carries_on() {
    scenario(0, |lab| {
        let connection = patient(Connection::default());
        let tunnelled = Tunnelled::boot(lab)?;
        let first = tunnelled.start_spared(&asking())?;
        connect(&tunnelled, first, &connection)?;
        tunnelled.wait_followed(first, 2, 3)?;
        tunnelled.wait_named(1 - first)?;
        let pings = tunnelled.pings(Family::V4, SPACING)?;
        lose(&tunnelled, first, &[&pings])?;
        negotiate(&tunnelled, 1 - first, &connection, &[&pings])
    });
}

#[test]
fn an_end_that_forgets_at_the_first_contact_loses_a_round_trip() {
    scenario(0, |lab| {
        let connection = Connection::default();
        let tunnelled = Tunnelled::boot(lab)?;
        let first = tunnelled.start_spared(&asking())?;
        connect(&tunnelled, first, &connection)?;
        tunnelled.wait_followed(first, 2, 3)?;
        tunnelled.wait_named(1 - first)?;
        let pings = tunnelled.pings(Family::V4, SPACING)?;
        lose(&tunnelled, first, &[&pings])?;
        negotiate_only(&tunnelled, 1 - first, &connection, &[&pings])
    });
}

#[test]
fn children_that_a_fresh_charon_numbers_otherwise_are_not_mixed_up() {
    scenario(0, |lab| {
        let tunnelled = Tunnelled::boot(lab)?;
        tunnelled.far.ip("addr add 10.8.0.1/24 dev inner\n")?;
        for router in &tunnelled.routers {
            router.ip("route add 10.8.0.0/24 via 10.2.0.3\n")?;
        }
        // Established last, and asked for first after the failover.
        let connection = patient(Connection {
            others: vec![("alpha".to_owned(), "10.8.0.0/24".to_owned())],
            ..Connection::default()
        });
        let first = tunnelled.start_spared(&asking())?;
        connect(&tunnelled, first, &connection)?;
        tunnelled.wait_followed(first, 4, 6)?;
        tunnelled.wait_named(1 - first)?;
        let pings = [Family::V4.inner(), "10.8.0.1".parse()?];
        let pings = [
            Pings::start(&lab.lan, pings[0], SPACING)?,
            Pings::start(&lab.lan, pings[1], SPACING)?,
        ];
        let both = [&pings[0], &pings[1]];
        lose(&tunnelled, first, &both)?;
        negotiate(&tunnelled, 1 - first, &connection, &both)
    });
}

#[test]
fn tunnels_of_the_first_ike_follow_and_are_negotiated_anew() {
    scenario(0, |lab| {
        let connection = patient(Connection {
            version: 1,
            esp: "aes128-sha256".to_owned(),
            ..Connection::default()
        });
        let tunnelled = Tunnelled::boot(lab)?;
        let first = tunnelled.start_spared(&asking())?;
        connect(&tunnelled, first, &connection)?;
        tunnelled.wait_followed(first, 2, 3)?;
        tunnelled.wait_named(1 - first)?;
        let pings = tunnelled.pings(Family::V4, SPACING)?;
        lose(&tunnelled, first, &[&pings])?;
        negotiate(&tunnelled, 1 - first, &connection, &[&pings])
    });
}

#[test]
fn a_child_that_is_rekeyed_is_the_one_that_follows() {
    scenario(0, |lab| {
        let connection = patient(Connection::default());
        let tunnelled = Tunnelled::boot(lab)?;
        let first = tunnelled.start_spared(&asking())?;
        let [own, _] = connect(&tunnelled, first, &connection)?;
        tunnelled.wait_followed(first, 2, 3)?;
        let old = spis(&tunnelled.routers[first].sas()?);
        let pings = tunnelled.pings(Family::V4, SPACING)?;
        let begun = Stamp::now();
        own.swanctl(&format!("--rekey --child {CHILD}"))?;
        let mut new = Vec::new();
        let rekeyed = || {
            new = spis(&tunnelled.routers[first].sas().unwrap_or_default());
            new.len() == 2 && !new.iter().any(|spi| old.contains(spi))
        };
        assert!(poll(LIMIT, STEP, rekeyed), "{old:x?} {new:x?}");
        let outage = pings.outage_of(begun, CALM, LIMIT);
        assert_eq!(outage, Some(Outage::default()));
        tunnelled.wait_followed(first, 2, 3)?;
        tunnelled.wait_named(1 - first)?;
        lose(&tunnelled, first, &[&pings])?;
        let mut taken = spis(&tunnelled.routers[1 - first].sas()?);
        taken.sort_unstable();
        new.sort_unstable();
        assert_eq!(taken, new);
        negotiate(&tunnelled, 1 - first, &connection, &[&pings])
    });
}

#[test]
fn policies_that_a_backups_daemon_takes_along_are_put_back() {
    scenario(0, |lab| {
        let connection = patient(Connection::default());
        let tunnelled = Tunnelled::boot(lab)?;
        let first = tunnelled.start_spared(&asking())?;
        connect(&tunnelled, first, &connection)?;
        tunnelled.wait_followed(first, 2, 3)?;
        let backup = &tunnelled.routers[1 - first];
        let policies = sorted_policies(backup)?;
        assert_eq!(policies.len(), 3, "{policies:?}");
        let waiting = Connection {
            child: "start_action = trap".to_owned(),
            ..connection
        };
        let idle = Charon::start(backup, Side::Router, &waiting)?;
        let log = backup.log_of("charon-ike");
        let traps = || {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            said.contains("policy already exists, try to update it")
        };
        assert!(poll(LIMIT, STEP, traps), "the daemon traps nothing");
        idle.stop()?;
        let restored = || sorted_policies(backup).is_ok_and(|there| there == policies);
        assert!(poll(LIMIT, STEP, restored), "not restored");
        assert_eq!(backup.sas()?, []);
        // As units of some daemons do.
        backup.ok("ip xfrm state flush; ip xfrm policy flush")?;
        assert!(poll(LIMIT, STEP, restored), "not restored");

        // Even one that goes on, with a policy that it waits with.
        Charon::start(backup, Side::Router, &waiting)?;
        let pings = tunnelled.pings(Family::V4, SPACING)?;
        std::thread::sleep(Duration::from_secs(1));
        let killed = Stamp::now();
        tunnelled.routers[first].kill();
        // The failover, and what this daemon negotiates at once.
        let outage = pings.outage_of(killed, CALM, LIMIT).ok_or("no end of it")?;
        assert!(outage.gaps <= 2, "{outage:?}");
        wait_native(backup, 2, &[]).map(drop)
    });
}

/// In any order.
fn sorted_policies(router: &Machine) -> Result<Vec<String>> {
    let mut policies = router.policies()?;
    policies.sort_unstable();
    Ok(policies)
}

/// Until the old router's addresses are gone, packets from them are carried, a DELETE as well.
fn wait_left(router: &Machine) -> Result<()> {
    let has_none = || {
        let addresses = router.run("ip -4 -br addr show to 10.2.0.1");
        addresses.is_ok_and(|(code, text)| code == 0 && text.trim().is_empty())
    };
    if poll(LIMIT, STEP, has_none) {
        Ok(())
    } else {
        Err("the addresses stay".into())
    }
}

#[test]
fn a_daemon_that_is_stopped_after_a_switch_leaves_the_tunnel_alone() {
    scenario(0, |lab| {
        let connection = settled(Connection::default());
        let tunnelled = Tunnelled::boot(lab)?;
        let first = tunnelled.start_spared(&asking())?;
        let [own, _] = connect(&tunnelled, first, &connection)?;
        tunnelled.wait_followed(first, 2, 3)?;
        let pings = tunnelled.pings(Family::V4, SPACING)?;
        std::thread::sleep(Duration::from_secs(1));
        let switched = Stamp::now();
        tunnelled.switch_to(1 - first)?;
        wait_left(&tunnelled.routers[first])?;
        own.stop()?;
        let outage = pings
            .outage_of(switched, CALM, LIMIT)
            .ok_or("no end of it")?;
        assert!(outage.gaps <= 1, "{outage:?}");
        assert_eq!(tunnelled.routers[first].sas()?, []);
        assert_eq!(tunnelled.routers[first].policies()?.len(), 3);
        let switched = far_errors(&tunnelled)?;
        assert_price(&switched, 1);
        negotiate_only(&tunnelled, 1 - first, &connection, &[&pings])?;
        assert_eq!(far_errors(&tunnelled)?, switched);
        Ok(())
    });
}

#[test]
fn a_daemon_that_follows_the_role_negotiates_at_each_switch() {
    scenario(0, |lab| {
        let connection = settled(Connection::default());
        let tunnelled = Tunnelled::boot(lab)?;
        let mut plan = asking();
        plan.plugins.push(services(&tunnelled, &connection)?);
        let mut active = tunnelled.start_spared(&plan)?;
        Charon::start(&tunnelled.far, Side::Far, &connection)?;
        Charon::of_service(&tunnelled.routers[active])?.initiate()?;
        let pings = tunnelled.pings(Family::V4, SPACING)?;
        for _ in 0..2 {
            tunnelled.wait_followed(active, 2, 3)?;
            let before = tunnelled.routers[active].sas()?;
            let switched = Stamp::now();
            tunnelled.switch_to(1 - active)?;
            active = 1 - active;
            wait_native(&tunnelled.routers[active], 2, &before)?;
            let outage = pings
                .outage_of(switched, CALM, LIMIT)
                .ok_or("no end of it")?;
            assert!(outage.gaps <= 2 && outage.longest < LONG, "{outage:?}");
            let old = &tunnelled.routers[1 - active];
            let ended = || old.run("pidof charon").is_ok_and(|(code, _)| code != 0);
            assert!(poll(LIMIT, STEP, ended), "both run");
            assert_eq!((old.sas()?.len(), old.policies()?.len()), (0, 3));
        }
        assert_price(&far_errors(&tunnelled)?, 2);
        Ok(())
    });
}

/// The plugin that starts charon where its node is active.
fn services(tunnelled: &Tunnelled, connection: &Connection) -> Result<PluginFile> {
    let [first, second] = tunnelled.routers.each_ref();
    let first = Charon::service(first, connection)?.display().to_string();
    let second = Charon::service(second, connection)?.display().to_string();
    let command = |verb: &str| {
        format!("{verb} = {{ r1 = [{first:?}, {verb:?}], r2 = [{second:?}, {verb:?}] }}\n")
    };
    let commands: String = ["start", "stop", "status"].map(command).concat();
    Ok(PluginFile {
        name: "service".to_owned(),
        toml: format!("after = [\"ipsec\"]\n[[service]]\nname = \"charon\"\n{commands}"),
        file: "libspared_service.so".to_owned(),
    })
}

/// Two commands on machines that share processors: between them the ends do not agree.
const BY_HAND: Duration = Duration::from_secs(2);

#[test]
fn what_somebody_installs_by_hand_takes_the_place_of_what_followed() {
    scenario(0, |lab| {
        let tunnelled = Tunnelled::boot(lab)?;
        let first = tunnelled.start_spared(&following(""))?;
        let tunnel = Tunnel::new(Family::V4, Mode::Tunnel, Suite::GcmEsn);
        tunnelled.install(&tunnel, first)?;
        tunnelled.wait_followed(first, 2, 3)?;
        let pings = tunnelled.pings(Family::V4, SPACING)?;
        lose(&tunnelled, first, &[&pings])?;

        let survivor = &tunnelled.routers[1 - first];
        let followed = survivor.sas()?;
        let other = Tunnel {
            spi: 0xc000_0301,
            reqid: 77,
            ..tunnel
        };
        let begun = Stamp::now();
        for (machine, lines) in [
            (&tunnelled.far, other.far_lines()),
            (survivor, other.router_lines()),
        ] {
            machine.ip(&lines.replace("policy add", "policy update"))?;
        }
        wait_native(survivor, 2, &followed)?;
        let outage = pings.outage_of(begun, CALM, LIMIT).ok_or("no end of it")?;
        assert!(outage.gaps <= 1 && outage.longest < BY_HAND, "{outage:?}");
        Ok(())
    });
}
