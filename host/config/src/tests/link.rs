//! Tests of `[[link]]`, keys and passphrases.

use spared_key::{PrivateKey, public_text};
use spared_message::link::Keys;

use super::*;

const PASSPHRASE: &str = "correct-Horse7battery";

fn key(number: u8) -> PrivateKey {
    PrivateKey::from_seed([number; 32])
}

fn public(number: u8) -> String {
    public_text(&key(number).public())
}

/// Text of [nodes] in which this node, "r1", has key 1.
fn nodes() -> String {
    let (here, there) = (public(1), public(2));
    format!("[nodes]\nr1.public_key = \"{here}\"\nr2.public_key = \"{there}\"\n")
}

fn link(interface: &str, here: &str, there: &str) -> String {
    format!(
        "[[link]]\ninterface = \"{interface}\"\naddress = {{ r1 = \"{here}\", r2 = \"{there}\" }}\n"
    )
}

fn hot() -> String {
    link("hot", "192.168.180.2/24", "192.168.180.3/24")
}

/// Creates a folder with this node's private key, a passphrase and `spared.toml`.
fn folder(text: &str) -> Folder {
    let text = format!("node.name = \"r1\"\n{text}");
    let private = key(1).to_text();
    let files = [
        ("spared.toml", &*text),
        ("key", &*private),
        ("secret", PASSPHRASE),
    ];
    let folder = Folder::with(&files);
    for secret in ["key", "secret"] {
        let mode = fs::Permissions::from_mode(0o600);
        fs::set_permissions(folder.0.join(secret), mode).unwrap();
    }
    folder
}

/// Faults of the text, without the name of the folder.
fn faults(text: &str) -> Vec<String> {
    faults_in(&folder(text))
}

fn faults_in(folder: &Folder) -> Vec<String> {
    let place = format!("{}/", folder.0.display());
    let faults = match folder.setup() {
        Ok(setup) => setup.faults(),
        Err(faults) => faults,
    };
    let shorten = |fault: String| fault.replace(&place, "");
    said(&faults).into_iter().map(shorten).collect()
}

fn linked(text: &str) -> Link {
    let setup = folder(text).setup();
    let host = setup.map_err(|faults| said(&faults)).unwrap().host;
    host.link.unwrap()
}

#[test]
fn a_link_is_read_as_this_node_sees_it() {
    let link = linked(&(nodes() + &hot()));
    assert_eq!(link.peer, "r2");
    assert_eq!(link.port, 3780);
    let [path] = &link.paths[..] else {
        panic!("{link:?}")
    };
    assert_eq!(path.interface, "hot");
    assert_eq!(path.own.to_string(), "192.168.180.2");
    assert_eq!(path.peer.to_string(), "192.168.180.3");
    assert_eq!(path.prefix, 24);
    let Keys::Pinned { seed, peer } = link.keys.reveal() else {
        panic!("a passphrase");
    };
    assert_eq!((seed, peer), ([1; 32], vec![key(2).public()]));
    assert!(!format!("{link:?}").contains("1, 1, 1"), "{link:?}");
}

#[test]
fn without_a_link_nothing_is_needed() {
    let folder = Folder::with(&[(
        "spared.toml",
        "node.name = \"r1\"\n[nodes]\nr1 = {}\nr2 = {}",
    )]);
    assert_eq!(folder.setup().unwrap().host.link, None);
}

#[test]
fn keys_of_both_nodes_or_a_passphrase_are_read_without_a_link() {
    let secret = "secret_file = \"secret\"\n[nodes]\nr1 = {}\nr2 = {}\n";
    for text in [&nodes(), secret] {
        let host = folder(text).setup().unwrap().host;
        let link = host.link.as_ref().unwrap();
        assert_eq!((link.peer.as_str(), link.paths.len()), ("r2", 0));
        assert_eq!(host.linked(), None);
        let around = host.surroundings();
        assert_eq!(around.peer.as_deref(), Some("r2"));
        assert!(around.links.is_empty());
    }
    let host = folder(&(nodes() + &hot())).setup().unwrap().host;
    assert_eq!(host.linked(), host.link.as_ref());
    assert_eq!(host.surroundings().peer.as_deref(), Some("r2"));
}

