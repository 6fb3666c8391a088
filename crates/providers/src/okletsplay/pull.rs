//! Matches that are asked for instead of pushed, and whose a match token is. From OkLetsPlay's pages *Authentication*,
//! *Match discovery* and *Launch game*, as of November 2026; `README.md` says what of it is guessed.

use bytes::Bytes;
use http::{Request, Response, Uri};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::api_call::{self, API_URL, unreadable};
use crate::delivery::Method;
use crate::inquiry::{
    AccessToken, ApiAccess, ApiError, Fetched, Found, Inquiries, Inquiry, InquiryAnswer, InquiryKind,
    MatchTokenInfo, MatchTokens, api_error, refusal,
};
use crate::json::{self, LooseId, Text};
use crate::keys::Keys;
use crate::redemption::CallLimit;
use crate::settings::{AdapterSettings, SettingsError};

/// Where our own token is given.
pub(super) const TOKEN_URL: &str = "token_url";
/// Whose it is.
pub(super) const CLIENT_ID: &str = "client_id";
/// Where matches are asked for; its presence makes the source one that asks.
pub(super) const PULL_URL: &str = "pull_url";
/// What stands for the player in it.
const USER_ID: &str = "{user_id}";

/// The scope of the pages' sample.
const SCOPE: &str = "olp-report-api";
pub(super) const TOKEN_INFO: &str = "/api/game/v1/token-info";
/// No limit is documented; one call a second is what a polite caller does.
const CALLS: i16 = 60;
const WINDOW_S: i64 = 60;
/// More matches than one player or game can have open.
pub(super) const MATCHES_MAX: usize = 1_000;
/// The longest match token that is sent on, in bytes.
const MATCH_TOKEN_BYTES_MAX: usize = 4_096;

/// The calls of a source that wants some.
pub(super) struct Calls {
    token_url: Uri,
    token_form: String,
    pull_url: Option<String>,
    api_url: Option<String>,
    limit: CallLimit,
}

/// Refuses addresses that cannot be called, and calls that lack something.
pub(super) fn check(settings: &AdapterSettings, keys: &Keys) -> Result<(), SettingsError> {
    api_call::single_key(&keys.api)?;
    if options(settings)?.is_none() { keys.no_api() } else { Ok(()) }
}

/// True where matches are asked for, so that none can be pushed.
pub(super) fn asks(settings: &AdapterSettings) -> Result<bool, SettingsError> {
    Ok(settings.text(PULL_URL)?.is_some())
}

/// The calls; none where the source asks for none.
fn of_source(settings: &AdapterSettings, keys: &Keys) -> Result<Option<Calls>, SettingsError> {
    check(settings, keys)?;
    let Some(Options { token_url, client_id, pull_url, api_url }) = options(settings)? else {
        return Ok(None);
    };
    let asking = if pull_url.is_some() { PULL_URL } else { API_URL };
    let key = api_call::single_key(&keys.api)?.ok_or(SettingsError::NoApiKey { option: asking })?;
    let form = [("client_id", client_id.as_bytes()), ("client_secret", key), ("scope", SCOPE.as_bytes())];
    let form = form.map(|(name, value)| format!("&{name}={}", api_call::escaped(value))).concat();
    Ok(Some(Calls {
        token_url,
        token_form: format!("grant_type=client_credentials{form}"),
        pull_url,
        api_url,
        limit: limit(key),
    }))
}

/// What one key may ask.
pub(super) fn limit(key: &[u8]) -> CallLimit {
    CallLimit::of_key("okletsplay", key, CALLS, WINDOW_S)
}

/// The asking for matches; none where they are pushed.
pub(super) fn inquiries(settings: &AdapterSettings, keys: &Keys) -> Result<Option<Calls>, SettingsError> {
    Ok(of_source(settings, keys)?.filter(|calls| calls.pull_url.is_some()))
}

/// The asking about match tokens; none where the source has no `api_url`.
pub(super) fn match_tokens(settings: &AdapterSettings, keys: &Keys) -> Result<Option<Calls>, SettingsError> {
    Ok(of_source(settings, keys)?.filter(|calls| calls.api_url.is_some()))
}

