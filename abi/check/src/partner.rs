//! Partners at their worst: other plugins of the node that come and go, and send messages that none
//! sends.

use std::path::Path;
use std::time::Duration;

use spared_abi as abi;
use spared_contract::ConfigTable;

use crate::checks::started;
use crate::finding::Finding;
use crate::footprint::Footprint;
use crate::peer::Chance;
use crate::trial::{Mode, Trial};

const MESSAGE_MAX: usize = abi::LOCAL_MESSAGE_MAX as usize;
const LENGTHS: [usize; 9] = [0, 1, 2, 8, 9, 255, 4096, MESSAGE_MAX - 1, MESSAGE_MAX];
const ROUNDS: u32 = 5;
const PAUSE: Duration = Duration::from_millis(50);

pub fn check(path: &Path, config: &ConfigTable) -> Vec<Finding> {
    let mut trial = match started(path, config, Mode::Plain) {
        Ok(trial) => trial,
        Err(findings) => return findings,
    };
    let count = trial.plugin.descriptor.partners.len() as u32;
    let (mut chance, mut before) = (Chance(3), None);
    for round in 0..ROUNDS {
        for partner in 0..count {
            converse(&mut trial, partner, &mut chance);
        }
        // The first round may set up things that stay.
        if round == 0 {
            before = Some(Footprint::now());
        }
    }
    if let Some(before) = before.filter(|_| count > 0) {
        let left = Footprint::now().left_since(&before, "what a partner said");
        trial.findings.extend(left);
    }
    trial.stop();
    let misuses = trial.record.misuses.take();
    let mut findings = trial.destroy();
    findings.extend(misuses.into_iter().map(Finding::fail));
    findings
}

fn converse(trial: &mut Trial, partner: u32, chance: &mut Chance) {
    trial.partner_up(partner);
    let mut bytes = vec![0; MESSAGE_MAX];
    for fill in [Some(0), Some(0xff), None, None, None] {
        for byte in &mut bytes {
            *byte = fill.unwrap_or_else(|| chance.next() as u8);
        }
        for length in LENGTHS {
            let message = bytes.get(..length).unwrap_or_default();
            trial.partner_message(partner, message);
            trial.record.failures.take();
        }
    }
    trial.serve(PAUSE, |_| false);
    trial.partner_down(partner);
}
