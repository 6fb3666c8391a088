//! The options of a source, and what makes it unusable.

use crate::keys::Keys;
use crate::settings::{AdapterSettings, SettingsError};

use super::keys;

/// The issuer that a token must name.
pub(super) const ISSUER: &str = "issuer";
/// The audiences of which a token must name one.
pub(super) const AUDIENCE: &str = "audience";
/// The clients of which a token's `azp` must be one.
pub(super) const AZP: &str = "azp";
/// Where the public key is fetched.
pub(super) const PUBLIC_KEY_URL: &str = "public_key_url";
/// The public key itself, as PEM or as the bare base64 that the URL answers.
pub(super) const PUBLIC_KEY: &str = "public_key";
/// What a match that contradicts itself is answered: `park` or `refuse`.
pub(super) const ON_INCONSISTENT: &str = "on_inconsistent";

const KNOWN: [&str; 6] = [ISSUER, AUDIENCE, AZP, PUBLIC_KEY_URL, PUBLIC_KEY, ON_INCONSISTENT];

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
    let public_key = not_empty(PUBLIC_KEY, settings.text(PUBLIC_KEY)?)?;
    let url = not_empty(PUBLIC_KEY_URL, settings.text(PUBLIC_KEY_URL)?)?;
    not_empty(ISSUER, settings.text(ISSUER)?)?;
    for option in [AUDIENCE, AZP] {
        let texts = settings.texts(option)?;
        if settings.options.contains_key(option) && (texts.is_empty() || texts.contains(&"")) {
            return Err(bad(option, "it is empty, which no token could match; leave it out instead"));
        }
    }
    on_inconsistent(settings)?;
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
    Ok(())
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
