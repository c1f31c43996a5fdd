// SPDX-License-Identifier: MIT OR Apache-2.0
//! Example trees with what they apply, in whole machines: WireGuard's peers in the kernel of the other node, and its
//! charon's connections, secrets and certificates.

use std::fs;
use std::path::Path;
use std::time::Duration;

use spared_tests::Result;
use spared_tests::clock::poll;
use spared_tests::lab::{Lab, Wire, scenario, skipped};
use spared_tests::machine::{Machine, Node, Parts, STEP, wait_settled};

use crate::files::{expect, plan};

const LIMIT: Duration = Duration::from_secs(30);
const PROGRAMS: [&str; 3] = [
    "/usr/bin/wg-quick",
    "/usr/sbin/charon-systemd",
    "/usr/bin/openssl",
];

/// Two nodes with the example's trees for programs whose state is in the kernel, or in a daemon.
pub struct Pair {
    pub machines: [Machine; 2],
}

/// The trees of the example by these names.
fn trees(names: &[&str]) -> Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples/files-programs.toml");
    let text = fs::read_to_string(path)?;
    let wanted = |tree: &&str| {
        names
            .iter()
            .any(|name| tree.contains(&format!("\nname = \"{name}\"\n")))
    };
    let trees: Vec<&str> = text.split("[[tree]]").filter(wanted).collect();
    assert_eq!(trees.len(), names.len());
    Ok(trees.iter().map(|tree| format!("[[tree]]{tree}")).collect())
}

impl Pair {
    fn start(lab: &Lab) -> Result<Self> {
        if let Some(program) = PROGRAMS.iter().find(|it| !Path::new(it).exists()) {
            return Err(skipped(format!("there is no {program}")));
        }
        Self::start_with(
            lab,
            &["strongswan", "wireguard"],
            "for it in wireguard swanctl; do mount -t tmpfs none /etc/$it; done
            ip link add wg0 type wireguard",
        )
    }

    /// With these trees of the example, after this script in each machine, whose folders are the host's, read-only.
    pub fn start_with(lab: &Lab, names: &[&str], prepare: &str) -> Result<Self> {
        let cards = [Wire::Lan, Wire::Wan, Wire::Hot];
        let parts = [("r1", 11), ("r2", 12)].map(|(name, host)| Parts::new(name, host, &cards));
        let pair = Self {
            machines: Machine::boot(lab, parts)?,
        };
        let toml = trees(names)?;
        for machine in &pair.machines {
            machine.ok(prepare)?;
            // which udev makes
            machine.ok("[ -e /dev/stdin ] || ln -s /proc/self/fd/0 /dev/stdin")?;
            let mut plan = plan(lab, &machine.name, &toml);
            plan.own_folder = None;
            // a worker cannot write into the host's file system, which knows no accounts of the machine
            let state = lab.dir.join(format!("{}-spared/state", machine.name));
            fs::create_dir_all(&state)?;
            let mount = format!("mount -t tmpfs -o mode=711 none {}", state.display());
            Node(machine).start_after(&plan, &mount)?;
        }
        wait_settled(pair.nodes(), LIMIT)?;
        Ok(pair)
    }

    pub fn nodes(&self) -> [Node<'_>; 2] {
        [Node(&self.machines[0]), Node(&self.machines[1])]
    }

    /// Writes a file on r1.
    pub fn write(&self, path: &str, text: &str) -> Result<()> {
        let line = format!("mkdir -p $(dirname {path}); cat >{path} <<'END'\n{text}END\n");
        self.machines[0].ok(&line).map(drop)
    }

    /// Puts r1's tree in place on r2, as soon as r1 has read it.
    pub fn push(&self, tree: &str) -> Result<()> {
        let mut said = (0, String::new());
        let done = poll(LIMIT, STEP, || {
            said = self.said(tree).unwrap_or_else(|why| (-1, why.to_string()));
            said.0 == 0
        });
        if done {
            Ok(())
        } else {
            Err(format!("{tree}: {}", said.1).into())
        }
    }

    pub fn said(&self, tree: &str) -> Result<(i32, String)> {
        self.nodes()[0].sparectl(&format!("files push {tree} --anyway"))
    }

    /// Output of a command on r2.
    pub fn there(&self, line: &str) -> Result<String> {
        self.machines[1].ok(line)
    }
}

fn wireguard(private: &str, peers: &[&str]) -> String {
    let peers = peers.iter().enumerate().map(|(at, key)| {
        format!(
            "\n[Peer]\nPublicKey = {key}\nAllowedIPs = 10.9.0.{}/32\n",
            at + 2
        )
    });
    let interface = format!("[Interface]\nPrivateKey = {private}\nListenPort = 51820\n");
    interface + &peers.collect::<String>()
}

