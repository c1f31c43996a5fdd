//! Programs without rights on a router, beside charon and its peer on the loopback interface.

use std::fs;
use std::time::Duration;

use spared_tests::Result;
use spared_tests::clock::poll;
use spared_tests::ipsec::road::{LIMIT, Road, Setup};
use spared_tests::lab::scenario;
use spared_tests::machine::{Machine, STEP};

/// Sends to the plugin's port from the given address and port, and writes down what comes back.
const PROGRAM: &str = "\
import os, socket, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
stranger.bind((sys.argv[1], int(sys.argv[2])))
for _ in range(3):
    try:
        stranger.sendto(b'garbage', ('127.0.0.2', 4510))
    except OSError as error:
        print('refused:', error, flush=True)
print('sent', flush=True)
while True:
    print('got', stranger.recv(9000).hex(), flush=True)
";

/// Starts a program of another user that has an address and port, and waits until it has sent.
fn stranger(machine: &Machine, address: &str, port: u16) -> Result<impl Fn() -> String> {
    let script = machine.dir.join("stranger.py");
    fs::write(&script, PROGRAM)?;
    machine.forget_files()?;
    let name = format!("stranger-{address}-{port}");
    machine.spawn(
        &name,
        &format!("python3 {} {address} {port}", script.display()),
    )?;
    let log = machine.log_of(&name);
    let said = move || fs::read_to_string(&log).unwrap_or_default();
    assert!(poll(LIMIT, STEP, || said().contains("sent")), "{}", said());
    Ok(said)
}

#[test]
#[ignore = "a minute: make soak-ipsec"]
fn a_program_of_another_user_gives_and_gets_no_sessions() {
    scenario(0, |lab| {
        let (road, first) = Road::start(lab, Setup::clients(&["first"], "", ""))?;
        let second = 1 - first;
        let standby = road.tunnelled.nodes()[second];
        let machine = &road.tunnelled.routers[second];
        drop(stranger(machine, "127.0.0.1", 5555)?);
        drop(stranger(machine, "127.0.0.3", 4510)?);
        let said = stranger(machine, "127.0.0.1", 4510)?;
        std::thread::sleep(Duration::from_secs(1));
        println!("of charon's port: {}", standby.done("ipsec")?);
        let accepted = standby.ipsec_number("all.sessions_malformed");

        road.tunnelled.switch_to(second)?;
        let is_told = || {
            let status = standby.sparectl("status").map(|it| it.1);
            status.is_ok_and(|it| it.contains("65534"))
        };
        let told = poll(Duration::from_secs(15), STEP, is_told);
        println!(
            "{}\n{}",
            standby.sparectl("status")?.1,
            standby.done("ipsec")?
        );
        assert!(!said().contains("got"), "{}", said());
        assert_eq!(accepted, 0, "messages of another user are read");
        assert!(told, "status does not say whose the port is");
        Ok(())
    });
}
