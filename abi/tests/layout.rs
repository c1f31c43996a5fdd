//! Holds three descriptions of the ABI to each other: plugin.h, its mirror, and layout.txt.
//!
//! `BLESS=1 cargo test -p spared-abi` writes layout.txt anew; after ABI 1.0 its lines may only be
//! appended to.
#![cfg(target_pointer_width = "64")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use spared_abi as abi;

fn field_size<T, F>(_: fn(&T) -> &F) -> usize {
    size_of::<F>()
}

fn field_type<T, F>(_: fn(&T) -> &F) -> &'static str {
    std::any::type_name::<F>()
}

/// A pointer to a function as C declares it: "spared_status (void *, uint32_t)"; None of other types.
fn signature(field: &str, structs: &[(&str, &str)]) -> Option<String> {
    let (_, function) = field.split_once("extern \"C\" fn(")?;
    let (arguments, result) = function.strip_suffix('>')?.split_once(')')?;
    let result = result.strip_prefix(" -> ").unwrap_or("()");
    let arguments: Vec<String> = arguments
        .split(", ")
        .map(|argument| c_type(argument, structs))
        .collect();
    let result = c_type(result, structs);
    Some(format!("{result} ({})", arguments.join(", ")))
}

fn c_type(rust: &str, structs: &[(&str, &str)]) -> String {
    let of_pointer = |qualifier: &str, to: &str| format!("{qualifier}{} *", c_type(to, structs));
    if let Some(to) = rust.strip_prefix("*mut ") {
        return of_pointer("", to).replace("* *", "**");
    }
    if let Some(to) = rust.strip_prefix("*const ") {
        return of_pointer("const ", to);
    }
    match rust {
        "()" => "void",
        "i8" | "u8" => "char",
        "i32" => "int32_t",
        "u32" => "uint32_t",
        "i64" => "int64_t",
        "u64" => "uint64_t",
        void if void.ends_with("::c_void") => "void",
        name => {
            let found = structs.iter().find(|(rust, _)| *rust == name);
            let (_, c_name) = found.unwrap_or_else(|| panic!("{name} is of no known type"));
            return format!("struct {c_name}");
        }
    }
    .to_owned()
}

/// Lines for one struct: its C name, then each field with offset, size, and a function's signature.
macro_rules! layout {
    ($($c_name:literal $type:ident { $($field:ident),* })*) => {{
        let mut text = String::new();
        let structs = [$((std::any::type_name::<abi::$type>(), $c_name)),*];
        $(
            let _ = writeln!(text, "struct {} {}", $c_name, size_of::<abi::$type>());
            $(
                let offset = std::mem::offset_of!(abi::$type, $field);
                let size = field_size(|value: &abi::$type| &value.$field);
                let _ = write!(text, "\t{} {} {}", stringify!($field), offset, size);
                let field = field_type(|value: &abi::$type| &value.$field);
                if let Some(signature) = signature(field, &structs) {
                    let _ = write!(text, " {signature}");
                }
                text.push('\n');
            )*
        )*
        text
    }};
}

macro_rules! constants {
    ($($name:ident)*) => {{
        let mut text = String::new();
        $(let _ = writeln!(text, "const SPARED_{} {}", stringify!($name), abi::$name);)*
        text
    }};
}

macro_rules! texts {
    ($($name:ident)*) => {{
        let mut text = String::new();
        $(let _ = writeln!(text, "text SPARED_{} {}", stringify!($name), abi::$name.to_str().unwrap());)*
        text
    }};
}

