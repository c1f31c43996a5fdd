//! The examples of `abi/c`.

use std::path::PathBuf;

use spared_contract::{FromPlugin, Role, ToPlugin};

use crate::lab::{Host, Lab, eventually, load};
use crate::life::role;

fn example(lab: &Lab, name: &str) -> PathBuf {
    super::compiled(lab, name, &format!("abi/c/examples/{name}.c"))
}

#[test]
fn the_smallest_plugin_hears_of_roles_and_ends() {
    let lab = Lab::new();
    let mut host = Host::spawn(&example(&lab, "smallest"), &load("smallest"));
    let descriptor = host.loaded().unwrap();
    assert_eq!(descriptor.summary, "logs the roles of groups");
    assert!(descriptor.has_role && !descriptor.has_peer);
    assert_eq!(host.configure("", false).status, 0);
    assert_eq!(host.ask(|token| ToPlugin::Start { token }).status, 0);
    assert_eq!(host.ask(role("office", Role::Active)).status, 0);
    host.log("office is active");
    host.send(&ToPlugin::Ping { number: 7 }, &[]);
    host.wait(|message| matches!(message, FromPlugin::Pong { number: 7, .. }).then_some(()));
    assert_eq!(host.ask(|token| ToPlugin::Stop { token }).status, 0);
    assert_eq!(host.ended(), 0);
}

#[test]
fn a_host_that_died_ends_it() {
    let lab = Lab::new();
    let host = Host::started(&example(&lab, "smallest"), &load("smallest"), "");
    let mut child = host.hang_up();
    eventually("its end", || child.exit().is_some());
}
