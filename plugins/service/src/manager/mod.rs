//! What starts and stops services on this machine, as commands without a shell.

use crate::job::{Manager, Service, Status, Verb};

/// Finds the manager of this machine; None where there is none that is known.
pub fn detect() -> Option<Manager> {
    todo!()
}

/// The commands for a verb, to run one after the other; the last one's exit decides, but a failure of
/// an earlier one is none. None: this cannot be done (a service without `reload`).
pub fn commands(service: &Service, verb: Verb) -> Option<Vec<Vec<String>>> {
    let _ = (service, verb);
    todo!()
}

/// One command that tells how services are, and which of them: of systemd all at once, of others
/// one command a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    pub argv: Vec<String>,
    pub services: Vec<Service>,
}

pub fn questions(services: &[Service]) -> Vec<Question> {
    let _ = services;
    todo!()
}

/// What the answer says, a status for each service of the question.
pub fn judge(question: &Question, code: Option<i32>, output: &str) -> Vec<Status> {
    let _ = (question, code, output);
    todo!()
}
