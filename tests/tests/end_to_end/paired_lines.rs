// SPDX-License-Identifier: MIT OR Apache-2.0
//! Two machines become a pair by the lines of `sparectl keygen`, which a script carries: `sparectl pair --key-file`.

use std::fs;
use std::process::Stdio;

use spared_tests::Result;
use spared_tests::lab::scenario;

use crate::paired::{Node, said, wait_ok};

fn run(node: &Node<'_>, words: &[&str]) -> Result<(bool, String)> {
    let output = node.sparectl(words)?.stdin(Stdio::null()).output()?;
    Ok((output.status.success(), said(&output)))
}

/// Line of this machine's key.
fn line(node: &Node<'_>) -> Result<String> {
    let key = node.dir.join("etc/key").display().to_string();
    match run(node, &["keygen", "--file", &key])? {
        (true, line) => Ok(line),
        (false, why) => Err(why.into()),
    }
}

#[test]
fn lines_that_a_script_carries_make_a_pair_of_the_nodes_that_they_name() {
    scenario(2, |lab| {
        let r1 = Node::new(lab, &lab.sites[0], "r1")?;
        let r2 = Node::new(lab, &lab.sites[1], "r2")?;
        for node in [&r1, &r2] {
            node.configure()?;
        }
        let before = r1.read("spared.toml")?;
        let third = Node::in_folder(lab.dir.join("r3-paired"), r2.site, "r3")?;
        let lines = [line(&r1)?, line(&r2)?].concat();
        let [both, stranger] = ["both", "stranger"].map(|it| lab.dir.join(it));
        fs::write(&both, &lines)?;
        fs::write(&stranger, line(&third)?)?;
        let [both, stranger] = [both, stranger].map(|it| it.display().to_string());

        // nobody can be asked
        let (paired, text) = run(&r1, &["pair", "--key-file", &both])?;
        assert!(!paired && text.contains("--yes agrees"), "{text}");
        assert_eq!(r1.read("spared.toml")?, before);
        for node in [&r1, &r2] {
            let (paired, text) = run(node, &["pair", "--key-file", &both, "--yes"])?;
            assert!(paired && text.contains("start it"), "{text}");
            let (again, text) = run(node, &["pair", "--key-file", &both])?;
            assert!(again && text.contains("have these keys already"), "{text}");
        }
        let (paired, text) = run(&r1, &["pair", "--key-file", &stranger, "--yes"])?;
        assert!(
            !paired && text.contains("r1 and r2 are a pair, and r3 is a third node"),
            "{text}"
        );
        let _daemons = [r1.start()?, r2.start()?];
        wait_ok([&r1, &r2])
    });
}
