use std::os::unix::fs::PermissionsExt;

use spared_verdict::history::Urgency;
use spared_verdict::{Finding, Fitness, Past, PastQuery, RoleChange};

use super::*;

const PATIENCE: Duration = Duration::from_secs(10);
const START: &str = "2026-11-02T00:00:00.000+00:00";

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("spared-history-{name}-{}", std::process::id());
        let folder = Self(std::env::temp_dir().join(name));
        fs::create_dir_all(&folder.0).unwrap();
        folder
    }

    fn file(&self) -> PathBuf {
        self.0.join(NAME)
    }

    fn past(&self) -> Past {
        let (_, history) = Store::open(&self.0);
        past(&history)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn past(history: &History) -> Past {
    history.past(&PastQuery::default(), &at(3000), usize::MAX)
}

/// Time so many minutes after the start.
fn at(minute: u32) -> String {
    let (day, hour, minute) = (2 + minute / 1440, minute / 60 % 24, minute % 60);
    format!("2026-11-{day:02}T{hour:02}:{minute:02}:00.000+00:00")
}

fn started() -> History {
    let mut history = History::default();
    let own = Fitness::default();
    history.handle_start(START, None, &own, "boot");
    history
}

fn push(history: &mut History, minute: u32, group: &str) {
    history.push(RoleChange {
        at: at(minute),
        group: group.to_owned(),
        why: "r1 is active because r2 fell silent".to_owned(),
        ..RoleChange::default()
    });
}

/// Writes what has changed, and waits for the disk.
fn write(store: &mut Store, history: &mut History, minute: u32) {
    store.write(history.take_changed(&at(minute)));
    store.flush(PATIENCE);
    assert_eq!(store.fault(), None);
}

fn groups(past: &Past) -> Vec<&str> {
    past.changes.iter().map(|it| it.group.as_str()).collect()
}

/// Bytes of a file with some changes, and where each write ended.
fn sample(folder: &Folder) -> (Vec<u8>, Vec<usize>) {
    let (mut store, _) = Store::open(&folder.0);
    let mut history = started();
    let mut ends = Vec::new();
    let fault = Finding {
        id: "SP-0401".to_owned(),
        text: "the check \u{e9} fails".to_owned(),
        ..Finding::default()
    };
    for (minute, group) in ["a", "b", "c", "d"].into_iter().enumerate() {
        push(&mut history, minute as u32, group);
        let lasting = (minute % 2 == 0).then_some((&fault, START));
        assert_ne!(
            history.handle_findings(&at(minute as u32), lasting),
            Urgency::None
        );
        write(&mut store, &mut history, minute as u32);
        ends.push(fs::metadata(folder.file()).unwrap().len() as usize);
    }
    (fs::read(folder.file()).unwrap(), ends)
}

#[test]
fn what_was_written_is_there_after_a_restart() {
    let folder = Folder::new("restart");
    let (mut store, history) = Store::open(&folder.0);
    assert_eq!(groups(&past(&history)), [""; 0]);
    let mut history = started();
    for (minute, group) in ["a", "b", "c"].into_iter().enumerate() {
        push(&mut history, minute as u32, group);
        write(&mut store, &mut history, minute as u32);
    }
    assert_eq!(groups(&folder.past()), ["a", "b", "c"]);
    let mode = fs::metadata(folder.file()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_power_cut_at_any_byte_costs_no_more_than_the_last_write() {
    let folder = Folder::new("cut");
    let (bytes, ends) = sample(&folder);
    let wanted = ["a", "b", "c", "d"];
    for length in ends[0]..=bytes.len() {
        for rest in [0, 4096] {
            let zeros = vec![0; rest];
            let left = [&bytes[..length], &zeros].concat();
            let entries = lines::parse(&left).valid.into_iter();
            let entries = entries.filter_map(|(number, entry, _)| Some((number, entry?)));
            let kept = past(&History::restore(entries));
            let written = ends.iter().filter(|end| **end <= length).count();
            assert!(groups(&kept).starts_with(&wanted[..written]), "{length}");
            assert!(kept.findings.len() == 1 && kept.runs.len() == 1, "{length}");
        }
    }
}

#[test]
fn a_damaged_byte_costs_no_more_than_the_lines_beside_it_and_the_next_write_repairs_the_file() {
    let folder = Folder::new("damaged");
    let (bytes, _) = sample(&folder);
    let lines = lines::parse(&bytes).valid.len();
    for at in 0..bytes.len() {
        for bit in [0x01, 0x80] {
            let mut damaged = bytes.clone();
            damaged[at] ^= bit;
            let read = lines::parse(&damaged);
            assert!(read.valid.len() + 2 >= lines, "{at}");
            assert!(read.damaged > 0 || read.is_torn, "{at}");
        }
    }
    let mut damaged = bytes;
    damaged[100] ^= 1;
    damaged.truncate(damaged.len() - 7);
    fs::write(folder.file(), &damaged).unwrap();
    let (mut store, mut history) = Store::open(&folder.0);
    push(&mut history, 9, "e");
    write(&mut store, &mut history, 9);
    let read = lines::parse(&fs::read(folder.file()).unwrap());
    assert_eq!((read.damaged, read.is_torn), (0, false));
    assert_eq!(groups(&folder.past()).last(), Some(&"e"));
}

#[test]
fn any_bytes_are_read_without_harm() {
    let folder = Folder::new("bytes");
    let many = b"0123456789abcdef [1,{\"run\":7}]\n".repeat(1000);
    for bytes in [
        &b""[..],
        b"\n\n\n",
        b"\xff\xfe \n",
        b"{\"changes\": 7}",
        &many,
    ] {
        fs::write(folder.file(), bytes).unwrap();
        assert_eq!(folder.past().changes, []);
    }
    let later = "[7,{\"weather\":{\"rain\":true}}]";
    let line = format!("{:016x} {later}\n", spared_message::fingerprint([later]));
    fs::write(folder.file(), line).unwrap();
    let (mut store, _) = Store::open(&folder.0);
    let mut history = started();
    push(&mut history, 1, "a");
    write(&mut store, &mut history, 1);
    assert_eq!(
        groups(&folder.past()),
        ["a"],
        "what only a later version knows"
    );
}

#[test]
fn a_file_of_others_is_set_aside() {
    let folder = Folder::new("aside");
    sample(&folder);
    fs::set_permissions(folder.file(), fs::Permissions::from_mode(0o666)).unwrap();
    assert_eq!(folder.past().changes, []);
    assert!(folder.0.join("history.log.refused").exists() && !folder.file().exists());
}

#[test]
fn what_another_program_did_to_the_file_is_repaired_by_the_next_write() {
    let folder = Folder::new("others");
    let (mut store, _) = Store::open(&folder.0);
    let mut history = started();
    let harm: [&dyn Fn(); 4] = [
        &|| (),
        &|| fs::remove_file(folder.file()).unwrap(),
        &|| fs::write(folder.file(), "cut").unwrap(),
        &|| fs::remove_dir_all(&folder.0).unwrap(),
    ];
    for (minute, harm) in harm.iter().enumerate() {
        push(&mut history, minute as u32, &format!("g{minute}"));
        write(&mut store, &mut history, minute as u32);
        harm();
    }
    push(&mut history, 9, "last");
    write(&mut store, &mut history, 9);
    assert_eq!(groups(&folder.past()), ["g0", "g1", "g2", "g3", "last"]);
}

#[test]
fn the_file_stays_short_whatever_comes_and_what_is_in_force_is_in_it() {
    let folder = Folder::new("long");
    let (mut store, _) = Store::open(&folder.0);
    let mut history = started();
    let mut longest = 0;
    for round in 0..40 {
        for number in 0..200 {
            history.push(RoleChange {
                at: at(round * 10),
                group: format!("g{}", number % 3),
                why: "x".repeat(700),
                ..RoleChange::default()
            });
        }
        write(&mut store, &mut history, round * 10);
        longest = longest.max(fs::metadata(folder.file()).unwrap().len());
    }
    assert!((1_000_000..=FILE_MAX).contains(&longest), "{longest}");
    assert_eq!(folder.past().changes, past(&history).changes);
}
