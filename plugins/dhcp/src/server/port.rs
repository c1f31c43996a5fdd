//! Whether another program holds the server's UDP port, by the kernel's tables of sockets.
//!
//! Which process has a socket only root is told, and this plugin is not root. So sockets that are there while the server
//! does not run are those of others. A server that runs beside one, and has none of its own, serves nobody: Kea
//! says so in its log and runs on.

use std::collections::BTreeMap;

use crate::codec::Format;

/// Looks in a row with the same result: a server binds its port some moments after it has its file, and dnsmasq before.
const LOOKS: u32 = 2;

/// The port of a server.
#[derive(Debug)]
pub struct Port {
    format: Format,
    /// Sockets of others, by inode: user, and looks while the server did not run.
    others: BTreeMap<u64, (u32, u32)>,
    /// Looks in a row in which a server that runs had no socket.
    without: u32,
    /// It has none since it was started: it does not try again.
    is_unbound: bool,
}

/// A socket of the port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Socket {
    user: u32,
    inode: u64,
}

impl Port {
    pub fn new(format: Format) -> Self {
        Self {
            format,
            others: BTreeMap::new(),
            without: 0,
            is_unbound: false,
        }
    }

    /// Name of the table below /proc/PID/net.
    pub fn table(&self) -> &'static str {
        match self.number() {
            547 => "udp6",
            _ => "udp",
        }
    }

    fn number(&self) -> u16 {
        match self.format {
            Format::Kea6 | Format::Dhcpd6 => 547,
            Format::Kea4 | Format::Dnsmasq | Format::Dhcpd4 => 67,
        }
    }

    /// While the server does not run: why it would not serve.
    pub fn look_before(&mut self, table: &str) -> Option<String> {
        let before = std::mem::take(&mut self.others);
        for Socket { user, inode } in sockets(table, self.number()) {
            let looks = before.get(&inode).map_or(0, |(_, looks)| *looks);
            self.others.insert(inode, (user, looks.saturating_add(1)));
        }
        let told = self.others_told().filter(|_| self.is_alone());
        // one that is started beside it is not taken to serve before it has a socket
        (self.without, self.is_unbound) = (0, told.is_some());
        told
    }

    /// While it runs: why it does not serve.
    pub fn look(&mut self, table: &str) -> Option<String> {
        let all = sockets(table, self.number());
        let is_others = |it: &Socket| {
            let known = self.others.get(&it.inode);
            known.is_some_and(|(_, looks)| *looks >= LOOKS)
        };
        let has_own = all.iter().any(|it| !is_others(it));
        let is_held = all.iter().any(is_others);
        if has_own || !(is_held || self.is_unbound) {
            (self.without, self.is_unbound) = (0, false);
            return None;
        }
        self.without = self.without.saturating_add(1);
        self.is_unbound |= self.without >= LOOKS;
        let number = self.number();
        match (self.is_unbound, is_held) {
            (false, _) => None,
            (true, true) => self.others_told(),
            (true, false) => Some(format!(
                "it has no socket of UDP port {number}, which another program held when it was started: restart it"
            )),
        }
    }

    fn others_told(&self) -> Option<String> {
        let mut others = self.others.values();
        let (user, _) = others.find(|(_, looks)| *looks >= LOOKS)?;
        let number = self.number();
        Some(format!(
            "another program, of user {user}, holds UDP port {number}: `ss -lunp sport = {number}` shows it; stop it"
        ))
    }

    // The others share their port with programs that share it, too: beside libvirt's dnsmasq another one starts.
    fn is_alone(&self) -> bool {
        matches!(self.format, Format::Kea4 | Format::Kea6)
    }
}

// `ADDRESS:PORT` in hexadecimal is the second word of a line, the user the eighth, and the inode the tenth.
fn sockets(table: &str, port: u16) -> Vec<Socket> {
    let socket = |line: &str| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let (_, found) = words.get(1)?.rsplit_once(':')?;
        let is_it = u16::from_str_radix(found, 16).ok()? == port;
        let user = words.get(7)?.parse().ok()?;
        let inode = words.get(9)?.parse().ok()?;
        is_it.then_some(Socket { user, inode })
    };
    table.lines().filter_map(socket).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table with sockets of the port 67 with these inodes, and one of another port.
    fn table(inodes: &[u64]) -> String {
        let head = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref\n";
        let line = |port: &str, inode: u64| {
            format!(
                "  1: 00000000:{port} 00000000:0000 07 00000000:00000000 00:00000000 00000000   101        0 {inode} 2 0 0\n"
            )
        };
        let ours = inodes.iter().map(|inode| line("0043", *inode));
        let all: String = ours.collect();
        format!("{head}{}{all}", line("0035", 1))
    }

    const HELD: &str =
        "another program, of user 101, holds UDP port 67: `ss -lunp sport = 67` shows it; stop it";

    #[test]
    fn a_port_that_is_held_while_the_server_does_not_run_is_told() {
        let mut port = Port::new(Format::Kea4);
        assert_eq!(port.look_before(&table(&[])), None);
        assert_eq!(port.look_before(&table(&[7])), None, "it may be starting");
        assert_eq!(port.look_before(&table(&[7])).as_deref(), Some(HELD));
        assert_eq!(port.look_before(&table(&[])), None);
        // what shares its port may start beside it
        let mut dnsmasq = Port::new(Format::Dnsmasq);
        for _ in 0..3 {
            assert_eq!(dnsmasq.look_before(&table(&[7])), None);
        }
    }

    #[test]
    fn a_server_without_a_socket_beside_another_program_does_not_serve() {
        let mut dnsmasq = Port::new(Format::Dnsmasq);
        let mut port = Port::new(Format::Kea4);
        for _ in 0..2 {
            dnsmasq.look_before(&table(&[7]));
            port.look_before(&table(&[7]));
        }
        assert_eq!(dnsmasq.look(&table(&[7])), None, "it may be about to");
        assert_eq!(dnsmasq.look(&table(&[7])).as_deref(), Some(HELD));
        assert_eq!(port.look(&table(&[7])).as_deref(), Some(HELD));
        // the other program has ended, and the server does not try again
        let late = port.look(&table(&[]));
        assert!(late.is_some_and(|it| it.ends_with("restart it")));
        assert_eq!(port.look(&table(&[8])), None);
        assert_eq!(port.look(&table(&[])), None);
    }

    #[test]
    fn a_server_with_a_socket_serves_whoever_has_others() {
        let mut port = Port::new(Format::Dnsmasq);
        for _ in 0..2 {
            port.look_before(&table(&[7]));
        }
        for _ in 0..9 {
            assert_eq!(port.look(&table(&[7, 8])), None);
        }
        // one that ran before the plugin did has sockets that nobody else is known to have
        let mut running = Port::new(Format::Kea4);
        for _ in 0..9 {
            assert_eq!(running.look(&table(&[7])), None);
            assert_eq!(running.look(&table(&[])), None);
        }
    }
}
