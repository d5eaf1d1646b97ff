//! The calls and returns of a history in the order of time, as a list from which operations come and go.
//!
//! Wing and Gong's search takes an operation out of the history when it has placed it, and puts it back when it was
//! wrong. Both are a few writes in a doubly linked list that lies in vectors ("dancing links"). Operations are counted
//! from 0 in the order of their invocation. Invariant: operations are put back in the reverse of the order in which
//! they were taken.

/// Before the first entry and after the last.
const HEAD: usize = 0;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// This operation was invoked.
    Call(usize),
    /// An operation returned, at this time.
    Return(u64),
}

/// A place in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place(usize);

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Entries {
    next: Vec<usize>,
    previous: Vec<usize>,
    /// By place; that of the head means nothing.
    entries: Vec<Entry>,
    /// The places of each operation's call and return.
    places: Vec<[usize; 2]>,
}

impl Entries {
    /// The list of operations that were invoked and returned at these times, ordered by the first of the two.
    pub(super) fn new(spans: &[(u64, u64)]) -> Self {
        // Calls come before returns of the same time: such operations are concurrent.
        let mut events: Vec<(u64, bool, usize)> = Vec::with_capacity(2 * spans.len());
        for (operation, (invoked, returned)) in spans.iter().enumerate() {
            events.push((*invoked, false, operation));
            events.push((*returned, true, operation));
        }
        events.sort_unstable();
        let length = events.len() + 1;
        let mut entries = vec![Entry::Return(0)];
        let mut places = vec![[HEAD; 2]; spans.len()];
        for (at, is_return, operation) in events {
            places[operation][usize::from(is_return)] = entries.len();
            entries.push(if is_return { Entry::Return(at) } else { Entry::Call(operation) });
        }
        Self {
            next: (0..length).map(|at| (at + 1) % length).collect(),
            previous: (0..length).map(|at| (at + length - 1) % length).collect(),
            entries,
            places,
        }
    }

    /// Whether all operations are taken.
    pub(super) fn is_empty(&self) -> bool {
        self.next[HEAD] == HEAD
    }

    /// The first place: a call, unless the list is empty.
    pub(super) fn first(&self) -> Place {
        Place(self.next[HEAD])
    }

    /// The place after another. A call has one, since its return follows it.
    pub(super) fn after(&self, place: Place) -> Place {
        Place(self.next[place.0])
    }

    /// What stands there. The place must be none behind the last return.
    pub(super) fn entry(&self, place: Place) -> Entry {
        self.entries[place.0]
    }

    /// The operations whose calls stand before the first return: any of them may be next.
    pub(super) fn candidates(&self) -> impl Iterator<Item = usize> {
        let places = std::iter::successors(Some(self.first()), |place| Some(self.after(*place)));
        places.map_while(|place| match self.entry(place) {
            Entry::Call(operation) => Some(operation),
            Entry::Return(_) => None,
        })
    }

    /// The operation that was invoked first of those that are left.
    pub(super) fn earliest(&self) -> Option<usize> {
        self.candidates().next()
    }

    /// Takes an operation out.
    pub(super) fn take(&mut self, operation: usize) {
        for place in self.places[operation] {
            let (previous, next) = (self.previous[place], self.next[place]);
            self.next[previous] = next;
            self.previous[next] = previous;
        }
    }

    /// Puts the operation back that was taken last.
    pub(super) fn put_back(&mut self, operation: usize) {
        for place in self.places[operation].into_iter().rev() {
            let (previous, next) = (self.previous[place], self.next[place]);
            self.next[previous] = place;
            self.previous[next] = place;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(entries: &Entries) -> Vec<usize> {
        entries.candidates().collect()
    }

    #[test]
    fn what_was_invoked_before_the_first_return_may_be_next() {
        let mut entries = Entries::new(&[(0, 5), (1, 9), (5, 6), (7, 8)]);
        assert_eq!(candidates(&entries), [0, 1, 2], "2 was invoked when 0 returned: they are concurrent");
        entries.take(0);
        assert_eq!(candidates(&entries), [1, 2]);
        entries.take(2);
        assert_eq!(candidates(&entries), [1, 3]);
        entries.take(1);
        entries.take(3);
        assert!(entries.is_empty() && candidates(&entries).is_empty() && entries.earliest().is_none());
        for (operation, left) in [(3, vec![3]), (1, vec![1, 3]), (2, vec![1, 2]), (0, vec![0, 1, 2])] {
            entries.put_back(operation);
            assert_eq!(candidates(&entries), left);
        }
    }

    #[test]
    fn a_list_of_no_operation_is_empty() {
        let entries = Entries::new(&[]);
        assert!(entries.is_empty() && candidates(&entries).is_empty());
    }
}
