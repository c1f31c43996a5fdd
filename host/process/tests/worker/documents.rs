//! Documents of the daemon: asked for, in parts, and refused.

use spared_contract::{FromPlugin, ToPlugin};

use crate::lab::{Host, Lab, load};

/// Waits for a request. Returns its document and the bytes that the plugin has.
fn asked(host: &mut Host, ticket: u64) -> (u32, u64) {
    host.wait(|message| match message {
        FromPlugin::Document {
            ticket: of,
            what,
            from,
        } if *of == ticket => Some((*what, *from)),
        _ => None,
    })
}

fn send(host: &Host, ticket: u64, status: i32, text: &str, left: u64) {
    let text = text.to_owned();
    let part = ToPlugin::Document {
        ticket,
        status,
        text,
        left,
    };
    host.send(&part, &[]);
}

#[test]
fn a_document_comes_in_parts_each_asked_for_when_the_one_before_has_come() {
    let lab = Lab::new();
    let mut host = Host::started(&super::probe(&lab), &load("probe"), "");
    assert_eq!(host.query("document 7 1").status, 0);
    assert_eq!(asked(&mut host, 7), (1, 0));
    let part = "x".repeat(60_000);
    send(&host, 7, 0, &part, 60_001);
    assert_eq!(asked(&mut host, 7).1, 60_000);
    send(&host, 7, 0, &part, 1);
    assert_eq!(asked(&mut host, 7).1, 120_000);
    send(&host, 7, 0, "}", 0);
    host.log("document 7: status 0, 120001 bytes, the last }");
    // the next one begins empty
    assert_eq!(host.query("document 8 5").status, 0);
    assert_eq!(asked(&mut host, 8), (5, 0));
    send(&host, 8, 0, "{}", 0);
    host.log("document 8: status 0, 2 bytes, the last }");
}

#[test]
fn a_document_that_is_refused_or_too_long_is_none_and_the_next_one_comes() {
    let lab = Lab::new();
    let mut host = Host::started(&super::probe(&lab), &load("probe"), "");
    assert_eq!(host.query("document 1 1").status, 0);
    send(&host, 1, 0, "begun", 5);
    assert_eq!(asked(&mut host, 1), (1, 0));
    assert_eq!(asked(&mut host, 1).1, 5);
    send(&host, 1, -11, "", 0);
    host.log("document 1: status -11, 0 bytes, the last");
    send(&host, 2, 0, "endless", u64::MAX / 2);
    host.log("document 2: status -90, 0 bytes, the last");
    send(&host, 3, 0, "{}", 0);
    host.log("document 3: status 0, 2 bytes, the last }");
}
