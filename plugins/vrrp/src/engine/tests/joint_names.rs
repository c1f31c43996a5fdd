//! Interfaces that have other names on the other node: what a node says of a network is about the same network there.

use super::lab::{Lab, SECOND};
use super::linked::{LINKS, assert_settled, moved_once};

/// Pair whose networks have these interfaces on r1 and r2.
fn pair(lan: [&str; 2], wan: [&str; 2]) -> Lab {
    let router = |[one, two]: [&str; 2], vrid: u8| {
        format!(
            "[[group.interface]]\ninterface = {{ r1 = \"{one}\", r2 = \"{two}\" }}\nvrid = {vrid}\n\
             addresses = [\"10.9.{vrid}.1/24\"]\n"
        )
    };
    let text = format!(
        "[[group]]\nname = \"g\"\n{}{}",
        router(lan, 7),
        router(wan, 8)
    );
    let mut lab = Lab::without_start(&text, &LINKS);
    for (wire, names) in [("lan", lan), ("wan", wan)] {
        let names = names.map(ToOwned::to_owned);
        lab.interfaces.insert(wire.to_owned(), names);
    }
    lab.start(0);
    lab.start(1);
    lab.run(20 * SECOND);
    lab.forget();
    assert_eq!(lab.active(), [0]);
    lab
}

fn unheard(lab: &Lab, names: [&str; 2]) -> [Option<String>; 2] {
    let of = |node: usize| lab.text(node, &format!("g.interface.{}.unheard", names[node]));
    [of(0), of(1)]
}

#[test]
fn a_node_reads_the_peers_report_on_the_same_network_whatever_it_is_called_there() {
    for [lan, wan] in [
        [["eth0", "eth0"], ["eth1", "eth1"]],
        [["eth0", "eth2"], ["eth1", "eth3"]],
        [["eth0", "eth1"], ["eth1", "eth2"]],
        [["eth0", "eth1"], ["eth1", "eth0"]],
    ] {
        let mut lab = pair(lan, wan);
        assert_settled(&mut lab);
        lab.forget();
        lab.cut_one_way("wan", 0, 1);
        lab.run(60 * SECOND);
        moved_once(&lab, 1);
        let of_wan = ["one way, unknown", "unknown"].map(|it| Some(it.to_owned()));
        assert_eq!(unheard(&lab, wan), of_wan, "{lan:?} {wan:?}");
        assert_eq!(unheard(&lab, lan), [None, None], "{lan:?} {wan:?}");
    }
}
