//! A plugin that watches the pair: its state, its events, and floods of them.

use std::fs;

use spared_message::control::Request;

use crate::lab::{Alone, VRRP};

fn watched() -> Option<Alone> {
    let mut lab = Alone::new()?;
    let state = lab.path("state");
    fs::create_dir_all(&state).unwrap();
    lab.set("STATE_DIRECTORY", state.to_str().unwrap());
    lab.enable("vrrp", VRRP);
    lab.enable("lamp", "");
    lab.start();
    Some(lab)
}

fn shown(lab: &Alone, file: &str) -> String {
    fs::read_to_string(lab.path(&format!("state/lamp/{file}"))).unwrap_or_default()
}

#[test]
fn a_plugin_is_told_what_sparectl_says_and_when_it_changes() {
    let Some(lab) = watched() else { return };
    lab.wait_until_active();
    let verdict = || lab.status().verdict;
    lab.wait("the verdict of sparectl", || {
        let verdict = verdict();
        let first = format!("{}\n", verdict.word.word());
        let headline = &verdict.headlines[0].text;
        let shown = shown(&lab, "verdict");
        shown.starts_with(&first) && shown.contains(headline.as_str())
    });
    lab.ip("link set lan down");
    lab.wait("another verdict", || {
        let shown = shown(&lab, "verdict");
        let first = verdict().findings.into_iter().find(|it| it.id == "SP-0403");
        let since = first.and_then(|it| it.since);
        let is_dated = since.is_some_and(|since| shown.contains(&format!(" since {since}\n")));
        shown.starts_with("NONE\n") && is_dated
    });
    lab.wait("the event", || shown(&lab, "events").contains("lan"));
}

#[test]
fn a_flood_of_events_delays_nothing_and_is_counted() {
    let Some(lab) = watched() else { return };
    lab.wait_until_active();
    let lost = || lab.row("lamp", "lost").parse::<u64>().unwrap_or_default();
    lab.wait("lost events", || {
        // each order is an event of this node
        for group in 0..100 {
            let on = group % 2 == 0;
            lab.ask(&Request::Maintenance {
                on,
                for_s: None,
                anyway: true,
            });
        }
        lost() > 0
    });
    assert_eq!(lab.plugin("lamp").restarts, 0, "{}", lab.log());
    assert_eq!(lab.plugin("vrrp").restarts, 0, "{}", lab.log());
}
