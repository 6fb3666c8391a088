//! What Lucra is told when the studio has given a reward: `POST /api/rest/user_redeemed_tenant_reward`. From Lucra's
//! pages *Free-to-Play REST API* and *API Setup*, as of November 2026.

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Method, Request, Response, Uri};
use matchpurse_domain::grants::ContestKind;
use serde::Serialize;

use crate::api_call::{self, API_KEY, API_URL};
use crate::keys::Keys;
use crate::redemption::{CallLimit, Redemption, CallAnswer, Redemptions};
use crate::settings::{AdapterSettings, SettingsError};
use crate::times;

/// The option with the base URL; without it Lucra is told nothing.
pub(super) const OPTION: &str = API_URL;
pub(super) const PATH: &str = "/api/rest/user_redeemed_tenant_reward";
const KEY_HEADER: HeaderName = HeaderName::from_static("x-lucra-api-key");

/// "100 requests per 10 s per key, then 429" (Lucra's Swagger).
const CALLS: i16 = 100;
const WINDOW_S: i64 = 10;

/// The calls of a source that wants them.
pub(super) struct Calls {
    url: Uri,
    key: HeaderValue,
    limit: CallLimit,
}

/// Lucra documents all three names and nothing that would tell one call from its repeat; it is the same fact again.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'b> {
    event: &'static str,
    matchup_id: &'b str,
    user_id: &'b str,
    #[serde(skip_serializing_if = "Option::is_none")]
    redeemed_at: Option<String>,
}

/// Refuses an address that cannot be called, and a key that cannot be sent.
pub(super) fn check(settings: &AdapterSettings, keys: &Keys) -> Result<(), SettingsError> {
    url(settings)?;
    key(keys)?;
    Ok(())
}

/// The calls; none where the source asks for none.
pub(super) fn of_source(settings: &AdapterSettings, keys: &Keys) -> Result<Option<Calls>, SettingsError> {
    match (url(settings)?, key(keys)?) {
        (None, None) => Ok(None),
        (Some(_), None) => Err(SettingsError::NoApiKey { option: OPTION }),
        (None, Some(_)) => Err(SettingsError::BadOption {
            option: OPTION,
            problem: format!("it is not set, so `{API_KEY}` is of no use"),
        }),
        (Some(url), Some((key, limit))) => Ok(Some(Calls { url, key, limit })),
    }
}

/// The address that is called.
fn url(settings: &AdapterSettings) -> Result<Option<Uri>, SettingsError> {
    let Some(base) = api_call::base_url(settings, OPTION)? else { return Ok(None) };
    let problem = "it must be an absolute URL".to_owned();
    let bad = |_| SettingsError::BadOption { option: OPTION, problem };
    format!("{base}{PATH}").parse().map(Some).map_err(bad)
}

/// The key as a header, and the limit that it is under.
pub(super) fn key(keys: &Keys) -> Result<Option<(HeaderValue, CallLimit)>, SettingsError> {
    let Some(key) = api_call::single_key(&keys.api)? else { return Ok(None) };
    let unsendable = |_| api_call::bad_key("it cannot be sent in a header");
    let mut value = HeaderValue::from_bytes(key).map_err(unsendable)?;
    value.set_sensitive(true);
    Ok(Some((value, limit(key))))
}

/// What one key may ask.
pub(super) fn limit(key: &[u8]) -> CallLimit {
    CallLimit::of_key("lucra", key, CALLS, WINDOW_S)
}

impl Redemptions for Calls {
    /// A tournament's rewards are a match's too here; Lucra does not say whether it wants to hear of those.
    fn contests(&self) -> &'static [ContestKind] {
        &[ContestKind::Contest, ContestKind::Match]
    }

    fn limit(&self) -> CallLimit {
        self.limit
    }

    fn request(&self, redemption: &Redemption<'_>) -> Request<Bytes> {
        let Redemption { contest_id, player_id, redeemed_at, .. } = *redemption;
        let body = Body {
            event: "UserRewardRedeemed",
            matchup_id: contest_id,
            user_id: player_id,
            redeemed_at: times::format(redeemed_at),
        };
        // Texts always become JSON; were it otherwise, Lucra would refuse the empty body, in sight of everybody.
        let mut request = Request::new(Bytes::from(serde_json::to_vec(&body).unwrap_or_default()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.url.clone();
        let json = HeaderValue::from_static("application/json");
        let headers = request.headers_mut();
        headers.insert(ACCEPT, json.clone());
        headers.insert(CONTENT_TYPE, json);
        headers.insert(KEY_HEADER, self.key.clone());
        request
    }

    fn read(&self, answer: &Response<Bytes>) -> CallAnswer {
        CallAnswer::of_status(answer.status())
    }
}
