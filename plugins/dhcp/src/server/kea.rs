//! Client of Kea's control socket: JSON, one command for each connection.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::SocketAddrUnix;
use serde_json::{Map, Value, json};
use spared_sdk::hex;

use crate::codec::Format;
use crate::codec::kea::is_writable;
use crate::lease::{Change, INFINITE_S, Key, Kind, Lease, State};

use super::End;
use super::call::Call;
use super::clock::clock;

/// Time limit of a command; one test waits for longer.
const TIMEOUT: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 5 });
/// Time limit of `config-reload`, for which Kea reads all of its leases. It does nothing else meanwhile.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(60);
const ANSWER_MAX: usize = 16 << 20;
/// Number of commands in transit: Kea handles one after the other, but need not wait for the next.
const AT_ONCE: usize = 8;
/// Number of leases in one command, if Kea supports that: a lease that Kea refuses makes it refuse all.
const BULK: usize = 250;
/// Number of reloads in a row, and the pause between them, while the cleaning of Kea's file prevents them.
const RELOADS: usize = 10;
const RELOAD_AFTER: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 100_000_000,
};

/// Texts of Kea if its port is in use, and if its file is being cleaned.
const IN_USE: &str = "already in use";
const IN_PROGRESS: &str = "cleanup is in progress";

/// Result codes of Kea.
const SUCCESS: i64 = 0;
const EMPTY: i64 = 3;

#[derive(Debug)]
pub struct Kea {
    socket: PathBuf,
    format: Format,
    end: End,
}

/// Answer to one command.
#[derive(Debug)]
struct Answer {
    result: i64,
    text: String,
    arguments: Value,
}

impl Kea {
    pub fn new(format: Format, socket: &Path, end: &End) -> Self {
        Self {
            socket: socket.to_owned(),
            format,
            end: end.clone(),
        }
    }

    /// Returns true if Kea accepts leases.
    pub fn is_live(&self) -> Result<bool, String> {
        let answer = self.one(&json!({ "command": "list-commands" }), TIMEOUT)?;
        let wanted = self.command("update");
        let commands = answer.arguments.as_array();
        Ok(commands.is_some_and(|all| all.iter().any(|name| *name == *wanted)))
    }

    /// Switches its DHCP service off (true) or on.
    ///
    /// Kea listens on the addresses that its interfaces had when it was configured. DHCPv4 clients send renewals to an
    /// address that comes with the role, so Kea has to be configured again.
    ///
    /// # Errors
    /// Text: Kea cannot be reached, or does not obey.
    pub fn silence(&self, silent: bool) -> Result<(), String> {
        let origin = json!({ "origin": "user" });
        if silent {
            return self.must("dhcp-disable", &origin);
        }
        self.must("dhcp-enable", &origin)?;
        match self.format {
            Format::Kea4 => self.reload(),
            _ => Ok(()),
        }
    }

    /// Reloads Kea's configuration. Kea cannot read its leases while kea-lfc runs, and reports it. But a kea-lfc that
    /// is being started also holds Kea's sockets: Kea then cannot open them again, reports a successful configuration,
    /// receives nothing, and does not retry.
    fn reload(&self) -> Result<(), String> {
        let mut why = String::new();
        for _ in 0..RELOADS {
            let answer = self.one(&json!({ "command": "config-reload" }), RELOAD_TIMEOUT)?;
            why = match answer.result {
                SUCCESS => match self.occupied()? {
                    None => return Ok(()),
                    Some(why) => format!("it hears no clients: {why}"),
                },
                _ => answer.text,
            };
            if !why.contains(IN_USE) && !why.contains(IN_PROGRESS) {
                break;
            }
            let end = PollFd::new(&self.end.descriptor, PollFlags::IN);
            let _ = poll(&mut [end], Some(&RELOAD_AFTER));
        }
        Err(format!("config-reload: {why}"))
    }

