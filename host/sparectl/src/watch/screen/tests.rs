//! Tests the contents of screens of different sizes.

use spared_message::control::Answer;

use super::*;

fn drawn(screen: &mut Screen, columns: usize, rows: usize) -> String {
    let lines = screen.lines(Size { columns, rows });
    assert!(lines.len() <= rows, "{lines:?}");
    lines
        .iter()
        .map(|line| format!("{}\n", line.text))
        .collect()
}

fn recorded() -> Status {
    let json = include_str!("../../../tests/cases/status-pair.json");
    match serde_json::from_str(json).expect("a recorded answer") {
        Answer::Status(status) => *status,
        other => panic!("{other:?}"),
    }
}

fn shown(events: Vec<Event>) -> Screen {
    let mut screen = Screen::default();
    screen.update(recorded(), events, &Rates::default());
    screen
}

#[test]
fn status_traffic_and_events_are_on_the_screen() {
    let event = Event {
        at: "2026-11-14T08:12:41.000+01:00".to_owned(),
        text: "r2 joined".to_owned(),
        ..Event::default()
    };
    let mut screen = shown(vec![event]);
    let text = drawn(&mut screen, 100, 50);
    for part in [
        "r2 is ready",
        "r1 (this node)",
        "traffic of the links",
        "lan3",
        "r2 joined",
    ] {
        assert!(text.contains(part), "{part}:\n{text}");
    }
}

#[test]
fn a_daemon_that_is_gone_is_said_above_what_it_said_last() {
    let mut screen = shown(Vec::new());
    screen.fail("spared is not running".to_owned());
    let text = drawn(&mut screen, 100, 50);
    let gone = text.find("spared is not running");
    let last = text.find("r2 is ready");
    assert!(gone.is_some() && gone < last, "{text}");
}

#[test]
fn a_terminal_of_80_by_24_has_status_traffic_and_the_keys() {
    let mut screen = shown(Vec::new());
    let text = drawn(&mut screen, 80, 24);
    for part in [
        "r2 is ready",
        "last event",
        "out 0 B/s",
        "events, newest first",
        "q ends",
    ] {
        assert!(text.contains(part), "{part}:\n{text}");
    }
}

#[test]
fn a_small_terminal_shows_the_sentence_and_how_much_is_missing() {
    let mut screen = shown(Vec::new());
    let text = drawn(&mut screen, 80, 3);
    assert!(text.contains("r2 is ready"), "{text}");
    assert!(text.contains(" 21 more lines "), "{text}");
    assert!(text.contains("q ends"), "{text}");
    assert!(drawn(&mut screen, 80, 1).contains("r2 is ready"));
    assert_eq!(drawn(&mut screen, 0, 0), "");
}

#[test]
fn scrolling_reaches_the_last_event_and_returns_at_every_size() {
    for (columns, rows) in [(80, 24), (132, 43), (40, 10), (20, 2)] {
        let events = (0..60).map(|it| Event {
            text: format!("e{it}"),
            ..Event::default()
        });
        let mut screen = shown(events.collect());
        let first = drawn(&mut screen, columns, rows);
        screen.scroll(Scroll::End, rows);
        let last = drawn(&mut screen, columns, rows);
        assert!(last.contains("e0"), "{columns}x{rows}:\n{last}");
        screen.scroll(Scroll::Down, rows);
        assert_eq!(drawn(&mut screen, columns, rows), last);
        screen.scroll(Scroll::Up, rows);
        assert_ne!(drawn(&mut screen, columns, rows), last);
        screen.scroll(Scroll::Start, rows);
        assert_eq!(drawn(&mut screen, columns, rows), first);
    }
}

#[test]
fn what_is_wrong_stays_in_view_however_far_the_rest_is_scrolled() {
    for (columns, rows) in [(80, 24), (132, 43), (60, 5), (60, 3)] {
        let events = vec![Event::default(); 60];
        let mut screen = shown(events);
        screen.scroll(Scroll::End, rows);
        let text = drawn(&mut screen, columns, rows);
        assert!(text.contains("r2 is ready"), "{columns}x{rows}:\n{text}");
        screen.fail("spared is not running".to_owned());
        let text = drawn(&mut screen, columns, rows);
        assert!(text.contains("is not running"), "{columns}x{rows}:\n{text}");
    }
}

#[test]
fn a_position_that_a_larger_terminal_or_a_shorter_answer_does_not_have_is_left() {
    let mut screen = shown(Vec::new());
    screen.scroll(Scroll::End, 5);
    assert!(drawn(&mut screen, 80, 5).contains(" lines "));
    let whole = drawn(&mut screen, 132, 80);
    assert!(
        whole.contains("r2 is ready") && !whole.contains(" lines "),
        "{whole}"
    );
    assert!(whole.contains("events, newest first"), "{whole}");
}

