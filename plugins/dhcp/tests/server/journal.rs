//! Tests Kea's and dhcpd's files, written as those servers do.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use spared_dhcp::codec::Format;
use spared_dhcp::server::{Command, Event};

use crate::fixture::{
    Fixture, HEADER4, appear, append, gone_row, hosts, key4, lease4, monotonic_ns, row, set_of,
    settings, signs, unix_s,
};
use crate::scratch::Folder;

fn kea(text: &str) -> (Folder, Fixture) {
    let folder = Folder::new("server");
    fs::write(folder.path("leases.csv"), text).unwrap();
    let fixture = Fixture::open(settings(Format::Kea4, &folder.path("leases.csv")));
    (folder, fixture)
}

#[test]
fn what_is_there_is_read_and_what_is_appended_is_told() {
    let (folder, fixture) = kea(&format!("{HEADER4}{}{}", row(1, 100), row(2, 100)));
    let (set, broken) = fixture.reading();
    assert_eq!((hosts(&set), broken), (vec![1, 2], None));
    fixture.runs((false, false));
    append(&folder.path("leases.csv"), &(row(3, 100) + &gone_row(1)));
    assert_eq!(signs(&fixture.changes()), [3, -1]);
    fixture.quiet();
}

#[test]
fn a_torn_row_waits_for_its_rest() {
    let (folder, fixture) = kea(HEADER4);
    fixture.reading();
    let text = row(1, 100);
    let (first, rest) = text.split_at(20);
    append(&folder.path("leases.csv"), first);
    fixture.quiet();
    append(&folder.path("leases.csv"), rest);
    assert_eq!(signs(&fixture.changes()), [1]);
}

#[test]
fn a_torn_row_that_nobody_writes_on_breaks_a_reading() {
    let (_folder, fixture) = kea(&format!("{HEADER4}{}192.0.2.7,02:", row(1, 100)));
    let (set, broken) = fixture.reading();
    assert_eq!(hosts(&set), [1]);
    assert!(broken.unwrap().contains("ends within"));
}

#[test]
fn a_file_that_is_cut_off_overwritten_or_replaced_is_read_anew() {
    let (folder, fixture) = kea(&format!("{HEADER4}{}{}", row(1, 100), row(2, 100)));
    let path = folder.path("leases.csv");
    fixture.reading();
    let writer = File::options().write(true).open(&path).unwrap();
    writer.set_len(0).unwrap();
    assert_eq!(hosts(&fixture.reading().0), [0; 0]);
    append(&path, &format!("{HEADER4}{}", row(1, 100)));
    assert_eq!(signs(&fixture.changes()), [1]);
    // as long as the earlier contents
    let text = format!("{HEADER4}{}", row(2, 100));
    writer.write_all_at(text.as_bytes(), 0).unwrap();
    assert_eq!(hosts(&fixture.reading().0), [2]);
    drop(writer);
    fs::write(folder.path("new"), HEADER4.to_owned() + &row(3, 100)).unwrap();
    fs::rename(folder.path("new"), &path).unwrap();
    assert_eq!(hosts(&fixture.reading().0), [3]);
    append(&path, &row(4, 100));
    assert_eq!(signs(&fixture.changes()), [4]);
    fixture.quiet();
}

#[test]
fn the_first_reading_takes_what_keas_cleaning_left() {
    for (files, expected) in [
        (&[".2", ".1", ""][..], &[1, 2, 3][..]),
        (&[".completed", ".2", ""], &[1, 3]),
        (&[".1", ""], &[1, 2]),
    ] {
        let folder = Folder::new("server");
        let mut host = 0;
        for suffix in files {
            host += 1;
            // each deletes what the one before would have
            let text = format!(
                "{HEADER4}{}{}{}",
                gone_row(host + 9),
                row(host, 100),
                row(host + 10, 100)
            );
            fs::write(folder.path(format!("leases.csv{suffix}")), text).unwrap();
        }
        append(&folder.path("leases.csv"), &gone_row(host + 10));
        fs::write(folder.path("leases.csv.output"), "half a").unwrap();
        let fixture = Fixture::open(settings(Format::Kea4, &folder.path("leases.csv")));
        let (set, broken) = fixture.reading();
        let low: Vec<u8> = hosts(&set).into_iter().filter(|host| *host < 10).collect();
        assert_eq!((low.as_slice(), broken), (expected, None), "{files:?}");
    }
}