/// The telling of results; none where the source has no `api_url`.
pub(super) fn result_reports(settings: &AdapterSettings, keys: &Keys) -> Result<Option<Calls>, SettingsError> {
    if settings.text(API_URL)?.is_none() {
        return Ok(None);
    }
    of_source(settings, keys)
}

impl Calls {
    /// A path of the API; none where the source has no `api_url`.
    pub(super) fn at(&self, path: &str) -> Option<String> {
        self.api_url.as_ref().map(|url| format!("{url}{path}"))
    }
}

/// What the options say.
struct Options {
    token_url: Uri,
    client_id: String,
    pull_url: Option<String>,
    api_url: Option<String>,
}

fn options(settings: &AdapterSettings) -> Result<Option<Options>, SettingsError> {
    let (pull_url, api_url) = (pull_url(settings)?, api_call::base_url(settings, API_URL)?);
    let token_url = api_call::base_url(settings, TOKEN_URL)?;
    let client_id = settings.text(CLIENT_ID)?;
    if pull_url.is_none() && api_url.is_none() {
        let unused = [(TOKEN_URL, token_url.is_some()), (CLIENT_ID, client_id.is_some())];
        return match unused.into_iter().find(|(_, set)| *set) {
            Some((option, _)) => {
                Err(bad(option, "it is of no use without `pull_url` or `api_url`, which say what is asked"))
            }
            None => Ok(None),
        };
    }
    let token_url = token_url.ok_or_else(|| bad(TOKEN_URL, "it is not set, so nothing could be asked"))?;
    let token_url = token_url.parse().map_err(|_| bad(TOKEN_URL, "it must be an absolute URL"))?;
    let client_id = client_id.filter(|id| !id.is_empty());
    let client_id = client_id.ok_or_else(|| bad(CLIENT_ID, "it is not set, so nothing could be asked"))?;
    Ok(Some(Options { token_url, client_id: client_id.to_owned(), pull_url, api_url }))
}

/// The template, which must be one of addresses that a token may be sent to, whoever the player is.
fn pull_url(settings: &AdapterSettings) -> Result<Option<String>, SettingsError> {
    let Some(template) = settings.text(PULL_URL)? else { return Ok(None) };
    let absolute = |_| bad(PULL_URL, "it must be an absolute URL");
    let filled = template.replace(USER_ID, "0");
    let url: Uri = filled.parse().map_err(absolute)?;
    let local = matches!(url.host(), Some("localhost" | "127.0.0.1" | "[::1]"));
    let secure = url.scheme_str() == Some("https") || url.scheme_str() == Some("http") && local;
    let authority = url.authority().map_or("", |authority| authority.as_str());
    if !secure || url.host().is_none_or(str::is_empty) || authority.contains('@') {
        return Err(bad(PULL_URL, "it must be an https URL without a user; http only to this machine"));
    }
    if filled.contains(['{', '}']) {
        return Err(bad(PULL_URL, "the only thing in braces may be {user_id}"));
    }
    if !template.contains(&format!("://{authority}")) {
        return Err(bad(PULL_URL, "{user_id} must stand behind the host: a player may not say who is asked"));
    }
    Ok(Some(template.to_owned()))
}

fn bad(option: &'static str, problem: &str) -> SettingsError {
    SettingsError::BadOption { option, problem: problem.to_owned() }
}

impl ApiAccess for Calls {
    fn limit(&self) -> CallLimit {
        self.limit
    }

    /// The pages have the secret in the form, not in a header.
    fn token_request(&self) -> Option<Request<Bytes>> {
        let url = self.token_url.to_string();
        api_call::post(&url, "application/x-www-form-urlencoded", self.token_form.clone())
    }

    fn read_token(&self, answer: &Response<Bytes>) -> Result<AccessToken, ApiError> {
        api_call::read_token(answer)
    }
}

