// SPDX-License-Identifier: MIT OR Apache-2.0
//! The DHCP servers and clients of the lab by themselves, without spared: what the other tests of
//! DHCP stand on.

use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use spared_tests::Result;
use spared_tests::dhcp::{
    Client, Filled, Guests4, Guests6, Host4, Host6, Identity, Lease6, Make, Pool, Program, SERVER,
    Server, Setup,
};
use spared_tests::lab::{Lab, scenario};

/// A router alone, with the address that would move.
fn alone(lab: &Lab) -> Result<()> {
    lab.sites[0]
        .ns
        .ip(&format!("addr add {SERVER}/24 dev lan\n"))
}

fn identity(name: &str, id: &[u8]) -> Identity {
    Identity {
        hostname: Some(name.to_owned()),
        client_id: Some(id.to_vec()),
    }
}

fn now_s() -> Result<i64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() as i64)
}

fn started<'l>(lab: &'l Lab, setup: Setup) -> Result<Server<'l>> {
    let server = Server::install(lab, &lab.sites[0], setup)?;
    assert!(!server.runs());
    assert_eq!(server.call("status")?, 3);
    server.start()?;
    assert!(server.runs());
    Ok(server)
}

/// Every fitting client gets a lease, keeps it over a restart of the server, and can give it back.
fn serves_ipv4(lab: &Lab, setup: Setup) -> Result<()> {
    let server = started(lab, setup)?;
    let own_name = server.setup.make == Make::Dnsmasq;
    let mut udhcpc = Client::start(lab, Program::Udhcpc, &identity("anna", b"\xffid"))?;
    let mut dhclient = Client::start(lab, Program::Dhclient4, &identity("berta", b"\0\x01\x02"))?;
    let (first, second) = (udhcpc.wait_for(0)?, dhclient.wait_for(0)?);
    let mut guests = Guests4::new(lab)?;
    let third = guests.lease(&Host4::number(7))?;
    for address in [&first.address, &second.address, &third.address.to_string()] {
        server.wait_lease(address)?;
        let left_s = server.ends(address).unwrap_or_default() - now_s()?;
        assert!(
            (595..=601).contains(&left_s),
            "{address} has {left_s} s left"
        );
    }
    assert_eq!(first.lifetime_s, 600);
    assert_eq!(third.lifetime_s, 600);
    if !own_name {
        let names = [&first.server, &second.server, &third.server.to_string()];
        assert!(
            names.iter().all(|name| **name == SERVER.to_string()),
            "{names:?}"
        );
    }

    server.stop()?;
    assert!(!server.runs());
    server.start()?;
    assert_eq!(udhcpc.renew()?.address, first.address);
    assert_eq!(dhclient.renew()?.address, second.address);
    assert_eq!(guests.renew(&third)?.address, third.address);
    assert_eq!(guests.rebind(&third)?.address, third.address);
    assert_eq!(guests.reboot(&third)?.address, third.address);

    server.kill()?;
    assert_eq!(server.call("status")?, 3);
    server.start()?;
    udhcpc.release()?;
    dhclient.release()?;
    guests.release(&third)?;
    let fourth = guests.lease(&Host4::number(8))?;
    guests.decline(&fourth)?;
    let fifth = guests.lease(&Host4::number(8))?;
    assert_ne!(fourth.address, fifth.address);
    server.stop()
}

fn serves_ipv6(lab: &Lab, setup: Setup) -> Result<()> {
    let server = started(lab, setup)?;
    let mut dhclient = Client::start(lab, Program::Dhclient6, &Identity::default())?;
    let dhcp6c = Client::start(lab, Program::Dhcp6c, &Identity::default())?;
    let (first, second) = (dhclient.wait_for(0)?, dhcp6c.wait_for(0)?);
    let mut guests = Guests6::new(lab)?;
    let third = guests.lease(&Host6::number(7))?;
    for address in [&first.address, &second.address, &third.address.to_string()] {
        server.wait_lease(address)?;
        let left_s = server.ends(address).unwrap_or_default() - now_s()?;
        assert!(
            (595..=601).contains(&left_s),
            "{address} has {left_s} s left"
        );
    }
    assert_eq!(third.valid_s, 600);
    if !matches!(server.setup.make, Make::Dnsmasq6 | Make::Dnsmasq) {
        let prefix = Host6 {
            prefix: true,
            ..Host6::number(9)
        };
        assert_eq!(guests.lease(&prefix)?.length, 64);
    }
    server.stop()?;
    server.start()?;
    assert_eq!(dhclient.renew()?.address, first.address);
    assert_eq!(guests.renew(&third)?.address, third.address);
    assert_eq!(guests.rebind(&third)?.address, third.address);
    let fourth = decline(&mut guests, &third, server.setup.make)?;
    assert_ne!(fourth.address, third.address);
    guests.release(&fourth)?;
    dhclient.release()?;
    server.stop()
}

