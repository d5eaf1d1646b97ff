//! The operations of this ATM whose outcome it does not know.
//!
//! Each is kept under the id it was first asked with, so that `retry` asks for the very same operation, which the
//! bank does at most once. They are forgotten when this process ends: then `history` tells.
//!
//! Invariant: at most [`MAX_UNSETTLED`] are kept; the oldest gives way.

use std::collections::BTreeMap;

use crate::operation::{Operation, OperationId, Ticket};

/// How many are kept, inclusive.
pub const MAX_UNSETTLED: usize = 64;

/// The operations whose outcome is not known.
#[derive(Debug)]
pub struct Unsettled {
    next: Ticket,
    open: BTreeMap<Ticket, (OperationId, Operation)>,
}

impl Default for Unsettled {
    fn default() -> Self {
        Self { next: Ticket::new(1), open: BTreeMap::new() }
    }
}

impl Unsettled {
    /// Keeps an operation and returns its ticket: the one it has already, or a new one.
    pub fn keep(&mut self, id: OperationId, operation: &Operation) -> Ticket {
        if let Some((ticket, _)) = self.open.iter().find(|(_, (known, _))| *known == id) {
            return *ticket;
        }
        let ticket = self.next;
        self.next = ticket.next();
        self.open.insert(ticket, (id, operation.clone()));
        if self.open.len() > MAX_UNSETTLED {
            self.open.pop_first();
        }
        ticket
    }

    /// The operation of this ticket; without a ticket, the newest.
    pub fn find(&self, ticket: Option<Ticket>) -> Option<(OperationId, Operation)> {
        match ticket {
            Some(ticket) => self.open.get(&ticket).cloned(),
            None => self.open.last_key_value().map(|(_, kept)| kept.clone()),
        }
    }

    /// Its outcome is known now.
    pub fn settle(&mut self, id: OperationId) {
        self.open.retain(|_, (known, _)| *known != id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amount::Cents;

    fn operation() -> Operation {
        Operation::Deposit { account: "alice".parse().unwrap(), amount: Cents::new(1) }
    }

    #[test]
    fn an_operation_keeps_its_ticket_until_it_is_settled() {
        let mut unsettled = Unsettled::default();
        let (one, two) = (OperationId::new(11), OperationId::new(22));
        assert_eq!(unsettled.find(None), None);
        assert_eq!(unsettled.keep(one, &operation()), Ticket::new(1));
        assert_eq!(unsettled.keep(two, &operation()), Ticket::new(2));
        assert_eq!(unsettled.keep(one, &operation()), Ticket::new(1));
        assert_eq!(unsettled.find(None), Some((two, operation())));
        assert_eq!(unsettled.find(Some(Ticket::new(1))), Some((one, operation())));
        unsettled.settle(two);
        assert_eq!(unsettled.find(Some(Ticket::new(2))), None);
        assert_eq!(unsettled.find(None), Some((one, operation())));
    }

    #[test]
    fn the_oldest_gives_way_when_there_are_too_many() {
        let mut unsettled = Unsettled::default();
        for id in 0..=MAX_UNSETTLED as u128 {
            unsettled.keep(OperationId::new(id), &operation());
        }
        assert_eq!(unsettled.find(Some(Ticket::new(1))), None);
        assert!(unsettled.find(Some(Ticket::new(2))).is_some());
    }
}
