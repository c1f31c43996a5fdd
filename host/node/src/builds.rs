//! Tells what runs in another build than is installed: the daemon, and the workers of plugins.

use std::collections::BTreeMap;

use spared_config::{Build, PROGRAM};

/// Builds that run, and those that are installed.
#[derive(Debug, Default)]
pub(crate) struct Builds {
    /// Build of this program; None if unknown.
    program: Option<Build>,
    workers: BTreeMap<String, Worker>,
    installed: BTreeMap<String, Build>,
}

/// A worker that runs. Its build is that which was installed when the files were first read after its start.
#[derive(Debug)]
struct Worker {
    pid: u32,
    build: Option<Build>,
}

impl Builds {
    pub(crate) fn new(program: Option<Build>) -> Self {
        Self {
            program,
            ..Self::default()
        }
    }

    /// Sets what the files have now.
    pub(crate) fn set_installed(&mut self, installed: BTreeMap<String, Build>) {
        for (name, worker) in &mut self.workers {
            worker.build = worker.build.take().or_else(|| installed.get(name).cloned());
        }
        self.installed = installed;
    }

    /// Returns the names of what runs in another build than is installed, and true if a worker is new, whose build is not
    /// known yet. A missing file is none.
    pub(crate) fn outdated<'n>(
        &mut self,
        workers: impl Iterator<Item = (&'n str, u32)>,
    ) -> (Vec<String>, bool) {
        let mut before = std::mem::take(&mut self.workers);
        let mut has_new = false;
        for (name, pid) in workers {
            let known = before.remove(name).filter(|it| it.pid == pid);
            has_new |= known.is_none();
            let worker = known.unwrap_or(Worker { pid, build: None });
            self.workers.insert(name.to_owned(), worker);
        }
        let running = self.workers.iter();
        let running = running.map(|(name, worker)| (name.as_str(), worker.build.as_ref()));
        let running = std::iter::once((PROGRAM, self.program.as_ref())).chain(running);
        let is_outdated = |(name, build): &(&str, Option<&Build>)| {
            let installed = self.installed.get(*name);
            build
                .zip(installed)
                .is_some_and(|(runs, installed)| runs != installed)
        };
        let outdated = running.filter(is_outdated);
        let outdated = outdated.map(|(name, _)| name.to_owned());
        (outdated.collect(), has_new)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn build(text: &str) -> Build {
        let name = format!("spared-builds-{}-{text}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::write(&path, text).expect("our own file");
        let build = Build::of(&path).expect("our own file");
        fs::remove_file(&path).expect("our own file");
        build
    }

    fn installed(program: &Build, sets: Option<&Build>) -> BTreeMap<String, Build> {
        let sets = sets.map(|it| ("sets".to_owned(), it.clone()));
        let all = [(PROGRAM.to_owned(), program.clone())].into_iter();
        all.chain(sets).collect()
    }

    #[test]
    fn what_was_replaced_is_outdated_until_it_is_started_again() {
        let [old, new] = ["old", "newer"].map(build);
        let (mut builds, mut last) = (Builds::new(Some(old.clone())), 0);
        let mut outdated = |files: Option<(&Build, Option<&Build>)>, pid: u32| {
            if let Some((program, sets)) = files {
                builds.set_installed(installed(program, sets));
            }
            let (names, has_new) = builds.outdated([("sets", pid)].into_iter());
            assert_eq!(has_new, pid != last, "{pid}");
            last = pid;
            names.join(" ")
        };
        assert_eq!(outdated(None, 1), "", "nothing was read yet");
        assert_eq!(outdated(Some((&old, Some(&old))), 1), "");
        assert_eq!(outdated(Some((&old, Some(&new))), 1), "sets");
        assert_eq!(outdated(Some((&new, Some(&new))), 1), "spared sets");
        // a worker that died runs what is installed
        assert_eq!(outdated(None, 2), "spared");
        assert_eq!(outdated(Some((&new, Some(&new))), 2), "spared");
        // the old package is installed again
        assert_eq!(outdated(Some((&old, Some(&old))), 2), "sets");
        assert_eq!(
            outdated(Some((&old, None)), 2),
            "",
            "a missing file has a finding of its own"
        );
    }
}
