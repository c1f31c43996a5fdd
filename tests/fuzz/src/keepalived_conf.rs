//! keepalived.conf and conntrackd.conf of somebody else, for `sparectl import`: no line is lost without a word, and the
//! result is TOML.
//!
//! Input: the text of keepalived.conf, which may include itself and `b`, and, after a NUL, that of conntrackd.conf.

use std::path::{Path, PathBuf};

use spared_import::{Files, Outcome, Request, import};
use toml::Table;

const SAMPLES: [&str; 4] = [
    include_str!("../../../lib/import/tests/configs/sample-localcheck.conf"),
    include_str!("../../../lib/import/tests/configs/sample-routes.conf"),
    include_str!("../../../lib/import/tests/configs/seq-hex.conf"),
    include_str!("../../../lib/import/tests/configs/vyos.conf"),
];
const REPLICATION: &str =
    include_str!("../../../lib/import/tests/configs/conntrackd-alone.conntrackd.conf");

struct Texts {
    keepalived: String,
    conntrackd: String,
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
    let files = Texts {
        keepalived,
        conntrackd,
    };
    for is_final in [false, true] {
        let request = Request {
            nodes: ["r1", "r2"].map(str::to_owned),
            ids: ["main", "r2"].map(str::to_owned),
            keepalived: ["/k/a", "/k/a"].map(PathBuf::from),
            conntrackd: Some(PathBuf::from("/k/c")),
            is_final,
            arguments: String::new(),
        };
        let Ok(found) = import(&files, &request) else {
            continue;
        };
        let mut outcomes = found.sources.outcomes().values();
        assert!(outcomes.all(|it| *it != Outcome::Open), "a line is lost");
        for (name, text) in found.texts.iter().filter(|it| it.0.ends_with(".toml")) {
            assert!(text.parse::<Table>().is_ok(), "{name}: {text}");
        }
    }
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
