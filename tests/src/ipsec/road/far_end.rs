// SPDX-License-Identifier: MIT OR Apache-2.0
//! IKE daemons of the far ends.

use std::collections::BTreeSet;
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::Result;
use crate::ipsec::{Charon, Pluto, Release};

/// Daemon of the far ends, as a setup names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FarDaemon {
    Charon(Release),
    Pluto,
}

/// The running daemon.
#[derive(Clone, Copy)]
pub enum FarEnd<'m> {
    Charon(Charon<'m>),
    Pluto(Pluto<'m>),
}

impl FarEnd<'_> {
    pub fn initiate(self, child: &str) -> Result<()> {
        match self {
            Self::Charon(charon) => charon.initiate_child(child),
            Self::Pluto(pluto) => pluto.initiate(child),
        }
    }

    /// IKE SAs: connection and number, and of charon's both SPIs.
    pub fn sessions(self) -> Result<BTreeSet<String>> {
        match self {
            Self::Charon(charon) => {
                let listed = charon.list_sas()?;
                let lines = listed.lines();
                let lines = lines.filter(|it| it.contains("ESTABLISHED, IKEv2"));
                Ok(lines.map(|it| it.replace('*', "")).collect())
            }
            Self::Pluto(pluto) => pluto.ike_sas(),
        }
    }

    /// Number of CHILD SAs.
    pub fn children(self) -> Result<usize> {
        match self {
            Self::Charon(charon) => Ok(charon.list_sas()?.matches("INSTALLED").count()),
            Self::Pluto(pluto) => Ok(pluto.children()?.len()),
        }
    }

    pub fn rekey_child(self, child: &str) -> Result<()> {
        match self {
            Self::Charon(charon) => charon
                .swanctl(&format!("--rekey --child {child}"))
                .map(drop),
            Self::Pluto(pluto) => pluto.rekey_child(child),
        }
    }

    pub fn rekey_ike(self, session: &str) -> Result<()> {
        match self {
            Self::Charon(charon) => charon
                .swanctl(&format!("--rekey --ike {session}"))
                .map(drop),
            Self::Pluto(pluto) => pluto.rekey_ike(session),
        }
    }

    pub fn log(self) -> String {
        match self {
            Self::Charon(charon) => {
                fs::read_to_string(charon.machine.log_of("charon-ike")).unwrap_or_default()
            }
            Self::Pluto(pluto) => pluto.log(),
        }
    }

    /// Number of sessions that were established so far, and not by a rekeying.
    pub fn established(self) -> usize {
        let words = match self {
            Self::Charon(_) => " established between ",
            Self::Pluto(_) => " established IKE SA; authenticated ",
        };
        self.log().matches(words).count()
    }
}

/// IKE SAs of this log of a charon that had an answer to a DPD since this time, by name and number.
pub fn answered_since(log: &str, since: SystemTime) -> BTreeSet<&str> {
    let since_s = since
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let answers = log.lines().filter(|line| {
        let at_s = line.split(' ').next().and_then(|it| it.parse::<u64>().ok());
        at_s.is_some_and(|it| it > since_s) && line.contains("parsed INFORMATIONAL response")
    });
    answers
        .filter_map(|line| Some(line.split_once('<')?.1.split_once('>')?.0))
        .collect()
}
