//! The folder of the configuration: reading it, trying new files beside it, showing what changes, and writing it so that
//! an end at any moment leaves the old pair or the new one.

mod staged;

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use similar::TextDiff;
use spared_file::{Access, remove, replace};
use spared_pairing::{Texts, spared_toml};
use staged::Staged;

use crate::line::Files;
use crate::refusal::Refusal;
use crate::{EXIT_CONFIG, check};

/// Name of the daemon's own file.
pub const HOST_FILE: &str = "spared.toml";
/// Name of the private key.
pub const KEY: &str = "key";
/// Beginning of the names of hooks, which are programs.
const HOOKS: &str = "hooks/";
const DEFAULT_CONFIG: &str = "/etc/spared/spared.toml";
/// Unchanged lines around a change.
const CONTEXT: usize = 3;
/// Maximum bytes of a file of the configuration.
const BYTES_MAX: u64 = 1 << 20;

/// The folder of `spared.toml`.
pub struct Folder {
    path: PathBuf,
    plugin_dir: Option<PathBuf>,
    runtime_dir: PathBuf,
}

impl Folder {
    /// # Errors
    /// The file of the configuration has another name than spared.toml.
    pub fn new(files: &Files, runtime_dir: &Path) -> Result<Self, String> {
        let default = || PathBuf::from(DEFAULT_CONFIG);
        let config = files.config.clone().unwrap_or_else(default);
        if config.file_name().is_none_or(|it| it != HOST_FILE) {
            return Err(format!(
                "{}: the name of the file has to be {HOST_FILE}",
                config.display()
            ));
        }
        Ok(Self {
            path: config.parent().unwrap_or(Path::new(".")).to_owned(),
            plugin_dir: files.plugin_dir.clone(),
            runtime_dir: runtime_dir.to_owned(),
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Path of the private key.
    pub fn key(&self) -> PathBuf {
        self.path.join(KEY)
    }

    /// Returns true for the folder of the installed daemon.
    pub fn is_installed(&self) -> bool {
        self.path == Path::new(DEFAULT_CONFIG).parent().unwrap_or(Path::new("/"))
    }

    /// Claims the folder as long as the result lives, for a command that writes files: another one would ask about files
    /// that are others by then, and two codes would wait on one link.
    ///
    /// # Errors
    /// Another command has claimed it, or there is no folder.
    pub fn claim(&self) -> Result<File, String> {
        let shown = self.path.display();
        let opened = make_folder(&self.path).and_then(|()| File::open(&self.path));
        let folder = opened.map_err(|error| format!("{shown}: {error}"))?;
        match flock(&folder, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(folder),
            Err(Errno::WOULDBLOCK) => Err(format!(
                "another sparectl is about to write files in {shown}, such as a `sparectl pair` that waits: let it end first"
            )),
            Err(error) => Err(format!("{shown}: {error}")),
        }
    }

    /// # Errors
    /// A file cannot be read, or is not text.
    pub fn read(&self) -> Result<Texts, String> {
        let mut texts = Texts::new();
        for name in self.names()? {
            let path = self.path.join(&name);
            let failed = |why: String| format!("{}: {why}", path.display());
            let size = fs::metadata(&path)
                .map_err(|error| failed(error.to_string()))?
                .len();
            if size > BYTES_MAX {
                return Err(failed(format!("{size} bytes, allowed are {BYTES_MAX}")));
            }
            let text = fs::read_to_string(&path).map_err(|error| failed(error.to_string()))?;
            texts.insert(name, text);
        }
        Ok(texts)
    }

    /// Files that are there, by path below the folder.
    fn names(&self) -> Result<Vec<String>, String> {
        let folder = self.path.join("plugins");
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries.flatten().collect(),
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(format!("{}: {error}", folder.display())),
        };
        let names = entries
            .iter()
            .filter_map(|it| it.file_name().into_string().ok());
        let is_plugin = |it: &String| it.ends_with(".toml") && !it.starts_with('.');
        let names = names.filter(is_plugin).map(|it| format!("plugins/{it}"));
        let host = self
            .path
            .join(HOST_FILE)
            .exists()
            .then(|| HOST_FILE.to_owned());
        Ok(names.chain(host).collect())
    }

    /// Has `spared check` read these files beside the present ones, with the key and the passphrase that are there. Returns
    /// what it prints.
    ///
    /// # Errors
    /// The lines of the faults.
    pub fn check(&self, texts: &Texts) -> Result<String, Refusal> {
        self.check_with(texts, |_| None)
    }

    /// Check with other secrets than those that are there, by the names of their files.
    ///
    /// # Errors
    /// The lines of the faults.
    pub fn check_with<'s>(
        &self,
        texts: &Texts,
        secret: impl Fn(&str) -> Option<&'s [u8]>,
    ) -> Result<String, Refusal> {
        let staged = Staged::new(self, texts, secret).map_err(|error| {
            format!(
                "{}: the new files cannot be tried: {error}",
                self.path.display()
            )
        })?;
        let mut command = Command::new(check::program());
        command
            .arg("check")
            .arg("--runtime-dir")
            .arg(&self.runtime_dir);
        command.arg("--config").arg(staged.0.join(HOST_FILE));
        if let Some(dir) = &self.plugin_dir {
            command.arg("--plugin-dir").arg(dir);
        }
        let output = command.stdin(Stdio::null()).output();
        let output = output.map_err(|error| format!("{}: {error}", check::program().display()))?;
        let said = String::from_utf8_lossy(&output.stdout);
        let said = said.trim_end().to_owned();
        // files that no daemon takes
        if output.status.code() == Some(EXIT_CONFIG.into()) {
            let code = EXIT_CONFIG;
            return Err(Refusal { why: said, code });
        }
        Ok(said)
    }

    /// Shows what the new files change, as `diff -u` does; empty if nothing.
    pub fn changes(&self, old: &Texts, new: &Texts) -> String {
        let mut names: Vec<&String> = old.keys().chain(new.keys()).collect();
        names.sort();
        names.dedup();
        let mut shown = String::new();
        for name in names {
            let path = self.path.join(name).display().to_string();
            let [before, after] = [old, new].map(|it| it.get(name));
            let header = |text: Option<&String>| match text {
                Some(_) => path.clone(),
                None => "/dev/null".to_owned(),
            };
            let [one, other] = [before, after].map(|it| it.map_or("", String::as_str));
            if before == after {
                continue;
            }
            let diff = TextDiff::from_lines(one, other);
            let mut unified = diff.unified_diff();
            let unified = unified.context_radius(CONTEXT);
            let text = unified.header(&header(before), &header(after)).to_string();
            let empty = format!("--- {}\n+++ {}\n", header(before), header(after));
            shown += if text.is_empty() { &empty } else { &text };
        }
        shown
    }

    /// Checks that the files are still those that were read: somebody may have edited one since.
    ///
    /// # Errors
    /// A file is another one now, or cannot be read.
    pub fn stays(&self, read: &Texts) -> Result<(), String> {
        let now = self.read()?;
        let mut names = now.keys().chain(read.keys());
        let is_other = |it: &&String| !it.starts_with(HOOKS) && now.get(*it) != read.get(*it);
        match names.find(is_other) {
            None => Ok(()),
            Some(name) => Err(format!(
                "{}: was changed meanwhile, so nothing is written: run the command again",
                self.path.join(name).display()
            )),
        }
    }

    /// Writes the new files: first those of plugins, and `spared.toml` last, which alone makes this node one of a pair.
    /// An end before that leaves no pair, and one after it leaves all of it. `may` is called before each step.
    ///
    /// # Errors
    /// A file was edited since it was read; or one cannot be written: what was written stays, and the command can be
    /// repeated.
    pub fn write(
        &self,
        old: &Texts,
        new: &Texts,
        mut may: impl FnMut() -> Result<(), String>,
    ) -> Result<(), String> {
        self.stays(old)?;
        let plugins = self.path.join("plugins");
        let hooks = new.keys().filter(|it| it.starts_with(HOOKS));
        let folders = hooks.filter_map(|it| Some(self.path.join(it).parent()?.to_owned()));
        for folder in folders.chain([plugins]) {
            make_folder(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        }
        let differs = |(name, text): &(&String, &String)| old.get(*name) != Some(*text);
        let (host, others): (Vec<_>, Vec<_>) = new
            .iter()
            .filter(differs)
            .partition(|(name, _)| *name == HOST_FILE);
        for (name, text) in others {
            self.put(name, text, &mut may)?;
        }
        let gone = old.keys().filter(|name| !new.contains_key(*name));
        let gone: Vec<PathBuf> = gone.map(|name| self.path.join(name)).collect();
        for path in gone {
            may()?;
            remove(&[path])?;
        }
        for (name, text) in host {
            self.put(name, text, &mut may)?;
        }
        Ok(())
    }

    fn put(
        &self,
        name: &str,
        text: &str,
        may: &mut impl FnMut() -> Result<(), String>,
    ) -> Result<(), String> {
        let access = if name.starts_with(HOOKS) {
            let owner = fs::metadata(&self.path)
                .map_err(|error| format!("{}: {error}", self.path.display()))?;
            Access::Given {
                uid: owner.uid(),
                gid: owner.gid(),
                mode: 0o755,
            }
        } else {
            Access::AsBefore
        };
        replace(&self.path.join(name), text.as_bytes(), access, may)
    }
}

/// The text of `spared.toml`; empty if there is none.
pub fn host_text(texts: &Texts) -> &str {
    texts.get(HOST_FILE).map_or("", String::as_str)
}

/// The line with the counts, which `spared check` prints last.
pub fn last_line(checked: &str) -> &str {
    checked.lines().last().unwrap_or_default()
}

/// Makes a folder whose name outlives a power cut.
fn make_folder(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(path)?;
    let around = path.parent().unwrap_or(Path::new("/"));
    File::open(around)?.sync_all()
}

/// Path of the passphrase, if the text of spared.toml names one in its folder.
pub fn inner_secret(text: &str) -> Option<String> {
    let named = spared_toml::secret_file(text)?;
    let parts = Path::new(&named).components();
    let parts = parts.filter(|it| *it != Component::CurDir);
    let names = parts.map(|it| match it {
        Component::Normal(name) => name.to_str(),
        _ => None,
    });
    Some(names.collect::<Option<Vec<_>>>()?.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> Folder {
        let path =
            std::env::temp_dir().join(format!("sparectl-pair-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a folder");
        let files = Files {
            config: Some(path.join(HOST_FILE)),
            plugin_dir: None,
        };
        Folder::new(&files, &path).expect("its name fits")
    }

    fn texts(files: &[(&str, &str)]) -> Texts {
        let file = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
        files.iter().map(file).collect()
    }

    #[test]
    fn an_end_at_any_step_leaves_the_old_pair_or_the_new_one() {
        let old = texts(&[
            (HOST_FILE, "port = 1\n"),
            ("plugins/dhcp.toml", ""),
            ("plugins/vrrp.toml", "old\n"),
        ]);
        let new = texts(&[
            (HOST_FILE, "port = 2\n"),
            ("plugins/conntrack.toml", ""),
            ("plugins/vrrp.toml", "new\n"),
        ]);
        let mut last = 0;
        let steps = loop {
            let folder = folder("cut");
            folder
                .write(&Texts::new(), &old, || Ok(()))
                .expect("written");
            let mut steps = 0;
            let cut = || {
                steps += 1;
                if steps > last {
                    Err("killed".to_owned())
                } else {
                    Ok(())
                }
            };
            let written = folder.write(&old, &new, cut);
            let there = folder.read().expect("readable");
            match there[HOST_FILE].as_str() {
                "port = 1\n" => assert!(written.is_err()),
                _ => assert_eq!(there, new),
            }
            // once more completes it
            folder.write(&there, &new, || Ok(())).expect("written");
            assert_eq!(folder.read(), Ok(new.clone()));
            fs::remove_dir_all(&folder.path).expect("removed");
            if written.is_ok() {
                break steps;
            }
            last += 1;
        };
        assert_eq!(steps, 4, "two files of plugins, one that goes, spared.toml");
    }

    #[test]
    fn a_folder_is_of_one_command_at_a_time() {
        let folder = folder("claim");
        let claim = folder.claim().expect("free");
        let why = folder.claim().expect_err("refused");
        assert!(
            why.starts_with("another sparectl is about to write"),
            "{why}"
        );
        drop(claim);
        drop(folder.claim().expect("free again"));
        fs::remove_dir_all(&folder.path).expect("removed");
    }

    #[test]
    fn an_edit_since_the_files_were_read_is_not_overwritten() {
        let folder = folder("edited");
        let old = texts(&[(HOST_FILE, "port = 1\n"), ("plugins/vrrp.toml", "")]);
        let new = texts(&[(HOST_FILE, "port = 2\n")]);
        folder
            .write(&Texts::new(), &old, || Ok(()))
            .expect("written");
        let edits = [
            texts(&[(HOST_FILE, "port = 3\n"), ("plugins/vrrp.toml", "")]),
            texts(&[
                (HOST_FILE, "port = 1\n"),
                ("plugins/vrrp.toml", ""),
                ("plugins/dhcp.toml", ""),
            ]),
            texts(&[(HOST_FILE, "port = 1\n")]),
        ];
        for edit in edits {
            let before = folder.read().expect("readable");
            folder.write(&before, &edit, || Ok(())).expect("written");
            let why = folder.write(&old, &new, || Ok(())).expect_err("refused");
            assert!(why.contains(": was changed meanwhile"), "{why}");
            assert_eq!(folder.read(), Ok(edit));
        }
        fs::remove_dir_all(&folder.path).expect("removed");
    }

    #[test]
    fn a_passphrase_in_the_folder_is_told_from_one_elsewhere() {
        for (file, expected) in [
            ("secret", Some("secret")),
            ("./in//secret", Some("in/secret")),
            ("../secret", None),
            ("/etc/spared/secret", None),
        ] {
            let text = format!("secret_file = \"{file}\"\n");
            assert_eq!(inner_secret(&text).as_deref(), expected, "{file}");
        }
        assert_eq!(inner_secret("port = 1\n"), None);
    }

    #[test]
    fn changes_are_shown_and_only_they() {
        let folder = folder("changes");
        let old = texts(&[(HOST_FILE, "a = 1\n"), ("plugins/x.toml", "b\n")]);
        let new = texts(&[(HOST_FILE, "a = 2\n"), ("plugins/y.toml", "")]);
        let shown = folder.changes(&old, &new);
        let path = folder.path.display();
        assert!(shown.contains("-a = 1\n+a = 2\n"), "{shown}");
        assert!(
            shown.contains(&format!("--- {path}/plugins/x.toml\n+++ /dev/null\n")),
            "{shown}"
        );
        assert!(
            shown.contains(&format!("--- /dev/null\n+++ {path}/plugins/y.toml\n")),
            "{shown}"
        );
        assert_eq!(folder.changes(&old, &old), "");
        fs::remove_dir_all(&folder.path).expect("removed");
    }
}
