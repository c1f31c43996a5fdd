// SPDX-License-Identifier: MIT OR Apache-2.0
//! A code is not among the arguments of a program for long, and one that was used is in no memory and in no file.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use spared_tests::Result;
use spared_tests::clock::poll;
use spared_tests::lab::{Wire, scenario, skipped};

use crate::paired::{LIMIT, Node, Offer, STEP, begin_to_join};

/// Returns true if a process has the text in memory that it may write; None if that cannot be read.
fn has(pid: u32, text: &str) -> Option<bool> {
    let memory = File::open(format!("/proc/{pid}/mem")).ok()?;
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    let mut is_read = false;
    let mut found = false;
    for line in maps.lines() {
        let mut words = line.split(' ');
        let (from, to) = words.next()?.split_once('-')?;
        if !words.next()?.starts_with("rw") {
            continue;
        }
        let [from, to] = [from, to].map(|it| u64::from_str_radix(it, 16).unwrap_or_default());
        let mut bytes = vec![0; usize::try_from(to.saturating_sub(from)).ok()?];
        is_read |= memory.read_exact_at(&mut bytes, from).is_ok();
        found |= bytes.windows(text.len()).any(|it| it == text.as_bytes());
    }
    is_read.then_some(found)
}

/// Files of a folder that have the text: journals and states among them.
fn files_with(folder: &Path, text: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files_with(&path, text)?);
        } else if path.is_file() {
            let bytes = fs::read(&path)?;
            let has = bytes.windows(text.len()).any(|it| it == text.as_bytes());
            found.extend(has.then_some(path));
        }
    }
    Ok(found)
}

#[test]
fn a_code_among_the_arguments_is_taken_out_of_them() {
    const CODE: &str = "acorn-apple-arrow";
    scenario(2, |lab| {
        let r2 = Node::new(lab, &lab.sites[1], "r2")?;
        // nobody has this code: it looks for the first node
        let mut second = begin_to_join(&r2, "", &[CODE, "--yes"])?;
        let pid = second.id();
        let of = |what: &str| fs::read(format!("/proc/{pid}/{what}")).unwrap_or_default();
        let has = |what: &str| of(what).windows(CODE.len()).any(|it| it == CODE.as_bytes());
        let is_again = || {
            let words = of("cmdline");
            words.windows(9).any(|it| it == b"--code-fd") && !has("cmdline")
        };
        assert!(poll(LIMIT, STEP, is_again), "{:?}", of("cmdline"));
        assert!(!has("environ") && second.try_wait()?.is_none());
        second.kill()?;
        second.wait()?;
        Ok(())
    });
}

#[test]
fn a_code_that_was_used_is_in_no_memory_and_in_no_file() {
    scenario(2, |lab| {
        let r1 = Node::new(lab, &lab.sites[0], "r1")?;
        let r2 = Node::new(lab, &lab.sites[1], "r2")?;
        r1.configure()?;
        let _daemons = [r1.start()?, r2.start()?];
        let answers = |node: &Node<'_>| node.status().is_ok_and(|it| !it.is_empty());
        poll(LIMIT, STEP, || answers(&r1) && answers(&r2));
        // both wait for a link that does not come up
        let address = Wire::Hot.ipv4(12);
        lab.sites[1].ns.nft(&format!(
            "table inet cut {{\nchain in {{\ntype filter hook input priority -300\nip daddr {address} drop\n}}\n}}\n"
        ))?;
        let mut offer = Offer::start(&r1, &[])?;
        let [first, code] = [offer.child.id().to_string(), offer.code.clone()];
        match has(offer.child.id(), &code) {
            Some(true) => {}
            Some(false) => return Err(format!("{first}: no code in its memory").into()),
            None => {
                let _ = offer.child.kill();
                let _ = offer.end();
                return Err(skipped("the memory of other processes cannot be read"));
            }
        }
        let mut second = begin_to_join(&r2, &code, &["--yes"])?;
        let is_pair = || {
            let is_named = |node: &Node<'_>| {
                let text = node.read("spared.toml").unwrap_or_default();
                text.matches("public_key").count() == 2
            };
            is_named(&r1) && is_named(&r2)
        };
        assert!(poll(LIMIT, STEP, is_pair), "no pair");
        for (child, name) in [(&mut offer.child, "first"), (&mut second, "second")] {
            let found = has(child.id(), &code);
            let is_alive = child.try_wait()?.is_none();
            child.kill()?;
            assert!(is_alive, "{name}: it does not wait for the link");
            assert_eq!(found, Some(false), "{name}");
        }
        for node in [&r1, &r2] {
            assert!(!files_with(&node.dir, "r1.public_key")?.is_empty());
            assert!(files_with(&node.dir, &code)?.is_empty());
        }
        second.wait()?;
        offer.end().map(drop)
    });
}
