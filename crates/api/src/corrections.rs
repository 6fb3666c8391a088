//! Ends of matches, set by people.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use matchpurse_domain::escrow::{Account, Transfer, TransferKind};
use matchpurse_operations::End;
use matchpurse_operations::corrections::{Author, Preview, Request, approve, preview, propose, reject};
use matchpurse_store::corrections::{self, Correction, CorrectionState};
use matchpurse_store::now;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::Api;
use crate::auth::Actor;
use crate::body::{Body, reason};
use crate::cursor::List;
use crate::failure::{Failure, Result};
use crate::matches::{MatchQuery, MatchView, NoQuery};
use crate::moment::Moment;
use crate::operation_failure::of_operation;
use crate::request::{self, IdempotencyKey, Query, unknown_correction};
use crate::wire::{Amount, Page, answer, answer_at, answer_one, cut, one_more};

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewCorrection)]
pub(crate) struct CorrectionBody {
    #[schema(value_type = crate::openapi::MatchEnd)]
    end: End,
    /// Not needed for a look at what would happen.
    #[serde(default)]
    reason: String,
    /// Shows what would happen, and does nothing.
    #[serde(default)]
    dry_run: bool,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CorrectionRejection)]
pub(crate) struct RejectBody {
    reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    state: Option<String>,
    cursor: Option<String>,
    limit: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Correction)]
pub(crate) struct CorrectionView {
    id: String,
    /// `proposed`, `applied` or `rejected`.
    state: &'static str,
    source: String,
    match_id: String,
    kind: &'static str,
    /// The generation of the match that it makes.
    generation: i16,
    #[schema(value_type = crate::openapi::MatchEnd)]
    end: serde_json::Value,
    reason: String,
    /// How many persons it needs.
    approvals: i16,
    proposed_by: String,
    proposed_at: Moment,
    decided_by: Option<String>,
    decided_at: Option<Moment>,
    /// Why it was rejected.
    decision_reason: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = CorrectionPreview)]
pub(crate) struct PreviewView {
    /// The match as it would be.
    r#match: MatchView,
    /// What would move, in order.
    transfers: Vec<TransferView>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = PreviewTransfer)]
pub(crate) struct TransferView {
    kind: &'static str,
    generation: i16,
    from: AccountView,
    to: AccountView,
    amount: Amount,
}

#[derive(Serialize, ToSchema)]
#[schema(as = PreviewAccount)]
pub(crate) struct AccountView {
    /// As the ledger's accounts: `player`, `escrow`, `house` or `external`.
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    player_id: Option<String>,
}

impl CorrectionView {
    fn of(correction: Correction) -> Self {
        let Correction { proposal, key, proposed_at, state, decided, decision_reason, .. } = correction;
        let (decided_by, decided_at) = decided.map(|(by, at)| (by, Moment(at))).unzip();
        Self {
            id: proposal.id.to_string(),
            state: state.as_str(),
            source: key.source.as_str().to_owned(),
            match_id: key.match_id,
            kind: key.kind.as_str(),
            generation: proposal.generation,
            end: proposal.verdict,
            reason: proposal.reason,
            approvals: proposal.approvals,
            proposed_by: proposal.proposed_by,
            proposed_at: proposed_at.into(),
            decided_by,
            decided_at,
            decision_reason,
        }
    }
}

impl PreviewView {
    fn of(preview: Preview) -> Self {
        let outcome = preview.outcome;
        let transfer = |transfer: Transfer| TransferView {
            kind: word(transfer.kind),
            generation: transfer.generation,
            from: AccountView::of(transfer.debit),
            to: AccountView::of(transfer.credit),
            amount: Amount::of(transfer.amount, &outcome.state.currency),
        };
        let transfers = outcome.transfers.into_iter().map(transfer).collect();
        Self { r#match: MatchView::of(outcome.state), transfers }
    }
}

impl AccountView {
    fn of(account: Account) -> Self {
        let kind = match account {
            Account::Player(_) => "player",
            Account::Escrow => "escrow",
            Account::House => "house",
            Account::External => "external",
        };
        let Account::Player(player) = account else { return Self { kind, player_id: None } };
        Self { kind, player_id: Some(player.as_str().to_owned()) }
    }
}

/// As the entries of the ledger call it.
const fn word(kind: TransferKind) -> &'static str {
    match kind {
        TransferKind::Hold => "hold",
        TransferKind::Payout => "payout",
        TransferKind::Refund => "refund",
        TransferKind::Fee => "fee",
        TransferKind::TopUp => "top-up",
        TransferKind::Reversal => "reversal",
    }
}

