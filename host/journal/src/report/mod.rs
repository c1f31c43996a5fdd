//! `spared report`: the part of one node in `sparectl report`, printed as one line of JSON.
//!
//! A separate process, which may be slow, collects everything from programs and files. The daemon is one of its
//! sources, and may be dead. The report names each missing part.

mod contents;
mod for_peer;
mod mask;
mod read;
mod reports;
mod secret_keys;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use spared_child::{Child, Ended, Program};
use spared_config::{Options, exit, loaded, state_dir};
use spared_message::control::NodeReport;
use spared_process::clock;

pub use reports::Reports;

use crate::history;
use contents::{FILES, PROGRAMS, QUESTIONS};
use mask::{Declared, Secrets, configuration};
use read::{read_last, read_most};
use secret_keys::SecretKeys;

/// Maximum bytes of a node's report, as JSON.
pub const SIZE_MAX: usize = 4 * 1024 * 1024;
/// Maximum time for a node's report.
pub const LIMIT: Duration = Duration::from_secs(40);

/// Maximum bytes of all texts together. They become longer in JSON by quotes and line ends.
const TEXTS_MAX: usize = 2 * 1024 * 1024;
const TEXT_MAX: usize = 512 * 1024;
/// Maximum bytes of the file with all texts in force.
const LOADED_MAX: usize = 16 * TEXT_MAX;
const PROGRAM_LIMIT: Duration = Duration::from_secs(6);
/// Time after which no program is started.
const LAST_START: Duration = Duration::from_secs(30);
/// Maximum bytes of the history's file.
const HISTORY_MAX: u64 = 256 * 1024;
const MODES_MAX: usize = 500;
const SPARECTL: &str = "/usr/bin/sparectl";

/// Prints the report and returns the exit code.
pub fn run(options: &Options) -> u8 {
    lower_priority();
    let report = Gathering::new(options).gather();
    let mut out = io::stdout().lock();
    let written = serde_json::to_writer(&mut out, &report).map_err(io::Error::other);
    match written.and_then(|()| out.flush()) {
        Ok(()) => exit::OK,
        Err(error) => {
            eprintln!("spared report: {error}");
            exit::OS_ERROR
        }
    }
}

// Sets a low priority, so that no failover waits for this process, and a high OOM score, so that it is killed before
// the daemon.
fn lower_priority() {
    let _ = rustix::process::nice(19);
    let _ = fs::write("/proc/self/oom_score_adj", "500");
}

/// Arguments that start a process in this mode.
pub fn words(options: &Options) -> Vec<String> {
    let mut words = vec!["/proc/self/exe".to_owned(), "report".to_owned()];
    let config = options.config.as_deref();
    for (option, path) in [
        ("--config", config),
        ("--runtime-dir", Some(options.runtime_dir.as_path())),
        ("--plugin-dir", Some(options.plugin_dir.as_path())),
    ] {
        if let Some(path) = path {
            words.extend([option.to_owned(), path.to_string_lossy().into_owned()]);
        }
    }
    words
}

struct Gathering<'o> {
    options: &'o Options,
    began: Instant,
    secrets: Secrets,
    report: NodeReport,
    size: usize,
}

impl<'o> Gathering<'o> {
    fn new(options: &'o Options) -> Self {
        Self {
            options,
            began: Instant::now(),
            secrets: Secrets::default(),
            report: NodeReport {
                at: clock::now_ms(),
                ..NodeReport::default()
            },
            size: 0,
        }
    }

    // Gathers all parts. The most important ones come first, because the size is limited.
    fn gather(mut self) -> NodeReport {
        let config = self.options.config();
        let folder = config.parent().unwrap_or(Path::new("/")).to_owned();
        let plugins = self.configuration(&config, &folder);
        self.keys(&folder);
        self.ring();
        self.daemon(&plugins);
        self.modes(&folder);
        self.history();
        for (name, argv) in PROGRAMS {
            self.program(name, argv);
        }
        for (name, path) in FILES {
            self.file(name, Path::new(path));
        }
        self.check();
        self.finish()
    }

