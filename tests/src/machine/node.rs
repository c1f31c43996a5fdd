// SPDX-License-Identifier: MIT OR Apache-2.0
//! spared in a machine: its files are written outside, and requests run inside.

use std::path::{Path, PathBuf};
use std::time::Duration;

use spared_message::control::{Answer, GroupStatus, RoleChange, Status};

use super::Machine;
use super::STEP;
use crate::Result;
use crate::ask;
use crate::clock::poll;
use crate::lab::build_dir;
use crate::router::{Files, Plan};

const RUNTIME: &str = "/run/spared";

/// Node of a machine. The daemon ends with the machine.
#[derive(Clone, Copy)]
pub struct Node<'m>(pub &'m Machine);

impl Node<'_> {
    /// Writes the files of a plan and starts the daemon. Returns its process id in the machine. Skips the
    /// test if the kernel does not support the fence.
    pub fn start(&self, plan: &Plan) -> Result<u32> {
        self.start_after(plan, "true")
    }

    /// Starts the daemon; its process first runs a command line of the shell, without quotes in it.
    pub fn start_after(&self, plan: &Plan, first: &str) -> Result<u32> {
        self.write(plan)?;
        self.start_again(first)
    }

    /// Writes the files of a plan. Skips the test if the kernel does not support the fence.
    pub fn write(&self, plan: &Plan) -> Result<()> {
        self.0.require_fence()?;
        Files { dir: &self.dir() }.write(&self.0.name, plan)
    }

    /// Starts the daemon with the files that are there, after a command line of the shell.
    pub fn start_again(&self, first: &str) -> Result<u32> {
        let (dir, program) = (self.dir(), build_dir()?.join("spared"));
        let files = Files { dir: &dir };
        let words = files.words(Path::new(RUNTIME));
        let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
        self.0.forget_files()?;
        self.0.ok(&format!("mkdir -p {RUNTIME}"))?;
        let line = format!(
            "sh -c '{first}; exec \"$@\"' sh env STATE_DIRECTORY={} {} {}",
            files.state_dir().display(),
            program.display(),
            words.join(" ")
        );
        self.0.spawn("spared", &line)
    }

    /// Stops spared by SIGTERM, and waits until it has ended.
    pub fn stop(&self) -> Result<()> {
        self.end("-TERM -x spared")
    }

    /// Kills all processes of spared by SIGKILL. The machine continues.
    pub fn kill(&self) -> Result<()> {
        self.end("-KILL ^spared")
    }

    /// Runs `sparectl`. Returns the exit code and both outputs.
    pub fn sparectl(&self, words: &str) -> Result<(i32, String)> {
        let program = build_dir()?.join("sparectl");
        self.0.run(&format!(
            "{} --runtime-dir {RUNTIME} {words}",
            program.display()
        ))
    }

    /// Runs `sparectl`, which must succeed. Returns its output.
    pub fn done(&self, words: &str) -> Result<String> {
        match self.sparectl(words)? {
            (0, text) => Ok(text),
            (code, text) => Err(format!("{}: {words}: exit {code}: {text}", self.0.name).into()),
        }
    }

    /// Returns the output of `spared check` for this node's files and the running daemon.
    pub fn check(&self) -> Result<String> {
        let (dir, program) = (self.dir(), build_dir()?.join("spared"));
        let mut words = Files { dir: &dir }.words(Path::new(RUNTIME));
        words[0] = "check".into();
        let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
        Ok(self
            .0
            .run(&format!("{} {}", program.display(), words.join(" ")))?
            .1)
    }

    pub fn status(&self) -> Result<Status> {
        let answer = self.0.ask(Path::new(RUNTIME), "status")?;
        Ok(serde_json::from_value(answer)?)
    }

    /// Returns the only group; the default if there is none, or no answer.
    pub fn group(&self) -> GroupStatus {
        let groups = self.status().unwrap_or_default().groups;
        groups.into_iter().next().unwrap_or_default()
    }

    pub fn role(&self) -> String {
        self.group().role
    }

    pub fn wait_role(&self, role: &str, limit: Duration) -> Result<()> {
        if poll(limit, STEP, || self.role() == role) {
            return Ok(());
        }
        let said = self.sparectl("status")?.1;
        Err(format!("{} is not {role} after {limit:?}: {said}", self.0.name).into())
    }

    /// Returns a plugin's answer as JSON, such as that of `ipsec status`.
    pub fn rows(&self, words: &str) -> Result<serde_json::Value> {
        Ok(ask::rows(self.0.ask(Path::new(RUNTIME), words)?))
    }

    /// Returns the role changes of both nodes that this node knows.
    pub fn history(&self) -> Result<Vec<RoleChange>> {
        let text = self.done("--json history")?;
        match serde_json::from_str(&text)? {
            Answer::History(past) => Ok(past.changes),
            other => Err(format!("{}: {other:?}", self.0.name).into()),
        }
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.0.log_of("spared")).unwrap_or_default()
    }

    // The daemon is named "spared", its workers "spared-vrrp" and so on.
    fn end(&self, signal: &str) -> Result<()> {
        let gone = "while pgrep ^spared; do sleep 0.05; done";
        self.0.ok(&format!("pkill {signal}; {gone}")).map(drop)
    }

    /// Folder with its files, programs and state.
    pub fn dir(&self) -> PathBuf {
        let dir = self.0.dir.parent().unwrap_or(&self.0.dir);
        dir.join(format!("{}-spared", self.0.name))
    }
}

/// Waits until both nodes are joined and exactly one is active. Returns that one.
pub fn wait_settled(nodes: [Node; 2], limit: Duration) -> Result<usize> {
    let mut active = Vec::new();
    let settled = poll(limit, STEP, || {
        let states = nodes.map(|node| node.status().unwrap_or_default());
        active = (0..2).filter(|at| is_active(&states[*at])).collect();
        active.len() == 1 && states.iter().all(is_joined)
    });
    match active.as_slice() {
        [one] if settled => Ok(*one),
        _ => {
            // if sparectl does not answer, its error describes what the processes do
            let [first, second] = nodes.map(|node| match node.sparectl("status") {
                Ok((_, said)) => said,
                Err(error) => error.to_string(),
            });
            Err(format!("not both settled after {limit:?}:\n{first}\n{second}").into())
        }
    }
}

fn is_active(status: &Status) -> bool {
    let mut groups = status.groups.iter();
    groups.next().is_some_and(|group| group.role == "active")
}

/// Returns true if the other node is heard, and nothing is missing.
fn is_joined(status: &Status) -> bool {
    let up = status.peer.as_ref().is_some_and(|peer| peer.up);
    up && status
        .missing
        .as_ref()
        .is_some_and(|missing| missing.is_empty())
}
