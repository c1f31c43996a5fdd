//! Requests for many routes or policy rules in one batch, each of which the kernel may refuse alone.

use std::io;

use spared_netlink::{Message, Requests};

use super::KernelError;

/// Objects that the kernel refused, with the errors.
pub struct Refused<T> {
    pub objects: Vec<T>,
    pub failures: Vec<KernelError>,
}

/// A kind of objects in requests.
pub struct Batch<T> {
    /// Name of the kind, for an error about all of them: "routes".
    pub kind: &'static str,
    /// Name of one object in its error.
    pub name: fn(&T) -> String,
    pub verb: &'static str,
    pub encode: fn(&T) -> io::Result<Message>,
    /// Error that says that there was nothing to do.
    pub harmless: i32,
}

impl<T: Clone> Batch<T> {
    /// Sends the requests, in this order.
    pub fn run(&self, requests: &mut Requests, objects: &[T]) -> Refused<T> {
        let (mut requested, mut encoded) = (Vec::new(), Vec::new());
        let mut refused = Refused {
            objects: Vec::new(),
            failures: Vec::new(),
        };
        for object in objects {
            match (self.encode)(object) {
                Ok(message) => {
                    requested.push(object);
                    encoded.push(message);
                }
                Err(error) => self.refuse(&mut refused, object, error),
            }
        }
        if encoded.is_empty() {
            return refused;
        }
        match requests.run(&encoded) {
            Err(error) => {
                refused.objects.extend(requested.into_iter().cloned());
                let error = KernelError::new(self.kind, self.verb, error);
                refused.failures.push(error);
            }
            Ok(verdicts) => {
                for (object, verdict) in requested.into_iter().zip(verdicts) {
                    match verdict {
                        Err(error) if error.raw_os_error() != Some(self.harmless) => {
                            self.refuse(&mut refused, object, error);
                        }
                        _ => {}
                    }
                }
            }
        }
        refused
    }

    fn refuse(&self, refused: &mut Refused<T>, object: &T, error: io::Error) {
        let name = (self.name)(object);
        let error = KernelError::new(&name, self.verb, error);
        refused.failures.push(error);
        refused.objects.push(object.clone());
    }
}
