//! A plugin that does not elect adds an address to a group.

use std::fs;

use rustix::process::Signal;
use spared_message::control::Request;
use spared_tests::lab::signal_to;

use crate::lab::{Alone, VRRP};

const TUNNEL: &str =
    "group = \"office\"\ninterface = \"lan\"\naddress = \"10.9.0.77\"\nprefix = 24\n";

fn with(toml: &str) -> Option<Alone> {
    let mut lab = Alone::new()?;
    lab.enable("vrrp", VRRP);
    lab.enable("tunnel", toml);
    lab.start();
    lab.wait_until_active();
    Some(lab)
}

fn has_address(lab: &Alone) -> bool {
    lab.prints("ip", &["addr"]).contains("10.9.0.77/24")
}

#[test]
fn an_address_that_a_plugin_adds_comes_and_goes_with_the_role() {
    let Some(lab) = with(TUNNEL) else { return };
    lab.wait("the address", || has_address(&lab));
    let force = |to| Request::Force {
        group: None,
        to,
        anyway: true,
    };
    lab.ask(&force(spared_message::control::Force::Backup));
    lab.wait("no address", || !has_address(&lab));
    lab.ask(&force(spared_message::control::Force::Reset));
    lab.wait("the address again", || has_address(&lab));
}

#[test]
fn it_stays_when_the_worker_ends_and_goes_with_the_plugin() {
    let Some(lab) = with(TUNNEL) else { return };
    lab.wait("the address", || has_address(&lab));
    signal_to(lab.plugin("tunnel").pid.unwrap(), Signal::KILL).unwrap();
    lab.wait("a restart", || {
        assert!(has_address(&lab));
        lab.plugin("tunnel").state == "running" && lab.plugin("tunnel").restarts > 0
    });
    lab.enable("tunnel", &TUNNEL.replace(".77", ".78"));
    lab.done(&Request::Reload { anyway: false });
    lab.wait("the other address alone", || {
        !has_address(&lab) && lab.prints("ip", &["addr"]).contains("10.9.0.78/24")
    });
    fs::remove_file(lab.path("plugins/tunnel.toml")).unwrap();
    lab.done(&Request::Reload { anyway: false });
    lab.wait("none", || {
        !lab.prints("ip", &["addr"]).contains("10.9.0.78/24")
    });
    lab.is_undisturbed();
}

#[test]
fn what_the_elector_claims_and_what_is_not_allowed_is_refused() {
    let Some(lab) = with(&TUNNEL.replace(".77", ".1")) else {
        return;
    };
    lab.wait_for_log("10.9.0.1 is claimed twice");
    lab.is_undisturbed();
    let Some(lab) = with(&format!("allow = []\n{TUNNEL}")) else {
        return;
    };
    lab.wait_for_log("Operation not permitted");
    assert!(!has_address(&lab));
    lab.is_undisturbed();
}
