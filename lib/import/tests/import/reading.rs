//! How keepalived.conf is read: expansion and words.

#[allow(dead_code)]
use std::path::Path;

use crate::common::{Disk, of, of_files, of_nodes, of_with};
use proptest::prelude::*;
use spared_import::{Files, Outcome};

/// An instance with these lines in its block of addresses.
fn addresses(lines: &str) -> String {
    let text = format!(
        "vrrp_instance a {{\ninterface eth0\nvirtual_router_id 1\npriority 150\nvirtual_ipaddress {{\n{lines}\n}}\n}}\n"
    );
    let import = of(&text).expect("readable");
    let vrrp = &import.texts["plugins/vrrp.toml"];
    let line = vrrp
        .lines()
        .find(|it| it.starts_with("addresses"))
        .expect("addresses");
    line.replace("addresses = ", "")
        .replace("/32", "")
        .replace('"', "")
}

#[test]
fn definitions_sequences_and_lists_are_expanded() {
    for (lines, expected) in [
        ("10.0.0.1", "[10.0.0.1]"),
        (
            "$A=10.0\n${A}.0.1\n$A=10.1\n${A}.0.1",
            "[10.0.0.1, 10.1.0.1]",
        ),
        ("$A=10.${B}\n$B=7\n${A}.0.1", "[10.7.0.1]"),
        ("$A=10.0.0.1 # comment\n$A", "[10.0.0.1]"),
        ("~SEQ(N, 3) 10.0.0.${N}", "[10.0.0.1, 10.0.0.2, 10.0.0.3]"),
        (
            "~SEQ(N, 5, -2, 1) 10.0.0.$N",
            "[10.0.0.5, 10.0.0.3, 10.0.0.1]",
        ),
        (
            "~SEQx(N, 9, 11) 10.0.0.1\n~SEQ(N, 0x10, 17) 10.0.0.$N",
            "[10.0.0.1, 10.0.0.16, 10.0.0.17]",
        ),
        (
            "~SEQ(N, 1, 2) ~SEQ(M, 3, 4) 10.0.${N}.${M}",
            "[10.0.1.3, 10.0.1.4, 10.0.2.3, 10.0.2.4]",
        ),
        (
            "~LST({A, B}, {1,2}, {3,4}) 10.0.${A}.${B}",
            "[10.0.1.2, 10.0.3.4]",
        ),
        ("~LST(A, 8, 9) 10.0.0.${A}", "[10.0.0.8, 10.0.0.9]"),
        ("$M= \\\n10.0.0.1 \\\n10.0.0.2\n$M", "[10.0.0.1, 10.0.0.2]"),
        ("@r1 10.0.0.1\n@^r1 10.0.0.1\n@r3 10.0.0.9", "[10.0.0.1]"),
        ("$IF=@r1\n$IF 10.0.0.1\n@r2 10.0.0.1", "[10.0.0.1]"),
        ("10.0.0.1 ! ten\n#10.0.0.2", "[10.0.0.1]"),
        ("$E=2\n~SEQ(N, 1, $E) 10.0.0.${N}", "[10.0.0.1, 10.0.0.2]"),
    ] {
        assert_eq!(addresses(lines), expected, "{lines}");
    }
}

#[test]
fn values_by_node_have_both_names() {
    let import = of(
        "vrrp_instance a {\n@r1 interface eth0\n@r2 interface eth1\nvirtual_router_id 1\n@r1 priority 9\n@r2 priority 8\n\
                     virtual_ipaddress { 10.0.0.1 }\n}\n",
    );
    let text = import.expect("readable").texts["plugins/vrrp.toml"].clone();
    assert!(
        text.contains("interface = { r1 = \"eth0\", r2 = \"eth1\" }\n"),
        "{text}"
    );
    assert!(text.contains("priority = { r1 = 9, r2 = 8 }\n"), "{text}");
}

