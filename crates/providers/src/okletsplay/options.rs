//! The options of a source, and what makes it unusable.

use crate::keys::Keys;
use crate::settings::{AdapterSettings, SettingsError};

use crate::api_call::API_URL;

use super::{keys, pull};

/// The issuer that a token must name; see [`issuer`].
const ISSUER: &str = "issuer";
/// The audiences of which a token must name one.
pub(super) const AUDIENCE: &str = "audience";
/// The clients of which a token's `azp` must be one.
pub(super) const AZP: &str = "azp";
/// True takes tokens of every client of the realm.
const ANY_CLIENT: &str = "any_client";
/// Where the public key is fetched.
pub(super) const PUBLIC_KEY_URL: &str = "public_key_url";
/// The public key itself, as PEM or as the bare base64 that the URL answers.
pub(super) const PUBLIC_KEY: &str = "public_key";
/// What a match that contradicts itself is answered: `park` or `refuse`.
pub(super) const ON_INCONSISTENT: &str = "on_inconsistent";

const KNOWN: [&str; 11] = [
    ISSUER,
    AUDIENCE,
    AZP,
    ANY_CLIENT,
    PUBLIC_KEY_URL,
    PUBLIC_KEY,
    ON_INCONSISTENT,
    API_URL,
    pull::TOKEN_URL,
    pull::CLIENT_ID,
    pull::PULL_URL,
];
/// Those that say who may push.
const OF_PUSH: [&str; 6] = [PUBLIC_KEY_URL, PUBLIC_KEY, ISSUER, AUDIENCE, AZP, ANY_CLIENT];

/// What a match is answered whose participants and teams contradict each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum OnInconsistent {
    /// 200, and parked: the match goes on at the platform, and somebody looks at it.
    #[default]
    Park,
    /// 422: the platform aborts the match and gives the players their money back.
    Refuse,
}

/// Refuses a source that could not work.
pub(super) fn check(settings: &AdapterSettings, keys: &Keys) -> Result<(), SettingsError> {
    settings.only(&KNOWN)?;
    keys.no_postback()?;
    pull::check(settings, keys)?;
    on_inconsistent(settings)?;
    if pull::asks(settings)? {
        return check_nothing_is_pushed(settings, keys);
    }
    let public_key = not_empty(PUBLIC_KEY, settings.text(PUBLIC_KEY)?)?;
    let url = not_empty(PUBLIC_KEY_URL, settings.text(PUBLIC_KEY_URL)?)?;
    not_empty(ISSUER, settings.text(ISSUER)?)?;
    for option in [AUDIENCE, AZP] {
        let texts = settings.texts(option)?;
        if settings.options.contains_key(option) && (texts.is_empty() || texts.contains(&"")) {
            return Err(bad(option, "it is empty, which no token could match; leave it out instead"));
        }
    }
    if let Some(url) = url {
        check_url(url)?;
    }
    if let Some(key) = public_key {
        let bad_key = |e: crate::KeyError| SettingsError::BadKey { key: PUBLIC_KEY, problem: e.0 };
        keys::check(key.as_bytes()).map_err(bad_key)?;
    }
    for key in keys.webhook.iter() {
        keys::check(key).map_err(|e| SettingsError::BadKey { key: "secrets", problem: e.0 })?;
    }
    if url.is_none() && public_key.is_none() && keys.webhook.is_empty() {
        return Err(SettingsError::NoKey { key: PUBLIC_KEY_URL });
    }
    check_clients(settings)
}

/// The platform either pushes a game's matches or has them asked for. A source for both would be set up at the platform for
/// one of them, and look well while the other is silent.
fn check_nothing_is_pushed(settings: &AdapterSettings, keys: &Keys) -> Result<(), SettingsError> {
    let pushed = OF_PUSH.iter().find(|option| settings.options.contains_key(**option));
    let pushed = pushed.copied().or((!keys.webhook.is_empty()).then_some("secrets"));
    match pushed {
        Some(pushed) => {
            let problem = format!("matches are either asked for or pushed: remove it, or `{pushed}`");
            Err(bad(pull::PULL_URL, &problem))
        }
        None => Ok(()),
    }
}

/// The realm signs the tokens of every client with one key, and its issuer is the same in all of them, so
/// only the audience and the client tell the platform from another game's server.
fn check_clients(settings: &AdapterSettings) -> Result<(), SettingsError> {
    let asked = [AUDIENCE, AZP].iter().any(|option| settings.options.contains_key(*option));
    match (settings.flag(ANY_CLIENT)?.unwrap_or_default(), asked) {
        (false, false) => Err(bad(
            AZP,
            "neither `azp` nor `audience` is set, so a token that the realm issued to another game's client \
             would pass, and its holder could post matches here: set one of them, or `any_client = true` \
             to take them all",
        )),
        (true, true) => Err(bad(ANY_CLIENT, "it contradicts `azp` and `audience`, which say who may call")),
        _ => Ok(()),
    }
}

/// The issuer that a token must name: the option, else the URL of the realm whose key is fetched, which is
/// what Keycloak names itself, without a slash at the end. None when neither is set.
///
/// # Errors
/// When an option is no text.
pub(super) fn issuer(settings: &AdapterSettings) -> Result<Option<&str>, SettingsError> {
    let realm = settings.text(PUBLIC_KEY_URL)?.map(|url| url.trim_end_matches('/'));
    Ok(settings.text(ISSUER)?.or(realm))
}

/// What to do with a match that contradicts itself.
///
/// # Errors
/// When the option is neither of its two words.
pub(super) fn on_inconsistent(settings: &AdapterSettings) -> Result<OnInconsistent, SettingsError> {
    match settings.text(ON_INCONSISTENT)? {
        None | Some("park") => Ok(OnInconsistent::Park),
        Some("refuse") => Ok(OnInconsistent::Refuse),
        Some(_) => Err(bad(ON_INCONSISTENT, "it must be \"park\" or \"refuse\"")),
    }
}

/// A key fetched in the clear could be anybody's, so only this machine may be asked without TLS.
fn check_url(url: &str) -> Result<(), SettingsError> {
    let parsed: http::Uri =
        url.parse().map_err(|_| bad(PUBLIC_KEY_URL, "it must be an absolute URL"))?;
    let local = matches!(parsed.host(), Some("localhost" | "127.0.0.1" | "[::1]"));
    match (parsed.scheme_str(), parsed.host()) {
        (Some("https"), Some(host)) if !host.is_empty() => Ok(()),
        (Some("http"), Some(_)) if local => Ok(()),
        _ => Err(bad(PUBLIC_KEY_URL, "it must be an https URL; http only to this machine")),
    }
}

fn not_empty<'t>(option: &'static str, text: Option<&'t str>) -> Result<Option<&'t str>, SettingsError> {
    match text {
        Some("") => Err(bad(option, "it is empty; leave it out instead")),
        other => Ok(other),
    }
}

fn bad(option: &'static str, problem: &str) -> SettingsError {
    SettingsError::BadOption { option, problem: problem.to_owned() }
}
