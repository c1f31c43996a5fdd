//! Bonds and bridges.

use super::*;

fn members(up: &[(&str, bool)]) -> Vec<Finding> {
    let finding = |(name, up): &(&str, bool)| Finding {
        part: Some((*name).to_owned()),
        ..if *up {
            Finding::good("up")
        } else {
            Finding::failed("has no carrier")
        }
    };
    up.iter().map(finding).collect()
}

#[test]
fn each_member_of_a_bond_is_a_check_and_one_that_leaves_is_lost() {
    let mut lab = Lab::new("[[interface]]\nname = \"bond0\"\nmembers = \"each\"\n");
    lab.conclude_all(members(&[("eth1", true), ("eth2", false)]));
    assert_eq!(lab.state("bond0.eth1"), Some(100));
    assert_eq!(lab.state("bond0.eth2"), Some(0));
    assert!(
        lab.followed.contains(&("eth2".to_owned(), false)),
        "{:?}",
        lab.followed
    );

    // an event of a member causes a run at once
    lab.link("eth2", true);
    lab.pass(0);
    lab.conclude_all(members(&[("eth1", true), ("eth2", true)]));
    assert_eq!(lab.state("bond0.eth2"), Some(100));

    lab.conclude_all(members(&[("eth2", true)]));
    assert_eq!(lab.why("bond0.eth1"), "is no longer a member of bond0");
    lab.conclude(Finding::failed("is not there"));
    assert_eq!(lab.state("bond0.eth1"), Some(0));
    assert_eq!(lab.why("bond0.eth2"), "is not there");
    assert_eq!(lab.state("bond0"), None, "its members say it");
}

#[test]
fn all_members_together_fail_with_the_last() {
    let mut lab = Lab::new("[[interface]]\nname = \"bond0\"\nmembers = \"all\"\n");
    lab.conclude_all(members(&[("eth1", true), ("eth2", false)]));
    assert_eq!(lab.state("bond0"), Some(100));
    assert_eq!(lab.why("bond0"), "1 of 2 members up: eth2 has no carrier");
    lab.conclude_all(members(&[("eth1", false), ("eth2", false)]));
    assert_eq!(lab.state("bond0"), Some(0));
}
