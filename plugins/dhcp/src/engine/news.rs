//! Messages of one server for the log.

/// Largest number of messages about addresses that were granted twice which are not shortened.
const TWICE_MAX: usize = 3;

#[derive(Debug, Default)]
pub struct News {
    texts: Vec<String>,
    /// Messages, one for each address that was granted twice.
    twice: Vec<String>,
}

impl News {
    pub fn push(&mut self, text: String) {
        self.texts.push(text);
    }

    /// Adds a message about an address that was granted twice.
    pub fn push_twice(&mut self, text: String) {
        self.twice.push(text);
    }

    /// Returns the messages since the last call, shortened if they are many, so that they do not hide others.
    pub fn take(&mut self, server: &str) -> Vec<String> {
        let mut news = std::mem::take(&mut self.texts);
        let mut twice = std::mem::take(&mut self.twice);
        if twice.len() > TWICE_MAX {
            let more = twice.len() - 2;
            twice.truncate(2);
            twice.push(format!(
                "{server}: {more} more addresses were given twice; see sparectl dhcp conflicts"
            ));
        }
        news.extend(twice);
        news
    }
}
