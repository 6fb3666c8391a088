//! Which ids are one player's, as the studio says.
//!
//! | what | the set afterwards |
//! | --- | --- |
//! | [`replace`] | the identity and those named; who was in it and is not named stands alone |
//! | [`unlink`] | the identity's without the other one |
//!
//! An identity that is another person's is never moved: it must be unlinked there first. Both can be asked for again,
//! and only what changes a set is recorded.

use std::collections::BTreeSet;

use matchpurse_store::links::{Identity, change_in_tx, linked_in_tx, lock_in_tx, new_id_in_tx};
use matchpurse_store::operations::{Operation, OperationKind, record_in_tx};
use matchpurse_store::{Store, Tx};
use serde_json::{Value, json};

/// The most identities that one person has. There are four providers; some people have several accounts.
pub const IDENTITIES_MAX: usize = 50;

/// What this module's functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why nothing was linked; nothing is written then.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Some of the identities are another person's.
    #[error("identities that are another person's: {}", names(.0))]
    OtherPersons(BTreeSet<Identity>),
    /// There are too many.
    #[error("one person has at most {IDENTITIES_MAX} identities")]
    TooMany,
    /// The database; see [`matchpurse_store::Error::is_transient`] for whether to try again.
    #[error(transparent)]
    Store(#[from] matchpurse_store::Error),
}

/// Who does something, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    /// Who.
    pub actor: String,
    /// Why; may be empty.
    pub reason: String,
}

/// Makes `identity` and `others` one person. Returns the person's identities.
///
/// # Errors
/// [`Error`].
pub async fn replace(
    store: &Store,
    identity: &Identity,
    others: BTreeSet<Identity>,
    author: &Author,
) -> Result<BTreeSet<Identity>> {
    let mut after = others;
    after.insert(identity.clone());
    if after.len() > IDENTITIES_MAX {
        return Err(Error::TooMany);
    }
    let mut client = store.client().await?;
    let tx = client.begin().await?;
    let before = lock_in_tx(&tx, identity).await?;
    let linked = linked_in_tx(&tx, &after).await?;
    let foreign: BTreeSet<Identity> = linked.difference(&before).cloned().collect();
    if !foreign.is_empty() {
        return Err(Error::OtherPersons(foreign));
    }
    change(tx, identity, &before, &after, author).await?;
    Ok(after)
}

/// Takes `other` out of the set of `identity`; where it is not in it, nothing changes. Returns what the identities of
/// `identity` are afterwards.
///
/// # Errors
/// [`Error`].
pub async fn unlink(
    store: &Store,
    identity: &Identity,
    other: &Identity,
    author: &Author,
) -> Result<BTreeSet<Identity>> {
    let mut client = store.client().await?;
    let tx = client.begin().await?;
    let before = lock_in_tx(&tx, identity).await?;
    let mut after = before.clone();
    after.remove(other);
    change(tx, identity, &before, &after, author).await?;
    // Who took itself out stands alone.
    Ok(if identity == other { BTreeSet::from([identity.clone()]) } else { after })
}

async fn change(
    tx: Tx<'_>,
    identity: &Identity,
    before: &BTreeSet<Identity>,
    after: &BTreeSet<Identity>,
    author: &Author,
) -> Result<()> {
    if before == after || (before.len() < 2 && after.len() < 2) {
        return Ok(tx.rollback().await?);
    }
    change_in_tx(&tx, before, after).await?;
    let operation = Operation {
        id: new_id_in_tx(&tx).await?,
        kind: OperationKind::PlayerLinks,
        source: identity.source.clone(),
        subject: identity.player_id.as_str().to_owned(),
        match_no: None,
        actor: author.actor.clone(),
        approved_by: None,
        reason: author.reason.clone(),
        amount: None,
        detail: json!({ "before": listed(before), "after": listed(after) }),
    };
    record_in_tx(&tx, &operation).await?;
    Ok(tx.commit().await?)
}

fn listed(identities: &BTreeSet<Identity>) -> Value {
    let one = |identity: &Identity| json!({ "source": identity.source.as_str(), "player_id": identity.player_id.as_str() });
    identities.iter().map(one).collect()
}

fn names(identities: &BTreeSet<Identity>) -> String {
    let name = |identity: &Identity| format!("{}/{}", identity.source, identity.player_id);
    identities.iter().map(name).collect::<Vec<_>>().join(", ")
}
