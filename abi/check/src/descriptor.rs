//! Checks of the library and of its descriptor, which start nothing.

use std::path::Path;
use std::time::{Duration, Instant};

use spared_abi as abi;

use spared_contract::Descriptor;

use crate::elf;
use crate::finding::Finding;
use crate::trial::load;

const LOAD_MAX: Duration = Duration::from_millis(100);

/// What the plugin says of itself.
pub fn check(path: &Path, _toml: &str) -> Vec<Finding> {
    let begin = Instant::now();
    let plugin = match load(path) {
        Ok(plugin) => plugin,
        Err(why) => return vec![Finding::fail(why)],
    };
    let took = begin.elapsed();
    let mut findings = Vec::new();
    if took > LOAD_MAX {
        let text = format!("loading took {} ms, limit is 100 ms", took.as_millis());
        findings.push(Finding::warn(text));
    }
    let known = [
        ("version", &plugin.descriptor.version),
        ("vendor", &plugin.descriptor.vendor),
        ("summary", &plugin.descriptor.summary),
    ];
    for (field, text) in known {
        if text.is_empty() {
            findings.push(Finding::warn(format!(
                "has no {field}, which sparectl plugins shows"
            )));
        }
    }
    if plugin.descriptor.has_peer && plugin.descriptor.wire_max == 0 {
        findings.push(Finding::warn(
            "has a peer, but no versions of its messages (wire_min, wire_max)",
        ));
    }
    let flags = plugin.descriptor.flags;
    if flags & abi::PLUGIN_WRITE != 0 && flags & abi::PLUGIN_FILES == 0 {
        findings.push(Finding::warn(
            "SPARED_PLUGIN_WRITE has no effect without SPARED_PLUGIN_FILES",
        ));
    }
    findings.extend(names(&plugin.descriptor));
    if plugin.table.query.is_some() && plugin.descriptor.verbs.is_empty() {
        findings.push(Finding::fail(
            "has a query, but no verbs: sparectl cannot ask it",
        ));
    }
    let least = size_of::<abi::Plugin>();
    if plugin.table.minor == abi::MINOR && (plugin.table.size as usize) < least {
        let text = format!(
            "says {} bytes for minor {}, which has {least}",
            plugin.table.size,
            abi::MINOR
        );
        findings.push(Finding::fail(text));
    }
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

/// What its library exports.
pub fn symbols(path: &Path, _toml: &str) -> Vec<Finding> {
    let file = std::fs::read(path).unwrap_or_default();
    let Some(exported) = elf::exported(&file) else {
        return vec![Finding::warn("its symbol table cannot be read")];
    };
    let is_ours = |name: &&String| name.starts_with("spared_plugin_v");
    let ours: Vec<&String> = exported.iter().filter(is_ours).collect();
    let others: Vec<&str> = exported
        .iter()
        .filter(|name| !is_ours(name))
        .map(String::as_str)
        .collect();
    let mut findings = Vec::new();
    if ours.len() != 1 {
        let text = format!("exports {} descriptors of spared: {ours:?}", ours.len());
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
