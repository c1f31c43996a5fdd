//! Contents of the bundle: a folder for each node, and the list of missing parts.

use std::io;

use flate2::Compression;
use flate2::write::GzEncoder;
use spared_message::control::NodeReport;
use tar::{Builder, EntryType, Header};

use crate::output::without_controls;

/// Maximum numbers of files and missing parts that are accepted from the other node, and maximum bytes of a file's
/// name.
const FILES_MAX: usize = 100;
const NAME_MAX: usize = 80;
const MISSING_MAX: usize = 100;
const SENTENCE_MAX: usize = 400;

const README: &str = "\
A support bundle of spared, written by `sparectl report`.

There is a folder for each node. Begin with status.txt and history.txt; ring.txt has the last minutes of the daemon
second by second, also of one that died. Secrets are masked as \"***\": values of the configuration whose key or option names
a secret, passwords of URLs, the nodes' keys and passphrases. Comments of the configuration are left out. Names, addresses and
the ruleset are there: look through it before it leaves your hands.

";

/// Halves of both nodes.
#[derive(Default)]
pub struct Bundle {
    own: Option<NodeReport>,
    /// Half of the other node, with the name by which this node knows it.
    peer: Option<(String, NodeReport)>,
    missing: Vec<String>,
}

impl Bundle {
    pub fn set_own(&mut self, report: NodeReport) {
        let node = Self::folder(&report.node).to_owned();
        let missing = report.missing.iter();
        self.missing
            .extend(missing.map(|why| format!("{node}: {why}")));
        self.own = Some(report);
    }

    /// Sets the half of the other node. Files beyond the limits are dropped.
    pub fn set_peer(&mut self, node: &str, mut report: NodeReport) {
        let node = Self::folder(node).to_owned();
        let before = report.files.len();
        report.files.retain(|name, _| is_name(name));
        while report.files.len() > FILES_MAX {
            report.files.pop_last();
        }
        let missing = report.missing.iter().take(MISSING_MAX);
        let sentence = |why: &String| {
            without_controls(why)
                .chars()
                .take(SENTENCE_MAX)
                .collect::<String>()
        };
        self.missing
            .extend(missing.map(|why| format!("{node}: {}", sentence(why).replace('\n', " "))));
        match before - report.files.len() {
            0 => {}
            passed => self
                .missing
                .push(format!("{node}: {passed} unexpected files were left out")),
        }
        self.peer = Some((node, report));
    }

    pub fn missing(&mut self, sentence: String) {
        self.missing.push(sentence);
    }

    pub fn lacks(&self) -> &[String] {
        &self.missing
    }

    /// Time at which this node's half was gathered; empty without one.
    pub fn at(&self) -> &str {
        self.own.as_ref().map_or("", |own| &own.at)
    }

    /// Name of this node, as a folder.
    pub fn name(&self) -> &str {
        Self::folder(self.own.as_ref().map_or("", |own| &own.node))
    }

    // Name of a node's folder. A wrong configuration may contain any name.
    fn folder(node: &str) -> &str {
        if is_name(node) && !node.contains('/') {
            node
        } else {
            "node"
        }
    }

    fn halves(&self) -> impl Iterator<Item = (&str, &NodeReport)> {
        let own = self.own.as_ref().map(|own| (self.name(), own));
        let peer = self.peer.as_ref().map(|(node, it)| (node.as_str(), it));
        own.into_iter().chain(peer)
    }

    /// Summary of the contents, for the sender.
    pub fn summary(&self, path: &str) -> String {
        let nodes: Vec<&str> = self.halves().map(|(node, _)| node).collect();
        let nodes = match nodes.as_slice() {
            [] => "no node".to_owned(),
            nodes => nodes.join(" and "),
        };
        let lacks = match self.missing.len() {
            0 => String::new(),
            1 => "; one part is missing".to_owned(),
            many => format!("; {many} parts are missing"),
        };
        format!(
            "{path}: {nodes}{lacks}\nSecrets are masked, names and addresses are not: look through it before you send it.\n"
        )
    }