/// Declines a lease, and takes the next one. dnsmasq remembers no address: each decline moves by one where it
/// begins to look, and a restart forgets that. So if a client declined something before the restart, or had
/// the address before, it offers the same one once more.
fn decline(guests: &mut Guests6, declined: &Lease6, make: Make) -> Result<Lease6> {
    let is_dnsmasq = matches!(make, Make::Dnsmasq6 | Make::Dnsmasq);
    let tries = if is_dnsmasq { 3 } else { 1 };
    let mut next = declined.clone();
    for _ in 0..tries {
        guests.decline(&next)?;
        next = guests.lease(&declined.host)?;
        if next.address != declined.address {
            break;
        }
    }
    Ok(next)
}

fn serves_both(lab: &Lab, ipv4: Setup, ipv6: Setup) -> Result<()> {
    alone(lab)?;
    thread::scope(|scope| {
        let ipv6 = scope.spawn(|| serves_ipv6(lab, ipv6));
        serves_ipv4(lab, ipv4)?;
        ipv6.join().map_err(|_| "IPv6 is not served")?
    })
}

#[test]
fn kea_serves_its_clients() {
    scenario(1, |lab| {
        let setup = |make| Setup {
            socket: true,
            lease_cmds: true,
            ..Setup::new(make)
        };
        serves_both(lab, setup(Make::Kea4), setup(Make::Kea6))
    });
}

#[test]
fn dnsmasq_serves_its_clients() {
    scenario(1, |lab| {
        let (ipv4, ipv6) = (Setup::new(Make::Dnsmasq4), Setup::new(Make::Dnsmasq6));
        serves_both(lab, ipv4, ipv6)?;
        let both = Setup {
            dbus: true,
            ..Setup::new(Make::Dnsmasq)
        };
        let server = started(lab, both)?;
        let lease = Guests4::new(lab)?.lease(&Host4::number(1))?;
        let lease6 = Guests6::new(lab)?.lease(&Host6::number(2))?;
        server.wait_lease(&lease.address.to_string())?;
        server.wait_lease(&lease6.address.to_string())?;
        let names = lab.sites[0].ns.shell(&format!(
            "dbus-send --bus={} --print-reply --dest=org.freedesktop.DBus / \
             org.freedesktop.DBus.ListNames",
            server.bus.as_deref().unwrap_or_default()
        ))?;
        assert!(names.contains("uk.org.thekelleys.dnsmasq"), "{names}");
        Ok(())
    });
}

#[test]
fn dhcpd_serves_its_clients() {
    scenario(1, |lab| {
        serves_both(lab, Setup::new(Make::Dhcpd4), Setup::new(Make::Dhcpd6))
    });
}

#[test]
fn servers_take_files_of_20_000_leases() {
    scenario(1, |lab| {
        alone(lab)?;
        for (ipv4, ipv6) in [
            (Make::Kea4, Some(Make::Kea6)),
            (Make::Dhcpd4, Some(Make::Dhcpd6)),
            (Make::Dnsmasq4, None),
        ] {
            thread::scope(|scope| {
                let ipv6 = ipv6.map(|make| scope.spawn(move || takes_20_000(lab, make)));
                takes_20_000(lab, ipv4)?;
                let result = ipv6.map_or(Ok(Ok(())), |thread| thread.join());
                result.map_err(|_| "IPv6 is not served")?
            })?;
        }
        Ok(())
    });
}

fn takes_20_000(lab: &Lab, make: Make) -> Result<()> {
    let filled = Filled {
        count: 20_000,
        lifetime_s: 3600,
    };
    let setup = Setup {
        pool: Pool::Wide,
        ..Setup::new(make)
    };
    let server = Server::install(lab, &lab.sites[0], setup)?;
    filled.write(&server)?;
    server.start()?;
    if make.is_ipv6() {
        let lease = filled.lease6(19_000);
        let same = Guests6::new(lab)?.rebind(&lease)?;
        assert_eq!(same.address, lease.address, "{make:?}");
    } else {
        let lease = filled.lease4(19_000);
        let same = Guests4::new(lab)?.reboot(&lease)?;
        assert_eq!(same.address, lease.address, "{make:?}");
    }
    server.stop()
}
