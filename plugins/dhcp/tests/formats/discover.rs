//! Tests the discovery of lease files by the servers' own configurations.

use std::fs;
use std::path::{Path, PathBuf};

use spared_dhcp::codec::Format;
use spared_dhcp::discover::{Places, read};

/// A folder with files, which is removed on drop.
struct Folder(PathBuf);

impl Folder {
    fn of(test: &str, files: &[(&str, &str)]) -> Self {
        let name = format!("spared-discover-{test}-{}", std::process::id());
        let folder = Self(std::env::temp_dir().join(name));
        for (name, text) in files {
            let path = folder.0.join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            let text = text.replace("HERE", &folder.0.display().to_string());
            fs::write(path, text).expect("a file");
        }
        folder
    }

    fn read(&self, format: Format) -> Result<Places, String> {
        read(format, &self.0.join("conf")).places
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn keas_comments_and_includes_are_followed() {
    let folder = Folder::of(
        "kea",
        &[
            (
                "conf",
                r#"// one { " ,
                { # two "
                  "Dhcp4": { /* three " */
                    <?include "HERE/socket.json"?>,
                    "lease-database": { "type": "memfile", "name": "/a//b#c.csv", },
                    "hooks-libraries": [
                      { "library": "/x/libdhcp_other.so" },
                      { "library": "/x/libdhcp_lease_cmds.so" },
                    ]
                  } }"#,
            ),
            (
                "socket.json",
                r#""control-socket": { "socket-type": "unix", "socket-name": "/a\"/s" } // four"#,
            ),
        ],
    );
    let places = folder.read(Format::Kea4).unwrap();
    assert_eq!(places.leases, Path::new("/a//b#c.csv"));
    assert_eq!(places.socket.as_deref(), Some(Path::new("/a\"/s")));
    assert!(places.has_lease_commands);
    assert_eq!(places.server_id, None);
}

#[test]
fn keas_defaults_are_debians() {
    let folder = Folder::of("kea6", &[("conf", r#"{ "Dhcp6": {} }"#)]);
    let places = folder.read(Format::Kea6).unwrap();
    assert_eq!(places.leases, Path::new("/var/lib/kea/kea-leases6.csv"));
    assert_eq!(
        places.server_id.as_deref(),
        Some(Path::new("/var/lib/kea/kea-dhcp6-serverid"))
    );
    assert_eq!((places.socket, places.has_lease_commands), (None, false));
    let later = r#"{ "Dhcp6": { "data-directory": "/d", "lease-database": { "type": "memfile", "name": "x.csv" },
        "control-sockets": [{ "socket-type": "http" }, { "socket-type": "unix", "socket-name": "s" }] } }"#;
    let folder = Folder::of("kea7", &[("conf", later)]);
    let places = folder.read(Format::Kea6).unwrap();
    assert_eq!(places.leases, Path::new("/d/x.csv"));
    assert_eq!(places.socket.as_deref(), Some(Path::new("/run/kea/s")));
}

#[test]
fn leases_that_cannot_follow_are_refused_with_the_reason() {
    let refused = |test: &str, format, text: &str| {
        let folder = Folder::of(test, &[("conf", text)]);
        folder.read(format).unwrap_err()
    };
    let why = refused(
        "sql",
        Format::Kea4,
        r#"{ "Dhcp4": { "lease-database": { "type": "mysql" } } }"#,
    );
    assert!(why.contains("a database (mysql)"), "{why}");
    let memory = r#"{ "Dhcp4": { "lease-database": { "type": "memfile", "persist": false } } }"#;
    let why = refused("memory", Format::Kea4, memory);
    assert!(why.contains("persist is false"), "{why}");
    let why = refused("other", Format::Kea4, r#"{ "Dhcp6": {} }"#);
    assert!(why.ends_with("has no Dhcp4"), "{why}");
    let why = refused("ro", Format::Dnsmasq, "leasefile-ro\n");
    assert!(why.contains("leasefile-ro"), "{why}");
    let why = refused("loop", Format::Dnsmasq, "conf-file=HERE/conf\n");
    assert!(why.contains("too deep"), "{why}");
    let why = refused("loop4", Format::Kea4, "<?include \"HERE/conf\"?>");
    assert!(why.contains("too deep"), "{why}");
    let why = refused("missing", Format::Dhcpd4, "include \"HERE/nothing\";");
    assert!(why.starts_with("cannot read /"), "{why}");
}

#[test]
fn dnsmasqs_folders_are_read_by_their_endings() {
    let lease = |name: &str| format!("dhcp-leasefile=/{name}\n");
    let names = ["a", "b.conf", "c.bak", ".d.conf", "e.conf~", "#f.conf#"];
    let contents = names.map(lease);
    let folder_with = |value: &str| {
        let conf = format!("# dhcp-leasefile=/no\nenable-dbus # =x\nconf-dir=HERE/d{value}\n");
        let paths = names.map(|name| format!("d/{name}"));
        let mut files = vec![("conf", conf.as_str())];
        files.extend(
            paths
                .iter()
                .map(String::as_str)
                .zip(contents.iter().map(String::as_str)),
        );
        let folder = Folder::of("dnsmasq", &files);
        folder.read(Format::Dnsmasq).unwrap()
    };
    assert_eq!(folder_with("").leases, Path::new("/c.bak"));
    assert_eq!(folder_with(",.bak").leases, Path::new("/b.conf"));
    assert_eq!(folder_with("/,*.conf").leases, Path::new("/b.conf"));
    assert_eq!(folder_with(",.bak,.conf").leases, Path::new("/a"));
    assert_eq!(
        folder_with("").bus_name.as_deref(),
        Some("uk.org.thekelleys.dnsmasq")
    );
}

#[test]
fn dnsmasqs_lines_are_taken_as_it_takes_them() {
    let of = |text: &str| {
        let folder = Folder::of("lines", &[("conf", text)]);
        folder.read(Format::Dnsmasq).unwrap()
    };
    assert_eq!(of("").leases, Path::new("/var/lib/misc/dnsmasq.leases"));
    assert_eq!(of(" dhcp-leasefile = /x#1 # c\n").leases, Path::new("/x#1"));
    assert_eq!(of("dhcp-leasefile=\"/x #1\"\n").leases, Path::new("/x #1"));
    assert_eq!(of("").leases_max, 1000);
    assert_eq!(of("dhcp-lease-max=20\n").leases_max, 20);
    assert_eq!(of("dhcp-lease-max=20\ndhcp-lease-max = x\n").leases_max, 20);
    assert_eq!(of("enable-dbus=a.b\n").bus_name.as_deref(), Some("a.b"));
}

#[test]
fn dhcpds_lease_files_are_told_by_family() {
    let folder = Folder::of(
        "dhcpd",
        &[
            (
                "conf",
                "# lease-file-name \"/no\";\nsubnet 192.0.2.0 netmask 255.255.255.0 { range 192.0.2.1; }\ninclude \"HERE/more\";\n",
            ),
            (
                "more",
                "Lease-File-Name \"/four\"; dhcpv6-lease-file-name \"/six\";",
            ),
        ],
    );
    assert_eq!(
        folder.read(Format::Dhcpd4).unwrap().leases,
        Path::new("/four")
    );
    assert_eq!(
        folder.read(Format::Dhcpd6).unwrap().leases,
        Path::new("/six")
    );
    let folder = Folder::of("dhcpd-default", &[("conf", "authoritative;")]);
    let leases = folder.read(Format::Dhcpd6).unwrap().leases;
    assert_eq!(leases, Path::new("/var/lib/dhcp/dhcpd6.leases"));
}

#[test]
fn pools_are_the_same_text_however_they_are_written() {
    let pools = |test: &str, format, text: &str| {
        let folder = Folder::of(test, &[("conf", text)]);
        folder.read(format).unwrap().pools
    };
    let kea = r#"{ "Dhcp4": { "subnet4": [
        { "subnet": "192.0.2.0/24", "pools": [ { "pool": "192.0.2.60 - 192.0.2.90" }, { "pool": "192.0.2.8/29" } ] } ],
        "shared-networks": [ { "subnet4": [ { "subnet": "198.51.100.0/24", "pools": [
            { "pool": "198.51.100.5-198.51.100.9" } ] } ] } ] } }"#;
    let wanted = [
        "192.0.2.0/24: 192.0.2.60-192.0.2.90",
        "192.0.2.0/24: 192.0.2.8/29",
        "198.51.100.0/24: 198.51.100.5-198.51.100.9",
    ];
    assert_eq!(pools("pools4", Format::Kea4, kea), wanted);
    let kea = r#"{ "Dhcp6": { "subnet6": [ { "subnet": "2001:db8::/64", "pd-pools": [
        { "prefix": "2001:db8:8::", "prefix-len": 48, "delegated-len": 64 } ] } ] } }"#;
    let wanted = ["2001:db8::/64: 2001:db8:8::/48 in /64"];
    assert_eq!(pools("pools6", Format::Kea6, kea), wanted);
    let dnsmasq =
        "dhcp-range = lan , 192.0.2.60,192.0.2.90, 1h\ndhcp-range=::1,::9,constructor:lan\n";
    let wanted = ["::1,::9,constructor:lan", "lan,192.0.2.60,192.0.2.90,1h"];
    assert_eq!(pools("ranges", Format::Dnsmasq, dnsmasq), wanted);
    let dhcpd = "shared-network a { subnet 192.0.2.0 netmask 255.255.255.0 {\n\
        pool { range   192.0.2.60\n192.0.2.90; } option routers 192.0.2.1; } }\n";
    let wanted = ["range 192.0.2.60 192.0.2.90"];
    assert_eq!(pools("pool", Format::Dhcpd4, dhcpd), wanted);
    let dhcpd = "subnet6 2001:db8::/64 { range6 2001:db8::1 2001:db8::9; prefix6 2001:db8:8:: 2001:db8:9:: /64; }";
    let wanted = [
        "prefix6 2001:db8:8:: 2001:db8:9:: /64",
        "range6 2001:db8::1 2001:db8::9",
    ];
    assert_eq!(pools("range6", Format::Dhcpd6, dhcpd), wanted);
}
