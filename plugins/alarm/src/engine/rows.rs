//! Rows of `sparectl alarm`.

use spared_sdk::{Engine as _, Value};

use super::Engine;

impl Engine {
    /// State of each recipient.
    pub fn rows(&self) -> Vec<(String, Value)> {
        let mut rows = vec![("summary".to_owned(), Value::Text(self.summary()))];
        for recipient in &self.settings.recipients {
            let Some(delivery) = self.deliveries.get(&recipient.name) else {
                continue;
            };
            let key = |row: &str| format!("alarm.{}.{row}", recipient.name);
            let (sent, failed) = delivery.counters();
            let state = delivery.trouble().unwrap_or("ok");
            rows.push((key("to"), Value::Text(recipient.to.kind().to_owned())));
            rows.push((key("state"), Value::Text(state.to_owned())));
            rows.push((key("waiting"), self.book.waiting(recipient).into()));
            rows.push((key("sent"), Value::Counter(sent)));
            rows.push((key("failed"), Value::Counter(failed)));
        }
        rows.push((
            "queue.dropped".to_owned(),
            Value::Counter(self.book.dropped()),
        ));
        rows
    }

    fn summary(&self) -> String {
        let recipients = &self.settings.recipients;
        let waiting: u64 = recipients.iter().map(|it| self.book.waiting(it)).sum();
        let failing = self.troubles().len();
        let mut text = format!("{} recipients", recipients.len());
        if recipients.len() == 1 {
            "1 recipient".clone_into(&mut text);
        }
        if waiting > 0 {
            text = format!("{text}, {waiting} alarms wait");
        }
        match failing {
            0 => text,
            _ => format!("{text}, {failing} not reached"),
        }
    }
}
