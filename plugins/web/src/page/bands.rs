//! Roles of one node in one group as bands over a time: what is known, and what is not.

use super::documents::Change;
use super::moment::milliseconds;
use super::range::Window;
use super::text::Text;

/// Bands that are shorter than one part in so many of the window are drawn as one.
const FINEST: i64 = 500;

/// Role during a band.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Active,
    Backup,
    Fault,
    /// Several roles, each too short to be drawn.
    Mixed,
    /// Nothing recorded says which role it was.
    Unknown,
}

/// Time during which a node had one role, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Band {
    pub from: i64,
    pub to: i64,
    pub kind: Kind,
}

/// Change from one role to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    pub at: i64,
    pub from: Kind,
    pub to: Kind,
}

/// Role that a node has now, or had when it was last heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Present {
    /// Begin of the role, as far as it is known.
    pub since: Option<i64>,
    pub kind: Kind,
    /// Time up to which this is known.
    pub until: i64,
}

/// Record of one node in one group.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// Changes, oldest first.
    pub turns: Vec<Turn>,
    /// Time from which on no change is missing; None if nothing says so.
    pub whole_since: Option<i64>,
    /// Times without a daemon, or without its record.
    pub gaps: Vec<(i64, i64)>,
    pub present: Option<Present>,
}

impl Kind {
    /// Kind of a role; one that a later version brings is not known.
    pub fn of(role: &Text) -> Self {
        match role.as_str() {
            "active" => Self::Active,
            "backup" => Self::Backup,
            "fault" => Self::Fault,
            _ => Self::Unknown,
        }
    }

    pub fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Backup => "backup",
            Self::Fault => "fault",
            Self::Mixed => "several changes",
            Self::Unknown => "not known",
        }
    }
}

impl Turn {
    pub fn of(change: &Change) -> Option<Self> {
        Some(Self {
            at: milliseconds(&change.at)?,
            from: Kind::of(&change.from),
            to: Kind::of(&change.to),
        })
    }
}

impl Record {
    /// Bands that cover the window without a hole, oldest first.
    pub fn bands(&self, window: Window) -> Vec<Band> {
        let mut known = Vec::new();
        self.before_the_first(window, &mut known);
        for two in self.turns.windows(2) {
            self.between(two[0], two[1], &mut known);
        }
        self.after_the_last(window, &mut known);
        let holes = self
            .gaps
            .iter()
            .map(|(from, to)| band(*from, *to, Kind::Unknown));
        let holes: Vec<Band> = holes.collect();
        coarse(fill(without(known, &holes), window), window)
    }

    fn before_the_first(&self, window: Window, known: &mut Vec<Band>) {
        if let (Some(first), Some(whole)) = (self.turns.first(), self.whole_since) {
            known.push(band(whole.max(window.from), first.at, first.from));
        }
    }

    // Role between two changes. If they contradict each other a change is missing between them.
    fn between(&self, first: Turn, second: Turn, known: &mut Vec<Band>) {
        if first.to == second.from {
            known.push(band(first.at, second.at, first.to));
            return;
        }
        let mut gaps = self.gaps.iter().filter(|gap| {
            let (from, to) = **gap;
            first.at <= from && to <= second.at
        });
        if let Some((from, to)) = gaps.next() {
            let last = gaps.next_back().map_or(*to, |(_, to)| *to);
            known.push(band(first.at, *from, first.to));
            known.push(band(last, second.at, second.from));
        }
    }

    fn after_the_last(&self, window: Window, known: &mut Vec<Band>) {
        let last = self.turns.last();
        let Some(present) = self.present else { return };
        let until = present.until.min(window.to);
        let since = match (last, present.since) {
            (Some(last), _) if last.to == present.kind => last.at,
            (Some(last), Some(since)) => since.max(last.at),
            (Some(last), None) => last.at,
            (None, Some(since)) => since,
            (None, None) => until,
        };
        known.push(band(since, until, present.kind));
    }
}

fn band(from: i64, to: i64, kind: Kind) -> Band {
    Band { from, to, kind }
}

// The bands without the times of the holes.
fn without(bands: Vec<Band>, holes: &[Band]) -> Vec<Band> {
    holes.iter().fold(bands, |bands, hole| {
        let cut = |it: Band| {
            let before = band(it.from, it.to.min(hole.from), it.kind);
            let after = band(it.from.max(hole.to), it.to, it.kind);
            [before, after]
        };
        bands.into_iter().flat_map(cut).collect()
    })
}

// The bands within the window; what is between them is not known.
fn fill(mut bands: Vec<Band>, window: Window) -> Vec<Band> {
    bands.sort_by_key(|it| it.from);
    let (mut filled, mut at) = (Vec::new(), window.from);
    for it in bands {
        let (from, to) = (it.from.max(at), it.to.min(window.to));
        if from >= to {
            continue;
        }
        push(&mut filled, band(at, from, Kind::Unknown));
        push(&mut filled, band(from, to, it.kind));
        at = to;
    }
    push(&mut filled, band(at, window.to, Kind::Unknown));
    filled
}

// Neighbours that are too short to be drawn become one band.
fn coarse(bands: Vec<Band>, window: Window) -> Vec<Band> {
    let finest = window.length() / FINEST;
    let mut drawn: Vec<Band> = Vec::new();
    for it in bands {
        let is_short = it.to - it.from < finest;
        match drawn.last_mut() {
            Some(last) if is_short && last.to - last.from < finest => {
                last.to = it.to;
                last.kind = Kind::Mixed;
            }
            Some(last) if is_short && last.kind == Kind::Mixed => last.to = it.to,
            _ => push(&mut drawn, it),
        }
    }
    drawn
}

fn push(bands: &mut Vec<Band>, new: Band) {
    if new.from >= new.to {
        return;
    }
    match bands.last_mut() {
        Some(last) if last.kind == new.kind => last.to = new.to,
        _ => bands.push(new),
    }
}

#[cfg(test)]
mod tests;
