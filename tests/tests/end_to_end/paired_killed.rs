// SPDX-License-Identifier: MIT OR Apache-2.0
//! `sparectl pair` is killed on one of the nodes at any moment: each node has its old files or all of the new ones, and
//! pairing once more makes the pair.

use std::fs;
use std::process::Child;
use std::time::{Duration, Instant};

use spared_tests::Result;
use spared_tests::clock::poll;
use spared_tests::lab::scenario;
use spared_tests::random::Random;

use crate::paired::{Node, Offer, STEP, begin_to_join, join};

const ROUNDS: usize = 10;
/// Longer than a node waits for a step of the other one.
const LIMIT: Duration = Duration::from_secs(15);
const VRRP: &str = "plugins/vrrp.toml";

/// Both nodes with their files before a pairing.
struct Nodes<'l> {
    r1: Node<'l>,
    r2: Node<'l>,
    before: [String; 2],
    groups: String,
}

impl Nodes<'_> {
    /// Nodes that have the new files; an error if one has neither the old ones nor all of the new ones.
    fn have_new(&self) -> Result<[bool; 2]> {
        let [one, two] = [&self.r1, &self.r2].map(|it| it.read("spared.toml"));
        let (one, two) = (one?, two?);
        let is_pair = |text: &str| text.matches("public_key = \"sk1:").count() == 2;
        let groups = self.r2.read(VRRP).unwrap_or_default();
        let is_whole = (one == self.before[0] || is_pair(&one))
            && (two == self.before[1] || is_pair(&two) && groups == self.groups)
            && self.r1.read(VRRP)? == self.groups;
        if is_whole {
            Ok([is_pair(&one), is_pair(&two)])
        } else {
            Err(format!("half a pair:\n{one}\n{two}\n{groups}").into())
        }
    }

    fn undo(&self) -> Result<()> {
        self.r1.write("spared.toml", &self.before[0])?;
        self.r2.write("spared.toml", &self.before[1])?;
        let _ = fs::remove_file(self.r2.dir.join("etc").join(VRRP));
        Ok(())
    }

    /// Pairs them without a fault. Returns the length of that from the code on.
    fn pair(&self) -> Result<Duration> {
        let offer = Offer::start(&self.r1, &["--replace"])?;
        let begun = Instant::now();
        let (joined, text) = join(&self.r2, &offer.code, &["--yes", "--join"])?;
        let length = begun.elapsed();
        let (offered, of_first) = offer.end()?;
        if joined && offered && self.have_new()? == [true; 2] {
            Ok(length)
        } else {
            Err(format!("{text}\n{of_first}").into())
        }
    }
}

/// Waits until a program has ended by itself, for it to be killed otherwise.
fn end(child: &mut Child) -> Result<()> {
    poll(LIMIT, STEP, || {
        child.try_wait().is_ok_and(|it| it.is_some())
    });
    let _ = child.kill();
    child.wait()?;
    Ok(())
}

#[test]
fn a_pairing_that_is_killed_at_any_moment_leaves_whole_files_and_is_made_up_for() {
    scenario(2, |lab| {
        let mut random = Random::from_environment();
        let r1 = Node::new(lab, &lab.sites[0], "r1")?;
        let r2 = Node::new(lab, &lab.sites[1], "r2")?;
        r1.configure()?;
        let nodes = Nodes {
            before: [r1.read("spared.toml")?, r2.read("spared.toml")?],
            groups: r1.read(VRRP)?,
            r1,
            r2,
        };
        let length = nodes.pair()?;
        // two codes on one link would be taken for each other
        let offer = Offer::start(&nodes.r1, &[])?;
        let refused = match Offer::start(&nodes.r1, &[]) {
            Ok(another) => another.end()?.1,
            Err(why) => why.to_string(),
        };
        assert!(
            refused.contains("another sparectl is about to write"),
            "{refused}"
        );
        let (joined, text) = join(&nodes.r2, &offer.code, &["--yes", "--join"])?;
        assert!(joined && offer.end()?.0, "{text}");
        for number in 0..ROUNDS {
            nodes.undo()?;
            let mut offer = Offer::start(&nodes.r1, &[])?;
            let mut second = begin_to_join(&nodes.r2, &offer.code, &["--yes"])?;
            let delay = length.mul_f64(random.time(1000).as_secs_f64());
            std::thread::sleep(delay);
            let (killed, other) = match number % 2 {
                0 => (&mut second, &mut offer.child),
                _ => (&mut offer.child, &mut second),
            };
            killed.kill()?;
            killed.wait()?;
            // one that waits for a node with a code, or for its try, does so for long
            if number % 2 == 1 || nodes.have_new()? != [false; 2] {
                end(other)?;
            }
            let _ = other.kill();
            other.wait()?;
            let what = format!("killed after {delay:?} of {length:?}");
            let new = nodes
                .have_new()
                .map_err(|error| format!("{what}: {error}"))?;
            // the second node is the first to write
            assert!(new != [true, false], "{what}");
            println!("{what}: {new:?}");
            nodes.pair().map_err(|error| format!("{what}: {error}"))?;
        }
        Ok(())
    });
}
