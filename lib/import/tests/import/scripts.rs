//! Commands of checks and hooks: the arguments are those that `keepalived -d` shows, and no shell has a part in them.

use spared_import::Import;

use crate::common::{of, told};

fn imported(script: &str, lines: &str) -> Import {
    let text = format!(
        "vrrp_script s {{\nscript {script}\nweight -20\n}}\nvrrp_instance a {{\ninterface eth0\nvirtual_router_id 1\n{lines}\nvirtual_ipaddress {{\n10.0.0.1\n}}\ntrack_script {{\ns\n}}\n}}\n"
    );
    of(&text).expect("readable")
}

#[test]
fn a_check_has_the_arguments_of_keepalived() {
    for (script, argv) in [
        (
            r#""/usr/bin/pgrep -f zz.*nginx""#,
            r#"["/usr/bin/pgrep", "-f", "zz.*nginx"]"#,
        ),
        (
            r#""/usr/bin/wget -q http://127.0.0.1:9/health?a=1&b=2""#,
            r#"["/usr/bin/wget", "-q", "http://127.0.0.1:9/health?a=1&b=2"]"#,
        ),
        (
            r#""/usr/bin/pgrep -f ^/usr/sbin/(nginx|apache2)""#,
            r#"["/usr/bin/pgrep", "-f", "^/usr/sbin/(nginx|apache2)"]"#,
        ),
        (
            r#""/bin/sh -c \"test -d /work\"""#,
            r#"["/bin/sh", "-c", "test -d /work"]"#,
        ),
        (
            r#""/usr/bin/pgrep -f <defunct>""#,
            r#"["/usr/bin/pgrep", "-f", "<defunct>"]"#,
        ),
        (
            r#""pidof nginx && pidof php-fpm""#,
            r#"["/usr/bin/env", "pidof", "nginx", "&&", "pidof", "php-fpm"]"#,
        ),
        ("/usr/bin/pgrep -x nginx", r#"["/usr/bin/pgrep"]"#),
        (r#""</etc/passwd""#, r#"["/bin/sh", "-c", "</etc/passwd"]"#),
    ] {
        let import = imported(script, "");
        let health = &import.texts["plugins/health.toml"];
        assert!(
            health.contains(&format!("argv = {argv}\n")),
            "{script}: {health}"
        );
    }
    for (script, expected) in [
        (
            r#""pidof nginx && pidof php-fpm""#,
            "keepalived asks no shell, so && is an argument of the program",
        ),
        (
            "/usr/bin/pgrep -x nginx",
            "keepalived runs the first word alone, without the arguments behind it",
        ),
        (
            r#""killall -0 haproxy nginx""#,
            "kill -0: user spared-health may send no signal to processes of others",
        ),
        (r#""/bin/x 'y""#, "it names no script"),
        (
            r#""/bin/x \""#,
            "a quote or an escape has no end: keepalived ignores the line",
        ),
    ] {
        let list = told(&imported(script, ""));
        assert!(
            list.contains(expected),
            "{script}: {expected} is not in {list}"
        );
    }
    let plain = told(&imported(r#""/bin/sh -c 'a | b > c'""#, ""));
    assert!(!plain.contains("asks no shell"), "{plain}");
}

#[test]
fn a_script_that_keepalived_disables_is_in_no_file() {
    let import = imported("\"! pidof x\"", "");
    assert!(!import.texts.contains_key("plugins/health.toml"));
    let list = told(&import);
    for expected in [
        "vrrp_script s: keepalived finds no program `!`, and disables the script",
        "s: the check is not in the files, for the reason at its definition",
    ] {
        assert!(list.contains(expected), "{expected} is not in {list}");
    }
}

#[test]
fn a_hook_has_the_arguments_of_keepalived_and_runs_them_without_a_shell() {
    for (notify, line) in [
        (
            r#"notify_master "/bin/sh -c \"echo master >> /run/n.log\"""#,
            "exec /bin/sh -c 'echo master >> /run/n.log'\n",
        ),
        (
            r#"notify_master "/bin/echo a&b $HOME 'c d' > /tmp/x;y""#,
            "exec /bin/echo 'a&b' '$HOME' 'c d' '>' '/tmp/x;y'\n",
        ),
        (
            r#"notify_master "echo x" nobody"#,
            "--init-groups -- echo x\n",
        ),
        (r#"notify_master "test 1""#, "exec test 1\n"),
    ] {
        let import = imported("/bin/true", notify);
        let hook = &import.texts["hooks/active.d/50-a-notify_master"];
        assert!(hook.ends_with(line), "{hook}");
    }
    let list = told(&imported("/bin/true", "notify_master /x master"));
    assert!(
        list.contains("words behind a notify script: outside of the quotes"),
        "{list}"
    );
    // two in one group
    let text = "vrrp_sync_group a {\ngroup {\na\n}\nnotify_master /g\n}\n\
                vrrp_instance a {\ninterface eth0\nvirtual_router_id 1\nvirtual_ipaddress {\n10.0.0.1\n}\nnotify_master /i\n}\n";
    let hook = &of(text).expect("readable").texts["hooks/active.d/50-a-notify_master"];
    assert!(hook.ends_with("(exec /i)\nexec /g\n"), "{hook}");
    let import = imported("/bin/true", "notify_master \"/x 'y\"");
    assert!(!import.texts.keys().any(|it| it.starts_with("hooks/")));
    assert!(told(&import).contains("keepalived cannot read the command, and ignores the line"));
}
