//! Reads dnsmasq's configuration, and the defaults of Debian's service.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::str;

use super::{Files, Places};

/// File with options of Debian's service, as shell variables.
pub const DEFAULTS: &str = "/etc/default/dnsmasq";
const LEASES: &str = "/var/lib/misc/dnsmasq.leases";
const BUS_NAME: &str = "uk.org.thekelleys.dnsmasq";

/// Reads the configuration; `defaults` is only given for the system's service.
pub fn read(files: &mut Files, path: &Path, defaults: Option<&Path>) -> Result<Places, String> {
    let mut options = Options {
        places: Places::of(LEASES),
        read_only: None,
    };
    let defaults = match defaults {
        // the service starts without it
        Some(defaults) => {
            Defaults::parse(&String::from_utf8_lossy(&files.read_optional(defaults)?))
        }
        None => Defaults::default(),
    };
    let mut main = path.to_owned();
    for word in defaults.options.split_ascii_whitespace() {
        match word.strip_prefix("--").unwrap_or(word).split_once('=') {
            Some(("conf-file", instead)) => main = PathBuf::from(instead),
            _ => options.line(files, Path::new(DEFAULTS), word.as_bytes())?,
        }
    }
    options.file(files, &main)?;
    if !defaults.folder.is_empty() {
        options.folder(files, defaults.folder.as_bytes())?;
    }
    match options.read_only {
        Some(by) => Err(format!(
            "{}: leasefile-ro leaves the leases to a script",
            by.display()
        )),
        None => Ok(options.places),
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Defaults {
    folder: String,
    options: String,
}

impl Defaults {
    fn parse(text: &str) -> Self {
        let mut defaults = Self::default();
        for line in text.lines() {
            let Some((name, value)) = line.trim_start().split_once('=') else {
                continue;
            };
            let value = match value.chars().next() {
                Some(quote @ ('"' | '\'')) => value.split(quote).nth(1),
                _ => value.split_ascii_whitespace().next(),
            };
            let value = value.unwrap_or_default().to_owned();
            match name {
                "CONFIG_DIR" => defaults.folder = value,
                "DNSMASQ_OPTS" => defaults.options = value,
                _ => {}
            }
        }
        defaults
    }
}

struct Options {
    places: Places,
    /// File that sets `leasefile-ro`: dnsmasq then writes no leases.
    read_only: Option<PathBuf>,
}

impl Options {
    fn file(&mut self, files: &mut Files, path: &Path) -> Result<(), String> {
        let source = files.read(path)?;
        for line in source.split(|byte| *byte == b'\n') {
            self.line(files, path, line)?;
        }
        Ok(())
    }

    fn line(&mut self, files: &mut Files, path: &Path, line: &[u8]) -> Result<(), String> {
        let line = without_comment(line);
        let mut halves = line.splitn(2, |byte| *byte == b'=');
        let name = halves.next().unwrap_or_default().trim_ascii();
        let value = halves.next().unwrap_or_default().trim_ascii();
        match name.strip_prefix(b"--").unwrap_or(name) {
            b"dhcp-leasefile" if !value.is_empty() => self.places.leases = path_of(value),
            b"enable-dbus" => {
                let name = if value.is_empty() {
                    BUS_NAME.as_bytes()
                } else {
                    value
                };
                self.places.bus_name = Some(String::from_utf8_lossy(name).into_owned());
            }
            b"dhcp-lease-max" => {
                let number = str::from_utf8(value).ok().and_then(|it| it.parse().ok());
                self.places.leases_max = number.unwrap_or(self.places.leases_max);
            }
            b"dhcp-range" if !value.is_empty() => {
                let text = String::from_utf8_lossy(value);
                let plain = text.chars().filter(|c| !c.is_whitespace());
                self.places.pools.push(plain.collect());
            }
            b"leasefile-ro" => self.read_only = Some(path.to_owned()),
            b"conf-file" if !value.is_empty() => {
                let path = path_of(value);
                files.include(&path, |files| self.file(files, &path))?;
            }
            b"conf-dir" if !value.is_empty() => self.folder(files, value)?,
            _ => {}
        }
        Ok(())
    }

    /// Reads a folder: `/etc/dnsmasq.d,*.conf` only reads files with this suffix,
    /// `/etc/dnsmasq.d,.bak` all others.
    fn folder(&mut self, files: &mut Files, value: &[u8]) -> Result<(), String> {
        let mut words = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        let folder = path_of(words.next().unwrap_or_default());
        let (wanted, unwanted): (Vec<_>, Vec<_>) = words
            .filter(|end| !end.is_empty())
            .partition(|end| end.starts_with(b"*"));
        for path in files.in_folder(&folder)? {
            let name = path.file_name().map(OsStr::as_bytes).unwrap_or_default();
            let mut among = wanted.iter().map(|end| end.get(1..).unwrap_or_default());
            let taken = wanted.is_empty() || among.any(|end| name.ends_with(end));
            let hidden = name.starts_with(b".")
                || name.ends_with(b"~")
                || name.starts_with(b"#") && name.ends_with(b"#");
            if taken && !hidden && !unwanted.iter().any(|end| name.ends_with(end)) {
                files.include(&path, |files| self.file(files, &path))?;
            }
        }
        Ok(())
    }
}

/// Returns the line without quotes and comments. A comment sign begins the line or follows a space.
fn without_comment(line: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(line.len());
    let mut quoted = false;
    let mut space = true;
    for byte in line {
        match byte {
            b'"' => quoted = !quoted,
            b'#' if space && !quoted => break,
            other => plain.push(*other),
        }
        space = byte.is_ascii_whitespace();
    }
    plain
}

fn path_of(text: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(text))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::discover::Source;

    #[test]
    fn debians_defaults_name_a_folder_and_options() {
        let folder = std::env::temp_dir().join(format!("spared-defaults-{}", std::process::id()));
        fs::create_dir_all(folder.join("d")).unwrap();
        let [defaults, conf] = ["defaults", "conf"].map(|name| folder.join(name));
        let here = folder.display();
        let text = format!(
            "# CONFIG_DIR=/no\nDNSMASQ_OPTS=\"--enable-dbus=a.b -u x\"\n\
             CONFIG_DIR={here}/d,.dpkg-dist,.dpkg-old,.dpkg-new\n"
        );
        fs::write(&defaults, text).unwrap();
        fs::write(&conf, "").unwrap();
        fs::write(folder.join("d/x"), "dhcp-leasefile=/x\n").unwrap();
        fs::write(folder.join("d/y.dpkg-old"), "dhcp-leasefile=/y\n").unwrap();
        let mut files = Files::default();
        let places = read(&mut files, &conf, Some(&defaults));
        fs::remove_dir_all(&folder).unwrap();
        let places = places.unwrap();
        let taken = [&defaults, &conf, &folder.join("d/x")].map(|path| Source::File(path.clone()));
        let wanted = [Source::Folder(folder.join("d"))].into_iter().chain(taken);
        assert_eq!(files.sources, wanted.collect());
        let mut files = Files::default();
        let _ = read(&mut files, &conf, Some(&defaults));
        assert!(
            files.sources.contains(&Source::File(defaults)),
            "it may come"
        );
        assert_eq!(places.leases, Path::new("/x"));
        assert_eq!(places.bus_name.as_deref(), Some("a.b"));
    }
}
