// SPDX-License-Identifier: MIT OR Apache-2.0
//! Routes that charon makes for its tunnels, where no other leads there: the node that takes over has them at
//! once, charon's own take their place, and they go with the role.

use std::thread;
use std::time::Duration;

use spared_tests::Result;
use spared_tests::clock::{Stamp, poll};
use spared_tests::ipsec::{Charon, Connection, Family, Side, Tunnelled, asking};
use spared_tests::lab::scenario;
use spared_tests::machine::{Machine, STEP};

const SPACING: Duration = Duration::from_millis(5);
const LIMIT: Duration = Duration::from_secs(20);
const CALM: Duration = Duration::from_millis(500);
/// Longest outage by a failover between machines, which begins after 1.4 s of silence.
const FAILOVER: Duration = Duration::from_secs(4);
/// The last message of a negotiation is understood within this.
const ANSWER: Duration = Duration::from_millis(150);
const OURS: &str = "proto 215";

/// Routers whose only way to the far network is charon's, and a tunnel of the active one.
fn start(tunnelled: &Tunnelled) -> Result<usize> {
    let (v4, v6) = (Family::V4.inner_network(), Family::V6.inner_network());
    for router in &tunnelled.routers {
        router.ip(&format!("route del {v4}\nroute del {v6}\n"))?;
    }
    let first = tunnelled.start_spared(&asking())?;
    Charon::start(&tunnelled.far, Side::Far, &connection())?;
    Charon::start(&tunnelled.routers[first], Side::Router, &connection())?.initiate()?;
    tunnelled.wait_followed(first, 2, 3)?;
    let routes = routes(&tunnelled.routers[first])?;
    assert!(routes.contains(v4), "charon makes no route: {routes}");
    assert!(!routes.contains(OURS), "{routes}");
    Ok(first)
}

fn connection() -> Connection {
    Connection {
        lines: "unique = never\n mobike = no".to_owned(),
        ..Connection::default()
    }
}

fn routes(router: &Machine) -> Result<String> {
    router.ok("ip route show table 220 2>/dev/null || true")
}

fn rules(router: &Machine) -> Result<String> {
    router.ok("ip rule show pref 219")
}

#[test]
fn a_failover_where_the_wan_is_not_the_default_route_takes_a_failovers_time() {
    scenario(0, |lab| {
        let tunnelled = Tunnelled::boot(lab)?;
        let first = start(&tunnelled)?;
        let pings = tunnelled.pings(Family::V4, SPACING)?;
        thread::sleep(Duration::from_secs(1));
        let killed = Stamp::now();
        tunnelled.routers[first].kill();
        let outage = pings.outage_of(killed, CALM, LIMIT).ok_or("no end of it")?;
        println!("a death: {outage:?}");
        assert!(outage.gaps == 1 && outage.longest < FAILOVER, "{outage:?}");
        let survivor = &tunnelled.routers[1 - first];
        let there = routes(survivor)?;
        let way = "10.9.0.0/24 via 10.2.0.3 dev wan proto 215 src 10.1.0.1";
        assert!(there.contains(way), "{there}");
        assert!(
            rules(survivor)?.contains("lookup 220"),
            "{}",
            rules(survivor)?
        );

        // the next daemon's own takes its place
        let started = Stamp::now();
        Charon::start(survivor, Side::Router, &connection())?;
        let native = || {
            let all = routes(survivor).unwrap_or_default();
            all.contains("10.9.0.0/24") && all.contains("proto static") && !all.contains(OURS)
        };
        assert!(poll(LIMIT, STEP, native), "{}", routes(survivor)?);
        let gone = || rules(survivor).is_ok_and(|it| it.trim().is_empty());
        assert!(poll(LIMIT, STEP, gone), "{}", rules(survivor)?);
        let outage = pings
            .outage_of(started, CALM, LIMIT)
            .ok_or("no end of it")?;
        assert!(outage.gaps <= 1 && outage.longest < ANSWER, "{outage:?}");
        Ok(())
    });
}

#[test]
fn routes_go_with_the_role() {
    scenario(0, |lab| {
        let tunnelled = Tunnelled::boot(lab)?;
        let first = start(&tunnelled)?;
        let pings = tunnelled.pings(Family::V4, SPACING)?;
        let answers = || {
            let since = Stamp::now();
            poll(LIMIT, STEP, || pings.counts(since).1 > 100)
        };
        let other = &tunnelled.routers[1 - first];
        tunnelled.switch_to(1 - first)?;
        assert!(answers(), "no way into the tunnel: {}", routes(other)?);
        assert!(routes(other)?.contains(OURS), "{}", routes(other)?);
        tunnelled.switch_to(first)?;
        assert!(
            answers(),
            "no way back: {}",
            routes(&tunnelled.routers[first])?
        );
        let gone = || {
            let none = |text: Result<String>| text.is_ok_and(|it| it.trim().is_empty());
            none(routes(other)) && none(rules(other))
        };
        assert!(
            poll(LIMIT, STEP, gone),
            "{}{}",
            routes(other)?,
            rules(other)?
        );
        Ok(())
    });
}
