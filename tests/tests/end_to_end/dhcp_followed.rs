// SPDX-License-Identifier: MIT OR Apache-2.0
//! Leases that a server writes are replicated, whatever happens to its file. If they cannot be, the pair says so
//! within a second.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use spared_tests::Result;
use spared_tests::clock::poll;
use spared_tests::dhcp::{
    Duo, Guests4, Guests6, Host4, Host6, Lease4, Lease6, Make, Options, Setup,
};
use spared_tests::lab::{Lab, scenario};

/// Accidents to the lease file of a server that runs.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// As `logrotate` with `copytruncate`.
    Truncate,
    Move,
    /// As a restore does, and an upgrade's script.
    MoveAndCopyBack,
}

impl Way {
    const ALL: [Self; 3] = [Self::Truncate, Self::Move, Self::MoveAndCopyBack];

    fn strike(self, file: &Path) -> Result<()> {
        let away = beside(file, ".away");
        match self {
            Self::Truncate => {
                fs::copy(file, away)?;
                File::options().write(true).open(file)?.set_len(0)?;
            }
            Self::Move => fs::rename(file, away)?,
            Self::MoveAndCopyBack => {
                fs::rename(file, &away)?;
                fs::copy(away, file)?;
            }
        }
        Ok(())
    }
}

fn beside(file: &Path, suffix: &str) -> PathBuf {
    PathBuf::from(format!("{}{suffix}", file.display()))
}

/// Both families' clients, and what they have.
struct Clients {
    guests: Guests4,
    guests6: Guests6,
    leases: Vec<Lease4>,
    leases6: Vec<Lease6>,
}

impl Clients {
    fn new(lab: &Lab) -> Result<Self> {
        Ok(Self {
            guests: Guests4::new(lab)?,
            guests6: Guests6::new(lab)?,
            leases: Vec::new(),
            leases6: Vec::new(),
        })
    }

    /// So many more of each.
    fn come(&mut self, count: u32) -> Result<()> {
        for _ in 0..count {
            let number = u32::try_from(self.leases.len())?;
            self.leases.push(self.guests.lease(&Host4::number(number))?);
            self.leases6
                .push(self.guests6.lease(&Host6::number(number))?);
        }
        Ok(())
    }

    /// Asserts that the server that runs now has all leases.
    fn stay(&mut self) -> Result<()> {
        for lease in &self.leases {
            assert_eq!(self.guests.renew(lease)?.address, lease.address);
        }
        for lease in &self.leases6 {
            let after = self.guests6.renew(lease)?;
            assert_eq!(
                (after.address, &after.server),
                (lease.address, &lease.server)
            );
        }
        Ok(())
    }
}

fn follow(makes: [Make; 2]) {
    scenario(2, |lab| {
        let mut duo = Duo::start(lab, &makes.map(Setup::new))?;
        let mut clients = Clients::new(lab)?;
        for (way, last) in Way::ALL.into_iter().zip([false, false, true]) {
            clients.come(3)?;
            duo.wait_followed()?;
            let at = duo.at()?;
            for make in makes {
                way.strike(&duo.server(at, make)?.paths.leases)?;
            }
            clients.come(5)?;
            // what was there before the accident, and what came after it
            let count = clients.leases.len() as u64;
            for make in makes {
                let there = || duo.number(1 - at, make, "records_here");
                let followed = poll(Duration::from_secs(1), Duration::from_millis(10), || {
                    there() == Some(count)
                });
                assert!(followed, "{way:?}, {make:?}: {:?} of {count}", there());
            }
            duo.wait_settled()?;
            if last {
                duo.lose_power()?
            } else {
                duo.switch_over()?
            };
            clients.stay()?;
        }
        Ok(())
    });
}

#[test]
fn kea_is_followed_whatever_happens_to_its_file() {
    follow([Make::Kea4, Make::Kea6]);
}

#[test]
fn dnsmasq_is_followed_whatever_happens_to_its_file() {
    follow([Make::Dnsmasq4, Make::Dnsmasq6]);
}

#[test]
fn dhcpd_is_followed_whatever_happens_to_its_file() {
    follow([Make::Dhcpd4, Make::Dhcpd6]);
}

/// The first line and the code of `sparectl status` say that not all is well, and its text why.
fn wait_told(duo: &Duo, site: usize, why: &str) -> Result<()> {
    let mut said = (0, String::new());
    let told = poll(Duration::from_secs(1), Duration::from_millis(50), || {
        said = duo.said(site, &["status"]).unwrap_or_default();
        said.0 == 1 && said.1.contains(why)
    });
    if told {
        Ok(())
    } else {
        Err(format!("r{} does not say {why:?}: {said:?}", site + 1).into())
    }
}

