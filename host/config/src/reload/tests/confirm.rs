//! Tests reloads that are taken back unless they are confirmed, with a virtual clock.

use std::time::Duration;

use crate::reload::APPLY_TIMEOUT;
use crate::reload::Reload;
use crate::{Fault, Setup};
use spared_message::control::ErrorCode;

use super::steps::Host;

const LASTS: Duration = Duration::from_secs(60);
const COMES_BACK: &str =
    "the configuration from before comes back in 60 s, unless `sparectl confirm` comes first";
const WAITS: &str = "the last reload waits for `sparectl confirm`: confirm it, or take it back by `sparectl reload --back`";

impl Host {
    /// Requests a reload that has to be confirmed, of the plugin sets with this file. The check finds no fault.
    fn try_out(&mut self, client: u64, text: &str) {
        self.write("sets", text);
        self.reload.request_to_confirm(client, false, LASTS, false);
        self.perform();
        if self.take_done().contains(&"check sets".to_owned()) {
            self.checked("sets", Vec::new());
        }
    }

    /// Performs such a reload to its end, and returns the digests before it and after it.
    fn tried_out() -> (Self, [String; 2]) {
        let mut host = Self::new(&["sets", "vrrp"]);
        let before = host.setup.digest.clone();
        host.try_out(1, "a = 1\n");
        assert_eq!(host.take_done(), ["reconfigure sets"]);
        host.reload.handle_taken("sets", false);
        let lines = vec![
            "sets: new configuration in force".to_owned(),
            host.reloaded(),
            COMES_BACK.to_owned(),
        ];
        assert_eq!(host.answer(1), (None, lines));
        assert!(host.reload.is_unconfirmed());
        let after = host.setup.digest.clone();
        assert_ne!(before, after);
        (host, [before, after])
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.end_if_over();
        self.reload.handle_timeout(self.now);
        self.perform();
    }

    fn confirm(&mut self) {
        assert!(self.reload.is_unconfirmed());
        // the daemon asks the starter first
        self.kept = Ok(None);
        self.reload.handle_confirmed();
    }

    /// Configuration with which a start would have it now.
    fn restarted(&self) -> String {
        let kept = self.kept.clone().ok().flatten();
        kept.map_or_else(|| self.files().digest, |it| it.digest)
    }

    fn kept(&self) -> Option<&Setup> {
        self.kept.as_ref().ok()?.as_ref()
    }
}

#[test]
fn what_nobody_confirms_is_taken_back_when_its_time_is_over() {
    let (mut host, [before, after]) = Host::tried_out();
    assert_eq!(host.reload.unconfirmed_left(host.now), Some(LASTS));
    assert_eq!(host.reload.next_timeout(), Some(host.now + LASTS));
    host.pass(LASTS - Duration::from_millis(1));
    assert_eq!(host.take_done(), [""; 0]);
    assert_eq!(host.setup.digest, after);
    host.pass(Duration::from_millis(1));
    assert_eq!(host.take_done(), ["check sets"]);
    host.checked("sets", Vec::new());
    assert_eq!(host.take_done(), ["put back", "reconfigure sets"]);
    assert_eq!(host.setup.digest, before);
    host.reload.handle_taken("sets", false);
    host.end_if_over();
    assert!(
        host.told
            .iter()
            .any(|it| it.starts_with("nobody confirmed the last reload"))
    );
    assert!(!host.reload.is_unconfirmed() && host.answers.is_empty());
    assert_eq!(host.reload.next_timeout(), None);
}

#[test]
fn what_is_confirmed_stays_and_other_reloads_follow() {
    let (mut host, [_, after]) = Host::tried_out();
    host.pass(LASTS / 2);
    host.confirm();
    host.pass(2 * LASTS);
    assert_eq!(host.take_done(), [""; 0]);
    assert_eq!(host.setup.digest, after);
    host.write("sets", "a = 2\n");
    assert_eq!(host.reload(2), ["check sets", "reconfigure sets"]);
    host.reload.handle_taken("sets", false);
    assert_eq!(host.answer(2).0, None);
    assert!(!host.reload.is_unconfirmed());
}

#[test]
fn while_something_waits_every_other_reload_is_refused() {
    let (mut host, [before, after]) = Host::tried_out();
    host.write("sets", "a = 2\n");
    host.request(2, true);
    assert_eq!(
        host.answer(2),
        (Some(ErrorCode::Refused), vec![WAITS.to_owned()])
    );
    host.try_out(3, "a = 3\n");
    assert_eq!(
        host.answer(3),
        (Some(ErrorCode::Refused), vec![WAITS.to_owned()])
    );
    host.told.clear();
    // by SIGHUP
    host.reload.request(None, false);
    host.perform();
    assert_eq!(host.told, [format!("reload refused: {WAITS}")]);
    assert_eq!(host.setup.digest, after);
    host.pass(LASTS);
    let back = "the last reload was not confirmed and is being taken back: wait for that";
    host.request(4, false);
    assert_eq!(
        host.answer(4),
        (Some(ErrorCode::Refused), vec![back.to_owned()])
    );
    host.checked("sets", Vec::new());
    assert_eq!(host.setup.digest, before);
}

