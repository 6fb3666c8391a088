use bytes::Bytes;
use http::{Request, Response};

use crate::inquiry::{AccessToken, ApiAccess};
use crate::redemption::CallAnswer;

/// How a provider is told how matches went that others decide, for one source. Pure: it makes requests and reads answers;
/// whoever has it sends them.
pub trait ResultReports: ApiAccess {
    /// The request that tells it, the same at every attempt but for the token; none where a token is needed and not
    /// given.
    fn request(&self, result: &ReportedResult<'_>, token: Option<&AccessToken>) -> Option<Request<Bytes>>;

    /// What its answer means. A provider that has a result of the match already has taken this one.
    fn read(&self, answer: &Response<Bytes>) -> CallAnswer;
}

/// How a match went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportedResult<'r> {
    /// The provider's id of the match.
    pub match_id: &'r str,
    /// Every side.
    pub groups: Vec<ReportedGroup<'r>>,
    /// Every player.
    pub players: Vec<ReportedPlayer<'r>>,
}

/// How a side did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportedGroup<'r> {
    /// The provider's id of the side.
    pub group_id: &'r str,
    /// Its points; more are better.
    pub score: i64,
    /// Its place, from 1; who is equal shares one.
    pub place: u32,
    /// It gave up or did not come.
    pub forfeit: bool,
}

/// How a player did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportedPlayer<'r> {
    /// The provider's id of the player.
    pub player_id: &'r str,
    /// The points.
    pub score: i64,
}
