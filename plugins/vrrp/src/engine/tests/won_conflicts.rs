//! The end of a conflict, after which the winner's followers act again.

use super::lab::{Lab, MS, SECOND, by_priority};
use super::linked::{pair, quality};

const WIRES: [&str; 4] = ["lan1", "lan2", "link1", "link2"];

fn won_conflicts(lab: &Lab, node: usize) -> Vec<&str> {
    let causes = lab.nodes[node].explained.iter();
    let causes = causes.map(|(_, why)| why.as_str());
    causes
        .filter(|why| why.contains("was active, too"))
        .collect()
}

fn cut_for(lab: &mut Lab, for_ns: u64) {
    for wire in WIRES {
        lab.cut(wire, 0, 1);
    }
    lab.run(for_ns);
    assert_eq!(lab.active(), [0, 1]);
    lab.fix();
}

#[test]
fn the_winner_of_a_split_says_once_that_it_has_healed() {
    for (loser, [first, second]) in [(0, [60, 100]), (1, [100, 60])] {
        let mut lab = pair("");
        lab.directive(0, quality(100));
        for wire in WIRES {
            lab.cut(wire, 0, 1);
        }
        lab.run(5 * SECOND);
        lab.directive(0, quality(first));
        lab.directive(1, quality(second));
        lab.forget();
        lab.fix();
        lab.run(SECOND);
        let winner = 1 - loser;
        assert_eq!(lab.active(), [winner]);
        let said = won_conflicts(&lab, winner);
        assert_eq!(said.len(), 1, "{said:?}");
        let begin = format!(
            "r{} is active because r{} was active, too, for ",
            winner + 1,
            loser + 1
        );
        assert!(said[0].starts_with(&begin), "{said:?}");
        assert!(won_conflicts(&lab, loser).is_empty());
        // afterwards the general rules hold
        lab.run(30 * SECOND);
        assert_eq!(won_conflicts(&lab, winner).len(), 1);
        assert!(
            !lab.why(winner).contains("was active, too"),
            "{}",
            lab.why(winner)
        );
    }
}

#[test]
fn a_rival_that_gave_way_before_it_was_heard_is_told_of() {
    let mut lab = pair("");
    lab.directive(0, quality(100));
    lab.directive(1, quality(60));
    lab.run(SECOND);
    assert_eq!(lab.active(), [0]);
    lab.forget();
    for wire in WIRES {
        lab.cut_one_way(wire, 0, 1);
    }
    // r2 waits for 302 ms from the last heartbeat, which is at most 100 ms old; r1 hears r2 again before it misses it
    lab.run(180 * MS);
    assert_eq!(lab.active(), [0]);
    for wire in WIRES {
        lab.cut_one_way(wire, 1, 0);
    }
    lab.run_until(SECOND, |lab| lab.active() == [0, 1]).unwrap();
    lab.fix();
    for wire in WIRES {
        lab.cut_one_way(wire, 1, 0);
    }
    lab.run_until(SECOND, |lab| lab.active() == [0]).unwrap();
    lab.fix();
    lab.run(SECOND);
    assert_eq!(
        won_conflicts(&lab, 0).len(),
        1,
        "{:?}",
        won_conflicts(&lab, 0)
    );
    assert!(won_conflicts(&lab, 1).is_empty());
    lab.run(30 * SECOND);
    assert_eq!((lab.active(), won_conflicts(&lab, 0).len()), (vec![0], 1));
}

#[test]
fn a_failover_and_a_switchover_are_no_conflict() {
    let mut lab = pair("");
    for _ in 0..5 {
        let active = lab.active()[0];
        lab.kill(active);
        lab.run(3 * SECOND);
        lab.start(active);
        lab.run(10 * SECOND);
        lab.switch(1 - active);
        lab.run(10 * SECOND);
    }
    assert_eq!(
        [won_conflicts(&lab, 0), won_conflicts(&lab, 1)],
        [[""; 0], [""; 0]]
    );
}

#[test]
fn conflicts_in_a_row_are_told_every_ten_seconds_and_the_last_one_is_not_lost() {
    // equal nodes without heartbeats: a priority decides
    let mut lab = Lab::settled(&by_priority(&[200, 100], "", ""), 2);
    for _ in 0..10 {
        lab.cut("lan1", 0, 1);
        lab.run(SECOND);
        assert_eq!(lab.active(), [0, 1]);
        lab.fix();
        lab.run(500 * MS);
        assert_eq!(lab.active(), [0]);
    }
    let told = won_conflicts(&lab, 0).len();
    assert!((1..=2).contains(&told), "{told}");
    lab.run(12 * SECOND);
    assert_eq!(won_conflicts(&lab, 0).len(), told + 1);
}

#[test]
fn who_gives_way_after_it_won_says_nothing_of_it() {
    let mut lab = pair("");
    for _ in 0..2 {
        cut_for(&mut lab, 5 * SECOND);
        lab.run(200 * MS);
    }
    let winner = lab.active()[0];
    lab.forget();
    lab.kill(1 - winner);
    lab.shut_down(winner);
    lab.run(20 * SECOND);
    assert!(won_conflicts(&lab, winner).is_empty());
}
