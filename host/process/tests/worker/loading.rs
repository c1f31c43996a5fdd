//! Tests which files are plugins, and the reasons given for those that are not.

use std::path::{Path, PathBuf};

use crate::lab::{Host, Lab, load};

/// Lines of every note.
const NOTE: &str =
    "SPARED_NAME(\"vendor\") SPARED_VERSION(\"1\") SPARED_VENDOR(\"v\") SPARED_SUMMARY(\"s\")";

/// A plugin in C with this note, and with more text before it.
fn compiled(lab: &Lab, note: &str, more: &str, arguments: &[&str]) -> PathBuf {
    let source = lab.dir.join("vendor.c");
    let text =
        format!("#include \"spared_plugin.h\"\n{more}\nSPARED_PLUGIN({note}, .create = 0);\n");
    std::fs::write(&source, text).unwrap();
    lab.compile("vendor", source.to_str().unwrap(), arguments)
}

fn refusal_of(path: &Path) -> String {
    let mut host = Host::spawn(path, &load("vendor"));
    let why = host.loaded().unwrap_err();
    assert_eq!(host.ended(), 0, "a refused plugin is no crash");
    why
}

#[test]
fn the_descriptor_is_what_the_plugin_says() {
    let lab = Lab::new();
    let descriptor = Host::spawn(&lab.probe(), &load("probe")).loaded().unwrap();
    assert_eq!(descriptor.name, "probe");
    assert_eq!(descriptor.version, "0.1");
    assert_eq!(descriptor.vendor, "tests");
    assert_eq!(descriptor.summary, "does what it is told");
    assert_eq!((descriptor.wire_min, descriptor.wire_max), (1, 2));
    assert_eq!(descriptor.capabilities, 1 << 10);
    let flags = spared_abi::PLUGIN_REALTIME | spared_abi::PLUGIN_DOCUMENTS;
    assert_eq!(descriptor.flags, flags);
    assert!(descriptor.has_role && !descriptor.provides_groups);
    assert!(descriptor.has_drain && descriptor.has_settle && descriptor.has_peer);
}

#[test]
fn what_is_not_elf_is_refused() {
    let lab = Lab::new();
    let path = lab.dir.join("vendor.so");
    for content in [&b""[..], b"#!/bin/sh\necho no plugin at all\n", b"\x7fELF"] {
        std::fs::write(&path, content).unwrap();
        assert_eq!(
            refusal_of(&path),
            "vendor.so is not a shared object (not ELF): reinstall the package that it came from"
        );
    }
}

#[test]
fn what_is_built_for_another_machine_is_refused() {
    let lab = Lab::new();
    let path = compiled(&lab, NOTE, "", &[]);
    let mut content = std::fs::read(&path).unwrap();
    content[18] ^= 0xff;
    std::fs::write(&path, content).unwrap();
    assert_eq!(
        refusal_of(&path),
        "vendor.so is built for another machine: install the package for this architecture"
    );
}

#[test]
fn what_is_cut_off_is_refused() {
    let lab = Lab::new();
    let path = compiled(&lab, NOTE, "", &[]);
    let content = std::fs::read(&path).unwrap();
    std::fs::write(&path, &content[..200]).unwrap();
    let why = refusal_of(&path);
    assert!(
        why.starts_with("vendor.so is damaged (")
            && why.ends_with("reinstall the package that it came from"),
        "{why}"
    );
}

/// Nothing of it is run, not even its constructors.
#[test]
fn a_library_that_is_no_plugin_is_refused() {
    let lab = Lab::new();
    let text = "#include <stdlib.h>\n\
                __attribute__((constructor)) static void begin(void) { abort(); }\n";
    let path = lab.compile_text("vendor", text, &[]);
    assert_eq!(
        refusal_of(&path),
        "vendor.so has no descriptor: it is not a spared plugin, or was built without SPARED_PLUGIN"
    );
}

#[test]
fn a_plugin_without_its_function_is_refused() {
    let lab = Lab::new();
    let more = "#define spared_plugin_main another_main";
    assert_eq!(
        refusal_of(&compiled(&lab, NOTE, more, &[])),
        "vendor.so has no function spared_plugin_main: its author must export it"
    );
}

#[test]
fn a_missing_library_is_named() {
    let lab = Lab::new();
    let other = lab.compile_text(
        "libother",
        "int other(void);\nint other(void) { return 1; }\n",
        &["-Wl,-soname,libother.so.3", "-fvisibility=default"],
    );
    let more = "int other(void);\nint use(void);\nint use(void) { return other(); }\n";
    let path = compiled(&lab, NOTE, more, &[other.to_str().unwrap()]);
    std::fs::remove_file(other).unwrap();
    assert_eq!(
        refusal_of(&path),
        "vendor.so needs the library libother.so.3, which is not here: install the package that has it"
    );
}

