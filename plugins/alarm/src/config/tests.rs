//! Files that are read, and faults with their sentences.

use spared_sdk::config::Config;

use super::*;

fn read_text(text: &str) -> Result<Settings, Vec<String>> {
    let config = Config::parse(text, "r1", &[]).expect("TOML");
    let settings = read(&config);
    match config.finish() {
        Ok(()) => Ok(settings.expect("no fault")),
        Err(faults) => Err(faults
            .iter()
            .map(|it| format!("{}: {}", it.key, it.why))
            .collect()),
    }
}

fn fault(lines: &str) -> String {
    let faults = read_text(&format!("[[alarm]]\n{lines}")).expect_err("a fault");
    faults.join("; ")
}

#[test]
fn a_short_alarm_has_the_defaults() {
    let settings = read_text("[[alarm]]\nname = \"log\"\nsyslog = \"/dev/log\"\n").expect("read");
    assert_eq!(settings.delay_ns, 5_000_000_000);
    let [log] = settings.recipients.as_slice() else {
        panic!("{settings:?}");
    };
    assert_eq!((log.severity, log.ends), (Severity::Warning, true));
    assert_eq!(
        (log.reminder_ns, log.timeout),
        (None, Duration::from_secs(10))
    );
    let to = SyslogServer::Local("/dev/log".into());
    assert_eq!(log.to, Destination::Syslog(Syslog { to, facility: 3 }));
}

#[test]
fn a_recipient_is_told_what_it_wants() {
    let text = "[[alarm]]\nname = \"log\"\nsyslog = \"192.0.2.7:514\"\nseverity = \"notice\"\n\
                findings = [\"SP-01*\", \"SP-0401\", \"SP-0701\"]\n";
    let settings = read_text(text).expect("read");
    let log = &settings.recipients[0];
    let wants = |id: &str, thing: &str| {
        log.wants(&Key {
            id: id.to_owned(),
            node: "r1".to_owned(),
            thing: thing.to_owned(),
        })
    };
    assert!(wants("SP-0101", "r2") && wants("SP-0401", "disk") && wants("SP-0701", "r1"));
    assert!(!wants("SP-0402", "disk") && !wants("SP-0501", "hot0"));
    assert!(wants("SP-0401", "alarm mail") && !wants("SP-0401", "alarm log"));
}

#[test]
fn the_least_severity_is_told_and_all_above_it() {
    let key = |id: &str| Key {
        id: id.to_owned(),
        node: String::new(),
        thing: String::new(),
    };
    for (word, told) in [("critical", 1), ("warning", 2), ("notice", 3)] {
        let text =
            format!("[[alarm]]\nname = \"a\"\nsyslog = \"/dev/log\"\nseverity = \"{word}\"\n");
        let settings = read_text(&text).expect("read");
        let ids = ["SP-0104", "SP-0501", "SP-0701"];
        let wanted = ids
            .iter()
            .filter(|id| settings.recipients[0].wants(&key(id)));
        assert_eq!(wanted.count(), told, "{word}");
    }
}

#[test]
fn faults_say_what_is_allowed() {
    for (lines, said) in [
        (
            "name = \"a\"\nsyslog = \"/dev/log\"\nseverity = \"critcal\"",
            "alarm.0.severity: found \"critcal\", allowed \"notice\", \"warning\", \"critical\": did you mean \"critical\"?",
        ),
        (
            "name = \"a\"\nwebhook = \"ftp://example.net/token\"",
            "alarm.0.webhook: found ftp://, allowed https:// or http://",
        ),
        (
            "name = \"a\"\nwebhook = \"example.net/token\"",
            "alarm.0.webhook: has no scheme, allowed https:// or http://",
        ),
        (
            "name = \"a\"\nwebhook = \"https:///token\"",
            "alarm.0.webhook: is no address of a server, like https://chat.example.net/hook",
        ),
        (
            "name = \"a\"\nwebhook = \"https://example.net\"\nheaders = [\"token\"]",
            "alarm.0.headers.0: is no header, like \"Authorization: Bearer TOKEN\"",
        ),
        (
            "name = \"a\"\nmail = [\"-X/etc/passwd\"]",
            "alarm.0.mail.0: found \"-X/etc/passwd\", allowed is an address of mail",
        ),
        (
            "name = \"a\"\nmail = []",
            "alarm.0.mail: found 0 addresses, allowed 1-32",
        ),
        (
            "name = \"a\"\nprogram = [\"sms\"]",
            "alarm.0.program.0: found \"sms\", allowed is an absolute path without \"..\"",
        ),
        (
            "name = \"a\"\nsyslog = \"log\"",
            "alarm.0.syslog: found \"log\", allowed a path as \"/dev/log\", or an address with a port as \"192.0.2.7:514\"",
        ),
        (
            "name = \"a\"\nsyslog = \"/dev/log\"\nfindings = [\"SP-4\"]",
            "alarm.0.findings.0: found \"SP-4\", allowed \"SP-0401\", or \"SP-04*\" for all that begin so",
        ),
        (
            "name = \"a\"",
            "alarm.0: names no recipient: give program, webhook, mail or syslog",
        ),
        (
            "name = \"a b\"\nsyslog = \"/dev/log\"",
            "alarm.0.name: found \"a b\", allowed 1-40 letters, digits, hyphens, underscores",
        ),
        (
            "name = \"a\"\nsyslog = \"/dev/log\"\n[[alarm]]\nname = \"a\"\nsyslog = \"/dev/log\"",
            "alarm.1.name: another alarm is named \"a\" already",
        ),
    ] {
        assert_eq!(fault(lines), said);
    }
}

#[test]
fn nothing_secret_is_shown() {
    let lines = "name = \"a\"\nwebhook = 7\nheaders = [\"Authorization S3CRET\"]";
    let said = fault(lines);
    assert!(
        !said.contains("S3CRET") && said.contains("a value that is not shown"),
        "{said}"
    );
    let text = "[[alarm]]\nname = \"a\"\nwebhook = \"https://example.net/TOKEN\"\n\
                headers = [\"Authorization: TOKEN\"]\n";
    let shown = format!("{:?}", read_text(text).expect("read"));
    assert!(!shown.contains("TOKEN"), "{shown}");
}

#[test]
fn a_program_that_others_may_write_is_refused() {
    let text = "[[alarm]]\nname = \"a\"\nprogram = [\"/tmp/there-is-no-such-program\"]\n";
    let config = Config::parse(text, "r1", &[]).expect("TOML");
    let settings = read(&config).expect("read");
    check_programs(&config, &settings);
    let faults = config.finish().expect_err("a fault");
    assert_eq!(faults[0].key, "alarm.0.program");
    let why = &faults[0].why;
    assert!(why.contains("/tmp"), "{why}");
}
