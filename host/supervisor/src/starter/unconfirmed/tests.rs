use std::cell::Cell;
use std::os::unix::fs::PermissionsExt;

use super::*;

/// Folder with a configuration and with the starter's state.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let folder = format!("spared-unconfirmed-{name}-{}", std::process::id());
        let scratch = Self(std::env::temp_dir().join(folder));
        let _ = fs::remove_dir_all(&scratch.0);
        fs::create_dir_all(scratch.0.join("plugins")).unwrap();
        scratch.write("spared.toml", "node.name = \"r1\"\n");
        scratch.write("plugins/sets.toml", "# mine\nweight = 1\n");
        scratch.write("plugins/vrrp.toml", "");
        fs::set_permissions(
            scratch.0.join("plugins/sets.toml"),
            fs::Permissions::from_mode(0o640),
        )
        .unwrap();
        scratch
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.join(name), text).unwrap();
    }

    fn config(&self) -> PathBuf {
        self.0.join("spared.toml")
    }

    fn state(&self) -> PathBuf {
        self.0.join("state")
    }

    /// Loads the files as the starter does when they are in force. Returns their digest.
    fn load(&self) -> String {
        let setup = Setup::read(&self.config()).unwrap();
        loaded::write(Some(&self.state()), &setup);
        setup.digest
    }

    fn keep(&self, digest: &str) -> Result<(), String> {
        self.keep_with_term(digest, 0)
    }

    fn keep_with_term(&self, digest: &str, term_s: u64) -> Result<(), String> {
        keep(Some(&self.state()), &self.config(), digest, term_s)
    }

    fn put_back(&self, digest: &str) -> Result<(), String> {
        put_back(Some(&self.state()), &self.config(), digest, |_| Ok(()))
    }

    /// Configuration that a start would have in force: what is kept, or the files.
    fn started(&self) -> String {
        let kept = kept_texts(&self.state().join(UNCONFIRMED));
        let kept = kept.map(|it| Setup::of_texts(&self.config(), &it).unwrap());
        let files = || Setup::read(&self.config()).unwrap();
        kept.unwrap_or_else(files).digest
    }

    /// Changes each kind of file as an administrator might.
    fn edit(&self) {
        self.write("spared.toml", "node.name = \"r1\"\nport = 4000\n");
        self.write("plugins/sets.toml", "weight = 2\n");
        fs::remove_file(self.0.join("plugins/vrrp.toml")).unwrap();
        self.write("plugins/dhcp.toml", "weight = 3\n");
    }

    fn text(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.0.join(name)).ok()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn every_file_comes_back_and_the_edited_ones_are_set_aside() {
    let scratch = Scratch::new("back");
    let before = scratch.load();
    scratch.keep(&before).unwrap();
    scratch.edit();
    let after = scratch.load();
    // as long as the edited files are in force, they stay
    scratch.put_back(&after).unwrap();
    assert_eq!(scratch.text("plugins/sets.toml").unwrap(), "weight = 2\n");
    scratch.put_back(&before).unwrap();
    assert_eq!(scratch.text("spared.toml").unwrap(), "node.name = \"r1\"\n");
    assert_eq!(
        scratch.text("plugins/sets.toml").unwrap(),
        "# mine\nweight = 1\n"
    );
    assert_eq!(scratch.text("plugins/vrrp.toml").unwrap(), "");
    assert_eq!(scratch.text("plugins/dhcp.toml"), None);
    let mode = fs::metadata(scratch.0.join("plugins/sets.toml")).unwrap();
    assert_eq!(mode.permissions().mode() & 0o777, 0o640);
    assert_eq!(scratch.load(), before);
    for (name, text) in [
        ("spared.toml", "node.name = \"r1\"\nport = 4000\n"),
        ("plugins/sets.toml", "weight = 2\n"),
        ("plugins/dhcp.toml", "weight = 3\n"),
    ] {
        let name = format!("state/{TAKEN_BACK}/{name}");
        assert_eq!(scratch.text(&name).as_deref(), Some(text), "{name}");
    }
    assert!(!scratch.state().join(UNCONFIRMED).exists());
    // nothing is left to put back
    scratch.edit();
    scratch.put_back(&before).unwrap();
    assert_eq!(scratch.load(), after);
}

/// Cuts the way back before each change of a file, and checks what the next start has in force. With a term that is the
/// edit until the first change.
fn cut_the_way_back(name: &str, term_s: u64, changes: usize) {
    for crash_at in 0.. {
        let scratch = Scratch::new(name);
        let before = scratch.load();
        scratch.keep_with_term(&before, term_s).unwrap();
        scratch.edit();
        scratch.load();
        let count = Cell::new(0);
        let step = |_: &Path| {
            count.set(count.get() + 1);
            if count.get() > crash_at {
                Err("a crash".to_owned())
            } else {
                Ok(())
            }
        };
        let ended = put_back(Some(&scratch.state()), &scratch.config(), &before, step);
        assert_eq!(scratch.started(), before, "{crash_at}: the next start");
        let has_term = scratch.state().join(TERM).exists();
        assert_eq!(
            has_term,
            term_s > 0 && crash_at == 0,
            "{crash_at}: its term"
        );
        scratch.put_back(&before).unwrap();
        assert_eq!(scratch.load(), before, "{crash_at}: after it");
        assert!(!scratch.state().join(UNCONFIRMED).exists());
        if ended.is_ok() {
            assert_eq!(count.get(), changes, "4 files, the kept texts, a term");
            return;
        }
    }
}

