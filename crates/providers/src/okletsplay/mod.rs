//! OkLetsPlay: a matchmaking platform that arranges matches for money and pushes each of them once.

mod finish;
mod keys;
mod normalize;
mod options;
mod play;
mod pull;
mod token;
mod verify;
mod wire;

#[cfg(test)]
mod tests;

use bytes::Bytes;
use matchpurse_domain::time::Timestamp;

use crate::delivery::{Delivery, Method};
use crate::inquiry::{Inquiries, MatchTokens};
use crate::keys::{KeyError, Keys, RemoteKeys};
use crate::normalized::{NormalizeError, Normalized};
use crate::play::{LifeKind, PlayRequest, PlayedApi, Script};
use crate::redemption::Redemptions;
use crate::provider::{Guide, Provider, SignRequest, SignedRequest, Verified, VerifyError};
use crate::reply::{Outcome, Reply};
use crate::result_report::ResultReports;
use crate::settings::{AdapterSettings, SettingsError};

/// The adapter.
pub(crate) struct Adapter;

impl Provider for Adapter {
    fn id(&self) -> &'static str {
        "okletsplay"
    }

    fn methods(&self) -> &'static [Method] {
        &[Method::Put, Method::Delete]
    }

    /// A match of a hundred players is 10 KiB; a body beyond 256 KiB is none.
    fn max_body_bytes(&self) -> usize {
        256 * 1024
    }

    fn guide(&self) -> Guide {
        Guide {
            verification: "A JWT signed by RS256 in the header Authorization: it names the caller, not the body, so whoever holds such a token could send any match.",
            steps: &[
                "In the developer settings of OkLetsPlay, enter this URL for match discovery; PUT and DELETE come to the same one.",
                "Set the option public_key_url to the realm's address, or put its public key into the secrets.",
                "Say whose tokens are taken by the option audience or azp: the realm signs for other games too. Until you have seen a token, any_client = true works.",
                "Answer times matter: every answer but 200 aborts the match, so keep the ingress close and the broker well.",
            ],
        }
    }

    fn check(&self, settings: &AdapterSettings, keys: &Keys) -> Result<(), SettingsError> {
        options::check(settings, keys)
    }

    fn remote_keys(&self, settings: &AdapterSettings) -> Option<RemoteKeys> {
        let url = settings.text(options::PUBLIC_KEY_URL).ok().flatten()?;
        Some(RemoteKeys { url: url.to_owned() })
    }

    fn read_remote_keys(&self, body: &[u8]) -> Result<Vec<Bytes>, KeyError> {
        keys::read_answer(body)
    }

    fn verify(
        &self,
        delivery: &Delivery,
        settings: &AdapterSettings,
        keys: &Keys,
        now: Timestamp,
    ) -> Result<Verified, VerifyError> {
        verify::verify(delivery, settings, keys, now)
    }

    fn normalize(
        &self,
        verified: &Verified,
        settings: &AdapterSettings,
    ) -> Result<Normalized, NormalizeError> {
        normalize::normalize(verified, settings)
    }

    /// Nothing secret stands in the body; the token is a header.
    fn redact(&self, body: &Bytes) -> Bytes {
        body.clone()
    }

    /// Exactly 200, also for what is parked: any other status, 201 and 204 too, aborts an escrowed match.
    fn reply(&self, outcome: Outcome<'_>) -> Reply {
        match outcome {
            Outcome::Kept { .. } => Reply::ok(),
        }
    }

    /// It promises no rewards.
    fn redemptions(
        &self,
        _: &AdapterSettings,
        _: &Keys,
    ) -> Result<Option<Box<dyn Redemptions>>, SettingsError> {
        Ok(None)
    }

    fn result_reports(
        &self,
        settings: &AdapterSettings,
        keys: &Keys,
    ) -> Result<Option<Box<dyn ResultReports>>, SettingsError> {
        let calls = pull::result_reports(settings, keys)?;
        Ok(calls.map(|calls| Box::new(calls) as Box<dyn ResultReports>))
    }

    fn inquiries(
        &self,
        settings: &AdapterSettings,
        keys: &Keys,
    ) -> Result<Option<Box<dyn Inquiries>>, SettingsError> {
        let calls = pull::inquiries(settings, keys)?;
        Ok(calls.map(|calls| Box::new(calls) as Box<dyn Inquiries>))
    }

    fn match_tokens(
        &self,
        settings: &AdapterSettings,
        keys: &Keys,
    ) -> Result<Option<Box<dyn MatchTokens>>, SettingsError> {
        let calls = pull::match_tokens(settings, keys)?;
        Ok(calls.map(|calls| Box::new(calls) as Box<dyn MatchTokens>))
    }

    fn sign(&self, request: &SignRequest<'_>) -> Result<SignedRequest, KeyError> {
        token::sign(request)
    }

    fn lives(&self) -> &'static [LifeKind] {
        play::LIVES
    }

    fn play(&self, request: &PlayRequest<'_>) -> Option<Script> {
        play::play(request)
    }

    fn played_api(&self, api_key: &[u8], token_uses: Option<u32>) -> Box<dyn PlayedApi> {
        Box::new(play::Api::new(api_key, token_uses))
    }
}
