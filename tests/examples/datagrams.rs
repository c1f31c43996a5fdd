// SPDX-License-Identifier: MIT OR Apache-2.0
//! UDP without a state, within a test's machine: `datagrams echo ADDRESS` answers at an address, which may
//! not be there yet; `datagrams ask ADDRESS MICROSECONDS SECONDS` asks it for so many seconds, one numbered
//! question each so many microseconds, and then says how many were asked, how many were not answered until
//! nothing was for 300 ms, and which of them were the first and the last.

#![forbid(unsafe_code)]

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

const FLIGHT: Duration = Duration::from_millis(300);

fn main() -> io::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["echo", address] => echo(parse(address)?),
        ["ask", address, spacing_us, seconds] => ask(
            parse(address)?,
            Duration::from_micros(parse(spacing_us)?),
            Duration::from_secs(parse(seconds)?),
        ),
        _ => Err(io::Error::other("no such words")),
    }
}

fn parse<T: FromStr>(word: &str) -> io::Result<T> {
    word.parse().map_err(|_| io::Error::other(word.to_owned()))
}

fn echo(address: SocketAddr) -> io::Result<()> {
    let socket = UdpSocket::bind(address)?;
    let mut buffer = [0; 1500];
    loop {
        if let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(buffer.get(..length).unwrap_or_default(), from);
        }
    }
}

fn ask(address: SocketAddr, spacing: Duration, time: Duration) -> io::Result<()> {
    let any = match address {
        SocketAddr::V4(_) => "0.0.0.0:0",
        SocketAddr::V6(_) => "[::]:0",
    };
    let socket = UdpSocket::bind(any)?;
    socket.connect(address)?;
    let answered: Arc<Mutex<Vec<bool>>> = Arc::default();
    thread::spawn({
        let (socket, answered) = (socket.try_clone()?, Arc::clone(&answered));
        move || hear(&socket, &answered)
    });
    let begun = Instant::now();
    let mut count = 0_u32;
    while begun.elapsed() < time {
        let asked = || answered.lock().unwrap_or_else(PoisonError::into_inner);
        asked().push(false);
        let _ = socket.send(&count.to_be_bytes());
        count += 1;
        thread::sleep((spacing * count).saturating_sub(begun.elapsed()));
    }
    let answers = || {
        let answered = answered.lock().unwrap_or_else(PoisonError::into_inner);
        answered.iter().filter(|it| **it).count()
    };
    let mut heard = usize::MAX;
    while heard != answers() {
        heard = answers();
        thread::sleep(FLIGHT);
    }
    let answered = answered.lock().unwrap_or_else(PoisonError::into_inner);
    let lost = answered.iter().enumerate().filter(|(_, it)| !**it);
    let lost: Vec<usize> = lost.map(|(number, _)| number).collect();
    let bounds = [lost.first(), lost.last()].map(|it| it.copied().unwrap_or_default());
    let [first, last] = bounds;
    println!("asked {count} lost {} from {first} to {last}", lost.len());
    Ok(())
}

fn hear(socket: &UdpSocket, answered: &Mutex<Vec<bool>>) {
    let mut buffer = [0; 1500];
    loop {
        // an error is a refusal of something that was asked before
        let length = socket.recv(&mut buffer).unwrap_or_default();
        let number = buffer.get(..length).and_then(|it| it.first_chunk());
        let mut answered = answered.lock().unwrap_or_else(PoisonError::into_inner);
        let place = number.and_then(|it| answered.get_mut(u32::from_be_bytes(*it) as usize));
        place.into_iter().for_each(|it| *it = true);
    }
}