#[test]
fn environment_and_randomness_are_not_taken_over() {
    let import = of(
        "vrrp_instance a {\ninterface eth0\nnotify ${_ENV HOME}/hook\nvirtual_router_id ${_RANDOM 3 9}\nvirtual_ipaddress { 10.0.0.1 }\n}\n",
    );
    let import = import.expect("readable");
    let text = &import.texts["plugins/vrrp.toml"];
    assert!(text.contains("vrid = 3\n"), "{text}");
    for text in import.texts.values() {
        assert!(!text.contains("/root") && !text.contains("/home"), "{text}");
    }
    assert!(
        import
            .sources
            .problems()
            .iter()
            .any(|it| it.what == "${_RANDOM}")
    );
}

fn piece() -> impl Strategy<Value = String> {
    let words = [
        "vrrp_instance",
        "vrrp_sync_group",
        "group",
        "interface",
        "priority",
        "virtual_ipaddress",
        "10.0.0.1/24",
        "{",
        "}",
        "\n",
        "\"",
        "$A",
        "$A=",
        "${A}",
        "\\\n",
        "@r1 ",
        "@^r2 ",
        "~SEQ(A,1,3) ",
        "~LST(A,1,2) ",
        "# x",
        "include /k/a\n",
        "track_script",
        "weight",
        "-5",
        "vrrp_script",
        "script",
        "notify_master",
        "virtual_routes",
        "default via 10.0.0.9",
        "virtual_rules",
        "é",
        "from",
        "table 3",
        "unicast_peer",
        "label",
        "dev",
        "eth0",
        "virtual_router_id",
        "7",
        "auth_pass",
        "authentication",
        " ",
        "global_defs",
    ];
    prop::sample::select(words.to_vec()).prop_map(|it| it.to_owned() + " ")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_line_of_any_text_is_lost(pieces in prop::collection::vec(piece(), 0..80)) {
        let text = pieces.concat();
        if let Ok(import) = of(&text) {
            for outcome in import.sources.outcomes().values() {
                prop_assert_ne!(*outcome, Outcome::Open);
            }
            let vrrp = import.texts.get("plugins/vrrp.toml").cloned().unwrap_or_default();
            prop_assert!(vrrp.parse::<toml::Table>().is_ok(), "{}", vrrp);
        }
    }
}

#[test]
fn included_files_are_read_from_where_they_are() {
    let import = of_files(&[
        ("/k/a", "include sub/b\n"),
        (
            "/k/sub/b",
            "include c\n$D=${_PWD}\nvrrp_instance a {\ninterface e0\nvirtual_router_id 1\nvirtual_ipaddress { 10.0.0.1 }\nnotify ${_PWD}/x.sh\n}\n",
        ),
        ("/k/sub/c", "global_defs {\nvrrp_version 3\n}\n"),
    ]);
    let texts = import.expect("readable").texts;
    assert!(!texts["plugins/vrrp.toml"].contains("version = 2"));
    assert!(texts["hooks/active.d/60-a-notify"].contains("/k/sub/x.sh INSTANCE a MASTER 100"));
    assert!(Disk.read(Path::new("/nonexistent")).is_err());
}