impl Inquiries for Calls {
    fn kinds(&self) -> &'static [InquiryKind] {
        &[InquiryKind::PlayersMatches]
    }

    fn request(&self, inquiry: &Inquiry<'_>, token: Option<&AccessToken>) -> Option<Request<Bytes>> {
        let template = self.pull_url.as_deref()?;
        if !api_call::asks_once(inquiry, InquiryKind::PlayersMatches) {
            return None;
        }
        let url = match (template.contains(USER_ID), inquiry.subject) {
            (true, player) => template.replace(USER_ID, &api_call::segment(player)?),
            (false, "") => template.to_owned(),
            // The template asks for all players at once; of one it would not tell less.
            (false, _) => return None,
        };
        api_call::with_token(api_call::get(&url)?, token)
    }

    /// A match that is not told any more may be over, called off or forgotten; nobody can say which, so only those that
    /// are told count.
    fn read(&self, _: &Inquiry<'_>, answer: &Response<Bytes>) -> InquiryAnswer {
        if answer.status().as_u16() == 204 {
            return InquiryAnswer::Found(Found::default());
        }
        if let Some(refusal) = refusal(answer) {
            return refusal;
        }
        match stubs(answer.body()) {
            Ok(stubs) => {
                let found = stubs.into_iter().map(|stub| Fetched {
                    method: Method::Put,
                    body: Bytes::copy_from_slice(stub.get().as_bytes()),
                });
                InquiryAnswer::Found(Found { found: found.collect(), ..Found::default() })
            }
            Err(problem) => unreadable(problem),
        }
    }
}

/// What makes an object a match.
#[derive(Deserialize)]
struct Stub {
    #[serde(rename = "match_id")]
    _match_id: LooseId,
}

/// The matches of an answer: one, or a list of them. What else is wrong with one is said when it is normalized, so that
/// it is parked beside those that are well; but what names no match is no answer to what was asked.
fn stubs(body: &[u8]) -> Result<Vec<&RawValue>, String> {
    let whole: &RawValue = json::read(body).map_err(|e| e.to_string())?;
    let stubs: Vec<&RawValue> =
        if whole.get().starts_with('[') { json::read(body).map_err(|e| e.to_string())? } else { vec![whole] };
    if stubs.len() > MATCHES_MAX {
        return Err(format!("more than {MATCHES_MAX} matches"));
    }
    for (at, stub) in stubs.iter().enumerate() {
        json::read::<Stub>(stub.get().as_bytes()).map_err(|e| format!("[{at}].{e}"))?;
    }
    Ok(stubs)
}

/// What token-info is asked.
#[derive(Serialize)]
struct TokenInfoRequest<'t> {
    token: &'t str,
}

/// What it answers.
#[derive(Deserialize)]
struct TokenInfo {
    match_id: LooseId,
    user_id: LooseId,
    match_status: Text,
    submissions_total: Option<i64>,
    submissions_left: Option<i64>,
}

impl MatchTokens for Calls {
    fn request(&self, match_token: &str, token: Option<&AccessToken>) -> Option<Request<Bytes>> {
        if match_token.is_empty() || match_token.len() > MATCH_TOKEN_BYTES_MAX {
            return None;
        }
        let body = serde_json::to_vec(&TokenInfoRequest { token: match_token }).ok()?;
        api_call::with_token(
            api_call::post(&self.at(TOKEN_INFO)?, "application/json", body)?,
            token,
        )
    }

    fn read(&self, answer: &Response<Bytes>) -> Result<Option<MatchTokenInfo>, ApiError> {
        if matches!(answer.status().as_u16(), 400 | 404 | 410 | 422) {
            return Ok(None);
        }
        if let Some(error) = api_error(answer) {
            return Err(error);
        }
        let read: TokenInfo = json::read(answer.body()).map_err(|e| ApiError::Unreadable(e.to_string()))?;
        Ok(Some(MatchTokenInfo {
            match_id: read.match_id.into_string(),
            user_id: read.user_id.into_string(),
            match_status: read.match_status.into_string(),
            submissions_total: read.submissions_total,
            submissions_left: read.submissions_left,
        }))
    }
}

#[cfg(test)]
mod tests;
