// SPDX-License-Identifier: MIT OR Apache-2.0
//! A real pair for the tests of the page in a browser: runs a program on r1, and does what its output asks for, a word
//! in a line. `SPARED_BUILD_DIR=target/debug tests/as-root.sh target/debug/examples/live_page /usr/bin/python3
//! tests/web/live.py`

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use rustix::process::Signal;
use spared_tests::Result;
use spared_tests::lab::{Lab, become_root, signal_to};
use spared_tests::linked::{INTERVAL, Linked};
use spared_tests::page::{self, PASSWORD};

fn main() -> Result<()> {
    become_root()?;
    let mut words = std::env::args().skip(1);
    let program = words.next().ok_or("name the program that looks")?;
    let lab = Lab::new(2)?;
    let pair = Linked::start(&lab, &page::plan(INTERVAL)?)?;
    page::served(&pair, 0)?;
    let mut looking = lab.sites[0]
        .ns
        .command(program)
        .args(words)
        .args([&page::address(0).to_string(), PASSWORD])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let output = looking.stdout.take().ok_or("no output")?;
    let mut input = looking.stdin.take().ok_or("no input")?;
    for line in BufReader::new(output).lines() {
        let line = line?;
        match line.strip_prefix("do ") {
            Some(word) => {
                let done = perform(&pair, word)?;
                writeln!(input, "{done}")?;
            }
            None => println!("{line}"),
        }
    }
    match looking.wait()?.code() {
        Some(0) => Ok(()),
        code => Err(format!("the page of a real pair: exit {code:?}").into()),
    }
}

/// Does something to the pair. Returns what is so then.
fn perform(pair: &Linked<'_>, word: &str) -> Result<String> {
    let worker = || page::worker(pair, 0);
    match word {
        "tell" => Ok(format!("r{}", pair.at()? + 1)),
        "switch" => {
            let active = pair.at()?;
            pair.switch(active)?;
            Ok(format!("r{}", 2 - active))
        }
        "stop" => signal_to(worker()?, Signal::STOP).map(|()| String::new()),
        "kill" => {
            let pid = worker()?;
            signal_to(pid, Signal::KILL)?;
            pair.wait("another process", || worker().is_ok_and(|it| it != pid))?;
            page::served(pair, 0)?;
            Ok(String::new())
        }
        other => Err(format!("{other:?} is not known here").into()),
    }
}
