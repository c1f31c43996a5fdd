//! Limits the signatures and verifications that strangers can cause.

/// Class of a path: a link should have no stations but the nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum PathClass {
    #[default]
    Network,
    Link,
}

/// Operation that costs the link's process time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Sign,
    Verify,
}

/// Budgets: five operations a second of each kind on paths of each class, and as many at once.
#[derive(Clone, Copy, Debug, Default)]
pub struct Budgets {
    /// Time at which each budget is full again, by class and kind.
    full_ns: [[u64; 2]; 2],
}

impl Budgets {
    const PER_SECOND: u64 = 5;
    const EACH_NS: u64 = 1_000_000_000 / Budgets::PER_SECOND;

    /// Takes one operation from a budget. Returns false if none is left.
    pub fn take(&mut self, now_ns: u64, class: PathClass, kind: Operation) -> bool {
        let of_class = self.full_ns.get_mut(class as usize);
        let Some(full_ns) = of_class.and_then(|kinds| kinds.get_mut(kind as usize)) else {
            return false;
        };
        let from_ns = now_ns.max(*full_ns);
        if from_ns - now_ns > (Budgets::PER_SECOND - 1) * Budgets::EACH_NS {
            return false;
        }
        *full_ns = from_ns.saturating_add(Budgets::EACH_NS);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_on_a_network_leaves_links_theirs() {
        let mut budgets = Budgets::default();
        let mut passed = 0_u32;
        for millisecond in 0..10_000 {
            let now_ns = 1_000_000_000 + millisecond * 1_000_000;
            passed += u32::from(budgets.take(now_ns, PathClass::Network, Operation::Sign));
        }
        assert_eq!(passed, 5 + 50 - 1);
        let now_ns = 11_000_000_000;
        for _ in 0..5 {
            assert!(budgets.take(now_ns, PathClass::Link, Operation::Sign));
            assert!(budgets.take(now_ns, PathClass::Network, Operation::Verify));
        }
        assert!(!budgets.take(now_ns, PathClass::Link, Operation::Sign));
    }
}
