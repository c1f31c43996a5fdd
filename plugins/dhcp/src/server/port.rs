//! Detects that another program holds the server's UDP port, by the kernel's tables of sockets.
//!
//! The process of a socket is only visible to root, and this plugin is not root. So sockets that exist while the server
//! does not run belong to other programs. A server that runs without a socket of its own serves nobody: Kea only logs
//! it and continues.

use std::collections::BTreeMap;
use std::fs;

use crate::SECOND;
use crate::codec::Format;

/// Number of looks in a row with the same result: most servers bind their port some moments after they open their file,
/// dnsmasq before.
const LOOKS: u32 = 2;
/// Shortest time between looks, each of which reads a file or two.
const LOOK_NS: u64 = 5 * SECOND;
/// Folder with the tables of this plugin's network namespace.
const TABLES: &str = "/proc/self/net";

/// Ports of all servers.
///
/// A backup's plugin sleeps while nothing happens, so it looks when something else has woken it. It has timers of its
/// own after the first socket of another program, and while a server runs.
#[derive(Debug)]
pub struct Ports {
    servers: Vec<(Port, Option<String>)>,
    due_ns: u64,
    is_urgent: bool,
}

impl Ports {
    pub fn new(formats: impl Iterator<Item = Format>) -> Self {
        Self {
            servers: formats.map(|format| (Port::new(format), None)).collect(),
            due_ns: 0,
            is_urgent: false,
        }
    }

    /// Returns changes by server position: the reason why a server does not serve or would not; nothing before it is
    /// time. `runs` is None if it is unknown.
    pub fn look(
        &mut self,
        now_ns: u64,
        runs: impl Fn(usize) -> Option<bool>,
    ) -> Vec<(usize, Option<String>)> {
        if now_ns < self.due_ns {
            Vec::new()
        } else {
            self.look_at(now_ns, runs, |table| {
                fs::read_to_string(format!("{TABLES}/{table}")).ok()
            })
        }
    }

    /// Returns the time of a look that must not wait for another event.
    pub fn next_timeout(&self) -> Option<u64> {
        self.is_urgent.then_some(self.due_ns)
    }

    fn look_at(
        &mut self,
        now_ns: u64,
        runs: impl Fn(usize) -> Option<bool>,
        read: impl Fn(&str) -> Option<String>,
    ) -> Vec<(usize, Option<String>)> {
        self.due_ns = now_ns.saturating_add(LOOK_NS);
        self.is_urgent = false;
        let mut news = Vec::new();
        for (position, (port, told)) in self.servers.iter_mut().enumerate() {
            let Some(runs) = runs(position) else { continue };
            // a table that cannot be read gives no result
            let Some(table) = read(port.table()) else {
                continue;
            };
            let found = if runs {
                port.look(&table)
            } else {
                port.look_before(&table)
            };
            self.is_urgent |= runs || !port.others.is_empty();
            if *told != found {
                told.clone_from(&found);
                news.push((position, found));
            }
        }
        news
    }
}

/// Port of a server.
#[derive(Debug)]
struct Port {
    format: Format,
    /// Sockets of other programs, by inode.
    others: BTreeMap<u64, Other>,
    /// Number of looks in a row in which a running server had no socket.
    without: u32,
    /// The server has had no socket since it was started: it does not retry.
    is_unbound: bool,
}

/// A socket that existed while the server did not run.
#[derive(Clone, Copy, Debug)]
struct Other {
    socket: Socket,
    looks: u32,
}

/// A socket of the port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Socket {
    user: u32,
    inode: u64,
    /// The socket is bound to all addresses.
    is_of_all: bool,
}

impl Port {
    fn new(format: Format) -> Self {
        Self {
            format,
            others: BTreeMap::new(),
            without: 0,
            is_unbound: false,
        }
    }

    /// Returns the name of the table below /proc/PID/net.
    fn table(&self) -> &'static str {
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

    /// Looks while the server does not run; returns the reason why it would not serve.
    fn look_before(&mut self, table: &str) -> Option<String> {
        let before = std::mem::take(&mut self.others);
        for socket in sockets(table, self.number()) {
            let looks = before.get(&socket.inode).map_or(0, |it| it.looks);
            let looks = looks.saturating_add(1);
            self.others.insert(socket.inode, Other { socket, looks });
        }
        // a socket of a single address may belong to a network that the server does not serve
        let told = self
            .told(|it| it.is_of_all)
            .filter(|_| self.format == Format::Kea4);
        // a server that starts despite it counts as serving only once it has a socket
        (self.without, self.is_unbound) = (0, told.is_some());
        told
    }

