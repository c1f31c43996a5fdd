//! Reads the keys of both modes of election, and refuses each in the other mode.

use std::time::Duration;

use spared_sdk::config::{Config, Section, node};
use spared_sdk::nanoseconds;

use super::Election;
use super::read::{HOUR, ZERO, byte};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Quality,
    Priority,
}

pub(super) fn election(config: &Config, section: &Section<'_>) -> Option<Election> {
    let modes = [("quality", Mode::Quality), ("priority", Mode::Priority)];
    let chosen = section.choice("election", &modes);
    // a priority implies its mode
    let implied = if section.has(node("priority")) {
        Mode::Priority
    } else {
        Mode::Quality
    };
    let mode = chosen.unwrap_or(implied);

    let prefer = section.text("prefer");
    let failback_delay = section.duration("failback_delay", ZERO..=24 * HOUR);
    let hold = section.duration("hold", ZERO..=HOUR / 60);
    let priority = section.integer(node("priority"), 1..=255);
    let preempt = section.flag("preempt");
    let preempt_delay = section.duration("preempt_delay", ZERO..=24 * HOUR);
    match mode {
        Mode::Quality => {
            refuse_other_mode(
                section,
                &["priority", "preempt", "preempt_delay"],
                "priority",
            );
            Some(Election::Quality {
                preferred: preferred(config, section, prefer)?,
                failback_delay_ns: nanoseconds(failback_delay.unwrap_or(Duration::from_secs(30))),
                hold_ns: nanoseconds(hold.unwrap_or(Duration::from_secs(2))),
            })
        }
        Mode::Priority => {
            refuse_other_mode(section, &["prefer", "failback_delay", "hold"], "quality");
            let priority = byte(section.required(node("priority"), priority)?);
            if priority == 254 {
                section.fault(
                    "priority",
                    "found 254, allowed 1-253, and 255 for the owner (254 is for claims)",
                );
            }
            if preempt == Some(false) && preempt_delay.is_some() {
                section.fault("preempt_delay", "has no effect with preempt = false");
            }
            Some(Election::Priority {
                priority,
                preempt: preempt.unwrap_or(true),
                preempt_delay_ns: nanoseconds(preempt_delay.unwrap_or(ZERO)),
            })
        }
    }
}

fn refuse_other_mode(section: &Section<'_>, keys: &[&str], mode: &str) {
    for key in keys.iter().filter(|key| section.has(**key)) {
        section.fault(key, format!("only with election = \"{mode}\""));
    }
}

/// Returns true if `prefer` names this node; None is a fault.
fn preferred(
    config: &Config,
    section: &Section<'_>,
    prefer: Option<String>,
) -> Option<Option<bool>> {
    let Some(prefer) = prefer else {
        // a wrong type is a recorded fault already, and the group is not used
        return Some(None);
    };
    if !config.nodes().is_empty() && !config.nodes().contains(&prefer) {
        let allowed = config.nodes().join(", ");
        section.fault(
            "prefer",
            format!("found {prefer:?}, no such node, allowed: {allowed}"),
        );
        return None;
    }
    Some(Some(prefer == config.node()))
}
