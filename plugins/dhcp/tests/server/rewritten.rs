//! Tests dnsmasq's file, truncated and rewritten as by dnsmasq.

use std::fs::{self, File};
use std::io::{Seek, Write};
use std::thread::sleep;
use std::time::Duration;

use spared_dhcp::codec::Format;
use spared_dhcp::server::{Command, Event};

use crate::fixture::{
    Fixture, hosts, key4, lease4, line, monotonic_ns, set_of, settings, signs, unix_s,
};
use crate::scratch::Folder;

struct Dnsmasq {
    _folder: Folder,
    file: File,
    end: u64,
}

impl Dnsmasq {
    /// Opens a file with `count` leases, which the server has open.
    fn open(count: u8) -> (Self, Fixture) {
        let folder = Folder::new("server");
        let path = folder.path("leases");
        let end = unix_s() + 1000;
        let text: String = (1..=count).map(|host| line(host, end)).collect();
        fs::write(&path, text).unwrap();
        let file = File::options().append(true).open(&path).unwrap();
        let fixture = Fixture::open(settings(Format::Dnsmasq, &path));
        (
            Self {
                _folder: folder,
                file,
                end,
            },
            fixture,
        )
    }

    fn text(&self, hosts: impl Iterator<Item = u8>) -> String {
        hosts.map(|host| line(host, self.end)).collect()
    }

    fn cut(&mut self) {
        self.file.rewind().unwrap();
        self.file.set_len(0).unwrap();
    }

    fn write(&mut self, text: &str) {
        self.file.write_all(text.as_bytes()).unwrap();
    }
}

#[test]
fn an_addition_counts_at_once_and_a_removal_after_a_while() {
    let (mut dnsmasq, fixture) = Dnsmasq::open(5);
    assert_eq!(hosts(&fixture.reading().0), [1, 2, 3, 4, 5]);
    let text = dnsmasq.text((2..=5).chain([9]));
    dnsmasq.cut();
    dnsmasq.write(&text);
    assert_eq!(signs(&fixture.changes()), [9]);
    assert_eq!(signs(&fixture.changes()), [-1]);
    fixture.quiet();
}

#[test]
fn a_file_in_the_making_loses_nothing() {
    let (mut dnsmasq, fixture) = Dnsmasq::open(100);
    fixture.reading();
    let all = dnsmasq.text(1..=101);
    for at in [0, 10, 2000, 2500, all.len() - 60] {
        dnsmasq.cut();
        dnsmasq.write(&all[..at]);
        sleep(Duration::from_millis(50));
        dnsmasq.write(&all[at..]);
    }
    assert_eq!(signs(&fixture.changes()), [101]);
    fixture.quiet();
}

#[test]
fn a_rest_that_ends_with_a_line_waits_longer_where_little_is_left() {
    let (mut dnsmasq, fixture) = Dnsmasq::open(100);
    fixture.reading();
    let (half, all) = (dnsmasq.text(1..=10), dnsmasq.text(1..=100));
    dnsmasq.cut();
    dnsmasq.write(&half);
    sleep(Duration::from_millis(500));
    dnsmasq.write(&all[half.len()..]);
    fixture.quiet();
    dnsmasq.cut();
    dnsmasq.write(&half);
    assert_eq!(signs(&fixture.changes()).len(), 90);
}

#[test]
fn once_nobody_writes_the_file_is_believed_at_once() {
    let (mut dnsmasq, mut fixture) = Dnsmasq::open(100);
    fixture.reading();
    dnsmasq.cut();
    let rest = dnsmasq.text(1..=1);
    dnsmasq.write(&rest);
    drop(dnsmasq.file);
    let answer = fixture.ask(|serial| Command::Read { serial });
    let told = answer
        .before
        .iter()
        .any(|event| matches!(event, Event::Changes(changes) if changes.len() == 99));
    assert!(told, "{:.300?}", answer.before);
}

#[test]
fn a_file_that_a_full_disk_leaves_empty_is_no_end_of_all_leases() {
    let (mut dnsmasq, fixture) = Dnsmasq::open(5);
    fixture.reading();
    dnsmasq.cut();
    let told = fixture.until(|event| match event {
        Event::Reading { set, broken } => Some(Ok((set, broken))),
        Event::Changes(changes) => Some(Err(signs(&changes))),
        _ => None,
    });
    let (set, broken) = told.expect("gone one by one");
    assert!(set.leases.is_empty() && broken.is_none());
    // there is room again
    let text = dnsmasq.text(1..=5);
    dnsmasq.write(&text);
    assert_eq!(signs(&fixture.changes()), [1, 2, 3, 4, 5]);
    fixture.quiet();
}

