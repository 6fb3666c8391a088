//! `matchpurse correct` and `matchpurse corrections`: ends of matches, set by a person.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};
use matchpurse_domain::escrow::{Account, Outcome, Transfer, TransferKind};
use matchpurse_domain::event::MatchKind;
use matchpurse_domain::ids::{EventId, SourceName};
use matchpurse_domain::money::{format_major, parse_major};
use matchpurse_operations::corrections::{Author, Request, approve, preview, propose, reject};
use matchpurse_operations::{End, Figure};
use matchpurse_settings::Settings;
use matchpurse_store::corrections::{self, Correction, CorrectionState};
use matchpurse_store::{Store, now, story};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::author::{AuthorArgs, said};
use crate::config::DatabaseArgs;
use crate::exit::{Ending, usage};
use crate::moment::stamp;
use crate::money::{Coins, amount as amount_json};
use crate::out::Out;
use crate::say;

/// The most corrections that a list shows.
const LISTED_MAX: u32 = 100;

/// Set the end of a match that nobody told, or set another end than the one that the ledger has
#[derive(Debug, clap::Args)]
pub(crate) struct CorrectArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    /// The source's name
    source: String,
    /// The provider's id of the match
    match_id: String,
    /// The match's kind, where several have this id: recreational, platform
    #[arg(long, value_parser = kind)]
    kind: Option<MatchKind>,
    #[command(flatten)]
    end: EndArgs,
    /// Show what would move, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Who you are; it is recorded
    #[arg(long, required_unless_present = "dry_run")]
    actor: Option<String>,
    /// Why; it is recorded
    #[arg(long, required_unless_present = "dry_run")]
    reason: Option<String>,
    /// Makes a repeat of this command harmless; without it the command is another correction each time
    #[arg(long)]
    key: Option<String>,
}

/// How the match ended.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct EndArgs {
    /// Every stake goes back
    #[arg(long)]
    refund: bool,
    /// A tie; the match's tie policy decides
    #[arg(long)]
    tie: bool,
    /// The groups whose players won and divide the prize
    #[arg(long, value_name = "GROUP", value_delimiter = ',')]
    winners: Vec<String>,
    /// Who gets how much, in the currency's units (ann=18.00); what is left of the pot is the fee
    #[arg(long, value_name = "PLAYER=AMOUNT", value_delimiter = ',')]
    payouts: Vec<String>,
    /// As this archived event of the provider says; `matchpurse explain` shows the events
    #[arg(long, value_name = "ID")]
    event: Option<Uuid>,
}

fn kind(text: &str) -> Result<MatchKind, String> {
    MatchKind::parse(text).ok_or_else(|| "no kind of match".to_owned())
}

/// Makes the correction, or shows it.
pub(crate) async fn run(args: CorrectArgs, out: Out) -> Result<Ending> {
    let source = SourceName::parse(&args.source)?;
    let (store, settings) = args.database.open().await?;
    let exponent = exponent(&store, settings.as_ref(), &source, &args.match_id).await?;
    let request = Request { source, match_id: args.match_id, kind: args.kind, end: args.end.end(exponent)? };
    if args.dry_run {
        let preview = preview(&store, &request, now()).await?;
        let outcome = &preview.outcome;
        out.thing(|| outcome_json(outcome), || outcome_text(outcome, exponent));
        say("nothing was written");
        return Ok(Ending::Done);
    }
    // Taken for one where it is not known, a second person could be done without by leaving it out.
    let settings = settings.ok_or_else(|| {
        usage("how many persons a correction needs is in the configuration; give it by --config as well")
    })?;
    let approvals = settings.operations.correction_approvals;
    let key = args.key.unwrap_or_else(|| format!("command line, {}", now().micros()));
    let (actor, reason) = said(&args.actor.unwrap_or_default(), &args.reason.unwrap_or_default())?;
    let author = Author { actor, reason, idempotency_key: key, approvals: approvals.into() };
    let correction = propose(&store, &request, &author, now()).await?.correction;
    out.thing(|| correction_json(&correction), || correction_text(&correction));
    if correction.state == CorrectionState::Proposed {
        let id = correction.proposal.id;
        say(&format!("it waits for a second person: matchpurse corrections approve {id} --actor NAME"));
    }
    Ok(Ending::Done)
}

/// The decimal places of the match's currency; the configuration knows those of a studio's own coin.
async fn exponent(
    store: &Store,
    settings: Option<&Settings>,
    source: &SourceName,
    match_id: &str,
) -> Result<Option<u8>> {
    let client = store.client().await?;
    let figures = story::of_match(&client, source, match_id).await?;
    // Matches of one id and several kinds may be in several currencies, and the source may have another one by now.
    let Some(currency) = figures.first().map(|figures| figures.currency.as_str()) else { return Ok(None) };
    if figures.iter().any(|figures| figures.currency != currency) {
        return Ok(None);
    }
    Ok(Coins(settings).exponent(currency))
}

impl EndArgs {
    fn end(self, exponent: Option<u8>) -> Result<End> {
        Ok(if self.refund {
            End::Refund {}
        } else if self.tie {
            End::Tie {}
        } else if let Some(event_id) = self.event {
            End::Event { event_id }
        } else if self.winners.is_empty() {
            let exponent = exponent.context(
                "the decimal places of the match's currency are not known here; give the configuration by --config",
            )?;
            End::Payouts { payouts: figures(&self.payouts, exponent)? }
        } else {
            End::Winners { groups: self.winners }
        })
    }
}

