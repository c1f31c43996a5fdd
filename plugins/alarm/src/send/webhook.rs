//! Posts an alarm as JSON to an HTTP server.
//!
//! No sentence of this file has the address or a header in it, nor has one of the client's: both may be secret.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::CertificateError;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Error};

use crate::config::Webhook;
use crate::notification::Notification;

/// Posts the alarm, and waits for an answer that says it is taken (2xx).
pub fn post(
    webhook: &Webhook,
    notification: &Notification,
    timeout: Duration,
) -> Result<(), String> {
    let config = Agent::config_builder()
        .timeout_global(Some(timeout))
        .http_status_as_error(false)
        // a header with a token goes to the configured server only
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .max_idle_connections(0)
        .user_agent("spared");
    let config = if webhook.url.starts_with("https://") {
        config.tls_config(tls(&webhook.ca)?)
    } else {
        config
    };
    let agent: Agent = config.build().into();
    let mut request = agent
        .post(&webhook.url)
        .header("Content-Type", "application/json");
    for (name, value) in &webhook.headers {
        request = request.header(name, value);
    }
    let answer = request.send(notification.json());
    let answer = answer.map_err(|error| sentence(&error, timeout))?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    Err(format!("the server answers {}", status.as_u16()))
}

fn tls(ca: &Path) -> Result<TlsConfig, String> {
    let shown = ca.display();
    let text = fs::read(ca).map_err(|error| format!("{shown}: {error}"))?;
    let items = parse_pem(&text).filter_map(Result::ok);
    let certificates = items.filter_map(|item| match item {
        PemItem::Certificate(it) => Some(it),
        _ => None,
    });
    let certificates: Vec<_> = certificates.collect();
    if certificates.is_empty() {
        return Err(format!("{shown} has no certificate"));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = RootCerts::Specific(Arc::new(certificates));
    let config = TlsConfig::builder().root_certs(roots);
    Ok(config.unversioned_rustls_crypto_provider(provider).build())
}

fn sentence(error: &Error, timeout: Duration) -> String {
    match error {
        Error::Timeout(_) => format!("the server did not answer within {} s", timeout.as_secs()),
        Error::HostNotFound => "the name of the server is not known".to_owned(),
        Error::ConnectionFailed => "the server cannot be reached".to_owned(),
        Error::Io(error) => {
            let inner = error.get_ref().and_then(|it| it.downcast_ref());
            // its kind alone: the text of another layer may name the address
            let unreached = || format!("the server cannot be reached: {}", error.kind());
            inner.map_or_else(unreached, tls_sentence)
        }
        Error::Rustls(error) => tls_sentence(error),
        Error::Tls(why) => format!("TLS: {why}"),
        _ => "the server did not speak HTTP".to_owned(),
    }
}

fn tls_sentence(error: &rustls::Error) -> String {
    let rustls::Error::InvalidCertificate(error) = error else {
        return "TLS: the server and this node did not agree".to_owned();
    };
    let why = match error {
        CertificateError::UnknownIssuer => "was issued by nobody in the file of ca",
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "has expired",
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "is for another name"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "is not valid yet"
        }
        _ => "is not valid",
    };
    format!("TLS: the certificate of the server {why}")
}