#[test]
fn with_keys_of_one_node_or_of_other_than_two_there_is_none_and_no_fault() {
    for text in [
        format!("[nodes]\nr1.public_key = \"{}\"\nr2 = {{}}\n", public(1)),
        format!("[nodes]\nr1.public_key = \"{}\"\n", public(1)),
        format!("{}r3.public_key = \"{}\"\n", nodes(), public(3)),
        "secret_file = \"nowhere\"\n".to_owned(),
        "secret_file = \"nowhere\"\n[nodes]\nr1 = {}\n".to_owned(),
    ] {
        let host = folder(&text).setup().unwrap().host;
        assert_eq!(host.link, None, "{text}");
        assert_eq!(host.surroundings().peer, None);
    }
}

#[test]
fn keys_without_a_link_are_checked_as_with_one() {
    let folder = folder(&nodes());
    fs::remove_file(folder.0.join("key")).unwrap();
    assert_eq!(
        faults_in(&folder),
        ["spared.toml:2: nodes: the private key key: no such file: `sparectl keygen` creates it"]
    );
    // a plugin learns that there is a peer with keys
    let host = folder.setup().unwrap().host;
    assert_eq!((host.link.is_none(), host.has_link), (true, false));
    assert_eq!(host.surroundings().peer.as_deref(), Some("r2"));
    let swapped = nodes()
        .replace("r1", "r0")
        .replace("r2", "r1")
        .replace("r0", "r2");
    let fault = format!(
        "spared.toml:4: nodes.r1.public_key: found {}, but this node's key is {} (key): write that on both nodes",
        public(2),
        public(1)
    );
    assert_eq!(faults(&swapped), [fault]);
    let gone = "secret_file = \"gone\"\n[nodes]\nr1 = {}\nr2 = {}\n";
    assert_eq!(
        faults(gone),
        ["spared.toml:2: secret_file: found \"gone\": no such file"]
    );
}

#[test]
fn networks_may_be_small_or_of_another_family() {
    for (here, there) in [
        ("10.0.0.1/30", "10.0.0.2/30"),
        ("10.0.0.0/31", "10.0.0.1/31"),
        ("fd00::1/64", "fd00::2/64"),
        ("fd00::/127", "fd00::1/127"),
        ("fe80::1/64", "fe80::2/64"),
        ("169.254.1.1/16", "169.254.1.2/16"),
    ] {
        let text = nodes() + &link("hot", here, there);
        assert_eq!(faults(&text), [""; 0], "{here} {there}");
    }
}

#[test]
fn addresses_that_cannot_speak_with_each_other_are_refused() {
    for (here, there, fault) in [
        (
            "10.0.0.1/24",
            "10.0.0.1/24",
            "address: found 10.0.0.1/24 for both nodes, allowed one for each",
        ),
        (
            "10.0.0.1/24",
            "10.0.1.2/24",
            "address: found 10.0.0.1/24 and 10.0.1.2/24, allowed two addresses of one network",
        ),
        (
            "10.0.0.1/24",
            "10.0.0.2/25",
            "address: found 10.0.0.1/24 and 10.0.0.2/25, allowed two addresses of one network",
        ),
        (
            "10.0.0.1/24",
            "fd00::1/24",
            "address: found 10.0.0.1/24 and fd00::1/24, allowed two addresses of one network",
        ),
        (
            "10.0.0.0/24",
            "10.0.0.2/24",
            "address: found 10.0.0.0/24, which is the address of the network",
        ),
        (
            "10.0.0.1/24",
            "10.0.0.255/24",
            "address: found 10.0.0.255/24, which is the broadcast address",
        ),
        (
            "10.0.0.1",
            "10.0.0.2/24",
            "address.r1: found \"10.0.0.1\", allowed an address with its prefix, like \"192.0.2.1/24\"",
        ),
        (
            "10.0.0.1/24",
            "x",
            "address.r2: found \"x\", allowed an address with its prefix, like \"192.0.2.1/24\"",
        ),
    ] {
        let text = nodes() + &link("hot", here, there);
        assert_eq!(
            faults(&text),
            [format!("spared.toml:7: link \"hot\": {fault}")]
        );
    }
}

