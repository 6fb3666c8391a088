//! A message of the broker: whatever its bytes are, it is an event or it is not, and an event stays what it is.

use matchpurse_contracts::wire::{Message, decode};

/// Any bytes, as a stranger may publish them.
pub(crate) fn message(data: &[u8]) {
    let Ok(event) = decode(data) else { return };
    let again = decode(&Message::new(event.clone(), None).body);
    assert_eq!(again.as_ref(), Ok(&event), "what we write must be what we read");
}
