//! Detects a running server that does not work, by its process in /proc.
//!
//! Nothing is sent to the server: Kea logs each command, a DISCOVER of our own would take an address for a while and be
//! answered, and only Kea has a control socket. A stopped process has that state. Otherwise: Kea sleeps and wakes each
//! second even without clients, so a Kea that no longer sleeps hangs. dnsmasq and dhcpd sleep until a packet arrives,
//! so one that has not slept while packets wait hangs.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::codec::Format;
use crate::{config, discover};

/// Interval between looks, each of which reads a file or two.
pub const LOOK: Duration = Duration::from_secs(1);
/// Numbers of looks in a row without work: a debugger or a busy machine may stop a process for a moment.
const STOPPED_LOOKS: u32 = 2;
const HANGING_LOOKS: u32 = 4;
/// Intervals between searches for a process that was not found: the first, and the longest.
const SEARCH_FIRST: Duration = Duration::from_secs(1);
const SEARCH_LAST: Duration = Duration::from_secs(60);

/// Text for hidepid (proc(5)), which hides processes of other accounts from a process without CAP_SYS_PTRACE.
const HIDDEN: &str = "/proc hides the processes of other accounts (hidepid), so that nobody can see whether it works: \
                      mount -o remount,hidepid=0 /proc";

/// The process of one server.
#[derive(Debug)]
pub struct Process {
    proc: PathBuf,
    format: Format,
    config: PathBuf,
    found: Option<Found>,
    search_at: Option<Instant>,
    search_after: Duration,
    /// The server's process was not found, and neither was the machine's first process.
    is_hidden: bool,
}

#[derive(Debug)]
struct Found {
    pid: u32,
    /// Number of times that it has gone to sleep.
    sleeps: Option<u64>,
    is_stopped: bool,
    idle_looks: u32,
}

/// Fields of /proc/PID/status.
#[derive(Debug, PartialEq, Eq)]
struct Status {
    name: String,
    state: char,
    parent: u32,
    sleeps: u64,
}

impl Process {
    pub fn new(settings: &config::Server) -> Self {
        Self::below(Path::new("/proc"), settings)
    }

    fn below(proc: &Path, settings: &config::Server) -> Self {
        Self {
            proc: proc.to_owned(),
            format: settings.format,
            config: settings.config.clone(),
            found: None,
            search_at: None,
            search_after: SEARCH_FIRST,
            is_hidden: false,
        }
    }

    /// Returns the reason why a running server cannot be observed, with what to type.
    pub fn hidden(&self) -> Option<String> {
        let is_hidden = self.is_hidden && self.found.is_none();
        is_hidden.then(|| HIDDEN.to_owned())
    }

    /// Forgets the process after the server was started or restarted.
    pub fn forget(&mut self) {
        self.is_hidden = false;
        (self.found, self.search_at, self.search_after) = (None, None, SEARCH_FIRST);
    }

    /// Returns the reason why the server does not work, with what to type; None if no fault is visible.
    pub fn look(&mut self, now: Instant) -> Option<String> {
        if self.found.is_none() {
            self.search(now);
        }
        let mut found = self.found.take()?;
        let status = Status::read(&self.proc, found.pid);
        let status = status.filter(|status| status.name == program(self.format))?;
        let is_stopped = matches!(status.state, 'T' | 't');
        let slept = found.sleeps.replace(status.sleeps) != Some(status.sleeps);
        let went_on = std::mem::replace(&mut found.is_stopped, is_stopped) && !is_stopped;
        let works = went_on || !is_stopped && (slept || !self.has_work(found.pid));
        found.idle_looks = if works {
            0
        } else {
            found.idle_looks.saturating_add(1)
        };
        let (pid, looks) = (found.pid, found.idle_looks);
        self.found = Some(found);
        match is_stopped {
            true if looks >= STOPPED_LOOKS => Some(format!(
                "its process {pid} is stopped: kill -CONT {pid}, or restart it"
            )),
            false if looks >= HANGING_LOOKS => Some(format!("its process {pid} hangs: restart it")),
            _ => None,
        }
    }

    fn search(&mut self, now: Instant) {
        if self.search_at.is_some_and(|at| now < at) {
            return;
        }
        self.search_at = Some(now + self.search_after);
        self.search_after = SEARCH_LAST.min(self.search_after * 2);
        let mut all = self.candidates();
        self.is_hidden = all.is_empty() && Status::read(&self.proc, 1).is_none();
        // dnsmasq's helper is a child with the same command line
        let pids: Vec<u32> = all.iter().map(|(pid, _)| *pid).collect();
        all.retain(|(_, parent)| !pids.contains(parent));
        // if several remain, it is not clear which one it is
        if let [(pid, _)] = all.as_slice() {
            self.found = Some(Found {
                pid: *pid,
                sleeps: None,
                is_stopped: false,
                idle_looks: 0,
            });
        }
    }

