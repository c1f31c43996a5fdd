//! Tests which files are plugins, and the reasons given for those that are not.

use std::path::Path;

use crate::lab::{Host, Lab, load};

/// A descriptor with `fields` added, under the symbol `symbol`.
fn plugin(symbol: &str, fields: &str) -> String {
    format!(
        "#include <spared/plugin.h>\n\
         static spared_status create(const struct spared_host *host, void **self)\n\
         {{ *self = (void *)host; return 0; }}\n\
         static void destroy(void *self) {{ (void)self; }}\n\
         static spared_status query(void *self, uint64_t token, const struct spared_str *argv, uint32_t argc)\n\
         {{ (void)self, (void)token, (void)argv; return argc ? 0 : -EINVAL; }}\n\
         static const void *const kept[] __attribute__((unused)) = {{ (const void *)query }};\n\
         SPARED_EXPORT const struct spared_plugin {symbol} = {{\n\
         \t.size = sizeof(struct spared_plugin), .minor = SPARED_MINOR, .name = \"vendor\",\n\
         \t.version = \"1\", .vendor = \"v\", .summary = \"s\", .create = create, .destroy = destroy,\n\
         \t{fields} }};\n"
    )
}

fn refusal_of(path: &Path, name: &str) -> String {
    let mut host = Host::spawn(path, &load(name));
    let why = host.loaded().unwrap_err();
    assert_eq!(host.ended(), 0, "a refused plugin is no crash");
    why
}

fn refusal(text: &str, arguments: &[&str]) -> String {
    let lab = Lab::new();
    let arguments = [arguments, &["-Wno-override-init"]].concat();
    let path = lab.compile_text("vendor", text, &arguments);
    refusal_of(&path, "vendor")
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
    assert_eq!(descriptor.flags, 1);
    assert!(descriptor.has_role && descriptor.provides_groups);
    assert!(!descriptor.has_drain && descriptor.has_settle && descriptor.has_peer);
}

#[test]
fn what_is_not_elf_is_refused() {
    let lab = Lab::new();
    let path = lab.dir.join("vendor.so");
    for content in [&b""[..], b"#!/bin/sh\necho no plugin at all\n", b"\x7fELF"] {
        std::fs::write(&path, content).unwrap();
        assert_eq!(
            refusal_of(&path, "vendor"),
            "vendor.so is not a shared object (not ELF): reinstall the package that it came from"
        );
    }
}

#[test]
fn what_is_built_for_another_machine_is_refused() {
    let lab = Lab::new();
    let path = lab.compile_text("vendor", &plugin("spared_plugin_v0", ""), &[]);
    let mut content = std::fs::read(&path).unwrap();
    content[18] ^= 0xff;
    std::fs::write(&path, content).unwrap();
    assert_eq!(
        refusal_of(&path, "vendor"),
        "vendor.so is built for another machine: install the package for this architecture"
    );
}

#[test]
fn what_is_cut_off_is_refused() {
    let lab = Lab::new();
    let path = lab.compile_text("vendor", &plugin("spared_plugin_v0", ""), &[]);
    let content = std::fs::read(&path).unwrap();
    std::fs::write(&path, &content[..200]).unwrap();
    let why = refusal_of(&path, "vendor");
    assert!(
        why.starts_with("vendor.so cannot be loaded: vendor.so: "),
        "{why}"
    );
}

#[test]
fn a_library_that_is_no_plugin_is_refused() {
    let why = refusal("int nothing(void);\nint nothing(void) { return 0; }\n", &[]);
    assert_eq!(
        why,
        "vendor.so has no symbol spared_plugin_v0: it is not a spared plugin, \
         or was built without SPARED_PLUGIN"
    );
}

#[test]
fn a_plugin_for_another_major_version_is_refused_by_that_version() {
    assert_eq!(
        refusal(&plugin("spared_plugin_v2", ""), &[]),
        "vendor.so is made for plugin ABI 2, this spared has ABI 0: \
         update spared, or install the plugin's version for ABI 0"
    );
}

#[test]
fn a_plugin_for_both_major_versions_is_taken() {
    let lab = Lab::new();
    let text = format!(
        "{}const int spared_plugin_v2 = 1;\n",
        plugin("spared_plugin_v0", "")
    );
    let path = lab.compile_text("vendor", &text, &[]);
    Host::spawn(&path, &load("vendor")).loaded().unwrap();
}

#[test]
fn a_plugin_that_needs_a_newer_minor_is_refused() {
    assert_eq!(
        refusal(&plugin("spared_plugin_v0", ".needs_minor = 7,"), &[]),
        "vendor.so needs plugin ABI 0.7, this spared has 0.0: update spared"
    );
}

