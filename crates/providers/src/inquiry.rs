use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{Request, Response};
use matchpurse_domain::time::Timestamp;

use crate::delivery::Method;
use crate::redemption::CallLimit;

/// How a provider's API is entered, for one source. Pure: it makes requests and reads answers; whoever has it sends
/// them. Secrets stand in the requests' headers and in the body of [`ApiAccess::token_request`], nowhere else.
pub trait ApiAccess: Send + Sync {
    /// How much the provider takes; requests for tokens count too.
    fn limit(&self) -> CallLimit;

    /// The request for the token that the other requests need; none where they show the key itself.
    fn token_request(&self) -> Option<Request<Bytes>>;

    /// Reads its answer.
    ///
    /// # Errors
    /// [`ApiError`].
    fn read_token(&self, answer: &Response<Bytes>) -> Result<AccessToken, ApiError>;
}

/// How a provider is asked what its webhooks may not have told, for one source.
pub trait Inquiries: ApiAccess {
    /// What it can be asked.
    fn kinds(&self) -> &'static [InquiryKind];

    /// The request of an inquiry; none where nothing can be asked so: the kind is none of [`Inquiries::kinds`], the
    /// subject or the page is none that an address could hold, or a token is needed and not given.
    fn request(&self, inquiry: &Inquiry<'_>, token: Option<&AccessToken>) -> Option<Request<Bytes>>;

    /// What its answer says, in the provider's words as if they had been delivered.
    fn read(&self, inquiry: &Inquiry<'_>, answer: &Response<Bytes>) -> InquiryAnswer;
}

impl dyn Inquiries + '_ {
    /// Whether it tells of the matches of all players at once. Adapters make no request of what cannot be asked.
    pub fn tells_of_all_players(&self, now: Timestamp) -> bool {
        let of_all = Inquiry {
            kind: InquiryKind::PlayersMatches,
            subject: "",
            page: None,
            etag: None,
            known: &[],
            listed: &[],
            now,
        };
        let any = AccessToken::new(String::new(), 0);
        self.tells_of_players() && self.request(&of_all, Some(&any)).is_some()
    }

    /// Whether the matches of a player are asked for one by one.
    pub fn tells_of_one_player(&self, now: Timestamp) -> bool {
        self.tells_of_players() && !self.tells_of_all_players(now)
    }

    fn tells_of_players(&self) -> bool {
        self.kinds().contains(&InquiryKind::PlayersMatches)
    }
}

/// What a provider is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InquiryKind {
    /// Which offers there are now.
    Offers,
    /// How a match stands.
    Match,
    /// Which matches a player has, or, without a player, which there are.
    PlayersMatches,
}

impl InquiryKind {
    const ALL: [Self; 3] = [Self::Offers, Self::Match, Self::PlayersMatches];

    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Offers => "offers",
            Self::Match => "match",
            Self::PlayersMatches => "players_matches",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// One page of one inquiry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inquiry<'i> {
    /// What is asked.
    pub kind: InquiryKind,
    /// The provider's id of the match or the player that it is about; empty where it is about none.
    pub subject: &'i str,
    /// [`Found::next`] of the page before; none for the first.
    pub page: Option<&'i str>,
    /// [`Found::etag`] of the last time, for the first page: what has not changed is not sent again.
    pub etag: Option<&'i str>,
    /// Of offers: the ids of those that we hold to be there, the same for every page.
    pub known: &'i [String],
    /// Of offers: [`Found::listed`] of all the pages before.
    pub listed: &'i [String],
    /// When the first page was asked for, the same for every page. A list is true of this moment.
    pub now: Timestamp,
}

/// What an answer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InquiryAnswer {
    /// It was answered.
    Found(Found),
    /// Nothing has changed since the answer whose validator was sent.
    Unchanged,
    /// The provider does not know what it was asked about. It says nothing about what has become of it.
    Unknown,
    /// The provider does not take the token or key.
    KeyRefused,
    /// It is to be asked again.
    Later {
        /// After so many seconds, if the provider says so.
        after_s: Option<i64>,
    },
    /// It cannot be read, in words without any value that stood in it.
    Unreadable(String),
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// In the order in which it is to be taken.
    pub found: Vec<Fetched>,
    /// What to put into [`Inquiry::page`] for more; none at the end.
    pub next: Option<String>,
    /// The validator of the answer, for [`Inquiry::etag`] of the next time.
    pub etag: Option<String>,
    /// Of offers: the ids of all that stand on this page.
    pub listed: Vec<String>,
}

