//! Every kind of session over a switchover and a death.

use std::process::Command;

use spared_tests::Result;
use spared_tests::clock::{Stamp, poll};
use spared_tests::ipsec::road::{FarDaemon, LIMIT, PSK, Road, Setup, client, conf, road};
use spared_tests::ipsec::{Family, Release, Tunnelled, is_in_clear};
use spared_tests::lab::{Lab, scenario};
use spared_tests::machine::{Machine, STEP};
use spared_tests::random::number;

use super::faults::move_at_random;
use super::{CALM, SITE_SPACING};

const ESP: &str = "esp_proposals = aes128gcm16-esn";
const PASSWORD: &str = "secrets of a client";
/// How a client with a certificate, one with a password and one with EAP-TLS prove who they are.
const CERTIFICATE: &str = "auth = pubkey\n certs = client.pem";
const MSCHAP: &str = "auth = eap-mschapv2\n eap_id = password";
const TLS: &str = "auth = eap-tls\n certs = client.pem";

/// Goes over a switchover and a death; in between and afterwards all is rekeyed.
fn go_over(road: &Road, first: usize) -> Result<()> {
    let second = 1 - first;
    let assigned = road.addresses()?;
    let recorder = road.tunnelled.record_unprotected()?;
    let mut before = road.sessions()?;
    assert_eq!(before.len(), road.setup.sessions.len(), "{before:?}");
    for router in [second, first] {
        if router == second {
            road.tunnelled.switch_to(router)?;
        } else {
            road.wait_followed(second)?;
            road.tunnelled.routers[second].kill();
            road.tunnelled.nodes()[router].wait_role("active", LIMIT)?;
        }
        road.wait_taken_over(router)?;
        assert_eq!(road.sessions()?, before, "{}", road.far_log());
        road.rekey()?;
        before = road.sessions()?;
    }
    road.assert_none_noticed();
    assert_eq!(road.addresses()?, assigned);
    assert_eq!(recorder.take(is_in_clear).len(), 0);
    Ok(())
}

fn openssl(words: &str, dir: &std::path::Path) -> Result<()> {
    let done = Command::new("sh")
        .arg("-c")
        .arg(words)
        .current_dir(dir)
        .output()?;
    if done.status.success() {
        return Ok(());
    }
    Err(format!("{words}: {}", String::from_utf8_lossy(&done.stderr)).into())
}

/// Certificates of the router and of the clients, as swanctl expects them in its folder.
fn certify(tunnelled: &Tunnelled) -> Result<()> {
    let dir = &tunnelled.lab.dir;
    openssl(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -subj /CN=ca \
         -days 3650 2>&1",
        dir,
    )?;
    let ends = [
        ("router", "DNS:router.lab"),
        ("client", "DNS:certificate,DNS:tls"),
    ];
    for (name, names) in ends {
        openssl(
            &format!(
                "openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {name}.key -subj /CN={name} \
                 -out {name}.csr && printf 'subjectAltName={names}' >{name}.ext && openssl x509 -req -in {name}.csr \
                 -CA ca.pem -CAkey ca.key -CAcreateserial -days 3650 -extfile {name}.ext -out {name}.pem"
            ),
            dir,
        )?;
    }
    let [r1, r2] = &tunnelled.routers;
    let owners: [(&Machine, &str); 3] =
        [(r1, "router"), (r2, "router"), (&tunnelled.far, "client")];
    for (machine, name) in owners {
        let to = machine.dir.display();
        openssl(
            &format!(
                "mkdir -p {to}/x509 {to}/x509ca {to}/private && cp ca.pem {to}/x509ca && cp {name}.pem {to}/x509 && \
                 cp {name}.key {to}/private"
            ),
            dir,
        )?;
    }
    Ok(())
}

/// Router's connection for clients that prove by `remote` who they are.
fn certified(name: &str, remote: &str) -> String {
    let (own, network) = (Family::V4.gateway(), Family::V4.lan_network());
    format!(
        "{name} {{\n version = 2\n mobike = no\n local_addrs = {own}\n remote_addrs = %any\n pools = pool\n\
         local {{\n auth = pubkey\n certs = router.pem\n id = router.lab\n }}\n\
         remote {{\n {remote}\n id = {name}\n }}\n\
         children {{\n {name} {{\n local_ts = {network}\n {ESP}\n }}\n }}\n}}\n"
    )
}

