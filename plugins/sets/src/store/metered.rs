//! Number of elements that stay on this node because a rule gave them a limit, see
//! [`Element::metered`](crate::element::Element::metered).

#[derive(Debug, Default)]
pub(super) struct Metered {
    /// Number in the last reading.
    count: usize,
    /// Number so far in the present one.
    listed: usize,
    /// True if people know that there are such elements.
    is_said: bool,
}

impl Metered {
    pub fn begin_reading(&mut self) {
        self.listed = 0;
    }

    /// Handles such an element of the reading.
    pub fn handle_listed(&mut self) {
        self.listed += 1;
    }

    pub fn end_reading(&mut self) {
        self.count = self.listed;
    }

    pub fn count(&self) -> usize {
        self.count
    }

    /// True once if there are such elements and this was not reported yet.
    pub fn tell(&mut self) -> bool {
        self.count > 0 && !std::mem::replace(&mut self.is_said, true)
    }
}
