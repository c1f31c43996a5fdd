use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::*;

mod link;

fn host(text: &str) -> Result<Host, Vec<String>> {
    Host::parse("spared.toml", text, "r1", Path::new("/nonexistent"))
        .map_err(|faults| said(&faults))
}

fn said(faults: &[Fault]) -> Vec<String> {
    faults.iter().map(ToString::to_string).collect()
}

fn plugin(name: &str, text: &str) -> Plugin {
    let host = Host::parse("spared.toml", "", "r1", Path::new("/nonexistent")).unwrap();
    Plugin::parse(name, text, &host)
}

/// Separate folder with files, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn with(files: &[(&str, &str)]) -> Self {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("spared-config-{}-{number}", std::process::id()));
        fs::create_dir_all(path.join("plugins")).unwrap();
        for (name, text) in files {
            fs::write(path.join(name), text).unwrap();
        }
        Self(path)
    }

    fn setup(&self) -> Result<Setup, Vec<Fault>> {
        Setup::read(&self.0.join("spared.toml"))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn an_empty_file_gives_the_defaults() {
    let host = host("").unwrap();
    assert_eq!(host.node, "r1");
    assert!(host.realtime && host.fenced);
    assert_eq!(host.settle.as_millis(), 200);
}

#[test]
fn the_fence_is_given_up_by_name_only() {
    assert!(host("fence = \"required\"\n").unwrap().fenced);
    assert!(!host("fence = \"off\"\n").unwrap().fenced);
    assert_eq!(
        host("fence = false\n").unwrap_err(),
        ["spared.toml:1: fence: found false, allowed \"required\", \"off\""]
    );
}

#[test]
fn faults_of_the_host_file_come_all_at_once_with_lines() {
    let text = "fence = 5\n\nrealtme = true\nsettle_ms = 20000\n[log]\nlevel = \"loud\"\n";
    assert_eq!(
        host(text).unwrap_err(),
        [
            "spared.toml:6: log.level: found \"loud\", allowed \"error\", \"warn\", \"info\", \"debug\", \"trace\"",
            "spared.toml:1: fence: found 5, allowed \"required\", \"off\"",
            "spared.toml:4: settle_ms: found 20000, allowed 0-10000",
            "spared.toml:3: realtme: unknown key: did you mean \"realtime\"?",
        ]
    );
}

#[test]
fn a_host_that_is_in_no_nodes_is_not_guessed() {
    let text = "# a pair\n\n\n[nodes]\neast = {}\nwest = {}\n";
    assert_eq!(
        host(text).unwrap_err(),
        ["spared.toml:4: this node is \"r1\", but [nodes] has east, west: set node.name"]
    );
    let named = format!("node.name = \"west\"\n{text}");
    assert_eq!(host(&named).unwrap().node, "west");
}

#[test]
fn text_that_is_not_toml_is_refused_with_its_line() {
    let faults = host("a = 1\nb = = 2\n").unwrap_err();
    assert_eq!(faults.len(), 1);
    assert!(faults[0].starts_with("spared.toml:2: "), "{}", faults[0]);
}

#[test]
fn a_word_of_spareds_own_is_no_plugins_name() {
    let folder = Folder::with(&[("plugins/status.toml", "x = 1")]);
    let setup = Setup::read(&folder.0.join("spared.toml")).unwrap();
    let faults: Vec<String> = setup.plugins[0]
        .faults
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        faults,
        ["status.toml: \"status\" is reserved by spared: rename the plugin"]
    );
}

#[test]
fn keys_of_plugins_are_refused_in_the_host_file() {
    assert_eq!(
        host("enabled = true").unwrap_err(),
        ["spared.toml:1: enabled: belongs in a file under plugins/"]
    );
    assert_eq!(
        host("[[group]]\nname = \"office\"").unwrap_err(),
        ["spared.toml:1: group: belongs in plugins/vrrp.toml"]
    );
}

#[test]
fn the_keys_of_the_host_are_read_and_the_others_left_alone() {
    let plugin = plugin(
        "dhcp",
        "after = [\"vrrp\"]\nallow = [\"net_admin\", \"CAP_NET_RAW\"]\non_failure = \"resign\"\n[[server]]\nkind = 4\n",
    );
    assert_eq!(plugin.faults, []);
    assert_eq!(plugin.after, ["vrrp"]);
    assert_eq!(plugin.allow.capabilities, 1 << 12 | 1 << 13);
    assert!(!plugin.allow.root);
    assert_eq!(plugin.on_failure, Some(OnFailure::Resign));
    assert!(plugin.enabled);
}

#[test]
fn wrong_keys_of_the_host_in_a_plugin_file_are_faults_of_that_plugin() {
    let plugin = plugin(
        "dhcp",
        "\nafter = \"vrrp\"\nallow = [\"fly\"]\nenabled = 1\n",
    );
    assert_eq!(
        said(&plugin.faults),
        [
            "dhcp.toml:4: enabled: found 1, allowed true or false",
            "dhcp.toml:2: after: found \"vrrp\", allowed an array: texts",
            "dhcp.toml:3: allow.0: found \"fly\", allowed a capability like \"net_admin\", or \"root\"",
        ]
    );
}

