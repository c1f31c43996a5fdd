//! Checks of the library and of its descriptor, which start nothing.

use std::path::Path;

use spared_abi as abi;
use spared_contract::{ConfigTable, Descriptor};

use crate::elf;
use crate::finding::Finding;
use crate::host::describe;

/// Names that a plugin exports.
const OURS: [&str; 2] = ["spared_plugin_main", "spared_plugin_note"];
/// Prefix of the names of C++.
const CPP: &str = "_Z";

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
    let file = std::fs::read(path).unwrap_or_default();
    match elf::exported(&file) {
        Some(exported) => exports(&exported),
        None => vec![Finding::warn("its symbol table cannot be read")],
    }
}

fn exports(exported: &[String]) -> Vec<Finding> {
    let is_ours = |name: &&str| OURS.contains(name);
    let names = exported.iter().map(String::as_str);
    let (ours, others): (Vec<&str>, Vec<&str>) = names.partition(is_ours);
    let is_go = is_of_go(&others);
    let others: Vec<&str> = others
        .into_iter()
        .filter(|name| !is_go && !is_of_cpp(name))
        .collect();
    let mut findings = Vec::new();
    if ours.len() != OURS.len() {
        let text = format!(
            "exports {} names of spared, not {}: {ours:?}",
            ours.len(),
            OURS.len()
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
        let todo = if others.iter().any(|name| name.starts_with(CPP)) {
            "build with -fvisibility=hidden -fvisibility-inlines-hidden, and put what is not shared into an unnamed namespace"
        } else {
            "build with -fvisibility=hidden"
        };
        findings.push(Finding::warn(format!(
            "exports {} other symbols ({shown}): {todo}",
            others.len()
        )));
    }
    findings
}

/// Returns true for a symbol of the standard library of C++: its templates are exported whatever the options are.
fn is_of_cpp(name: &str) -> bool {
    /// Namespaces, the abbreviations of allocator, string and streams, and the operators new and delete.
    const STANDARD: [&str; 12] = [
        "St",
        "9__gnu_cxx",
        "Sa",
        "Ss",
        "Sb",
        "Si",
        "So",
        "Sd",
        "nw",
        "na",
        "dl",
        "da",
    ];
    // a table, a type or a guard; a member, which may be const; what is local to a function
    let name = name.strip_prefix(CPP).unwrap_or_default();
    let name = ["TV", "TI", "TS", "GV"]
        .iter()
        .find_map(|kind| name.strip_prefix(kind))
        .unwrap_or(name);
    let name = name.trim_start_matches(['Z', 'N', 'K']);
    STANDARD.iter().any(|it| name.starts_with(it))
}

/// Returns true if symbols are those of a plugin in Go. Its runtime exports its own names, and each function that C calls.
fn is_of_go(names: &[&str]) -> bool {
    names.iter().any(|name| name.starts_with("_cgo_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exported(others: &[&str]) -> Vec<Finding> {
        let names = OURS.iter().chain(others);
        exports(&names.map(|it| (*it).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn names_that_a_language_exports_by_itself_are_no_finding() {
        let standard = [
            "_ZNSt6vectorIiSaIiEE9push_backEOi",
            "_ZSt4moveIRiEONSt16remove_referenceIT_E4typeEOS2_",
            "_ZTVSt9exception",
            "_ZNKSt4hashIiEclEi",
            "_ZNSaIiED2Ev",
            "_ZnwmPv",
            "_ZZN9__gnu_cxx6__stoaIyycJiEEET0_EN11_Save_errnoC2Ev",
            "_ZNK9__gnu_cxx17__normal_iteratorIPiE4baseEv",
        ];
        assert_eq!(exported(&standard), []);
        let go = ["_cgo_panic", "crosscall2", "goConfigure"];
        assert_eq!(exported(&go), []);
    }

    #[test]
    fn names_of_the_authors_own_are_told_with_what_hides_them() {
        let told = |name: &str| exported(&[name])[0].text.clone();
        let in_c = "exports 1 other symbols (stray): build with -fvisibility=hidden";
        assert_eq!(told("stray"), in_c);
        for name in ["_ZN4acme5tableE", "_ZTVN4acme5TableE", "_Z4workv"] {
            let in_cpp = told(name);
            assert!(in_cpp.ends_with("into an unnamed namespace"), "{in_cpp}");
        }
    }
}
