//! Mails an alarm by a program that is used as sendmail.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::program;
use crate::config::Mail;
use crate::notification::Notification;

/// Hands a mail to sendmail.
pub fn send(
    mail: &Mail,
    notification: &Notification,
    timeout: Duration,
    is_ending: &AtomicBool,
) -> Result<(), String> {
    let mut argv = mail.sendmail.clone();
    argv.push("-i".to_owned());
    if let Some(from) = &mail.from {
        argv.extend(["-f".to_owned(), from.clone()]);
    }
    argv.push("--".to_owned());
    argv.extend(mail.to.iter().cloned());
    let text = text(mail, notification);
    program::run_with(&argv, notification, text.as_bytes(), timeout, is_ending)
}

fn text(mail: &Mail, notification: &Notification) -> String {
    // other letters would need an encoding (RFC 2047)
    let ascii = |letter: char| if letter.is_ascii() { letter } else { '?' };
    let subject: String = notification.subject().chars().map(ascii).collect();
    let from = mail.from.as_ref();
    let from = from.map_or(String::new(), |from| format!("From: {from}\n"));
    format!(
        "{from}To: {}\nSubject: [{}] {subject}\nAuto-Submitted: auto-generated\nMIME-Version: 1.0\n\
         Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n{}",
        mail.to.join(", "),
        notification.sender,
        notification.body()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_has_its_headers_and_an_empty_line_before_the_text() {
        let mail = Mail {
            to: vec!["a@example.net".to_owned(), "b@example.net".to_owned()],
            from: Some("r1@example.net".to_owned()),
            sendmail: Vec::new(),
        };
        let notification = Notification::test("r1", 0);
        let text = text(&mail, &notification);
        let (head, body) = text.split_once("\n\n").expect("an empty line");
        let lines: Vec<&str> = head.lines().take(3).collect();
        let subject = "Subject: [r1] this is a test of spared's alarms on r1";
        let wanted = [
            "From: r1@example.net",
            "To: a@example.net, b@example.net",
            subject,
        ];
        assert_eq!(lines, wanted);
        assert!(body.starts_with("this is a test of spared's alarms on r1.\nNothing is wrong.\n"));
    }
}