#[test]
fn plugins_that_wait_for_each_other_are_refused() {
    let mut plugins = [
        plugin("a", "after = [\"b\"]"),
        plugin("b", "after = [\"c\"]"),
        plugin("c", "\nafter = [\"a\"]"),
        plugin("d", "after = [\"a\"]"),
    ];
    plugin_order::refuse_cycles(&mut plugins);
    assert_eq!(
        said(&plugins[2].faults),
        ["c.toml:2: after: waits for itself: c after a after b after c"]
    );
    assert_eq!(plugins[3].faults, []);
}

#[test]
fn order_puts_each_plugin_after_what_it_says() {
    let (service, dhcp) = (["dhcp".to_owned()], ["conntrack".to_owned()]);
    let ordered = by_order(&[("service", &service), ("dhcp", &dhcp), ("conntrack", &[])]);
    assert_eq!(ordered, ["conntrack", "dhcp", "service"]);
}

#[test]
fn a_key_is_located_at_its_line_and_a_missing_one_at_its_table() {
    let text = "[[group]]\nname = \"a\"\n\n[[group.interface]]\nvrid = 1\n[[group.interface]]\nvrid = 300\n";
    assert_eq!(locate(text, "group.0.interface.1.vrid"), Some(7));
    assert_eq!(locate(text, "group.0.interface.1.interface"), Some(6));
    assert_eq!(locate(text, "group.0.name"), Some(2));
    assert_eq!(locate(text, "nothing"), None);
    assert_eq!(locate(text, ""), None);
    assert_eq!(locate("a = [\n1,\n2]", "a.1"), Some(3));
}

#[test]
fn a_fault_names_entries_as_the_file_does() {
    let text = "settle = 1\n[[group]]\nname = \"a\"\n[[group.interface]]\ninterface = \"lan1\"\n\
                [[group.interface]]\nvrid = 300\n[nodes.r1]\nports = [1, 2]\n";
    for (key, words) in [
        (
            "group.0.interface.0.vrid",
            "group \"a\" interface \"lan1\": vrid",
        ),
        ("group.0.interface.1.vrid", "group \"a\" interface 2: vrid"),
        ("group.0.interface", "group \"a\": interface"),
        ("group.0", "group \"a\""),
        ("group.7.name", "group.7.name"),
        ("nodes.r1.ports.1", "nodes.r1.ports.1"),
        ("settle", "settle"),
        ("", ""),
    ] {
        assert_eq!(Fault::of_key("x.toml", text, key, "why").key, words);
    }
}

/// A plugin may report so many faults in one record, and the host does nothing else while it handles them.
#[test]
fn of_a_great_many_faults_the_first_are_told() {
    let text: String = (0..5000).map(|n| format!("key{n:04} = 1\n")).collect();
    let found = (0..5000).map(|n| (format!("key{n:04}"), "unknown".to_owned()));
    let faults = Fault::of_keys("x.toml", &text, found);
    assert_eq!(faults.len(), 101);
    assert_eq!(faults[99].to_string(), "x.toml:100: key0099: unknown");
    assert_eq!(faults[100].to_string(), "x.toml: 4900 more faults");
}

#[test]
fn the_presence_of_a_file_enables_a_plugin() {
    let folder = Folder::with(&[
        ("plugins/vrrp.toml", "x = 1"),
        ("plugins/dhcp.toml", "enabled = false"),
        ("plugins/README", "not a plugin"),
    ]);
    let setup = folder.setup().unwrap();
    let seen: Vec<_> = setup
        .plugins
        .iter()
        .map(|p| (p.name.as_str(), p.enabled))
        .collect();
    assert_eq!(seen, [("dhcp", false), ("vrrp", true)]);
}

#[test]
fn the_digest_changes_with_any_file() {
    let folder = Folder::with(&[("plugins/vrrp.toml", "x = 1")]);
    let before = folder.setup().unwrap().digest;
    assert_eq!(before.len(), 8);
    assert_eq!(before, folder.setup().unwrap().digest);
    fs::write(folder.0.join("plugins/vrrp.toml"), "x = 2").unwrap();
    assert_ne!(before, folder.setup().unwrap().digest);
}

#[test]
fn texts_that_were_read_before_are_the_same_configuration() {
    let files = [
        ("spared.toml", "realtime = false"),
        ("plugins/acme.toml", "allow = [\"net_raw\"]"),
        ("plugins/acme-b.toml", "after = [\"acme\"]"),
        ("plugins/wrong.toml", "allow = ["),
    ];
    let folder = Folder::with(&files);
    let texts = files.map(|(file, text)| (file.to_owned(), text.to_owned()));
    let path = folder.0.join("spared.toml");
    let of_texts = Setup::of_texts(&path, &BTreeMap::from(texts));
    assert_eq!(of_texts, folder.setup());
}