#[test]
fn every_fault_of_a_link_comes_at_once() {
    let text = format!(
        "port = 0\n{}[firewall]\nchain = \"filter\"\n[[link]]\naddress = {{ r1 = \"10.0.0.1/30\" }}\n\
         [[link]]\ninterface = \"a name too long\"\naddress = \"10.0.0.1/30\"\nmtu = 9000\n",
        nodes()
    );
    assert_eq!(
        faults(&text),
        [
            "spared.toml:2: port: found 0, allowed 1-65535",
            "spared.toml:7: firewall.chain: found \"filter\", allowed family, table and name of a chain, like \"inet filter input\"",
            "spared.toml:8: link 1: interface: missing",
            "spared.toml:9: link 1: address: has no value for node \"r2\"",
            "spared.toml:11: link \"a name too long\": interface: allowed the name of an interface, 1-15 bytes",
            "spared.toml:12: link \"a name too long\": address: found 10.0.0.1/30 for both nodes, allowed one for each",
            "spared.toml:13: link \"a name too long\": mtu: unknown key, allowed: address, interface",
        ]
    );
}

#[test]
fn a_second_link_takes_another_way() {
    let other = link("hot2", "192.168.181.2/24", "192.168.181.3/24");
    assert_eq!(linked(&(nodes() + &hot() + &other)).paths.len(), 2);
    let local = |interface| link(interface, "fe80::1/64", "fe80::2/64");
    let text = nodes() + &local("hot") + &local("hot2");
    assert_eq!(faults(&text), [""; 0]);

    let same = nodes() + &hot() + &link("hot", "10.0.0.1/30", "10.0.0.2/30");
    assert_eq!(
        faults(&same),
        [
            "spared.toml:9: link \"hot\": interface: found that of the first [[link]], allowed another"
        ]
    );
    let overlap = nodes() + &hot() + &link("hot2", "192.168.1.1/16", "192.168.1.2/16");
    assert_eq!(
        faults(&overlap),
        [
            "spared.toml:10: link \"hot2\": address: found 192.168.1.1/16, allowed another network than that of the first [[link]]"
        ]
    );
    let third = link("hot3", "192.168.182.2/24", "192.168.182.3/24");
    assert_eq!(
        faults(&(nodes() + &hot() + &other + &third)),
        ["spared.toml:5: link: found 3 [[link]], allowed one or two"]
    );
}

#[test]
fn a_link_needs_two_nodes() {
    for (nodes, fault) in [
        (
            String::new(),
            "spared.toml:2: link: found no [nodes], [[link]] needs exactly two nodes",
        ),
        (
            format!("[nodes]\nr1.public_key = \"{}\"\n", public(1)),
            "spared.toml:2: nodes: found 1 names, [[link]] needs exactly two nodes",
        ),
    ] {
        let text =
            format!("{nodes}[[link]]\ninterface = \"hot\"\naddress = {{ r1 = \"10.0.0.1/30\" }}\n");
        assert!(
            faults(&text).contains(&fault.to_owned()),
            "{:?}",
            faults(&text)
        );
    }
}

#[test]
fn the_private_key_must_be_this_nodes() {
    let swapped = format!(
        "[nodes]\nr1.public_key = \"{}\"\nr2.public_key = \"{}\"\n{}",
        public(2),
        public(1),
        hot()
    );
    assert_eq!(
        faults(&swapped),
        [format!(
            "spared.toml:3: nodes.r1.public_key: found {}, but this node's key is {} (key): write that on both nodes",
            public(2),
            public(1)
        )]
    );
}