fn own_child(name: &str, esp: &str) -> String {
    format!(
        "{name} {{\n remote_ts = {}\n {esp}\n }}\n",
        Family::V4.lan_network()
    )
}

/// Clients of all kinds; the names of their children are those of the connections. `lines` are for all connections of
/// the far side, `child` for their children.
fn all_kinds(lines: &str, child: &str) -> Setup {
    let vip = format!("vips = 0.0.0.0\n{lines}");
    let esp = format!("{ESP}\n {child}");
    let own_child = |name: &str| own_child(name, &esp);
    let children = |names: &[&str]| names.iter().map(|it| (*it).to_owned()).collect();
    let (six, far_six) = (Family::V6.gateway(), Family::V6.far());
    let (lan_six, inner_six) = (Family::V6.lan_network(), Family::V6.inner_network());
    let several = format!(
        "lower {{\n remote_ts = 10.1.0.0/25\n {esp}\n }}\n upper {{\n remote_ts = 10.1.0.128/25\n {esp}\n }}\n"
    );
    let transport = |name: &str, esp: &str| {
        format!(
            "{name} {{\n mode = transport\n local_ts = dynamic[icmp]\n remote_ts = dynamic[icmp]\n {esp}\n }}\n"
        )
    };
    let router = [
        road(),
        certified("certificate", "auth = pubkey"),
        certified("password", "auth = eap-mschapv2"),
        certified("tls", "auth = eap-tls"),
        format!(
            "six {{\n version = 2\n mobike = no\n local_addrs = {six}\n remote_addrs = {far_six}\n\
             local {{\n auth = psk\n id = router-six\n }}\n remote {{\n auth = psk\n id = six\n }}\n\
             children {{\n six {{\n local_ts = {lan_six}\n remote_ts = {inner_six}\n {ESP}\n }}\n }}\n}}\n"
        ),
        format!(
            "hosts {{\n version = 2\n mobike = no\n local_addrs = {}\n remote_addrs = %any\n\
             local {{\n auth = psk\n id = router-hosts\n }}\n remote {{\n auth = psk\n id = hosts\n }}\n\
             children {{\n{}}}\n}}\n",
            Family::V4.gateway(),
            transport("hosts", ESP)
        ),
    ];
    let far = [
        client(
            "nat",
            &format!("{vip}\n encap = yes"),
            PSK,
            &own_child("nat"),
        ),
        client("several", &vip, PSK, &several),
        client("certificate", &vip, CERTIFICATE, &own_child("certificate")),
        client("password", &vip, MSCHAP, &own_child("password")),
        client("tls", &vip, TLS, &own_child("tls")),
        format!(
            "six {{\n version = 2\n mobike = no\n local_addrs = {far_six}\n remote_addrs = {six}\n dpd_delay = 2s\n {lines}\n\
             local {{\n auth = psk\n id = six\n }}\n remote {{\n auth = psk\n id = router-six\n }}\n\
             children {{\n six {{\n local_ts = {inner_six}\n remote_ts = {lan_six}\n {esp}\n }}\n }}\n}}\n"
        ),
        client("hosts", lines, PSK, &transport("hosts", &esp))
            .replace("id = router\n", "id = router-hosts\n"),
    ];
    let secret = format!("eap-lab {{\n id = password\n secret = \"{PASSWORD}\"\n }}\n");
    let single = ["nat", "certificate", "password", "tls", "six", "hosts"];
    let mut sessions: Vec<_> = single.map(|it| (it.to_owned(), children(&[it]))).into();
    sessions.push(("several".to_owned(), children(&["lower", "upper"])));
    Setup {
        plugins: "pem pkcs1 pkcs8 x509 pubkey eap-mschapv2 eap-tls".to_owned(),
        router: conf(&router.concat(), &secret),
        far: conf(&far.concat(), &secret),
        sessions,
        // a transport child has no policy for forwarding
        policies: 7 * 3 + 2,
        ..Setup::clients(&[], "", "")
    }
}

#[test]
#[ignore = "a minute: make soak-ipsec"]
fn sessions_of_every_kind_follow() {
    scenario(0, |lab| every_kind_follows(lab, all_kinds("", "")));
}

