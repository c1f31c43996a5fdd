//! Echoes: answers, forged answers, and losses.

use super::*;
use crate::wire::icmp::parse_ipv4;

const PING: &str = "[[ping]]\nname = \"net\"\ntargets = [\"192.0.2.1\", \"192.0.2.2\"]\n";

#[test]
fn one_target_is_enough_and_its_round_trip_is_told() {
    let mut lab = Lab::new(PING);
    assert_eq!(lab.followed, [("@any".to_owned(), true)]);
    lab.pass(0);
    assert_eq!(lab.pings.len(), 2);
    lab.answer(3_140_000, |to| to == IpAddr::from([192, 0, 2, 2]));
    lab.pass(S);
    assert_eq!(lab.state("net"), Some(100));
    assert_eq!(
        lab.why("net"),
        "192.0.2.2 3.1 ms; 192.0.2.1 no answer within 1s"
    );
}

#[test]
fn all_targets_are_needed_where_the_file_says_so() {
    let mut lab = Lab::new(&format!("{PING}need = \"all\"\nfall = 1\n"));
    lab.pass(0);
    lab.answer(MS, |_| true);
    assert_eq!(lab.state("net"), Some(100));
    lab.pass(S);
    lab.answer(MS, |to| to == IpAddr::from([192, 0, 2, 2]));
    lab.pass(S);
    let wanted = (Some(0), "192.0.2.1 no answer within 1s");
    assert_eq!((lab.state("net"), lab.why("net")), wanted);
}

/// Connection tracking keeps the rules that it first applied, as long as the flow is the same.
#[test]
fn echoes_after_one_without_an_answer_are_another_flow() {
    let mut lab = Lab::new(&format!(
        "{PING}need = \"all\"\nfall = 1\nrise = 1\ninterval = \"10s\"\n"
    ));
    let identifier = |lab: &Lab| {
        let (_, packet) = lab.pings.last().expect("an echo");
        echo_of(packet).identifier
    };
    lab.pass(0);
    let first = identifier(&lab);
    lab.answer(MS, |_| true);
    lab.pass(10 * S);
    assert_eq!(identifier(&lab), first);
    lab.answer(MS, |to| to == IpAddr::from([192, 0, 2, 2]));
    lab.pass(10 * S);
    assert_ne!(identifier(&lab), first);
    assert_eq!(lab.state("net"), Some(0));
    lab.answer(MS, |_| true);
    assert_eq!(lab.state("net"), Some(100));
}

#[test]
fn a_forged_or_late_answer_is_none() {
    let mut lab = Lab::new("[[ping]]\nname = \"net\"\ntargets = [\"192.0.2.1\"]\nfall = 1\n");
    lab.pass(0);
    let (to, packet) = lab.pings.pop().expect("an echo");
    let echo = echo_of(&packet);
    let mut token = echo.token;
    token[7] ^= 1;
    for (from, echo) in [
        (to, Echo { token, ..echo }),
        (
            to,
            Echo {
                identifier: !echo.identifier,
                ..echo
            },
        ),
        (
            to,
            Echo {
                sequence: !echo.sequence,
                ..echo
            },
        ),
        (IpAddr::from([192, 0, 2, 9]), echo),
    ] {
        lab.engine
            .handle_heard(lab.now_ns(), &Heard::Reply { from, echo });
        lab.act();
        assert_eq!(lab.state("net"), None);
    }
    lab.pass(S);
    assert_eq!(lab.state("net"), Some(0));
    lab.pings.clear();
    lab.engine
        .handle_heard(lab.now_ns(), &Heard::Reply { from: to, echo });
    lab.act();
    assert_eq!(lab.state("net"), Some(0));
    assert_eq!(parse_ipv4(&packet), None, "a request is no answer");
}

#[test]
fn an_unreachable_target_is_lost_without_waiting() {
    let mut lab = Lab::new("[[ping]]\nname = \"net\"\ntargets = [\"192.0.2.1\"]\nfall = 1\n");
    lab.pass(0);
    let (target, packet) = lab.pings.pop().expect("an echo");
    let echo = echo_of(&packet);
    let heard = Heard::Unreachable {
        target,
        by: IpAddr::from([192, 0, 2, 254]),
        identifier: echo.identifier,
        sequence: echo.sequence,
        code: 1,
    };
    lab.engine.handle_heard(lab.now_ns(), &heard);
    lab.act();
    assert_eq!(
        lab.why("net"),
        "192.0.2.1 unreachable, says 192.0.2.254 (code 1)"
    );
}

#[test]
fn loss_is_counted_over_the_window() {
    let text = "[[ping]]\nname = \"net\"\ntargets = [\"192.0.2.1\"]\nloss = 20\nwindow = 10\n\
                rise = 1\nfall = 1\n";
    let mut lab = Lab::new(text);
    let round = |lab: &mut Lab, back: bool| {
        lab.answer(MS, |_| back);
        lab.pass(999 * MS);
        lab.state("net")
    };
    lab.pass(0);
    for _ in 0..10 {
        assert_eq!(round(&mut lab, true), Some(100));
    }
    assert_eq!(round(&mut lab, false), Some(100));
    assert_eq!(round(&mut lab, false), Some(100), "20 % may be lost");
    round(&mut lab, false);
    assert_eq!(round(&mut lab, true), Some(0), "30 % may not");
    assert!(lab.why("net").contains("30 % lost"), "{}", lab.why("net"));
    for _ in 0..8 {
        round(&mut lab, true);
    }
    assert_eq!(lab.state("net"), Some(100));
}

#[test]
fn round_trips_are_told_every_ten_seconds_at_most() {
    let mut lab = Lab::new("[[ping]]\nname = \"net\"\ntargets = [\"192.0.2.1\"]\n");
    lab.pass(0);
    for n in 1..=60u64 {
        lab.answer(n * MS, |_| true);
        lab.pass(S - n * MS);
    }
    assert!(
        (5..=7).contains(&lab.reports),
        "{} reports in a minute",
        lab.reports
    );
}

#[test]
fn without_a_socket_there_is_no_result_and_it_is_asked_for_again() {
    let mut lab = Lab::new(&format!("{PING}fall = 1\n"));
    for wait_ns in [0, S, S] {
        lab.pass(wait_ns);
        lab.followed.clear();
        for (_, packet) in std::mem::take(&mut lab.pings) {
            lab.engine
                .handle_no_socket(echo_of(&packet).sequence, "@any");
        }
        lab.act();
        assert_eq!(lab.followed, [("@any".to_owned(), true)]);
    }
    assert_eq!(lab.state("net"), None);
}