/// `POST /matches/{source}/{match}/corrections`
pub(crate) async fn correct(
    api: web::Data<Api>,
    actor: Actor,
    path: web::Path<(String, String)>,
    query: Query<MatchQuery>,
    key: IdempotencyKey,
    body: Body<CorrectionBody>,
) -> Result<HttpResponse> {
    let (source, match_id) = path.into_inner();
    let CorrectionBody { end, reason: why, dry_run } = body.0;
    let request = Request {
        source: request::source(&source)?,
        match_id: request::match_id(match_id)?,
        kind: request::kind(query.0.kind.as_deref())?,
        end,
    };
    // As for a look: who asks for a match of an unknown source has likely mistyped it.
    let unknown = api.policy(&request.source).err();
    let failed = move |error| match (error, unknown) {
        (matchpurse_operations::Error::NoMatch, Some(unknown)) => unknown,
        (error, _) => of_operation(error),
    };
    let store = api.store.clone();
    if dry_run {
        let shown = api.run(async move { preview(&store, &request, now()).await.map_err(failed) }).await?;
        return Ok(answer(StatusCode::OK, &PreviewView::of(shown)));
    }
    let author = Author {
        actor: actor.as_str().to_owned(),
        reason: reason(&why)?,
        idempotency_key: key.required()?,
        approvals: api.approvals,
    };
    let proposed =
        api.run(async move { propose(&store, &request, &author, now()).await.map_err(failed) }).await?;
    if !proposed.repeated {
        tell(&proposed.correction, &actor);
    }
    let status = match proposed.correction.state {
        CorrectionState::Proposed => StatusCode::ACCEPTED,
        _ if proposed.repeated => StatusCode::OK,
        _ => StatusCode::CREATED,
    };
    let location = format!("/v1/corrections/{}", proposed.correction.proposal.id);
    Ok(answer_at(status, &location, &CorrectionView::of(proposed.correction)))
}

/// What was decided, and by whom, for the log.
fn tell(correction: &Correction, actor: &Actor) {
    let (id, state) = (correction.proposal.id, correction.state.as_str());
    let (source, match_id) = (correction.key.source.as_str(), correction.key.match_id.as_str());
    tracing::info!(correction = %id, state, actor = actor.as_str(), source, match_id, "correction");
}

pub(crate) async fn list(api: web::Data<Api>, query: Query<ListQuery>) -> Result<HttpResponse> {
    let ListQuery { state, cursor, limit } = query.0;
    let read = |text: &str| {
        CorrectionState::parse(text)
            .ok_or_else(|| Failure::invalid_query("state", "expected proposed, applied or rejected"))
    };
    let state = state.as_deref().map(read).transpose()?;
    let before = request::cursor(List::Corrections, cursor.as_deref(), |place| place.parse::<i64>().ok())?;
    let limit = request::limit(limit.as_deref())?;
    let store = api.store.clone();
    let found = api
        .run(async move {
            let client = store.client().await?;
            Ok(corrections::list(&client, state, before, one_more(limit)).await?)
        })
        .await?;
    let (found, next) = cut(List::Corrections, found, limit, |last| last.position.to_string());
    let items: Vec<CorrectionView> = found.into_iter().map(CorrectionView::of).collect();
    Ok(answer(StatusCode::OK, &Page { items, next }))
}

pub(crate) async fn one(
    api: web::Data<Api>,
    path: web::Path<String>,
    _: Query<NoQuery>,
) -> Result<HttpResponse> {
    let id = request::correction(&path)?;
    let store = api.store.clone();
    let found = api.run(async move { Ok(corrections::find(&store.client().await?, id).await?) }).await?;
    let found = found.ok_or_else(unknown_correction)?;
    Ok(answer_one(&CorrectionView::of(found)))
}

/// `POST /corrections/{id}/approve`
pub(crate) async fn agree(
    api: web::Data<Api>,
    actor: Actor,
    path: web::Path<String>,
) -> Result<HttpResponse> {
    let id = request::correction(&path)?;
    let (store, second) = (api.store.clone(), actor.clone());
    let applied = api
        .run(async move { approve(&store, id, second.as_str(), now()).await.map_err(of_operation) })
        .await?;
    tell(&applied, &actor);
    Ok(answer(StatusCode::OK, &CorrectionView::of(applied)))
}

/// `POST /corrections/{id}/reject`
pub(crate) async fn refuse(
    api: web::Data<Api>,
    actor: Actor,
    path: web::Path<String>,
    body: Body<RejectBody>,
) -> Result<HttpResponse> {
    let id = request::correction(&path)?;
    let why = reason(&body.0.reason)?;
    let (store, second) = (api.store.clone(), actor.clone());
    let rejected =
        api.run(async move { reject(&store, id, second.as_str(), &why).await.map_err(of_operation) }).await?;
    tell(&rejected, &actor);
    Ok(answer(StatusCode::OK, &CorrectionView::of(rejected)))
}
