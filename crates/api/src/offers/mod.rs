//! Offers: which are open, whether a player may see them, who has started them, and the stream of what changes.

mod ask;
pub(crate) mod catalog;
mod hub;
pub(crate) mod player;
mod slots;
mod stream;

pub(crate) use ask::Asker;
pub(crate) use catalog::{list, one};
pub(crate) use hub::Hub;
pub(crate) use player::{eligible, start, withdraw};
pub(crate) use slots::{Slot, Slots};
pub(crate) use stream::stream;