fn mirror() -> String {
    let structs = layout! {
        "spared_str" Str { ptr, len }
        "spared_bytes" Bytes { ptr, len }
        "spared_role" RoleEvent { size, role, group, why, deadline_ns, flags, before, epoch, cause }
        "spared_host" Host {
            size, minor, ctx, brand, log, wake, fail, config_get, config_type, config_keys, config_len, watch_fd, timer, now, done,
            put_text, put_u64, put_i64, extension
        }
        "spared_plugin" Plugin {
            size, minor, needs_minor, flags, wire_min, wire_max, capabilities, name, version,
            vendor, summary, brand, create, destroy, configure, start, stop, drain, settle, role, fd,
            timer, woken, query, extension, paths, verbs, verb_count, calls
        }
        "spared_verb" Verb { size, effect, word, usage, summary }
        "spared_peer" Peer { size, reserved, send, in_sync }
        "spared_peer_plugin" PeerPlugin { size, reserved, up, down, message, writable }
        "spared_local" Local { size, reserved, send }
        "spared_local_plugin" LocalPlugin {
            size, partner_count, partners, up, down, message, writable
        }
        "spared_identity" Identity { size, reserved, sign, verify }
        "spared_identity_plugin" IdentityPlugin { size, reserved, signature, verified }
        "spared_check" Check { size, reserved, report, forget }
        "spared_scope" Scope { size, reserved, declare }
        "spared_group_status" GroupStatus { size, verdict, group, headline, role, reserved }
        "spared_finding" Finding { size, flags, id, node, thing, text, todo, since }
        "spared_pair_status" PairStatus {
            size, flags, verdict, quality, node, peer, groups, findings, group_count, finding_count,
            left_out, reserved
        }
        "spared_event" Event { size, level, lost, at, kind, group, reason, text }
        "spared_watch" Watch { size, reserved, watch }
        "spared_watch_plugin" WatchPlugin { size, reserved, status, event }
        "spared_socket" Socket { size, kind, fd, reserved }
        "spared_own_address" OwnAddress { size, family, prefix, flags, octets }
        "spared_interface_event" InterfaceEvent {
            size, flags, name, index, mtu, mac, addresses, address_count, socket_count, sockets
        }
        "spared_interface" Interface { size, reserved, follow, unfollow }
        "spared_interface_plugin" InterfacePlugin { size, reserved, changed }
        "spared_virtual_router_claim" VirtualRouterClaim { size, flags, interface, family, vrid, vmac_name }
        "spared_address_claim" AddressClaim {
            size, flags, virtual_router, family, prefix, reserved, interface, octets
        }
        "spared_route_claim" RouteClaim {
            size, flags, family, prefix, metric, table, interface, destination, gateway, source
        }
        "spared_claims" Claims {
            size, flags, virtual_routers, addresses, routes, virtual_router_count, address_count, route_count,
            refresh_s, lease_ns
        }
        "spared_cause" Cause {
            size, kind, flags, own, theirs, reserved, for_ns, peer, interface, text
        }
        "spared_group_claim" GroupClaim { size, flags, group, claims }
        "spared_publication" Publication { size, flags, group, role, reserved, cause }
        "spared_group" Group { size, reserved, claim, publish, announce, switch_over, explain }
        "spared_addition" Addition { size, reserved, add }
        "spared_directive" Directive {
            size, flags, group, quality, peer_quality, forced, reserved, why
        }
        "spared_group_plugin" GroupPlugin { size, reserved, directive }
    };
    let constants = constants! {
        MAJOR MINOR PENDING RESTART ATTENTION
        LOG_ERROR LOG_WARN LOG_INFO LOG_DEBUG LOG_TRACE LOG_EVENT LOG_CONFLICT
        FD_READ FD_WRITE FD_ERROR FD_HANGUP
        FLAGS_REQUIRED CONFIGURE_CHECK PLUGIN_REALTIME PLUGIN_FILES PLUGIN_WRITE PLUGIN_ROOT PLUGIN_ASIDE
        CALLS_BASIC CALLS_FILES CALLS_SOCKETS CALLS_PROGRAMS
        CONFIG_TEXT CONFIG_INTEGER CONFIG_FLOAT CONFIG_BOOLEAN CONFIG_TIME CONFIG_ARRAY CONFIG_TABLE
        ROW_NUMBER ROW_BOOL ROW_NS ROW_BYTES ROW_COUNTER VERB_ASKS VERB_CHANGES
        ROLE_BACKUP ROLE_ACTIVE ROLE_FAULT ROLE_MAINTENANCE ROLE_PLANNED
        PEER_MESSAGE_MAX LOCAL_MESSAGE_MAX LOCAL_PARTNERS_MAX
        IDENTITY_STATEMENT_MAX IDENTITY_SIGNATURE_SIZE
        SOCKETS_NONE SOCKETS_VRRP SOCKETS_HEARTBEAT SOCKETS_PING
        SOCKET_VRRP_LINK SOCKET_VRRP_IPV4 SOCKET_VRRP_IPV6 SOCKET_STATIONS
        SOCKET_HEARTBEAT_IN SOCKET_HEARTBEAT_OUT SOCKET_PING_IPV4 SOCKET_PING_IPV6
        SOCKET_VRRP_HEARTBEAT
        INTERFACE_PRESENT INTERFACE_UP INTERFACE_CARRIER
        VIRTUAL_ROUTER_VMAC VIRTUAL_ROUTER_ACCEPT VIRTUAL_ROUTER_ROUTED NO_VIRTUAL_ROUTER ADDRESS_SOURCE ADDRESS_OWN
        CAUSE_OTHER CAUSE_NOBODY_HEARD CAUSE_PEER_SILENT CAUSE_PEER_RESIGNED CAUSE_PEER_ACTIVE
        CAUSE_PEER_UNABLE CAUSE_PEER_ASIDE CAUSE_PEER_JOINING CAUSE_PEER_FORCED CAUSE_QUALITY
        CAUSE_PRIORITY CAUSE_PREFERRED CAUSE_FAILBACK CAUSE_OWNER CAUSE_FORCED CAUSE_STANDS_ASIDE
        CAUSE_BARRED CAUSE_UNHEARD_INTERFACE CAUSE_INTERFACE_HURT CAUSE_ISOLATED
        CAUSE_ADVERTS_UNSENT CAUSE_SWITCHOVER CAUSE_ASKED CAUSE_NOT_IN_SYNC CAUSE_LISTENING
        CAUSE_LATE CAUSE_FENCE_BLOCKING CAUSE_CLONED CAUSE_SECOND CAUSE_WITHDRAWN CAUSE_SHUTDOWN
        CAUSE_CONFLICT
        CAUSE_CLAIMED CAUSE_ELECTOR_DIED CAUSE_LAPSED CAUSE_KERNEL CAUSE_STARTED
        CAUSE_BY_SWITCHOVER CAUSE_OWN_PREFERRED CAUSE_PEER_PREFERRED CAUSE_READY
        PUBLISH_REOPEN GROUPS_MAX ADDITIONS_MAX
        FORCED_NO FORCED_ACTIVE FORCED_BACKUP
        DIRECTIVE_ELIGIBLE DIRECTIVE_MAINTENANCE DIRECTIVE_RESIGN DIRECTIVE_PEER
        DIRECTIVE_JOINING DIRECTIVE_READY DIRECTIVE_FROZEN DIRECTIVE_RELEASE DIRECTIVE_PREPARED DIRECTIVE_HELD QUALITY_MAX QUALITY_STEP
        WATCH_STATUS WATCH_EVENTS
        VERDICT_OK VERDICT_WARN VERDICT_UNKNOWN VERDICT_ALONE VERDICT_CONFLICT VERDICT_NONE
        PAIR_READY PAIR_LINK_UP
        SCOPE_PAIR SCOPE_NODE SCOPE_LOCAL SCOPE_SECRET CHECK_UNKNOWN CHECK_LOSES
    };
    let texts = texts! { PEER LOCAL IDENTITY CHECK STATUS CLAIM SCOPE INTERFACE GROUP };
    format!(
        "# Every struct with its size, every field with offset, size and, where it is a function, its\n\
         # signature, and every constant, on 64 bits.\n\
         # Held to plugin.h and to the Rust mirror by `cargo test -p spared-abi`.\n\
         {structs}{constants}{texts}"
    )
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn layout_txt() -> String {
    std::fs::read_to_string(root().join("layout.txt")).unwrap()
}

fn header() -> String {
    std::fs::read_to_string(root().join("include/spared/plugin.h")).unwrap()
}

/// Lines of one that the other has not, marked as diff does.
fn difference(old: &str, new: &str) -> String {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let (old, new) = (lines(old), lines(new));
    let mut text = String::new();
    let mut inside = String::new();
    for (mark, from, other) in [('-', &old, &new), ('+', &new, &old)] {
        for line in from {
            if line.starts_with("struct") {
                inside.clone_from(line);
            }
            if !other.contains(line) {
                let _ = writeln!(text, "{mark} {line}    (in {inside})");
            }
        }
    }
    if text.is_empty() && old != new {
        text.push_str("the same lines in another order\n");
    }
    text
}

#[test]
fn the_mirror_agrees_with_layout_txt() {
    let mirror = mirror();
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(root().join("layout.txt"), &mirror).unwrap();
    }
    let difference = difference(&layout_txt(), &mirror);
    assert!(
        difference.is_empty(),
        "layout.txt (-) and the mirror (+) differ:\n{difference}"
    );
}