#[test]
fn a_reload_in_progress_is_not_made_one_that_comes_back() {
    let mut host = Host::new(&["sets"]);
    host.write("sets", "a = 1\n");
    host.request(1, false);
    host.try_out(2, "a = 2\n");
    let why = "another reload is in progress: run the command again";
    assert_eq!(
        host.answer(2),
        (Some(ErrorCode::Refused), vec![why.to_owned()])
    );
}

#[test]
fn what_changes_nothing_waits_for_nobody() {
    let mut host = Host::new(&["sets"]);
    // nothing is different
    host.try_out(1, "enabled = true\n");
    let lines = vec!["nothing changed".to_owned(), host.reloaded()];
    assert_eq!(host.answer(1), (None, lines));
    assert!(!host.reload.is_unconfirmed() && host.kept().is_none());
    // a fault
    host.write("sets", "a = 1\n");
    host.reload.request_to_confirm(2, false, LASTS, false);
    host.perform();
    assert!(host.kept().is_some(), "kept before the files are read");
    host.checked("sets", vec![Fault::whole("sets.toml", "wrong")]);
    assert_eq!(host.answer(2).0, Some(ErrorCode::Config));
    assert!(!host.reload.is_unconfirmed() && host.kept().is_none());
    // the files in force cannot be kept
    host.kept = Err("a full disk".to_owned());
    host.try_out(3, "a = 1\n");
    let why = "the files in force cannot be kept, so nothing changed: a full disk";
    assert_eq!(
        host.answer(3),
        (Some(ErrorCode::Refused), vec![why.to_owned()])
    );
    assert!(!host.reload.is_unconfirmed());
}

#[test]
fn a_way_back_that_is_refused_is_tried_again() {
    let (mut host, [before, after]) = Host::tried_out();
    host.pass(LASTS);
    host.checked("sets", vec![Fault::whole("sets.toml", "not now")]);
    assert_eq!(host.setup.digest, after);
    assert!(host.kept().is_some());
    let due = host.reload.next_timeout().expect("another attempt");
    host.take_done();
    host.pass(due - host.now);
    assert_eq!(host.take_done(), ["check sets"]);
    host.checked("sets", Vec::new());
    assert_eq!(host.setup.digest, before);
}

#[test]
fn the_way_back_waits_for_the_end_of_the_reload() {
    let mut host = Host::new(&["sets"]);
    host.write("sets", "a = 1\n");
    host.reload
        .request_to_confirm(1, false, APPLY_TIMEOUT / 2, false);
    host.perform();
    host.checked("sets", Vec::new());
    let after = host.setup.digest.clone();
    // sets does not answer
    host.now += APPLY_TIMEOUT / 2;
    host.reload.handle_timeout(host.now);
    host.perform();
    assert_eq!(host.setup.digest, after);
    host.now += APPLY_TIMEOUT / 2;
    let (code, lines) = host.answer(1);
    assert_eq!(code, Some(ErrorCode::Failed));
    assert!(lines[0].starts_with("sets: does not answer"), "{lines:?}");
    let last = lines.last().unwrap();
    assert!(
        last.starts_with("the configuration from before comes back"),
        "{lines:?}"
    );
    host.pass(Duration::ZERO);
    host.checked("sets", Vec::new());
    assert_ne!(host.setup.digest, after);
}

#[test]
fn files_that_could_not_be_put_back_are_kept_until_the_next_reload() {
    let mut host = Host::new(&["sets"]);
    host.kept = Ok(Some(host.setup.clone()));
    host.reload.note_kept(host.now);
    host.write("sets", "a = 1\n");
    host.reload(1);
    assert!(host.kept().is_none());
}

