// SPDX-License-Identifier: MIT OR Apache-2.0
//! libreswan's pluto in a machine. It is unpacked, not installed, as its package conflicts with strongSwan's.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use super::SECRET;
use crate::Result;
use crate::clock::poll;
use crate::machine::{Machine, STEP};
use crate::recipe::Recipe;

const START_LIMIT: Duration = Duration::from_secs(20);
/// Last lines of pluto's start, after it has loaded its connections.
const LISTENS: &str = "loading secrets from";

static UNPACKED: Recipe = Recipe::new(&["unpack.sh", "libreswan"]);

/// pluto on a machine.
#[derive(Clone, Copy)]
pub struct Pluto<'m> {
    pub machine: &'m Machine,
}

impl<'m> Pluto<'m> {
    /// Skips the test if there is no pluto.
    pub fn require() -> Result<()> {
        UNPACKED.ask().map(drop)
    }

    /// Starts pluto with these connections of ipsec.conf, and waits until it listens.
    pub fn start(machine: &'m Machine, connections: &str) -> Result<Self> {
        let unpacked = UNPACKED.ask()?;
        let dir = machine.dir.display();
        let conf = format!("config setup\n{connections}");
        fs::write(machine.dir.join("ipsec.conf"), conf)?;
        fs::write(
            machine.dir.join("ipsec.secrets"),
            format!(": PSK \"{SECRET}\"\n"),
        )?;
        // pluto starts programs by their path in the package
        let script = format!(
            "set -e\n\
             mount --bind {unpacked}/usr/libexec /usr/libexec\n\
             mkdir -p /run/pluto\n\
             export LD_LIBRARY_PATH={unpacked}/libraries PATH={unpacked}/usr/sbin:$PATH IPSEC_CONF={dir}/ipsec.conf\n\
             exec /usr/libexec/ipsec/pluto --nofork --stderrlog --config {dir}/ipsec.conf --rundir /run/pluto \
             --nssdir {unpacked}/nss --secretsfile {dir}/ipsec.secrets --no-dnssec\n"
        );
        fs::write(machine.dir.join("pluto-start"), script)?;
        machine.forget_files()?;
        machine.spawn("pluto", &format!("unshare -m sh {dir}/pluto-start"))?;
        let pluto = Self { machine };
        if poll(START_LIMIT, STEP, || pluto.log().contains(LISTENS)) {
            return Ok(pluto);
        }
        Err(format!("{}: pluto does not listen: {}", machine.name, pluto.log()).into())
    }

    /// Initiates a connection, and waits until it is up.
    pub fn initiate(&self, connection: &str) -> Result<()> {
        self.whack(&format!("--initiate --name {connection}"))
            .map(drop)
    }

    pub fn rekey_child(&self, connection: &str) -> Result<()> {
        self.whack(&format!("--rekey-ipsec --name {connection}"))
            .map(drop)
    }

    pub fn rekey_ike(&self, connection: &str) -> Result<()> {
        self.whack(&format!("--rekey-ike --name {connection}"))
            .map(drop)
    }

    /// Established IKE SAs, as in `#1: "site":500 STATE_V2_ESTABLISHED_IKE_SA (established IKE SA)`.
    pub fn ike_sas(&self) -> Result<BTreeSet<String>> {
        self.states("(established IKE SA)")
    }

    pub fn children(&self) -> Result<BTreeSet<String>> {
        self.states("(established Child SA)")
    }

    /// Numbers, names and states, without their times.
    fn states(&self, kind: &str) -> Result<BTreeSet<String>> {
        let text = self.whack("--showstates")?;
        let states = text.lines().filter_map(|it| it.split(';').next());
        Ok(states
            .filter(|it| it.contains(kind))
            .map(str::to_owned)
            .collect())
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.machine.log_of("pluto")).unwrap_or_default()
    }

    fn whack(&self, words: &str) -> Result<String> {
        let unpacked = UNPACKED.ask()?;
        self.machine.ok(&format!(
            "LD_LIBRARY_PATH={unpacked}/libraries {unpacked}/usr/libexec/ipsec/whack --rundir /run/pluto {words}"
        ))
    }
}
