// SPDX-License-Identifier: MIT OR Apache-2.0
//! Example trees that follow by themselves, with programs that read them: revocation lists at an interval, users of a
//! portal as they change.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use spared_tests::Result;
use spared_tests::clock::poll;
use spared_tests::lab::{Daemon, scenario, skipped};
use spared_tests::linked::Linked;
use spared_tests::router::Spared;

use crate::files::{own, plan};

const PROGRAMS: [&str; 3] = ["/usr/bin/openssl", "/usr/sbin/nginx", "/usr/bin/curl"];
/// The shortest interval that files.toml takes; the example has an hour.
const INTERVAL: Duration = Duration::from_secs(60);
const LIMIT: Duration = Duration::from_secs(30);
const STEP: Duration = Duration::from_millis(200);

/// A certification authority in a folder of its own, and a certificate.
const AUTHORITY: &str = "
cat >ca.cnf <<'END'
[ca]
default_ca = d
[d]
database = index.txt
new_certs_dir = .
certificate = ca.pem
private_key = ca.key
serial = serial
crlnumber = crlnumber
default_md = sha256
default_days = 30
default_crl_days = 30
policy = p
[p]
commonName = supplied
END
: >index.txt; echo 01 >serial; echo 01 >crlnumber
openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=ca -keyout ca.key -out ca.pem
openssl req -newkey rsa:2048 -nodes -subj /CN=user -keyout user.key -out user.csr
openssl ca -batch -config ca.cnf -in user.csr -out user.pem
openssl ca -config ca.cnf -gencrl -out crl.pem";
const REVOKE: &str = "
openssl ca -config ca.cnf -revoke user.pem
openssl ca -config ca.cnf -gencrl -out crl.pem";

/// Trees `ca` and `portal` of the example, at the nodes' own place.
fn toml() -> Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples/files-programs.toml");
    let text = fs::read_to_string(path)?;
    let meant = |it: &&str| it.contains("name = \"ca\"") || it.contains("name = \"portal\"");
    let trees = text.split("[[tree]]").filter(meant);
    let trees: String = trees.map(|it| format!("[[tree]]{it}")).collect();
    assert!(trees.contains("sync = \"1h\"") && trees.contains("sync = \"change\""));
    Ok(trees.replace("/etc/", "/mnt/").replace("\"1h\"", "\"1m\""))
}

fn shell(folder: &Path, script: &str) -> Result<()> {
    let output = Command::new("sh")
        .args(["-ec", script])
        .current_dir(folder)
        .output()?;
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned().into())
    }
}

#[test]
fn revocation_lists_follow_at_an_interval_and_users_of_a_portal_as_they_change() {
    scenario(2, |lab| {
        if let Some(program) = PROGRAMS.iter().find(|it| !Path::new(it).exists()) {
            return Err(skipped(format!("there is no {program}")));
        }
        for site in 0..2 {
            fs::create_dir_all(own(lab, site).join("ssl"))?;
            fs::create_dir_all(own(lab, site).join("portal"))?;
        }
        let authority = lab.dir.join("authority");
        fs::create_dir_all(&authority)?;
        shell(&authority, AUTHORITY)?;
        let folder = |site| own(lab, site).join("ssl/ca");
        let publish = |site| -> Result<()> {
            fs::create_dir_all(folder(site))?;
            for name in ["ca.pem", "crl.pem"] {
                fs::copy(authority.join(name), folder(site).join(name))?;
            }
            Ok(())
        };
        (0..2).try_for_each(publish)?;
        // equal trees have followed, and the interval begins
        let begun = Instant::now();
        let toml = toml()?;
        let pair = Linked::begin(lab, ["r1", "r2"].map(|node| plan(lab, node, &toml)))?;
        pair.wait_settled()?;
        let (here, there) = (pair.at()?, 1 - pair.at()?);
        let row = || Spared(&pair.routers[here]).row(&["files"], "tree.ca.sync");
        let sync = || -> Result<String> { Ok(row()?.as_str().unwrap_or_default().to_owned()) };
        let is_begun =
            || sync().is_ok_and(|it| it.starts_with("every 1m") && it.contains("next in"));
        assert!(poll(LIMIT, STEP, is_begun), "{:?}", sync());
        let is_valid_there = || -> Result<bool> {
            let mut verify = Command::new("openssl");
            let (ca, list) = (folder(there).join("ca.pem"), folder(there).join("crl.pem"));
            verify
                .args(["verify", "-crl_check", "-CAfile"])
                .arg(ca)
                .arg("-CRLfile")
                .arg(list);
            Ok(verify
                .arg(authority.join("user.pem"))
                .output()?
                .status
                .success())
        };
        assert!(is_valid_there()?);
        shell(&authority, REVOKE)?;
        publish(here)?;

        // meanwhile a portal reads its users on the other node
        let users = own(lab, here).join("portal/users");
        let nginx = lab.dir.join("nginx.conf");
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let temporary = temporary.map(|it| format!("{it}_temp_path {}/{it};", lab.dir.display()));
        fs::write(
            &nginx,
            format!(
                "user root;\ndaemon off;\npid {0}/nginx.pid;\nerror_log stderr;\nevents {{}}\nhttp {{ access_log off; {1}\n\
                 server {{ listen 127.0.0.1:80; auth_basic portal; auth_basic_user_file {2};\n\
                 location / {{ return 204; }} location /in {{ try_files /none =404; }} }} }}\n",
                lab.dir.display(),
                temporary.join(" "),
                own(lab, there).join("portal/users/list").display()
            ),
        )?;
        fs::create_dir_all(&users)?;
        fs::write(users.join("list"), "ann:{PLAIN}one\n")?;
        let ns = &pair.site(there).ns;
        let mut command = ns.command("nginx");
        command.arg("-c").arg(&nginx);
        let _portal = Daemon::start("nginx", command, &lab.dir.join("nginx.log"))?;
        let code = |user: &str| {
            let ask = format!("curl -so /dev/null -w %{{http_code}} -u {user} http://127.0.0.1/in");
            ns.shell(&ask).unwrap_or_default()
        };
        // 404: let in
        assert!(
            poll(LIMIT, STEP, || code("ann:one") == "404"),
            "{}",
            code("ann:one")
        );
        assert_eq!(code("bob:two"), "401");
        fs::write(users.join("list"), "bob:{PLAIN}two\n")?;
        assert!(
            poll(LIMIT, STEP, || code("bob:two") == "404"),
            "{}",
            code("bob:two")
        );
        assert_eq!(code("ann:one"), "401");

        // the list of before is there until the interval is over
        let valid_until = || -> Result<Duration> {
            loop {
                let since = begun.elapsed();
                if since > INTERVAL + LIMIT {
                    return Err(format!("{:?}", pair.said(here, &["files"])).into());
                }
                if !is_valid_there()? {
                    return Ok(since);
                }
                sleep(STEP);
            }
        };
        let span = valid_until()?;
        assert!(span > INTERVAL, "{span:?}");
        Ok(())
    });
}