/// Every recorded status with its name.
fn all_recorded() -> Vec<(String, Status)> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let entries = folder.read_dir().expect("the cases").flatten();
    let cases = entries.filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let text = std::fs::read_to_string(entry.path()).ok()?;
        match serde_json::from_str(&text).ok()? {
            Answer::Status(status) if name.ends_with(".json") => Some((name, *status)),
            _ => None,
        }
    });
    cases.collect()
}

/// All lines of a screen, as a user sees who scrolls down from the top with the arrow key, by the numbers in the last
/// row.
fn walked(screen: &mut Screen, columns: usize, rows: usize) -> Vec<String> {
    screen.scroll(Scroll::Start, rows);
    let view = |screen: &mut Screen| -> Vec<String> {
        let text = drawn(screen, columns, rows);
        text.lines().map(str::to_owned).collect()
    };
    let mut walked = view(screen);
    if walked.last().is_some_and(|it| it.contains(" more lines ")) {
        walked.pop();
    }
    for _ in 0..1000 {
        let before = view(screen);
        screen.scroll(Scroll::Down, rows);
        let mut now = view(screen);
        if now == before {
            break;
        }
        let last = now.pop().expect("a last row");
        assert!(last.contains("arrows scroll, q ends"), "{last}");
        let numbers = last.split(' ').filter_map(|word| word.parse().ok());
        let numbers: Vec<usize> = numbers.collect();
        let [first, end, all] = numbers[..] else {
            panic!("{last}")
        };
        assert_eq!(
            (now.len() - 1, now[0].as_str()),
            (end + 1 - first, &*walked[0])
        );
        walked.resize(all.max(walked.len()), String::new());
        walked[first - 1..end].clone_from_slice(&now[1..]);
    }
    walked
}

/// Words of some lines, however they are broken.
fn words(lines: &[String]) -> String {
    let words = lines.iter().flat_map(|line| line.split_whitespace());
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn each_panel_has_what_belongs_to_it_in_full_at_80_by_24_and_132_by_43() {
    let cases = all_recorded();
    assert!(cases.len() > 10);
    for (name, status) in cases {
        for (columns, rows) in [(80, 24), (132, 43)] {
            let mut screen = Screen::default();
            let events = (0..30).map(|it| Event {
                at: format!("2026-11-14T08:12:{it:02}.000+01:00"),
                text: format!("event{it} {} end{it}", "of many words ".repeat(8).trim()),
                ..Event::default()
            });
            screen.update(status.clone(), events.collect(), &Rates::default());
            let lines = walked(&mut screen, columns, rows);
            let at = |title: &str| lines.iter().position(|line| line.contains(title));
            let place = format!("{name} at {columns}x{rows}:\n{}", lines.join("\n"));
            let events = at("─ events, newest first ").unwrap_or_else(|| panic!("{place}"));
            let traffic = at("─ traffic of the links ");
            assert_eq!(traffic.is_some(), !status.links.is_empty(), "{place}");
            let traffic = traffic.unwrap_or(events);

            let shown = render::status(&status, false, columns);
            let shown: Vec<String> = shown.lines().map(str::to_owned).collect();
            assert_eq!(words(&lines[..traffic]), words(&shown), "{place}");
            let panel = &lines[(traffic + 1).min(events)..events];
            assert_eq!(panel.len(), status.links.len(), "{place}");
            for (line, link) in panel.iter().zip(&status.links) {
                let is_its = line
                    .trim_start()
                    .starts_with(&format!("{} ", link.interface));
                assert!(is_its && line.contains("out 0 B/s"), "{place}");
            }
            let told = words(&lines[events + 1..]);
            let newest: Vec<_> = (0..30)
                .rev()
                .map(|it| told.find(&format!("event{it} ")))
                .collect();
            assert!(
                newest.iter().all(Option::is_some) && newest.is_sorted(),
                "{place}"
            );
            assert!(told.ends_with("of many words end0"), "{place}");
        }
    }
}

#[test]
fn a_sound_pair_has_its_panels_on_one_screen_of_80_by_24() {
    let event = Event {
        text: "r2 joined".to_owned(),
        ..Event::default()
    };
    let mut screen = shown(vec![event.clone(), event]);
    let text = drawn(&mut screen, 132, 43);
    let lines: Vec<&str> = text.lines().collect();
    let traffic = lines
        .iter()
        .position(|it| it.contains("─ traffic of the links "));
    let traffic = traffic.expect("a panel of traffic");
    assert!(lines[traffic + 1].starts_with("    lan3 "), "{text}");
    assert!(
        lines[traffic + 2].starts_with("─ events, newest first "),
        "{text}"
    );
    assert!(lines[traffic + 3].ends_with("r2 joined"), "{text}");
    let small = drawn(&mut screen, 80, 24);
    let small: Vec<&str> = small.lines().collect();
    assert_eq!(small.len(), 24);
    assert_eq!(small[..traffic], lines[..traffic]);
    assert!(small[traffic + 1].starts_with("    lan3 "), "{text}");
}
