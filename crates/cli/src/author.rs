//! Who does something, and why; and what makes a repeat of it harmless.

use anyhow::{Result, ensure};
use matchpurse_store::now;

use crate::exit::usage;

/// Who does something, and why
#[derive(Debug, clap::Args)]
pub(crate) struct AuthorArgs {
    /// Who you are; it is recorded
    #[arg(long, value_name = "NAME")]
    actor: String,
    /// Why; it is recorded
    #[arg(long, value_name = "WHY")]
    reason: String,
}

impl AuthorArgs {
    /// Who, and why, in words that are some.
    pub(crate) fn said(self) -> Result<(String, String)> {
        said(&self.actor, &self.reason)
    }
}

/// Who and why, without the spaces around it; nobody and nothing are refused.
pub(crate) fn said(actor: &str, reason: &str) -> Result<(String, String)> {
    let (actor, reason) = (actor.trim().to_owned(), reason.trim().to_owned());
    if actor.is_empty() || reason.is_empty() {
        return Err(usage("--actor and --reason must say who and why"));
    }
    Ok((actor, reason))
}

/// What makes a repeat of a command harmless
#[derive(Debug, clap::Args)]
pub(crate) struct KeyArgs {
    /// Makes a repeat of this command harmless; without it the command is another one each time
    #[arg(long)]
    key: Option<String>,
}

impl KeyArgs {
    /// The key, or one that nobody else has.
    pub(crate) fn key(self) -> Result<String> {
        let key = self.key.unwrap_or_else(|| format!("command line, {}", now().micros()));
        ensure!((1..=255).contains(&key.len()), usage("a key has 1 to 255 bytes"));
        Ok(key)
    }
}
