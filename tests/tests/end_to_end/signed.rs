// SPDX-License-Identifier: MIT OR Apache-2.0
//! A router that signs its adverts, as keepalived 2.4 does with `auth_hmac`: spared hears it, and says that it does not
//! verify that.

use std::time::Duration;

use spared_tests::clock::poll;
use spared_tests::forger::{Forged, Mode};
use spared_tests::lab::{Wire, scenario};
use spared_tests::probe::{Injector, checksum};
use spared_tests::router::{Kind, Plan, Router, Spared};

const INTERVAL: Duration = Duration::from_millis(100);
const LIMIT: Duration = Duration::from_secs(15);
const SIGNER: u8 = 99;

/// An advert of a better router with a signature behind the message, which its checksum does not cover.
fn signed(vrid: u8) -> Vec<u8> {
    let forged = Forged {
        mode: Mode::Multicast,
        is_ipv6: false,
        vrid,
        priority: 250,
        interval_cs: 10,
    };
    let mut frame = forged.frame(SIGNER, 0);
    frame.extend([&[1, 1, 0, 0][..], &[0x5a; 24]].concat());
    let length = u16::try_from(frame.len() - 14).unwrap_or_default();
    frame[16..18].copy_from_slice(&length.to_be_bytes());
    frame[24..26].fill(0);
    let sum = checksum(&[&frame[14..34]]);
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
    frame
}

#[test]
fn a_router_that_signs_its_adverts_is_heard_and_told() {
    scenario(1, |lab| {
        let site = &lab.sites[0];
        let plan = Plan::lan(INTERVAL, 100);
        let router = Router::start(lab, site, Kind::Spared, &plan)?;
        let spared = Spared(&router);
        spared.wait_role("active", LIMIT)?;
        let port = Injector::new(&lab.sw, &format!("{}-{}", site.name, Wire::Lan.name()))?;
        let frame = signed(plan.routers[0].vrid);
        let told = || {
            let _ = port.send(&frame);
            let findings = spared.status().unwrap_or_default().verdict.findings;
            let told = findings.iter().find(|it| it.id == "SP-0216");
            told.is_some_and(|it| it.text.contains(&Wire::Lan.ipv4(SIGNER).to_string()))
        };
        assert!(poll(LIMIT, INTERVAL, told), "{:?}", spared.status());
        assert_eq!(spared.role(), "backup", "it is heard");
        let counters = spared.sparectl(&["vrrp", "counters"])?;
        let counters = String::from_utf8_lossy(&counters.stdout).into_owned();
        assert!(counters.contains("signed"), "{counters}");
        let over = || {
            let findings = spared.status().unwrap_or_default().verdict.findings;
            !findings.iter().any(|it| it.id == "SP-0216")
        };
        assert!(poll(LIMIT, INTERVAL, over), "{:?}", spared.status());
        Ok(())
    });
}
