// SPDX-License-Identifier: MIT OR Apache-2.0
//! A client keeps its address, its name and what is left of its time when the router that gave them
//! loses its power, and when it switches over: with every server, and every client that fits.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::thread;
use std::time::{Duration, Instant};

use spared_tests::Result;
use spared_tests::clock::poll;
use spared_tests::dhcp::{
    Client, Duo, Got, Guests4, Guests6, Host4, Host6, Identity, Lease4, Lease6, Make, Program,
    SERVER, Setup,
};
use spared_tests::lab::{Lab, scenario};

/// Nobody's address, and everybody's trouble: separators, quotes and escapes of all three makes, and
/// bytes that are no text.
const ODD_ID: &[u8] = b"\xff,;:\"\\\n\0 {}#&x2c\x80";
const ODD_NAMES: [&[u8]; 5] = [
    b"comma,semi;colon:",
    b"quote\"back\\slash'",
    b"caf\xc3\xa9",
    b"} # { &#x2c",
    b"-starts.with-dash-",
];
/// Parts of names: whichever of them a server has written, the other's file has, too.
const PIECES: [&str; 7] = [
    "anna",
    "berta",
    "host-3",
    "semi;colon",
    "back\\",
    "caf",
    "starts.with",
];
/// Seconds by which a lease's end may move: less than two are no news, for either node.
const ROUNDING_S: i64 = 4;

/// Clients of one family, with the leases that they hold.
struct Users4 {
    udhcpc: (Client, Got),
    dhclient: (Client, Got),
    guests: Guests4,
    leases: Vec<Lease4>,
    newcomers: u32,
}

struct Users6 {
    dhclient: (Client, Got),
    dhcp6c: (Client, Got),
    guests: Guests6,
    leases: Vec<Lease6>,
    newcomers: u32,
}

impl Users4 {
    fn start(lab: &Lab) -> Result<Self> {
        let identity = |name: &str, id: &[u8]| Identity {
            hostname: Some(name.to_owned()),
            client_id: Some(id.to_vec()),
        };
        let udhcpc = Client::start(lab, Program::Udhcpc, &identity("anna", ODD_ID))?;
        let dhclient = Client::start(lab, Program::Dhclient4, &identity("berta", b"\x01berta"))?;
        let mut guests = Guests4::new(lab)?;
        let mut hosts = vec![
            Host4::number(1),
            Host4 {
                client_id: None,
                hostname: None,
                ..Host4::number(2)
            },
            Host4 {
                client_id: Some([ODD_ID, b"3"].concat()),
                ..Host4::number(3)
            },
        ];
        hosts.extend((10..).zip(ODD_NAMES).map(|(number, name)| Host4 {
            hostname: Some(name.to_vec()),
            ..Host4::number(number)
        }));
        let leases = hosts.iter().map(|host| guests.lease(host));
        let leases = leases.collect::<Result<_>>()?;
        let (first, second) = (udhcpc.wait_for(0)?, dhclient.wait_for(0)?);
        Ok(Self {
            udhcpc: (udhcpc, first),
            dhclient: (dhclient, second),
            guests,
            leases,
            newcomers: 1000,
        })
    }

    fn addresses(&self) -> BTreeSet<Ipv4Addr> {
        let programs = [&self.udhcpc.1, &self.dhclient.1];
        let own = programs
            .into_iter()
            .filter_map(|got| got.address.parse().ok());
        own.chain(self.leases.iter().map(|lease| lease.address))
            .collect()
    }

    /// The small clients ask the server that is there now for what they have; somebody new gets what
    /// nobody has.
    fn renew(&mut self, name: bool) -> Result<()> {
        for lease in &mut self.leases {
            let after = self.guests.renew(lease)?;
            assert_eq!(after.address, lease.address);
            assert_eq!(after.hostname, lease.hostname);
            if name {
                assert_eq!(after.server, SERVER);
            }
            *lease = after;
        }
        self.newcomers += 1;
        let newcomer = self.guests.lease(&Host4::number(self.newcomers))?;
        assert!(!self.addresses().contains(&newcomer.address));
        self.leases.push(newcomer);
        Ok(())
    }
}

impl Users6 {
    fn start(lab: &Lab) -> Result<Self> {
        let dhclient = Client::start(lab, Program::Dhclient6, &Identity::default())?;
        let dhcp6c = Client::start(lab, Program::Dhcp6c, &Identity::default())?;
        let mut guests = Guests6::new(lab)?;
        let hosts = [
            Host6::number(1),
            Host6 {
                hostname: None,
                iaid: u32::MAX,
                ..Host6::number(2)
            },
            Host6 {
                duid: [b"\0\x02", ODD_ID].concat(),
                ..Host6::number(3)
            },
        ];
        let leases = hosts.iter().map(|host| guests.lease(host));
        let leases = leases.collect::<Result<_>>()?;
        let (first, second) = (dhclient.wait_for(0)?, dhcp6c.wait_for(0)?);
        Ok(Self {
            dhclient: (dhclient, first),
            dhcp6c: (dhcp6c, second),
            guests,
            leases,
            newcomers: 1000,
        })
    }

