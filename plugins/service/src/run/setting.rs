//! Settings below /proc/sys.

use std::fs;
use std::path::{Path, PathBuf};

/// # Errors
/// The reason why it has another value, as a sentence.
pub(super) fn write(root: &Path, key: &str, value: &str) -> Result<(), String> {
    let path = path(root, key).ok_or_else(|| format!("{key} is not a setting name"))?;
    let shown = |error: std::io::Error| format!("{key}: {error}");
    // some settings have an effect each time that they are written
    let now = fs::read_to_string(&path).unwrap_or_default();
    if now.split_whitespace().eq(value.split_whitespace()) {
        return Ok(());
    }
    // the file must exist: nothing is created below /proc/sys
    let file = fs::OpenOptions::new().write(true).open(&path);
    let mut file = file.map_err(shown)?;
    std::io::Write::write_all(&mut file, format!("{value}\n").as_bytes()).map_err(shown)
}

/// Value of a setting; None if there is no such setting.
pub(super) fn read(root: &Path, key: &str) -> Option<String> {
    let text = fs::read_to_string(path(root, key)?).ok()?;
    Some(text.trim().to_owned())
}

/// Path of a setting as in sysctl(8): the first separator decides. Between dots a slash stands for a dot in a name, as
/// in net.ipv4.conf.eth0/5.forwarding; between slashes a dot is a dot.
fn path(root: &Path, key: &str) -> Option<PathBuf> {
    let first = key.find(['.', '/'])?;
    let mut path = root.join("proc/sys");
    let dots = key.get(first..)?.starts_with('.');
    let separator = if dots { '.' } else { '/' };
    for part in key.split(separator) {
        let part = if dots {
            part.replace('/', ".")
        } else {
            part.to_owned()
        };
        if part.is_empty() || part == "." || part == ".." || part.contains(['/', '\0']) {
            return None;
        }
        path.push(part);
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(key: &str) -> Option<String> {
        path(Path::new("/"), key).map(|path| path.display().to_string())
    }

    #[test]
    fn the_first_separator_of_a_key_decides() {
        let is = |path: &str| Some(format!("/proc/sys/{path}"));
        assert_eq!(of("net.ipv4.ip_forward"), is("net/ipv4/ip_forward"));
        assert_eq!(of("net/ipv4/ip_forward"), is("net/ipv4/ip_forward"));
        let vlan = is("net/ipv4/conf/eth0.5/rp_filter");
        assert_eq!(of("net/ipv4/conf/eth0.5/rp_filter"), vlan);
        assert_eq!(of("net.ipv4.conf.eth0/5.rp_filter"), vlan);
    }

    #[test]
    fn a_key_leads_nowhere_but_below_proc_sys() {
        for key in [
            "",
            "net",
            "net/../../etc/passwd",
            "/etc/passwd",
            "net..ipv4",
            "net.//.ipv4",
            "net/./ipv4",
            "net.ipv4/",
        ] {
            let found = of(key);
            assert!(
                found.as_deref().is_none_or(
                    |path| !path.contains("..") && path.starts_with("/proc/sys/net/ipv4.")
                ),
                "{key}: {found:?}"
            );
        }
        assert_eq!(of("net/../../etc/passwd"), None);
    }
}
