// SPDX-License-Identifier: MIT OR Apache-2.0
//! Example trees of programs that run: after a push each answers by the new files. The machines have no systemd: a
//! script of its name does what Debian's units say.

use std::path::Path;
use std::time::Duration;

use spared_tests::Result;
use spared_tests::clock::poll;
use spared_tests::lab::{note_skip, scenario, skipped};
use spared_tests::machine::STEP;

use crate::in_machines::files_machines::Pair;

/// FRR's program for a reload, in Python, takes 40 s on a busy machine.
const LIMIT: Duration = Duration::from_secs(90);

/// A program of which the tree of the example has this name.
struct Program {
    tree: &'static str,
    /// Without it there is nothing to be tried.
    needs: &'static str,
    file: &'static str,
    /// Its content; NEW is what the program answers.
    content: &'static str,
    /// Unit, and a script that starts the program and writes its process id to standard output.
    unit: &'static str,
    start: &'static str,
    /// A line that has the program answer.
    ask: &'static str,
}

const PROGRAMS: [Program; 5] = [
    Program {
        tree: "kea",
        needs: "/usr/sbin/kea-dhcp4",
        file: "/etc/kea/kea-dhcp4.conf",
        content: r#"{"Dhcp4": {"interfaces-config": {"interfaces": ["k0"]},
            "lease-database": {"type": "memfile", "persist": false},
            "subnet4": [{"subnet": "10.77.0.0/24", "id": 1, "pools": [{"pool": "10.77.0.9 - 10.77.0.99"}],
                "option-data": [{"name": "domain-name", "data": "NEW.test"}]}]}}
"#,
        unit: "kea-dhcp4-server",
        start: "mkdir -p /run/kea; kea-dhcp4 -c /etc/kea/kea-dhcp4.conf >/run/kea.log 2>&1 & echo $!",
        ask: "busybox udhcpc -i k1 -n -q -f -t 3 -T 1 -s /run/asked 2>&1",
    },
    Program {
        tree: "dnsmasq",
        needs: "/usr/sbin/dnsmasq",
        file: "/etc/dnsmasq.conf",
        content: "listen-address=127.0.0.1\nbind-interfaces\nno-resolv\nno-hosts\nuser=root\n\
            txt-record=is.test,NEW\n",
        unit: "dnsmasq",
        start: "dnsmasq -k --conf-file=/etc/dnsmasq.conf >/run/dnsmasq.log 2>&1 & echo $!",
        ask: "busybox nslookup -timeout=1 -type=txt is.test 127.0.0.1 2>&1",
    },
    Program {
        tree: "frr",
        needs: "/usr/lib/frr/frr-reload.py",
        file: "/etc/frr/frr.conf",
        content: "ip route 10.9.0.0/24 blackhole tag NEW\n",
        unit: "frr",
        start: "/usr/lib/frr/frrinit.sh start >/run/frr.log 2>&1; cat /run/frr/watchfrr.pid",
        ask: "vtysh -c 'show ip route 10.9.0.0/24' 2>&1; vtysh -c 'show running-config' 2>&1",
    },
    Program {
        tree: "unbound",
        needs: "/usr/sbin/unbound",
        file: "/etc/unbound/unbound.conf",
        content: "server:\n  chroot: \"\"\n  username: \"\"\n  directory: \"/etc/unbound\"\n  use-syslog: no\n  \
            interface: 127.0.0.2\n  do-ip6: no\n  local-zone: \"is.test.\" static\n  \
            local-data: 'is.test. TXT \"NEW\"'\n",
        unit: "unbound",
        start: "unbound -d -p -c /etc/unbound/unbound.conf >/run/unbound.log 2>&1 & echo $!",
        ask: "busybox nslookup -timeout=1 -type=txt is.test 127.0.0.2 2>&1",
    },
    Program {
        tree: "nginx",
        needs: "/usr/sbin/nginx",
        file: "/etc/nginx/nginx.conf",
        content: "user root;\npid /run/nginx.pid;\nerror_log stderr;\nevents {}\nhttp { access_log off;\n\
            client_body_temp_path /run/n1; proxy_temp_path /run/n2; fastcgi_temp_path /run/n3;\n\
            uwsgi_temp_path /run/n4; scgi_temp_path /run/n5;\n\
            server { listen 127.0.0.1:80; location / { return 200 \"NEW\"; } } }\n",
        unit: "nginx",
        start: "nginx -g 'daemon on; master_process on;' >/run/nginx.log 2>&1; cat /run/nginx.pid",
        ask: "busybox wget -qO- http://127.0.0.1/ 2>&1",
    },
];

