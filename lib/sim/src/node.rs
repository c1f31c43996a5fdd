//! A node: an engine that runs, is stopped for a while, dies, and is started again.

/// How a node stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It does what it is told.
    Running,
    /// It does nothing, and knows everything when it is resumed: a machine that swaps, a debugger.
    Stopped,
    /// It does nothing, and nothing of it is left.
    Dead,
}

/// A node with an engine.
#[derive(Clone, Debug)]
pub struct Node<E> {
    engine: Option<E>,
    is_stopped: bool,
}

impl<E> Node<E> {
    /// A node that runs.
    pub fn new(engine: E) -> Self {
        Self {
            engine: Some(engine),
            is_stopped: false,
        }
    }

    /// How it stands.
    pub fn life(&self) -> Life {
        match (&self.engine, self.is_stopped) {
            (None, _) => Life::Dead,
            (_, true) => Life::Stopped,
            _ => Life::Running,
        }
    }

    /// The engine, if it runs: what a test feeds and drains.
    pub fn running(&mut self) -> Option<&mut E> {
        let runs = !self.is_stopped;
        self.engine.as_mut().filter(|_| runs)
    }

    /// The engine, to look at.
    pub fn engine(&self) -> Option<&E> {
        self.engine.as_ref()
    }

    /// Stops it for a while.
    pub fn stop(&mut self) {
        self.is_stopped = true;
    }

    /// It goes on where it stopped.
    pub fn resume(&mut self) {
        self.is_stopped = false;
    }

    /// Kills it; the engine comes back for what outlives it.
    pub fn die(&mut self) -> Option<E> {
        self.engine.take()
    }

    /// Starts it again with a new engine.
    pub fn start(&mut self, engine: E) {
        *self = Self::new(engine);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stopped_node_does_nothing_and_forgets_nothing() {
        let mut node = Node::new(5);
        node.stop();
        assert_eq!((node.life(), node.running()), (Life::Stopped, None));
        node.resume();
        assert_eq!(node.running(), Some(&mut 5));
        assert_eq!(node.die(), Some(5));
        assert_eq!((node.life(), node.running()), (Life::Dead, None));
        node.start(6);
        assert_eq!(node.running(), Some(&mut 6));
    }
}
