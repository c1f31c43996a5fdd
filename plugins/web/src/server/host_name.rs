//! Names by which a browser calls the page. A name that is not known may be one of somebody who wants the browser of an
//! administrator to read the page for him (DNS rebinding). An address cannot be such a name.

use std::net::IpAddr;

/// Returns true if a request for this host may be answered; `known` are names in lower case.
pub fn is_known(host: &str, known: &[String]) -> bool {
    let Some(name) = without_port(host) else {
        return false;
    };
    let bare = name.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    let address: Result<IpAddr, _> = bare.unwrap_or(name).parse();
    match address {
        // an IPv6 address stands in brackets
        Ok(address) => address.is_ipv6() == bare.is_some(),
        Err(_) => {
            let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
            name == "localhost" || known.contains(&name)
        }
    }
}

fn without_port(host: &str) -> Option<&str> {
    let end = host.rfind(']').unwrap_or(0);
    let (name, port) = match host.get(end..)?.rfind(':') {
        Some(at) => (host.get(..end + at)?, host.get(end + at + 1..)?),
        None => (host, ""),
    };
    port.bytes().all(|it| it.is_ascii_digit()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_known_names_are_answered_and_no_others() {
        let known = ["r1".to_owned(), "office.example.net".to_owned()];
        for host in [
            "localhost",
            "localhost:3781",
            "127.0.0.1:3781",
            "192.0.2.1",
            "[::1]:3781",
            "[2001:db8::1]",
            "R1:3781",
            "office.example.net.",
        ] {
            assert!(is_known(host, &known), "{host}");
        }
        for host in [
            "",
            "attacker.example",
            "attacker.example:3781",
            "r1.attacker.example",
            "::1",
            "[127.0.0.1]",
            "localhost:x",
            "[",
            "]:1",
            "r1:1:2",
            "\u{e4}:1",
        ] {
            assert!(!is_known(host, &known), "{host}");
        }
    }
}