    /// Looks while the server runs; returns the reason why it does not serve.
    fn look(&mut self, table: &str) -> Option<String> {
        let all = sockets(table, self.number());
        let is_others = |it: &Socket| {
            let known = self.others.get(&it.inode);
            known.is_some_and(|it| it.looks >= LOOKS)
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
            (true, true) => self.told(|_| true),
            (true, false) => Some(format!(
                "it has no socket of UDP port {number}, which another program held when it was started: restart it"
            )),
        }
    }

    // Only Kea for IPv4 binds its port without sharing it: another dnsmasq starts although libvirt's runs.
    fn told(&self, counts: impl Fn(&Socket) -> bool) -> Option<String> {
        let mut others = self.others.values();
        let Other { socket, .. } = others.find(|it| it.looks >= LOOKS && counts(&it.socket))?;
        let (number, user) = (self.number(), socket.user);
        Some(format!(
            "another program, of user {user}, holds UDP port {number}: `ss -lunp sport = {number}` shows it; stop it"
        ))
    }
}

// Parses a table. In a line, the second word is `ADDRESS:PORT` in hexadecimal, the eighth the user, and the tenth the
// inode.
fn sockets(table: &str, port: u16) -> Vec<Socket> {
    let socket = |line: &str| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let (address, found) = words.get(1)?.rsplit_once(':')?;
        let is_it = u16::from_str_radix(found, 16).ok()? == port;
        let user = words.get(7)?.parse().ok()?;
        let inode = words.get(9)?.parse().ok()?;
        is_it.then_some(Socket {
            user,
            inode,
            is_of_all: address.bytes().all(|digit| digit == b'0'),
        })
    };
    table.lines().filter_map(socket).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Table with sockets of port 67 with these inodes, and one of another port.
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
        // a socket that shares the port or has another address does not prevent the start
        let mut dnsmasq = Port::new(Format::Dnsmasq);
        let of_one = table(&[7]).replace("00000000:0043", "0100000A:0043");
        for _ in 0..3 {
            assert_eq!(dnsmasq.look_before(&table(&[7])), None);
            assert_eq!(port.look_before(&of_one), None);
        }
    }

    #[test]
    fn a_plugin_looks_when_it_is_awake_and_at_times_of_its_own_once_it_has_found_something() {
        let mut ports = Ports::new([Format::Kea4].into_iter());
        let empty = |_: &str| Some(table(&[]));
        let held = |_: &str| Some(table(&[7]));
        let stopped = |_: usize| Some(false);
        assert!(ports.look_at(0, |_| None, held).is_empty());
        assert_eq!(ports.next_timeout(), None, "nothing is known of the server");
        assert!(ports.look_at(0, stopped, empty).is_empty());
        assert_eq!(ports.next_timeout(), None);
        assert!(ports.look(LOOK_NS - 1, stopped).is_empty(), "too early");
        assert!(ports.look_at(LOOK_NS, stopped, held).is_empty());
        assert_eq!(ports.next_timeout(), Some(2 * LOOK_NS));
        let told = ports.look_at(2 * LOOK_NS, stopped, held);
        assert_eq!(told, [(0, Some(HELD.to_owned()))]);
        assert!(ports.look_at(3 * LOOK_NS, stopped, held).is_empty());
        assert_eq!(ports.look_at(4 * LOOK_NS, stopped, empty), [(0, None)]);
        assert_eq!(ports.next_timeout(), None);
        assert!(ports.look_at(5 * LOOK_NS, |_| Some(true), held).is_empty());
        assert_eq!(ports.next_timeout(), Some(6 * LOOK_NS), "it runs");
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
        // the other program has ended, and the server does not retry
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
        // a server that ran before the plugin has sockets that are not known to be another program's
        let mut running = Port::new(Format::Kea4);
        for _ in 0..9 {
            assert_eq!(running.look(&table(&[7])), None);
            assert_eq!(running.look(&table(&[])), None);
        }
    }
}
