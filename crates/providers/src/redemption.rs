use bytes::Bytes;
use http::{Request, Response, StatusCode};
use matchpurse_domain::grants::ContestKind;
use matchpurse_domain::ids::derived_uuid;
use matchpurse_domain::time::Timestamp;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// How a provider is told that a player has got the rewards that it promised, for one source. Pure: it makes requests
/// and reads answers; whoever has it sends them.
pub trait Redemptions: Send + Sync {
    /// The kinds of contests of whose rewards the provider wants to hear.
    fn contests(&self) -> &'static [ContestKind];

    /// How much the provider takes.
    fn limit(&self) -> CallLimit;

    /// The request that tells it, the same at every attempt.
    fn request(&self, redemption: &Redemption<'_>) -> Request<Bytes>;

    /// What its answer means.
    fn read(&self, answer: &Response<Bytes>) -> CallAnswer;
}

/// What the provider is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Redemption<'r> {
    /// What the rewards were won in.
    pub contest_kind: ContestKind,
    /// The provider's id of it.
    pub contest_id: &'r str,
    /// The provider's id of the player.
    pub player_id: &'r str,
    /// When the player got the last of them.
    pub redeemed_at: Timestamp,
}

/// What the answer of a provider means that was told something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallAnswer {
    /// The provider knows now, or knew.
    Taken,
    /// The provider does not want this, and will not want it later.
    Refused,
    /// The provider does not take the key, whatever it is told with it.
    KeyRefused,
    /// The provider does not let the key say this; nobody can tell whether it is about the key or about this.
    Forbidden,
    /// It is to be told again.
    Again,
}

/// So many calls in so much time. Sources that share a key share it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallLimit {
    /// What the limit is about; the key cannot be read from it.
    pub id: Uuid,
    /// How many.
    pub calls: i16,
    /// In any time of so many seconds.
    pub window_s: i64,
}

impl CallLimit {
    /// The limit of a key.
    pub(crate) fn of_key(provider: &str, key: &[u8], calls: i16, window_s: i64) -> Self {
        let digest = hex::encode(Sha256::digest(key));
        Self { id: derived_uuid("call-limit", &[provider, &digest]), calls, window_s }
    }
}

impl CallAnswer {
    /// What the status says by itself: 4xx is about the request, so it would be refused again, apart from those that
    /// speak of time or of the key. Everything else that is no success may be another thing next time.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        match status.as_u16() {
            200..=299 => Self::Taken,
            401 => Self::KeyRefused,
            403 => Self::Forbidden,
            408 | 425 | 429 => Self::Again,
            400..=499 => Self::Refused,
            _ => Self::Again,
        }
    }
}
