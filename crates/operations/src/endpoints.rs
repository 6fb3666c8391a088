//! What people do to endpoints, to which the studio's notices go.
//!
//! | what | of which endpoints | asked for again |
//! | --- | --- | --- |
//! | [`add`] | a new one | the same key: nothing is done, and no secret is shown again |
//! | [`change`], [`set_secrets`], [`remove`] | those of the API; the configuration's are changed there | nothing changes, nothing is recorded |
//! | [`enable`], [`disable`] | all: an answer of 410 stops the configuration's too | the same |
//! | [`test`](fn@test) | all that are sent to | the same key: the same notice |
//!
//! Each is one transaction with its record. A secret that is made here leaves this module once, in the answer.

mod secrets;

use matchpurse_domain::ids::{SourceName, derived_uuid};
use matchpurse_domain::time::Timestamp;
use matchpurse_domain::webhook::{EndpointName, EventPattern, TargetUrl};
use matchpurse_store::dispatch::{
    Asked, Changed, Disabled, EndpointLine, EndpointSpec, LockedEndpoint, Origin, RequestKind, SecretLine,
    add_in_tx, added_by_in_tx, ask_in_tx, change_in_tx, disable_in_tx, enable_in_tx, endpoint_line,
    lock_endpoint_in_tx, remove_in_tx, secret_lines, secrets_in_tx, set_secrets_in_tx, test_in_tx,
    test_notice,
};
use matchpurse_store::{Client, ExposeSecret as _, Store, Tx};
use uuid::Uuid;

pub use self::secrets::{MadeSecret, SECRETS_MAX, SecretChoice};
pub use crate::rewards::Author;

/// What this module's functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why nothing was done to an endpoint; nothing is written then.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such endpoint, or it was removed.
    #[error("there is no such endpoint")]
    NoEndpoint,
    /// An endpoint has, or had, this name. What it got stands under it, so it is never another's.
    #[error("an endpoint has the name {0} already, or had it and was removed: take another name")]
    NameTaken(EndpointName),
    /// The endpoint is the configuration's.
    #[error(
        "endpoint {0} is the configuration's: change `[endpoints.{0}]` there, and start the dispatcher anew"
    )]
    Configured(EndpointName),
    /// Nothing is sent to the endpoint, so it cannot be tried.
    #[error("nothing is sent to the endpoint, because {}: enable it first", why(*.0))]
    Disabled(Disabled),
    /// The idempotency key was used for something else.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// A secret that is to be kept is none of the endpoint's.
    #[error("the endpoint has no secret with the id {0:?}")]
    NoSecret(String),
    /// Notices are always signed, and a header has room for a few signatures only.
    #[error("an endpoint has 1 to {SECRETS_MAX} secrets")]
    SecretCount,
    /// The system gives no random numbers.
    #[error("no secret could be made")]
    Random(#[source] getrandom::Error),
    /// The database; see [`matchpurse_store::Error::is_transient`] for whether to try again.
    #[error(transparent)]
    Store(#[from] matchpurse_store::Error),
}

const fn why(disabled: Disabled) -> &'static str {
    match disabled {
        Disabled::Gone => "it answered 410",
        Disabled::Operator => "somebody has stopped it",
        Disabled::Removed => "it was removed",
    }
}

/// What is to be changed of an endpoint; what is none stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// Where notices go.
    pub url: Option<TargetUrl>,
    /// Which notices; an empty list stands for all.
    pub events: Option<Vec<EventPattern>>,
    /// Of which sources; an empty list stands for all.
    pub sources: Option<Vec<SourceName>>,
    /// Whether a subject's notices wait for each other.
    pub ordered: Option<bool>,
    /// Where to ask whether a notice has arrived, or that nobody is asked.
    pub status_url: Option<Option<TargetUrl>>,
}

/// An endpoint to which something was done.
#[derive(Debug, Clone)]
pub struct Done {
    /// The endpoint as it is now.
    pub endpoint: EndpointLine,
    /// False when it was so already.
    pub changed: bool,
}

/// An endpoint that was added.
#[derive(Debug)]
pub struct Added {
    /// The endpoint as it is now.
    pub endpoint: EndpointLine,
    /// The secrets that were made for it: this is the only time that they are seen.
    pub made: Vec<MadeSecret>,
    /// True when it had been added before, and nothing was done now.
    pub repeated: bool,
}

