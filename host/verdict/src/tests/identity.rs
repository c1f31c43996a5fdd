//! Tests losses on networks that carry the heartbeats of the active node.

use super::*;

fn lost(sender: &str, what: &str, loss: LossKind) -> NetworkLoss {
    NetworkLoss {
        interface: "lan".to_owned(),
        sender: sender.to_owned(),
        what: what.to_owned(),
        loss,
    }
}

fn lines(bed: &Bed) -> Vec<String> {
    let verdict = bed.verdict();
    verdict.findings.iter().map(|it| it.line(NOW)).collect()
}

/// Adds a loss that both nodes report.
fn both(bed: &mut Bed, lost: &NetworkLoss) {
    bed.own.groups[0].networks.lost.push(lost.clone());
    bed.peer().groups[0].networks.lost.push(lost.clone());
}

#[test]
fn a_network_that_drops_a_virtual_mac_is_one_finding_of_both_nodes() {
    let bed = Bed::with(|bed| both(bed, &lost("r1", "00:00:5e:00:01:0a", LossKind::Mac)));
    let wanted = "r1: the network drops the virtual MAC 00:00:5e:00:01:0a of lan (a hypervisor's or switch's \
                  filter): heartbeats from r1's own MAC arrive, but nothing from the virtual MAC. Allow the virtual MAC there, or set vmac = false on both nodes, then run `sparectl reload`. (SP-0209)";
    assert_eq!(lines(&bed), [wanted]);
    assert!(said(&bed).0.starts_with("WARN"));
}

#[test]
fn groups_of_one_network_are_one_finding_for_each_active_node() {
    let bed = Bed::with(|bed| {
        for number in 1..=9 {
            let mac = format!("00:00:5e:00:01:0{number}");
            both(bed, &lost("r1", &mac, LossKind::Mac));
        }
        both(bed, &lost("r2", "00:00:5e:00:01:0a", LossKind::Mac));
        // a loss that follows from the dropped MAC address is no separate fault
        both(bed, &lost("r2", "adverts", LossKind::Adverts));
    });
    let ids = ["SP-0209 r1", "SP-0209 r2"];
    assert_eq!(said(&bed).1, ids);
    let named = "00:00:5e:00:01:03, 00:00:5e:00:01:04 and 5 others of lan";
    assert!(lines(&bed)[0].contains(named), "{:?}", lines(&bed));
}

#[test]
fn adverts_that_are_lost_name_the_protocol_unless_their_sender_cannot_send_them() {
    let mut bed = Bed::with(|bed| both(bed, &lost("r2", "IPv6 adverts", LossKind::Adverts)));
    let wanted = "r2: heartbeats of r2 arrive on lan at r1, and its IPv6 adverts do not: protocol 112 is filtered. \
                  Let IP protocol 112 pass between the nodes there, as UDP port 3780 does. (SP-0210)";
    assert_eq!(lines(&bed), [wanted]);
    bed.peer().groups[0].routers.refused.push(RouterFault {
        why: "10.1.0.2".to_owned(),
        ..muted("lan")
    });
    let wanted = "r2: office: virtual_router.lan.51.IPv4: the kernel of r2 refuses its adverts to 10.1.0.2. Look for a \
                  rule of an output chain on r2 that drops protocol 112: `spared check` there. (SP-0206)";
    assert_eq!(lines(&bed), [wanted]);
}

#[test]
fn a_virtual_mac_that_stations_do_not_answer_is_named_unless_it_is_dropped_both_ways() {
    let mac = "00:00:5e:00:01:0a";
    let mut bed = Bed::with(|bed| both(bed, &lost("r1", mac, LossKind::Unanswered)));
    let wanted = "r1: stations on lan answer r1's own MAC, but not its virtual MAC 00:00:5e:00:01:0a: the network drops \
                  frames to the virtual MAC (a hypervisor's or switch's filter). Allow the virtual MAC there, or set vmac = false on both nodes, then run `sparectl reload`. (SP-0212)";
    assert_eq!(lines(&bed), [wanted]);
    both(&mut bed, &lost("r1", mac, LossKind::Mac));
    assert_eq!(said(&bed).1, ["SP-0209 r1"]);
}

#[test]
fn a_group_without_a_network_that_is_proven_is_a_warning() {
    let bed = Bed::with(|bed| bed.own.groups[0].networks.unproven = "lan, wan".to_owned());
    let wanted = "r1: office: nothing proves that r1 is reached on lan, wan: r2 hears it on no network of the group. Let \
                  heartbeats (UDP port 3780) or adverts pass between the nodes on one of them. (SP-0213)";
    assert_eq!(lines(&bed), [wanted]);
    assert!(said(&bed).0.starts_with("WARN"));
}

#[test]
fn a_backup_whose_virtual_mac_was_dropped_is_named_with_what_to_do_and_once() {
    let mut bed = Bed::with(|bed| both(bed, &lost("r2", "00:00:5e:00:01:0a", LossKind::MacBefore)));
    let wanted = "r2: the network dropped the virtual MAC 00:00:5e:00:01:0a of lan when r2 was active last: after a \
                  failover nobody would reach it there. Allow the virtual MAC at the port of r2; then `sparectl switch --to r2` \
                  shows whether it passes, or `sparectl vrrp retry` on both nodes forgets it. (SP-0211)";
    assert_eq!(lines(&bed), [wanted]);
    assert!(said(&bed).0.starts_with("WARN"));
    // another group of that network is active there, and its virtual MAC address is dropped now
    both(&mut bed, &lost("r2", "00:00:5e:00:01:0b", LossKind::Mac));
    assert_eq!(said(&bed).1, ["SP-0209 r2"]);
}

#[test]
fn a_silent_node_whose_adverts_are_heard_is_active_too() {
    let bed = Bed::with(|bed| {
        bed.unlink(PeerLife::Silent);
        bed.pair().answers_ping = Some(false);
        let alone = &mut bed.own.groups[0].networks.adverts_alone;
        alone.insert("lan".to_owned(), "r2 (priority 250)".to_owned());
    });
    let (headline, ids) = said(&bed);
    assert_eq!(
        headline,
        "CONFLICT  office: active on BOTH: r1 and r2 (priority 250), whose adverts are heard on lan, but none of its heartbeats."
    );
    assert_eq!(ids, ["SP-0101 r2", "SP-0105 r1"]);
    let lines = lines(&bed);
    let silent = "its adverts are heard, so its heartbeats are lost on every path. ";
    assert!(
        lines[0].contains(silent) && !lines[0].contains(" off"),
        "{lines:?}"
    );
    assert!(lines[1].contains("Let UDP port 3780 pass"), "{lines:?}");
}

#[test]
fn an_address_that_both_nodes_have_is_one_finding_and_the_reason_for_lost_adverts() {
    let what = "address 192.0.2.2";
    let bed = Bed::with(|bed| {
        both(bed, &lost("r1", "adverts", LossKind::Adverts));
        let theirs = &mut bed.peer().groups[0].networks.lost;
        theirs.push(lost("r1", what, LossKind::Shared));
    });
    let wanted = "r2: r1 has the same address 192.0.2.2 on lan: stations reach either of both, and adverts of r1 are \
                  taken for r2's own. Give each node its own there: `ip address show dev lan` on both. (SP-0893)";
    assert_eq!(lines(&bed), [wanted]);
}
