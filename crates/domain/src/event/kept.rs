use super::{Event, Vouched};

/// The first event of a delivery, read back from the archive: with the delivery's body, and with what vouched for it
/// when it came.
///
/// It stands for the verification, which nobody can do again: signatures are not kept, and tokens expire. So only
/// the store makes one, from a row of the archive, where nothing but verified deliveries comes to and nothing is
/// ever changed; a test of the architecture looks that nobody else does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    event: Event,
    vouched: Vouched,
}

impl Kept {
    /// For the store only. None when the event is not the one that carries its delivery's body, or when it is of a
    /// time at which it was not noted what vouched for it: then nobody can say how it was to be read.
    pub fn read_back(event: Event) -> Option<Self> {
        let vouched = event.provenance.vouched?;
        (event.id == event.delivery_id).then_some(Self { event, vouched })
    }

    /// The event, as it was understood when it came.
    pub const fn event(&self) -> &Event {
        &self.event
    }

    /// What vouched for its delivery.
    pub const fn vouched(&self) -> Vouched {
        self.vouched
    }
}
