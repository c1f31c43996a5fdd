//! Tokens of the peer's records and states: those that wait for a write, and those whose verdict is known without one.

use spared_replica::Token;

use crate::element::Key;

/// Tokens whose verdict is due when keys are written: on records, and on states that need nothing more.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    records: Vec<(Key, Token)>,
    states: Vec<Token>,
}

impl Tokens {
    pub fn push_record(&mut self, key: Key, token: Token) {
        self.records.push((key, token));
    }

    pub fn push_state(&mut self, token: Token) {
        self.states.push(token);
    }

    pub fn append(&mut self, mut later: Self) {
        self.records.append(&mut later.records);
        self.states.append(&mut later.states);
    }

    /// Takes the tokens of states.
    pub fn take_states(&mut self) -> Self {
        Self {
            records: Vec::new(),
            states: std::mem::take(&mut self.states),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.states.is_empty()
    }

    /// Tokens on records, with their keys, and tokens on states.
    pub fn into_parts(self) -> (Vec<(Key, Token)>, Vec<Token>) {
        (self.records, self.states)
    }

    /// All tokens, those on records first.
    pub fn into_all(self) -> impl Iterator<Item = Token> {
        let records = self.records.into_iter().map(|(_, token)| token);
        records.chain(self.states)
    }
}

/// Tokens whose verdict is known, until the replica takes it.
#[derive(Debug, Default)]
pub(super) struct Verdicts {
    /// Tokens of states that change nothing.
    settled: Vec<Token>,
    /// Tokens of pending writes that were dropped.
    dropped: Vec<Token>,
    /// Tokens of lists that became outdated because others changed the set.
    outdated: Vec<Token>,
}

impl Verdicts {
    pub fn settle(&mut self, tokens: Tokens) {
        self.settled.extend(tokens.into_all());
    }

    pub fn drop_staged(&mut self, tokens: Vec<Token>) {
        self.dropped.extend(tokens);
    }

    pub fn drop_pending(&mut self, tokens: Tokens) {
        self.dropped.extend(tokens.into_all());
    }

    pub fn outdate(&mut self, tokens: Tokens) {
        self.outdated.extend(tokens.into_all());
    }

    pub fn take_settled(&mut self) -> Vec<Token> {
        std::mem::take(&mut self.settled)
    }

    pub fn take_dropped(&mut self) -> Vec<Token> {
        std::mem::take(&mut self.dropped)
    }

    pub fn take_outdated(&mut self) -> Vec<Token> {
        std::mem::take(&mut self.outdated)
    }
}