#[test]
fn a_plugin_of_a_newer_minor_that_needs_it_not_is_taken() {
    let lab = Lab::new();
    // The descriptor is longer than ours; the part beyond ours is never read.
    let text = plugin("known", "").replace("SPARED_EXPORT const", "static const")
        + "extern SPARED_EXPORT const struct longer { struct spared_plugin known; void *more[8]; }\n\
           longer __asm__(\"spared_plugin_v0\");\n\
           const struct longer longer = { { .size = sizeof(struct spared_plugin) + 64, .minor = 9,\n\
           .name = \"vendor\", .create = create, .destroy = destroy }, { 0 } };\n";
    let path = lab.compile_text(
        "vendor",
        &text,
        &["-Wno-unused-const-variable", "-Wno-unused-variable"],
    );
    let descriptor = Host::spawn(&path, &load("vendor")).loaded().unwrap();
    assert_eq!(descriptor.minor, 9);
}

#[test]
fn a_missing_library_is_named() {
    let lab = Lab::new();
    let other = lab.compile_text(
        "libother",
        "int other(void);\nint other(void) { return 1; }\n",
        &["-Wl,-soname,libother.so.3", "-fvisibility=default"],
    );
    let text = plugin("spared_plugin_v0", "")
        + "int other(void);\nint use(void);\nint use(void) { return other(); }\n";
    let path = lab.compile_text("vendor", &text, &[other.to_str().unwrap()]);
    std::fs::remove_file(other).unwrap();
    assert_eq!(
        refusal_of(&path, "vendor"),
        "vendor.so needs the library libother.so.3, which is not here: install the package that has it"
    );
}

#[test]
fn an_undefined_symbol_is_found_at_load_and_named() {
    let text = plugin("spared_plugin_v0", "")
        + "int missing_thing(void);\nSPARED_EXPORT int use(void);\nint use(void) { return missing_thing(); }\n";
    assert_eq!(
        refusal(&text, &[]),
        "vendor.so uses missing_thing, which none of its libraries has: \
         install the versions that it was built for, or rebuild it"
    );
}

#[test]
fn every_wrong_field_of_the_descriptor_is_refused_with_a_sentence() {
    for (fields, why) in [
        (
            ".name = \"other\",",
            "vendor.so is the plugin \"other\": rename it to other.so",
        ),
        (
            ".name = \"Vendor\",",
            "vendor.so calls itself \"Vendor\": a name is [a-z][a-z0-9-]*, at most 32 long",
        ),
        (
            ".name = 0,",
            "vendor.so calls itself \"\": a name is [a-z][a-z0-9-]*, at most 32 long",
        ),
        (
            ".version = \"\\xff\",",
            "vendor.so: the plugin's version is not UTF-8 of one line",
        ),
        (
            ".summary = \"a\\nb\",",
            "vendor.so: the plugin's summary is not UTF-8 of one line",
        ),
        (
            ".create = 0,",
            "vendor.so has no create: its author must set it",
        ),
        (
            ".create = 0, .destroy = 0,",
            "vendor.so has no create and destroy: its author must set it",
        ),
        (
            ".wire_min = 3, .wire_max = 2,",
            "vendor.so has wire versions 3 to 2: its author must order them",
        ),
        (
            ".flags = SPARED_PLUGIN_ROOT, .wire_max = 1,",
            "vendor.so requests root and a peer channel: root must not read data from the \
             network, its author must drop one",
        ),
        (
            ".verbs = (const struct spared_verb[]) { SPARED_VERB(1, \"diff\", NULL, NULL) }, .verb_count = 1,",
            "vendor.so: the plugin has verbs and no query: its author must set both",
        ),
        (
            ".query = query, .verbs = (const struct spared_verb[]) { SPARED_VERB(1, \"help\", NULL, NULL) }, \
             .verb_count = 1,",
            "vendor.so: the plugin has a verb \"help\": a word is [a-z][a-z0-9-]*, at most 32 long, \
             said once, and not \"help\"",
        ),
        (
            ".query = query, .verbs = (const struct spared_verb[]) { { .size = 8 } }, .verb_count = 1,",
            "vendor.so: a verb has less than 32 bytes",
        ),
        (
            ".query = query, .verb_count = 65,",
            "vendor.so: the plugin has 65 verbs, at most 64 are allowed",
        ),
        (
            ".brand = \"acme\",",
            "vendor.so is made for acme, a fork of spared: install the plugin's version for spared",
        ),
        (
            ".paths = (const char *const[]) { \"+etc/kea\", NULL },",
            "vendor.so: the plugin wants to open \"+etc/kea\": its author must name an absolute \
             path without ..",
        ),
        (
            ".paths = (const char *const[]) { \"/etc/kea/../spared\", NULL },",
            "vendor.so: the plugin wants to open \"/etc/kea/../spared\": its author must name an \
             absolute path without ..",
        ),
        (
            ".paths = (const char *const[65]) { [0 ... 64] = \"/a\" },",
            "vendor.so: the plugin wants to open more than 64 paths",
        ),
        (
            ".size = 8,",
            "vendor.so says that its descriptor has 8 bytes, at least 88 are needed: \
             its author must use SPARED_PLUGIN",
        ),
    ] {
        let text = format!(
            "#pragma GCC diagnostic ignored \"-Woverride-init\"\n{}",
            plugin("spared_plugin_v0", fields)
        );
        assert_eq!(refusal(&text, &[]), why, "{fields}");
    }
}

