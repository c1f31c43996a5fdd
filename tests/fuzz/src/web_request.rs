//! Requests of browsers besides HTTP itself: the form of a login, a host; and a hash in the place of a password.

use spared_key::login::LoginHash;
use spared_web::server::{form, host_name};

const FIELD: &str = "password";

pub fn run(input: &[u8]) {
    let Some((what, rest)) = input.split_first() else {
        return;
    };
    let text = std::str::from_utf8(rest);
    match (what % 3, text) {
        (0, _) => {
            let found = form::field(rest, FIELD);
            assert!(found.is_none_or(|it| it.len() <= rest.len()));
        }
        (1, Ok(host)) => {
            let known = ["r1".to_owned(), "office.example.net".to_owned()];
            let is_known = host_name::is_known(host, &known);
            let is_foreign = host.contains("attacker");
            assert!(!(is_known && is_foreign), "{host:?}");
        }
        // a hash that is accepted has bounded costs: it is not tried here
        (2, Ok(hash)) => drop(hash.parse::<LoginHash>()),
        _ => {}
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let inputs: [(u8, &str); 8] = [
        (0, "password=correct+horse%20battery"),
        (0, "a=b&password=%C3%A4&c"),
        (0, "passw%6frd=%zz"),
        (1, "office.example.net:3781"),
        (1, "[2001:db8::1]:3781"),
        (1, "attacker.example"),
        (1, "127.0.0.1"),
        (
            2,
            "$argon2id$v=19$m=7168,t=5,p=1$Y2hvb3NlIHlvdXIgb3du$q3xk3V3WmBZrYlGmWcQ0gX1zqjWc1tGm1o0b8m2dJ3Q",
        ),
    ];
    let seed = |(what, text): (u8, &str)| [&[what], text.as_bytes()].concat();
    inputs.map(seed).into()
}
