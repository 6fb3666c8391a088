//! A player's personal data, erased on request. What was counted stays, under a name that leads to nobody.
//!
//! It is refused while anything of the player is open: money, rewards, notices, what waits for a person. Then what is found
//! by the player's key changes in one transaction, and the archive and what else may name the player is gone through step
//! by step. Who is killed between two steps loses nothing: whoever comes next goes on, the service of the API or the command.

use matchpurse_domain::ids::derived_uuid;
use matchpurse_store::erasure::{self, Begun, Erasure, Request};
use matchpurse_store::links::Identity;
use matchpurse_store::{Error, Result, Store};
use uuid::Uuid;

/// How many rows one step looks at: a fraction of a second.
pub const STEP_ROWS: u32 = 500;

/// Who asks for an erasure, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// The same for a repeat.
    pub idempotency_key: String,
}

/// Begins the erasure of a player, or says what is open; with `only_look` nothing is changed, and what would be is told.
///
/// # Errors
/// [`matchpurse_store::Error`].
pub async fn begin(store: &Store, identity: &Identity, author: &Author, only_look: bool) -> Result<Begun> {
    let Author { actor, reason, idempotency_key } = author;
    let (source, player) = (identity.source.as_str(), identity.player_id.as_str());
    // The key is stored nowhere, so nobody finds out by the id whom it was about.
    let id = derived_uuid("erasure", &[source, player, idempotency_key]);
    let request = Request { id, identity: identity.clone(), actor: actor.clone(), reason: reason.clone() };
    erasure::begin(&mut store.client().await?, &request, only_look).await
}

/// Does the steps of an erasure that are left, and returns what it did in all. `stepped` is called after each.
///
/// # Errors
/// [`matchpurse_store::Error`]: the steps before are done.
pub async fn finish(store: &Store, id: Uuid, stepped: &mut (dyn FnMut() + Send)) -> Result<Erasure> {
    let mut client = store.client().await?;
    while erasure::step(&mut client, id, STEP_ROWS).await? {
        stepped();
    }
    let found = erasure::find(&client, id).await?;
    found.ok_or_else(|| Error::Stored { what: "erasure", source: "it is not there any more".into() })
}

/// Goes on with every erasure that has not come to its end; says how many it finished.
///
/// # Errors
/// [`matchpurse_store::Error`], the first one, after all others were gone on with.
pub async fn finish_all(store: &Store) -> Result<usize> {
    let running = erasure::running(&store.client().await?).await?;
    let mut finished = 0;
    let mut first_error = Ok(());
    for id in running {
        match finish(store, id, &mut || {}).await {
            Ok(_) => finished += 1,
            Err(error) => first_error = first_error.and(Err(error)),
        }
    }
    first_error.map(|()| finished)
}
