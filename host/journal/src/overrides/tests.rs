use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::*;

const HOUR_MS: u64 = 3_600_000;
const BOOT: &str = "6a9e";
const NEXT_BOOT: &str = "f21c";
const START: Now = Now {
    monotonic_ns: 1_000_000_000,
    wall_ms: 1_800_000_000_000,
};

/// Returns the time after a reboot, `ms` later by the wall clock.
fn later(ms: u64) -> Now {
    Now {
        monotonic_ns: 5,
        wall_ms: START.wall_ms + ms,
    }
}

fn ns(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap()
}

fn overrides() -> Overrides {
    let mut overrides = Overrides::default();
    let forced = Forced {
        active: true,
        by: "root".to_owned(),
        since: "2026-11-20T14:00:09+01:00".to_owned(),
    };
    overrides.force("office", Some(forced));
    let hours = Some(Duration::from_secs(2 * 3600));
    overrides.begin_maintenance(START, hours, "root", "now".to_owned());
    overrides.begin_freeze(START, Duration::from_secs(30), "root", Duration::ZERO);
    overrides
}

#[test]
fn a_clock_that_is_set_changes_neither_what_is_left_of_a_term_nor_its_shown_end() {
    let term = Term::new(START, Duration::from_secs(30));
    let at = |wall_ms| Now {
        monotonic_ns: START.monotonic_ns + 10_000_000_000,
        wall_ms,
    };
    for jump_ms in [0, 1, HOUR_MS, 50_000 * HOUR_MS] {
        for wall_ms in [
            START.wall_ms + 10_000 + jump_ms,
            START.wall_ms + 10_000 - jump_ms,
        ] {
            let now = at(wall_ms);
            assert_eq!(term.left(now), Duration::from_secs(20));
            assert!(
                term.wall_ms(now).abs_diff(wall_ms + 20_000) <= 1,
                "{jump_ms}"
            );
        }
    }
}

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("spared-overrides-{name}-{}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    fn store(&self) -> Store {
        Store::new(self.0.clone(), BOOT.to_owned())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Waits for a write that took longer than the store waits.
fn wait_for(file: &Path) {
    let until = Instant::now() + Duration::from_secs(10);
    while !file.exists() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_restart_forgets_nothing() {
    let folder = Folder::new("restart");
    let file = folder.0.join("overrides.json");
    folder.store().write(&overrides()).unwrap();
    wait_for(&file);
    assert_eq!(folder.store().read(START), overrides());
    let mode = std::fs::metadata(file).unwrap();
    assert_eq!(mode.permissions().mode() & 0o777, 0o600);
}

#[test]
fn what_is_over_while_nobody_ran_is_over() {
    let text = overrides().to_text(BOOT);
    let after = Overrides::from_text(&text, later(HOUR_MS), NEXT_BOOT).unwrap();
    assert_eq!(after.freeze(), None);
    let left = after.maintenance().unwrap().term.unwrap();
    assert_eq!(left.until_ns, 5 + ns(Duration::from_secs(3600)));
    assert_eq!(left.until_wall_ms, START.wall_ms + 2 * HOUR_MS);
    let after = Overrides::from_text(&text, later(2 * HOUR_MS), NEXT_BOOT).unwrap();
    assert_eq!(after.maintenance(), None);
    assert!(after.forced().contains_key("office"));
}

#[test]
fn a_clock_set_back_prolongs_nothing() {
    let text = overrides().to_text(BOOT);
    let unset = Now {
        monotonic_ns: 0,
        wall_ms: 0,
    };
    let after = Overrides::from_text(&text, unset, NEXT_BOOT).unwrap();
    let left = after.maintenance().unwrap().term.unwrap();
    assert_eq!(left.until_ns, ns(Duration::from_secs(2 * 3600)));
}

/// The clock is set, and then the daemon is restarted. An older version wrote no boot id.
#[test]
fn a_clock_that_is_set_before_a_restart_ends_nothing_early_and_prolongs_nothing() {
    let text = overrides().to_text(BOOT);
    for wall_ms in [0, START.wall_ms + 50_000 * HOUR_MS] {
        let now = Now {
            monotonic_ns: START.monotonic_ns + 10_000_000_000,
            wall_ms,
        };
        let after = Overrides::from_text(&text, now, BOOT).unwrap();
        let left = after.freeze().unwrap().term.left(now);
        assert_eq!(left, Duration::from_secs(20));
        let left = after.maintenance().unwrap().term.unwrap().left(now);
        assert_eq!(left, Duration::from_secs(2 * 3600 - 10));
        let late = Now {
            monotonic_ns: START.monotonic_ns + 40_000_000_000,
            wall_ms,
        };
        let after = Overrides::from_text(&text, late, BOOT).unwrap();
        assert_eq!(after.freeze(), None);
    }
    let old =
        "{\"freeze\":{\"by\":\"root\",\"term\":{\"until_ms\":1800000030000,\"lasts_ms\":30000}}}";
    for boot in [BOOT, ""] {
        let after = Overrides::from_text(old, START, boot).unwrap();
        assert_eq!(
            after.freeze().unwrap().term.left(START),
            Duration::from_secs(30)
        );
    }
}

/// Somebody has gone back to this version.
#[test]
fn a_file_of_a_later_version_overrides_what_this_one_knows() {
    let later =
        overrides()
            .to_text(BOOT)
            .replacen('{', "{\"of_the_next_version\":{\"by\":\"root\"},", 1);
    assert_eq!(Overrides::from_text(&later, START, BOOT), Ok(overrides()));
}

#[test]
fn garbage_is_nothing() {
    let folder = Folder::new("garbage");
    let mut store = folder.store();
    assert_eq!(store.read(START), Overrides::default());
    store.write(&overrides()).unwrap();
    let path = folder.0.join("overrides.json");
    wait_for(&path);
    let good = std::fs::read(&path).unwrap();
    let odd = "{\"forced\":{\"a\\u001bb\":{\"active\":true,\"by\":\"\",\"since\":\"\"}}}";
    for garbage in [
        b"".as_slice(),
        b"\xff\xfe",
        &good[..good.len() / 2],
        b"[]",
        odd.as_bytes(),
    ] {
        std::fs::write(&path, garbage).unwrap();
        assert_eq!(store.read(START), Overrides::default(), "{garbage:?}");
    }
    std::fs::write(&path, &good).unwrap();
    assert_eq!(store.read(START), overrides());
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o622)).unwrap();
    assert_eq!(store.read(START), Overrides::default());
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert_eq!(store.read(START), Overrides::default());
    // a failure after the wait is only logged
    let is_refused = |_| store.write(&overrides()).is_err();
    assert!((0..100).any(is_refused));
}