#[test]
fn keas_cleaning_is_followed_without_reading_anew() {
    let (folder, fixture) = kea(&format!("{HEADER4}{}", row(1, 100)));
    let main = folder.path("leases.csv");
    let beside = |suffix: &str| folder.path(format!("leases.csv{suffix}"));
    fixture.reading();
    let mut host = 1;
    for _ in 0..20 {
        let mut server = File::options().append(true).open(&main).unwrap();
        server.write_all(row(host + 1, 100).as_bytes()).unwrap();
        drop(server);
        fs::rename(&main, beside(".1")).unwrap();
        let mut server = File::options()
            .append(true)
            .create(true)
            .open(&main)
            .unwrap();
        server.write_all(HEADER4.as_bytes()).unwrap();
        server.write_all(row(host + 2, 100).as_bytes()).unwrap();
        fs::write(beside(".output"), HEADER4).unwrap();
        fs::rename(beside(".output"), beside(".completed")).unwrap();
        let _ = fs::remove_file(beside(".2"));
        fs::remove_file(beside(".1")).unwrap();
        fs::rename(beside(".completed"), beside(".2")).unwrap();
        let mut told = Vec::new();
        while told.len() < 2 {
            match fixture.next() {
                Event::Changes(changes) => told.extend(signs(&changes)),
                Event::Runs { .. } => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(told, [i32::from(host + 1), i32::from(host + 2)]);
        host += 2;
        // two at once would cause a new reading
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn a_file_that_is_missing_is_a_fault_until_it_is_there() {
    let folder = Folder::new("server");
    let path = folder.path("leases.csv");
    let mut fixture = Fixture::open(settings(Format::Kea4, &path));
    let fault = fixture.until(|event| match event {
        Event::Fault(fault) => fault,
        _ => None,
    });
    assert!(fault.contains("leases.csv"), "{fault}");
    let answer = fixture.ask(|serial| Command::Read { serial });
    assert_eq!(answer.result, Err(fault));
    appear(&path, &(HEADER4.to_owned() + &row(1, 100)));
    fixture.until(|event| (event == Event::Fault(None)).then_some(()));
    while hosts(&fixture.reading().0) != [1] {}
    fs::remove_file(&path).unwrap();
    fixture.until(|event| matches!(event, Event::Fault(Some(_))).then_some(()));
    // the plugin itself may create it
    fixture.replace(set_of([lease4(key4(9), 100)])).unwrap();
    assert!(fs::read_to_string(&path).unwrap().contains("192.0.2.9,"));
    append(&path, &row(10, 100));
    assert_eq!(signs(&fixture.changes()), [10]);
}

#[test]
fn a_folder_that_is_missing_is_tried_again() {
    let folder = Folder::new("server");
    let path = folder.path("inner").join("leases.csv");
    let fixture = Fixture::open(settings(Format::Kea4, &path));
    fixture.until(|event| matches!(event, Event::Fault(Some(_))).then_some(()));
    fs::create_dir(folder.path("inner")).unwrap();
    appear(&path, &(HEADER4.to_owned() + &row(1, 100)));
    assert_eq!(hosts(&fixture.reading().0), [1]);
    fs::remove_dir_all(folder.path("inner")).unwrap();
    fixture.until(|event| matches!(event, Event::Fault(Some(_))).then_some(()));
}

#[test]
fn who_has_the_file_open_for_writing_runs() {
    let (folder, fixture) = kea(HEADER4);
    fixture.runs((false, false));
    let writer = File::options()
        .append(true)
        .open(folder.path("leases.csv"))
        .unwrap();
    fixture.runs((true, false));
    let reader = File::open(folder.path("leases.csv")).unwrap();
    drop(writer);
    fixture.runs((false, false));
    drop(reader);
    assert_eq!(fixture.next_in(crate::fixture::SOME), None);
}

#[test]
fn a_replaced_file_is_no_news_and_what_follows_is() {
    let (folder, mut fixture) = kea(&format!("{HEADER4}{}", row(1, 100)));
    let path = folder.path("leases.csv");
    fixture.reading();
    for suffix in [".1", ".2", ".completed", ".output"] {
        fs::write(folder.path(format!("leases.csv{suffix}")), HEADER4).unwrap();
    }
    fixture
        .replace(set_of([lease4(key4(2), 100), lease4(key4(3), 100)]))
        .unwrap();
    assert_eq!(fs::read_dir(folder.path("")).unwrap().count(), 1);
    fixture.quiet();
    append(&path, &row(4, 100));
    assert_eq!(signs(&fixture.changes()), [4]);
    fixture.replace(set_of([lease4(key4(2), 100)])).unwrap();
    fixture.quiet();
    let again = Fixture::open(settings(Format::Kea4, &path));
    assert_eq!(hosts(&again.reading().0), [2]);
}

#[test]
fn a_server_that_runs_keeps_its_file() {
    let (folder, mut fixture) = kea(HEADER4);
    let path = folder.path("leases.csv");
    let server = File::options().append(true).open(&path).unwrap();
    let refused = fixture.replace(set_of([lease4(key4(2), 100)])).unwrap_err();
    assert!(refused.contains("the server runs"), "{refused}");
    drop(server);
    let lfc = File::create(folder.path("leases.csv.output")).unwrap();
    let refused = fixture.replace(set_of([lease4(key4(2), 100)])).unwrap_err();
    assert!(refused.contains("kea-lfc runs"), "{refused}");
    assert_eq!(fs::read_to_string(&path).unwrap(), HEADER4);
    drop(lfc);
    fixture.replace(set_of([lease4(key4(2), 100)])).unwrap();
}

#[test]
fn what_was_not_told_is_told_before_it_is_replaced() {
    let (folder, mut fixture) = kea(HEADER4);
    fixture.reading();
    // mostly too fast for the thread to notice by itself
    append(&folder.path("leases.csv"), &row(5, 100));
    let answer = fixture.ask(|serial| Command::Replace {
        serial,
        set: set_of([]),
    });
    assert_eq!(answer.result, Ok(()));
    let told = answer
        .before
        .iter()
        .any(|event| matches!(event, Event::Changes(changes) if signs(changes) == [5]));
    assert!(told, "{:?}", answer.before);
}

#[test]
fn a_server_without_a_channel_takes_nothing_while_it_runs() {
    let (folder, mut fixture) = kea(HEADER4);
    let change = || vec![spared_dhcp::lease::Change::Put(lease4(key4(2), 100))];
    let refused = fixture.apply(change()).result.unwrap_err();
    assert!(refused.contains("does not run"), "{refused}");
    let _server = File::options()
        .append(true)
        .open(folder.path("leases.csv"))
        .unwrap();
    fixture.runs((true, false));
    assert!(fixture.apply(change()).result.is_err());
    let silenced = fixture.ask(|serial| Command::Silence {
        serial,
        silent: true,
    });
    assert!(silenced.result.is_err());
}

/// Waits until the server is known to use a file without its name, or no longer to.
fn wait_for_unnamed_file(fixture: &Fixture, wanted: bool) {
    fixture.until(|event| match event {
        Event::UnnamedFile(has) => (has == wanted).then_some(()),
        Event::Fault(Some(why)) => panic!("{why}"),
        _ => None,
    });
}

/// Ways in which a lease file loses its name.
fn lose_name(path: &Path, way: usize) {
    let away = path.with_extension("away");
    match way {
        0 => fs::remove_file(path).unwrap(),
        1 => fs::rename(path, away).unwrap(),
        2 => {
            fs::rename(path, &away).unwrap();
            fs::copy(away, path).unwrap();
        }
        // as by logrotate, and as by Kea's cleaning
        3 => {
            let first = kea_companion(path);
            fs::rename(path, &first).unwrap();
            File::create(path).unwrap();
        }
        _ => appear(path, &format!("{HEADER4}{}", row(99, 100))),
    }
}

fn kea_companion(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    name.into()
}

#[test]
fn a_server_whose_file_has_lost_its_name_is_followed_until_it_leaves_that() {
    for way in 0..5 {
        let (folder, mut fixture) = kea(&format!("{HEADER4}{}", row(1, 100)));
        let path = folder.path("leases.csv");
        let mut server = File::options().append(true).open(&path).unwrap();
        fixture.runs((true, false));
        lose_name(&path, way);
        wait_for_unnamed_file(&fixture, true);
        server.write_all(row(2, 100).as_bytes()).unwrap();
        assert_eq!(signs(&fixture.changes()), [2], "way {way}");
        // another file takes its place once more
        appear(&path, &format!("{HEADER4}{}", row(98, 100)));
        server.write_all(row(3, 100).as_bytes()).unwrap();
        assert_eq!(signs(&fixture.changes()), [3], "way {way}");
        let refused = fixture.replace(set_of([])).unwrap_err();
        assert!(refused.contains("the server runs"), "{refused}");
        // it is restarted, and reads the file with the name
        drop(server);
        let mut server = File::options().append(true).open(&path).unwrap();
        wait_for_unnamed_file(&fixture, false);
        // Kea reads the other one, too
        let expected: &[u8] = if way == 3 { &[1, 2, 3, 98] } else { &[98] };
        assert_eq!(hosts(&fixture.reading().0), expected, "way {way}");
        server.write_all(row(4, 100).as_bytes()).unwrap();
        assert_eq!(signs(&fixture.changes()), [4], "way {way}");
        drop(server);
        fixture.runs((false, false));
        fixture.replace(set_of([])).unwrap();
    }
}

#[test]
fn a_server_that_was_cut_off_is_followed_and_nothing_is_taken_away() {
    // a writer that appends begins at the start, another one leaves a hole
    for appends in [true, false] {
        let (folder, fixture) = kea(&format!("{HEADER4}{}{}", row(1, 100), row(2, 100)));
        let path = folder.path("leases.csv");
        let mut server = File::options();
        let mut server = server.append(appends).write(true).open(&path).unwrap();
        server.seek(SeekFrom::End(0)).unwrap();
        fixture.runs((true, false));
        File::create(&path).unwrap();
        let (set, broken) = fixture.reading();
        assert_eq!(hosts(&set), [0; 0]);
        assert!(broken.unwrap().contains("truncated while its server runs"));
        server.write_all(row(3, 100).as_bytes()).unwrap();
        let mut told = Vec::new();
        while told.is_empty() {
            told = match fixture.next() {
                Event::Changes(changes) => signs(&changes),
                Event::Reading {
                    set,
                    broken: Some(_),
                } => hosts(&set).into_iter().map(i32::from).collect(),
                Event::Runs { .. } => continue,
                other => panic!("{other:?}"),
            };
        }
        assert_eq!(told, [3], "appends: {appends}");
        server
            .write_all((row(4, 100) + &gone_row(3)).as_bytes())
            .unwrap();
        assert_eq!(signs(&fixture.changes()), [4, -3]);
        fixture.quiet();
    }
}

#[test]
fn a_server_is_followed_until_it_takes_the_file_that_its_configuration_names() {
    let folder = Folder::new("server");
    let config = |name: &str| {
        let path = folder.path(name);
        let path = path.display();
        let text = format!(
            r#"{{ "Dhcp4": {{ "lease-database": {{ "type": "memfile", "name": "{path}" }} }} }}"#
        );
        appear(&folder.path("kea.conf"), &text);
    };
    config("leases.csv");
    fs::write(folder.path("leases.csv"), HEADER4).unwrap();
    let mut settings = settings(Format::Kea4, &folder.path("leases.csv"));
    settings.config = folder.path("kea.conf");
    settings.leases = None;
    let fixture = Fixture::open(settings);
    let mut server = File::options()
        .append(true)
        .open(folder.path("leases.csv"))
        .unwrap();
    fixture.runs((true, false));
    config("other.csv");
    fixture.quiet();
    server.write_all(row(2, 100).as_bytes()).unwrap();
    assert_eq!(signs(&fixture.changes()), [2]);
    drop(server);
    let place = |event| match event {
        Event::Place(place) => place,
        _ => None,
    };
    let began = Instant::now();
    assert_eq!(fixture.until(place), folder.path("other.csv"));
    assert!(began.elapsed() < Duration::from_secs(2), "{began:?}");
    appear(
        &folder.path("other.csv"),
        &(HEADER4.to_owned() + &row(3, 100)),
    );
    assert_eq!(hosts(&fixture.reading().0), [3]);
}

#[test]
fn a_server_whose_folder_is_gone_is_followed() {
    let folder = Folder::new("server");
    let inner = folder.path("inner");
    fs::create_dir(&inner).unwrap();
    let path = inner.join("leases.csv");
    fs::write(&path, HEADER4).unwrap();
    let fixture = Fixture::open(settings(Format::Kea4, &path));
    let mut server = File::options().append(true).open(&path).unwrap();
    fixture.runs((true, false));
    fs::remove_dir_all(&inner).unwrap();
    wait_for_unnamed_file(&fixture, true);
    server.write_all(row(2, 100).as_bytes()).unwrap();
    assert_eq!(signs(&fixture.changes()), [2]);
    drop(server);
    fixture.until(|event| matches!(event, Event::Fault(Some(_))).then_some(()));
    fs::create_dir(&inner).unwrap();
    appear(&path, &format!("{HEADER4}{}", row(1, 100)));
    assert_eq!(hosts(&fixture.reading().0), [1]);
}

#[test]
fn a_row_that_cannot_be_read_is_told_until_the_file_has_none() {
    let (folder, fixture) = kea(HEADER4);
    let path = folder.path("leases.csv");
    fixture.reading();
    let unread = |wanted: u32| {
        fixture.until(|event| match event {
            Event::Unread(unread) => (unread.count == wanted).then_some(unread.why),
            _ => None,
        })
    };
    append(&path, "garbage\n");
    let why = unread(1).unwrap();
    assert!(
        why.contains("leases.csv: line 2: its address is invalid"),
        "{why}"
    );
    append(&path, "192.0.2.7,02:00:00:00:00:07,,600\n");
    append(&path, &row(8, 100));
    assert_eq!(signs(&fixture.changes()), [8]);
    append(&path, "garbage\n");
    unread(3);
    appear(&path, &format!("{HEADER4}{}", row(8, 100)));
    assert_eq!(unread(0), None);
}

/// Row of 192.0.2.`host`, committed `ago_s` before now, for 600 s.
fn aged_row(host: u8, ago_s: i64) -> String {
    let expire = i64::try_from(unix_s()).unwrap() - ago_s + 600;
    format!("192.0.2.{host},02:00:00:00:00:{host:02x},,600,{expire},1,0,0,h{host},0,\n")
}

#[test]
fn a_reading_by_a_clock_that_is_years_behind_makes_no_lease_longer_or_newer() {
    let (_folder, fixture) = kea(&format!(
        "{HEADER4}{}{}{}",
        aged_row(1, 100),
        aged_row(2, -2),
        aged_row(3, -2_000_000_000)
    ));
    let now_ns = monotonic_ns();
    let (set, broken) = fixture.reading();
    assert_eq!((hosts(&set), broken), (vec![1, 2, 3], None));
    let said = |host| {
        let lease = &set.leases[&key4(host)];
        let ends_ns = lease.expires_ns.unwrap();
        // in seconds, from about now
        [ends_ns, lease.committed_ns]
            .map(|ns| (ns - now_ns + 5_000_000_000).div_euclid(10_000_000_000) * 10)
    };
    assert_eq!(said(1), [500, -100]);
    assert_eq!(said(2), [600, 0]);
    assert_eq!(said(3), [600, -600], "older than what anybody else knows");
}
