//! What only a plugin in C can get wrong in a call.

use spared_contract::ToPlugin;
use spared_pair::CauseKind;
use spared_pair::Sentence as _;

use crate::lab::{Host, Lab, load};
use crate::table::calls::{answered, cause, published};

const EINVAL: i32 = -22;

#[test]
fn a_cause_of_a_later_kind_is_its_text_and_one_that_is_none_is_refused() {
    let lab = Lab::new();
    let mut host = Host::started(&lab.probe(), &load("probe"), "");
    let (call, _) = answered(&mut host, "publish office 1 4000000", 0);
    let publication = published(call);
    assert_eq!(publication.cause, cause(CauseKind::Other));
    let said = publication.cause.clause(publication.role);
    assert_eq!(said, "lan is \u{fffd}  down");
    for (how, why) in [
        ("none", "publish(): without a cause"),
        (
            "small",
            "publish(): spared_cause has 64 bytes, at least 80 are needed",
        ),
    ] {
        assert_eq!(
            host.query(&format!("publish office 1 {how}")).status,
            EINVAL
        );
        host.log(why);
    }
}

#[test]
fn more_groups_than_allowed_are_refused_as_a_whole() {
    let lab = Lab::new();
    let mut host = Host::started(&lab.probe(), &load("probe"), "");
    let argv = vec!["publish-many".to_owned(), "256".to_owned()];
    let token = host.tell(|token| ToPlugin::Query { token, argv });
    let answer = host.returned(token);
    assert_eq!(answer.signed("result"), i64::from(EINVAL));
    assert_eq!(answer.signed("status.0"), 77, "left as it was");
    host.log("publish(): 256 groups, at most 255 are allowed");
}

#[test]
fn a_role_that_is_none_is_refused() {
    let lab = Lab::new();
    let mut host = Host::started(&lab.probe(), &load("probe"), "");
    for word in ["publish", "explain"] {
        assert_eq!(host.query(&format!("{word} office 9")).status, EINVAL);
        host.log(&format!("{word}(): there is no role 9"));
    }
}