#[test]
fn what_waits_is_taken_back_at_once_for_who_asks() {
    let (mut host, [before, after]) = Host::tried_out();
    assert_eq!(host.reload.request_back(host.now, Some(2)), Ok(()));
    let (code, late) = host.reload.confirm_objection().expect("too late");
    assert_eq!(code, ErrorCode::Failed);
    assert!(late.starts_with("too late to confirm"), "{late}");
    assert_eq!(host.setup.digest, after);
    host.pass(Duration::ZERO);
    assert_eq!(host.take_done(), ["check sets"]);
    // somebody else asks as well
    assert_eq!(host.reload.request_back(host.now, Some(3)), Ok(()));
    host.checked("sets", Vec::new());
    assert_eq!(host.take_done(), ["put back", "reconfigure sets"]);
    assert_eq!(host.setup.digest, before);
    host.reload.handle_taken("sets", false);
    for client in [2, 3] {
        let (code, lines) = host.answer(client);
        assert_eq!(code, None);
        assert_eq!(
            lines.last().map(String::as_str),
            Some("this is the configuration from before the reload that nobody confirmed")
        );
    }
    let nothing = "nothing waits for a confirmation";
    assert_eq!(host.reload.request_back(host.now, Some(4)), Err(nothing));
    let refused = Some((ErrorCode::Refused, nothing));
    assert_eq!(host.reload.confirm_objection(), refused);
    assert_eq!(host.reload.next_timeout(), None);
}

#[test]
fn what_is_taken_back_during_its_reload_goes_back_after_it() {
    let mut host = Host::new(&["sets"]);
    let before = host.setup.digest.clone();
    host.write("sets", "a = 1\n");
    host.reload.request_to_confirm(1, false, LASTS, true);
    host.perform();
    let why = "a reload is in progress: run the command again";
    assert_eq!(host.reload.request_back(host.now, Some(2)), Err(why));
    host.checked("sets", Vec::new());
    assert_eq!(host.reload.request_back(host.now, Some(2)), Ok(()));
    host.pass(Duration::ZERO);
    assert_ne!(host.setup.digest, before);
    host.reload.handle_taken("sets", false);
    assert_eq!(host.answer(1).0, None);
    host.pass(Duration::ZERO);
    host.take_done();
    // it is refused, and tried again
    host.checked("sets", vec![Fault::whole("sets.toml", "not now")]);
    let (code, lines) = host.answer(2);
    assert_eq!(code, Some(ErrorCode::Config));
    assert!(
        lines[1].ends_with("it is tried again every 10 s"),
        "{lines:?}"
    );
    let due = host.reload.next_timeout().expect("another attempt");
    host.pass(due - host.now);
    host.checked("sets", Vec::new());
    assert_eq!(host.setup.digest, before);
}

#[test]
fn what_waits_across_a_restart_goes_back_at_its_time() {
    let (mut host, [before, _]) = Host::tried_out();
    // the next daemon
    host.reload = Reload::default();
    host.reload.note_waiting(host.now + LASTS / 2);
    assert_eq!(host.reload.unconfirmed_left(host.now), Some(LASTS / 2));
    host.pass(LASTS / 2);
    assert_eq!(host.take_done(), ["check sets"]);
    host.checked("sets", Vec::new());
    assert_eq!(host.setup.digest, before);
}

#[test]
fn files_that_cannot_be_put_back_are_tried_again_until_a_reload() {
    let mut host = Host::new(&["sets"]);
    host.reload.note_kept(host.now);
    let due = host.reload.next_timeout().expect("another attempt");
    assert_eq!(due - host.now, Duration::from_secs(60));
    host.pass(Duration::from_secs(59));
    assert_eq!(host.take_done(), [""; 0]);
    host.pass(Duration::from_secs(1));
    assert_eq!(host.take_done(), ["try to put back"]);
    assert_eq!(host.reload.next_timeout(), None);
    // it fails once more, and somebody reloads
    host.reload.note_kept(host.now);
    host.request(1, false);
    host.end_if_over();
    assert_eq!(host.reload.next_timeout(), None);
}

/// Events of a reload that nobody confirms, and of its way back.
const EVENTS: [fn(&mut Host); 5] = [
    |host| host.reload.request_to_confirm(1, false, LASTS, false),
    |host| host.note_checked("sets", Vec::new()),
    |host| {
        host.reload.handle_taken("sets", false);
        host.now += LASTS;
        host.note_over();
    },
    |host| host.reload.handle_timeout(host.now),
    |host| host.note_checked("sets", Vec::new()),
];

/// Whenever the daemon ends, its next start has the configuration from before in force.
#[test]
fn a_crash_after_any_step_comes_up_with_the_configuration_from_before() {
    for crash_after in 1.. {
        let mut host = Host::new(&["sets"]);
        let before = host.setup.digest.clone();
        host.write("sets", "a = 1\n");
        let mut left = crash_after;
        for event in EVENTS {
            event(&mut host);
            while left > 0 && host.perform_step() {
                left -= 1;
            }
            if left == 0 {
                break;
            }
        }
        assert_eq!(host.restarted(), before, "after {crash_after} steps");
        if left > 0 {
            assert!(crash_after > 8, "only {crash_after} steps");
            assert_eq!(host.setup.digest, before);
            return;
        }
    }
}
