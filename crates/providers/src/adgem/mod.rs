//! AdGem: an offerwall. It tells which offers go and come, who is banned, and, signed with another key, what
//! a player has earned.

mod inquiry;
mod normalize;
mod play;
mod postback;
mod verify;
mod wire;

#[cfg(test)]
mod tests;

use bytes::Bytes;
use matchpurse_domain::time::Timestamp;

use crate::api_call;
use crate::delivery::{Delivery, Method};
use crate::hmac_signature;
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
        "adgem"
    }

    fn methods(&self) -> &'static [Method] {
        &[Method::Post]
    }

    /// An offer with all its texts is a few KiB; 256 KiB leaves room for what they may add.
    fn max_body_bytes(&self) -> usize {
        256 * 1024
    }

    fn guide(&self) -> Guide {
        Guide {
            verification: "HMAC-SHA256 of the body as it came, in the header Signature as HEX: it covers the whole body. Webhooks and postbacks have a key each.",
            steps: &[
                "In the dashboard of AdGem, enter this URL for the offer and player webhooks of your app, and as its postback URL (version 3, method POST).",
                "Copy the webhook secret into the source's secrets, and the postback key into keys.postback.",
                "Configure the currency of your coin with its code and decimal places: a postback's amount is in it.",
            ],
        }
    }

    fn check(&self, settings: &AdapterSettings, keys: &Keys) -> Result<(), SettingsError> {
        settings.only(&[api_call::API_URL])?;
        api_call::check(settings, keys)?;
        verify::check_keys(keys)
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
        verify::verify(delivery, keys)
    }

    fn normalize(
        &self,
        verified: &Verified,
        settings: &AdapterSettings,
    ) -> Result<Normalized, NormalizeError> {
        normalize::normalize(verified, settings)
    }

    /// Nothing secret stands in the body.
    fn redact(&self, body: &Bytes) -> Bytes {
        body.clone()
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
        // The scheme is one for both keys; the key that is given decides what the body may be.
        let header = hmac_signature::sign(verify::SCHEME, request.body, request.key)?;
        Ok(SignedRequest { headers: vec![header] })
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
