// SPDX-License-Identifier: MIT OR Apache-2.0
//! Pages of spared's nodes, on the loopback of this machine; and a broken pair to look at there.

use std::net::{Ipv4Addr, SocketAddr};
use std::thread;
use std::time::Duration;

use spared_tests::lab::{Forward, Lab, Wire};
use spared_tests::{Result, say};

use crate::faults::Fault;
use crate::pairs::Camp;
use crate::scene::Scene;

/// Port of the plugin `web`, and of the first page here.
const PORT: u16 = 3781;

/// Opens the pages of both nodes, at the ports 3781 and 3782 if they are free.
pub fn open(lab: &Lab) -> Result<[Forward; 2]> {
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT));
    let [r1, r2] = lab.sites.as_slice() else {
        return Err("a pair has two nodes".into());
    };
    Ok([
        Forward::start(&r1.ns, at, PORT)?,
        Forward::start(&r2.ns, at, PORT + 1)?,
    ])
}

/// Runs a pair through two faults, breaks it in a third way, and waits until the program is told to end.
pub fn hold() -> Result<Vec<String>> {
    let lab = Lab::new(2)?;
    let (mut scene, sights) = Scene::start(&lab, Camp::Spared)?;
    let pages = open(&lab)?;
    let [r1, r2] = pages.each_ref().map(|it| it.address);
    say!("pages: http://{r1} (r1) and http://{r2} (r2), until Ctrl-C");
    for fault in [Fault::Dead, Fault::Switch] {
        let at = scene.settle(&sights)?;
        scene.suffer(fault, at, &sights, &|what| say!("{what}"))?;
    }
    let at = scene.settle(&sights)?;
    let backup = &lab.sites[1 - at];
    lab.unplug(backup, Wire::Wan)?;
    say!(
        "{}: the cable of its wan is pulled, and stays so: look at the pages",
        backup.name
    );
    loop {
        thread::sleep(Duration::from_secs(3600));
    }
}
