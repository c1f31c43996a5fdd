//! E2: an interface whose MTU is too small for heartbeats.

use super::lab::SECOND;
use super::linked::pair;

/// Adverts pass, as they are short.
#[test]
fn an_interface_with_a_tiny_mtu_is_hurt_on_its_node() {
    for narrow in [1, 0] {
        let mut lab = pair("");
        let active = lab.active()[0];
        let mut facts = lab.nodes[narrow].facts["lan1"].clone();
        facts.mtu = 68;
        lab.filtered.insert("lan1".to_owned());
        lab.report_interface(narrow, "lan1", &facts);
        lab.run(60 * SECOND);
        let changes = usize::from(narrow == active);
        assert_eq!(lab.active(), [1 - narrow], "r{} is narrow", narrow + 1);
        assert_eq!(lab.switchovers() + lab.failovers(), 2 * changes);
        assert_eq!(lab.nodes[narrow].host.why["lan1"], "an MTU below 576 bytes");
    }
}
