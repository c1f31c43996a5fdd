// SPDX-License-Identifier: MIT OR Apache-2.0
//! Lease files to which something happens other than the servers' own writing: clean-ups, torn lines, garbage, and
//! nothing at all. No lease is lost by any of it.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use spared_tests::Result;
use spared_tests::clock::poll;
use spared_tests::dhcp::{
    Duo, Filled, Guests4, Guests6, Host4, Host6, Lease4, Lease6, Make, Options, Pool, Server, Setup,
};
use spared_tests::lab::scenario;

fn append(server: &Server, bytes: &[u8]) -> Result<()> {
    let mut file = OpenOptions::new().append(true).open(&server.paths.leases)?;
    Ok(file.write_all(bytes)?)
}

fn beside(server: &Server, suffix: &str) -> PathBuf {
    PathBuf::from(format!("{}{suffix}", server.paths.leases.display()))
}

/// A router that takes over serves all of them as they are.
fn assert_kept4(guests: &mut Guests4, leases: &[Lease4]) -> Result<()> {
    for lease in leases {
        let after = guests.renew(lease)?;
        assert_eq!(after.address, lease.address);
        assert_eq!(after.hostname, lease.hostname);
    }
    Ok(())
}

fn assert_kept6(guests: &mut Guests6, leases: &[Lease6]) -> Result<()> {
    for lease in leases {
        let after = guests.renew(lease)?;
        assert_eq!(
            (after.address, &after.server),
            (lease.address, &lease.server)
        );
    }
    Ok(())
}

#[test]
fn clean_ups_torn_lines_and_garbage_lose_no_lease() {
    scenario(2, |lab| {
        let kea = Setup {
            lfc_s: 1,
            ..Setup::new(Make::Kea4)
        };
        let mut duo = Duo::start(lab, &[kea, Setup::new(Make::Dnsmasq6)])?;
        let old = duo.at()?;
        let (mut guests, mut guests6) = (Guests4::new(lab)?, Guests6::new(lab)?);

        // Kea moves its file away under the hands of who reads it, again and again
        let here = duo.server(old, Make::Kea4)?;
        let (begun, mut leases, mut cleaned) = (Instant::now(), Vec::new(), false);
        for number in 0..30 {
            leases.push(guests.lease(&Host4::number(number))?);
            cleaned |= beside(here, ".2").exists() || beside(here, ".completed").exists();
            thread::sleep(Duration::from_millis(80));
        }
        assert!(cleaned, "no clean-up in {:?}", begun.elapsed());
        let leases6 = (0..5).map(|number| guests6.lease(&Host6::number(number)));
        let leases6 = leases6.collect::<Result<Vec<_>>>()?;
        duo.wait_leases(Make::Kea4, 30)?;
        duo.wait_leases(Make::Dnsmasq6, 5)?;

        // what the other one finds on its disk is not what it goes by
        let there = duo.server(1 - old, Make::Kea4)?;
        fs::write(beside(there, ".2"), b"address,garbage\n\0\xff\n")?;
        fs::write(&there.paths.leases, b"\xff\0garbage\n10.1.0.128,02:")?;
        let there6 = duo.server(1 - old, Make::Dnsmasq6)?;
        fs::write(&there6.paths.leases, "duid nonsense\ngarbage\n")?;
        // and the last words of the dying router are cut short
        append(here, b"10.1.0.128,02:0c:00:00:00:00,01:02:0c,600,17")?;
        assert!(duo.stays(Duration::from_millis(300), || {
            duo.number(1 - old, Make::Kea4, "records_here") == Some(30)
        }));

        let new = duo.lose_power()?;
        assert_ne!(new, old);
        assert_kept4(&mut guests, &leases)?;
        assert_kept6(&mut guests6, &leases6)?;
        // the new one cleans up as well, and removes the file when it has
        let completed = beside(duo.server(new, Make::Kea4)?, ".completed");
        let (limit, step) = (Duration::from_secs(10), Duration::from_millis(50));
        assert!(poll(limit, step, || !completed.exists()));

        // it comes back with the torn line
        duo.power_on(old)?;
        duo.wait_ready()?;
        duo.wait_leases(Make::Kea4, 30)?;
        duo.switch_over()?;
        assert_kept4(&mut guests, &leases)?;
        assert_kept6(&mut guests6, &leases6)
    });
}

#[test]
fn an_emptied_file_empties_no_peer() {
    scenario(2, |lab| {
        let setups = [Setup::new(Make::Dhcpd4), Setup::new(Make::Kea6)];
        let mut duo = Duo::start(lab, &setups)?;
        let old = duo.at()?;
        let (mut guests, mut guests6) = (Guests4::new(lab)?, Guests6::new(lab)?);
        let leases = (0..10).map(|number| guests.lease(&Host4::number(number)));
        let leases = leases.collect::<Result<Vec<_>>>()?;
        let leases6 = (0..10).map(|number| guests6.lease(&Host6::number(number)));
        let leases6 = leases6.collect::<Result<Vec<_>>>()?;
        duo.wait_leases(Make::Dhcpd4, 10)?;
        duo.wait_leases(Make::Kea6, 10)?;
        for make in [Make::Dhcpd4, Make::Kea6] {
            let server = duo.server(old, make)?;
            fs::write(&server.paths.leases, "")?;
        }
        for make in [Make::Dhcpd4, Make::Kea6] {
            assert!(duo.stays(Duration::from_millis(700), || {
                duo.number(1 - old, make, "records_here") == Some(10)
            }));
        }
        duo.lose_power()?;
        assert_kept4(&mut guests, &leases)?;
        assert_kept6(&mut guests6, &leases6)
    });
}

