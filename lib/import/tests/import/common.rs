//! The configurations of the tests, and files on disk for them.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use spared_import::{Fault, Files, Here, Import, Request, ids, import};

pub const CONFIGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/configs");

pub struct Disk;

impl Files for Disk {
    fn read(&self, path: &Path) -> Result<String, String> {
        fs::read_to_string(path).map_err(|error| error.to_string())
    }

    fn matching(&self, pattern: &Path) -> Result<Vec<PathBuf>, String> {
        let text = pattern.to_string_lossy();
        let Some((folder, end)) = text.split_once('*') else {
            return Ok(vec![pattern.to_owned()]
                .into_iter()
                .filter(|it| it.is_file())
                .collect());
        };
        let entries = fs::read_dir(folder).map_err(|error| error.to_string())?;
        let paths = entries.flatten().map(|it| it.path());
        let mut found: Vec<PathBuf> = paths
            .filter(|it| it.to_string_lossy().ends_with(end))
            .collect();
        found.sort();
        Ok(found)
    }
}

/// Files in memory.
pub struct Memory(BTreeMap<PathBuf, String>);

impl Files for Memory {
    fn read(&self, path: &Path) -> Result<String, String> {
        self.0
            .get(path)
            .cloned()
            .ok_or_else(|| "no such file".to_owned())
    }

    fn matching(&self, pattern: &Path) -> Result<Vec<PathBuf>, String> {
        Ok(self.0.keys().filter(|it| *it == pattern).cloned().collect())
    }
}

pub fn of(text: &str) -> Result<Import, Fault> {
    of_files(&[("/k/a", text)])
}

pub fn of_with(text: &str, is_final: bool) -> Result<Import, Fault> {
    of_request(&[("/k/a", text)], is_final)
}

pub fn of_files(files: &[(&str, &str)]) -> Result<Import, Fault> {
    of_request(files, false)
}

/// A file of each node.
pub fn of_two(one: &str, two: &str) -> Import {
    let files = [("/k/a", one), ("/k/b", two)];
    of_nodes(&files, ["/k/a", "/k/b"], false).expect("readable")
}

/// An instance on an interface and with a VRID of its own, with these lines.
pub fn instance(name: &str, number: u8, lines: &str) -> String {
    instance_with(name, number, &format!("10.0.{number}.1"), lines)
}

/// Instance with these lines of addresses.
pub fn instance_with(name: &str, number: u8, addresses: &str, lines: &str) -> String {
    format!(
        "vrrp_instance {name} {{\ninterface eth{number}\nvirtual_router_id {number}\nvirtual_ipaddress {{\n{addresses}\n}}\n{lines}\n}}\n"
    )
}

pub fn imported(text: &str) -> Import {
    of(text).expect("readable")
}

/// The whole list.
pub fn told(import: &Import) -> String {
    items(import).join("\n")
}

/// An item of the list in a line: lines of files, words, reason, advice.
pub fn items(import: &Import) -> Vec<String> {
    let item = |it: spared_import::Problem| {
        let places = it.places.iter().map(|it| import.sources.shown(*it));
        let places: Vec<String> = places.collect();
        let places = places.join(", ");
        format!("{places}: {}: {}\n    {}", it.what, it.why, it.todo)
    };
    import.sources.problems().into_iter().map(item).collect()
}

fn of_request(files: &[(&str, &str)], is_final: bool) -> Result<Import, Fault> {
    of_nodes(files, [files[0].0; 2], is_final)
}

/// Files, of which these two are those of the nodes r1 and r2.
pub fn of_nodes(files: &[(&str, &str)], mains: [&str; 2], is_final: bool) -> Result<Import, Fault> {
    let memory = Memory(
        files
            .iter()
            .map(|(path, text)| (PathBuf::from(path), (*text).to_owned()))
            .collect(),
    );
    let nodes = ["r1", "r2"].map(str::to_owned);
    let request = Request {
        ids: nodes.clone(),
        nodes,
        keepalived: mains.map(PathBuf::from),
        conntrackd: None,
        is_final,
        here: None,
    };
    import(&memory, &request)
}

/// A file of keepalived for both nodes, and one of conntrackd.
pub fn of_conntrackd(keepalived: &str, conntrackd: &str, here: Option<Here>) -> Import {
    let files = [("/k/a", keepalived), ("/k/c", conntrackd)];
    let memory = Memory(
        files
            .map(|(path, text)| (path.into(), text.to_owned()))
            .into(),
    );
    let nodes = ["r1", "r2"].map(str::to_owned);
    let request = Request {
        ids: nodes.clone(),
        nodes,
        keepalived: ["/k/a", "/k/a"].map(PathBuf::from),
        conntrackd: Some("/k/c".into()),
        is_final: false,
        here,
    };
    import(&memory, &request).expect("readable")
}

/// Names of the configurations.
pub fn names() -> Vec<String> {
    let entries = fs::read_dir(CONFIGS).expect("configurations").flatten();
    let names = entries.filter_map(|it| it.file_name().into_string().ok());
    let names = names.filter_map(|it| it.strip_suffix(".conf").map(str::to_owned));
    let mut names: Vec<String> = names.filter(|it| !it.contains('.')).collect();
    names.sort();
    names
}

pub fn request(name: &str) -> Request {
    let path = |end: &str| Path::new(CONFIGS).join(format!("{name}{end}"));
    let there = |end: &str| Some(path(end)).filter(|it| it.exists());
    let main = path(".conf");
    let text = fs::read_to_string(&main).expect("readable");
    let nodes =
        <[String; 2]>::try_from(ids(&text)).unwrap_or_else(|_| ["r1", "r2"].map(str::to_owned));
    Request {
        ids: nodes.clone(),
        nodes,
        keepalived: [main.clone(), there(".peer.conf").unwrap_or(main)],
        conntrackd: there(".conntrackd.conf"),
        is_final: false,
        here: None,
    }
}

/// Everything that an import gives, as text that does not tell where the tree is.
pub fn shown(import: &Import) -> String {
    let mut text = String::new();
    for (name, content) in &import.texts {
        let _ = write!(text, "---- {name} ----\n{content}");
    }
    text += "---- decisions ----\n";
    for decision in &import.decisions {
        let _ = writeln!(text, "{}: {}", decision.group, decision.why);
    }
    text += "---- not needed ----\n";
    for (what, why, places) in import.sources.reasons() {
        let _ = writeln!(text, "{what}: {} lines: {why}", places.len());
    }
    text += "---- list ----\n";
    for item in items(import) {
        let _ = writeln!(text, "{item}");
    }
    text += "---- steps ----\n";
    for (number, step) in (1..).zip(&import.steps) {
        for line in step.lines(number) {
            let _ = writeln!(text, "{line}");
        }
    }
    text.replace(CONFIGS, "/configs")
}

/// Compares a text with the file of that name, which `BLESS=1` renews.
pub fn blessed(name: &str, text: &str) {
    let path = Path::new(CONFIGS).join(name);
    if std::env::var_os("BLESS").is_some() {
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(&path, text).expect("written");
    }
    let known = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(known, text, "{name}: BLESS=1 renews it");
}