    fn add_prefix(&mut self) -> Result<()> {
        let host = Host6 {
            prefix: true,
            ..Host6::number(4)
        };
        self.leases.push(self.guests.lease(&host)?);
        Ok(())
    }

    fn addresses(&self) -> BTreeSet<Ipv6Addr> {
        let programs = [&self.dhclient.1, &self.dhcp6c.1];
        let own = programs
            .into_iter()
            .filter_map(|got| got.address.parse().ok());
        own.chain(self.leases.iter().map(|lease| lease.address))
            .collect()
    }

    /// Renews all leases, and has a newcomer get one. A server with another DUID than the one that gave a lease would
    /// not answer.
    fn renew(&mut self) -> Result<()> {
        for lease in &mut self.leases {
            let after = self.guests.renew(lease)?;
            assert_eq!((after.address, after.length), (lease.address, lease.length));
            assert_eq!(after.server, lease.server);
            *lease = after;
        }
        self.newcomers += 1;
        let newcomer = self.guests.lease(&Host6::number(self.newcomers))?;
        assert!(!self.addresses().contains(&newcomer.address));
        self.leases.push(newcomer);
        Ok(())
    }
}

/// The ends of all leases by a site's file.
fn ends(duo: &Duo, site: usize, make: Make, addresses: &[String]) -> Result<Vec<i64>> {
    let server = duo.server(site, make)?;
    let end = |address: &String| {
        let mut end = None;
        // a server may answer before it writes
        poll(Duration::from_secs(1), Duration::from_millis(5), || {
            end = server.ends(address);
            end.is_some()
        });
        end.ok_or_else(|| {
            let (make, file) = (make.name(), server.leases());
            format!("{make} of r{} has no {address}:\n{file}", site + 1).into()
        })
    };
    addresses.iter().map(end).collect()
}

fn assert_same_ends(before: &[i64], after: &[i64], what: &str) {
    for (one, other) in before.iter().zip(after) {
        assert!(
            (one - other).abs() <= ROUNDING_S,
            "{what}: {before:?} became {after:?}"
        );
    }
    assert_eq!(before.len(), after.len());
}

struct Scene<'l> {
    duo: Duo<'l>,
    makes: [Make; 2],
    ipv4: Users4,
    ipv6: Users6,
    /// Leases that clients gave back before the next change.
    gone: Vec<(Make, String)>,
}

impl<'l> Scene<'l> {
    fn start(lab: &'l Lab, makes: [Make; 2]) -> Result<Self> {
        let mut setups = vec![Setup::new(makes[0])];
        if makes[0] != makes[1] {
            setups.push(Setup::new(makes[1]));
        }
        let duo = Duo::start(lab, &setups)?;
        let (mut ipv4, mut ipv6) = (Users4::start(lab)?, Users6::start(lab)?);
        if !matches!(makes[1], Make::Dnsmasq | Make::Dnsmasq6) {
            ipv6.add_prefix()?;
        }
        // names are compared with what the same client hears when nothing has happened
        ipv4.renew(false)?;
        let mut scene = Self {
            duo,
            makes,
            ipv4,
            ipv6,
            gone: Vec::new(),
        };
        scene.renew_programs()?;
        Ok(scene)
    }

    fn addresses(&self) -> [Vec<String>; 2] {
        let ipv4 = self.ipv4.addresses().into_iter().map(|it| it.to_string());
        let ipv6 = self.ipv6.addresses().into_iter().map(|it| it.to_string());
        [ipv4.collect(), ipv6.collect()]
    }

    fn all_ends(&self, site: usize) -> Result<[Vec<i64>; 2]> {
        let [ipv4, ipv6] = self.addresses();
        Ok([
            ends(&self.duo, site, self.makes[0], &ipv4)?,
            ends(&self.duo, site, self.makes[1], &ipv6)?,
        ])
    }