#[test]
#[ignore = "a minute: make soak-ipsec"]
fn sessions_of_every_kind_of_far_ends_with_strongswan_6_follow() {
    scenario(0, |lab| {
        let mut setup = all_kinds("", "");
        setup.far_daemon = FarDaemon::Charon(Release::Six);
        every_kind_follows(lab, setup)
    });
}

#[test]
#[ignore = "a minute: make soak-ipsec"]
fn sessions_of_every_kind_follow_between_routers_with_strongswan_6() {
    scenario(0, |lab| {
        let mut setup = all_kinds("", "");
        setup.release = Release::Six;
        every_kind_follows(lab, setup)
    });
}

fn every_kind_follows(lab: &Lab, setup: Setup) -> Result<()> {
    let (mut road, first) = Road::start_prepared(lab, setup, certify)?;
    road.wait_following(first)?;
    road.call()?;
    road.wait_followed(first)?;
    go_over(&road, first)
}

#[test]
#[ignore = "ten minutes: make soak-ipsec"]
fn sessions_of_every_kind_follow_whatever_happens_for_ten_minutes() {
    scenario(0, |lab| {
        let lines = "dpd_delay = 10s\n rekey_time = 90s\n rand_time = 10s\n over_time = 300s\n reauth_time = 0";
        let setup = all_kinds(
            lines,
            "rekey_time = 45s\n rand_time = 5s\n life_time = 300s",
        );
        let (mut road, first) = Road::start_prepared(lab, setup, certify)?;
        road.wait_following(first)?;
        road.call()?;
        road.wait_followed(first)?;
        move_at_random(
            &mut road,
            first,
            number("SPARED_SECONDS", 600),
            10_000..40_000,
        )
    });
}

#[test]
#[ignore = "a minute: make soak-ipsec"]
fn a_tunnel_between_sites_that_the_routers_initiate_follows() {
    scenario(0, |lab| {
        let lines = "start_action = trap\n dpd_action = restart\n close_action = start";
        let (road, first) = Road::start_routers(lab, Setup::clients(&[], "", "").with_site(lines))?;
        // connections may not be loaded yet
        let begins = || road.router_initiates(first, "site").is_ok();
        assert!(poll(LIMIT, STEP, begins), "{}", road.far_log());
        road.wait_followed(first)?;
        go_over(&road, first)
    });
}

#[test]
#[ignore = "a minute: make soak-ipsec"]
fn a_charon_that_starts_begins_no_second_session() {
    for starts in ["trap", "start", "trap|start"] {
        scenario(0, |lab| {
            let lines = format!("start_action = {starts}");
            let setup = Setup::clients(&[], "", "").with_site(&lines);
            let (mut road, first) = Road::start_routers(lab, setup)?;
            if starts == "trap" {
                road.call()?;
            }
            road.wait_followed(first)?;
            let recorder = road.tunnelled.record_unprotected()?;
            let before = road.sessions()?;
            let pings = road.tunnelled.pings(Family::V4, SITE_SPACING)?;
            let begun = Stamp::now();
            for router in [1 - first, first, 1 - first] {
                road.tunnelled.switch_to(router)?;
            }
            let active = 1 - first;
            road.wait_taken_over(active)?;
            assert_eq!(road.sessions()?, before, "{starts}: {}", road.far_log());
            assert_eq!(road.far().children()?, 1, "{starts}: {}", road.far_log());
            let outage = pings.outage_of(begun, CALM, LIMIT).ok_or("no answers")?;
            println!("{starts}: three switchovers: {outage:?}");
            road.wait_followed(active)?;
            let killed = Stamp::now();
            road.tunnelled.routers[active].kill();
            road.tunnelled.nodes()[first].wait_role("active", LIMIT)?;
            road.wait_taken_over(first)?;
            assert_eq!(road.sessions()?, before, "{starts}: {}", road.far_log());
            assert_eq!(road.far().children()?, 1, "{starts}: {}", road.far_log());
            let outage = pings.outage_of(killed, CALM, LIMIT).ok_or("no answers")?;
            println!("{starts}: a death: {outage:?}");
            road.rekey()?;
            road.assert_none_noticed();
            assert_eq!(recorder.take(is_in_clear).len(), 0);
            Ok(())
        });
    }
}