/// Secrets that were set.
#[derive(Debug)]
pub struct SecretsSet {
    /// All that sign now, the oldest first.
    pub secrets: Vec<SecretLine>,
    /// Those that were made: this is the only time that they are seen.
    pub made: Vec<MadeSecret>,
}

/// A trial of an endpoint.
#[derive(Debug, Clone)]
pub struct Tested {
    /// What its notice is sent under.
    pub webhook_id: Uuid,
    /// The endpoint as it is now.
    pub endpoint: EndpointLine,
    /// True when it had been asked for before, and nothing was done now.
    pub repeated: bool,
}

/// Adds an endpoint. It gets the notices that are written from now on.
///
/// # Errors
/// [`Error`].
pub async fn add(
    store: &Store,
    spec: &EndpointSpec,
    choices: &[SecretChoice],
    author: &Author,
    idempotency_key: &str,
) -> Result<Added> {
    let chosen = secrets::choose(choices, &[])?;
    let request = request(spec, choices);
    let mut client = store.client().await?;
    let tx = client.begin().await?;
    let (actor, reason) = (author.actor.as_str(), author.reason.as_str());
    let Some(id) = add_in_tx(&tx, spec, &chosen.all, actor, reason).await? else {
        return match added_by_in_tx(&tx, &spec.name, idempotency_key, request).await? {
            Some(true) => {
                tx.rollback().await?;
                let endpoint = shown(&client, &spec.name).await?;
                Ok(Added { endpoint, made: Vec::new(), repeated: true })
            }
            Some(false) => Err(Error::KeyReused),
            None => Err(Error::NameTaken(spec.name.clone())),
        };
    };
    // The endpoint is new, so nobody has used a key of it.
    ask_in_tx(&tx, id, idempotency_key, RequestKind::Add, request).await?;
    tx.commit().await?;
    let endpoint = shown(&client, &spec.name).await?;
    Ok(Added { endpoint, made: chosen.made, repeated: false })
}

/// All that is asked for, as one value. Of secrets it holds no more than a digest.
fn request(spec: &EndpointSpec, choices: &[SecretChoice]) -> Uuid {
    let status_url = spec.status_url.as_ref().map_or("", |url| url.expose());
    let (events, sources) = (spec.events.len().to_string(), spec.sources.len().to_string());
    let mut parts = vec![spec.name.as_str(), spec.url.expose(), status_url];
    parts.push(if spec.ordered { "ordered" } else { "" });
    parts.push(&events);
    parts.extend(spec.events.iter().map(EventPattern::as_str));
    parts.push(&sources);
    parts.extend(spec.sources.iter().map(SourceName::as_str));
    for choice in choices {
        parts.extend(match choice {
            SecretChoice::New => ["new", ""],
            SecretChoice::Keep(id) => ["keep", id],
            SecretChoice::Given(secret) => ["given", secret.expose_secret()],
        });
    }
    derived_uuid("endpoint", &parts)
}

/// Changes what an endpoint of the API wants.
///
/// # Errors
/// [`Error`].
pub async fn change(
    store: &Store,
    name: &EndpointName,
    change: Change,
    author: &Author,
    now: Timestamp,
) -> Result<Done> {
    let mut client = store.client().await?;
    let tx = client.begin().await?;
    let before = own(&tx, name).await?.spec;
    let Change { url, events, sources, ordered, status_url } = change;
    let spec = EndpointSpec {
        url: url.unwrap_or(before.url),
        events: events.unwrap_or(before.events),
        sources: sources.unwrap_or(before.sources),
        ordered: ordered.unwrap_or(before.ordered),
        status_url: status_url.unwrap_or(before.status_url),
        name: before.name,
    };
    let changed = change_in_tx(&tx, &spec, &author.actor, &author.reason, now).await?;
    tx.commit().await?;
    done(&client, name, changed).await
}

