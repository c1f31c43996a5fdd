//! Workers one of whose files is replaced.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use spared_contract::{Descriptor, FromPlugin};

use super::test_worker::{NAME, TestWorker, descriptor, library, returned};

/// Looks after which a replaced file must have been found, and those that show that none is.
const LOOKS_MAX: usize = 500;
const LOOKS: usize = 30;

struct Fixture {
    worker: TestWorker,
    loaded: FromPlugin,
    file: PathBuf,
}

impl Fixture {
    /// Starts a plugin that asks for a file.
    fn new(name: &str, provides_groups: bool) -> Self {
        let mut worker = TestWorker::new(name);
        let file = worker.folder.join("conf");
        fs::write(&file, "old").unwrap();
        let path = file.display().to_string();
        let library = library::of(NAME, &format!("path = {path}\n"));
        fs::write(worker.folder.join(format!("{NAME}.so")), library).unwrap();
        let loaded = FromPlugin::Loaded(Ok(Descriptor {
            paths: vec![path],
            provides_groups,
            ..descriptor()
        }));
        worker.begin_with(&loaded);
        let mut fixture = Self {
            worker,
            loaded,
            file,
        };
        fixture.answer_callbacks();
        fixture
    }

    fn answer_callbacks(&mut self) {
        for _ in 0..2 {
            let token = self.worker.token;
            self.worker.send(&returned(token, 0));
        }
        assert_eq!(self.worker.state(), "running");
    }

    fn replace(&self) {
        let new = self.file.with_extension("new");
        fs::write(&new, "new").unwrap();
        fs::rename(new, &self.file).unwrap();
    }

    /// Looks once in a second, and gives the thread some time for it. Returns true if the plugin is to be restarted.
    fn look(&mut self, may_restart: bool) -> bool {
        self.worker.now += Duration::from_secs(1);
        let now = self.worker.now;
        let found = self.worker.supervisor.poll_replaced(now, may_restart);
        std::thread::sleep(Duration::from_millis(2));
        let path = self.file.display().to_string();
        found.is_some_and(|it| (it.plugin.as_str(), it.path) == (NAME, path))
    }

    fn is_found(&mut self, may_restart: bool, looks: usize) -> bool {
        (0..looks).any(|_| self.look(may_restart))
    }

    /// Stops the plugin and starts it again, as the daemon does.
    fn renew(&mut self) {
        self.worker.ask(6);
        let token = self.worker.token;
        self.worker.send(&returned(token, 0));
        assert!(self.worker.reported.contains(&"stopped"));
        let loaded = self.loaded.clone();
        self.worker.begin_with(&loaded);
        self.answer_callbacks();
    }
}

#[test]
fn a_plugin_whose_file_is_replaced_is_restarted_once_and_not_while_it_must_not_be() {
    let mut fixture = Fixture::new("replaced", false);
    assert!(!fixture.is_found(true, LOOKS));
    fs::write(&fixture.file, "written in place").unwrap();
    assert!(!fixture.is_found(true, LOOKS));
    fixture.replace();
    // as while a role changes
    assert!(!fixture.is_found(false, LOOKS));
    assert!(fixture.is_found(true, LOOKS_MAX));
    fixture.renew();
    assert!(!fixture.is_found(true, LOOKS));
}

#[test]
fn an_elector_is_not_restarted_for_a_file() {
    let mut fixture = Fixture::new("elector", true);
    assert!(!fixture.is_found(true, LOOKS));
    fixture.replace();
    assert!(!fixture.is_found(true, LOOKS));
}