/// layout.txt as C that compiles only where plugin.h agrees.
fn assertions() -> String {
    let mut c = String::from(
        "#include <spared/plugin.h>\n\
         #ifdef __cplusplus\n#define CHECK(what, text) static_assert(what, text)\n\
         #define SIGNATURE(type, field, wanted, text)\n\
         #else\n#define CHECK(what, text) _Static_assert(what, text)\n\
         #define SIGNATURE(type, field, wanted, text) \\\n\
         CHECK(_Generic(((type *)0)->field, wanted: 1, default: 0), text);\n#endif\n",
    );
    let mut inside = String::new();
    for line in layout_txt().lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let check = match words[..] {
            ["struct", name, size] => {
                inside = format!("struct {name}");
                format!("CHECK(sizeof(struct {name}) == {size}, \"{line}\");\n")
            }
            ["const", name, value] => format!("CHECK({name} == {value}, \"{line}\");\n"),
            ["text", name, value] if !line.starts_with('\t') => {
                format!("CHECK(sizeof({name}) == sizeof(\"{value}\"), \"{line}\");\n")
            }
            [field, offset, size, ref signature @ ..] => {
                let signature = signature.join(" ");
                // the comma of a macro's argument is within parentheses
                let signed = match signature.split_once(" (") {
                    Some((result, arguments)) => format!(
                        "SIGNATURE({inside}, {field}, {result} (*)({arguments}, \"{inside}.{field} is {signature}\")\n",
                    ),
                    None => String::new(),
                };
                format!(
                    "CHECK(offsetof({inside}, {field}) == {offset}, \"{inside}.{field} offset {offset}\");\n\
                     CHECK(sizeof((({inside} *)0)->{field}) == {size}, \"{inside}.{field} size {size}\");\n\
                     {signed}"
                )
            }
            _ => panic!("layout.txt: {line:?} is of no known form"),
        };
        c.push_str(&check);
    }
    // As a vendor uses it, so that a macro that does not compile is found.
    c.push_str(
        "int has(const struct spared_host *host);\n\
         int has(const struct spared_host *host)\n\
         { return SPARED_HAS(host, extension) && SPARED_HAS(host, size); }\n\
         int shown(const struct spared_pair_status *status);\n\
         int shown(const struct spared_pair_status *status)\n\
         { const struct spared_finding *it = status->findings; int count = 0; uint32_t i;\n\
           for (i = 0; i < status->finding_count; i++, it = SPARED_NEXT(it)) count += it->text.len > 0;\n\
           return count; }\n",
    );
    c
}