    /// Returns the reason why Kea does not listen on an interface. An interface without an address is no fault.
    fn occupied(&self) -> Result<Option<String>, String> {
        let answer = self.one(&json!({ "command": "status-get" }), TIMEOUT)?;
        // older versions do not report it
        let sockets = answer.arguments.get("sockets");
        let errors = sockets.and_then(|sockets| sockets.get("errors"));
        let errors = errors.and_then(Value::as_array).into_iter().flatten();
        let mut errors = errors.filter_map(Value::as_str);
        let why = errors.find(|error| error.contains(IN_USE));
        Ok(why.map(str::to_owned))
    }

    fn must(&self, command: &str, arguments: &Value) -> Result<(), String> {
        let whole = json!({ "command": command, "arguments": arguments });
        let answer = self.one(&whole, TIMEOUT)?;
        match answer.result {
            SUCCESS => Ok(()),
            _ => Err(format!("{command}: {}", answer.text)),
        }
    }

    /// Applies some of `changes` from the front and removes them; appends leases that Kea refused to `refused`.
    ///
    /// # Errors
    /// Kea cannot be reached; removed changes may have been applied or not.
    pub fn apply(
        &self,
        changes: &mut VecDeque<Change>,
        refused: &mut Vec<(Key, String)>,
    ) -> Result<(), String> {
        let count = changes.len().min(match self.format {
            Format::Kea6 => BULK,
            _ => AT_ONCE,
        });
        let some: Vec<Change> = changes.drain(..count).collect();
        if self.format == Format::Kea6 && some.len() > 1 && self.bulk(&some)? {
            return Ok(());
        }
        for few in some.chunks(AT_ONCE) {
            let commands: Vec<Value> = few
                .iter()
                .map(|change| self.lease_command(change))
                .collect();
            for (change, answer) in few.iter().zip(self.several(&commands, TIMEOUT)?) {
                let is_gone = matches!(change, Change::Gone { .. });
                let done = answer.result == SUCCESS || (is_gone && answer.result == EMPTY);
                if !done {
                    refused.push((change.key(), answer.text));
                }
            }
        }
        Ok(())
    }

    /// Applies all changes in one command. Returns true if Kea accepts each.
    fn bulk(&self, changes: &[Change]) -> Result<bool, String> {
        let mut leases = Vec::new();
        let mut deleted = Vec::new();
        for change in changes {
            match change {
                Change::Put(lease) => leases.push(arguments(lease)),
                Change::Gone { key, .. } => deleted.push(name(*key)),
            }
        }
        let mut arguments = Map::new();
        for (key, list) in [("leases", leases), ("deleted-leases", deleted)] {
            if !list.is_empty() {
                arguments.insert(key.to_owned(), list.into());
            }
        }
        let command = json!({ "command": "lease6-bulk-apply", "arguments": arguments });
        let answer = self.one(&command, TIMEOUT)?;
        let failed = |key: &str| answer.arguments.get(key).and_then(Value::as_array);
        let has_failed = failed("failed-leases").is_some_and(|list| !list.is_empty());
        // a lease to delete that is not there is gone
        let is_empty = |lease: &Value| lease.get("result").and_then(Value::as_i64) == Some(EMPTY);
        let has_stayed =
            failed("failed-deleted-leases").is_some_and(|list| !list.iter().all(is_empty));
        Ok((answer.result == SUCCESS || answer.result == EMPTY) && !has_failed && !has_stayed)
    }

    fn lease_command(&self, change: &Change) -> Value {
        match change {
            Change::Put(lease) => {
                let mut arguments = arguments(lease);
                arguments.insert("force-create".to_owned(), true.into());
                json!({ "command": self.command("update"), "arguments": arguments })
            }
            Change::Gone { key, .. } => {
                json!({ "command": self.command("del"), "arguments": name(*key) })
            }
        }
    }

    fn command(&self, verb: &str) -> String {
        let family = if self.format == Format::Kea6 { 6 } else { 4 };
        format!("lease{family}-{verb}")
    }

    fn one(&self, command: &Value, limit: Duration) -> Result<Answer, String> {
        let answers = self.several(std::slice::from_ref(command), limit)?;
        answers
            .into_iter()
            .next()
            .ok_or_else(|| self.fault("it does not answer"))
    }