#[test]
fn terms_end_by_themselves_in_their_order() {
    let mut overrides = overrides();
    let thirty = START.monotonic_ns + ns(Duration::from_secs(30));
    assert_eq!(overrides.next_timeout(), Some(thirty));
    assert_eq!(overrides.handle_timeout(thirty - 1), []);
    assert_eq!(overrides.handle_timeout(thirty), [Ended::Freeze]);
    let hours = START.monotonic_ns + ns(Duration::from_secs(2 * 3600));
    assert_eq!(overrides.next_timeout(), Some(hours));
    assert_eq!(overrides.handle_timeout(hours), [Ended::Maintenance]);
    assert_eq!(overrides.next_timeout(), None);
}

#[test]
fn a_freeze_is_cut_to_an_hour_and_nothing_ends_it() {
    let mut overrides = Overrides::default();
    overrides.begin_freeze(START, Duration::MAX, "root", Duration::ZERO);
    let until_ns = START.monotonic_ns + ns(FREEZE_MAX);
    assert_eq!(overrides.freeze().unwrap().term.until_ns, until_ns);
    overrides.begin_freeze(START, Duration::ZERO, "root", Duration::ZERO);
    assert_eq!(overrides.freeze(), None);
}

#[test]
fn a_written_freeze_of_a_century_is_cut_too() {
    let text = "{\"freeze\":{\"by\":\"root\",\"term\":{\"until_ms\":9999999999999999,\"lasts_ms\":9999999999999999}}}";
    let after = Overrides::from_text(text, START, BOOT).unwrap();
    let until_ns = START.monotonic_ns + ns(FREEZE_MAX);
    assert_eq!(after.freeze().unwrap().term.until_ns, until_ns);
}

