//! The tokens of the configuration.

use std::collections::BTreeMap;

use matchpurse_settings::{ApiScope, ApiToken};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::{Actor, Bearer};

/// The configured tokens.
pub(super) struct Tokens(Vec<Token>);

struct Token {
    /// The table's name.
    name: Actor,
    /// Who stands in the records: the person, or the name where none is told.
    actor: Actor,
    has_person: bool,
    /// SHA-256 of the secret: what is compared has one length, whatever was sent.
    digest: [u8; 32],
    scopes: Vec<ApiScope>,
}

impl Tokens {
    pub(super) fn new(tokens: &BTreeMap<String, ApiToken>) -> Self {
        let token = |(name, token): (&String, &ApiToken)| Token {
            name: Actor::new(name),
            actor: Actor::new(token.person.as_deref().unwrap_or(name)),
            has_person: token.person.is_some(),
            digest: Sha256::digest(token.secret.expose().as_bytes()).into(),
            scopes: token.scopes.clone(),
        };
        Self(tokens.iter().map(token).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a token of somebody else has this name, in whatever case: records tell actors apart by nothing else.
    pub(super) fn names(&self, actor: &Actor) -> bool {
        let wanted = actor.as_str().to_lowercase();
        let is = |one: &Actor| one.as_str().to_lowercase() == wanted;
        self.0.iter().any(|token| is(&token.name) && !(token.has_person && is(&token.actor)))
    }

    /// Compares with every token, each in constant time, so that the time tells nothing about any.
    pub(super) fn find(&self, secret: &[u8]) -> Option<Bearer> {
        let digest: [u8; 32] = Sha256::digest(secret).into();
        let found = self.0.iter().fold(None, |found, token| {
            if bool::from(token.digest.ct_eq(&digest)) { Some(token) } else { found }
        });
        found.map(|token| Bearer {
            actor: token.actor.clone(),
            bucket: token.name.clone(),
            scopes: token.scopes.clone(),
            ends: None,
        })
    }
}