/// Folders that can be written, a link for clients of DHCP, and what stands for systemd.
const PREPARE: &str = r#"
mkdir -p /run/etc && cp -a /etc/. /run/etc && mount --bind /run/etc /etc
for it in /var/log /var/lib/kea; do [ ! -d $it ] || mount -t tmpfs none $it; done
mkdir -p /var/log/frr /var/log/nginx /run/main /run/start /etc/ssl/web /etc/dnsmasq.d
chown frr /var/log/frr 2>/dev/null || :
ip link set lo up
ip link add k0 type veth peer name k1
ip address add 10.77.0.1/24 dev k0
ip link set k0 up; ip link set k1 up
printf '#!/bin/sh\necho "$1 $domain"\n' >/run/asked
cat >/run/systemctl <<'END'
#!/bin/sh
# systemctl VERB [OPTION] UNIT
verb=$1
for unit; do :; done
MAINPID=$(cat /run/main/$unit)
export MAINPID
case $verb in
reload)
	line=$(sed -n 's/^ExecReload=[-+]*//p' /lib/systemd/system/$unit.service)
	[ -n "$line" ] || { echo "Job type reload is not applicable for unit $unit.service." >&2; exit 3; }
	eval "$line"
	;;
restart)
	kill $MAINPID
	# one that has ended has no program any more, also if nobody has waited for it
	while [ -e /proc/$MAINPID/exe ]; do sleep 0.1; done
	/run/start/$unit
	;;
kill) kill -HUP $MAINPID ;;
*) exit 1 ;;
esac
END
chmod 755 /run/systemctl /run/asked
mount --bind /run/systemctl $(readlink -f /usr/bin/systemctl)"#;

impl Program {
    fn answers(&self, pair: &Pair, what: &str) -> bool {
        let said = pair.machines[1].run(self.ask);
        said.is_ok_and(|(_, said)| said.contains(what))
    }

    /// Starts it on r2, and requires that it answers by another content after a push from r1.
    fn reload(&self, pair: &Pair) -> Result<()> {
        let there = &pair.machines[1];
        let wait = |what: &str| -> Result<()> {
            if poll(LIMIT, STEP, || self.answers(pair, what)) {
                Ok(())
            } else {
                let said = there.run(self.ask)?.1;
                let log = there.run(&format!("tail -n 20 /run/{}*.log", self.tree))?.1;
                Err(format!("{}: no {what} in {said}\n{log}", self.tree).into())
            }
        };
        let [old, new] = ["70001", "70002"].map(|it| self.content.replace("NEW", it));
        let line = format!("cat >{} <<'END'\n{old}END\n", self.file);
        there.ok(&line)?;
        let start = format!(
            "cat >/run/start/{0} <<'END'\n#!/bin/sh\n({1}) >/run/main/{0}\nEND\n\
             chmod 755 /run/start/{0}; setsid /run/start/{0} </dev/null >/dev/null 2>&1",
            self.unit, self.start
        );
        there.ok(&start)?;
        wait("70001")?;
        pair.write(self.file, &new)?;
        pair.push(self.tree)?;
        wait("70002")?;
        Ok(())
    }
}

#[test]
fn running_programs_answer_by_the_new_files_after_a_push() {
    scenario(0, |lab| {
        let is_here = |it: &&Program| Path::new(it.needs).exists();
        let programs: Vec<&Program> = PROGRAMS.iter().filter(is_here).collect();
        for it in PROGRAMS.iter().filter(|it| !is_here(it)) {
            note_skip(&format!("there is no {}", it.needs));
        }
        if programs.is_empty() {
            return Err(skipped("none of the programs is here"));
        }
        let names: Vec<&str> = programs.iter().map(|it| it.tree).collect();
        let pair = Pair::start_with(lab, &names, PREPARE)?;
        programs.iter().try_for_each(|it| it.reload(&pair))
    });
}
