use crate::play::{LifeKind, PlayRequest, Script};

pub(super) const LIVES: &[LifeKind] = &[];

pub(super) fn play(_: &PlayRequest<'_>) -> Option<Script> {
    None
}
