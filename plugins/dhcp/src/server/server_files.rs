//! Files of a server and its control channel: where they are, whether the server has them open, and how a lease file is
//! replaced as a whole.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use spared_file::{Access, remove, replace};
use spared_sdk::hex;

use crate::codec::{self, Format};
use crate::config;
use crate::discover::{self, Places};
use crate::lease::Set;

use super::End;
use super::clock::clock;
use super::control::Control;
use super::free_space;
use super::occupied::{has_writer, is_being_written, is_unsupported};
use super::opened::{Opened, SIZE_MAX, too_large};
use super::process::has_process;
use super::tail::{Tail, kea_companion};
use super::watch::{Watch, Which};

/// Limit of an identity file in bytes: a DUID has at most 130 bytes, three characters each.
const IDENTITY_MAX: u64 = 1024;
/// Bytes of a lease in the file of any server, except for unusually long texts.
const LEASE_BYTES: u64 = 200;

#[derive(Debug)]
pub struct ServerFiles {
    pub format: Format,
    pub places: Places,
    pub watch: Watch,
    pub tail: Tail,
    pub control: Control,
}

impl ServerFiles {
    /// Opens the files. If the lease file has the same path as before, the earlier tail is
    /// continued: the server may be the only one to have that file.
    ///
    /// # Errors
    /// Text: the server's configuration or the folder of its leases cannot be read.
    pub fn open(
        settings: &config::Server,
        end: &End,
        before: &mut Option<Self>,
    ) -> Result<Self, String> {
        let places = places(settings)?;
        let mut watch = Watch::new().map_err(|error| format!("inotify: {error}"))?;
        let mut add = |path: &Path, which| {
            let added = watch.add(path, which);
            added.map_err(|error| format!("the folder of {}: {error}", path.display()))
        };
        add(&places.leases, Which::Leases)?;
        if let Some(server_id) = &places.server_id {
            // this plugin may lack access to it
            let _ = add(server_id, Which::Identity);
        }
        let before = before.take_if(|before| before.places.leases == places.leases);
        let new = || Tail::new(settings.format, &places.leases, end.clone());
        Ok(Self {
            format: settings.format,
            tail: before.map_or_else(new, |before| before.tail),
            control: Control::new(settings, &places, end),
            watch,
            places,
        })
    }

    /// Returns true if the server runs.
    pub fn has_server(&self) -> Result<bool, String> {
        let Some(file) = self.tail.file() else {
            return Ok(false);
        };
        match has_writer(file) {
            Err(error) if is_unsupported(&error) => has_process(self.format),
            other => other.map_err(|error| format!("{}: {error}", self.places.leases.display())),
        }
    }

    /// Returns true if a process writes the file that is read, whatever its name.
    pub fn is_still_written(&self) -> bool {
        let file = self.tail.file();
        file.is_some_and(|file| has_writer(file).unwrap_or(false))
    }

    /// Watches the file in which the server continues without a name. Returns true if that is new.
    pub fn watch_unnamed_file(&mut self) -> Result<bool, String> {
        let watched = self.watch.follow(self.tail.unnamed_file());
        watched.map_err(|error| {
            let path = self.places.leases.display();
            format!("{path}: its server writes to a file that no longer has this name, and that file cannot be watched: {error}")
        })
    }

    /// Checks that a file of this many leases could be written.
    pub fn probe(&self, leases: usize) -> Result<(), String> {
        let path = &self.places.leases;
        let bytes = (leases as u64).saturating_mul(LEASE_BYTES);
        let folder = path.parent().unwrap_or(Path::new("/"));
        free_space::probe(folder, bytes.max(4096))
    }

