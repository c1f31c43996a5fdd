// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tunnels that follow: a router dies or hands over, and the far gateway notices a pause at most.

use std::time::Duration;

use spared_tests::Result;
use spared_tests::clock::Stamp;
use spared_tests::ipsec::{Family, Mode, OwnPings, Stats, Suite, Tunnel, Tunnelled, following};
use spared_tests::lab::scenario;
use spared_tests::probe::Pings;

const SPACING: Duration = Duration::from_millis(5);
const LIMIT: Duration = Duration::from_secs(10);
/// Everything that comes after a takeover has its effect meanwhile.
const CALM: Duration = Duration::from_millis(500);

/// One of each kind, side by side.
fn all_kinds() -> [Tunnel; 4] {
    let tunnels = [
        (Family::V4, Mode::Tunnel, Suite::GcmEsn),
        (Family::V6, Mode::Tunnel, Suite::CbcSha256),
        (Family::V4, Mode::Transport, Suite::CbcSha256),
        (Family::V6, Mode::Transport, Suite::GcmEsn),
    ];
    let mut number = 0;
    tunnels.map(|(family, mode, suite)| {
        number += 1;
        Tunnel {
            spi: 0xc000_0100 + 0x10 * number,
            reqid: number,
            ..Tunnel::new(family, mode, suite)
        }
    })
}

/// Of all four: 3 of a tunnel, 2 of transport mode, which for IPv6 has two kinds of echo.
const POLICIES_OF_ALL: u64 = 3 + 3 + 2 + 4;

/// Pings in both directions through both tunnels, and to the routers' own address.
struct Traffic<'t> {
    through: [Pings; 2],
    from_far: Vec<OwnPings<'t>>,
}

impl<'t> Traffic<'t> {
    fn start(tunnelled: &'t Tunnelled) -> Result<Self> {
        let clients = Family::BOTH.map(Family::client);
        let gateways = Family::BOTH.map(Family::gateway);
        let from_far = clients.into_iter().chain(gateways);
        Ok(Self {
            from_far: from_far
                .map(|to| OwnPings::start(&tunnelled.far, to, SPACING))
                .collect::<Result<_>>()?,
            through: [
                tunnelled.pings(Family::V4, SPACING)?,
                tunnelled.pings(Family::V6, SPACING)?,
            ],
        })
    }

    /// Each loses what the takeover at `fault` costs, and nothing before or after.
    fn assert_one_gap(self, fault: Stamp) -> Result<()> {
        for pings in &self.through {
            let outage = pings.outage_of(fault, CALM, LIMIT).ok_or("no end of it")?;
            assert_eq!(outage.gaps, 1, "{outage:?}");
        }
        for pings in self.from_far {
            assert!(pings.wait_answers(100, LIMIT), "no end of it");
            let outage = pings.stop()?;
            assert_eq!(outage.gaps, 1, "{outage:?}");
        }
        Ok(())
    }
}

#[test]
fn tunnels_of_every_kind_go_on_where_a_dead_router_left_them() {
    scenario(0, |lab| {
        let tunnelled = Tunnelled::boot(lab)?;
        let first = tunnelled.start_spared(&following(""))?;
        let tunnels = all_kinds();
        for tunnel in &tunnels {
            tunnelled.install(tunnel, first)?;
        }
        tunnelled.wait_followed(first, 8, POLICIES_OF_ALL)?;
        let traffic = Traffic::start(&tunnelled)?;
        std::thread::sleep(Duration::from_secs(2));
        let killed = Stamp::now();
        tunnelled.routers[first].kill();
        traffic.assert_one_gap(killed)?;

        // Packets of the far gateway went on meanwhile, so its numbers are beyond what the
        // survivor takes as received.
        let survivor = &tunnelled.routers[1 - first];
        assert_eq!(tunnelled.far.xfrm_errors()?, Stats::new());
        assert_eq!(survivor.xfrm_errors()?, Stats::new());
        assert_eq!(survivor.sas()?.len(), 8);
        Ok(())
    });
}