    fn readme(&self) -> String {
        let lacks: String = self
            .missing
            .iter()
            .map(|why| format!("- {why}\n"))
            .collect();
        if lacks.is_empty() {
            format!("{README}Nothing is missing.\n")
        } else {
            format!("{README}Missing:\n\n{lacks}")
        }
    }
}

// Returns true for a name like "plugins/vrrp.txt", which neither leaves the folder nor is hidden.
fn is_name(name: &str) -> bool {
    let part = |part: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        !part.is_empty() && !part.starts_with('.') && part.chars().all(plain)
    };
    name.len() <= NAME_MAX && name.split('/').all(part)
}

/// Bytes of the archive. All files are below the folder `stem`.
pub fn pack(bundle: &Bundle, stem: &str, at_s: u64) -> io::Result<Vec<u8>> {
    let mut archive = Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    let mut put = |name: &str, text: &str| {
        let text = harmless_text(text);
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(0o600);
        header.set_mtime(at_s);
        header.set_size(text.len() as u64);
        archive.append_data(&mut header, format!("{stem}/{name}"), text.as_bytes())
    };
    put("README.txt", &bundle.readme())?;
    for (node, report) in bundle.halves() {
        for (name, text) in &report.files {
            put(&format!("{node}/{name}"), text)?;
        }
    }
    archive.into_inner()?.finish()
}

// Removes control sequences, because somebody may `cat` the file.
fn harmless_text(text: &str) -> String {
    let lines: Vec<String> = text.split('\t').map(without_controls).collect();
    lines.join("\t")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read;

    use flate2::read::GzDecoder;

    use super::*;

    fn report(node: &str, files: &[(&str, &str)]) -> NodeReport {
        let files = files.iter();
        NodeReport {
            node: node.to_owned(),
            files: files
                .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
                .collect(),
            missing: vec!["nft: no such file".to_owned()],
            ..NodeReport::default()
        }
    }

    fn unpacked(bytes: &[u8]) -> BTreeMap<String, String> {
        let mut archive = tar::Archive::new(GzDecoder::new(bytes));
        let entries = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().display().to_string();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            (name, text)
        });
        entries.collect()
    }

    #[test]
    fn a_bundle_has_a_folder_for_each_node_and_says_what_is_missing() {
        let mut bundle = Bundle::default();
        bundle.set_own(report(
            "r1",
            &[("ip/address.txt", "1: lo\n\tx"), ("status.txt", "OK")],
        ));
        bundle.set_peer("r2", report("r9", &[("status.txt", "\u{1b}[2Jalone")]));
        let files = unpacked(&pack(&bundle, "b", 1).unwrap());
        assert_eq!(files["b/r1/ip/address.txt"], "1: lo\n\tx");
        assert_eq!(files["b/r2/status.txt"], "\u{fffd}[2Jalone");
        assert!(
            files["b/README.txt"].ends_with("- r1: nft: no such file\n- r2: nft: no such file\n")
        );
        assert_eq!(files.len(), 4);
        assert!(
            bundle
                .summary("x")
                .starts_with("x: r1 and r2; 2 parts are missing\n")
        );
    }

    #[test]
    fn a_hostile_half_leads_nowhere_and_is_bounded() {
        let mut hostile = report("../r2", &[]);
        for name in [
            "../x",
            "/etc/x",
            "a//b",
            ".bashrc",
            "a/.b",
            "",
            "a\nb",
            "a b",
            &"x".repeat(99),
        ] {
            hostile.files.insert(name.to_owned(), String::new());
        }
        for n in 0..1000 {
            hostile.files.insert(format!("n{n}"), String::new());
        }
        hostile.missing = vec!["\u{1b}[2J\n".repeat(9999); 9999];
        let mut bundle = Bundle::default();
        bundle.set_peer("../..", hostile);
        let files = unpacked(&pack(&bundle, "b", 1).unwrap());
        assert_eq!(files.len(), FILES_MAX + 1);
        assert!(
            files
                .keys()
                .all(|name| name == "b/README.txt" || name.starts_with("b/node/n"))
        );
        assert_eq!(bundle.lacks().len(), MISSING_MAX + 1);
        assert!(
            bundle
                .lacks()
                .iter()
                .all(|why| !why.contains(char::is_control))
        );
        assert!(files["b/README.txt"].len() < 100_000);
    }
}