#[test]
fn files_of_the_other_node_are_those_of_its_copy() {
    let text = |interface: &str, priority: u8| {
        format!(
            "vrrp_instance a {{\ninterface {interface}\nvirtual_router_id 1\npriority {priority}\nvirtual_ipaddress {{ 10.0.0.1 }}\nnotify ${{_PWD}}/x\n}}\n"
        )
    };
    let include = "include /etc/keepalived/conf.d/a.conf\n";
    let (own, other) = (text("eth0", 100), text("ens3", 150));
    let files = [
        ("/etc/keepalived/keepalived.conf", include),
        ("/etc/keepalived/conf.d/a.conf", own.as_str()),
        ("/root/r2/keepalived.conf", include),
        ("/root/r2/conf.d/a.conf", other.as_str()),
    ];
    let mains = [
        "/etc/keepalived/keepalived.conf",
        "/root/r2/keepalived.conf",
    ];
    let texts = of_nodes(&files, mains, false).expect("readable").texts;
    let vrrp = &texts["plugins/vrrp.toml"];
    assert!(vrrp.contains("{ r1 = \"eth0\", r2 = \"ens3\" }"), "{vrrp}");
    assert!(vrrp.contains("{ r1 = 100, r2 = 150 }"), "{vrrp}");
    let hook = &texts["hooks/active.d/60-a-notify"];
    assert!(
        hook.contains("r2) exec /etc/keepalived/conf.d/x "),
        "{hook}"
    );

    let beside = [files[0], files[1], ("/etc/keepalived/r2.conf", include)];
    let mains = [mains[0], "/etc/keepalived/r2.conf"];
    let fault = of_nodes(&beside, mains, false)
        .expect_err("refused")
        .to_string();
    assert!(
        fault.starts_with(
            "r2.conf:1: include /etc/keepalived/conf.d/a.conf is a file of r2, and this folder"
        ),
        "{fault}"
    );
    let elsewhere = [files[0], files[1], ("/root/r2.conf", "include /srv/x\n")];
    let fault = of_nodes(&elsewhere, [mains[0], "/root/r2.conf"], false);
    let fault = fault.expect_err("refused").to_string();
    assert!(
        fault.contains("is a file of r2 outside of /etc/keepalived"),
        "{fault}"
    );
}

#[test]
fn a_second_file_is_one_even_if_all_its_lines_are_in_a_third() {
    let text = "vrrp_instance a {\ninterface eth0\nvirtual_router_id 1\npriority 120\nvirtual_ipaddress { 10.0.0.1 }\n}\n";
    let files = [
        ("/k/a", "include c\n"),
        ("/k/b", "include c\n"),
        ("/k/c", text),
    ];
    let import = of_nodes(&files, ["/k/a", "/k/b"], false).expect("readable");
    let vrrp = &import.texts["plugins/vrrp.toml"];
    assert!(vrrp.contains("priority = 120\n"), "{vrrp}");
    let problems = import.sources.problems();
    assert!(
        !problems.iter().any(|it| it.todo.contains("--peer")),
        "{problems:?}"
    );
}

#[test]
fn an_include_for_one_node_is_read_for_it() {
    let import = of_files(&[
        (
            "/k/a",
            "@r2 include sub/b\n$D=sub/c\nvrrp_instance a {\ninterface eth0\nvirtual_router_id 1\nvirtual_ipaddress { 10.0.0.1 }\n}\n@^r2 $P=200\ninclude $D\n",
        ),
        ("/k/sub/b", "$P=90\n"),
        (
            "/k/sub/c",
            "vrrp_instance b {\ninterface eth1\npriority $P\nvirtual_router_id 2\nvirtual_ipaddress { 10.0.1.1 }\n}\n",
        ),
    ]);
    let import = import.expect("readable");
    let vrrp = &import.texts["plugins/vrrp.toml"];
    assert!(vrrp.contains("priority = { r1 = 200, r2 = 90 }"), "{vrrp}");
    assert!(
        import
            .sources
            .outcomes()
            .keys()
            .any(|it| import.sources.shown(*it) == "b:1")
    );
}

