//! Reads Kea's configuration: JSON with comments and includes.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Files, Places};

const DATA: &str = "/var/lib/kea";
const SOCKETS: &str = "/run/kea";
const LEASE_COMMANDS: &str = "libdhcp_lease_cmds.so";
const INCLUDE: &[u8] = b"<?include";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}

pub fn read(files: &mut Files, path: &Path, family: Family) -> Result<Places, String> {
    let mut text = Vec::new();
    plain(files, path, &mut text)?;
    let whole: Value = serde_json::from_slice(&text)
        .map_err(|error| format!("{} is not a configuration of Kea: {error}", path.display()))?;
    let (name, leases, identity) = match family {
        Family::V4 => ("Dhcp4", "kea-leases4.csv", None),
        Family::V6 => ("Dhcp6", "kea-leases6.csv", Some("kea-dhcp6-serverid")),
    };
    let server = whole.get(name).filter(|server| server.is_object());
    let server = server.ok_or_else(|| format!("{} has no {name}", path.display()))?;
    let data = Path::new(text_of(server, "data-directory").unwrap_or(DATA));
    let database = server.get("lease-database").unwrap_or(&Value::Null);
    match text_of(database, "type") {
        None | Some("memfile") => {}
        Some(other) => {
            let path = path.display();
            return Err(format!(
                "{path}: leases in a database ({other}) cannot be replicated"
            ));
        }
    }
    if database.get("persist") == Some(&Value::Bool(false)) {
        return Err(format!(
            "{}: its leases are not kept in a file (persist is false)",
            path.display()
        ));
    }
    let persists = server.get("server-id").and_then(|id| id.get("persist"));
    let identity = identity.filter(|_| persists != Some(&Value::Bool(false)));
    Ok(Places {
        socket: socket(server),
        has_lease_commands: has_lease_commands(server),
        server_id: identity.map(|name| data.join(name)),
        pools: pools(server, family),
        ..Places::of(data.join(text_of(database, "name").unwrap_or(leases)))
    })
}

/// Returns pools like "192.0.2.0/24: 192.0.2.10-192.0.2.90", and "2001:db8::/32 in /64" for
/// prefixes.
fn pools(server: &Value, family: Family) -> Vec<String> {
    let key = match family {
        Family::V4 => "subnet4",
        Family::V6 => "subnet6",
    };
    let shared = all_of(server, "shared-networks");
    let subnets = shared.flat_map(|network| all_of(network, key));
    let subnets = all_of(server, key).chain(subnets);
    let pools_of = |subnet: &Value| -> Vec<String> {
        let name = text_of(subnet, "subnet").unwrap_or_default();
        let ranges = all_of(subnet, "pools").filter_map(|pool| text_of(pool, "pool"));
        let plain = ranges.map(|range| range.split_whitespace().collect::<String>());
        let prefixes = all_of(subnet, "pd-pools").map(prefixes);
        let all = plain.chain(prefixes);
        all.map(|pool| format!("{name}: {pool}")).collect()
    };
    subnets.flat_map(pools_of).collect()
}

fn prefixes(pool: &Value) -> String {
    let number = |key: &str| pool.get(key).and_then(Value::as_u64).unwrap_or(0);
    let prefix = text_of(pool, "prefix").unwrap_or_default();
    let (length, delegated) = (number("prefix-len"), number("delegated-len"));
    format!("{prefix}/{length} in /{delegated}")
}

fn all_of<'a>(object: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    let all = object.get(key).and_then(Value::as_array);
    all.into_iter().flatten()
}

fn text_of<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object.get(key)?.as_str().filter(|text| !text.is_empty())
}

/// Returns the path of `control-socket`, since Kea 2.7 of one of `control-sockets`.
fn socket(server: &Value) -> Option<PathBuf> {
    let several = server.get("control-sockets").and_then(Value::as_array);
    let all = several
        .into_iter()
        .flatten()
        .chain(server.get("control-socket"));
    let mut unix =
        all.filter(|socket| matches!(text_of(socket, "socket-type"), None | Some("unix")));
    unix.find_map(|socket| Some(Path::new(SOCKETS).join(text_of(socket, "socket-name")?)))
}

fn has_lease_commands(server: &Value) -> bool {
    let hooks = server.get("hooks-libraries").and_then(Value::as_array);
    let mut libraries = hooks
        .into_iter()
        .flatten()
        .filter_map(|hook| text_of(hook, "library"));
    libraries.any(|library| Path::new(library).file_name() == Some(OsStr::new(LEASE_COMMANDS)))
}

/// Appends the file as plain JSON: without comments, with included files, and without the extra
/// commas of which Kea only warns.
fn plain(files: &mut Files, path: &Path, out: &mut Vec<u8>) -> Result<(), String> {
    let source = files.read(path)?;
    let mut rest = source.as_slice();
    while let Some((first, tail)) = rest.split_first() {
        rest = match (first, tail) {
            (b'"', _) => {
                let (text, after) = quoted(rest);
                out.extend_from_slice(text);
                after
            }
            (b'#', _) | (b'/', [b'/', ..]) => from(rest, b"\n"),
            (b'/', [b'*', inner @ ..]) => behind(inner, b"*/"),
            (b'<', _) if rest.starts_with(INCLUDE) => {
                let (name, after) = quoted(from(rest, b"\""));
                let name = name
                    .strip_prefix(b"\"")
                    .and_then(|name| name.strip_suffix(b"\""));
                let name = name.ok_or_else(|| format!("{} includes nothing", path.display()))?;
                let name = Path::new(OsStr::from_bytes(name));
                files.include(name, |files| plain(files, name, out))?;
                behind(after, b"?>")
            }
            (b'}' | b']', _) => {
                let kept = out.trim_ascii_end().strip_suffix(b",").map(<[u8]>::len);
                out.truncate(kept.unwrap_or(out.len()));
                out.push(*first);
                tail
            }
            _ => {
                out.push(*first);
                tail
            }
        };
    }
    Ok(())
}

/// Splits the source after a quoted text.
fn quoted(source: &[u8]) -> (&[u8], &[u8]) {
    let mut escaped = false;
    let ends = |byte: &u8| {
        let ends = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    };
    let end = source.iter().skip(1).position(ends);
    let length = end.map_or(source.len(), |end| end.saturating_add(2));
    source.split_at_checked(length).unwrap_or((source, &[]))
}

fn from<'a>(source: &'a [u8], mark: &[u8]) -> &'a [u8] {
    let at = source.windows(mark.len()).position(|window| window == mark);
    at.and_then(|at| source.get(at..)).unwrap_or_default()
}

fn behind<'a>(source: &'a [u8], mark: &[u8]) -> &'a [u8] {
    from(source, mark).get(mark.len()..).unwrap_or_default()
}
