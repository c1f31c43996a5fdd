//! Reads charon's lists: loaded connections, SAs, and pools.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hasher;
use std::net::IpAddr;

use siphasher::sip::SipHasher13;

use crate::connections::{self, Listed, Pool};
use crate::engine::{ChildName, NamedSpi};
use crate::sessions::{IkeSpis, RunningIke};

use super::client::{Client, Fault};
use super::codec::Section;

/// Limit of entries, which no charon reaches.
const MAX: usize = 65_536;

/// Loaded connections by name.
pub type Connections = BTreeMap<String, Connection>;

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Connection {
    pub children: BTreeSet<String>,
    /// The connection can only respond: no address of the far end is known.
    pub responds_only: bool,
    pub local: Vec<String>,
    /// The connection uses IKEv1 only.
    pub is_ikev1: bool,
    /// Uniqueness policy as charon writes it: "UNIQUE_NO".
    pub unique: String,
    /// Digest of all that charon reports of it.
    pub digest: u64,
}

/// SAs of all connections.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Sas {
    /// IKE SAs with keys.
    pub ikes: BTreeMap<IkeSpis, RunningIke>,
    pub children: Vec<Child>,
    /// Connections with an IKE SA that is creating a child.
    pub busy: BTreeSet<String>,
    /// IKE SAs of version 2 that charon has begun and that have no keys yet: numbers and connections.
    pub connecting: Vec<(String, String)>,
    /// Connections with an IKE SA that charon initiated, and whether one of them shows MOBIKE.
    pub mobike: BTreeMap<String, bool>,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Child {
    pub name: ChildName,
    pub is_installed: bool,
    /// Inbound and outbound SPI.
    pub spis: [Option<u32>; 2],
}

/// # Errors
/// charon could not be queried.
pub fn connections(client: &mut Client) -> Result<Connections, Fault> {
    let mut all = Connections::new();
    client.request_all("list-conns", "list-conn", |message| {
        for (name, section) in message.sections() {
            if all.len() < MAX {
                all.insert(name.to_owned(), connection(section));
            }
        }
    })?;
    Ok(all)
}

