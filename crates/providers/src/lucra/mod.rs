//! Lucra: recreational games with stakes, free-to-play contests, tournaments. `README.md` has the contract,
//! the traps and what is guessed.

mod conversion;
mod inquiry;
mod normalize;
mod play;
mod redemption;
mod reply;
mod verify;
mod wire;

use bytes::Bytes;
use matchpurse_domain::time::Timestamp;

use crate::delivery::{Delivery, Method};
use crate::inquiry::{Inquiries, MatchTokens};
use crate::keys::{KeyError, KeyRole, Keys, RemoteKeys};
use crate::normalized::{NormalizeError, Normalized};
use crate::play::{LifeKind, PlayRequest, PlayedApi, Script};
use crate::redemption::Redemptions;
use crate::provider::{Guide, Provider, SignRequest, SignedRequest, Verified, VerifyError};
use crate::reply::{Outcome, Reply};
use crate::result_report::ResultReports;
use crate::settings::{AdapterSettings, SettingsError};

/// Takes a signature without the word `sha256=` before it, as an older page of the documentation hints.
const ALLOW_BARE_HEX: &str = "allow_bare_hex";

pub(crate) struct Adapter;

impl Provider for Adapter {
    fn id(&self) -> &'static str {
        "lucra"
    }

    fn methods(&self) -> &'static [Method] {
        &[Method::Post]
    }

    fn max_body_bytes(&self) -> usize {
        // A tournament with its 250 players takes some 100 KiB.
        256 * 1024
    }

    fn guide(&self) -> Guide {
        Guide {
            verification: "HMAC-SHA256 of the body as it came, in the header X-Lucra-Signature as sha256=HEX: it covers the whole body.",
            steps: &[
                "In the console of Lucra, open the webhook settings of your tenant and enter this URL; one URL takes all events.",
                "Copy the sign secret that is shown there into the source's secrets, letter by letter; it is not decoded.",
                "To rotate it, put the new secret beside the old one here, change it at Lucra, and take the old one out when nothing is signed with it any more.",
                "To have players turn winnings into your credit, choose the option conversion; without it every such wish is answered FAILED and the money stays the player's.",
                "To have Lucra know when the studio has given a reward, set the option api_url and the key keys.api.",
            ],
        }
    }

    fn check(&self, settings: &AdapterSettings, keys: &Keys) -> Result<(), SettingsError> {
        settings.only(&[ALLOW_BARE_HEX, conversion::OPTION, redemption::OPTION])?;
        keys.no_postback()?;
        settings.flag(ALLOW_BARE_HEX)?;
        conversion::Policy::of(settings)?;
        redemption::check(settings, keys)?;
        if keys.webhook.is_empty() {
            return Err(SettingsError::NoKey { key: "secrets" });
        }
        Ok(())
    }

    fn remote_keys(&self, _settings: &AdapterSettings) -> Option<RemoteKeys> {
        None
    }

    fn read_remote_keys(&self, _body: &[u8]) -> Result<Vec<Bytes>, KeyError> {
        Err(KeyError("the keys of this provider are secrets, which cannot be fetched".to_owned()))
    }

    fn verify(
        &self,
        delivery: &Delivery,
        settings: &AdapterSettings,
        keys: &Keys,
        _now: Timestamp,
    ) -> Result<Verified, VerifyError> {
        verify::verify(delivery, settings, keys)
    }

    fn normalize(
        &self,
        verified: &Verified,
        settings: &AdapterSettings,
    ) -> Result<Normalized, NormalizeError> {
        normalize::normalize(verified.body(), settings)
    }

    fn redact(&self, body: &Bytes) -> Bytes {
        body.clone()
    }

    fn reply(&self, outcome: Outcome<'_>) -> Reply {
        reply::reply(outcome)
    }

    fn redemptions(
        &self,
        settings: &AdapterSettings,
        keys: &Keys,
    ) -> Result<Option<Box<dyn Redemptions>>, SettingsError> {
        let calls = redemption::of_source(settings, keys)?;
        Ok(calls.map(|calls| Box::new(calls) as Box<dyn Redemptions>))
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
        match request.role {
            KeyRole::Webhook => verify::sign(request.body, request.key),
            KeyRole::Postback | KeyRole::Api => Err(KeyError("this provider has only webhook keys".to_owned())),
        }
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

#[cfg(test)]
mod tests;