#[test]
fn an_undefined_symbol_is_found_at_load_and_named() {
    let lab = Lab::new();
    let more = "int missing_thing(void);\nSPARED_EXPORT int use(void);\nint use(void) { return missing_thing(); }\n";
    assert_eq!(
        refusal_of(&compiled(&lab, NOTE, more, &[])),
        "vendor.so uses missing_thing, which none of its libraries has: \
         install the versions that it was built for, or rebuild it"
    );
}

#[test]
fn every_wrong_line_of_the_descriptor_is_refused_with_a_sentence() {
    let named = |name: &str| NOTE.replace("\"vendor\"", &format!("{name:?}"));
    let with = |lines: &str| format!("{NOTE} {lines}");
    let many: String = "SPARED_PATH(\"/a\") ".repeat(65);
    for (note, why) in [
        (
            named("other"),
            "vendor.so is the plugin \"other\": rename it to other.so",
        ),
        (
            named("Vendor"),
            "vendor.so calls itself \"Vendor\": a name is [a-z][a-z0-9-]*, at most 32 long",
        ),
        (
            named(""),
            "vendor.so calls itself \"\": a name is [a-z][a-z0-9-]*, at most 32 long",
        ),
        (
            NOTE.replace("\"1\"", "\"\\xff\""),
            "vendor.so: its descriptor is not UTF-8",
        ),
        (
            NOTE.replace("\"s\"", "\"a\\nb\""),
            "vendor.so: its descriptor says \"b\": no key = value",
        ),
        (
            with("\"contract = 2\\n\""),
            "vendor.so: is made for version 2 of the contract, this spared has 1: install the plugin's \
             version for this spared, or update spared",
        ),
        (
            with("SPARED_WIRE(\"3-2\")"),
            "vendor.so: its descriptor says \"wire = 3-2\": the lower version comes first",
        ),
        (
            with("SPARED_ROOT SPARED_PEER SPARED_WIRE(\"1-1\")"),
            "vendor.so requests root and a peer channel: root must not read data from the \
             network, its author must drop one",
        ),
        (
            with("SPARED_ROOT \"part = identity\\n\""),
            "vendor.so requests root and a peer channel: root must not read data from the \
             network, its author must drop one",
        ),
        (
            with("SPARED_QUERY SPARED_ASKS(\"help\", \"\", \"\")"),
            "vendor.so: the plugin has a verb \"help\": a word is [a-z][a-z0-9-]*, at most 32 long, \
             said once, and not \"help\"",
        ),
        (
            with("\"brand = acme\\n\""),
            "vendor.so: its descriptor says \"brand = acme\": acme is a fork of spared: install the plugin's \
             version for spared",
        ),
        (
            with("SPARED_CAPABILITY(\"sys_admin\")"),
            "vendor.so asks for sys_admin, with which it could do what root does: its author must do \
             without, or set the flag root",
        ),
        (
            with("SPARED_LOCAL SPARED_PARTNER(\"vendor\")"),
            "vendor.so: the plugin has a partner \"vendor\": its author must give the name of another \
             plugin, each once",
        ),
        (
            with("SPARED_PATH(\"+etc/kea\")"),
            "vendor.so: the plugin wants to open \"+etc/kea\": its author must name an absolute \
             path without ..",
        ),
        (
            with("SPARED_PATH(\"/etc/kea/../spared\")"),
            "vendor.so: the plugin wants to open \"/etc/kea/../spared\": its author must name an \
             absolute path without ..",
        ),
        (
            with(&many),
            "vendor.so: its descriptor says \"path = /a\": more than 64 of them",
        ),
    ] {
        let lab = Lab::new();
        assert_eq!(refusal_of(&compiled(&lab, &note, "", &[])), why, "{note}");
    }
}

#[test]
fn the_paths_of_a_descriptor_are_read() {
    let lab = Lab::new();
    let note = format!("{NOTE} SPARED_PATH(\"/etc/kea\") SPARED_PATH(\"+/var/lib/kea\")");
    let path = compiled(&lab, &note, "", &[]);
    let descriptor = Host::spawn(&path, &load("vendor")).loaded().unwrap();
    assert_eq!(descriptor.paths, ["/etc/kea", "+/var/lib/kea"]);
}
