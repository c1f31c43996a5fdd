// SPDX-License-Identifier: MIT OR Apache-2.0
//! Servers that run on the backup, too, and take leases while they do.

use std::time::Duration;

use serde_json::json;
use spared_tests::Result;
use spared_tests::clock::poll;
use spared_tests::dhcp::{Duo, Guests4, Guests6, Host4, Host6, Make, Options, Setup};
use spared_tests::lab::scenario;

const WARM: Options = Options {
    warm: true,
    top: "",
    server: "",
    service: "",
    clock_ahead: false,
    tested: false,
    plugins: &[],
};

fn within(limit: Duration, holds: impl FnMut() -> bool) -> bool {
    poll(limit, Duration::from_millis(20), holds)
}

/// Both Keas of a backup run, and were told to be silent: until then, they answer from their start.
fn wait_silenced(duo: &Duo<'_>, site: usize) -> Result<()> {
    duo.wait(&format!("r{} running, silent", site + 1), || {
        let makes = [Make::Kea4, Make::Kea6];
        let silenced = |make| duo.text(site, make, "runs") == "yes, silent";
        makes.into_iter().all(silenced)
    })
}

#[test]
fn kea_takes_leases_while_it_runs_as_backup_and_is_silent() {
    scenario(2, |lab| {
        let setup = |make| Setup {
            socket: true,
            lease_cmds: true,
            ..Setup::new(make)
        };
        let setups = [setup(Make::Kea4), setup(Make::Kea6)];
        let mut duo = Duo::start_with(lab, &setups, WARM)?;
        let old = duo.at()?;
        wait_silenced(&duo, 1 - old)?;
        let (mut guests, mut guests6) = (Guests4::new(lab)?, Guests6::new(lab)?);
        let lease = guests.lease(&Host4::number(1))?;
        let lease6 = guests6.lease(&Host6::number(1))?;
        let other = guests.lease(&Host4::number(2))?;

        // the running server itself knows it
        let there = duo.server(1 - old, Make::Kea4)?;
        let there6 = duo.server(1 - old, Make::Kea6)?;
        let pid = there.pid();
        let holds = |address: &str| {
            let get = json!({"command": "lease4-get", "arguments": {"ip-address": address}});
            let answer = there.ask(&get).unwrap_or_default();
            answer["result"] == 0 && answer["arguments"]["hostname"] == "host-1"
        };
        // a server among others on a busy machine
        let limit = Duration::from_secs(5);
        assert!(within(limit, || holds(&lease.address.to_string())));
        let holds6 = |address: &str| {
            let arguments = json!({"ip-address": address, "type": "IA_NA"});
            let get = json!({"command": "lease6-get", "arguments": arguments});
            there6.ask(&get).is_ok_and(|answer| answer["result"] == 0)
        };
        assert!(within(limit, || holds6(&lease6.address.to_string())));
        // one of both answers
        let span = Duration::from_millis(300);
        assert_eq!(guests.offers(&Host4::number(3), span)?, 1);
        guests.release(&other)?;
        assert!(within(limit, || duo.number(
            1 - old,
            Make::Kea4,
            "records_here"
        ) == Some(1)));

        let new = duo.lose_power()?;
        assert_eq!(
            duo.server(new, Make::Kea4)?.pid(),
            pid,
            "it was started anew"
        );
        let after = guests.rebind(&lease)?;
        assert_eq!(
            (after.address, after.hostname),
            (lease.address, lease.hostname.clone())
        );
        assert_eq!(guests.renew(&lease)?.address, lease.address);
        assert_eq!(guests6.renew(&lease6)?.address, lease6.address);
        duo.power_on(old)?;
        duo.wait_ready()?;
        wait_silenced(&duo, old)?;
        assert!(within(limit, || duo.number(
            old,
            Make::Kea4,
            "records_here"
        ) == Some(1)));
        duo.switch_over()?;
        assert_eq!(guests.renew(&lease)?.address, lease.address);
        assert_eq!(guests.offers(&Host4::number(4), span)?, 1);
        Ok(())
    });
}

#[test]
fn dnsmasq_takes_leases_by_its_bus() {
    scenario(2, |lab| {
        let setup = Setup {
            dbus: true,
            ..Setup::new(Make::Dnsmasq4)
        };
        let mut duo = Duo::start_with(lab, &[setup], WARM)?;
        let old = duo.at()?;
        duo.wait_serving(1 - old)?;
        let mut guests = Guests4::new(lab)?;
        let lease = guests.lease(&Host4::number(1))?;
        let other = guests.lease(&Host4::number(2))?;
        let there = duo.server(1 - old, Make::Dnsmasq4)?;
        let pid = there.pid();
        let limit = Duration::from_secs(2);
        for lease in [&lease, &other] {
            let address = lease.address.to_string();
            assert!(
                within(limit, || there.ends(&address).is_some()),
                "{}",
                there.leases()
            );
        }
        guests.release(&other)?;
        let gone = other.address.to_string();
        assert!(
            within(limit, || there.ends(&gone).is_none()),
            "{}",
            there.leases()
        );
        // the echo of what was added is no commit
        assert!(duo.stays(Duration::from_millis(500), || {
            duo.number(1 - old, Make::Dnsmasq4, "commits") == Some(0)
        }));
        let new = duo.lose_power()?;
        assert_eq!(
            duo.server(new, Make::Dnsmasq4)?.pid(),
            pid,
            "it was started anew"
        );
        let after = guests.renew(&lease)?;
        assert_eq!(
            (after.address, after.hostname),
            (lease.address, lease.hostname)
        );
        Ok(())
    });
}