    fn names(&self, site: usize) -> Result<Vec<&'static str>> {
        let text = self.duo.server(site, self.makes[0])?.leases();
        let written = PIECES.into_iter().filter(|piece| text.contains(piece));
        Ok(written.collect())
    }

    /// The other one takes over by `change`; everybody renews there.
    fn survive(&mut self, change: impl Fn(&mut Duo<'l>) -> Result<usize>) -> Result<()> {
        let old = self.duo.at()?;
        self.duo.wait_followed()?;
        let before = self.all_ends(old)?;
        let names = self.names(old)?;
        let begun = Instant::now();
        let new = change(&mut self.duo)?;
        eprintln!("r{} serves after {:?}", new + 1, begun.elapsed());
        assert_eq!(self.names(new)?, names);
        assert_ne!(old, new);
        let after = self.all_ends(new)?;
        for family in [0, 1] {
            let make = self.makes[family].name();
            assert_same_ends(&before[family], &after[family], make);
        }
        for (make, address) in self.gone.drain(..) {
            let server = self.duo.server(new, make)?;
            assert_eq!(server.ends(&address), None, "{address}");
        }
        self.ipv4.renew(self.makes[0] != Make::Dnsmasq)?;
        self.ipv6.renew()?;
        self.renew_programs()?;
        for make in self.makes {
            assert!(self.duo.server(new, make)?.has_its_file(), "{make:?}");
        }
        Ok(())
    }

    /// Renewals by real programs, whose patience is longer: the server answers by now.
    fn renew_programs(&mut self) -> Result<()> {
        let asked = [
            self.ipv4.udhcpc.0.ask()?,
            self.ipv4.dhclient.0.ask()?,
            self.ipv6.dhclient.0.ask()?,
        ];
        let programs = [&self.ipv4.udhcpc, &self.ipv4.dhclient, &self.ipv6.dhclient];
        for ((client, before), asked) in programs.into_iter().zip(asked) {
            let after = client.wait_for(asked)?;
            assert_eq!(after.address, before.address, "{:?}", client.program);
            assert_eq!(after.hostname, before.hostname, "{:?}", client.program);
            // dhcpd writes nothing, and says what is left, where little has passed
            let lost_s = before.lifetime_s.saturating_sub(after.lifetime_s);
            assert!(lost_s < 60, "{after:?}");
        }
        Ok(())
    }

    /// Given back, or refused: neither is anybody's after the next change.
    fn give_back(&mut self) -> Result<()> {
        let given = self.ipv4.leases.remove(0);
        self.ipv4.guests.release(&given)?;
        let refused = self.ipv4.leases.remove(0);
        self.ipv4.guests.decline(&refused)?;
        let given6 = self.ipv6.leases.remove(0);
        self.ipv6.guests.release(&given6)?;
        let at = self.duo.at()?;
        let gone = [
            (self.makes[0], given.address.to_string()),
            (self.makes[1], given6.address.to_string()),
        ];
        for (make, address) in &gone {
            let server = self.duo.server(at, *make)?;
            let ended = || server.ends(address).is_none();
            self.duo.wait("given back", ended)?;
        }
        self.gone = gone.into();
        self.survive(Duo::switch_over)
    }

    /// Asserts that a change which one node sends does not come back to it.
    fn assert_quiet(&self) -> Result<()> {
        self.duo.wait_followed()?;
        let counters = || {
            let mut counters = Vec::new();
            for site in [0, 1] {
                for make in self.makes {
                    for key in ["commits", "received", "conflicts", "refused"] {
                        counters.push(self.duo.number(site, make, key));
                    }
                }
            }
            counters
        };
        let before = counters();
        thread::sleep(Duration::from_secs(1));
        assert_eq!(counters(), before);
        Ok(())
    }

    fn play(&mut self) -> Result<()> {
        self.assert_quiet()?;
        self.survive(Duo::lose_power)?;
        let old = 1 - self.duo.at()?;
        self.duo.power_on(old)?;
        self.duo.wait_ready()?;
        self.duo.wait_silent(old)?;
        self.survive(Duo::switch_over)?;
        self.give_back()?;
        self.assert_quiet()?;
        for site in [0, 1] {
            for make in self.makes {
                assert_eq!(self.duo.number(site, make, "conflicts"), Some(0));
                assert_eq!(self.duo.number(site, make, "refused"), Some(0));
            }
        }
        Ok(())
    }
}

#[test]
fn leases_of_kea_outlive_their_router() {
    scenario(2, |lab| Scene::start(lab, [Make::Kea4, Make::Kea6])?.play());
}

#[test]
fn leases_of_dnsmasq_outlive_their_router() {
    scenario(2, |lab| {
        Scene::start(lab, [Make::Dnsmasq4, Make::Dnsmasq6])?.play()
    });
}

#[test]
fn leases_of_dhcpd_outlive_their_router() {
    scenario(2, |lab| {
        Scene::start(lab, [Make::Dhcpd4, Make::Dhcpd6])?.play()
    });
}
