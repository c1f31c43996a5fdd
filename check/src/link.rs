//! Findings about the link: a firewall that filters it, a weak passphrase.

use spared_config::Setup;

use super::{Finding, Severity, ruleset};

pub fn examine(setup: &Setup) -> Vec<Finding> {
    let Some(link) = &setup.host.link else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    if link.keys.is_weak {
        let sentence =
            "secret_file: the passphrase is weak: it can be guessed from recorded traffic";
        let fix = "write a longer one, the same on both nodes, or use `sparectl keygen`";
        findings.push(Finding::new("weak-passphrase", Severity::Warning, sentence).fix(fix));
    }
    // With `firewall.chain`, spared inserts its rule itself when it runs.
    let ruleset = setup.host.linked().filter(|link| link.chain.is_none());
    let ruleset = ruleset.and_then(|_| ruleset::list());
    findings.extend(ruleset.iter().flat_map(|ruleset| {
        spared_firewall::obstacles(ruleset, &link.passage(&setup.host.node))
            .into_iter()
            .map(|kept| {
                let sentence = format!("{}: the link cannot come up", kept.sentence);
                Finding::new("ruleset-link", Severity::Error, sentence).fix(kept.fix)
            })
    }));
    findings.extend(ruleset.iter().flat_map(|ruleset| {
        spared_firewall::interruptions(ruleset, &link.passage(&setup.host.node))
            .into_iter()
            .map(|kept| {
                let sentence = format!(
                    "{}: `conntrack -F` may interrupt it for up to two seconds",
                    kept.sentence
                );
                Finding::new("ruleset-link-invalid", Severity::Warning, sentence).fix(kept.fix)
            })
    }));
    findings
}
