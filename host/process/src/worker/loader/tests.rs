use super::*;
use crate::worker::descriptor::is_name;

#[test]
fn names_follow_the_pattern() {
    for name in ["vrrp", "a", "kea-dhcp4", "x2", &"a".repeat(32)] {
        assert!(is_name(name), "{name}");
    }
    for name in [
        "",
        "Vrrp",
        "2x",
        "-a",
        "a_b",
        "a/b",
        "..",
        "a.b",
        "\u{e4}",
        &"a".repeat(33),
    ] {
        assert!(!is_name(name), "{name}");
    }
}

#[test]
fn the_loaders_words_become_what_to_do() {
    let path = "/proc/self/fd/4";
    for (error, sentence) in [
        (
            "libx.so.1: cannot open shared object file: No such file or directory",
            "p.so needs the library libx.so.1, which is not here: install the package that has it",
        ),
        (
            "/proc/self/fd/4: undefined symbol: foo",
            "p.so uses foo, which none of its libraries has: \
             install the versions that it was built for, or rebuild it",
        ),
        (
            "/proc/self/fd/4: invalid ELF header",
            "p.so cannot be loaded: p.so: invalid ELF header",
        ),
    ] {
        assert_eq!(explain("p", path, error), sentence);
    }
}