#[test]
fn maintenance_said_again_keeps_its_beginning() {
    let mut overrides = overrides();
    overrides.begin_maintenance(START, None, "user 1000", "later".to_owned());
    let it = overrides.maintenance().unwrap();
    assert_eq!((it.since.as_str(), it.term), ("now", None));
    assert!(overrides.end_maintenance());
    assert!(!overrides.end_maintenance());
}

#[test]
fn whatever_is_written_can_be_read() {
    let mut overrides = Overrides::default();
    let long = "\u{1b}[2J\u{20ac}".repeat(1000);
    overrides.begin_freeze(START, FREEZE_MAX, &long, Duration::ZERO);
    overrides.begin_maintenance(START, None, &long, "now".to_owned());
    for group in ["office", &long] {
        let forced = Forced {
            active: false,
            by: long.clone(),
            since: "now".to_owned(),
        };
        overrides.force(group, Some(forced));
    }
    assert_eq!(overrides.forced().len(), 1);
    assert_eq!(
        Overrides::from_text(&overrides.to_text(BOOT), START, BOOT),
        Ok(overrides)
    );
}

proptest::proptest! {
    #[test]
    fn a_file_cut_or_changed_anywhere_is_refused_or_harmless(
        at in 0_usize..400,
        byte in proptest::arbitrary::any::<u8>(),
        cut in proptest::arbitrary::any::<bool>(),
    ) {
        let mut text = overrides().to_text(BOOT).into_bytes();
        let at = at.min(text.len() - 1);
        text[at] = byte;
        text.truncate(if cut { at } else { text.len() });
        if let Ok(read) = String::from_utf8(text).map(|text| Overrides::from_text(&text, START, BOOT)) {
            let freeze = read.as_ref().ok().and_then(Overrides::freeze);
            let latest = START.monotonic_ns + ns(FREEZE_MAX);
            proptest::prop_assert!(freeze.is_none_or(|it| it.term.until_ns <= latest));
        }
    }
}

#[test]
fn the_end_of_a_freeze_by_hand_is_remembered_for_as_long_as_the_peer_may_be_frozen() {
    let mut overrides = Overrides::default();
    overrides.begin_freeze(
        START,
        Duration::from_secs(60),
        "root",
        Duration::from_secs(5),
    );
    let age = overrides.freeze().map(|it| it.term.age(START));
    assert_eq!(age, Some(Duration::from_secs(5)));
    overrides.begin_freeze(START, Duration::ZERO, "root", Duration::ZERO);
    assert_eq!(overrides.freeze(), None);
    let restored = Overrides::from_text(&overrides.to_text("boot"), START, "boot");
    assert_eq!(
        restored.as_ref().map(|it| &it.ended_freeze),
        Ok(&overrides.ended_freeze)
    );
    assert!(overrides.ended_freeze.is_some());
    let hour_ns = u64::try_from(FREEZE_MAX.as_nanos()).unwrap();
    assert_eq!(overrides.handle_timeout(START.monotonic_ns + hour_ns), []);
    assert_eq!(overrides.ended_freeze, None);
}

#[test]
fn the_newer_of_two_orders_about_freezing_counts() {
    let s = Duration::from_secs;
    let later = |seconds: u64| Now {
        monotonic_ns: START.monotonic_ns + seconds * 1_000_000_000,
        wall_ms: START.wall_ms + seconds * 1_000,
    };
    let none = Overrides::default();
    assert!(none.is_newer_order(START, s(60), s(5)));
    assert!(
        !none.is_newer_order(START, Duration::ZERO, s(5)),
        "nothing ends"
    );
    let mut frozen = Overrides::default();
    frozen.begin_freeze(START, s(600), "root", Duration::ZERO);
    let mut thawed = frozen.clone();
    thawed.begin_freeze(later(10), Duration::ZERO, "root", Duration::ZERO);
    // the nodes connect after a minute, and exchange their orders
    let now = later(60);
    let [of_frozen, of_thawed] = [&frozen, &thawed].map(|it| it.freeze_order(now).unwrap());
    assert!(frozen.is_newer_order(now, of_thawed.left, of_thawed.age));
    assert!(!thawed.is_newer_order(now, of_frozen.left, of_frozen.age));
    // the same order on both nodes is no news
    assert!(!frozen.is_newer_order(now, of_frozen.left, of_frozen.age));
    // an order that is given just now always counts
    assert!(thawed.is_newer_order(now, s(60), Duration::ZERO));
}