    /// Returns the processes of such a server with this configuration, each with its parent.
    fn candidates(&self) -> Vec<(u32, u32)> {
        let entries = fs::read_dir(&self.proc).into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let candidate = |pid: u32| {
            let status = Status::read(&self.proc, pid)?;
            let is_one = status.name == program(self.format) && self.has_config(pid);
            is_one.then_some((pid, status.parent))
        };
        pids.filter_map(candidate).collect()
    }

    fn has_config(&self, pid: u32) -> bool {
        let line = fs::read(self.proc.join(format!("{pid}/cmdline"))).unwrap_or_default();
        let line = String::from_utf8_lossy(&line);
        let words: Vec<&str> = line.split('\0').collect();
        // it only tests a configuration
        if words
            .iter()
            .any(|word| ["-t", "-T", "--test"].contains(word))
        {
            return false;
        }
        let config = self.config.to_string_lossy();
        if words.iter().any(|word| word.ends_with(&*config)) {
            return true;
        }
        let names_one = |word: &&str| {
            ["-C", "-cf", "-c", "--config"]
                .iter()
                .any(|key| word == key)
                || word.starts_with("--conf-file")
        };
        self.config == discover::default_path(self.format) && !words.iter().any(names_one)
    }

    /// Returns true if work waits that the server would do if it did not hang.
    fn has_work(&self, pid: u32) -> bool {
        let port = match self.format {
            Format::Kea4 | Format::Kea6 => return true,
            Format::Dnsmasq => &[67, 547][..],
            Format::Dhcpd4 => &[67],
            Format::Dhcpd6 => &[547],
        };
        // in the network namespace of the process
        ["udp", "udp6"].iter().any(|file| {
            let table = fs::read_to_string(self.proc.join(format!("{pid}/net/{file}")));
            has_unread(&table.unwrap_or_default(), port)
        })
    }
}

impl Status {
    fn read(proc: &Path, pid: u32) -> Option<Self> {
        let text = fs::read_to_string(proc.join(format!("{pid}/status"))).ok()?;
        let field = |name: &str| {
            let mut lines = text.lines();
            lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::trim))
        };
        Some(Self {
            name: field("Name")?.to_owned(),
            state: field("State")?.chars().next()?,
            parent: field("PPid")?.parse().ok()?,
            sleeps: field("voluntary_ctxt_switches")?.parse().ok()?,
        })
    }
}

fn program(format: Format) -> &'static str {
    match format {
        Format::Kea4 => "kea-dhcp4",
        Format::Kea6 => "kea-dhcp6",
        Format::Dnsmasq => "dnsmasq",
        Format::Dhcpd4 | Format::Dhcpd6 => "dhcpd",
    }
}