#[test]
fn leases_that_end_end_on_both() {
    scenario(2, |lab| {
        let kea = Setup {
            lifetime_s: 4,
            hold_s: 0,
            ..Setup::new(Make::Kea4)
        };
        let mut duo = Duo::start(lab, &[kea])?;
        let mut guests = Guests4::new(lab)?;
        let lease = guests.lease(&Host4::number(1))?;
        duo.wait_leases(Make::Kea4, 1)?;
        let left = Duration::from_secs(5).saturating_sub(lease.at.elapsed());
        thread::sleep(left);
        let new = duo.switch_over()?;
        let now_s = spared_tests::clock::Stamp::now().0 / 1_000_000_000;
        let end = duo
            .server(new, Make::Kea4)?
            .ends(&lease.address.to_string());
        assert!(
            end.is_none_or(|end| end <= now_s as i64),
            "{end:?}, now {now_s}"
        );
        // The next who asks may have it; threads of a later Kea hand out addresses in no order.
        let pool = 64;
        for number in 2..2 + pool {
            if guests.lease(&Host4::number(number))?.address == lease.address {
                return Ok(());
            }
        }
        Err(format!("{} was given to nobody again", lease.address).into())
    });
}

#[test]
fn twenty_thousand_leases_follow() {
    const COUNT: u32 = 20_000;
    scenario(2, |lab| {
        let setup = |make| Setup {
            pool: Pool::Wide,
            lifetime_s: 7200,
            ..Setup::new(make)
        };
        let servers = Duo::install(lab, &[setup(Make::Kea4), setup(Make::Dhcpd6)])?;
        let filled = Filled {
            count: COUNT,
            lifetime_s: 7200,
        };
        for server in &servers[0] {
            filled.write(server)?;
        }
        let mut duo = Duo::begin(lab, servers, Options::default())?;
        duo.wait_ready()?;
        duo.wait_leases(Make::Kea4, u64::from(COUNT))?;
        duo.wait_leases(Make::Dhcpd6, u64::from(COUNT))?;
        let (mut guests, mut guests6) = (Guests4::new(lab)?, Guests6::new(lab)?);
        let (lease, lease6) = (filled.lease4(COUNT - 1), filled.lease6(COUNT - 1));
        for _ in 0..2 {
            duo.switch_over()?;
            assert_eq!(guests.rebind(&lease)?.address, lease.address);
            assert_eq!(guests6.rebind(&lease6)?.address, lease6.address);
            let another = guests.lease(&Host4::number(COUNT + 1))?;
            assert!(u32::from(another.address) >= u32::from(Filled::address4(COUNT)));
        }
        let at = duo.at()?;
        for make in [Make::Kea4, Make::Dhcpd6] {
            let text = duo.server(at, make)?.leases();
            let fits = |number: &u32| match make {
                Make::Kea4 => text.contains(&format!("\n{},", Filled::address4(*number))),
                _ => text.contains(&format!("iaaddr {} ", Filled::address6(*number))),
            };
            let missing = (0..COUNT).step_by(97).find(|number| !fits(number));
            assert_eq!(missing, None, "{make:?}");
        }
        Ok(())
    });
}

#[test]
fn two_clients_with_one_address_are_told_of() {
    scenario(2, |lab| {
        let mut duo = Duo::start(lab, &[Setup::new(Make::Kea4)])?;
        let mut guests = Guests4::new(lab)?;
        // each router serves while it knows nothing of the other
        let first = duo.at()?;
        let second = 1 - first;
        duo.power_off(second)?;
        let early = guests.lease(&Host4::number(1))?;
        let only = |duo: &Duo, site| duo.number(site, Make::Kea4, "records_here") == Some(1);
        duo.wait("read", || only(&duo, first))?;
        duo.power_off(first)?;
        duo.power_on(second)?;
        duo.wait_serving(second)?;
        thread::sleep(Duration::from_secs(1));
        let late = guests.lease(&Host4::number(2))?;
        assert_eq!(late.address, early.address);
        duo.wait("read", || only(&duo, second))?;

        duo.power_on(first)?;
        duo.wait_ready()?;
        assert_eq!(duo.at()?, second);
        duo.wait_leases(Make::Kea4, 1)?;
        let counted = |site| duo.number(site, Make::Kea4, "conflicts");
        assert!(poll(
            Duration::from_secs(2),
            Duration::from_millis(20),
            || { counted(second) == Some(1) }
        ));
        let (_, told) = duo.said(second, &["dhcp", "conflicts"])?;
        assert!(told.contains(&late.address.to_string()), "{told}");
        assert!(told.contains("02:0c:00:00:00:01"), "{told}");
        assert!(told.contains("02:0c:00:00:00:02"), "{told}");
        // who asked later keeps it, whoever serves
        duo.switch_over()?;
        assert_eq!(guests.renew(&late)?.address, late.address);
        assert!(duo.said(first, &["dhcp", "diff"])?.0 == 0);
        Ok(())
    });
}