/// A directory that goes with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("spared-abi-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The compiler's complaints; empty where it has none.
fn compile(compiler: &str, standard: &str, source: &Path) -> String {
    let output = Command::new(compiler)
        .args([
            standard,
            "-Wall",
            "-Wextra",
            "-pedantic",
            "-Wconversion",
            "-Wshadow",
            "-Werror",
            "-fsyntax-only",
            "-I",
        ])
        .arg(root().join("include"))
        .arg(source)
        .output()
        .unwrap_or_else(|error| panic!("{compiler}: {error}"));
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(
        output.status.success(),
        complaints.is_empty(),
        "{complaints}"
    );
    // What a reader needs are the failed assertions, not the notes around them.
    complaints
        .lines()
        .filter(|line| line.contains("error"))
        .fold(String::new(), |mut all, line| {
            let _ = writeln!(all, "{line}");
            all
        })
}

fn is_there(compiler: &str) -> bool {
    let there = Command::new(compiler).arg("--version").output().is_ok();
    if !there {
        eprintln!("skipped: no {compiler}");
    }
    there
}

#[test]
fn the_header_agrees_with_layout_txt_in_c11() {
    let scratch = Scratch::new("c");
    let source = scratch.0.join("layout.c");
    std::fs::write(&source, assertions()).unwrap();
    let complaints = compile("cc", "-std=c11", &source);
    assert!(
        complaints.is_empty(),
        "plugin.h does not agree with layout.txt:\n{complaints}"
    );
}