    // Adds the configuration. Returns the names of the plugins that have a file.
    fn configuration(&mut self, config: &Path, folder: &Path) -> Vec<String> {
        let mut paths = vec![("spared".to_owned(), config.to_owned())];
        let below = fs::read_dir(folder.join("plugins"));
        for entry in below.into_iter().flatten().flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|it| it == "toml") {
                let stem = path.file_stem().unwrap_or_default();
                paths.push((stem.to_string_lossy().into_owned(), path));
            }
        }
        paths.sort_by(|(a, _), (b, _)| (a != "spared", a).cmp(&(b != "spared", b)));
        let secret_keys = SecretKeys::read(&self.options.runtime_dir);
        let mut plugins = Vec::new();
        for (stem, path) in paths {
            let shown = path.display().to_string();
            let text = match read(&path) {
                Ok(text) => text,
                Err(error) => {
                    self.missing(format!("{shown}: {error}"));
                    continue;
                }
            };
            let mut declared = Declared::Keys(&[]);
            if path == config {
                self.report.node = key_of(&text, &["node", "name"]).unwrap_or_default();
                self.secret_file(folder, &text);
            } else {
                plugins.push(stem.clone());
                declared = match secret_keys.of(&stem) {
                    Some(keys) => Declared::Keys(keys),
                    None => {
                        self.missing(format!(
                            "{shown}: its texts are masked: {stem} has not run since the machine started, so \
                             which of its keys are secret is not known"
                        ));
                        Declared::Unknown
                    }
                };
            }
            match configuration(&text, declared, &mut self.secrets) {
                Ok(masked) => self.add(&format!("config/{stem}.toml"), masked),
                Err(why) => self.missing(format!("{shown}: left out: not TOML ({why})")),
            }
        }
        self.in_force(folder, &secret_keys);
        if self.report.node.is_empty() {
            self.report.node = spared_key::default_name();
        }
        plugins
    }

    // Collects secrets from the texts in force. Plugins may use secrets that are no longer in a file: it was changed or
    // broken and not loaded since.
    fn in_force(&mut self, folder: &Path, secret_keys: &SecretKeys) {
        let path = loaded(self.options);
        let read = read_most(&path, LOADED_MAX);
        if matches!(&read, Err(error) if error.kind() == io::ErrorKind::NotFound) {
            return;
        }
        let parsed = read.and_then(|text| {
            serde_json::from_str::<BTreeMap<String, String>>(&text).map_err(|_| {
                // the parser's message may contain a part of the text
                io::Error::other("not understood")
            })
        });
        let texts = match parsed {
            Ok(texts) => texts,
            Err(error) => {
                let path = path.display();
                return self.missing(format!(
                    "{path}: {error}: secrets that are in force but no longer in a file are not masked"
                ));
            }
        };
        for (file, text) in &texts {
            let plugin = file.strip_prefix("plugins/");
            let declared = match plugin.and_then(|it| it.strip_suffix(".toml")) {
                Some(plugin) => match secret_keys.of(plugin) {
                    Some(keys) => Declared::Keys(keys),
                    None => Declared::Unknown,
                },
                None => {
                    self.secret_file(folder, text);
                    Declared::Keys(&[])
                }
            };
            // the text is parsed only for its secrets
            let _ = configuration(text, declared, &mut self.secrets);
        }
    }

    // Reads keys only to mask them wherever they occur.
    fn keys(&mut self, folder: &Path) {
        if let Ok(text) = read(&folder.join("key")) {
            self.secrets.add(&text);
            let bare = text.trim().rsplit(':').next().unwrap_or_default();
            self.secrets.add(bare);
        }
    }

    fn secret_file(&mut self, folder: &Path, text: &str) {
        let file = key_of(text, &["secret_file"]);
        if let Some(Ok(passphrase)) = file.map(|file| read(&folder.join(file))) {
            self.secrets.add(&passphrase);
        }
    }

    fn ring(&mut self) {
        match crate::ring::read(&self.options.runtime_dir) {
            Ok(seconds) if seconds.is_empty() => self.missing("the ring has no record".to_owned()),
            Ok(seconds) => self.add("ring.txt", crate::ring::table(&seconds)),
            Err(error) => {
                let path = self.options.runtime_dir.join(crate::ring::NAME);
                self.missing(format!("{}: {error}", path.display()));
            }
        }
    }

    // Asks the daemon. The exit code of `status` is that of the verdict; 4 means that nobody answers.
    fn daemon(&mut self, plugins: &[String]) {
        let mut questions: Vec<(String, Vec<&str>)> = QUESTIONS
            .iter()
            .map(|(name, words)| ((*name).to_owned(), words.to_vec()))
            .collect();
        for plugin in plugins {
            let name = format!("plugins/{plugin}.txt");
            questions.push((name, vec![plugin.as_str(), "status"]));
        }
        let sparectl = beside("sparectl", SPARECTL);
        let dir = self.options.runtime_dir.to_string_lossy().into_owned();
        for (name, words) in questions {
            let words = [
                &[sparectl.as_str(), "--runtime-dir", &dir],
                words.as_slice(),
            ]
            .concat();
            match self.run(&words) {
                Ok(ended) if ended.code == Some(4) => {
                    self.missing(format!("the daemon does not answer: {}", ended.words()));
                    return;
                }
                Ok(ended) => self.add(&name, text_of(&ended)),
                Err(why) => self.missing(format!("{name}: {why}")),
            }
        }
    }

    fn check(&mut self) {
        let mut words = words(self.options);
        words.splice(1..2, ["check".to_owned()]);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match self.run(&words) {
            Ok(ended) => self.add("check.txt", text_of(&ended)),
            Err(why) => self.missing(format!("check.txt: {why}")),
        }
    }

    fn history(&mut self) {
        let path = state_dir(self.options).join(history::NAME);
        match read_last(&path, HISTORY_MAX) {
            Ok(text) => self.add(history::NAME, text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => self.missing(format!("{}: {error}", path.display())),
        }
    }

    fn modes(&mut self, folder: &Path) {
        let mut lines = vec![mode(folder)];
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
            for path in entries.map(|entry| entry.path()) {
                if lines.len() < MODES_MAX {
                    lines.push(mode(&path));
                }
                if path.is_dir() && !path.is_symlink() && folders.len() < MODES_MAX {
                    folders.push(path);
                }
            }
        }
        lines.sort_by(|a, b| a.1.cmp(&b.1));
        let lines = lines
            .into_iter()
            .map(|(facts, path)| format!("{facts}  {path}\n"));
        self.add("config/modes.txt", lines.collect());
    }

    fn file(&mut self, name: &str, path: &Path) {
        match read(path) {
            Ok(text) => self.add(name, text),
            Err(error) => self.missing(format!("{}: {error}", path.display())),
        }
    }

    fn program(&mut self, name: &str, argv: &[&str]) {
        match self.run(argv) {
            Ok(ended) => {
                // the error messages are useful too
                if ended.code != Some(0) {
                    let words = argv.join(" ");
                    self.missing(format!("{words}: {}", ended.words()));
                }
                self.add(name, text_of(&ended));
            }
            Err(why) => self.missing(format!("{name}: {why}")),
        }
    }

    fn run(&self, argv: &[&str]) -> Result<Ended, String> {
        let left = LAST_START.saturating_sub(self.began.elapsed());
        if left.is_zero() {
            return Err("not run: out of time".to_owned());
        }
        let argv: Vec<String> = argv.iter().map(|word| (*word).to_owned()).collect();
        let program = Program {
            argv: &argv,
            output_max: TEXT_MAX + 1,
            ..Program::default()
        };
        Child::run(&program, PROGRAM_LIMIT)
    }

    fn add(&mut self, name: &str, text: String) {
        let shown = |c: char| {
            if c.is_control() && c != '\n' && c != '\t' {
                '\u{fffd}'
            } else {
                c
            }
        };
        let mut text: String = text.chars().map(shown).collect();
        if text.len() > TEXT_MAX {
            // the cut is at the end of a line, because half a secret would not be masked
            let bytes = text.as_bytes().get(..TEXT_MAX).unwrap_or_default();
            let end = bytes.iter().rposition(|byte| *byte == b'\n');
            text.truncate(end.map_or(0, |end| end + 1));
            self.missing(format!("{name}: cut after {} bytes", text.len()));
        }
        if self.size + text.len() > TEXTS_MAX {
            return self.missing(format!("{name}: left out: the bundle is full"));
        }
        self.size += text.len();
        self.report.files.insert(name.to_owned(), text);
    }

    fn missing(&mut self, sentence: String) {
        self.report.missing.push(sentence);
    }

    // Completes the report. Masks last, when all secrets are known.
    fn finish(mut self) -> NodeReport {
        for text in self
            .report
            .files
            .values_mut()
            .chain(&mut self.report.missing)
        {
            *text = self.secrets.mask(text);
        }
        self.report
    }
}

