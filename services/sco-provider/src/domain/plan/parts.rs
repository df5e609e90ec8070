use std::collections::BTreeMap;

/// Things, and which of them are joined to each other.
pub(super) struct Parts<T> {
    /// Leads from a thing towards the one that stands for its part.
    parents: BTreeMap<T, T>,
}

impl<T> Default for Parts<T> {
    fn default() -> Self {
        Self { parents: BTreeMap::new() }
    }
}

impl<T: Clone + Ord> Parts<T> {
    /// Joins two things. False: they were joined already.
    pub(super) fn join(&mut self, one: &T, other: &T) -> bool {
        let (one, other) = (self.part(one), self.part(other));
        // The least of a part stands for it, whatever the order in which it was joined.
        let (low, high) = if one < other { (one, other) } else { (other, one) };
        let is_new = low != high;
        self.parents.insert(low.clone(), low.clone());
        self.parents.insert(high, low);
        is_new
    }

    /// What stands for the part of a thing: its least member.
    pub(super) fn part(&mut self, thing: &T) -> T {
        let mut root = thing.clone();
        while let Some(parent) = self.parents.get(&root).filter(|parent| **parent != root) {
            root = parent.clone();
        }
        // The way is short the next time.
        if root != *thing {
            self.parents.insert(thing.clone(), root.clone());
        }
        root
    }
}

impl<T: Clone + Ord> Parts<&T> {
    /// Every thing with the number of its part, from 1 in the order of the least members.
    pub(super) fn numbered(&mut self) -> BTreeMap<T, u16> {
        let things: Vec<&T> = self.parents.keys().copied().collect();
        let mut numbers = BTreeMap::new();
        things
            .into_iter()
            .map(|thing| {
                let next = u16::try_from(numbers.len() + 1).unwrap_or(u16::MAX);
                (thing.clone(), *numbers.entry(self.part(&thing)).or_insert(next))
            })
            .collect()
    }
}
