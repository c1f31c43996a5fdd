//! keepalived.conf and conntrackd.conf of somebody else, for `sparectl import`: no line is lost without a word, and
//! `spared check` accepts the files.
//!
//! Input: the text of keepalived.conf, which may include itself and `b`, and, after a NUL, that of conntrackd.conf.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use spared_check::Severity;
use spared_config::Setup;
use spared_import::{Fault, Files, Import, Outcome, Request, import};

use crate::settings;

const NODES: [&str; 2] = ["r1", "r2"];

const SAMPLES: [&str; 4] = [
    include_str!("../../../lib/import/tests/configs/sample-localcheck.conf"),
    include_str!("../../../lib/import/tests/configs/sample-routes.conf"),
    include_str!("../../../lib/import/tests/configs/seq-hex.conf"),
    include_str!("../../../lib/import/tests/configs/vyos.conf"),
];
const REPLICATION: &str =
    include_str!("../../../lib/import/tests/configs/conntrackd-alone.conntrackd.conf");

/// Both files.
pub struct Texts {
    pub keepalived: String,
    pub conntrackd: String,
}

impl Files for Texts {
    fn read(&self, path: &Path) -> Result<String, String> {
        match path.to_str() {
            Some("/k/a") => Ok(self.keepalived.clone()),
            Some("/k/b") => Ok("$B=10.0.0.1\nvrrp_script b {\nscript b\n}\n".to_owned()),
            Some("/k/c") => Ok(self.conntrackd.clone()),
            _ => Err("no such file".to_owned()),
        }
    }

    fn matching(&self, pattern: &Path) -> Result<Vec<PathBuf>, String> {
        Ok(vec![pattern.to_owned()])
    }
}

pub fn run(input: &[u8]) {
    let mut parts = input.splitn(2, |it| *it == 0);
    let [keepalived, conntrackd] = [parts.next(), parts.next()]
        .map(|it| String::from_utf8_lossy(it.unwrap_or_default()).into_owned());
    let texts = Texts {
        keepalived,
        conntrackd,
    };
    for is_final in [false, true] {
        let Ok(found) = imported(&texts, is_final) else {
            continue;
        };
        let mut outcomes = found.sources.outcomes().values();
        assert!(outcomes.all(|it| *it != Outcome::Open), "a line is lost");
        if let Some(fault) = refused(&found.texts) {
            panic!("{fault}");
        }
    }
}

/// Imports both files; those of keepalived have lines for r2, and for another id in place of r1.
///
/// # Errors
/// A limit is reached.
pub fn imported(texts: &Texts, is_final: bool) -> Result<Import, Fault> {
    let request = Request {
        nodes: NODES.map(str::to_owned),
        ids: ["main", "r2"].map(str::to_owned),
        keepalived: ["/k/a", "/k/a"].map(PathBuf::from),
        conntrackd: Some(PathBuf::from("/k/c")),
        is_final,
        here: None,
    };
    import(texts, &request)
}

/// Faults that `spared check` finds in the files on any machine, by the readers of the plugins; None if it accepts
/// them.
pub fn refused(texts: &spared_import::Texts) -> Option<String> {
    let tables = texts.iter().filter(|it| it.0.ends_with(".toml"));
    let mut files: BTreeMap<String, String> = tables
        .map(|(name, text)| (name.clone(), text.clone()))
        .collect();
    NODES.iter().find_map(|node| {
        let host = format!("node.name = \"{node}\"\n[nodes]\nr1 = {{}}\nr2 = {{}}\n");
        files.insert("spared.toml".to_owned(), host);
        let said = said(&files);
        let all = files.values().cloned().collect::<String>();
        (!said.is_empty()).then(|| format!("{node}: {}\n{all}", said.join("\n")))
    })
}

fn said(files: &BTreeMap<String, String>) -> Vec<String> {
    let setup = match Setup::of_texts(Path::new("/nonexistent/spared.toml"), files) {
        Ok(setup) => setup,
        Err(faults) => return faults.iter().map(ToString::to_string).collect(),
    };
    let mut said: Vec<String> = setup.faults().iter().map(ToString::to_string).collect();
    for plugin in &setup.plugins {
        let faults = settings::faults(&plugin.name, &plugin.table, &setup.host.surroundings());
        said.extend(
            faults
                .iter()
                .map(|it| format!("{}: {}: {}", plugin.name, it.key, it.why)),
        );
    }
    let findings = spared_check::examine_files(&setup);
    let findings = findings.iter().filter(|it| it.severity < Severity::Note);
    said.extend(findings.map(ToString::to_string));
    said
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = SAMPLES.iter().map(|it| it.as_bytes().to_vec()).collect();
    seeds.push(
        [
            b"include b\nvrrp_instance a {\n}\n\0",
            REPLICATION.as_bytes(),
        ]
        .concat(),
    );
    seeds
}