fn text_of(ended: &Ended) -> String {
    String::from_utf8_lossy(&ended.text).into_owned()
}

// Reads a regular file, also of /proc, up to the limit. Devices and pipes are refused.
fn read(path: &Path) -> io::Result<String> {
    read_most(path, TEXT_MAX)
}

// Value of a configuration's key, if the text can be parsed.
fn key_of(text: &str, path: &[&str]) -> Option<String> {
    let (name, tables) = path.split_last()?;
    let root: toml::Table = text.parse().ok()?;
    let below = |table: Option<toml::Table>, key: &&str| match table?.remove(*key)? {
        toml::Value::Table(table) => Some(table),
        _ => None,
    };
    let table = tables.iter().fold(Some(root), below)?;
    table.get(*name)?.as_str().map(str::to_owned)
}

fn mode(path: &Path) -> (String, String) {
    let shown = path.display().to_string();
    match path.symlink_metadata() {
        Ok(facts) => {
            let (mode, uid, gid) = (facts.mode(), facts.uid(), facts.gid());
            let size = facts.size();
            (format!("{mode:06o} {uid:>5} {gid:>5} {size:>8}"), shown)
        }
        Err(error) => (error.to_string(), shown),
    }
}

// Path of a program: next to this one if it exists there, as in a build tree, else the installed one.
fn beside(name: &str, installed: &str) -> String {
    let exe = std::env::current_exe().ok();
    let beside: Option<PathBuf> = exe.map(|path| path.with_file_name(name));
    let found = beside.filter(|path| path.is_file());
    found.map_or_else(
        || installed.to_owned(),
        |path| path.to_string_lossy().into_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_that_are_in_force_are_masked_though_the_file_is_broken_or_has_others() {
        let dir = std::env::temp_dir().join(format!("spared-report-{}", std::process::id()));
        fs::create_dir_all(dir.join("etc/plugins")).unwrap();
        let config = dir.join("etc/spared.toml");
        fs::write(&config, "node.name = \"r1\"\nsecret_file = \"new\"\n").unwrap();
        fs::write(dir.join("etc/old"), "PLANTED-passphrase\n").unwrap();
        let health = dir.join("etc/plugins/health.toml");
        fs::write(health, "password = \"PLANTED-new\n").unwrap();
        let vrrp = dir.join("etc/plugins/vrrp.toml");
        fs::write(vrrp, "password = \"PLANTED-newer\"\n").unwrap();
        let loaded = serde_json::json!({
            "spared.toml": "node.name = \"r1\"\nsecret_file = \"old\"\n",
            "plugins/health.toml": "[[check]]\nurl = \"https://me:PLANTED-old@host/\"\n",
            "plugins/vrrp.toml": "password = \"PLANTED-older\"\n",
        });
        fs::write(dir.join("loaded"), loaded.to_string()).unwrap();
        let options = Options {
            config: Some(config.clone()),
            runtime_dir: dir.clone(),
            plugin_dir: dir.clone(),
            starter: None,
        };
        let mut gathering = Gathering::new(&options);
        gathering.configuration(&config, &dir.join("etc"));
        let said = ["new", "newer", "old", "older", "passphrase"].map(|it| format!("PLANTED-{it}"));
        gathering.add("status.txt", said.join(" "));
        let report = gathering.finish();
        fs::remove_dir_all(&dir).unwrap();
        let text = format!("{:?} {:?}", report.files, report.missing);
        assert!(!text.contains("PLANTED"), "{text}");
        assert!(
            report.missing.iter().any(|it| it.contains("not TOML")),
            "{text}"
        );
    }
}