/// `ann=18.00` as minor units.
fn figures(texts: &[String], exponent: u8) -> Result<Vec<Figure>> {
    let mut seen = BTreeMap::new();
    for text in texts {
        let (player, amount) =
            text.rsplit_once('=').with_context(|| format!("{text:?} is not PLAYER=AMOUNT"))?;
        let parsed = parse_major(amount, exponent)?;
        ensure!(!parsed.rounded, "{amount:?} is no exact amount");
        if seen.insert(player.to_owned(), parsed.minor_units).is_some() {
            bail!("{player} is named twice");
        }
    }
    Ok(seen.into_iter().map(|(player_id, minor_units)| Figure { player_id, minor_units }).collect())
}

/// What would move, and the match as it would be.
fn outcome_text(outcome: &Outcome, exponent: Option<u8>) -> String {
    let state = &outcome.state;
    let shown = |amount| format!("{} {}", format_major(amount, exponent.unwrap_or(0)), state.currency);
    let transfer = |transfer: &Transfer| {
        let Transfer { debit, credit, amount, .. } = transfer;
        format!("  {:8} {} from {} to {}\n", word(transfer), shown(*amount), name(debit), name(credit))
    };
    let transfers: String = outcome.transfers.iter().map(transfer).collect();
    format!(
        "{transfers}{}, generation {}: pot {}, paid {}, back {}, fee {}",
        state.status.as_str(),
        state.generation,
        shown(state.pot),
        shown(state.paid),
        shown(state.refunded),
        shown(state.fee)
    )
}

fn outcome_json(outcome: &Outcome) -> Value {
    let state = &outcome.state;
    let amount = |minor| amount_json(minor, state.currency.as_str());
    let transfer = |transfer: &Transfer| {
        let Transfer { debit, credit, .. } = transfer;
        json!({ "kind": word(transfer), "amount": amount(transfer.amount), "from": name(debit), "to": name(credit) })
    };
    json!({
        "transfers": outcome.transfers.iter().map(transfer).collect::<Vec<_>>(),
        "status": state.status.as_str(),
        "generation": state.generation,
        "pot": amount(state.pot),
        "paid": amount(state.paid),
        "refunded": amount(state.refunded),
        "fee": amount(state.fee),
    })
}

const fn word(transfer: &Transfer) -> &'static str {
    match transfer.kind {
        TransferKind::Hold => "hold",
        TransferKind::Payout => "payout",
        TransferKind::Refund => "refund",
        TransferKind::Fee => "fee",
        TransferKind::TopUp => "top-up",
        TransferKind::Reversal => "reversal",
    }
}

fn name(account: &Account) -> String {
    match account {
        Account::Player(player) => format!("player {player}"),
        Account::Escrow => "escrow".to_owned(),
        Account::House => "the house".to_owned(),
        Account::External => "the provider".to_owned(),
    }
}

fn correction_text(correction: &Correction) -> String {
    let Correction { proposal, key, state, decided, decision_reason, .. } = correction;
    let decided =
        decided.as_ref().filter(|_| proposal.approvals == 2 || decision_reason.is_some()).map(|(by, _)| {
            let why = decision_reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
            format!("\n  {} by {by}{why}", state.as_str())
        });
    format!(
        "{} {}: {}/{}, generation {}, {}\n  proposed by {}: {}{}",
        proposal.id,
        state.as_str(),
        key.source,
        key.match_id,
        proposal.generation,
        proposal.verdict,
        proposal.proposed_by,
        proposal.reason,
        decided.unwrap_or_default()
    )
}

fn correction_json(correction: &Correction) -> Value {
    let Correction { proposal, key, state, decided, decision_reason, proposed_at, .. } = correction;
    json!({
        "id": proposal.id.to_string(),
        "state": state.as_str(),
        "source": key.source.as_str(),
        "match": key.match_id,
        "generation": proposal.generation,
        "verdict": proposal.verdict,
        "reason": proposal.reason,
        "approvals": proposal.approvals,
        "proposed_by": proposal.proposed_by,
        "proposed_at": stamp(*proposed_at),
        "decided_by": decided.as_ref().map(|(by, _)| by),
        "decided_at": decided.as_ref().map(|(_, at)| stamp(*at)),
        "decision_reason": decision_reason,
    })
}

/// See corrections, and decide about those that wait for a second person
#[derive(Debug, clap::Args)]
pub(crate) struct CorrectionsArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show the newest
    List {
        #[command(flatten)]
        database: DatabaseArgs,
        /// Only those that wait for a second person
        #[arg(long)]
        open: bool,
    },
    /// Apply a correction that somebody else proposed
    Approve {
        #[command(flatten)]
        database: DatabaseArgs,
        /// The correction's id
        id: Uuid,
        /// Who you are; it is recorded
        #[arg(long)]
        actor: String,
    },
    /// Decide against a correction
    Reject {
        #[command(flatten)]
        database: DatabaseArgs,
        /// The correction's id
        id: Uuid,
        #[command(flatten)]
        author: AuthorArgs,
    },
}

/// Shows or decides.
pub(crate) async fn manage(args: CorrectionsArgs, out: Out) -> Result<Ending> {
    let decided = match args.action {
        Action::List { database, open } => {
            let store = database.connect().await?;
            let state = open.then_some(CorrectionState::Proposed);
            let found = corrections::list(&store.client().await?, state, None, LISTED_MAX).await?;
            out.blocks(&found, correction_json, correction_text);
            return Ok(Ending::Done);
        }
        Action::Approve { database, id, actor } => {
            let store = database.connect().await?;
            approve(&store, EventId::from_uuid(id), &actor, now()).await?
        }
        Action::Reject { database, id, author } => {
            let (actor, reason) = author.said()?;
            let store = database.connect().await?;
            reject(&store, EventId::from_uuid(id), &actor, &reason).await?
        }
    };
    out.thing(|| correction_json(&decided), || correction_text(&decided));
    Ok(Ending::Done)
}
