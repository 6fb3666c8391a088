use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError};

/// What has happened, a line for each thing. Clones write into the same.
#[derive(Clone, Default)]
pub(crate) struct Trace(Arc<Mutex<String>>);

impl Trace {
    pub(crate) fn note(&self, who: impl Display, what: impl Display) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push_str(&format!("{who}: {what}\n"));
    }

    pub(crate) fn text(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
