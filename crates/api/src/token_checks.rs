//! Whose match tokens are, asked of the sources' providers.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use matchpurse_domain::ids::SourceName;
use matchpurse_provider_calls::{CallError, Caller};
use matchpurse_providers::{AccessToken, ApiError, MatchTokenInfo, MatchTokens, Provider, SettingsError};
use matchpurse_reading::{adapter_settings, api_keys};
use matchpurse_service_kit::config::{ConfigError, Problem, Reason, join};
use matchpurse_service_kit::http_client::{HttpClient, HttpClientOptions, HttpError};
use matchpurse_settings::Settings;
use matchpurse_store::{Store, chain, now};
use tokio::sync::OnceCell;
use tokio::time::{Instant, timeout};

use crate::failure::{Failure, RETRY_AFTER_S, Result};
use crate::problems::Kind;
use crate::request::is_id;

/// A game waits for the answer while it starts; who is told to come again after this can show the player something.
const TIME_LIMIT: Duration = Duration::from_secs(10);
/// One call, so that both the token's and the question's may take as long as that.
const CALL_TIME_LIMIT: Duration = Duration::from_secs(5);
/// How long a place within the provider's limit is waited for.
const SLOT_PATIENCE: Duration = Duration::from_secs(3);
const CONNECT_TIME_LIMIT: Duration = Duration::from_secs(3);
/// How much of an answer is read, in bytes: it says five things.
const RESPONSE_BYTES_MAX: usize = 64 * 1024;
/// What others find in their logs.
const USER_AGENT: &str = concat!("Matchpurse/", env!("CARGO_PKG_VERSION"));

/// The sources whose match tokens can be asked about.
pub(crate) struct TokenChecks {
    client: HttpClient,
    store: Store,
    /// Which sources there are, and of which provider, is what it was at the start.
    sources: Vec<(SourceName, &'static dyn Provider)>,
    current: RwLock<BTreeMap<SourceName, Arc<TokenCheck>>>,
}

/// One of them.
pub(crate) struct TokenCheck {
    caller: Caller,
    tokens: Box<dyn MatchTokens>,
    /// The slots of its limit are there.
    prepared: OnceCell<()>,
    /// Whether the matches of its players are asked for one by one.
    pub(crate) asks_by_player: bool,
}

impl TokenChecks {
    /// Those of the settings.
    ///
    /// # Errors
    /// When there is no HTTP client.
    pub(crate) fn new(settings: &Settings, store: Store) -> Result<Self, HttpError> {
        let client = HttpClient::new(&HttpClientOptions {
            time_limit: CALL_TIME_LIMIT,
            connect_time_limit: CONNECT_TIME_LIMIT,
            response_bytes_max: RESPONSE_BYTES_MAX,
            user_agent: USER_AGENT,
            ..HttpClientOptions::default()
        })?;
        let sources = settings.sources.iter().filter_map(|(name, source)| {
            // Whose provider nobody knows is the ingress's to refuse.
            Some((name.clone(), matchpurse_providers::by_id(source.provider())?))
        });
        Ok(Self { client, store, sources: sources.collect(), current: RwLock::default() })
    }

    /// Asks by the keys and options of these settings from now on; before that, nobody can be asked.
    ///
    /// # Errors
    /// [`ConfigError::Problems`], with the problems of all sources; then everything is as before.
    pub(crate) fn take_over(&self, settings: &Settings) -> Result<(), ConfigError> {
        let (mut problems, mut current) = (Vec::new(), BTreeMap::new());
        for (name, adapter) in &self.sources {
            let source = settings.sources.get(name).filter(|source| source.provider() == adapter.id());
            let Some(source) = source else { continue };
            let (adapted, keys) = (adapter_settings(source), api_keys(source));
            match adapter.match_tokens(&adapted, &keys) {
                // Where nobody checks tokens, other programs have the key and this one need not.
                Ok(None) | Err(SettingsError::NoApiKey { .. }) => {}
                Ok(Some(tokens)) => {
                    let (client, store) = (self.client.clone(), self.store.clone());
                    let caller = Caller::new(name.as_str(), &*tokens, client, store, CALL_TIME_LIMIT);
                    let inquiries = adapter.inquiries(&adapted, &keys).ok().flatten();
                    let asks_by_player = inquiries.is_some_and(|asked| asked.tells_of_one_player(now()));
                    let check = TokenCheck { caller, tokens, prepared: OnceCell::new(), asks_by_player };
                    current.insert(name.clone(), Arc::new(check));
                }
                Err(error) => {
                    let key = join("sources", name.as_str());
                    problems.push(Problem { key, origin: None, reason: Reason::Invalid(error.to_string()) });
                }
            }
        }
        if !problems.is_empty() {
            return Err(ConfigError::Problems(problems));
        }
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = current;
        Ok(())
    }