#[test]
fn a_file_that_was_cut_off_takes_the_only_lease_away_no_sooner_than_many() {
    let (mut dnsmasq, fixture) = Dnsmasq::open(1);
    fixture.reading();
    dnsmasq.cut();
    assert_eq!(hosts(&fixture.reading().0), [0; 0]);
    let text = dnsmasq.text(2..=2);
    dnsmasq.write(&text);
    assert_eq!(signs(&fixture.changes()), [2]);
    fixture.quiet();
}

#[test]
fn a_line_of_garbage_removes_nothing() {
    let (mut dnsmasq, fixture) = Dnsmasq::open(5);
    fixture.reading();
    dnsmasq.cut();
    let text = format!("{}garbage\n", dnsmasq.text(4..=6));
    dnsmasq.write(&text);
    assert_eq!(signs(&fixture.changes()), [6]);
    let unread = fixture.until(|event| match event {
        Event::Unread(unread) => Some(unread),
        _ => None,
    });
    assert_eq!(
        (unread.count, unread.why.as_deref()),
        (1, Some("line 4: it is not a lease"))
    );
    fixture.quiet();
    fixture.quiet();
    let text = dnsmasq.text(4..=6);
    dnsmasq.cut();
    dnsmasq.write(&text);
    fixture
        .until(|event| matches!(event, Event::Unread(unread) if unread.count == 0).then_some(()));
}

#[test]
fn a_replaced_file_is_no_news() {
    let (dnsmasq, mut fixture) = Dnsmasq::open(5);
    fixture.reading();
    assert!(fixture.replace(set_of([])).is_err());
    drop(dnsmasq.file);
    fixture.replace(set_of([lease4(key4(7), 100)])).unwrap();
    fixture.quiet();
    let path = dnsmasq._folder.path("leases");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text + &line(8, dnsmasq.end)).unwrap();
    assert_eq!(signs(&fixture.changes()), [8]);
    fixture.quiet();
}

#[test]
fn a_renewal_and_the_servers_duid_are_told() {
    let (mut dnsmasq, fixture) = Dnsmasq::open(2);
    fixture.reading();
    let text = format!(
        "{}{}duid 00:01:02:03\n",
        line(1, dnsmasq.end + 50),
        line(2, dnsmasq.end)
    );
    dnsmasq.cut();
    dnsmasq.write(&text);
    assert_eq!(signs(&fixture.changes()), [1]);
    assert_eq!(fixture.next(), Event::Identity(vec![0, 1, 2, 3]));
    fixture.quiet();
}

#[test]
fn a_reading_by_a_clock_that_is_behind_counts_from_the_files_last_writing() {
    let folder = Folder::new("server");
    let path = folder.path("leases");
    let later_s = 1_000_000_000;
    fs::write(&path, line(1, unix_s() + later_s + 600)).unwrap();
    let written = std::time::SystemTime::now() + Duration::from_secs(later_s);
    let file = File::options().append(true).open(&path).unwrap();
    file.set_modified(written).unwrap();
    drop(file);
    let fixture = Fixture::open(settings(Format::Dnsmasq, &path));
    let (set, _) = fixture.reading();
    let left_ms = (set.leases[&key4(1)].expires_ns.unwrap() - monotonic_ns()) / 1_000_000;
    assert!((590_000..=601_000).contains(&left_ms), "{left_ms}");
}

#[test]
fn a_server_whose_file_has_lost_its_name_is_followed_until_it_leaves_that() {
    for way in 0..4 {
        let (mut dnsmasq, fixture) = Dnsmasq::open(5);
        fixture.reading();
        let (away, path) = (dnsmasq._folder.path("away"), dnsmasq._folder.path("leases"));
        match way {
            0 => fs::remove_file(&path).unwrap(),
            1 => fs::rename(&path, away).unwrap(),
            2 => {
                fs::rename(&path, &away).unwrap();
                fs::copy(away, &path).unwrap();
            }
            _ => {
                fs::write(&away, dnsmasq.text(7..=7)).unwrap();
                fs::rename(away, &path).unwrap();
            }
        }
        fixture.until(|event| (event == Event::UnnamedFile(true)).then_some(()));
        let text = dnsmasq.text(2..=6);
        dnsmasq.cut();
        dnsmasq.write(&text);
        assert_eq!(signs(&fixture.changes()), [6], "way {way}");
        assert_eq!(signs(&fixture.changes()), [-1], "way {way}");
        drop(dnsmasq.file);
        fs::write(&path, line(7, dnsmasq.end)).unwrap();
        fixture.until(|event| (event == Event::UnnamedFile(false)).then_some(()));
        assert_eq!(hosts(&fixture.reading().0), [7], "way {way}");
    }
}
