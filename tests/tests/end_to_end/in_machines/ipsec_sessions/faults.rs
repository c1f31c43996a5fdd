//! Faults in the midst of sessions that follow.

use std::fs;
use std::ops::Range;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use spared_tests::Result;
use spared_tests::clock::poll;
use spared_tests::ipsec::road::{LIMIT, Road, Setup, answered_since};
use spared_tests::ipsec::{
    Charon, Family, OwnPings, SWITCH_PACKETS_MAX, is_in_clear, late_packets,
};
use spared_tests::lab::{Lab, scenario};
use spared_tests::machine::{STEP, wait_settled};
use spared_tests::random::{Random, number};

use super::SPACING;

const NAMES: [&str; 3] = ["first", "second", "third"];

#[test]
#[ignore = "a minute: make soak-ipsec"]
fn no_client_notices_a_role_that_flaps_or_a_charon_that_is_killed() {
    scenario(0, |lab| {
        let (road, first) = Road::start(lab, Setup::clients(&NAMES, "", ""))?;
        let (before, assigned) = (road.sessions()?, road.addresses()?);
        // there, back within the moment in which charon starts, and there again
        for router in [1 - first, first, 1 - first] {
            road.tunnelled.switch_to(router)?;
        }
        let active = 1 - first;
        road.wait_taken_over(active)?;
        assert_eq!(road.sessions()?, before, "a flap:\n{}", road.far_log());
        road.rekey()?;
        road.wait_followed(active)?;

        let before = road.sessions()?;
        road.tunnelled.routers[active].ok("kill -KILL $(pidof charon)")?;
        let died = || road.tunnelled.routers[active].ok("pidof charon").is_ok();
        assert!(poll(LIMIT, STEP, died), "charon does not start again");
        road.wait_taken_over(active)?;
        assert_eq!(road.sessions()?, before, "a kill:\n{}", road.far_log());
        road.rekey()?;
        road.assert_none_noticed();
        assert_eq!(road.addresses()?, assigned);
        Ok(())
    });
}

#[test]
#[ignore = "a minute: make soak-ipsec"]
fn a_charon_that_runs_on_both_routers_has_its_sessions_where_the_role_is() {
    scenario(0, |lab| {
        let mut setup = Setup::clients(&NAMES, "", "").with_site("start_action = trap");
        setup.both_run = true;
        let (mut road, mut active) = Road::start(lab, setup)?;
        let (mut before, assigned) = (road.sessions()?, road.addresses()?);
        let recorder = road.tunnelled.record_unprotected()?;
        // each is there and back; those of a death come with another charon
        for is_death in [false, false, true, false] {
            let next = 1 - active;
            let begun = Instant::now();
            if is_death {
                road.tunnelled.routers[active].kill();
                road.tunnelled.nodes()[next].wait_role("active", LIMIT)?;
            } else {
                road.tunnelled.switch_to(next)?;
            }
            road.wait_taken_over(next)?;
            println!("taken over within {:?}", begun.elapsed());
            assert_eq!(road.sessions()?, before, "{}", road.far_log());
            if is_death {
                road.revive(active)?;
            }
            let left = Charon::of_service(&road.tunnelled.routers[active])?;
            let is_empty = || left.list_sas().is_ok_and(|it| !it.contains("ESTABLISHED"));
            assert!(poll(LIMIT, STEP, is_empty), "{}", left.list_sas()?);
            road.rekey()?;
            before = road.sessions()?;
            road.wait_followed(next)?;
            // the plugin of either router ends alone, and the next run finds a charon with sessions, or with none
            for router in [next, active] {
                road.tunnelled.routers[router].ok("kill -KILL $(pgrep -x spared-ipsec)")?;
                road.wait_following(next)?;
                wait_settled(road.tunnelled.nodes(), LIMIT)?;
                road.wait_followed(next)?;
            }
            active = next;
        }
        road.assert_none_noticed();
        assert_eq!(road.addresses()?, assigned);
        assert_eq!(recorder.take(is_in_clear).len(), 0);
        Ok(())
    });
}

