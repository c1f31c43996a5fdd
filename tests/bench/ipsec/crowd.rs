// SPDX-License-Identifier: MIT OR Apache-2.0
//! Many tunnels that carry nothing, each to another gateway.

use std::fmt::Write;

use spared_tests::Result;
use spared_tests::ipsec::Family;
use spared_tests::machine::Machine;

/// Above those of the tunnel that is measured.
pub const FIRST_SPI: u32 = 0xd000_0000;
const FIRST_REQID: u32 = 5000;

/// At once: on a slow machine ten thousand take longer than a command may.
const BATCH: usize = 1000;

/// So many SAs, two of each tunnel, in a machine's kernel.
pub fn install(machine: &Machine, sas: u32) -> Result<()> {
    let lines = lines(sas);
    let lines: Vec<&str> = lines.lines().collect();
    let mut batches = lines.chunks(BATCH);
    batches.try_for_each(|batch| machine.ip(&(batch.join("\n") + "\n")))
}

/// Lines for `ip -batch` that install so many SAs.
pub fn lines(sas: u32) -> String {
    let mut text = String::new();
    for number in 0..sas / 2 {
        let local = Family::V4.gateway().to_string();
        let remote = format!("198.18.{}.{}", number / 250, number % 250 + 1);
        let reqid = FIRST_REQID + number;
        for (spi, from, to) in [(0, &local, &remote), (1, &remote, &local)] {
            let spi = FIRST_SPI + 2 * number + spi;
            let key = format!("{spi:08x}").repeat(5);
            let _ = writeln!(
                text,
                "xfrm state add src {from} dst {to} proto esp spi {spi:#x} reqid {reqid} \
                 mode tunnel replay-window 128 flag esn aead rfc4106(gcm(aes)) 0x{key} 128"
            );
        }
    }
    text
}
