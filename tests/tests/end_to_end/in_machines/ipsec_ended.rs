// SPDX-License-Identifier: MIT OR Apache-2.0
//! A tunnel that an administrator ends while the peer cannot hear of it stays away.

use std::time::Duration;

use spared_tests::clock::poll;
use spared_tests::ipsec::{Family, Mode, Suite, Tunnel, Tunnelled, following};
use spared_tests::lab::{Wire, scenario};
use spared_tests::machine::STEP;

const LIMIT: Duration = Duration::from_secs(20);

/// Lines of `ip -batch` that delete what these add.
fn deletions(lines: &str) -> String {
    let deletion = |line: &str| {
        let id = line.split(" reqid ").next().unwrap_or(line);
        let id = id.split(" tmpl ").next().unwrap_or(id);
        id.replacen(" add ", " delete ", 1) + "\n"
    };
    lines.lines().map(deletion).collect()
}

#[test]
fn a_tunnel_that_ended_while_the_link_was_cut_stays_away_when_the_plugin_is_started_again() {
    scenario(0, |lab| {
        let tunnelled = Tunnelled::boot(lab)?;
        let first = tunnelled.start_spared(&following(""))?;
        let (router, node) = (&tunnelled.routers[first], tunnelled.nodes()[first]);
        let stays = Tunnel::new(Family::V4, Mode::Tunnel, Suite::GcmEsn);
        let ends = Tunnel {
            spi: 0xc000_0201,
            reqid: 4243,
            ..Tunnel::new(Family::V6, Mode::Tunnel, Suite::GcmEsn)
        };
        for tunnel in [&stays, &ends] {
            tunnelled.install(tunnel, first)?;
        }
        tunnelled.wait_followed(first, 4, 6)?;

        router.cut(lab, &[Wire::Hot])?;
        router.ip(&deletions(&ends.router_lines()))?;
        let heard = || node.ipsec_number("all.sas") == 2;
        assert!(poll(LIMIT, STEP, heard), "{}", node.log());
        let apart = || node.ipsec("all.peer").as_str() == Some("not there");
        assert!(poll(LIMIT, STEP, apart), "the link is not cut");
        let runs = || router.ok("pgrep -x spared-ipsec").ok();
        let before = runs();
        router.ok("pkill -KILL -x spared-ipsec")?;
        // it is back sooner than a status could be without it
        let is_another = || runs().is_some_and(|it| Some(it) != before);
        assert!(poll(LIMIT, STEP, is_another), "{}", node.log());
        assert!(poll(LIMIT, STEP, heard), "{}", node.log());

        router.join(lab, &[Wire::Hot])?;
        tunnelled.wait_followed(first, 2, 3)?;
        let there: Vec<u32> = router.sas()?.iter().map(|sa| sa.spi).collect();
        assert_eq!(there.len(), 2);
        assert!(there.contains(&stays.spi), "{there:x?}");
        assert_eq!(router.policies()?.len(), 3);
        Ok(())
    });
}
