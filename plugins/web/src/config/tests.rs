use spared_sdk::config::Config;

use super::*;

/// A hash of "correct horse battery".
fn hash() -> String {
    spared_key::login::hash("correct horse battery").unwrap()
}

fn faults(text: &str) -> Vec<String> {
    let config = Config::parse(text, "r1", &[]).unwrap();
    let _ = read(&config);
    let faults = config.finish().err().unwrap_or_default();
    let lines = faults.iter().map(|it| format!("{}: {}", it.key, it.why));
    lines.collect()
}

fn settings(text: &str) -> Settings {
    let config = Config::parse(text, "r1", &[]).unwrap();
    let settings = read(&config);
    assert_eq!(config.finish(), Ok(()));
    settings.unwrap()
}

#[test]
fn an_empty_file_serves_this_node_alone() {
    let settings = settings("");
    assert_eq!(
        settings.listen,
        ["127.0.0.1:3781".parse::<Place>().unwrap()]
    );
    assert!(!settings.login.is_possible() && settings.certificate.is_none());
}

#[test]
fn every_key_is_read() {
    let text = format!(
        "listen = {{ r1 = [\"192.0.2.1:3781\"], r2 = [\"192.0.2.2:3781\"] }}\nnames = [\"Office.example.net\"]\n\
         certificate = \"/etc/ssl/page.pem\"\nkey = \"/etc/ssl/page.key\"\npassword = {:?}\ntoken = \"{}\"\n",
        hash(),
        "t".repeat(32)
    );
    let nodes = ["r1", "r2"].map(str::to_owned);
    let config = Config::parse(&text, "r2", &nodes).unwrap();
    let settings = read(&config);
    assert_eq!(config.finish(), Ok(()));
    let settings = settings.unwrap();
    assert_eq!(
        settings.listen,
        ["192.0.2.2:3781".parse::<Place>().unwrap()]
    );
    assert_eq!(settings.names, ["office.example.net"]);
    let login = settings.login;
    assert!(
        login
            .password
            .is_some_and(|it| it.is_of("correct horse battery"))
    );
    assert!(login.token == Some(Token::new(&"t".repeat(32))));
}

#[test]
fn an_address_outside_needs_a_login() {
    let wrong = faults("listen = [\"0.0.0.0:3781\"]");
    assert!(
        wrong[0].contains(
            "0.0.0.0:3781 is reached from outside, which needs a login: run `sparectl web password`"
        ),
        "{wrong:?}"
    );
    assert_eq!(
        faults("listen = [\"[::1]:4000\", \"127.0.0.2:3781\", \"unix:page.sock\"]").len(),
        0
    );
    let text = format!("listen = [\"[::]:3781\"]\ntoken = \"{}\"", "t".repeat(32));
    assert!(settings(&text).login.is_possible());
}

#[test]
fn what_is_wrong_is_named_and_no_secret_is_shown() {
    for (text, key, why) in [
        (
            "listen = [\"127.0.0.1:443\"]",
            "listen",
            "ports from 1024 on",
        ),
        ("listen = []", "listen", "found 0, allowed 1-8"),
        (
            "listen = [\"127.0.0.1\"]",
            "listen",
            "an address with a port",
        ),
        (
            "listen = [\"unix:/run/page.sock\"]",
            "listen",
            "unix:page.sock",
        ),
        ("listen = [\"unix:key.pem\"]", "listen", "unix:page.sock"),
        ("listen = [\"unix:.sock\"]", "listen", "unix:page.sock"),
        ("names = [\"a:1\"]", "names", "a name of DNS"),
        ("certificate = \"/etc/page.pem\"", "key", "missing"),
        ("key = \"/etc/page.key\"", "certificate", "missing"),
        (
            "certificate = \"page.pem\"\nkey = \"/k\"",
            "certificate",
            "page.pem",
        ),
        (
            "password = \"tell nobody\"",
            "password",
            "sparectl web password",
        ),
        ("token = \"tell nobody\"", "token", "32-256"),
    ] {
        let wrong = faults(text);
        let named = wrong
            .iter()
            .any(|it| it.starts_with(key) && it.contains(why));
        assert!(named, "{text}: {wrong:?}");
        assert!(!wrong.join("").contains("tell nobody"), "{wrong:?}");
    }
}