/// Returns true if a socket of one of these ports has unread packets. In a line, the second word is `ADDRESS:PORT` and
/// the fifth `SENDING:RECEIVED`, all in hexadecimal.
fn has_unread(table: &str, ports: &[u16]) -> bool {
    let is_unread = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let (_, port) = words.nth(1)?.rsplit_once(':')?;
        let (_, received) = words.nth(2)?.split_once(':')?;
        let port = u16::from_str_radix(port, 16).ok()?;
        let received = u64::from_str_radix(received, 16).ok()?;
        Some(ports.contains(&port) && received > 0)
    };
    table
        .lines()
        .filter_map(is_unread)
        .any(|is_unread| is_unread)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::scratch::Folder;

    const TABLE: &str = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt\n\
        \x20 1: 0100000A:0043 00000000:0000 07 00000000:00000000 00:00000000 00000000     0\n\
        \x20 2: 00000000:0035 00000000:0000 07 00000000:00000900 00:00000000 00000000     0\n";

    struct Machine {
        folder: Folder,
        now: Instant,
    }

    impl Machine {
        fn new() -> Self {
            Self {
                folder: Folder::new("proc"),
                now: Instant::now(),
            }
        }

        fn process(&self, pid: u32, name: &str, line: &[&str]) {
            fs::create_dir_all(self.folder.path(pid.to_string()).join("net")).unwrap();
            self.put(pid, "cmdline", &line.join("\0"));
            self.says(pid, name, 'S', 1);
            self.put(pid, "net/udp", TABLE);
        }

        fn put(&self, pid: u32, file: &str, text: &str) {
            fs::write(self.folder.path(pid.to_string()).join(file), text).unwrap();
        }

        fn says(&self, pid: u32, name: &str, state: char, sleeps: u32) {
            let text = format!(
                "Name:\t{name}\nState:\t{state} (x)\nPPid:\t1\nvoluntary_ctxt_switches:\t{sleeps}\n\
                 nonvoluntary_ctxt_switches:\t9\n"
            );
            self.put(pid, "status", &text);
        }

        fn server(&self, format: Format) -> Process {
            let settings = config::Server {
                name: "dhcp".to_owned(),
                format,
                config: discover::default_path(format).to_owned(),
                leases: None,
                socket: None,
                server_id: None,
                bus_name: None,
                bus: None,
                service: "dhcp".to_owned(),
                warm: false,
                allow_empty: false,
            };
            let proc = self.folder.path("1");
            Process::below(proc.parent().unwrap(), &settings)
        }

        /// Looks until a fault is reported, a limited number of times.
        fn look(&mut self, process: &mut Process, times: u32) -> Option<String> {
            (0..times).find_map(|_| {
                self.now += LOOK;
                process.look(self.now)
            })
        }
    }

    #[test]
    fn a_process_that_is_stopped_is_told_within_two_looks_and_until_it_goes_on() {
        let mut machine = Machine::new();
        machine.process(
            7,
            "kea-dhcp4",
            &["kea-dhcp4", "-c", "/etc/kea/kea-dhcp4.conf"],
        );
        let mut kea = machine.server(Format::Kea4);
        assert_eq!(machine.look(&mut kea, 1), None);
        machine.says(7, "kea-dhcp4", 'T', 1);
        let why = "its process 7 is stopped: kill -CONT 7, or restart it";
        assert_eq!(machine.look(&mut kea, 1), None);
        assert_eq!(machine.look(&mut kea, 1).as_deref(), Some(why));
        assert_eq!(machine.look(&mut kea, 1).as_deref(), Some(why));
        machine.says(7, "kea-dhcp4", 'S', 1);
        assert_eq!(machine.look(&mut kea, 1), None);
    }

    #[test]
    fn a_kea_that_no_longer_sleeps_hangs_and_one_that_does_works() {
        let mut machine = Machine::new();
        machine.process(
            7,
            "kea-dhcp4",
            &["kea-dhcp4", "-c", "/etc/kea/kea-dhcp4.conf"],
        );
        let mut kea = machine.server(Format::Kea4);
        for sleeps in 1..20 {
            machine.says(7, "kea-dhcp4", 'S', sleeps);
            assert_eq!(machine.look(&mut kea, 1), None);
        }
        assert_eq!(machine.look(&mut kea, 3), None);
        let why = "its process 7 hangs: restart it";
        assert_eq!(machine.look(&mut kea, 1).as_deref(), Some(why));
        machine.says(7, "kea-dhcp4", 'S', 20);
        assert_eq!(machine.look(&mut kea, 1), None);
    }

    #[test]
    fn a_dnsmasq_that_leaves_packets_unread_hangs_and_an_idle_one_does_not() {
        let mut machine = Machine::new();
        machine.process(
            7,
            "dnsmasq",
            &["/usr/sbin/dnsmasq", "-x", "/run/dnsmasq/dnsmasq.pid"],
        );
        let mut dnsmasq = machine.server(Format::Dnsmasq);
        assert_eq!(machine.look(&mut dnsmasq, 20), None);
        machine.put(
            7,
            "net/udp",
            &TABLE.replacen("07 00000000:00000000", "07 00000000:00000240", 1),
        );
        assert_eq!(machine.look(&mut dnsmasq, 3), None);
        assert!(machine.look(&mut dnsmasq, 1).is_some());
        machine.put(7, "net/udp", TABLE);
        assert_eq!(machine.look(&mut dnsmasq, 1), None);
    }

    #[test]
    fn a_server_that_is_not_seen_is_hidden_only_where_other_processes_are() {
        let mut machine = Machine::new();
        let mut kea = machine.server(Format::Kea4);
        assert_eq!(kea.hidden(), None, "nobody looked");
        machine.look(&mut kea, 1);
        assert!(kea.hidden().is_some_and(|why| why.contains("hidepid=0")));
        machine.process(1, "systemd", &["/sbin/init"]);
        machine.look(&mut kea, 100);
        assert_eq!(kea.hidden(), None, "it is in another place");
        fs::remove_dir_all(machine.folder.path("1")).unwrap();
        let argv = ["kea-dhcp4", "-c", "/etc/kea/kea-dhcp4.conf"];
        machine.process(7, "kea-dhcp4", &argv);
        machine.look(&mut kea, 100);
        assert_eq!(kea.hidden(), None, "it is found");
    }

    #[test]
    fn a_process_of_another_configuration_a_test_and_one_of_two_are_not_taken() {
        let mut machine = Machine::new();
        let mut dnsmasq = machine.server(Format::Dnsmasq);
        machine.process(
            7,
            "dnsmasq",
            &["dnsmasq", "--conf-file=/var/lib/libvirt/default.conf"],
        );
        machine.process(8, "dnsmasq", &["dnsmasq", "--test"]);
        machine.says(7, "dnsmasq", 'T', 1);
        machine.says(8, "dnsmasq", 'T', 1);
        assert_eq!(machine.look(&mut dnsmasq, 200), None);
        machine.process(9, "dnsmasq", &["dnsmasq"]);
        machine.process(10, "dnsmasq", &["dnsmasq"]);
        machine.says(9, "dnsmasq", 'T', 1);
        assert_eq!(machine.look(&mut dnsmasq, 200), None);
        fs::remove_dir_all(machine.folder.path("10")).unwrap();
        assert!(machine.look(&mut dnsmasq, 200).is_some());
    }
}