    /// Sends each command on a connection of its own; Kea handles them in this order. `limit` applies to each answer.
    fn several(&self, commands: &[Value], limit: Duration) -> Result<Vec<Answer>, String> {
        let fault = |error: String| self.fault(&error);
        let address =
            SocketAddrUnix::new(&self.socket).map_err(|error| fault(error.to_string()))?;
        let mut calls = Vec::new();
        for command in commands {
            let call = Call::connect(&address, &self.end, TIMEOUT).map_err(fault)?;
            call.write(command.to_string().as_bytes()).map_err(fault)?;
            calls.push(call);
        }
        let answers = calls.into_iter().map(|mut call| {
            call.extend(limit);
            let mut bytes = Vec::new();
            while call.read(&mut bytes, ANSWER_MAX)? {}
            Answer::parse(&bytes)
        });
        answers.collect::<Result<_, _>>().map_err(fault)
    }

    fn fault(&self, error: &str) -> String {
        format!("{}: {error}", self.socket.display())
    }
}

impl Answer {
    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let value: Value = serde_json::from_slice(bytes)
            .map_err(|error| format!("its answer cannot be read: {error}"))?;
        // in the form of the control agent, which asks several servers
        let value = value.get(0).unwrap_or(&value);
        let result = value.get("result").and_then(Value::as_i64);
        Ok(Self {
            result: result.ok_or("its answer has no result")?,
            text: value
                .get("text")
                .and_then(Value::as_str)
                .unwrap_or("no reason given")
                .to_owned(),
            arguments: value.get("arguments").cloned().unwrap_or_default(),
        })
    }
}

fn name(key: Key) -> Map<String, Value> {
    let mut name = Map::new();
    name.insert("ip-address".to_owned(), key.address.to_string().into());
    if key.kind != Kind::V4 {
        name.insert("type".to_owned(), kind(key.kind).into());
    }
    name
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::V4 => "V4",
        Kind::Na => "IA_NA",
        Kind::Ta => "IA_TA",
        Kind::Pd => "IA_PD",
    }
}

