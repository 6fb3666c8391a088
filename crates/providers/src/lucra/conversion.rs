//! What a wish to turn money into the studio's credit is answered.

use serde::Serialize;

use crate::reply::Reply;
use crate::settings::{AdapterSettings, SettingsError};

/// The option that says it; without it every wish is refused.
pub(super) const OPTION: &str = "conversion";

/// What a source answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Policy {
    /// No: the money returns to the player.
    None,
    /// Yes: the provider keeps the money, and the player gets the credit.
    Complete,
    /// Not yet: the provider keeps the money, and a person decides about the credit.
    Pending,
}

impl Policy {
    const ALL: [Self; 3] = [Self::None, Self::Complete, Self::Pending];

    /// The source's policy.
    pub(super) fn of(settings: &AdapterSettings) -> Result<Self, SettingsError> {
        let Some(text) = settings.text(OPTION)? else { return Ok(Self::None) };
        Self::ALL.into_iter().find(|policy| policy.as_str() == text).ok_or_else(|| SettingsError::BadOption {
            option: OPTION,
            problem: format!("{text:?} is not one of {}", Self::ALL.map(Self::as_str).join(", ")),
        })
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Complete => "complete",
            Self::Pending => "pending",
        }
    }

    /// The provider's word for it; its words are case-sensitive.
    pub(super) const fn answer(self) -> &'static str {
        match self {
            Self::None => FAILED,
            Self::Complete => COMPLETED,
            Self::Pending => PENDING,
        }
    }
}

/// The word that returns the money to the player.
pub(super) const FAILED: &str = "FAILED";
const COMPLETED: &str = "COMPLETED";
const PENDING: &str = "PENDING";

/// What the provider waits for while it holds a player's money.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    status: &'a str,
    response_text: &'static str,
}

/// The answer to a wish that could be read.
pub(super) fn reply(answer: &str) -> Reply {
    let response_text = match answer {
        COMPLETED => "Converted into credit.",
        PENDING => "The conversion is being looked at.",
        _ => "Conversion into credit is not offered here; the money stays with the player.",
    };
    json(&Answer { status: answer, response_text })
}

/// The answer to one that could not: no money moves for it.
pub(super) fn refusal() -> Reply {
    json(&Answer { status: FAILED, response_text: "The request cannot be read; the money stays with the player." })
}

fn json(answer: &Answer<'_>) -> Reply {
    serde_json::to_vec(answer).map_or_else(|_| Reply::ok(), Reply::json)
}