#[test]
fn a_crash_before_any_change_of_a_file_is_made_up_for_by_the_next_start() {
    cut_the_way_back("crash", 0, 5);
    cut_the_way_back("crash-term", 60, 6);
}

#[test]
fn a_term_is_of_the_files_that_are_kept_with_it() {
    let scratch = Scratch::new("term");
    let before = scratch.load();
    scratch.keep_with_term(&before, 60).unwrap();
    assert!(scratch.state().join(TERM).exists());
    scratch.keep(&before).unwrap();
    assert!(!scratch.state().join(TERM).exists());
    scratch.keep_with_term(&before, 60).unwrap();
    forget(Some(&scratch.state())).unwrap();
    for name in [TERM, UNCONFIRMED] {
        assert!(!scratch.state().join(name).exists(), "{name}");
    }
}

#[test]
fn a_term_that_was_ended_is_over_and_still_there() {
    let scratch = Scratch::new("ended");
    let before = scratch.load();
    let state = scratch.state();
    let left = || boot::left(&fs::read_to_string(state.join(TERM)).unwrap());
    scratch.keep_with_term(&before, 60).unwrap();
    assert_ne!(left(), Some(Duration::ZERO));
    end_term(Some(&state)).unwrap();
    assert_eq!(left(), Some(Duration::ZERO));
    // without a term there is none to end
    scratch.keep(&before).unwrap();
    end_term(Some(&state)).unwrap();
    assert!(!state.join(TERM).exists());
}

#[test]
fn another_attempt_puts_files_back_but_not_over_a_later_edit() {
    let scratch = Scratch::new("again");
    let before = scratch.load();
    scratch.keep(&before).unwrap();
    scratch.edit();
    // as on a full disk
    let step = |path: &Path| {
        let is_full = path.ends_with("spared.toml");
        if is_full {
            Err("no space left".to_owned())
        } else {
            Ok(())
        }
    };
    let state = scratch.state();
    put_back(Some(&state), &scratch.config(), &before, step).unwrap_err();
    let plain = |_: &Path| Ok(());
    let name = "plugins/dhcp.toml";
    set_aside(
        &state,
        name,
        &scratch.0.join(name),
        Some(b"weight = 3\n".to_vec()),
    )
    .unwrap();
    scratch.write(name, "weight = 4\n");
    let why = put_back(Some(&state), &scratch.config(), &before, plain).unwrap_err();
    assert!(why.contains("dhcp.toml: was edited since"), "{why}");
    assert_eq!(scratch.text(name).as_deref(), Some("weight = 4\n"));
    assert_eq!(scratch.started(), before);
    scratch.write(name, "weight = 3\n");
    scratch.put_back(&before).unwrap();
    assert_eq!((scratch.load(), scratch.text(name)), (before, None));
}

#[test]
fn what_is_confirmed_does_not_come_back() {
    let scratch = Scratch::new("confirmed");
    let before = scratch.load();
    scratch.keep(&before).unwrap();
    scratch.edit();
    let after = scratch.load();
    assert_eq!(scratch.started(), before);
    forget(Some(&scratch.state())).unwrap();
    forget(Some(&scratch.state())).unwrap();
    assert_eq!(scratch.started(), after);
    scratch.put_back(&before).unwrap();
    assert_eq!(scratch.load(), after);
}

#[test]
fn only_what_root_had_loaded_is_kept() {
    let scratch = Scratch::new("loaded");
    let why = scratch.keep("0123abcd").unwrap_err();
    assert!(why.ends_with("loaded: not what is in force"), "{why}");
    let before = scratch.load();
    assert!(scratch.keep("0123abcd").is_err());
    assert_eq!(scratch.keep(&before), Ok(()));
    assert!(keep(None, &scratch.config(), &before, 0).is_err());
    // a file of somebody else, or one that is cut off, is none
    scratch.write(&format!("state/{UNCONFIRMED}"), "{\"spared.toml\": ");
    assert_eq!(scratch.put_back(&before), Ok(()));
}

#[test]
fn a_file_that_cannot_be_put_back_is_named_and_what_is_kept_stays() {
    let scratch = Scratch::new("fault");
    let before = scratch.load();
    scratch.keep(&before).unwrap();
    scratch.edit();
    // no regular file is in its place
    fs::remove_file(scratch.0.join("plugins/sets.toml")).unwrap();
    fs::create_dir(scratch.0.join("plugins/sets.toml")).unwrap();
    let why = scratch.put_back(&before).unwrap_err();
    assert!(
        why.contains("plugins/sets.toml: it is not a regular file"),
        "{why}"
    );
    assert_eq!(scratch.started(), before);
}
