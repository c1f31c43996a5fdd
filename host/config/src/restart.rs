//! Finds what works now but would not work after a restart, although no file of the configuration was changed: a
//! missing program, a missing library of a plugin, another host name, an unreadable file. `on_disk` does the same for
//! the keys.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use spared_process::worker::Build;
use spared_process::worker::file::open_plugin;

use super::on_disk::{Stamps, Texts, place_of, stamps_of};
use super::{Options, Setup};

/// First bytes of a shared library.
const ELF: [u8; 4] = *b"\x7fELF";

/// Paths of all that a restart needs.
#[derive(Clone, Debug)]
pub struct Restart {
    config: PathBuf,
    plugin_dir: PathBuf,
    /// The running program; None if unknown.
    program: Option<PathBuf>,
}

/// Name of the program among the plugins.
pub const PROGRAM: &str = "spared";

/// Thing that would be lost by a restart, with the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestartFault {
    /// Name of a plugin, "spared", or a file of the configuration.
    pub thing: String,
    pub why: String,
}

impl Restart {
    /// Build of the program that runs, also if its file was replaced.
    pub fn running() -> Option<Build> {
        Build::of(Path::new("/proc/self/exe"))
    }

    /// Uses the paths in `options`, and the program that runs.
    pub fn new(options: &Options) -> Self {
        Self {
            config: options.config(),
            plugin_dir: options.plugin_dir.clone(),
            program: std::env::current_exe().ok().map(without_deleted),
        }
    }

    /// Identities of the files, and the host's name. If they are the same, so is the result of
    /// [`restart_faults`](Self::restart_faults).
    pub fn stamps(&self, in_force: &Texts) -> (Stamps, String) {
        let libraries = plugins(in_force).map(|name| self.library(name));
        let folder = self.plugin_dir.clone();
        let places = libraries.chain([folder]).chain(self.program.clone());
        (stamps_of(places), spared_key::default_name())
    }

    /// Builds that a restart with these texts would run: of the program, by the name [`PROGRAM`], and of plugins.
    pub fn builds(&self, in_force: &Texts) -> BTreeMap<String, Build> {
        let libraries = plugins(in_force).map(|name| (name, self.library(name)));
        let program = self.program.clone().map(|program| (PROGRAM, program));
        let files = libraries.chain(program);
        files
            .filter_map(|(name, path)| Some((name.to_owned(), Build::of(&path)?)))
            .collect()
    }

    fn library(&self, name: &str) -> PathBuf {
        self.plugin_dir.join(format!("{name}.so"))
    }

    /// Things that a restart with these texts would lose.
    pub fn restart_faults(&self, in_force: &Texts) -> Vec<RestartFault> {
        let mut restart_faults = Vec::new();
        let mut add = |thing: &str, why: String| {
            restart_faults.push(RestartFault {
                thing: thing.to_owned(),
                why,
            });
        };
        if let Some(why) = self.program.as_deref().and_then(no_program) {
            add(PROGRAM, why);
        }
        for name in in_force.keys() {
            if let Some(error) = unreadable(&place_of(&self.config, name)) {
                add(name, format!("cannot be read: {error}"));
            }
        }
        match Setup::of_texts(&self.config, in_force) {
            Err(faults) => faults
                .iter()
                .take(1)
                .for_each(|it| add("spared.toml", it.to_string())),
            Ok(setup) => {
                for plugin in setup.plugins.iter().filter(|it| it.enabled) {
                    if let Err(why) = library(&self.plugin_dir, &plugin.name) {
                        add(&plugin.name, why);
                    }
                }
            }
        }
        restart_faults
    }
}

// Removes the suffix that the kernel adds to the name of a program whose file was replaced, for example by an upgrade.
fn without_deleted(program: PathBuf) -> PathBuf {
    let stripped = program
        .to_str()
        .and_then(|it| it.strip_suffix(" (deleted)"));
    stripped.map(PathBuf::from).unwrap_or(program)
}

fn no_program(path: &Path) -> Option<String> {
    let shown = path.display();
    match path.metadata() {
        Err(error) => Some(format!("{shown}: {error}: install it again")),
        Ok(found) if found.permissions().mode() & 0o111 == 0 => {
            Some(format!("{shown}: is not executable: chmod 755 {shown}"))
        }
        Ok(_) => None,
    }
}

/// Error of the disk for a file that exists. Missing files and missing permissions are reported elsewhere.
pub fn unreadable(path: &Path) -> Option<io::Error> {
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let read = opened.and_then(|mut file| file.read(&mut [0]));
    read.err().filter(|error| {
        let of_others = [ErrorKind::NotFound, ErrorKind::PermissionDenied];
        !of_others.contains(&error.kind())
    })
}