#[test]
fn the_header_agrees_with_layout_txt_in_cpp() {
    if !is_there("c++") {
        return;
    }
    let scratch = Scratch::new("cpp");
    let source = scratch.0.join("layout.cc");
    std::fs::write(&source, assertions()).unwrap();
    let complaints = compile("c++", "-std=c++11", &source);
    assert!(
        complaints.is_empty(),
        "plugin.h does not agree with layout.txt:\n{complaints}"
    );
}

#[test]
fn a_field_that_moved_is_found_and_named() {
    let scratch = Scratch::new("moved");
    let source = scratch.0.join("moved.c");
    let moved = assertions().replace(
        "offsetof(struct spared_host, wake) == 32",
        "offsetof(struct spared_host, wake) == 40",
    );
    std::fs::write(&source, moved).unwrap();
    let complaints = compile("cc", "-std=c11", &source);
    assert!(
        complaints.contains("struct spared_host.wake offset 32"),
        "{complaints}"
    );
}

/// Names in the header: structs with a body, and constants with a value.
fn names_in_header() -> BTreeSet<String> {
    let header = header();
    let structs = header.lines().filter_map(|line| {
        let name = line.strip_prefix("struct ")?.strip_suffix(" {")?;
        Some(format!("struct {name}"))
    });
    let constants = header.lines().filter_map(|line| {
        let mut words = line.strip_prefix("#define ")?.split_whitespace();
        let (name, value) = (words.next()?, words.next()?);
        let plain = !name.contains('(') && !value.starts_with("__");
        plain.then(|| name.to_owned())
    });
    structs.chain(constants).collect()
}

#[test]
fn an_argument_that_changed_is_found_and_named() {
    let scratch = Scratch::new("signature");
    let source = scratch.0.join("signature.c");
    let changed =
        assertions().replace("wake, void (*)(void *)", "wake, void (*)(void *, uint32_t)");
    std::fs::write(&source, changed).unwrap();
    let complaints = compile("cc", "-std=c11", &source);
    assert!(
        complaints.contains("struct spared_host.wake is void (void *)"),
        "{complaints}"
    );
}

/// Structs by their names, each with its size and its fields, and constants with their values.
fn frozen(layout: &str) -> (Vec<(String, usize, String)>, Vec<String>) {
    let (mut fields, mut rest) = (Vec::new(), Vec::new());
    let (mut inside, mut size) = (String::new(), 0);
    for line in layout.lines().filter(|line| !line.starts_with('#')) {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["struct", name, bytes] => (inside, size) = (name.to_owned(), bytes.parse().unwrap()),
            _ if line.starts_with('\t') => fields.push((inside.clone(), size, line.to_owned())),
            _ => rest.push(line.to_owned()),
        }
    }
    (fields, rest)
}

/// What a plugin was built with is where it was, and means the same; only more may be there.
#[test]
fn what_was_frozen_stays() {
    let folder = root().join("../tests/abi");
    let versions: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path().join("layout.txt"))
        .filter(|path| path.exists())
        .collect();
    assert!(!versions.is_empty());
    let (now, constants) = frozen(&layout_txt());
    for version in versions {
        let (then, before) = frozen(&std::fs::read_to_string(&version).unwrap());
        for (name, size, field) in then {
            let kept = |(in_struct, bytes, line): &(String, usize, String)| {
                (in_struct, line) == (&name, &field) && *bytes >= size
            };
            assert!(
                now.iter().any(kept),
                "{}: {name}: {field}",
                version.display()
            );
        }
        // The minor version rises.
        for line in before.iter().filter(|it| !it.contains("SPARED_MINOR")) {
            assert!(constants.contains(line), "{}: {line}", version.display());
        }
    }
}

