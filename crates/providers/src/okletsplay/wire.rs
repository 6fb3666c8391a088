//! The body as it is sent.

use serde::Deserialize;

use crate::json::LooseId;

/// A match that was arranged: the body of a PUT.
///
/// Every id is a text in the documentation; a player's is the studio's own, and a studio that counts its
/// players may see it as a number.
#[derive(Debug, Deserialize)]
pub(super) struct Match {
    pub(super) match_id: LooseId,
    pub(super) participants: Vec<Participant>,
    pub(super) teams: Vec<Team>,
}

/// Who plays, and for whom.
#[derive(Debug, Deserialize)]
pub(super) struct Participant {
    pub(super) id: LooseId,
    pub(super) team_id: LooseId,
}

/// One side.
#[derive(Debug, Deserialize)]
pub(super) struct Team {
    pub(super) id: LooseId,
}

/// What is needed of a DELETE. The documentation says "a match stub" for both methods, and that DELETE is
/// not implemented yet, so nothing but the id is relied on.
#[derive(Debug, Deserialize)]
pub(super) struct Cancellation {
    pub(super) match_id: Option<LooseId>,
}