// Checks a library. One that only root may read counts as valid: root loads it, and this process cannot judge it.
fn library(folder: &Path, name: &str) -> Result<(), String> {
    let path = folder.join(format!("{name}.so"));
    match File::open(&path) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => return Ok(()),
        Err(error) => return Err(format!("{}: {error}: install it again", path.display())),
        Ok(_) => {}
    }
    let mut start = [0; ELF.len()];
    let read = File::from(open_plugin(folder, name)?).read_exact(&mut start);
    match read {
        Ok(()) if start == ELF => Ok(()),
        _ => Err(format!(
            "{}: is no shared library: install it again",
            path.display()
        )),
    }
}

fn plugins(texts: &Texts) -> impl Iterator<Item = &str> {
    let names = texts.keys();
    names.filter_map(|it| it.strip_prefix("plugins/")?.strip_suffix(".toml"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::folder::Folder;

    /// Creates a folder with a configuration, a program and a library.
    fn site(name: &str) -> Folder {
        let site = Folder::new(name);
        site.write("sets.so", "\x7fELF and more");
        site.write("spared", "#!/bin/sh\n");
        site.mode("spared", 0o755);
        site
    }

    impl Folder {
        fn restart(&self) -> Restart {
            Restart {
                config: self.path(),
                plugin_dir: self.0.clone(),
                program: Some(self.0.join("spared")),
            }
        }

        /// Things that are lost, each with a part of the reason.
        fn restart_faults(&self, texts: &Texts) -> Vec<String> {
            let restart_faults = self.restart().restart_faults(texts).into_iter();
            let shown = |it: RestartFault| {
                let why = it.why.replace(&format!("{}/", self.0.display()), "");
                format!("{}: {why}", it.thing)
            };
            restart_faults.map(shown).collect()
        }
    }

    #[test]
    fn a_library_that_is_gone_or_none_is_lost() {
        let site = site("library");
        let texts = site.texts();
        assert_eq!(site.restart_faults(&texts), [""; 0]);
        let before = site.restart().stamps(&texts);
        assert_eq!(before, site.restart().stamps(&texts));
        site.write("sets.so", "garbage");
        assert_ne!(before, site.restart().stamps(&texts));
        assert_eq!(
            site.restart_faults(&texts),
            ["sets: sets.so: is no shared library: install it again"]
        );
        site.mode("sets.so", 0o666);
        assert!(
            site.restart_faults(&texts)
                .iter()
                .all(|it| it.contains("chmod go-w"))
        );
        site.remove("sets.so");
        assert_eq!(
            site.restart_faults(&texts),
            ["sets: sets.so: No such file or directory (os error 2): install it again"]
        );
    }

    #[test]
    fn a_program_that_is_gone_is_lost_and_one_that_was_replaced_is_not() {
        let site = site("program");
        let texts = site.texts();
        site.mode("spared", 0o644);
        assert_eq!(
            site.restart_faults(&texts).len(),
            1,
            "{:?}",
            site.restart_faults(&texts)
        );
        site.remove("spared");
        let gone = "spared: spared: No such file or directory (os error 2): install it again";
        assert_eq!(site.restart_faults(&texts), [gone]);
        let deleted = without_deleted(PathBuf::from("/usr/sbin/spared (deleted)"));
        assert_eq!(deleted, Path::new("/usr/sbin/spared"));
    }

    #[test]
    fn what_a_restart_would_run_is_told_by_its_builds() {
        let site = site("builds");
        let texts = site.texts();
        let before = site.restart().builds(&texts);
        let names: Vec<_> = before.keys().map(String::as_str).collect();
        assert_eq!(names, ["sets", PROGRAM]);
        site.write("sets.so", "\x7fELF of the next version");
        let after = site.restart().builds(&texts);
        assert_ne!(after.get("sets"), before.get("sets"));
        assert_eq!(after.get(PROGRAM), before.get(PROGRAM));
    }

    #[test]
    fn a_name_of_the_host_that_is_none_of_the_pair_is_told() {
        let site = site("name");
        let mut texts = site.texts();
        let nodes = "[nodes.somebody]\n[nodes.another]\n".to_owned();
        texts.insert("spared.toml".to_owned(), nodes);
        let restart_faults = site.restart_faults(&texts);
        let is_told = |it: &String| it.starts_with("spared.toml: ") && it.contains("[nodes] has");
        assert!(
            restart_faults.len() == 1 && restart_faults.iter().all(is_told),
            "{restart_faults:?}"
        );
    }

    #[test]
    fn a_file_that_the_disk_does_not_give_is_lost() {
        let site = site("disk");
        let texts = site.texts();
        // a folder in place of the file makes reading fail
        site.remove("plugins/sets.toml");
        fs::create_dir(site.0.join("plugins/sets.toml")).expect("our own folder");
        let restart_faults = site.restart_faults(&texts);
        let told = "plugins/sets.toml: cannot be read: Is a directory (os error 21)";
        assert_eq!(restart_faults, [told]);
        assert!(unreadable(&site.0.join("nothing")).is_none());
    }
}
