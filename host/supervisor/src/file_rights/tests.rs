//! Tests which replaced files are found, with real files and a chosen time.

use std::fs;
use std::path::PathBuf;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

struct Fixture {
    folder: PathBuf,
    rights: FileRights,
    opened: Opened,
    serial: u64,
    now: Instant,
}

impl Fixture {
    /// Makes a worker that may open these names of a new folder.
    fn new(name: &str, to_read: &[&str], to_write: &[&str]) -> Self {
        let folder = std::env::temp_dir().join(format!("spared-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let paths = |names: &[&str]| {
            let paths = names.iter().map(|name| folder.join(name));
            paths.map(|path| path.display().to_string()).collect()
        };
        Self {
            opened: Opened {
                to_read: paths(to_read),
                to_write: paths(to_write),
            },
            folder,
            rights: FileRights::default(),
            serial: 1,
            now: Instant::now(),
        }
    }

    /// Writes a file under another name, and renames it.
    fn replace(&self, name: &str) {
        let path = self.folder.join(name);
        let new = path.with_extension("new");
        fs::write(&new, "new").unwrap();
        fs::rename(new, path).unwrap();
    }

    /// Looks a second later. Returns the name of a file for which the plugin is to be restarted.
    fn look(&mut self) -> Option<String> {
        self.now += SECOND;
        let paths = self.opened.to_read.iter().chain(&self.opened.to_write);
        let looks = paths.map(|path| (path.clone(), Look::at(path.as_ref())));
        let looks = looks.collect();
        let found = self
            .rights
            .handle_looks(self.now, self.serial, &self.opened, looks);
        let name = |path: String| path.rsplit('/').next().map(str::to_owned);
        found.and_then(name)
    }

    fn restart(&mut self) {
        self.rights.handle_restart(self.now);
        self.serial += 1;
    }

    /// Returns the results of these looks.
    fn looks(&mut self, count: usize) -> Vec<String> {
        (0..count).filter_map(|_| self.look()).collect()
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn a_file_that_is_replaced_or_appears_is_found_once_it_stays() {
    let mut fixture = Fixture::new("replaced", &["conf", "late"], &["leases"]);
    fixture.replace("conf");
    fixture.replace("leases");
    assert_eq!(fixture.looks(5), [""; 0]);
    for name in ["conf", "late", "leases"] {
        fixture.replace(name);
        assert_eq!(fixture.look(), None, "it may be replaced once more");
        assert_eq!(fixture.look().as_deref(), Some(name));
        fixture.restart();
        fixture.now += PAUSE_MAX * CALM_PAUSES;
        assert_eq!(fixture.looks(5), [""; 0], "the new worker may open it");
    }
}

#[test]
fn what_is_written_in_place_or_deleted_restarts_nothing() {
    let mut fixture = Fixture::new("written", &["conf", "gone"], &[]);
    fixture.replace("conf");
    fixture.replace("gone");
    assert_eq!(fixture.look(), None);
    fs::write(fixture.folder.join("conf"), "more").unwrap();
    fs::remove_file(fixture.folder.join("gone")).unwrap();
    fs::create_dir(fixture.folder.join("gone")).unwrap();
    assert_eq!(fixture.looks(5), [""; 0]);
}

#[test]
fn a_file_in_a_folder_that_is_open_restarts_nothing_unless_a_link_leads_out_of_it() {
    let mut fixture = Fixture::new("within", &["", "deep/conf", "link"], &[]);
    let outside = Fixture::new("outside", &[], &[]);
    fs::create_dir(fixture.folder.join("deep")).unwrap();
    fixture.replace("deep/conf");
    outside.replace("target");
    let target = outside.folder.join("target");
    std::os::unix::fs::symlink(target, fixture.folder.join("link")).unwrap();
    assert_eq!(fixture.look(), None);
    fixture.replace("deep/conf");
    assert_eq!(fixture.looks(5), [""; 0]);
    outside.replace("target");
    fixture.look();
    assert_eq!(fixture.look().as_deref(), Some("link"));
}

#[test]
fn a_folder_to_read_gives_no_right_to_write_a_file_in_it() {
    let mut fixture = Fixture::new("rights", &[""], &["leases"]);
    fixture.replace("leases");
    assert_eq!(fixture.look(), None);
    fixture.replace("leases");
    fixture.look();
    assert_eq!(fixture.look().as_deref(), Some("leases"));
}

#[test]
fn a_file_that_is_replaced_again_and_again_restarts_its_plugin_ever_more_rarely() {
    let mut fixture = Fixture::new("often", &["conf"], &[]);
    fixture.replace("conf");
    fixture.look();
    let mut restarts = Vec::new();
    for second in 0..6000 {
        // at this pace it also stays for a moment
        if second % 4 == 0 {
            fixture.replace("conf");
        }
        if fixture.look().is_some() {
            restarts.push(second);
            fixture.restart();
        }
    }
    assert!((7..=10).contains(&restarts.len()), "{restarts:?}");
    let pauses: Vec<u32> = restarts.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses.is_sorted(), "{pauses:?}");
    // one that is replaced every second never stays
    fixture.now += PAUSE_MAX;
    for _ in 0..60 {
        fixture.replace("conf");
        assert_eq!(fixture.look(), None);
    }
}

#[test]
fn a_file_that_is_replaced_while_the_worker_starts_is_found() {
    let mut fixture = Fixture::new("starts", &["conf"], &[]);
    fixture.replace("conf");
    fixture.looks(2);
    // another worker, which may have started before or after that
    fixture.serial += 1;
    fixture.replace("conf");
    fixture.look();
    assert_eq!(fixture.look().as_deref(), Some("conf"));
}

#[test]
fn a_file_that_a_reload_names_is_watched_in_the_worker_that_it_started() {
    let mut fixture = Fixture::new("named", &["conf"], &[]);
    assert!(fixture.looks(3).is_empty());
    let new = fixture.folder.join("new");
    fs::write(&new, "old").unwrap();
    fixture.opened.to_read.push(new.display().to_string());
    fixture.serial += 1;
    assert!(fixture.looks(3).is_empty());
    fixture.replace("new");
    assert_eq!(fixture.looks(3), ["new"; 2]);
}

#[test]
fn a_file_that_was_replaced_while_the_plugin_did_not_run_is_open_to_the_next_worker() {
    let mut fixture = Fixture::new("mended", &["conf"], &[]);
    assert!(fixture.looks(3).is_empty());
    fixture.replace("conf");
    fixture.now += 3600 * SECOND;
    fixture.serial += 1;
    assert!(fixture.looks(5).is_empty());
}
