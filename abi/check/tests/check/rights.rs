//! Files within a plugin's reach, and plugins that run as root.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::lab::{Lab, check, fails_alone};

#[test]
fn a_file_that_the_configuration_names_is_within_reach_and_no_other() {
    let lab = Lab::new();
    let here = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let is_open = |it: &Path| it.metadata().unwrap().permissions().mode() & 0o001 != 0;
    if !here.ancestors().all(is_open) {
        eprintln!("skipped: other accounts may not enter the folder of this checkout");
        return;
    }
    let [named, other] =
        ["named", "other"].map(|it| Lab(here.join(format!("{it}-{}", std::process::id()))));
    for folder in [&named, &other] {
        fs::create_dir_all(&folder.0).unwrap();
        fs::write(folder.0.join("file"), "").unwrap();
    }
    let body = format!(
        "static spared_status configure(void *self, int check) {{ struct spared_str path; char text[4096]; (void)self;\n\
         if (check || spared_config_get(\"path\", &path)) return 0;\n\
         snprintf(text, sizeof(text), \"%.*s\", (int)path.len, path.ptr);\n\
         if (open(text, O_RDONLY) < 0 || open({:?}, O_RDONLY) >= 0 || errno != EACCES) return -EINVAL; return 0; }}",
        other.0.join("file")
    );
    let body = format!("#include <stdio.h>\n{body}");
    let path = lab.plugin(&body, "SPARED_FILES", ".configure = configure,");
    let config = lab.0.join("vendor.toml");
    fs::write(&config, format!("path = {:?}\n", named.0.join("file"))).unwrap();
    let arguments = ["--only", "configure", "--config", config.to_str().unwrap()];
    let (code, said) = check(&path, &arguments);
    assert!(code == 0 && !said.contains("finding"), "{code}, {said}");
}

/// Loop of a vendor's own in place of the library's: it takes every configuration.
const OWN_LOOP: &str = "#include <poll.h>\n#include <sys/socket.h>\n#include \"spared_plugin.h\"\n\
    int spared_run(int daemon, const char *note, const struct spared_plugin *plugin)\n\
    {\n\
    enum { CONFIGURE = 1, STOP = 3, PING = 15 };\n\
    unsigned char in[65536];\n\
    struct pollfd readable = { .fd = daemon, .events = POLLIN };\n\
    (void)note, (void)plugin;\n\
    while (poll(&readable, 1, -1) == 1 && recv(daemon, in, sizeof(in), 0) > 6) {\n\
    unsigned char returned[] = { 0xa2, 0, 2, 1, 0xa1, 0, in[6] }, pong[] = { 0xa2, 0, 10, 1, 0xa1, 1, in[6] };\n\
    if (in[2] == CONFIGURE || in[2] == STOP) send(daemon, returned, sizeof(returned), 0);\n\
    if (in[2] == PING) send(daemon, pong, sizeof(pong), 0);\n\
    if (in[2] == STOP) return 0;\n\
    }\n\
    return 0;\n\
    }\n\
    SPARED_PLUGIN(SPARED_NAME(\"vendor\") SPARED_SUMMARY(\"s\") SPARED_ROOT, .create = 0);\n";

#[test]
fn a_loop_of_ones_own_that_takes_the_daemons_word_as_root_is_found() {
    let lab = Lab::new();
    let source = lab.0.join("vendor.c");
    fs::write(&source, OWN_LOOP).unwrap();
    let path = lab.compile_by("cc", "-std=c11", "vendor", &source, &[]);
    for what in [
        "a configuration that root's file does not have",
        "what the daemon says of root's file, which is for the first message alone",
        "names of the nodes that root's file does not have",
    ] {
        fails_alone(&path, "root", &format!("runs as root, and takes {what}"));
    }
    // the library keeps the rule
    let (code, said) = check(&lab.plugin("", "SPARED_ROOT", ""), &["--only", "root"]);
    assert!(code == 0 && !said.contains("finding"), "{code}, {said}");
}
