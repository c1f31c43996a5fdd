//! Checks of the library and of its descriptor, which start nothing.

use std::path::Path;

use spared_abi as abi;
use spared_contract::{ConfigTable, Descriptor};

use crate::elf;
use crate::finding::Finding;
use crate::host::describe;

/// Checks the descriptor.
pub fn check(path: &Path, _config: &ConfigTable) -> Vec<Finding> {
    match describe(path) {
        Ok(descriptor) => described(&descriptor),
        Err(why) => vec![Finding::fail(why)],
    }
}

/// Findings about a descriptor that is unusual, or wrong.
fn described(descriptor: &Descriptor) -> Vec<Finding> {
    let mut findings = Vec::new();
    let known = [
        ("version", &descriptor.version),
        ("vendor", &descriptor.vendor),
        ("summary", &descriptor.summary),
    ];
    for (field, text) in known {
        if text.is_empty() {
            findings.push(Finding::warn(format!(
                "has no {field}, which sparectl plugins shows"
            )));
        }
    }
    if descriptor.has_peer && descriptor.wire_max == 0 {
        findings.push(Finding::warn(
            "has a peer, but no versions of its messages (wire)",
        ));
    }
    let flags = descriptor.flags;
    if flags & abi::PLUGIN_WRITE != 0 && flags & abi::PLUGIN_FILES == 0 {
        findings.push(Finding::warn(
            "the flag write has no effect without the flag files",
        ));
    }
    findings.extend(names(descriptor));
    findings
}

/// A name without a vendor's part, which a later plugin or verb of spared could have.
fn names(descriptor: &Descriptor) -> Option<Finding> {
    let is_ours = ["", "spared", "the spared developers"].contains(&descriptor.vendor.as_str());
    (!is_ours && !descriptor.name.contains('-')).then(|| {
        Finding::fail(format!(
            "is called {0}: names without a vendor's part are spared's own; call it acme-{0}, with your company's name",
            descriptor.name
        ))
    })
}

/// Checks what the library exports.
pub fn symbols(path: &Path, _config: &ConfigTable) -> Vec<Finding> {
    let is_ours = |name: &str| ["spared_plugin_main", "spared_plugin_note"].contains(&name);
    exports(path, is_ours, 2)
}

fn exports(path: &Path, is_ours: impl Fn(&str) -> bool, count: usize) -> Vec<Finding> {
    let file = std::fs::read(path).unwrap_or_default();
    let Some(exported) = elf::exported(&file) else {
        return vec![Finding::warn("its symbol table cannot be read")];
    };
    let ours: Vec<&String> = exported.iter().filter(|name| is_ours(name)).collect();
    let others: Vec<&str> = exported
        .iter()
        .map(String::as_str)
        .filter(|name| !is_ours(name))
        .collect();
    let mut findings = Vec::new();
    if ours.len() != count {
        let text = format!(
            "exports {} names of spared, not {count}: {ours:?}",
            ours.len()
        );
        findings.push(Finding::warn(text));
    }
    if !others.is_empty() {
        let shown = others
            .iter()
            .take(5)
            .copied()
            .collect::<Vec<_>>()
            .join(", ");
        findings.push(Finding::warn(format!(
            "exports {} other symbols ({shown}): build with -fvisibility=hidden",
            others.len()
        )));
    }
    findings
}