    /// The asking about a source's match tokens.
    ///
    /// # Errors
    /// Where its provider cannot be asked about any.
    pub(crate) fn of(&self, source: &SourceName) -> Result<Arc<TokenCheck>> {
        // A panic elsewhere leaves a whole state behind: it is replaced by one assignment.
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        let none = || {
            let detail =
                "its provider has no match tokens, or the API has not been told how to ask about them";
            Failure::new(Kind::NoMatchTokens, detail).with("source", source.as_str())
        };
        current.get(source).cloned().ok_or_else(none)
    }
}

impl TokenCheck {
    /// Whether this can be a match token at all.
    pub(crate) fn may_be(&self, match_token: &str) -> bool {
        // Adapters make no request of what cannot be asked, whatever the access token.
        self.tokens.request(match_token, Some(&AccessToken::new(String::new(), 0))).is_some()
    }

    /// Asks whose it is. Neither the match token nor an answer is ever part of a failure.
    ///
    /// # Errors
    /// When nobody says whose it is, and when the provider knows no such token.
    pub(crate) async fn ask(&self, match_token: &str) -> Result<MatchTokenInfo> {
        let info = match timeout(TIME_LIMIT, self.told(match_token)).await {
            Ok(told) => told?,
            Err(_) => return Err(away(None, format!("no answer within {} s", TIME_LIMIT.as_secs()))),
        };
        let unknown = || {
            Failure::new(Kind::UnknownMatchToken, "the provider knows no such match token, or not any more")
        };
        let info = info.ok_or_else(unknown)?;
        if !is_id(&info.match_id) || !is_id(&info.user_id) {
            return Err(unusable("the answer names no match or player that could be one".to_owned()));
        }
        Ok(info)
    }

    async fn told(&self, match_token: &str) -> Result<Option<MatchTokenInfo>> {
        self.prepared.get_or_try_init(|| self.caller.prepare()).await?;
        let make = |token: Option<&AccessToken>| self.tokens.request(match_token, token);
        let deadline = Instant::now() + SLOT_PATIENCE;
        let answer = self.caller.send(&*self.tokens, make, deadline).await.map_err(no_answer)?;
        self.tokens.read(&answer).map_err(|error| worthless(&error))
    }
}

fn no_answer(error: CallError) -> Failure {
    match error {
        CallError::Store(error) => error.into(),
        CallError::Token(error) => worthless(&error),
        CallError::NoRequest => unusable(chain(&error)),
        CallError::NoSlot | CallError::Http(_) => away(None, chain(&error)),
    }
}

fn worthless(error: &ApiError) -> Failure {
    match error {
        ApiError::Later { after_s } => away(*after_s, chain(error)),
        ApiError::KeyRefused | ApiError::Unreadable(_) => unusable(chain(error)),
    }
}

/// It may be asked later.
fn away(after_s: Option<i64>, cause: String) -> Failure {
    let after_s = after_s.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(RETRY_AFTER_S);
    let detail = "the provider does not answer now, or takes no more calls; ask again";
    Failure::of_provider(Kind::ProviderAway, detail, cause).retry_after(after_s)
}

/// Somebody must do something about it first.
fn unusable(cause: String) -> Failure {
    let detail = "the provider does not take the API's key, or its answer cannot be read; the log says which";
    Failure::of_provider(Kind::ProviderUnusable, detail, cause)
}