#[test]
fn keys_may_be_exchanged_one_after_the_other() {
    let text = format!(
        "[nodes]\nr1.public_key = [\"{}\", \"{}\"]\nr2.public_key = [\"{}\", \"{}\"]\n{}",
        public(7),
        public(1),
        public(2),
        public(3),
        hot()
    );
    let Keys::Pinned { peer, .. } = linked(&text).keys.reveal() else {
        panic!("a passphrase");
    };
    assert_eq!(peer, [key(2).public(), key(3).public()]);
    let three = text.replace("]\nr2", &format!(", \"{}\"]\nr2", public(9)));
    assert_eq!(
        faults(&three),
        ["spared.toml:3: nodes.r1.public_key: found 3 keys, allowed one or two"]
    );
}

#[test]
fn what_is_no_public_key_is_refused() {
    let allowed = "allowed a public key like \"sk1:...\", printed by `sparectl keygen`";
    let text = nodes().replace(&public(2), "sk1:abc") + &hot();
    let fault = format!("spared.toml:4: nodes.r2.public_key: found \"sk1:abc\", {allowed}");
    assert_eq!(faults(&text), [fault]);
    let missing = format!(
        "[nodes]\nr1.public_key = \"{}\"\nr2 = {{}}\n{}",
        public(1),
        hot()
    );
    assert_eq!(
        faults(&missing),
        [
            "spared.toml:4: nodes.r2.public_key: missing: `sparectl keygen` on that node prints it (or set secret_file)"
        ]
    );
    let twice = nodes().replace(&public(2), &public(1)) + &hot();
    assert_eq!(
        faults(&twice),
        ["spared.toml:2: nodes: found one key for both nodes, allowed one for each"]
    );
}

#[test]
fn a_private_key_that_others_may_read_or_that_is_none_is_refused() {
    let folder = folder(&(nodes() + &hot()));
    let path = folder.0.join("key");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(
        faults_in(&folder),
        ["spared.toml:5: link: the private key key: is readable by others: chmod 600 key"]
    );
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&path, public(1)).unwrap();
    assert_eq!(
        faults_in(&folder),
        [
            "spared.toml:5: link: the private key key: this is a public key, but the private key is needed"
        ]
    );
    fs::remove_file(&path).unwrap();
    assert_eq!(
        faults_in(&folder),
        ["spared.toml:5: link: the private key key: no such file: `sparectl keygen` creates it"]
    );
}

#[test]
fn a_passphrase_takes_the_place_of_keys() {
    let text = format!(
        "secret_file = \"secret\"\n[nodes]\nr1 = {{}}\nr2 = {{}}\n{}",
        hot()
    );
    let Keys::Secret(secret) = linked(&text).keys.reveal() else {
        panic!("keys");
    };
    assert_eq!(secret, PASSPHRASE);
    assert!(!linked(&text).keys.is_weak);
    let both = format!("secret_file = \"secret\"\n{}{}", nodes(), hot());
    assert_eq!(
        faults(&both),
        ["spared.toml:2: secret_file: allowed instead of public keys in [nodes], not with them"]
    );
}

#[test]
fn a_passphrase_is_rated() {
    let text = format!(
        "secret_file = \"secret\"\n[nodes]\nr1 = {{}}\nr2 = {{}}\n{}",
        hot()
    );
    let folder = folder(&text);
    let path = folder.0.join("secret");
    fs::write(&path, "short").unwrap();
    assert_eq!(
        faults_in(&folder),
        [
            "spared.toml:2: secret_file: found \"secret\": the passphrase has 5 characters; it needs at least 12"
        ]
    );
    fs::write(&path, "abcdeabcdeab").unwrap();
    assert!(folder.setup().unwrap().host.link.unwrap().keys.is_weak);
    fs::remove_file(&path).unwrap();
    assert_eq!(
        faults_in(&folder),
        ["spared.toml:2: secret_file: found \"secret\": no such file"]
    );
}
