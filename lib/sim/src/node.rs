//! Node with an engine that runs, is stopped for a while, dies, and is started again.

/// State of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// The node runs.
    Running,
    /// The node does nothing, but keeps its state until it is resumed: a machine that swaps, a debugger.
    Stopped,
    /// The node does nothing, and its state is lost.
    Dead,
}

/// Node with an engine.
#[derive(Clone, Debug)]
pub struct Node<E> {
    engine: Option<E>,
    is_stopped: bool,
}

impl<E> Node<E> {
    /// Creates a running node.
    pub fn new(engine: E) -> Self {
        Self {
            engine: Some(engine),
            is_stopped: false,
        }
    }

    /// State of the node.
    pub fn life(&self) -> Life {
        match (&self.engine, self.is_stopped) {
            (None, _) => Life::Dead,
            (_, true) => Life::Stopped,
            _ => Life::Running,
        }
    }

    /// Engine, if the node runs, for tests that feed and drain it.
    pub fn running(&mut self) -> Option<&mut E> {
        let runs = !self.is_stopped;
        self.engine.as_mut().filter(|_| runs)
    }

    /// Engine, for inspection.
    pub fn engine(&self) -> Option<&E> {
        self.engine.as_ref()
    }

    /// Stops the node for a while.
    pub fn stop(&mut self) {
        self.is_stopped = true;
    }

    /// Resumes the node where it stopped.
    pub fn resume(&mut self) {
        self.is_stopped = false;
    }

    /// Kills the node; returns the engine, for state that outlives it.
    pub fn die(&mut self) -> Option<E> {
        self.engine.take()
    }

    /// Starts the node again with a new engine.
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
