//! What can happen to one replica, as a number, so that a step of a search can be looked up.
//!
//! Every input is complete in itself: together with the state of one replica it decides what the replica does. Invariant:
//! different inputs have different codes.

/// Something that happens to one replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// This message arrives: at once, or after more than an election timeout without anything.
    Deliver { message: u32, is_late: bool },
    /// A deadline has come; or, for a leader, more than an election timeout has passed.
    Tick { is_late: bool },
    /// So many of the oldest writes have become durable, and one report covers them.
    Complete { writes: u8 },
    /// The process dies and starts again. So many of the unreported writes were done, and of the one after so many steps.
    Crash { writes: u8, steps: u8 },
    /// As a crash that keeps nothing unreported, and the disk has lost all entries of its log but so many.
    Damage { left: u8 },
    /// A client proposes one entry.
    Propose,
    /// The scope's change with this number is asked for.
    Change { number: u8 },
    /// Leadership is to go to this replica.
    Transfer { to: u8 },
    /// This message, which was the next to arrive, is lost on its way.
    Lose { message: u32 },
    /// The connection to this replica was lost.
    Unreachable { peer: u8 },
}

/// Connections of a replica that an input may end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ends {
    /// None.
    None,
    /// That with this replica.
    With(u8),
    /// All of them, as its process dies.
    All,
}

impl Input {
    /// Which connections of the replica may end with it, with all that is on them.
    pub(super) fn ends(self) -> Ends {
        match self {
            Input::Crash { .. } | Input::Damage { .. } => Ends::All,
            Input::Unreachable { peer } => Ends::With(peer),
            _ => Ends::None,
        }
    }

    pub(super) fn code(self) -> u32 {
        let (tag, data) = match self {
            Input::Deliver { message, is_late } => (0, message << 1 | u32::from(is_late)),
            Input::Tick { is_late } => (1, u32::from(is_late)),
            Input::Complete { writes } => (2, u32::from(writes)),
            Input::Crash { writes, steps } => (3, u32::from(writes) << 8 | u32::from(steps)),
            Input::Damage { left } => (4, u32::from(left)),
            Input::Propose => (5, 0),
            Input::Change { number } => (6, u32::from(number)),
            Input::Transfer { to } => (7, u32::from(to)),
            Input::Unreachable { peer } => (8, u32::from(peer)),
            Input::Lose { message } => (9, message),
        };
        tag << 28 | data
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_inputs_have_different_codes() {
        let inputs = [
            Input::Deliver { message: 0, is_late: false },
            Input::Deliver { message: 77_777, is_late: true },
            Input::Tick { is_late: false },
            Input::Tick { is_late: true },
            Input::Complete { writes: 3 },
            Input::Crash { writes: 2, steps: 1 },
            Input::Damage { left: 4 },
            Input::Propose,
            Input::Change { number: 2 },
            Input::Transfer { to: 3 },
            Input::Unreachable { peer: 1 },
            Input::Lose { message: 88_888 },
        ];
        let codes: std::collections::BTreeSet<u32> = inputs.iter().map(|input| input.code()).collect();
        assert_eq!(codes.len(), inputs.len());
    }
}
