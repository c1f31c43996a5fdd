// SPDX-License-Identifier: MIT OR Apache-2.0
//! Output of `sparectl files diff`, and who gets it.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::process::Command;

use spared_tests::Result;
use spared_tests::lab::{build_dir, note_skip, scenario};
use spared_tests::router::Spared;

use crate::files::{Firewalls, expect, lacks, own, rule};

const DIFF: [&str; 3] = ["files", "diff", "firewall"];

/// A program that everybody may run, also where the build's folder is closed.
struct Program(PathBuf);

impl Program {
    fn copy() -> Result<Self> {
        let program = Self(std::env::temp_dir().join(format!("diff{}", std::process::id())));
        fs::copy(build_dir()?.join("sparectl"), &program.0)?;
        Ok(program)
    }

    /// Runs it on r1, which sees its own files, as this account; exit code, and what it said.
    fn run(&self, it: &Firewalls<'_>, account: &[&str], words: &[&str]) -> Result<(i32, String)> {
        let router = &it.pair.routers[0];
        let pid = it.pair.process(0, "run").ok_or("spared does not run")?;
        let mut command = Command::new("nsenter");
        command.arg(format!("--mount=/proc/{pid}/ns/mnt"));
        command.args(account).arg(&self.0);
        command
            .arg("--runtime-dir")
            .arg(Spared(router).runtime_dir());
        let output = command.args(words).output()?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        Ok((output.status.code().unwrap_or(-1), said))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn contents_are_shown_to_root_and_paths_to_a_member_of_the_group() {
    scenario(2, |lab| {
        let it = Firewalls::start(lab)?;
        it.push_first()?;
        it.write(
            1,
            "fw.d/10-web.nft",
            &format!("# PLANTED-OPEN\n{}", rule(82)),
        )?;
        it.write(1, "fw.d/20-key.nft", "# PLANTED-SECRET\n")?;
        let key = own(lab, 1).join("fw.d/20-key.nft");
        fs::set_permissions(key, fs::Permissions::from_mode(0o600))?;
        it.wait_state(0, "pending: 2 files")?;

        let program = Program::copy()?;
        let (code, said) = program.run(&it, &[], &DIFF)?;
        assert_eq!(code, 1, "it differs: {said}");
        for part in [
            "/mnt/fw.d/10-web.nft: changed",
            "/mnt/fw.d/20-key.nft: added",
            "+# PLANTED-OPEN\n",
            "-chain c81 {",
            "+chain c82 {",
            "20-key.nft: differs, and is a secret",
        ] {
            expect(&said, part)?;
        }
        lacks(&said, "PLANTED-SECRET")?;
        let (_, said) = program.run(&it, &[], &[DIFF.as_slice(), &["--secrets"]].concat())?;
        expect(&said, "+# PLANTED-SECRET\n")?;
        // nothing is left, and nothing is in place
        let stage = lab.dir.join("r1-spared/state/files/stage");
        assert!(!stage.exists());
        it.wait_state(0, "pending: 2 files")?;

        // of a reader that was killed it stays for a while
        let (code, said) = it.pair.said(0, &["files", "show", "firewall"])?;
        assert_eq!(code, 1, "it differs: {said}");
        let staged = fs::read_dir(&stage)?.flatten().collect::<Vec<_>>();
        assert_eq!(staged.len(), 2);
        let socket = fs::metadata(
            Spared(&it.pair.routers[0])
                .runtime_dir()
                .join("control.sock"),
        );
        let group = format!("--regid={}", socket?.gid());
        let member = ["setpriv", "--reuid=65534", &group, "--clear-groups"];
        let (code, said) = program.run(&it, &member, &DIFF)?;
        if said.contains("setresuid failed") {
            note_skip("only root of the machine can become somebody else");
            return Ok(());
        }
        assert_eq!(code, 1, "it differs: {said}");
        expect(&said, "/mnt/fw.d/10-web.nft: changed")?;
        expect(
            &said,
            "contents are shown only to users who may read the files",
        )?;
        // the next look has removed what was left
        assert!(!stage.exists());

        it.pair.said(0, &["files", "show", "firewall"])?;
        let mut published = said;
        for words in [
            &["files", "show", "firewall"][..],
            &["files", "show", "--end"],
        ] {
            let (code, said) = program.run(&it, &member, words)?;
            assert_eq!(code, 77, "{said}");
            published.push_str(&said);
        }
        for words in [
            &["-v", "files"][..],
            &["events"],
            &["status"],
            &["files", "log", "firewall"],
        ] {
            published.push_str(&program.run(&it, &member, words)?.1);
        }
        for file in fs::read_dir(&stage)?.flatten() {
            let mut cat = Command::new(member[0]);
            let read = cat
                .args(&member[1..])
                .arg("cat")
                .arg(file.path())
                .output()?;
            assert!(!read.status.success(), "{read:?}");
            published.push_str(&String::from_utf8_lossy(&read.stdout));
        }
        it.pair
            .routers
            .iter()
            .for_each(|it| published.push_str(&it.log()));
        lacks(&published, "PLANTED")
    });
}
