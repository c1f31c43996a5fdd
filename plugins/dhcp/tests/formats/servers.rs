//! Tests that the real servers read what is written, and write the same again.
//!
//! Each runs in a network namespace of its own, which ends with it. If a server is not installed,
//! its test reports so and passes.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use spared_dhcp::codec::{Format, fits, write};
use spared_dhcp::lease::{Client, Kind, Set, State};

use crate::samples::sample;
use crate::{CLOCK, read, set_of};

type Tried = Result<(), Box<dyn std::error::Error>>;

/// Folder with the files of one server, which is removed on drop.
struct Place {
    folder: PathBuf,
    server: Option<Child>,
}

impl Place {
    /// Creates the folder; None if `program` is not installed, or namespaces are not available.
    fn of(program: &str) -> Option<Self> {
        let folders = ["/usr/sbin", "/usr/bin", "/sbin"];
        if !folders
            .iter()
            .any(|folder| Path::new(folder).join(program).exists())
        {
            eprintln!("skipped: {program} is not installed");
            return None;
        }
        let namespace = Command::new("unshare").args(["-n", "true"]).output();
        if !namespace.is_ok_and(|done| done.status.success()) {
            eprintln!("skipped: no network namespace is to be had");
            return None;
        }
        let folder = std::env::temp_dir().join(format!("spared-{program}-{}", std::process::id()));
        fs::create_dir_all(&folder).ok()?;
        // Kea only creates a socket in a folder that is not world-accessible
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o750)).ok()?;
        Some(Self {
            folder,
            server: None,
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Starts a server in a network namespace of its own, with an address of each family.
    fn start(&mut self, command: &str) -> Tried {
        let network = "ip link set lo up && ip link add v0 type veth peer name v1 && \
                       ip addr add 192.0.2.1/24 dev v0 && ip addr add 2001:db8::1/64 dev v0 nodad && \
                       ip link set v1 up && ip link set v0 up";
        let log = fs::File::create(self.path("log"))?;
        let child = Command::new("unshare")
            .args(["-n", "sh", "-c", &format!("{network} && exec {command}")])
            .current_dir(&self.folder)
            .env("KEA_LOCKFILE_DIR", "none")
            .env("KEA_PIDFILE_DIR", &self.folder)
            .env("KEA_DHCP_DATA_DIR", &self.folder)
            .env("KEA_CONTROL_SOCKET_DIR", &self.folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        self.server = Some(child);
        Ok(())
    }

    /// Waits until `found` returns something; else returns the server's output.
    fn wait<T>(&self, mut found: impl FnMut() -> Option<T>) -> Result<T, String> {
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(10) {
            if let Some(found) = found() {
                return Ok(found);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(fs::read_to_string(self.path("log")).unwrap_or_default())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(server) = &mut self.server {
            let _ = server.kill();
            let _ = server.wait();
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Moves the leases' ends to the future of the server's clock, as they are when the engine writes.
fn alive(mut set: Set) -> Set {
    let now_s = std::time::UNIX_EPOCH
        .elapsed()
        .map_or(0, |age| age.as_secs());
    let now_ns = CLOCK.monotonic(i64::try_from(now_s).unwrap_or(0));
    for lease in set.leases.values_mut() {
        let free = lease.state == State::Free;
        if let Some(expires_ns) = lease.expires_ns.as_mut().filter(|_| !free) {
            *expires_ns = now_ns + 3_600_000_000_000;
        }
        if lease.valid_s != spared_dhcp::lease::INFINITE_S && lease.valid_s != 0 {
            lease.valid_s = 7200;
            lease.committed_ns = lease
                .expires_ns
                .map_or(now_ns, |expires| expires - 7_200_000_000_000);
        }
    }
    set
}

/// Adds leases, one of each kind, whose fields all have their greatest length.
fn longest(format: Format, set: &mut Set) {
    let mut kinds = Vec::new();
    for lease in set
        .leases
        .values_mut()
        .filter(|lease| lease.state == State::Leased)
    {
        let kind = lease.key.kind;
        if kinds.contains(&kind) {
            continue;
        }
        kinds.push(kind);
        let id = match format {
            // Kea 2.2; later versions keep all
            Format::Kea4 | Format::Kea6 => 128,
            Format::Dhcpd6 => 127,
            _ if kind == Kind::V4 => 255,
            _ => 130,
        };
        lease.client.id = vec![0xfe; id];
        let hardware = if format == Format::Dnsmasq { 16 } else { 20 };
        if kind == Kind::V4 || format == Format::Kea6 {
            lease.client.hardware = vec![0xab; hardware];
        }
        if format != Format::Dhcpd6 {
            lease.hostname = b"long-name.".repeat(26);
            lease
                .hostname
                .truncate(if format == Format::Dnsmasq { 253 } else { 255 });
        }
        if matches!(format, Format::Dhcpd4 | Format::Dhcpd6) {
            lease
                .extra
                .insert("set longest".to_owned(), "\\377".repeat(1000));
        }
        assert_eq!(fits(format, lease), Ok(()));
    }
}

fn kea(format: Format, program: &str, name: &str, number: u8, sample_name: &str) -> Tried {
    let Some(mut place) = Place::of(program) else {
        return Ok(());
    };
    let before = sample(sample_name);
    let mut set = alive(set_of(&read(format, &before)));
    longest(format, &mut set);
    let leases = place.path("leases.csv");
    fs::write(&leases, write(format, &set, &before, CLOCK))?;
    // the result of its own cleaning
    let (output, finish) = (place.path("output"), place.path("finish"));
    let cleanup = Command::new("kea-lfc")
        .arg(format!("-{number}"))
        .args(["-c", "none", "-p"])
        .arg(place.path("lfc.pid"))
        .arg("-x")
        .arg(place.path("none"))
        .arg("-i")
        .arg(&leases)
        .arg("-o")
        .arg(&output)
        .arg("-f")
        .arg(&finish)
        .output()?;
    // it ends by putting the result in the place of the earlier file
    let cleaned = fs::read(place.path("none"));
    let cleaned = cleaned.map_err(|error| format!("{error}: {cleanup:?}"))?;
    assert_eq!(set_of(&read(format, &cleaned)), set);
    // the leases that the server has after further use
    fs::write(&leases, write(format, &set, &before, CLOCK))?;
    let socket = place.path("socket");
    let configuration = serde_json::json!({ name: {
        "interfaces-config": { "interfaces": [] },
        "control-socket": { "socket-type": "unix", "socket-name": socket },
        "lease-database": { "type": "memfile", "persist": true, "name": leases, "lfc-interval": 0 },
        "hooks-libraries": [{ "library": lease_commands()? }],
    }});
    let mut configuration = configuration;
    if number == 6 {
        configuration[name]["data-directory"] = serde_json::json!(place.folder);
    }
    fs::write(place.path("conf"), configuration.to_string())?;
    place.start(&format!("{program} -c conf"))?;
    let command = format!("{{\"command\": \"lease{number}-get-all\"}}");
    let answer = place.wait(|| ask(&socket, &command))?;
    let told = answer["arguments"]["leases"]
        .as_array()
        .ok_or("no leases")?;
    assert_eq!(told.len(), set.leases.len(), "{answer}");
    for lease in set.leases.values() {
        let address = lease.key.address.to_string();
        let told = told.iter().find(|told| told["ip-address"] == *address);
        let told = told.ok_or_else(|| format!("{address} is missing"))?;
        assert_eq!(told["valid-lft"], lease.valid_s, "{address}");
        assert_eq!(told["cltt"], CLOCK.unix_s(lease.committed_ns), "{address}");
        if let Ok(hostname) = std::str::from_utf8(&lease.hostname) {
            assert_eq!(told["hostname"], hostname);
        }
    }
    Ok(())
}

fn ask(socket: &Path, command: &str) -> Option<serde_json::Value> {
    let mut stream = UnixStream::connect(socket).ok()?;
    stream.write_all(command.as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    // names need not be UTF-8
    serde_json::from_str(&String::from_utf8_lossy(&answer)).ok()
}

fn lease_commands() -> Result<PathBuf, String> {
    let folders = fs::read_dir("/usr/lib")
        .map_err(|error| error.to_string())?
        .flatten();
    let mut places = folders.map(|folder| folder.path().join("kea/hooks/libdhcp_lease_cmds.so"));
    places
        .find(|place| place.exists())
        .ok_or_else(|| "kea has no lease_cmds here".to_owned())
}

#[test]
fn kea_takes_the_leases_of_dhcpv4() -> Tried {
    kea(Format::Kea4, "kea-dhcp4", "Dhcp4", 4, "kea4-names.csv")
}

#[test]
fn kea_takes_the_leases_of_dhcpv6() -> Tried {
    kea(Format::Kea6, "kea-dhcp6", "Dhcp6", 6, "kea6.csv")
}

#[test]
fn dnsmasq_takes_the_leases() -> Tried {
    let Some(mut place) = Place::of("dnsmasq") else {
        return Ok(());
    };
    let mut set = alive(set_of(&read(Format::Dnsmasq, &sample("dnsmasq.leases"))));
    longest(Format::Dnsmasq, &mut set);
    let mut written = write(Format::Dnsmasq, &set, b"", CLOCK);
    // a row at the end of the file shows that it read everything before; it has expired, so that it
    // rewrites its file
    written.extend_from_slice(b"1000000000 99 2001:db8::99 * 00:03\n");
    let leases = place.path("leases");
    fs::write(&leases, &written)?;
    place.start(
        "dnsmasq -k -C /dev/null -p 0 -u root --dhcp-leasefile=leases -8 - \
         --dhcp-range=192.0.2.10,192.0.2.20 --dhcp-range=2001:db8::10,2001:db8::20",
    )?;
    let rewritten = place.wait(|| {
        fs::read(&leases)
            .ok()
            .filter(|now| *now != written && now.ends_with(b"\n"))
    })?;
    assert_eq!(set_of(&read(Format::Dnsmasq, &rewritten)), set);
    Ok(())
}

fn dhcpd(format: Format, flag: &str, configuration: &str, set: &Set, before: &[u8]) -> Tried {
    let Some(mut place) = Place::of("dhcpd") else {
        return Ok(());
    };
    // tests of both families run in parallel
    let folder = place.folder.with_extension(flag);
    fs::rename(&place.folder, &folder)?;
    place.folder = folder;
    let leases = place.path("leases");
    let written = write(format, set, before, CLOCK);
    fs::write(&leases, &written)?;
    fs::write(place.path("conf"), configuration)?;
    place.start(&format!(
        "dhcpd -{flag} -f -d -cf conf -lf leases -pf pid v0"
    ))?;
    let started = || {
        let log = fs::read_to_string(place.path("log")).ok()?;
        log.contains("Server starting service").then_some(log)
    };
    let log = place.wait(started)?;
    assert!(!log.contains("orrupt") && !log.contains("line "), "{log}");
    let rewritten = fs::read(&leases)?;
    assert_ne!(rewritten, written);
    assert_eq!(&set_of(&read(format, &rewritten)), set, "{log}");
    Ok(())
}

#[test]
fn dhcpd_takes_the_leases_of_dhcpv4() -> Tried {
    let before = sample("dhcpd4.leases");
    let mut set = alive(set_of(&read(Format::Dhcpd4, &before)));
    longest(Format::Dhcpd4, &mut set);
    // variables with any valid name, and hardware of an unnamed type
    if let Some(lease) = set
        .leases
        .values_mut()
        .rfind(|lease| lease.state == State::Leased)
    {
        for name in ["ifs", "executed", "a-b_C9", "x", "vendor-class-identifier"] {
            lease
                .extra
                .insert(format!("set {name}"), "\\000x".to_owned());
        }
        lease.extra.insert(
            "option agent.circuit-id".to_owned(),
            "\\000\\004\\\"".to_owned(),
        );
        lease.client = Client {
            hardware_type: 77,
            hardware: vec![1, 2, 3],
            id: (0..=254).collect(),
            iaid: 0,
        };
    }
    let configuration = "subnet 192.0.2.0 netmask 255.255.255.0 { range 192.0.2.100 192.0.2.199; }";
    dhcpd(Format::Dhcpd4, "4", configuration, &set, &before)
}

#[test]
fn dhcpd_takes_the_leases_of_dhcpv6() -> Tried {
    let before = sample("dhcpd6.leases");
    let mut set = alive(set_of(&read(Format::Dhcpd6, &before)));
    longest(Format::Dhcpd6, &mut set);
    // it forgets released leases
    set.leases.retain(|_, lease| lease.state != State::Free);
    if let Some(lease) = set.leases.values_mut().next() {
        lease
            .extra
            .insert("set ddns-fwd-name".to_owned(), "a\\\"b".to_owned());
    }
    let configuration = "subnet6 2001:db8::/64 { range6 2001:db8::1000 2001:db8::2000; \
                         range6 2001:db8::8000:0/112 temporary; \
                         prefix6 2001:db8:1:: 2001:db8:1:ff00:: /56; }";
    dhcpd(Format::Dhcpd6, "6", configuration, &set, &before)
}
