use matchpurse_domain::event::Kept;
use matchpurse_domain::ids::EventId;

use crate::{Result, Store};

impl Store {
    /// A delivery that the archive has, by the id of its first event: with its body, and with what vouched for it when
    /// it came. None when the archive does not have it (any more), or does not say what vouched for it.
    ///
    /// # Errors
    /// [`crate::Error`].
    pub async fn kept(&self, delivery: EventId) -> Result<Option<Kept>> {
        let archived = self.archived(delivery).await?;
        Ok(archived.and_then(|archived| Kept::read_back(archived.event)))
    }
}