#[test]
fn peers_of_wireguard_are_in_the_other_kernel_and_stay_there_if_a_file_is_wrong() {
    scenario(0, |lab| {
        let pair = Pair::start(lab)?;
        let [own, first, second] = [(); 3].map(|()| pair.machines[0].ok("wg genkey 2>/dev/null"));
        let own = own?.trim().to_owned();
        let public = |private: &str| -> Result<String> {
            let key = pair.machines[0].ok(&format!("echo '{}' | wg pubkey", private.trim()))?;
            Ok(key.trim().to_owned())
        };
        let (first, second) = (public(&first?)?, public(&second?)?);
        let file = "/etc/wireguard/wg0.conf";
        let peers = || -> Result<String> { pair.there("wg show wg0 peers") };

        pair.write(file, &wireguard(&own, &[&first]))?;
        pair.machines[0].ok(&format!("chmod 600 {file}"))?;
        pair.push("wireguard")?;
        assert_eq!(peers()?, format!("{first}\n"));
        assert_eq!(pair.there("wg show wg0 listen-port")?, "51820\n");
        assert_eq!(pair.there(&format!("stat -c %a {file}"))?, "600\n");

        pair.write(file, &wireguard(&own, &[&first, &second]))?;
        pair.push("wireguard")?;
        expect(&peers()?, &second)?;
        expect(&peers()?, &first)?;

        let no_key = "[Interface]\nPrivateKey = planted-secret\n";
        for wrong in ["[Peer\n", "[Interface]\nNoSuchKey = 1\n", no_key] {
            pair.write(file, wrong)?;
            let (code, said) = pair.said("wireguard")?;
            assert_ne!(code, 0, "{said}");
            expect(&pair.there(&format!("cat {file}"))?, &second)?;
            expect(&peers()?, &second)?;
            expect(&peers()?, &first)?;
        }
        // only who asks on the node that ran it is told what wg printed
        let (_, said) = pair.nodes()[1].sparectl("files pull wireguard --anyway")?;
        expect(&said, "planted-secret")?;
        let mut published = pair.nodes().map(|node| node.log()).concat();
        for node in pair.nodes() {
            for words in ["files", "events", "status"] {
                published.push_str(&node.sparectl(words)?.1);
            }
        }
        assert!(!published.contains(&own));
        assert!(!published.contains("planted-secret"), "{published}");
        Ok(())
    });
}

/// A connection that proves itself by a certificate, and a secret of another.
fn swanctl(proposals: &str) -> String {
    format!(
        "connections {{ branch {{
            remote_addrs = 192.0.2.1
            proposals = {proposals}
            local {{ auth = pubkey\n certs = own.pem }}
            remote {{ auth = pubkey }}
            children {{ net {{ remote_ts = 10.7.0.0/24 }} }}
        }} }}
        secrets {{ ike-a {{ id = 192.0.2.1\n secret = not-in-a-log }} }}\n"
    )
}

#[test]
fn connections_of_charon_are_loaded_there_with_their_certificates_and_stay_if_one_is_wrong() {
    scenario(0, |lab| {
        let pair = Pair::start(lab)?;
        pair.machines[1].spawn("charon", "/usr/sbin/charon-systemd")?;
        let is_up = || pair.there("swanctl --stats").is_ok();
        assert!(poll(LIMIT, STEP, is_up), "charon does not answer");

        let file = "/etc/swanctl/swanctl.conf";
        pair.machines[0].ok(
            "cd /etc/swanctl && mkdir -p private x509 x509ca && umask 077 && \
             openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=branch \
             -keyout private/own.pem -out x509/own.pem 2>&1 && cp x509/own.pem x509ca/",
        )?;
        pair.write(file, &swanctl("aes256-sha256-modp2048"))?;
        pair.push("strongswan")?;
        expect(&pair.there("swanctl --list-conns")?, "branch: IKEv1/2")?;
        let certificates = pair.there("swanctl --list-certs")?;
        expect(&certificates, "CN=branch")?;
        expect(&certificates, "has private key")?;
        assert_eq!(
            pair.there("stat -c %a /etc/swanctl/private/own.pem")?,
            "600\n"
        );

        // read by the check, and refused by charon alone
        pair.write(file, &swanctl("no-such-cipher"))?;
        let (code, said) = pair.said("strongswan")?;
        assert_ne!(code, 0, "{said}");
        let (_, said) = pair.nodes()[1].sparectl("files pull strongswan --anyway")?;
        expect(&said, "branch")?;
        expect(&pair.there(&format!("cat {file}"))?, "modp2048")?;
        expect(&pair.there("swanctl --list-conns")?, "branch: IKEv1/2")?;

        // ended while it is not read: the check says it, and the connections stay
        pair.write(file, "connections {\n")?;
        let (code, said) = pair.said("strongswan")?;
        assert_ne!(code, 0, "{said}");
        expect(&said, "the check refused it")?;
        expect(&pair.there("swanctl --list-conns")?, "branch: IKEv1/2")?;

        let logs = pair.nodes().map(|node| node.log()).concat();
        assert!(!logs.contains("not-in-a-log"));
        Ok(())
    });
}