#[test]
fn a_file_that_others_may_write_is_refused() {
    let folder = Folder::with(&[("spared.toml", ""), ("plugins/vrrp.toml", "")]);
    let writable = fs::Permissions::from_mode(0o666);
    fs::set_permissions(folder.0.join("plugins/vrrp.toml"), writable.clone()).unwrap();
    assert_eq!(
        said(&folder.setup().unwrap().faults()),
        [format!(
            "vrrp.toml: is writable by its group and everybody: chmod go-w {}/plugins/vrrp.toml",
            folder.0.display()
        )]
    );
    fs::set_permissions(folder.0.join("spared.toml"), writable).unwrap();
    assert_eq!(
        said(&folder.setup().unwrap_err()),
        [format!(
            "spared.toml: is writable by its group and everybody: chmod go-w {}/spared.toml",
            folder.0.display()
        )]
    );
}

#[test]
fn a_file_that_fits_in_no_message_is_refused() {
    let folder = Folder::with(&[("plugins/vrrp.toml", &"#".repeat(200_000))]);
    assert_eq!(
        said(&folder.setup().unwrap().faults()),
        ["vrrp.toml: is larger than 163840 bytes"]
    );
}

#[test]
fn nothing_at_all_is_a_configuration() {
    let folder = Folder::with(&[]);
    let setup = folder.setup().unwrap();
    assert!(setup.plugins.is_empty());
}

/// Pieces of random files with faults of every kind.
fn pieces() -> impl proptest::strategy::Strategy<Value = String> {
    use proptest::prelude::*;
    const WORDS: [&str; 29] = [
        "[[group]]",
        "[nodes]",
        "[nodes",
        "after",
        "follow",
        "allow",
        "node.name",
        "=",
        "= =",
        "{ r1 = 1 }",
        "[\"a\"",
        "]",
        "\"",
        "'''",
        "\n",
        "\u{0}",
        "99999999999999999999",
        "-1",
        "true",
        "settle_ms",
        "[[link]]",
        "address = { a = \"10.0.0.1/30\", b = \"10.0.0.2/30\" }",
        "public_key",
        "secret_file = \"/dev/null\"",
        ".",
        "a.b.c",
        "#",
        "[[[[",
        "1e400",
    ];
    let word = prop_oneof![
        9 => proptest::sample::select(&WORDS[..]).prop_map(str::to_owned),
        1 => any::<String>(),
    ];
    proptest::collection::vec(word, 0..24).prop_map(|words| words.join(" "))
}

proptest::proptest! {
    #[test]
    fn no_text_upsets_the_readers(text in pieces(), key in "[a-z0-9.]{0,12}") {
        let _ = Host::parse("spared.toml", &text, "r1", Path::new("/nonexistent"));
        let _ = plugin("dhcp", &text).faults.iter().map(ToString::to_string).count();
        if let Some(line) = locate(&text, &key) {
            proptest::prop_assert!(line <= text.lines().count().max(1));
        }
    }
}

#[test]
fn a_date_in_a_plugins_file_is_refused_by_its_line() {
    let plugin = plugin("acme", "a = 1\n[[b]]\nc = 2026-11-22\n");
    assert_eq!(
        said(&plugin.faults),
        ["acme.toml:3: b 1: c: found the date 2026-11-22, allowed is a text: \"2026-11-22\""]
    );
}

/// Numbered lines, as many as a file may have bytes for.
fn longest(line: impl Fn(usize) -> String) -> String {
    let mut text = String::new();
    for number in 0.. {
        let line = line(number);
        if text.len() + line.len() > 160 * 1024 {
            break;
        }
        text += &line;
    }
    text
}

#[test]
fn the_longest_files_fit_a_message() {
    let office = include_str!("../../../docs/examples/office.toml");
    let tables = office.find("[[group]]").unwrap();
    let longest = [
        longest(|_| office[tables..].to_owned()),
        longest(|number| format!("{number}=1\n")),
        longest(|number| format!("k{number} = {{ r1 = \"10.0.0.1\", r2 = \"10.0.0.2\" }}\n")),
        longest(|_| "[[a]]\n".to_owned()),
        format!("a = [{}]\n", longest(|_| "1,".to_owned())),
        format!("a = [{}]\n", longest(|_| "{},".to_owned())),
        format!("a = [{}]\n", longest(|_| "\"\",".to_owned())),
    ];
    for text in longest {
        let plugin = plugin("acme", &text);
        assert_eq!(said(&plugin.faults), Vec::<String>::new());
        assert!(plugin.table.size() <= text.len(), "{}", &text[..60]);
    }
}

#[test]
fn a_file_that_no_message_has_room_for_is_refused() {
    // values that take more bytes as a number than as a text
    let text = format!("a = [{}]\n", longest(|_| "0.5,".to_owned()));
    let plugin = plugin("acme", &text);
    let said = said(&plugin.faults);
    assert_eq!(said.len(), 1, "{said:?}");
    let why = "bytes as a message, allowed 180224: write less of it";
    assert!(said[0].ends_with(why), "{said:?}");
}