fn arguments(lease: &Lease) -> Map<String, Value> {
    let mut all = name(lease.key);
    let mut put = |key: &str, value: Value| drop(all.insert(key.to_owned(), value));
    // an empty address is valid, and DHCPv4 requires one
    if !lease.client.hardware.is_empty() || lease.key.kind == Kind::V4 {
        put("hw-address", hex::text(&lease.client.hardware, ":").into());
    }
    if lease.key.kind == Kind::V4 {
        if !lease.client.id.is_empty() {
            put("client-id", hex::text(&lease.client.id, ":").into());
        }
    } else {
        put("duid", hex::text(&lease.client.id, ":").into());
        put("iaid", lease.client.iaid.into());
        put("preferred-lft", lease.preferred_s.into());
        if lease.key.kind == Kind::Pd {
            put("prefix-len", lease.key.prefix.into());
        }
    }
    put("valid-lft", lease.valid_s.into());
    if let Some(expires_ns) = lease.expires_ns.filter(|_| lease.valid_s != INFINITE_S) {
        put("expire", clock().unix_s(expires_ns).into());
    }
    // Kea would write it unescaped, and not read it back
    if !lease.hostname.is_empty() && is_writable(&lease.hostname) {
        put("hostname", String::from_utf8_lossy(&lease.hostname).into());
    }
    put(
        "state",
        match lease.state {
            State::Leased => 0,
            State::Declined => 1,
            State::Free => 2,
        }
        .into(),
    );
    for (field, argument) in [("subnet_id", "subnet-id"), ("pool_id", "pool-id")] {
        let number = lease
            .extra
            .get(field)
            .and_then(|text| text.parse::<u32>().ok());
        if let Some(number) = number {
            put(argument, number.into());
        }
    }
    for (field, argument) in [("fqdn_fwd", "fqdn-fwd"), ("fqdn_rev", "fqdn-rev")] {
        if lease.extra.get(field).is_some_and(|text| text == "1") {
            put(argument, true.into());
        }
    }
    let context = lease
        .extra
        .get("user_context")
        .map(|text| serde_json::from_str(text));
    if let Some(Ok(context @ Value::Object(_))) = context {
        put("user-context", context);
    }
    all
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::thread;

    use super::*;
    use crate::server::scratch::Folder;

    const DONE: &str = r#"{ "result": 0 }"#;
    const READY: &str = r#"{ "result": 0, "arguments": { "sockets": { "status": "ready" } } }"#;
    const BOUND: &str = r#"{ "result": 0, "arguments": { "sockets": { "status": "failed", "errors":
        [ "the interface b has no usable IPv4 addresses configured",
          "failed to bind fallback socket, reason: Address already in use" ] } } }"#;
    const CLEANING: &str =
        r#"{ "result": 1, "text": "Unable to load: lease file cleanup is in progress" }"#;
    const WRONG: &str = r#"{ "result": 1, "text": "Config reload failed: missing comma" }"#;
    const NO_ADDRESS: &str = r#"{ "result": 0, "arguments": { "sockets": { "status": "failed",
        "errors": [ "the interface b has no usable IPv4 addresses configured" ] } } }"#;

    /// Returns the commands that a fake Kea receives, and the result. It answers `config-reload` and `status-get` with
    /// these in turn, and repeats the last ones.
    fn told(answers: &'static [[&str; 2]]) -> (Vec<String>, Result<(), String>) {
        told_late(answers, Duration::ZERO)
    }

    /// Like `told`, with a delay of each `config-reload`.
    fn told_late(
        answers: &'static [[&str; 2]],
        late: Duration,
    ) -> (Vec<String>, Result<(), String>) {
        let folder = Folder::new("kea");
        let socket = folder.path("socket");
        let listener = UnixListener::bind(&socket).unwrap();
        let server = thread::spawn(move || {
            let mut reloads = 0;
            let mut commands = Vec::new();
            loop {
                let (mut stream, _) = listener.accept().unwrap();
                let mut bytes = [0; 4096];
                let count = stream.read(&mut bytes).unwrap();
                let Ok(value) = serde_json::from_slice::<Value>(&bytes[..count]) else {
                    return commands;
                };
                let command = value["command"].as_str().unwrap().to_owned();
                if command == "config-reload" {
                    reloads += 1;
                    thread::sleep(late);
                }
                let answer = match command.as_str() {
                    "dhcp-enable" => DONE,
                    command => {
                        let at = reloads.min(answers.len()) - 1;
                        answers[at][usize::from(command == "status-get")]
                    }
                };
                commands.push(command);
                // the client may have left
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        let result = Kea::new(Format::Kea4, &socket, &End::new().unwrap()).silence(false);
        drop(UnixStream::connect(&socket).unwrap());
        (server.join().unwrap(), result)
    }

    fn reloads(commands: &[String]) -> usize {
        let reloads = commands.iter().filter(|it| *it == "config-reload");
        reloads.count()
    }

    #[test]
    fn a_server_whose_cleaning_is_in_the_way_is_configured_until_it_hears() {
        let (commands, result) = told(&[[DONE, BOUND], [CLEANING, DONE], [DONE, READY]]);
        assert_eq!(result, Ok(()));
        assert_eq!(reloads(&commands), 3, "{commands:?}");

        let (commands, result) = told(&[[DONE, BOUND]]);
        let why = result.unwrap_err();
        assert!(why.contains("Address already in use"), "{why}");
        assert_eq!(reloads(&commands), RELOADS);
    }

    #[test]
    fn a_server_that_reads_its_leases_for_long_is_configured_once() {
        let late = TIMEOUT + Duration::from_millis(500);
        let (commands, result) = told_late(&[[DONE, READY]], late);
        assert_eq!(result, Ok(()));
        assert_eq!(reloads(&commands), 1);
    }

    #[test]
    fn a_server_that_hears_where_it_can_or_never_will_is_configured_once() {
        for answers in [&[[DONE, READY]], &[[DONE, DONE]], &[[DONE, NO_ADDRESS]]] {
            let (commands, result) = told(answers);
            assert_eq!(result, Ok(()));
            assert_eq!(commands, ["dhcp-enable", "config-reload", "status-get"]);
        }
        let (commands, result) = told(&[[WRONG, READY]]);
        assert!(result.unwrap_err().contains("missing comma"));
        assert_eq!(reloads(&commands), 1);
    }
}
