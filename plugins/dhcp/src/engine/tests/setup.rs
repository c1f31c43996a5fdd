//! Tests that faults are reported before a client notices: a server that hangs, that may not start, or that has other
//! pools or no file.

use super::*;

fn tell(lab: &mut Lab, node: usize, event: Event) {
    lab.nodes[node].servers[0].events.push_back(event);
    lab.run(S);
}

fn pools(lab: &mut Lab, node: usize, pools: &[&str]) {
    let pools = pools.iter().map(|pool| (*pool).to_owned()).collect();
    let (fault, pools) = (None, Some(pools));
    tell(lab, node, Event::Setup { fault, pools });
}

fn troubles(lab: &Lab, node: usize) -> Vec<String> {
    let troubles = lab.nodes[node].engine.troubles().into_iter();
    troubles
        .map(|it| format!("{} {}", it.thing, it.why))
        .collect()
}

fn lack(lab: &Lab, node: usize) -> Option<String> {
    lab.nodes[node].engine.readiness().err()
}

#[test]
fn a_server_that_hangs_is_a_trouble_until_it_works() {
    let mut lab = Lab::settled();
    let why = "its process 7 is stopped: kill -CONT 7, or restart it";
    tell(&mut lab, 0, Event::Hangs(Some(why.to_owned())));
    assert_eq!(
        troubles(&lab, 0),
        [format!("kea4 does not answer clients: {why}")]
    );
    assert_eq!(lab.text(0, "kea4.runs"), "yes, but does not answer clients");
    tell(&mut lab, 0, Event::Hangs(None));
    assert_eq!(troubles(&lab, 0), [""; 0]);
}

#[test]
fn a_backup_whose_server_would_not_serve_is_not_ready() {
    let mut lab = Lab::settled();
    let why = "another program, of user 0, holds UDP port 67";
    tell(&mut lab, 1, Event::Port(Some(why.to_owned())));
    let told = format!("kea4 would not answer clients: {why}");
    assert_eq!(lack(&lab, 1), Some(told));
    tell(&mut lab, 1, Event::Port(None));
    assert_eq!(lack(&lab, 1), None);
    tell(&mut lab, 0, Event::Port(Some(why.to_owned())));
    assert_eq!(
        troubles(&lab, 0),
        [format!("kea4 does not answer clients: {why}")]
    );
    assert_eq!(lab.text(0, "kea4.runs"), "yes, but does not answer clients");
}

#[test]
fn that_nobody_can_see_whether_a_server_works_is_told_on_the_active_node() {
    let mut lab = Lab::settled();
    let why = "/proc hides it";
    tell(&mut lab, 0, Event::Hidden(Some(why.to_owned())));
    assert_eq!(troubles(&lab, 0), [format!("kea4 {why}")]);
    tell(&mut lab, 0, Event::Hidden(None));
    assert_eq!(troubles(&lab, 0), [""; 0]);
}

#[test]
fn a_backup_whose_server_may_not_start_is_not_ready() {
    let mut lab = Lab::settled();
    let fault = Some("cannot read /etc/kea/kea-dhcp4.conf: No such file".to_owned());
    let pools = None;
    tell(&mut lab, 1, Event::Setup { fault, pools });
    let why = "kea4 might fail to start with its configuration: cannot read /etc/kea/kea-dhcp4.conf: No such file";
    assert_eq!(lack(&lab, 1).as_deref(), Some(why));
    let fault = None;
    let pools = None;
    tell(&mut lab, 1, Event::Setup { fault, pools });
    assert_eq!(lack(&lab, 1), None);
}

#[test]
fn a_backup_with_other_pools_is_not_ready_until_they_are_the_same() {
    let mut lab = Lab::settled();
    pools(&mut lab, 0, &["a", "b", "c"]);
    assert_eq!(lack(&lab, 1), None, "its own are not known");
    pools(&mut lab, 1, &["b", "d"]);
    let why = "kea4 has pools that differ from the active node's, only here d, only there a and 1 more: \
               make its configurations equal";
    assert_eq!(lack(&lab, 1).as_deref(), Some(why));
    assert_eq!((lack(&lab, 0), troubles(&lab, 0)), (None, Vec::new()));
    lab.cut();
    lab.link();
    lab.run(3 * S);
    assert_eq!(
        lack(&lab, 1).as_deref(),
        Some(why),
        "the peer tells them again"
    );
    pools(&mut lab, 1, &["a", "b", "c"]);
    assert_eq!(lack(&lab, 1), None);
}

#[test]
fn pools_beyond_those_that_a_message_names_count_as_well() {
    let mut lab = Lab::settled();
    let many: Vec<String> = (0..2_000).map(|number| format!("pool {number}")).collect();
    let mut names: Vec<&str> = many.iter().map(String::as_str).collect();
    pools(&mut lab, 0, &names);
    pools(&mut lab, 1, &names);
    assert_eq!(lack(&lab, 1), None);
    names[1_999] = "another";
    pools(&mut lab, 0, &names);
    assert!(lack(&lab, 1).is_some_and(|why| why.contains("has pools that differ")));
}

#[test]
fn a_server_that_writes_to_a_lost_file_is_a_trouble_until_it_has_left_that() {
    let mut lab = Lab::settled();
    tell(&mut lab, 0, Event::UnnamedFile(true));
    let why = "kea4 writes to a file that was moved away or removed, and would start without its leases: \
               stop kea-dhcp4-server and start it a second later (of a unit: run `systemctl stop kea-dhcp4-server; sleep 1; systemctl start kea-dhcp4-server`)";
    assert_eq!(troubles(&lab, 0), [why]);
    tell(&mut lab, 0, Event::UnnamedFile(false));
    assert_eq!(troubles(&lab, 0), [""; 0]);
}