#[test]
#[ignore = "three minutes: make soak-ipsec"]
fn no_client_notices_whatever_happens_where_charon_runs_on_both_routers() {
    scenario(0, |lab| {
        let lines = "rekey_time = 30s\n over_time = 60s\n rand_time = 5s\n reauth_time = 0";
        let child = "rekey_time = 15s\n rand_time = 3s\n life_time = 90s";
        let mut setup = Setup::clients(&NAMES, lines, child);
        setup.both_run = true;
        let (mut road, active) = Road::start(lab, setup)?;
        let seconds = number("SPARED_SECONDS", 180);
        move_at_random(&mut road, active, seconds, 2_000..12_000)
    });
}

#[test]
#[ignore = "a minute: make soak-ipsec"]
fn no_client_notices_whatever_happens_in_the_midst_of_rekeyings() {
    scenario(0, |lab| {
        let lines = "rekey_time = 7s\n over_time = 60s\n rand_time = 2s\n reauth_time = 0";
        let child = "rekey_time = 4s\n rand_time = 1s\n life_time = 90s";
        let (mut road, active) = Road::start_routers(lab, Setup::clients(&NAMES, lines, child))?;
        // numbers of SAs are never exact, with rekeyings all the time
        road.call()?;
        wait_settled(road.tunnelled.nodes(), LIMIT)?;
        move_at_random(
            &mut road,
            active,
            number("SPARED_SECONDS", 180),
            2_000..8_000,
        )
    });
}

/// Moves the role at random, by switchovers and deaths, with pauses of so many milliseconds. After each move the sessions
/// are as they were.
pub fn move_at_random(
    road: &mut Road,
    mut active: usize,
    seconds: u64,
    pause_ms: Range<usize>,
) -> Result<()> {
    let assigned = road.addresses()?;
    let recorder = road.tunnelled.record_unprotected()?;
    let mut random = Random::from_environment();
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut faults = Vec::new();
    while Instant::now() < until {
        sleep(
            Duration::from_millis(pause_ms.start as u64)
                + random.time(pause_ms.end - pause_ms.start),
        );
        let next = 1 - active;
        let is_death = random.below(3) == 0;
        faults.push(if is_death { "death" } else { "switchover" });
        println!("{faults:?}");
        if is_death {
            road.tunnelled.routers[active].kill();
            road.tunnelled.nodes()[next].wait_role("active", LIMIT)?;
            sleep(random.time(3000));
            road.revive(active)?;
        } else {
            road.tunnelled.switch_to(next)?;
        }
        active = next;
        let done = road.wait_taken_over(active);
        assert!(done.is_ok(), "{faults:?}: {done:?}\n{}", road.rows());
        road.assert_none_noticed();
        assert_eq!(road.addresses()?, assigned, "{faults:?}");
        wait_settled(road.tunnelled.nodes(), LIMIT)?;
    }
    let errors = road.tunnelled.far.xfrm_errors()?;
    let late = late_packets(&errors);
    let allowed = SWITCH_PACKETS_MAX * faults.len() as u64;
    assert!(late <= allowed, "{faults:?}: {errors:?}");
    assert_eq!(recorder.take(is_in_clear).len(), 0, "{faults:?}");
    println!("{} faults: {errors:?}", faults.len());
    Ok(())
}