    /// Replaces the server's file, and its identity, by those of `set`.
    pub fn replace(&mut self, set: &Set) -> Result<(), String> {
        let path = self.places.leases.clone();
        self.refuse_while_written()?;
        let before = match Opened::open(&path) {
            Ok(opened) => {
                read_all(&opened).map_err(|error| format!("{}: {error}", path.display()))?
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(format!("{}: {error}", path.display())),
        };
        let bytes = codec::write(self.format, set, &before, clock());
        if bytes.len() as u64 > SIZE_MAX {
            return Err(format!("{}: {}", path.display(), too_large()));
        }
        refuse_unreadable(self.format, &bytes)?;
        if let (Some(server_id), Some(identity)) = (&self.places.server_id, &set.identity) {
            write_identity(server_id, identity)?;
        }
        // it may have started meanwhile, and would continue in a file without a name
        replace(&path, &bytes, Access::AsBefore, || {
            self.refuse_while_written()
        })?;
        self.tail.wrote(&bytes)?;
        if is_kea(self.format) {
            let suffixes = [".completed", ".output", ".1", ".2"];
            remove(&suffixes.map(|suffix| kea_companion(&path, suffix)))?;
        }
        Ok(())
    }

    /// Returns Kea's DUID, which is in a file of its own.
    pub fn identity(&self) -> Result<Option<Vec<u8>>, String> {
        let Some(path) = &self.places.server_id else {
            return Ok(None);
        };
        read_identity(path).map_err(|error| format!("{}: {error}", path.display()))
    }

    fn refuse_while_written(&self) -> Result<(), String> {
        let path = &self.places.leases;
        let fault = |path: &Path, error: io::Error| format!("{}: {error}", path.display());
        let runs = match is_being_written(path) {
            Err(error) if is_unsupported(&error) => has_process(self.format)?,
            other => other.map_err(|error| fault(path, error))?,
        };
        // or has it, although it was removed
        if runs || self.has_server()? {
            return Err(format!("{} is in use: the server runs", path.display()));
        }
        let output = kea_companion(path, ".output");
        // without leases of the file system, Kea's own locking has to suffice
        if is_kea(self.format) && is_being_written(&output).unwrap_or(false) {
            return Err(format!("{} is in use: kea-lfc runs", output.display()));
        }
        Ok(())
    }
}

pub fn places(settings: &config::Server) -> Result<Places, String> {
    let found = match (
        discover::read(settings.format, &settings.config).places,
        &settings.leases,
    ) {
        (Ok(found), _) => found,
        (Err(_), Some(leases)) => Places {
            leases: leases.clone(),
            socket: None,
            has_lease_commands: settings.socket.is_some(),
            bus_name: None,
            server_id: None,
            leases_max: discover::LEASES_MAX,
            pools: Vec::new(),
        },
        (Err(why), None) => return Err(why),
    };
    let instead = |given: &Option<PathBuf>, found| given.clone().or(found);
    Ok(Places {
        leases: settings.leases.clone().unwrap_or(found.leases),
        socket: instead(&settings.socket, found.socket),
        has_lease_commands: found.has_lease_commands,
        bus_name: settings.bus_name.clone().or(found.bus_name),
        server_id: instead(&settings.server_id, found.server_id),
        leases_max: found.leases_max,
        // pools do not change the files
        pools: Vec::new(),
    })
}

/// Refuses a file that the server would not read to its end, so that it never replaces a good one.
fn refuse_unreadable(format: Format, bytes: &[u8]) -> Result<(), String> {
    let mut reader = codec::Reader::new(format);
    let found = reader.feed(bytes, clock());
    match (found.why, reader.unread()) {
        (None, 0) => Ok(()),
        (why, _) => Err(format!(
            "the new contents are invalid: {}",
            why.unwrap_or_default()
        )),
    }
}

fn read_all(opened: &Opened) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    (&*opened.file).take(SIZE_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > SIZE_MAX {
        return Err(too_large());
    }
    Ok(bytes)
}

fn read_identity(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let opened = match Opened::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let mut text = String::new();
    (&*opened.file)
        .take(IDENTITY_MAX)
        .read_to_string(&mut text)?;
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let bytes = text.split(':').map(|byte| u8::from_str_radix(byte, 16));
    let bytes: Result<Vec<u8>, _> = bytes.collect();
    bytes
        .map(Some)
        .map_err(|_| io::Error::other("it contains no DUID"))
}

fn write_identity(path: &Path, identity: &[u8]) -> Result<(), String> {
    if matches!(read_identity(path), Ok(Some(before)) if before == identity) {
        return Ok(());
    }
    replace(
        path,
        hex::text(identity, ":").as_bytes(),
        Access::AsBefore,
        || Ok(()),
    )
}

fn is_kea(format: Format) -> bool {
    matches!(format, Format::Kea4 | Format::Kea6)
}