/// A later host takes the structs of the oldest plugin: what it requires is what these had.
#[test]
fn what_a_host_requires_is_the_size_of_the_first_version() {
    use abi::PassedStruct as _;
    let first = root().join("../tests/abi/v0/layout.txt");
    let (fields, _) = frozen(&std::fs::read_to_string(first).unwrap());
    for (name, required) in [
        ("spared_verb", abi::Verb::SIZE_MIN),
        ("spared_interface_plugin", abi::InterfacePlugin::SIZE_MIN),
        ("spared_group_plugin", abi::GroupPlugin::SIZE_MIN),
        ("spared_peer_plugin", abi::PeerPlugin::SIZE_MIN),
        ("spared_identity_plugin", abi::IdentityPlugin::SIZE_MIN),
        ("spared_local_plugin", abi::LocalPlugin::SIZE_MIN),
        ("spared_watch_plugin", abi::WatchPlugin::SIZE_MIN),
        (
            "spared_virtual_router_claim",
            abi::VirtualRouterClaim::SIZE_MIN,
        ),
        ("spared_address_claim", abi::AddressClaim::SIZE_MIN),
        ("spared_route_claim", abi::RouteClaim::SIZE_MIN),
        ("spared_claims", abi::Claims::SIZE_MIN),
        ("spared_cause", abi::Cause::SIZE_MIN),
        ("spared_group_claim", abi::GroupClaim::SIZE_MIN),
        ("spared_publication", abi::Publication::SIZE_MIN),
    ] {
        let found = fields.iter().find(|(inside, _, _)| inside == name);
        assert_eq!(found.map(|it| it.1), Some(required), "{name}");
    }
}

#[test]
fn layout_txt_forgets_nothing_of_the_header() {
    let listed: BTreeSet<String> = layout_txt()
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ');
            match (words.next()?, words.next()?) {
                ("struct", name) => Some(format!("struct {name}")),
                ("const" | "text", name) => Some(name.to_owned()),
                _ => None,
            }
        })
        .collect();
    assert_eq!(names_in_header(), listed);
}

#[test]
fn the_example_in_the_header_compiles() {
    let example: String = header()
        .lines()
        .filter_map(|line| line.strip_prefix(" *     "))
        .skip_while(|line| !line.starts_with("#include"))
        .take_while(|line| !line.starts_with("cc "))
        .fold(String::new(), |mut all, line| {
            let _ = writeln!(all, "{line}");
            all
        });
    assert!(example.contains("SPARED_PLUGIN("), "{example}");
    let scratch = Scratch::new("example");
    let source = scratch.0.join("example.c");
    std::fs::write(&source, &example).unwrap();
    assert_eq!(compile("cc", "-std=c11", &source), "");
    if is_there("c++") {
        let source = scratch.0.join("example.cc");
        std::fs::write(&source, &example).unwrap();
        assert_eq!(compile("c++", "-std=c++20", &source), "");
    }
}

#[test]
fn the_synopsis_of_the_manual_compiles() {
    let manual = std::fs::read_to_string(root().join("../docs/plugin.md")).unwrap();
    let (_, rest) = manual.split_once("```c\n").unwrap();
    let (synopsis, _) = rest.split_once("```").unwrap();
    let scratch = Scratch::new("manual");
    let source = scratch.0.join("mine.c");
    std::fs::write(&source, synopsis).unwrap();
    assert_eq!(compile("cc", "-std=c11", &source), "");
}

#[test]
fn the_manual_shows_the_replicated_example_as_it_is() {
    let manual = std::fs::read_to_string(root().join("../docs/plugin.md")).unwrap();
    let (_, rest) = manual.split_once("```rust\n").unwrap();
    let (shown, _) = rest.split_once("```").unwrap();
    let file = root().join("examples/guests/src/lib.rs");
    assert_eq!(shown, std::fs::read_to_string(file).unwrap());
}
