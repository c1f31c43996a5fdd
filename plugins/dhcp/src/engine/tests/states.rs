//! Tests a server of the file that is missing, failing or late, on the active node and on the backup: no node reports
//! OK, and both name the server.

use spared_verdict::sample::{Report, assert_fine, assert_told};

use super::*;

fn reports(lab: &Lab) -> [Report; 2] {
    [0, 1].map(|node| {
        let engine = &lab.nodes[node].engine;
        let mut report = Report {
            lack: engine.readiness().err(),
            ..Report::default()
        };
        for trouble in engine.troubles() {
            let state = trouble.is_known.then_some(0);
            report.check(&trouble.thing, state, &trouble.why);
        }
        report
    })
}

#[test]
fn no_broken_state_of_a_server_is_ok() {
    assert_fine("dhcp", &reports(&Lab::settled()));
    for node in [0, 1] {
        let mut lab = Lab::settled();
        let fault = Event::Fault(Some("no such file".to_owned()));
        lab.nodes[node].servers[0].events.push_back(fault);
        lab.run(3 * S);
        assert_told("dhcp", &reports(&lab), "kea4", "without its file");

        let mut lab = Lab::settled();
        let setup = Event::Setup {
            fault: Some("no such file".to_owned()),
            pools: None,
        };
        lab.nodes[node].servers[0].events.push_back(setup);
        lab.run(3 * S);
        assert_told("dhcp", &reports(&lab), "kea4", "without a configuration");

        let mut lab = Lab::settled();
        // a server that does not run is named as in the service plugin
        let thing = match node {
            0 => {
                lab.stop(0, 0);
                "kea-dhcp4-server"
            }
            _ => {
                lab.start(1, 0);
                "kea4"
            }
        };
        lab.run(3 * S);
        assert_told("dhcp", &reports(&lab), thing, "not as its role wants it");
    }
}

#[test]
fn what_is_not_known_yet_is_no_ok() {
    let lab = Lab::new(settings());
    assert_told("dhcp", &reports(&lab), "kea4", "late");
}
