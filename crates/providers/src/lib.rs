//! What the providers send, verified and in our words.
//!
//! One provider is one folder of `src/`, found by the build script; nothing else in the repository names
//! one. An adapter is pure: bytes, headers, keys and the time go in; verified bytes, then events, come out.
//! [`Verified`] can only be made by an adapter's `verify`, of the archived event of a delivery that was verified when
//! it came, or of what we have fetched from the provider ourselves; and `normalize` takes nothing else, so bytes that nobody vouches for cannot become events.

mod api_call;
mod delivery;
pub mod fixtures;
mod hmac_signature;
mod inquiry;
mod json;
mod keys;
mod normalized;
pub mod play;
mod provider;
mod redemption;
mod reply;
mod result_report;
mod settings;
mod times;

pub use delivery::{Delivery, Headers, Method};
pub use inquiry::{
    AccessToken, ApiAccess, ApiError, Fetched, Found, Inquiries, Inquiry, InquiryAnswer, InquiryKind,
    MatchTokenInfo, MatchTokens, pause_wanted_s,
};
pub use keys::{KeyError, KeyRole, KeySet, Keys, RemoteKeys};
pub use normalized::{NewEvent, NormalizeError, Normalized, Question};
pub use provider::{Guide, Provider, SignRequest, SignedRequest, Verified, VerifyError};
pub use redemption::{CallAnswer, CallLimit, Redemption, Redemptions};
pub use reply::{Outcome, Reply};
pub use result_report::{ReportedGroup, ReportedPlayer, ReportedResult, ResultReports};
pub use settings::{AdapterSettings, OptionValue, SettingsError};

include!(concat!(env!("OUT_DIR"), "/registry.rs"));

/// Every provider that this build knows, by name.
pub fn all() -> &'static [&'static dyn Provider] {
    REGISTRY
}

/// The provider whose [`Provider::id`] is `id`.
pub fn by_id(id: &str) -> Option<&'static dyn Provider> {
    REGISTRY.iter().copied().find(|provider| provider.id() == id)
}
