use bytes::Bytes;
use matchpurse_domain::event::{Kept, Vouched, WhichKey};
use matchpurse_domain::time::Timestamp;

use crate::delivery::{Delivery, Method};
use crate::inquiry::{Fetched, Inquiries, MatchTokens};
use crate::keys::{KeyError, KeyRole, Keys, RemoteKeys};
use crate::normalized::{NormalizeError, Normalized};
use crate::play::{LifeKind, PlayRequest, PlayedApi, Script};
use crate::redemption::Redemptions;
use crate::reply::{Outcome, Reply};
use crate::result_report::ResultReports;
use crate::settings::{AdapterSettings, SettingsError};

/// One provider's contract. No method has a default: a forgotten verification must not compile.
pub trait Provider: Sync {
    /// The provider's name in the configuration, in metrics and in data.
    fn id(&self) -> &'static str;

    /// The methods that its deliveries use; others are answered with 405.
    fn methods(&self) -> &'static [Method];

    /// The largest body taken by default, in bytes; a source may set another limit.
    fn max_body_bytes(&self) -> usize;

    /// What a person must know who sets this up at the provider.
    fn guide(&self) -> Guide;

    /// Refuses a source that could not work: no key, an unknown option, a value out of range.
    ///
    /// # Errors
    /// [`SettingsError`], in words for who wrote the configuration.
    fn check(&self, settings: &AdapterSettings, keys: &Keys) -> Result<(), SettingsError>;

    /// Where the source's public keys are fetched from, if they are not in the configuration.
    fn remote_keys(&self, settings: &AdapterSettings) -> Option<RemoteKeys>;

    /// Reads the answer of [`Provider::remote_keys`]'s URL as keys for [`Keys::webhook`].
    ///
    /// # Errors
    /// When there is no usable key in it.
    fn read_remote_keys(&self, body: &[u8]) -> Result<Vec<Bytes>, KeyError>;

    /// Decides, over the bytes as they came, whether the provider sent this.
    ///
    /// # Errors
    /// [`VerifyError`]: answered with 401, nothing is stored.
    fn verify(
        &self,
        delivery: &Delivery,
        settings: &AdapterSettings,
        keys: &Keys,
        now: Timestamp,
    ) -> Result<Verified, VerifyError>;

    /// Puts a verified delivery into our words. An unknown event type or status is an event too; only what
    /// cannot be read at all is an error. Where the sender waits for an answer of its own form even to that,
    /// it is an event of the kind [`NormalizeError::KIND`] instead, and [`Provider::reply`] answers it.
    ///
    /// # Errors
    /// [`NormalizeError`]: answered with 422 and parked.
    fn normalize(
        &self,
        verified: &Verified,
        settings: &AdapterSettings,
    ) -> Result<Normalized, NormalizeError>;

    /// The body with every secret in it blotted out, for storing and showing; the same bytes when there is
    /// none. It must take any bytes, also those that are no JSON.
    fn redact(&self, body: &Bytes) -> Bytes;

