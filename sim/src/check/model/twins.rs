//! A look at what every search rests on: replicas with the same fingerprint do the same.
//!
//! Whenever a step leads to a known state of a replica, the replica that came there now and the one that came there first
//! are given all inputs that either may get, and all messages that were ever sent to it.

use super::input::Input;
use super::law::{Broken, CheckedLaw};
use super::replica::{Packet, Replica};
use super::world::World;

impl World {
    /// Gives two replicas with one fingerprint all inputs that the first is offered, and looks whether they differ.
    pub(super) fn compare(&mut self, number: u32, other: &Replica) -> Result<(), Broken> {
        let (from, to) = self.summaries[number as usize].offers;
        let first = self.replicas[number as usize].clone();
        let offers = self.offers[from as usize..to as usize].to_vec();
        let mut tries: Vec<(Input, Option<Packet>)> =
            offers.into_iter().map(|(input, _)| (input, None)).collect();
        for (message, packet) in
            self.packets.iter().enumerate().filter(|(_, packet)| packet.to == first.number)
        {
            for is_late in [false, true] {
                tries.push((Input::Deliver { message: message as u32, is_late }, Some(packet.clone())));
            }
        }
        for (input, packet) in tries {
            let one = self.setting.step(&first, input, packet.as_ref());
            let two = self.setting.step(other, input, packet.as_ref());
            let is_same = match (&one, &two) {
                (Ok((a, x)), Ok((b, y))) => {
                    a.fingerprint() == b.fingerprint() && x.sent == y.sent && x.led == y.led
                }
                (Err(a), Err(b)) => a == b,
                _ => false,
            };
            if !is_same {
                let detail =
                    format!("two states of replica {} with one fingerprint part at {input:?}", first.number);
                return Err(Broken::new(CheckedLaw::CoreInvariants, detail));
            }
        }
        self.twins += 1;
        Ok(())
    }
}