/// Clients that ask every 10 s if the router is there.
fn many_clients(child: &str) -> (usize, Setup) {
    let count = number("SPARED_CLIENTS", 100) as usize;
    let names: Vec<String> = (0..count).map(|it| format!("c{it}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    (count, Setup::clients(&names, "dpd_delay = 10s", child))
}

/// Memory of charon and of the plugin on a router, in KiB, for people.
fn memory(road: &Road<'_>, router: usize) -> String {
    let machine = &road.tunnelled.routers[router];
    let of = |pids: &str| machine.ok(&format!("grep VmRSS /proc/$({pids})/status | tr -dc 0-9"));
    let [charon, plugin] = [of("pidof charon"), of("pgrep -x spared-ipsec")];
    format!("charon has {charon:?} KiB, the plugin {plugin:?} KiB")
}

#[test]
#[ignore = "a minute: make soak-ipsec"]
fn a_hundred_clients_notice_no_death() {
    scenario(0, |lab| many_notice_no_death(lab, false));
}

#[test]
#[ignore = "a minute: make soak-ipsec"]
fn a_hundred_clients_notice_no_death_where_charon_runs_on_both_routers() {
    scenario(0, |lab| many_notice_no_death(lab, true));
}

/// Prints the times until charon has all sessions, and until the last client had an answer.
fn many_notice_no_death(lab: &Lab, both_run: bool) -> Result<()> {
    let (count, mut setup) = many_clients("");
    setup.both_run = both_run;
    let (road, first) = Road::start(lab, setup)?;
    let (before, assigned) = (road.sessions()?, road.addresses()?);
    println!("on the router that dies, {}", memory(&road, first));
    let pings = OwnPings::start(&road.tunnelled.far, Family::V4.client(), SPACING)?;
    let (died_at, died) = (SystemTime::now(), Instant::now());
    road.tunnelled.routers[first].kill();
    let next = 1 - first;
    road.tunnelled.nodes()[next].wait_role("active", LIMIT)?;
    let node = road.tunnelled.nodes()[next];
    let started = || road.tunnelled.routers[next].ok("pidof charon").is_ok();
    assert!(poll(LIMIT, Duration::from_millis(50), started));
    let begun = Instant::now();
    let all = || node.ipsec_number("all.sessions_taken_over") == count as u64;
    let limit = LIMIT + Duration::from_millis(20) * count as u32;
    assert!(poll(limit, STEP, all), "{}", road.rows());
    println!(
        "{count} clients are taken over {:?} after charon is there",
        begun.elapsed()
    );
    // the one with pings hears from the router, and does not ask
    let all = || answered_since(&road.far_log(), died_at).len() >= count - 1;
    assert!(poll(limit, STEP, all), "{}", road.far_log());
    println!(
        "the last had an answer {:?} after the death",
        died.elapsed()
    );
    road.wait_taken_over(next)?;
    assert!(pings.wait_answers(20, LIMIT), "no answers");
    println!("pings from one of them: {:?}", pings.stop()?);
    println!("on the other router, {}", memory(&road, next));
    assert_eq!(road.sessions()?, before, "{}", road.far_log());
    road.assert_none_noticed();
    assert_eq!(road.addresses()?, assigned);
    Ok(())
}

/// Comparison for the former in `make soak-ipsec`: a charon that starts without sessions.
#[test]
#[ignore = "minutes: make soak-ipsec"]
fn without_ha_a_hundred_clients_come_again_after_minutes() {
    scenario(0, |lab| {
        let (count, mut setup) = many_clients("dpd_action = restart");
        setup.has_ha = false;
        setup.router += "pools {\n pool {\n addrs = 10.3.0.0/20\n }\n}\n";
        let (road, first) = Road::start(lab, setup)?;
        let died = Instant::now();
        road.tunnelled.routers[first].kill();
        let again = || road.far().established() >= 2 * count;
        let limit = Duration::from_secs(300) + Duration::from_millis(500) * count as u32;
        assert!(poll(limit, STEP, again), "{}", road.far_log());
        println!(
            "{count} clients are there again {:?} after the death",
            died.elapsed()
        );
        Ok(())
    });
}

#[test]
#[ignore = "a minute: make soak-ipsec"]
fn without_its_plugin_ha_sessions_do_not_follow_and_tunnels_do() {
    scenario(0, |lab| {
        let mut setup = Setup::clients(&["first"], "", "");
        setup.has_ha = false;
        setup.router += "pools {\n pool {\n addrs = 10.3.0.0/24\n }\n}\n";
        let (road, first) = Road::start(lab, setup)?;
        let pings = OwnPings::start(&road.tunnelled.far, Family::V4.client(), SPACING)?;
        road.tunnelled.switch_to(1 - first)?;
        assert!(pings.wait_answers(20, LIMIT), "no answers");
        let node = road.tunnelled.nodes()[1 - first];
        let told = "do not follow: charon's plugin ha does not answer";
        let is_told = || node.ipsec("all.ike_sessions").as_str() == Some(told);
        assert!(poll(LIMIT, STEP, is_told), "{}", road.rows());
        assert_eq!(node.ipsec_number("all.sessions_taken_over"), 0);
        let log = fs::read_to_string(road.tunnelled.routers[1 - first].log_of("charon-ike"))?;
        assert!(!log.contains("HA"), "{log}");
        Ok(())
    });
}