/// A line for each word that the table promises to translate, in its block.
const SAMPLES: [(&str, &[&str]); 7] = [
    (
        "instance",
        &[
            "interface eth9",
            "virtual_router_id 9",
            "priority 99",
            "advert_int 3",
            "down_timer_adverts 5",
            "version 3",
            "virtual_ipaddress { 10.0.0.9 }",
            "virtual_ipaddress_excluded { 10.0.0.9 }",
            "virtual_routes { default via 10.0.0.9 }",
            "virtual_rules { from 10.0.0.0/8 table 9 }",
            "nopreempt",
            "preempt_delay 9",
            "unicast_peer { 10.0.0.8 }",
            "unicast_src_ip 10.0.0.7\nunicast_peer { 10.0.0.8 }",
            "mcast_src_ip 10.0.0.7\nunicast_peer { 10.0.0.8 }",
            "unicast_ttl 9\nunicast_peer { 10.0.0.8 }",
            "use_vmac",
            "no_accept",
            "strict_mode",
            "garp_master_refresh 9",
            "track_interface { eth9 }",
            "track_script { s }",
            "track_process { p }",
            "track_file { f }",
            "dont_track_primary",
            "authentication { auth_pass x }",
            "notify_master /x",
            "notify_backup /x",
            "notify_fault /x",
            "notify /x",
        ],
    ),
    (
        "sync",
        &[
            "group { a }",
            "track_interface { eth9 }",
            "track_script { s }",
            "track_process { p }",
            "track_file { f }",
            "sync_group_tracking_weight",
            "global_tracking",
            "notify_master /x",
            "notify_backup /x",
            "notify_fault /x",
            "notify /x",
        ],
    ),
    (
        "script",
        &[
            "script /x",
            "interval 9",
            "timeout 1",
            "weight 9",
            "rise 9",
            "fall 9",
        ],
    ),
    ("file", &["file /x", "weight 9"]),
    (
        "process",
        &[
            "process x",
            "weight 9",
            "delay 9",
            "fork_delay 9",
            "terminate_delay 9",
        ],
    ),
    (
        "global",
        &[
            "vrrp_version 3",
            "vrrp_startup_delay 9",
            "vrrp_garp_master_refresh 9",
            "vrrp_down_timer_adverts 9",
            "vrrp_strict",
            "script_user nobody",
        ],
    ),
    ("top", &["interface_up_down_delays { eth8 1 }"]),
];

/// A whole configuration with these lines in a block.
fn with(block: &str, lines: &str) -> String {
    let of = |name: &str| if name == block { lines } else { "" };
    format!(
        "{}\nglobal_defs {{\n{}\n}}\nvrrp_script s {{\ninterval 5\nscript /s\n{}\n}}\ntrack_file f {{\n{}\nfile /f\n}}\n\
         vrrp_track_process p {{\n{}\nprocess p\n}}\nvrrp_sync_group g {{\n{}\n{}\n}}\n\
         vrrp_instance a {{\ninterface eth0\nvirtual_router_id 1\nvirtual_ipaddress {{ 10.0.0.1 }}\n{}\n}}\n\
         vrrp_instance b {{\ninterface eth1\nvirtual_router_id 2\nvirtual_ipaddress {{ 10.0.1.1 }}\nnotify_master /b\n\
         track_script {{ s }}\ntrack_process {{ p }}\ntrack_file {{ f }}\ntrack_interface {{ eth8 }}\n}}\n",
        of("top"),
        of("global"),
        of("script"),
        of("file"),
        of("process"),
        if lines.starts_with("group") {
            ""
        } else {
            "group { b }"
        },
        of("sync"),
        of("instance"),
    )
}

#[test]
fn each_word_that_is_translated_changes_the_files() {
    let texts = |text: &str| {
        let after = of_with(text, true).expect("readable");
        (of(text).expect("readable").texts, after.texts)
    };
    for (block, samples) in SAMPLES {
        for sample in samples {
            let is_tracked = sample.starts_with("track_script")
                || sample.starts_with("track_process")
                || sample.starts_with("track_file");
            let strip = |text: String| {
                if is_tracked {
                    text.replace(
                        "track_script { s }\ntrack_process { p }\ntrack_file { f }\n",
                        "",
                    )
                } else {
                    text
                }
            };
            let (without, with) = (strip(with(block, "")), strip(with(block, sample)));
            assert_ne!(texts(&without), texts(&with), "{sample}");
        }
    }
    let sampled: Vec<&str> = SAMPLES
        .iter()
        .flat_map(|it| it.1.iter())
        .flat_map(|it| it.split_whitespace())
        .collect();
    for row in spared_import::table::ROWS {
        let is_promised = matches!(row.fate, spared_import::table::Fate::Becomes(_));
        use spared_import::table::Block::{Conntrackd, Top};
        let is_block = matches!(row.block, Top | Conntrackd) || row.words.contains(&"auth_type");
        for word in row.words.iter().filter(|_| is_promised && !is_block) {
            assert!(sampled.contains(word), "{word} has no sample");
        }
    }
}
