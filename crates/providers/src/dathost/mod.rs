//! DatHost: game servers for Counter-Strike 2 that tell how a match goes.

mod inquiry;
mod normalize;
mod play;
mod redact;
mod verify;
mod wire;

#[cfg(test)]
mod tests;

use bytes::Bytes;
use matchpurse_domain::time::Timestamp;

use crate::api_call;
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
        "dathost"
    }

    fn methods(&self) -> &'static [Method] {
        &[Method::Post]
    }

    /// Ten players are 8 KiB; a history grows by 60 bytes a line, so a match of 64 rounds with a hundred
    /// reconnects stays below 100 KiB.
    fn max_body_bytes(&self) -> usize {
        512 * 1024
    }

    fn guide(&self) -> Guide {
        Guide {
            verification: "The Authorization header must be exactly the text of one of the source's secrets: it names the caller, not the body.",
            steps: &[
                "Make up a long random text, put it into the source's secrets, and give it as webhooks.authorization_header when you create a match by DatHost's API.",
                "Give this URL as webhooks.match_end_url, round_end_url and player_votekick_success_url of the match, or as event_url; the shape of the body tells them apart.",
                "To rotate the text, put the new one beside the old one here, use it for new matches, and take the old one out when the last of the old ones has ended.",
            ],
        }
    }

    fn check(&self, settings: &AdapterSettings, keys: &Keys) -> Result<(), SettingsError> {
        settings.only(&[api_call::API_URL])?;
        keys.no_postback()?;
        inquiry::check(settings, keys)?;
        verify::check_keys(&keys.webhook)
    }

    fn remote_keys(&self, _: &AdapterSettings) -> Option<RemoteKeys> {
        None
    }

    fn read_remote_keys(&self, _: &[u8]) -> Result<Vec<Bytes>, KeyError> {
        Err(KeyError("this provider has no public keys".to_owned()))
    }

    fn verify(
        &self,
        delivery: &Delivery,
        _: &AdapterSettings,
        keys: &Keys,
        _: Timestamp,
    ) -> Result<Verified, VerifyError> {
        verify::verify(delivery, &keys.webhook)
    }

    fn normalize(&self, verified: &Verified, _: &AdapterSettings) -> Result<Normalized, NormalizeError> {
        normalize::normalize(verified.body())
    }

    /// The body echoes the very secret that proves the next delivery, and the server's password.
    fn redact(&self, body: &Bytes) -> Bytes {
        redact::redact(body)
    }

    fn reply(&self, outcome: Outcome<'_>) -> Reply {
        match outcome {
            Outcome::Kept { .. } => Reply::ok(),
        }
    }

    /// It wants to hear nothing.
    fn redemptions(
        &self,
        _: &AdapterSettings,
        _: &Keys,
    ) -> Result<Option<Box<dyn Redemptions>>, SettingsError> {
        Ok(None)
    }

    /// It decides its matches itself.
    fn result_reports(
        &self,
        _: &AdapterSettings,
        _: &Keys,
    ) -> Result<Option<Box<dyn ResultReports>>, SettingsError> {
        Ok(None)
    }

    fn inquiries(
        &self,
        settings: &AdapterSettings,
        keys: &Keys,
    ) -> Result<Option<Box<dyn Inquiries>>, SettingsError> {
        let calls = inquiry::of_source(settings, keys)?;
        Ok(calls.map(|calls| Box::new(calls) as Box<dyn Inquiries>))
    }

    /// It has none.
    fn match_tokens(
        &self,
        _: &AdapterSettings,
        _: &Keys,
    ) -> Result<Option<Box<dyn MatchTokens>>, SettingsError> {
        Ok(None)
    }

    fn sign(&self, request: &SignRequest<'_>) -> Result<SignedRequest, KeyError> {
        verify::sign(request.key)
    }

    fn lives(&self) -> &'static [LifeKind] {
        play::LIVES
    }

    fn play(&self, request: &PlayRequest<'_>) -> Option<Script> {
        play::play(request)
    }

    fn played_api(&self, api_key: &[u8], _: Option<u32>) -> Box<dyn PlayedApi> {
        Box::new(play::Api::new(api_key))
    }
}