/// Returns the release of strongSwan, if charon tells it.
///
/// # Errors
/// charon could not be queried.
pub fn release(client: &mut Client) -> Result<Option<String>, Fault> {
    match client.request("version", Section::new()) {
        Ok(answer) => Ok(answer.text("version").map(str::to_owned)),
        Err(Fault::Refused(_)) => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// # Errors
/// charon could not be queried.
pub fn sas(client: &mut Client) -> Result<Sas, Fault> {
    let mut all = Sas::default();
    client.request_all("list-sas", "list-sa", |message| {
        for (name, section) in message.sections() {
            all.add(name, section);
        }
    })?;
    Ok(all)
}

/// Returns connections and pools, with what the SAs show of them.
///
/// # Errors
/// charon could not be queried.
pub fn all(client: &mut Client) -> Result<Listed, Fault> {
    let all = connections(client)?;
    let mobike = sas(client)?.mobike;
    let each = all.into_iter().map(|(name, it)| connections::Connection {
        mobike: mobike.get(&name).copied(),
        name,
        digest: it.digest,
        local: it.local,
        responds_only: it.responds_only,
        is_ikev1: it.is_ikev1,
        unique: it.unique,
    });
    Ok(Listed {
        connections: each.collect(),
        pools: pools(client)?.into_iter().map(|(pool, _)| pool).collect(),
    })
}

/// Returns pools, and the number of leases that charon has assigned from each; none if charon has no pools.
///
/// # Errors
/// charon could not be queried.
pub fn pools(client: &mut Client) -> Result<Vec<(Pool, u64)>, Fault> {
    let all = match client.request("get-pools", Section::new()) {
        Ok(all) => all,
        Err(Fault::Refused(_)) => return Ok(Vec::new()),
        Err(fault) => return Err(fault),
    };
    let pools = all.sections().filter_map(|(name, section)| {
        let number = |name| section.text(name)?.parse::<u64>().ok();
        let pool = Pool {
            name: name.to_owned(),
            base: section.text("base")?.parse().ok()?,
            size: number("size").filter(|size| *size > 0)?,
        };
        let leases = ["online", "offline"].map(|status| number(status).unwrap_or_default());
        Some((pool, leases[0].saturating_add(leases[1])))
    });
    Ok(pools.take(MAX).collect())
}

/// Returns addresses of a pool that charon has assigned to clients which are still connected.
///
/// # Errors
/// charon could not be queried.
pub fn assigned(client: &mut Client, pool: &str) -> Result<BTreeSet<IpAddr>, Fault> {
    let wanted = Section::new().value("leases", "yes").value("name", pool);
    let all = client.request("get-pools", wanted)?;
    let pools = all.sections().filter(|(name, _)| *name == pool);
    let leases = pools.flat_map(|(_, pool)| pool.sections_of("leases"));
    let online = leases.filter(|(_, lease)| lease.text("status") == Some("online"));
    let addresses = online.filter_map(|(_, lease)| lease.text("address")?.parse().ok());
    Ok(addresses.collect())
}

/// Replaces the pool of this name by one with this range.
///
/// # Errors
/// charon refused it, as when a client has an address of the present pool.
pub fn load_pool(client: &mut Client, pool: &Pool) -> Result<(), Fault> {
    let addrs = Section::new().value("addrs", pool.range());
    let message = Section::new().section(&pool.name, addrs);
    client.request("load-pool", message).map(drop)
}

fn connection(section: &Section) -> Connection {
    let children = section.sections_of("children").map(|(name, _)| name);
    let mut remotes = section.texts("remote_addrs").peekable();
    let local = section.texts("local_addrs").map(str::to_owned);
    Connection {
        children: children.map(str::to_owned).collect(),
        responds_only: remotes.peek().is_some() && remotes.all(connections::is_any_address),
        local: local.collect(),
        is_ikev1: section.text("version") == Some("IKEv1"),
        unique: section.text("unique").unwrap_or_default().to_owned(),
        digest: digest(section),
    }
}

/// Returns a digest that is equal on both nodes.
fn digest(section: &Section) -> u64 {
    let mut hash = SipHasher13::new();
    hash.write(&section.bytes());
    hash.finish()
}

/// Returns an IKE SA that has keys.
fn running(section: &Section) -> Option<(IkeSpis, RunningIke)> {
    let spi = |name| u64::from_str_radix(section.text(name)?, 16).ok();
    let spis = IkeSpis(spi("initiator-spi")?, spi("responder-spi")?);
    let running = RunningIke {
        end: section.text("local-host").and_then(|it| it.parse().ok()),
        is_initiator: section.text("initiator") == Some("yes"),
        is_ikev1: section.text("version") == Some("1"),
    };
    let is_connecting = section.text("state") == Some("CONNECTING");
    Some((spis, running)).filter(|_| !is_connecting)
}

/// Returns the number of an IKE SA of version 2 that charon has begun, while it has no keys.
fn connecting(section: &Section) -> Option<String> {
    let is = |name, value| section.text(name) == Some(value);
    let is_so = is("state", "CONNECTING") && is("initiator", "yes") && is("version", "2");
    section
        .text("uniqueid")
        .filter(|_| is_so)
        .map(str::to_owned)
}

/// Has charon give up IKE SAs of these connections that it has begun and that have no keys yet. It tells the far ends
/// nothing.
///
/// # Errors
/// charon could not be queried.
pub fn give_up(client: &mut Client, connections: &BTreeSet<String>) -> Result<usize, Fault> {
    let begun = sas(client)?.connecting.into_iter();
    let mut given_up = 0;
    for (number, _) in begun.filter(|(_, it)| connections.contains(it)) {
        let message = Section::new()
            .value("ike-id", &number)
            .value("force", "yes");
        match client.request("terminate", message) {
            Ok(_) => given_up += 1,
            // it has just ended
            Err(Fault::Refused(_)) => {}
            Err(fault) => return Err(fault),
        }
    }
    Ok(given_up)
}

/// Returns true if an IKE SA that charon initiated has left port 500 although there is no NAT, as MOBIKE does; None if
/// it cannot be determined.
fn shows_mobike(section: &Section) -> Option<bool> {
    let is = |name, value| section.text(name) == Some(value);
    let began = is("initiator", "yes") && is("version", "2") && is("state", "ESTABLISHED");
    if !began || section.get("nat-any").is_some() {
        return None;
    }
    match (section.text("local-port")?, section.text("remote-port")?) {
        (_, "500") => Some(false),
        (local, "4500") => (local != "500").then_some(true),
        _ => None,
    }
}

impl Sas {
    fn add(&mut self, ike: &str, section: &Section) {
        let tasks = ["tasks-queued", "tasks-active"];
        let mut tasks = tasks.iter().flat_map(|list| section.texts(list));
        let makes_child = tasks.any(|task| task == "CHILD_CREATE" || task == "QUICK_MODE");
        if self.busy.len() < MAX && (section.text("state") == Some("CONNECTING") || makes_child) {
            self.busy.insert(ike.to_owned());
        }
        if let Some((spis, running)) = running(section).filter(|_| self.ikes.len() < MAX) {
            self.ikes.insert(spis, running);
        }
        if let Some(number) = connecting(section).filter(|_| self.connecting.len() < MAX) {
            self.connecting.push((number, ike.to_owned()));
        }
        if let Some(shows) = shows_mobike(section).filter(|_| self.mobike.len() < MAX) {
            *self.mobike.entry(ike.to_owned()).or_default() |= shows;
        }
        for (_, child) in section.sections_of("child-sas") {
            let Some(name) = child.text("name").filter(|_| self.children.len() < MAX) else {
                continue;
            };
            let spi = |name| u32::from_str_radix(child.text(name)?, 16).ok();
            self.children.push(Child {
                name: ChildName {
                    ike: ike.to_owned(),
                    child: name.to_owned(),
                },
                is_installed: child.text("state") == Some("INSTALLED"),
                spis: [spi("spi-in"), spi("spi-out")],
            });
        }
    }

    /// Returns each SPI once, in order.
    pub fn names(&self) -> Vec<NamedSpi> {
        let each = self.children.iter().flat_map(|child| {
            let spis = child.spis.iter().flatten().filter(|spi| **spi != 0);
            spis.map(move |spi| (*spi, child))
        });
        let by_spi: BTreeMap<u32, &Child> = each.collect();
        let names = by_spi.into_iter().map(|(spi, child)| NamedSpi {
            spi,
            name: child.name.clone(),
            is_up: child.is_installed,
        });
        names.collect()
    }

    /// Returns true if a child is up that is none of the known ones.
    pub fn is_fresh(&self, name: &ChildName, known: &BTreeSet<u32>) -> bool {
        self.children.iter().any(|child| {
            let mut spis = child.spis.iter().flatten();
            child.name == *name && child.is_installed && spis.any(|spi| !known.contains(spi))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(child: &str) -> ChildName {
        ChildName {
            ike: "far".to_owned(),
            child: child.to_owned(),
        }
    }

    fn child(name: &str, state: &str, spis: [&str; 2]) -> Section {
        Section::new()
            .value("name", name)
            .value("state", state)
            .value("spi-in", spis[0])
            .value("spi-out", spis[1])
    }

    fn sas(state: &str, tasks: &[&str]) -> Sas {
        let children = Section::new()
            .section("net-1", child("net", "INSTALLED", ["c2674071", "cd4254c5"]))
            .section("dmz-2", child("dmz", "CREATED", ["00000000", "no number"]));
        let far = Section::new()
            .value("state", state)
            .value("initiator-spi", "b7a1d6a6d1cc0001")
            .value("responder-spi", "0000000000000002")
            .value("local-host", "192.0.2.1")
            .value("version", "1")
            .list("tasks-active", tasks)
            .section("child-sas", children);
        let mut sas = Sas::default();
        sas.add("far", &far);
        sas
    }

    #[test]
    fn both_directions_of_a_child_have_its_name() {
        let named = |spi| NamedSpi {
            spi,
            name: name("net"),
            is_up: true,
        };
        let names = sas("ESTABLISHED", &[]).names();
        assert_eq!(names, [named(0xc267_4071), named(0xcd42_54c5)]);
    }

    #[test]
    fn an_ike_sa_has_keys_when_it_has_connected() {
        let of = |state| sas(state, &[]).ikes.into_iter().next();
        let running = RunningIke {
            end: Some([192, 0, 2, 1].into()),
            is_initiator: false,
            is_ikev1: true,
        };
        let expected = Some((IkeSpis(0xb7a1_d6a6_d1cc_0001, 2), running));
        let found = ["ESTABLISHED", "PASSIVE", "CONNECTING"].map(of);
        assert_eq!(found, [expected, expected, None]);
    }

    #[test]
    fn a_child_is_fresh_when_it_is_up_with_a_number_of_its_own() {
        let sas = sas("ESTABLISHED", &[]);
        let known = |spis: &[u32]| spis.iter().copied().collect();
        assert!(sas.is_fresh(&name("net"), &known(&[])));
        assert!(sas.is_fresh(&name("net"), &known(&[0xcd42_54c5])));
        assert!(!sas.is_fresh(&name("net"), &known(&[0xcd42_54c5, 0xc267_4071])));
        assert!(!sas.is_fresh(&name("dmz"), &known(&[])));
    }

    #[test]
    fn a_connection_is_busy_while_it_connects_or_makes_a_child() {
        let is_busy = |sas: Sas| sas.busy.contains("far");
        assert!(!is_busy(sas("ESTABLISHED", &["IKE_DPD"])));
        assert!(is_busy(sas("ESTABLISHED", &["CHILD_CREATE"])));
        assert!(is_busy(sas("CONNECTING", &[])));
    }

    #[test]
    fn what_charon_has_begun_is_what_it_may_give_up() {
        let begun = |words: &str| {
            let pairs = words.split(' ').filter_map(|word| word.split_once('='));
            let section = pairs.fold(Section::new(), |all, (name, value)| all.value(name, value));
            connecting(&section)
        };
        let all = "uniqueid=7 version=2 state=CONNECTING initiator=yes";
        assert_eq!(begun(all).as_deref(), Some("7"));
        for other in [
            "uniqueid=7 version=1 state=CONNECTING initiator=yes",
            "uniqueid=7 version=2 state=ESTABLISHED initiator=yes",
            "uniqueid=7 version=2 state=CONNECTING",
            "version=2 state=CONNECTING initiator=yes",
        ] {
            assert_eq!(begun(other), None, "{other}");
        }
    }

    #[test]
    fn an_own_ike_sa_beside_port_500_without_nat_shows_mobike() {
        let shows = |words: &str| {
            let pairs = words.split(' ').filter_map(|word| word.split_once('='));
            let section = pairs.fold(Section::new(), |all, (name, value)| all.value(name, value));
            shows_mobike(&section)
        };
        let own = "initiator=yes version=2 state=ESTABLISHED";
        let floated = "local-port=4500 remote-port=4500";
        assert_eq!(shows(&format!("{own} {floated}")), Some(true));
        let still = "local-port=500 remote-port=500";
        assert_eq!(shows(&format!("{own} {still}")), Some(false));
        for unknown in [
            format!("{own} {floated} nat-local=yes nat-any=yes"),
            format!("{own} local-port=500 remote-port=4500"),
            format!("version=2 state=ESTABLISHED {floated}"),
            format!("initiator=yes version=1 state=ESTABLISHED {floated}"),
            format!("initiator=yes version=2 state=CONNECTING {floated}"),
            own.to_owned(),
        ] {
            assert_eq!(shows(&unknown), None, "{unknown}");
        }
    }

    #[test]
    fn a_connection_waits_where_nobody_is_known_to_call() {
        let responds_only = |remotes: &[&str]| {
            connection(&Section::new().list("remote_addrs", remotes)).responds_only
        };
        for remotes in [
            &["%any"][..],
            &["%any4", "%any6"],
            &["0.0.0.0/0", "::/0"],
            &["192.0.2.1-192.0.2.9"],
        ] {
            assert!(responds_only(remotes), "{remotes:?}");
        }
        for remotes in [
            &["192.0.2.9"][..],
            &["gate-9.example"],
            &["%any", "::1"],
            &[],
        ] {
            assert!(!responds_only(remotes), "{remotes:?}");
        }
    }
}
