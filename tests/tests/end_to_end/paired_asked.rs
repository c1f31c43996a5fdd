// SPDX-License-Identifier: MIT OR Apache-2.0
//! `sparectl init` asks a person at a terminal, accepts what it proposes, asks again after a wrong answer, and tells of
//! the NAT rule that would end connections.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use spared_tests::Result;
use spared_tests::clock::poll;
use spared_tests::lab::{build_dir, scenario};

use super::paired::{LIMIT, Node, STEP};

/// A command on a terminal, which script(1) makes.
struct Terminal {
    child: Child,
    screen: PathBuf,
    /// Length of the screen's text that was answered.
    read: usize,
}

impl Terminal {
    /// `sparectl VERB` of a node.
    fn start(node: &Node<'_>, verb: &[&str], screen: &Path) -> Result<Self> {
        let command = node.sparectl(verb)?;
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let words: Vec<String> = words
            .map(|it| format!("'{}'", it.to_string_lossy()))
            .collect();
        let _ = fs::remove_file(screen);
        let child = node
            .site
            .ns
            .command("script")
            .args(["--quiet", "--return", "--flush", "--command"])
            .arg(words.join(" "))
            .arg(screen)
            .envs(
                command
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            )
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()?;
        Ok(Self {
            child,
            screen: screen.to_owned(),
            read: 0,
        })
    }

    fn text(&self) -> String {
        let screen = fs::read(&self.screen).unwrap_or_default();
        String::from_utf8_lossy(&screen).replace('\r', "")
    }

    /// Waits for a question after the last one, and types an answer.
    fn answer(&mut self, question: &str, answer: &str) -> Result<()> {
        let mut end = None;
        poll(LIMIT, STEP, || {
            let text = self.text();
            let new = text.get(self.read..).unwrap_or_default();
            end = new.find(question).map(|at| self.read + at + question.len());
            end.is_some()
        });
        self.read = end.ok_or_else(|| format!("not asked: {question}: {}", self.text()))?;
        let stdin = self.child.stdin.as_mut().ok_or("a terminal's input")?;
        Ok(stdin.write_all(format!("{answer}\n").as_bytes())?)
    }

    /// Waits for the command's end. Returns true if it succeeded, and all that was shown.
    fn end(mut self) -> Result<(bool, String)> {
        let ended = poll(LIMIT, STEP, || {
            self.child.try_wait().is_ok_and(|it| it.is_some())
        });
        if !ended {
            let _ = self.child.kill();
        }
        let status = self.child.wait()?;
        Ok((ended && status.success(), self.text()))
    }
}

#[test]
fn a_person_is_asked_and_told_of_masquerade() {
    scenario(2, |lab| {
        let r1 = Node::new(lab, &lab.sites[0], "r1")?;
        for plugin in ["conntrack", "health"] {
            let file = format!("libspared_{plugin}.so");
            let file = build_dir()?.join(file);
            r1.files().install_plugin(plugin, &file)?;
        }
        r1.site.ns.nft(
            "table ip nat { chain post { type nat hook postrouting priority 100; \
             oifname \"lan\" masquerade; }; }",
        )?;
        let before = r1.read("spared.toml")?;
        let screen = lab.dir.join("screen");

        let ask = |virtual_address: &str, agreed: &str| -> Result<(bool, String)> {
            let mut terminal = Terminal::start(&r1, &["init"], &screen)?;
            terminal.answer("name of the other node [r2]: ", "")?;
            terminal.answer("interface of the link: one of hot, warm [hot]: ", "")?;
            terminal.answer(
                "virtual address of lan (this node has 10.1.0.11/24, fd01::11/64); empty for none: ",
                "10.1.0.1",
            )?;
            let again = "an address with its length, such as 192.168.200.1/24";
            terminal.answer(again, virtual_address)?;
            terminal.answer("virtual address of wan", "")?;
            terminal.answer("write this? [y/N] ", agreed)?;
            terminal.end()
        };
        let (succeeded, text) = ask("10.1.0.1/24", "n")?;
        assert!(!succeeded && text.contains("nothing was changed"), "{text}");
        assert_eq!(r1.read("spared.toml")?, before);
        assert!(r1.read("plugins/vrrp.toml").is_err());

        let (succeeded, text) = ask("10.1.0.1/24", "y")?;
        assert!(succeeded, "{text}");
        for part in [
            "lan: 10.1.0.11/24",
            "no connection that it translates survives a failover",
            "snat to 10.1.0.1",
            "Now run `sparectl pair` here and on r2",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(r1.read("plugins/vrrp.toml")?.contains("10.1.0.1/24"));
        Ok(())
    });
}
