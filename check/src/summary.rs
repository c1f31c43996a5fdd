//! Sorts faults by file and line, and counts them.

use std::collections::BTreeSet;
use std::path::Path;

use spared_config::Fault;

use crate::{Finding, Severity};

/// Faults sorted by file and line. Each file has its folder: "plugins/vrrp.toml". `config` is the path of
/// `spared.toml`.
pub fn by_place(config: &Path, of_host: Vec<Fault>, of_plugins: Vec<Fault>) -> Vec<Fault> {
    let own = config.file_name().map(|name| name.to_string_lossy());
    let in_folder = |fault: Fault| {
        // the folder itself may be unreadable as well
        let is_below = fault.file != "plugins" && own.as_deref() != Some(fault.file.as_str());
        if is_below {
            Fault {
                file: format!("plugins/{}", fault.file),
                ..fault
            }
        } else {
            fault
        }
    };
    let all = of_host.into_iter().chain(of_plugins);
    let mut all: Vec<Fault> = all.map(in_folder).collect();
    let place = |fault: &Fault| {
        let is_below = fault.file.starts_with("plugins/");
        (
            is_below,
            fault.file.clone(),
            fault.line.unwrap_or(usize::MAX),
        )
    };
    all.sort_by_key(place);
    all
}

/// Text such as "3 faults in 2 files, 1 warning"; empty if there are none.
pub fn counts(faults: &[Fault], findings: &[Finding]) -> String {
    let files: BTreeSet<&str> = faults.iter().map(|fault| fault.file.as_str()).collect();
    let of = |severity| findings.iter().filter(|it| it.severity == severity).count();
    let of_files = match files.len() {
        0 => String::new(),
        count => format!(" in {}", counted(count, "file")),
    };
    let parts = [
        (faults.len(), "fault", of_files.as_str()),
        (of(Severity::Error), "error", ""),
        (of(Severity::Warning), "warning", ""),
    ];
    let parts = parts.into_iter().filter(|(count, ..)| *count > 0);
    let parts: Vec<String> = parts
        .map(|(count, what, rest)| format!("{}{rest}", counted(count, what)))
        .collect();
    parts.join(", ")
}

fn counted(count: usize, what: &str) -> String {
    let end = if count == 1 { "" } else { "s" };
    format!("{count} {what}{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(file: &str, line: Option<usize>) -> Fault {
        Fault {
            line,
            ..Fault::whole(file, "x")
        }
    }

    #[test]
    fn faults_come_in_the_order_of_their_places() {
        let of_host = vec![fault("spared.toml", Some(9)), fault("spared.toml", Some(2))];
        let of_plugins = vec![
            fault("vrrp.toml", None),
            fault("vrrp.toml", Some(10)),
            fault("dhcp.toml", Some(2)),
            fault("plugins", None),
        ];
        let config = Path::new("/etc/spared/spared.toml");
        let all = by_place(config, of_host, of_plugins);
        let all: Vec<String> = all.iter().map(ToString::to_string).collect();
        let wanted = [
            "plugins: x",
            "spared.toml:2: x",
            "spared.toml:9: x",
            "plugins/dhcp.toml:2: x",
            "plugins/vrrp.toml:10: x",
            "plugins/vrrp.toml: x",
        ];
        assert_eq!(all, wanted);
    }

    #[test]
    fn the_last_line_counts_what_was_found() {
        let warning = Finding::new("x", Severity::Warning, "x");
        let error = Finding::new("x", Severity::Error, "x");
        let note = Finding::new("x", Severity::Note, "x");
        let faults = [fault("a", None), fault("b", None), fault("b", None)];
        assert_eq!(counts(&faults, &[]), "3 faults in 2 files");
        let found = [warning.clone(), note.clone()];
        assert_eq!(counts(&faults[..1], &found), "1 fault in 1 file, 1 warning");
        assert_eq!(
            counts(&[], &[error, warning.clone(), warning]),
            "1 error, 2 warnings"
        );
        assert_eq!(counts(&[], &[note]), "");
    }
}