/// Something that the provider's API said, in the form in which the provider would have delivered it; for
/// [`crate::Verified::fetched`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The method of the delivery that would have told it.
    pub method: Method,
    /// Its body.
    pub body: Bytes,
}

/// What is shown to an API for a while.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessToken {
    secret: String,
    lives_s: i64,
}

impl AccessToken {
    /// A token that lives for so many seconds.
    pub fn new(secret: String, lives_s: i64) -> Self {
        Self { secret, lives_s }
    }

    /// The token; it goes into a header and nowhere else.
    pub fn expose(&self) -> &str {
        &self.secret
    }

    /// How many seconds it lives from when it was given.
    pub const fn lives_s(&self) -> i64 {
        self.lives_s
    }
}

impl std::fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a token for {} s, not shown", self.lives_s)
    }
}

/// Why an API did not give what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// It does not take the token or key.
    #[error("the provider does not take the key")]
    KeyRefused,
    /// It is to be asked again.
    #[error("the provider cannot answer now")]
    Later {
        /// After so many seconds, if the provider says so.
        after_s: Option<i64>,
    },
    /// Its answer cannot be read; the words hold no value that stood in it.
    #[error("the provider's answer cannot be read: {0}")]
    Unreadable(String),
}

/// How a provider is asked whose a match token is: what a player's game shows to the studio when it is started.
pub trait MatchTokens: ApiAccess {
    /// The request; none where a token is needed and not given.
    fn request(&self, match_token: &str, token: Option<&AccessToken>) -> Option<Request<Bytes>>;

    /// Reads its answer; none where the provider knows no such match token, or not any more.
    ///
    /// # Errors
    /// [`ApiError`].
    fn read(&self, answer: &Response<Bytes>) -> Result<Option<MatchTokenInfo>, ApiError>;
}

/// Whose a match token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MatchTokenInfo {
    /// The provider's id of the match.
    pub match_id: String,
    /// The provider's id of the player.
    pub user_id: String,
    /// How the match stands, in the provider's word.
    pub match_status: String,
    /// How many results the player may send in all.
    pub submissions_total: Option<i64>,
    /// How many of them are left.
    pub submissions_left: Option<i64>,
}

/// What the status of an answer says that has no body to be read; none where it has one.
pub(crate) fn refusal(answer: &Response<Bytes>) -> Option<InquiryAnswer> {
    match answer.status().as_u16() {
        200 => None,
        304 => Some(InquiryAnswer::Unchanged),
        404 | 410 => Some(InquiryAnswer::Unknown),
        401 | 403 => Some(InquiryAnswer::KeyRefused),
        408 | 425 | 429 | 500..=599 => Some(InquiryAnswer::Later { after_s: retry_after(answer) }),
        other => Some(InquiryAnswer::Unreadable(format!("the status is {other}"))),
    }
}

/// The same of an answer to a request that is no inquiry. A 404 is an answer that nobody can read: the address is
/// wrong.
pub(crate) fn api_error(answer: &Response<Bytes>) -> Option<ApiError> {
    Some(match refusal(answer)? {
        InquiryAnswer::KeyRefused => ApiError::KeyRefused,
        InquiryAnswer::Later { after_s } => ApiError::Later { after_s },
        _ => ApiError::Unreadable(format!("the status is {}", answer.status().as_u16())),
    })
}

/// For how many seconds an answer asks that nothing more is sent by this limit: it was reached, whatever we counted.
/// `window_s` is what the limit is about, where the answer says nothing more.
pub fn pause_wanted_s(answer: &Response<Bytes>, window_s: i64) -> Option<i64> {
    (answer.status().as_u16() == 429).then(|| retry_after(answer).unwrap_or(window_s))
}

/// The seconds that the provider asks to be left alone. A date there says nothing, because nobody knows its clock.
fn retry_after(answer: &Response<Bytes>) -> Option<i64> {
    let text = answer.headers().get(RETRY_AFTER)?.to_str().ok()?.trim();
    let seconds = text.parse().ok()?;
    (0..=MAX_RETRY_AFTER_S).contains(&seconds).then_some(seconds)
}

/// A day: whoever asks for more than that means something else.
const MAX_RETRY_AFTER_S: i64 = 86_400;

#[cfg(test)]
pub(crate) mod testing;