#[test]
fn the_paths_of_a_descriptor_are_read_where_it_has_them() {
    let lab = Lab::new();
    let list = ".paths = (const char *const[]) { \"/etc/kea\", \"+/var/lib/kea\", NULL },";
    for (fields, wanted) in [
        (list.to_owned(), vec!["/etc/kea", "+/var/lib/kea"]),
        // This plugin was built before there were paths.
        (
            format!(
                "{list} .size = offsetof(struct spared_plugin, paths), .flags = {}",
                "SPARED_PLUGIN_ROOT"
            ),
            vec![],
        ),
    ] {
        let text = plugin("spared_plugin_v0", &fields);
        let path = lab.compile_text("vendor", &text, &["-Wno-override-init"]);
        let descriptor = Host::spawn(&path, &load("vendor")).loaded().unwrap();
        assert_eq!(descriptor.paths, wanted);
    }
}

#[test]
fn a_plugin_that_would_be_root_may_not_have_a_peer() {
    for (id, half, field) in [
        ("PEER", "struct spared_peer_plugin", ".up = callback"),
        (
            "IDENTITY",
            "struct spared_identity_plugin",
            ".verified = judged",
        ),
    ] {
        let extension = format!(
            "static spared_status callback(void *self, uint32_t wire)\n\
             {{ (void)self, (void)wire; return 0; }}\n\
             static spared_status judged(void *self, uint64_t ticket, uint32_t yes)\n\
             {{ (void)self, (void)ticket, (void)yes; return 0; }}\n\
             static const void *extension(const char *id)\n\
             {{ static const {half} half = {{ .size = sizeof(half), {field} }};\n\
             (void)callback, (void)judged;\n\
             return strcmp(id, SPARED_{id}) ? NULL : &half; }}\n\
             SPARED_EXPORT"
        );
        let fields = ".flags = SPARED_PLUGIN_ROOT, .extension = extension,";
        let text = plugin("spared_plugin_v0", fields).replace("SPARED_EXPORT", &extension);
        let why = refusal(&text, &[]);
        assert!(
            why.starts_with("vendor.so requests root and a peer channel"),
            "{id}: {why}"
        );
    }
}

#[test]
fn a_half_of_an_extension_without_its_size_is_refused_by_the_extensions_name() {
    for (id, half, name) in [
        ("PEER", "struct spared_peer_plugin", "spared.peer/1"),
        ("LOCAL", "struct spared_local_plugin", "spared.local/1"),
        ("STATUS", "struct spared_watch_plugin", "spared.status/1"),
        (
            "INTERFACE",
            "struct spared_interface_plugin",
            "spared.interface/1",
        ),
        ("GROUP", "struct spared_group_plugin", "spared.group/1"),
        (
            "IDENTITY",
            "struct spared_identity_plugin",
            "spared.identity/1",
        ),
    ] {
        let extension = format!(
            "static const void *extension(const char *id)\n\
             {{ static const {half} half; return strcmp(id, SPARED_{id}) ? NULL : &half; }}\n\
             SPARED_EXPORT"
        );
        let fields = ".extension = extension,";
        let text = plugin("spared_plugin_v0", fields).replace("SPARED_EXPORT", &extension);
        let why = refusal(&text, &[]);
        let wanted = format!("vendor.so: its half of {name} has 0 bytes, at least ");
        assert!(why.starts_with(&wanted), "{why}");
        assert!(why.ends_with("its author must set size"), "{why}");
    }
}

#[test]
fn not_one_byte_beyond_the_size_is_read() {
    let lab = Lab::new();
    // The descriptor ends at the end of a page, and the next page may not be read.
    let text = "#define _GNU_SOURCE\n#include <spared/plugin.h>\n#include <sys/mman.h>\n\
        static spared_status create(const struct spared_host *host, void **self)\n\
        { *self = (void *)host; return 0; }\n\
        static void destroy(void *self) { (void)self; }\n\
        SPARED_EXPORT char area[8192] __attribute__((aligned(4096)));\n\
        __asm__(\".globl spared_plugin_v0\\n.set spared_plugin_v0, area + 4096 - 88\\n\");\n\
        __attribute__((constructor)) static void fill(void)\n\
        { struct spared_plugin p = { .size = 88, .name = \"vendor\", .create = create, .destroy = destroy };\n\
          memcpy(area + 4096 - 88, &p, 88); mprotect(area + 4096, 4096, PROT_NONE); }\n";
    let path = lab.compile_text("vendor", text, &["-fvisibility=default"]);
    let descriptor = Host::spawn(&path, &load("vendor")).loaded().unwrap();
    assert!(!descriptor.has_role && !descriptor.provides_groups);
}
