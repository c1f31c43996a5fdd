//! Finds what this machine lacks for the configuration. Changes nothing.
//!
//! [`examine`] compares the claims in the plugins' files ([`Wanted`]) with the kernel, its settings and the other
//! programs of this network namespace. Each [`Finding`] names the object, the value found, and the command that fixes
//! it. Most rules do no I/O: [`System`] reads for them.

#![forbid(unsafe_code)]

mod address_managers;
mod container;
mod entries;
mod interface_kinds;
mod kernel;
mod link;
mod masquerade;
mod names;
mod other_vrrp;
mod outgoing;
mod own_addresses;
mod plugin_checks;
mod ruleset;
mod run;
mod sets;
mod settings;
mod summary;
mod system;
#[cfg(test)]
mod tests;
mod translation;
mod wanted;

use std::fmt;

use serde::Serialize;
use spared_abi::PLUGIN_ROOT;
use spared_config::{Plugin, Setup};
use spared_contract::Descriptor;
use spared_process::worker::capabilities;

pub use names::{no_group, unread};
pub use run::run;
pub use system::System;
pub use wanted::Wanted;

/// Severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Part of the configuration cannot work here.
    Error,
    /// The configuration works until something common happens.
    Warning,
    /// For information.
    Note,
}

/// Finding about this machine or the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Stable name for scripts, such as "ipv4-forwarding".
    pub id: &'static str,
    pub severity: Severity,
    /// Sentence about the object, the value found, and the effect.
    pub sentence: String,
    /// Command that fixes the fault; empty if there is none.
    pub fix: String,
}

impl Finding {
    pub(crate) fn new(id: &'static str, severity: Severity, sentence: impl Into<String>) -> Self {
        Self {
            id,
            severity,
            sentence: sentence.into(),
            fix: String::new(),
        }
    }

    fn fix(mut self, command: impl Into<String>) -> Self {
        self.fix = command.into();
        self
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        };
        write!(f, "{severity}[{}]: {}", self.id, self.sentence)?;
        if !self.fix.is_empty() {
            write!(f, "; to fix: {}", self.fix)?;
        }
        Ok(())
    }
}

/// Findings about `setup` on this host, worst first.
pub fn examine(setup: &Setup) -> Vec<Finding> {
    let wanted = Wanted::of(setup);
    let mut findings = examine_on(&System::here(), &wanted);
    findings.extend(names::absent(&System::here(), setup, &wanted));
    findings.extend(own_addresses::examine(&wanted));
    findings.extend(entries::examine(setup, &wanted));
    findings.extend(interface_kinds::examine(&wanted));
    findings.extend(kernel::fence_off(&setup.host));
    findings.extend(link::examine(setup));
    findings.extend(address_managers::examine(&System::here(), setup, &wanted));
    findings.extend(names::examine(&System::here(), setup, &wanted));
    findings.sort_by_key(|finding| finding.severity);
    findings
}

/// Findings that are in the files alone: the same on any machine.
pub fn examine_files(setup: &Setup) -> Vec<Finding> {
    let wanted = Wanted::of(setup);
    let mut findings = entries::of_files(setup, &wanted);
    findings.extend(names::of_files(setup, &wanted));
    findings
}

/// Note about a plugin that runs as root or has capabilities.
pub fn rights(plugin: &Plugin, descriptor: &Descriptor) -> Option<Finding> {
    let name = &plugin.name;
    if descriptor.flags & PLUGIN_ROOT != 0 && plugin.allow.root {
        let sentence = format!("the plugin {name} runs as root, and is not confined");
        return Some(Finding::new("root", Severity::Note, sentence));
    }
    let given = capabilities::grantable(descriptor.capabilities) & plugin.allow.capabilities;
    let given = capabilities::words(given).join(", ");
    let sentence = format!("the plugin {name} {given}");
    (!given.is_empty()).then(|| Finding::new("capabilities", Severity::Note, sentence))
}

fn examine_on(system: &System, wanted: &Wanted) -> Vec<Finding> {
    let mut findings = kernel::examine(system);
    if !wanted.sets.is_empty() {
        findings.extend(sets::examine(wanted));
    }
    if !wanted.interfaces.is_empty() {
        findings.extend(settings::examine(system, wanted));
        findings.extend(container::examine(system, wanted));
        findings.extend(other_vrrp::examine(system));
        findings.extend(ruleset::examine(system, wanted));
    }
    findings.sort_by_key(|finding| finding.severity);
    findings
}
