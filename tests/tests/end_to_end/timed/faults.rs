// SPDX-License-Identifier: MIT OR Apache-2.0
//! A plugin that does wrong costs no advert, as seen from the wire.

use std::thread;
use std::time::Duration;

use spared_tests::Result;
use spared_tests::clock::{Stamp, poll};
use spared_tests::lab::{Lab, Wire, scenario};
use spared_tests::probe::{Control, Watch};
use spared_tests::router::{Kind, Plan, PluginFile, Router, Spared};

const INTERVAL: Duration = Duration::from_millis(100);
const LIMIT: Duration = Duration::from_secs(20);

/// Fate that the plugin must have.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Restarted,
    Endured,
}

fn beside(lab: &Lab, fault: &str, fate: Fate) -> Result<()> {
    let control = Control::start();
    let watch = Watch::start(lab)?;
    let mut plan = Plan::gateways(INTERVAL, 200);
    plan.plugins.push(PluginFile {
        name: "faulty".to_owned(),
        toml: format!("fault = \"{fault}\"\nafter_ms = 1000\n"),
        file: "libspared_example_faulty.so".to_owned(),
    });
    let router = Router::start(lab, &lab.sites[0], Kind::Spared, &plan)?;
    watch.wait_active(0, Wire::Lan, INTERVAL * 3, LIMIT)?;
    let began = Stamp::now();
    let restarts = || -> u64 {
        let plugins = Spared(&router).status().unwrap_or_default().plugins;
        plugins
            .iter()
            .filter(|plugin| plugin.name == "faulty")
            .map(|p| p.restarts)
            .sum()
    };
    if fate == Fate::Restarted {
        assert!(
            poll(LIMIT, INTERVAL, || restarts() > 0),
            "{fault}: never restarted"
        );
    }
    thread::sleep(Duration::from_secs(2));
    for wire in Wire::BOTH {
        let worst = watch.worst_spacing(began, 0, wire);
        let what = format!("{fault}: without an advert");
        control.judge(&what, began, worst, INTERVAL * 3 / 2)?;
        assert!(worst >= INTERVAL / 2, "{fault}: no adverts at all");
    }
    Ok(())
}

#[test]
fn a_panic_delays_no_advert() {
    scenario(1, |lab| beside(lab, "panic", Fate::Restarted));
}

#[test]
fn a_crash_delays_no_advert() {
    scenario(1, |lab| beside(lab, "segfault", Fate::Restarted));
}

#[test]
fn an_exit_delays_no_advert() {
    scenario(1, |lab| beside(lab, "exit", Fate::Restarted));
}

#[test]
fn a_hang_delays_no_advert() {
    scenario(1, |lab| beside(lab, "hang", Fate::Restarted));
}

#[test]
fn spinning_at_real_time_priority_delays_no_advert() {
    scenario(1, |lab| beside(lab, "spin", Fate::Restarted));
}

#[test]
fn a_flood_of_lines_delays_no_advert() {
    scenario(1, |lab| beside(lab, "log-flood", Fate::Endured));
}

#[test]
fn a_flood_of_errors_delays_no_advert() {
    scenario(1, |lab| beside(lab, "error-flood", Fate::Restarted));
}

#[test]
fn a_flood_of_calls_delays_no_advert() {
    scenario(1, |lab| beside(lab, "call-flood", Fate::Endured));
}

#[test]
fn leaking_descriptors_delays_no_advert() {
    scenario(1, |lab| beside(lab, "leak-descriptors", Fate::Endured));
}
