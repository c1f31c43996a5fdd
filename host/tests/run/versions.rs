//! A plugin of a later version than the daemon.

use crate::lab::{Alone, VRRP};

fn with_newer(toml: &str) -> Option<Alone> {
    let mut lab = Alone::new()?;
    lab.enable("vrrp", VRRP);
    lab.enable("newer", toml);
    lab.start();
    lab.wait_until_active();
    Some(lab)
}

#[test]
fn a_call_that_the_daemon_does_not_know_is_answered_so_and_a_message_ignored() {
    let Some(lab) = with_newer("") else { return };
    let enosys = -rustix::io::Errno::NOSYS.raw_os_error();
    lab.wait_for_log(&format!("newer: call 7 of a later version: [{enosys}]"));
    let newer = lab.plugin("newer");
    assert_eq!((newer.state.as_str(), newer.restarts), ("running", 0));
    lab.is_undisturbed();
}

#[test]
fn a_message_that_the_daemon_must_understand_and_does_not_ends_its_plugin_with_a_sentence() {
    let Some(lab) = with_newer("demands = true\n") else {
        return;
    };
    lab.wait_for_log("its kind 0x80000300 must be understood and is not known here: update spared");
    lab.wait("a restart", || lab.plugin("newer").restarts > 0);
    lab.is_undisturbed();
}