#[test]
fn a_server_that_cannot_be_followed_is_told_of_within_a_second() {
    scenario(2, |lab| {
        let duo = Duo::start(lab, &[Setup::new(Make::Kea4)])?;
        let mut guests = Guests4::new(lab)?;
        let at = duo.at()?;
        let server = duo.server(at, Make::Kea4)?;
        let mut leases = vec![guests.lease(&Host4::number(0))?];
        duo.wait_leases(Make::Kea4, 1)?;
        // larger than any that is read
        let file = OpenOptions::new().write(true).open(&server.paths.leases)?;
        let length = file.metadata()?.len();
        file.set_len(300 << 20)?;
        for site in [at, 1 - at] {
            wait_told(&duo, site, "kea4 cannot be replicated: ")?;
        }
        let (_, events) = duo.said(at, &["events"])?;
        assert!(events.contains("kea4 cannot be replicated"), "{events}");
        file.set_len(length)?;
        drop(file);
        duo.wait_settled()?;
        leases.push(guests.lease(&Host4::number(1))?);
        duo.wait_leases(Make::Kea4, 2)?;

        // a row that no Kea has written
        let mut file = OpenOptions::new().append(true).open(&server.paths.leases)?;
        file.write_all(b"10.1.0.129,garbage\n")?;
        // who has it open for writing is taken for its server
        drop(file);
        for site in [at, 1 - at] {
            wait_told(&duo, site, "1 entry cannot be read")?;
        }
        let (code, text) = duo.said(at, &["switch", "--anyway"])?;
        assert_eq!(code, 0, "{text}");
        duo.wait_serving(1 - at)?;
        duo.wait_settled()?;
        for lease in &leases {
            assert_eq!(guests.renew(lease)?.address, lease.address);
        }
        Ok(())
    });
}

#[test]
fn a_host_name_of_two_lines_loses_no_lease() {
    scenario(2, |lab| {
        let mut duo = Duo::start(lab, &[Setup::new(Make::Kea4)])?;
        let mut guests = Guests4::new(lab)?;
        let odd = Host4 {
            hostname: Some(b"two\nlines".to_vec()),
            ..Host4::number(1)
        };
        let mut leases = Vec::new();
        for host in [Host4::number(0), odd, Host4::number(2)] {
            leases.push(guests.lease(&host)?);
        }
        let here = duo.server(duo.at()?, Make::Kea4)?;
        here.wait_lease("two\nlines")?;
        duo.wait_leases(Make::Kea4, 3)?;
        duo.switch_over()?;
        for lease in &leases {
            assert_eq!(guests.renew(lease)?.address, lease.address);
        }
        Ok(())
    });
}

#[test]
fn a_fresh_pair_without_lease_files_serves_and_follows() {
    scenario(2, |lab| {
        let makes = [Make::Dhcpd4, Make::Dhcpd6];
        let servers = Duo::install(lab, &makes.map(Setup::new))?;
        for server in servers.iter().flatten() {
            fs::remove_file(&server.paths.leases)?;
        }
        let mut duo = Duo::begin(lab, servers, Options::default())?;
        duo.wait_ready()?;
        for server in duo.servers.iter().flatten() {
            assert!(
                server.paths.leases.exists(),
                "{}",
                server.paths.leases.display()
            );
        }
        let mut clients = Clients::new(lab)?;
        clients.come(2)?;
        duo.wait_followed()?;
        duo.switch_over()?;
        clients.stay()
    });
}

#[test]
fn a_backup_whose_disk_is_full_or_read_only_is_told_of_at_the_next_change() {
    scenario(2, |lab| {
        let servers = Duo::install(lab, &[Setup::new(Make::Kea4)])?;
        let disks = [servers[0][0].disk()?, servers[1][0].disk()?];
        let duo = Duo::begin(lab, servers, Options::default())?;
        duo.wait_ready()?;
        let at = duo.at()?;
        let (disk, mut guests) = (&disks[1 - at], Guests4::new(lab)?);
        guests.lease(&Host4::number(0))?;
        duo.wait_leases(Make::Kea4, 1)?;
        duo.wait_settled()?;

        disk.fill()?;
        guests.lease(&Host4::number(1))?;
        for site in [1 - at, at] {
            wait_told(&duo, site, "kB free, and ")?;
        }
        disk.empty()?;
        duo.wait_settled()?;

        disk.remount("ro")?;
        guests.lease(&Host4::number(2))?;
        for site in [1 - at, at] {
            wait_told(&duo, site, "is read-only")?;
        }
        disk.remount("rw")?;
        duo.wait_settled()
    });
}