    /// What the sender is answered.
    fn reply(&self, outcome: Outcome<'_>) -> Reply;

    /// How the provider is told that a player has got a reward; none where it wants no such word, or the source does
    /// not ask for it.
    ///
    /// # Errors
    /// [`SettingsError`], when the source asks for it and lacks something. Only who makes the calls has [`Keys::api`],
    /// so [`Provider::check`] does not ask for it.
    fn redemptions(
        &self,
        settings: &AdapterSettings,
        keys: &Keys,
    ) -> Result<Option<Box<dyn Redemptions>>, SettingsError>;

    /// How the provider is told how matches went that others decide; none where it wants to hear nothing, or the source
    /// does not ask for it.
    ///
    /// # Errors
    /// As of [`Provider::redemptions`]; where only the key lacks it is [`SettingsError::NoApiKey`].
    fn result_reports(
        &self,
        settings: &AdapterSettings,
        keys: &Keys,
    ) -> Result<Option<Box<dyn ResultReports>>, SettingsError>;

    /// How the provider is asked what its deliveries may not have told; none where it cannot be asked, or the source
    /// does not ask for it.
    ///
    /// # Errors
    /// [`SettingsError`], when the source asks for it and lacks something. Only who makes the calls has [`Keys::api`],
    /// so [`Provider::check`] does not ask for it.
    fn inquiries(
        &self,
        settings: &AdapterSettings,
        keys: &Keys,
    ) -> Result<Option<Box<dyn Inquiries>>, SettingsError>;

    /// How the provider is asked whose a match token is; none where it has none, or the source does not ask for it.
    ///
    /// # Errors
    /// As of [`Provider::inquiries`].
    fn match_tokens(
        &self,
        settings: &AdapterSettings,
        keys: &Keys,
    ) -> Result<Option<Box<dyn MatchTokens>>, SettingsError>;

    /// Signs a body as the provider would, for the simulator and tests.
    ///
    /// # Errors
    /// When the key is none that can sign.
    fn sign(&self, request: &SignRequest<'_>) -> Result<SignedRequest, KeyError>;

    /// The kinds of lives that [`Provider::play`] knows, for the simulator and tests.
    fn lives(&self) -> &'static [LifeKind];

    /// A life as the provider would send it, with the effects that it must have. None when the kind is none
    /// of [`Provider::lives`].
    fn play(&self, request: &PlayRequest<'_>) -> Option<Script>;

    /// The provider's API as it is played beside that, for whoever shows this key. Where it gives tokens for the key, each
    /// may be shown so often, or as often as one likes.
    fn played_api(&self, api_key: &[u8], token_uses: Option<u32>) -> Box<dyn PlayedApi>;
}

/// A delivery that the provider vouches for. Only `verify` can make one, [`Verified::again`] of one that `verify`
/// had made when it came, and [`Verified::fetched`] of what the provider's own API has answered.
#[derive(Debug, Clone)]
pub struct Verified {
    method: Method,
    body: Bytes,
    role: KeyRole,
    which: Option<WhichKey>,
    body_authenticated: bool,
}

impl Verified {
    /// Only for the adapters' `verify`; `body_authenticated` says whether a signature covered the body.
    pub(crate) fn new(delivery: &Delivery, role: KeyRole, which: WhichKey, body_authenticated: bool) -> Self {
        let (method, body) = (delivery.method, delivery.body.clone());
        Self { method, body, role, which: Some(which), body_authenticated }
    }

    /// The delivery of an archived event once more, as it was vouched for when it came: by the same method and key,
    /// over the body that was kept, which is without the secrets that it echoed. It has no other body to be read
    /// with, and no other key.
    pub fn again(kept: &Kept) -> Self {
        let Vouched { method, key, which } = kept.vouched();
        let event = kept.event();
        let body_authenticated = event.provenance.body_authenticated;
        Self { method, body: event.raw.clone(), role: key, which, body_authenticated }
    }

    /// What the provider's API has answered. It came from the address that the configuration names, over TLS (in the
    /// clear from this machine only), so the body is the provider's own.
    pub fn fetched(fetched: Fetched) -> Self {
        let Fetched { method, body } = fetched;
        Self { method, body, role: KeyRole::Api, which: None, body_authenticated: true }
    }

    /// What vouched for it, to be noted in its events.
    pub const fn vouched(&self) -> Vouched {
        Vouched { method: self.method, key: self.role, which: self.which }
    }

    /// The method of the request.
    pub const fn method(&self) -> Method {
        self.method
    }

    /// The body, byte for byte.
    pub const fn body(&self) -> &Bytes {
        &self.body
    }

    /// What the key that vouched for it is for.
    pub const fn role(&self) -> KeyRole {
        self.role
    }

    /// True when a signature covered the body, or we have fetched it; false when only the caller was authenticated.
    pub const fn body_authenticated(&self) -> bool {
        self.body_authenticated
    }
}

/// How a source is set up at its provider, in words for a person who has the source's URL at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guide {
    /// How deliveries are verified, and what that covers, in one sentence.
    pub verification: &'static str,
    /// What to do, in order.
    pub steps: &'static [&'static str],
}

/// Why a delivery is not believed. The caller learns only 401; the reason goes to the rejected log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum VerifyError {
    /// No signature or authorization header.
    #[error("the signature header is missing")]
    HeaderMissing,
    /// The header stands there twice; nobody can say which one counts.
    #[error("the signature header stands there twice")]
    HeaderDoubled,
    /// The header is empty or not of the documented form.
    #[error("the signature header is not of the documented form")]
    HeaderMalformed,
    /// The signature is not one of any active key over these bytes.
    #[error("the signature does not match")]
    SignatureMismatch,
    /// The token names an algorithm other than the pinned one.
    #[error("the token's algorithm is not the pinned one")]
    WrongAlgorithm,
    /// The token's time is over.
    #[error("the token has expired")]
    Expired,
    /// The token is not valid yet, or from the future.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// A required claim is missing or has another value.
    #[error("a claim of the token is missing or wrong")]
    WrongClaim,
    /// No key is known at the moment; public keys could not be fetched yet.
    #[error("no key is known to verify with")]
    NoKey,
}

impl VerifyError {
    /// A short word for metrics and the rejected log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HeaderMissing => "header_missing",
            Self::HeaderDoubled => "header_doubled",
            Self::HeaderMalformed => "header_malformed",
            Self::SignatureMismatch => "signature_mismatch",
            Self::WrongAlgorithm => "wrong_algorithm",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::WrongClaim => "wrong_claim",
            Self::NoKey => "no_key",
        }
    }
}

/// What is to be signed.
#[derive(Debug, Clone, Copy)]
pub struct SignRequest<'r> {
    /// The method.
    pub method: Method,
    /// The body.
    pub body: &'r [u8],
    /// The signing key: the shared secret's bytes, or a private key as PEM.
    pub key: &'r [u8],
    /// Which of the source's keys it is.
    pub role: KeyRole,
    /// The time of signing.
    pub now: Timestamp,
    /// The source's settings; claims of a token come from them.
    pub settings: &'r AdapterSettings,
}

/// A body with the headers that vouch for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedRequest {
    /// The headers to send.
    pub headers: Vec<(&'static str, String)>,
}
