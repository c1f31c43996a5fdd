//! Detects whether a server's process exists, for file systems that do not tell which process
//! writes a file.

use std::fs;
use std::io;

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

use crate::codec::Format;

/// Reads its pid file, at the place where the packages have it.
///
/// # Errors
/// Text: a pid file cannot be read, so that it is unknown.
pub fn has_process(format: Format) -> Result<bool, String> {
    lives(match format {
        Format::Kea4 => &["/run/kea/kea-dhcp4.kea-dhcp4.pid"],
        Format::Kea6 => &["/run/kea/kea-dhcp6.kea-dhcp6.pid"],
        Format::Dnsmasq => &["/run/dnsmasq/dnsmasq.pid", "/run/dnsmasq.pid"],
        Format::Dhcpd4 => &["/run/dhcp-server/dhcpd.pid", "/run/dhcpd.pid"],
        Format::Dhcpd6 => &["/run/dhcp-server/dhcpd6.pid", "/run/dhcpd6.pid"],
    })
}

fn lives(paths: &[&str]) -> Result<bool, String> {
    for path in paths {
        let text = match fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other.map_err(|error| format!("{path}: {error}"))?,
        };
        let pid = text.trim().parse().ok().and_then(Pid::from_raw);
        // a process of another account exists as well
        if pid.is_some_and(|pid| test_kill_process(pid) != Err(Errno::SRCH)) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::scratch::Folder;

    #[test]
    fn a_pid_file_that_cannot_be_read_is_no_proof_that_nothing_runs() {
        let folder = Folder::new("pid");
        let name = |name: &str| folder.path(name).display().to_string();
        let (missing, here, odd) = (name("missing"), name("here"), name("odd"));
        assert_eq!(lives(&[&missing]), Ok(false));
        fs::write(&here, format!("{}\n", std::process::id())).unwrap();
        assert_eq!(lives(&[&missing, &here]), Ok(true));
        fs::write(&here, "nonsense").unwrap();
        assert_eq!(lives(&[&here]), Ok(false));
        fs::create_dir(&odd).unwrap();
        assert!(lives(&[&missing, &odd]).unwrap_err().contains("odd"));
    }
}