/// Sets what notices to an endpoint of the API are signed with, all of them at once. To rotate: the old and a new one,
/// and the new one alone when the studio knows it.
///
/// # Errors
/// [`Error`].
pub async fn set_secrets(
    store: &Store,
    name: &EndpointName,
    choices: &[SecretChoice],
    author: &Author,
) -> Result<SecretsSet> {
    let mut client = store.client().await?;
    let tx = client.begin().await?;
    let id = own(&tx, name).await?.id;
    let before = secrets_in_tx(&tx, id).await?;
    let chosen = secrets::choose(choices, &before)?;
    set_secrets_in_tx(&tx, id, &chosen.all, &author.actor, &author.reason).await?;
    tx.commit().await?;
    Ok(SecretsSet { secrets: secret_lines(&client, id).await?, made: chosen.made })
}

/// Stops sending to an endpoint. What is for it waits, also what is still to come.
///
/// # Errors
/// [`Error`].
pub async fn disable(store: &Store, name: &EndpointName, author: &Author, now: Timestamp) -> Result<Done> {
    let mut client = store.client().await?;
    let tx = client.begin().await?;
    let changed = disable_in_tx(&tx, name, &author.actor, &author.reason, now).await?;
    tx.commit().await?;
    done(&client, name, changed).await
}

/// Sends to an endpoint again, as to one that is well: also where only its circuit breaker is open.
///
/// # Errors
/// [`Error`].
pub async fn enable(store: &Store, name: &EndpointName, author: &Author) -> Result<Done> {
    let mut client = store.client().await?;
    let tx = client.begin().await?;
    let changed = enable_in_tx(&tx, name, &author.actor, &author.reason).await?;
    tx.commit().await?;
    done(&client, name, changed).await
}

/// Removes an endpoint of the API. Nothing is sent to it any more, its secrets go, and its name is never another's.
///
/// # Errors
/// [`Error`].
pub async fn remove(store: &Store, name: &EndpointName, author: &Author, now: Timestamp) -> Result<Done> {
    let mut client = store.client().await?;
    let tx = client.begin().await?;
    let changed = remove_in_tx(&tx, name, &author.actor, &author.reason, now).await?;
    tx.commit().await?;
    done(&client, name, changed).await
}

/// Sends an endpoint, and nobody else, a notice that says nothing, by the way of every other: so what comes of it is
/// what would come of a real one.
///
/// # Errors
/// [`Error`].
pub async fn test(
    store: &Store,
    name: &EndpointName,
    author: &Author,
    idempotency_key: &str,
    now: Timestamp,
) -> Result<Tested> {
    let notice = test_notice(name, idempotency_key, now)?;
    let webhook_id = notice.webhook_id();
    let mut client = store.client().await?;
    let tx = client.begin().await?;
    let found = lock_endpoint_in_tx(&tx, name).await?.ok_or(Error::NoEndpoint)?;
    let request = derived_uuid("endpoint test", &[name.as_str()]);
    let asked = ask_in_tx(&tx, found.id, idempotency_key, RequestKind::Test, request).await?;
    match (asked, found.disabled) {
        (Asked::Other, _) => return Err(Error::KeyReused),
        (Asked::First, Some(disabled)) => return Err(Error::Disabled(disabled)),
        (Asked::First, None) => {
            test_in_tx(&tx, found.id, &notice, &author.actor, &author.reason).await?;
            tx.commit().await?;
        }
        (Asked::Again, _) => tx.rollback().await?,
    }
    let endpoint = shown(&client, name).await?;
    Ok(Tested { webhook_id, endpoint, repeated: asked == Asked::Again })
}

/// An endpoint of the API, locked.
async fn own(tx: &Tx<'_>, name: &EndpointName) -> Result<LockedEndpoint> {
    let found = lock_endpoint_in_tx(tx, name).await?.ok_or(Error::NoEndpoint)?;
    match found.origin {
        Origin::Api => Ok(found),
        Origin::Configuration => Err(Error::Configured(name.clone())),
    }
}

async fn done(client: &Client, name: &EndpointName, changed: Changed) -> Result<Done> {
    let changed = match changed {
        Changed::Done => true,
        Changed::Unchanged => false,
        Changed::Unknown => return Err(Error::NoEndpoint),
        Changed::Configured => return Err(Error::Configured(name.clone())),
    };
    Ok(Done { endpoint: shown(client, name).await?, changed })
}

async fn shown(client: &Client, name: &EndpointName) -> Result<EndpointLine> {
    endpoint_line(client, name).await?.ok_or(Error::NoEndpoint)
}
