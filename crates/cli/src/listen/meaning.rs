//! What an event means, in some words.

use matchpurse_domain::event::{
    Activity, ContestOutcome, ConversionKind, Event, MatchSnapshot, MatchStatsSnapshot, Outcome, Payload,
    RewardPostback,
};
use matchpurse_domain::money::Money;

use crate::money::Coins;

/// What it means, on one line.
pub(super) fn of(event: &Event) -> String {
    match &event.payload {
        Payload::MatchSnapshot(snapshot) => match_snapshot(snapshot),
        Payload::ContestOutcome(outcome) => contest(outcome),
        Payload::MatchStatsSnapshot(snapshot) => statistics(snapshot),
        Payload::PlayerKicked(kicked) => format!("player {} is voted out", kicked.player_id),
        Payload::OfferChanged(offer) => format!("offer {} is {}", offer.offer_id, offer.change.as_str()),
        Payload::PlayerStanding(player) => {
            let why = player.reason.as_ref().map_or_else(String::new, |why| format!(": {why}"));
            format!("player {} is in standing {}{why}", player.player_id, player.standing.as_str())
        }
        Payload::RewardPostback(postback) => reward(postback),
        Payload::CreditConversion(wish) => {
            let (player, amount) = (&wish.player_id, shown(&wish.amount));
            format!("player {player} wants {amount} as credit, answered {}", wish.answer)
        }
        Payload::PlayerActivity(activity) => {
            let what = match &activity.activity {
                Activity::SignedUp => "has signed up".to_owned(),
                Activity::IdentityVerified => "is identified".to_owned(),
                Activity::FundsDeposited { amount, .. } => {
                    let amount = amount.as_ref().map_or_else(|| "an amount".to_owned(), shown);
                    format!("has paid in {amount}")
                }
            };
            format!("player {} {what}", activity.player_id)
        }
        Payload::ProviderFailure(failure) => {
            format!("the provider failed: {} {}", failure.code, failure.reason)
        }
        Payload::Unrecognized(why) => format!("not understood, parked: {}", why.reason),
    }
}

fn shown(money: &Money) -> String {
    Coins(None).money(money)
}

fn match_snapshot(snapshot: &MatchSnapshot) -> String {
    let players: usize = snapshot.groups.iter().map(|group| group.players.len()).sum();
    let stake =
        snapshot.buy_in.as_ref().map_or_else(String::new, |stake| format!(", stake {}", shown(stake)));
    let winners = &snapshot.winner_group_ids;
    let won = if winners.is_empty() { String::new() } else { format!(", won by {}", winners.join(", ")) };
    let (kind, status) = (snapshot.kind.as_str(), snapshot.status.as_str());
    format!("{kind} match {status}, {players} players{stake}{won}")
}

fn contest(outcome: &ContestOutcome) -> String {
    let won = outcome.outcomes.iter().filter(|one| one.outcome == Outcome::Win).count();
    let rewards = outcome.outcomes.iter().filter(|one| one.reward.is_some()).count();
    format!("contest ended for {} players: {won} won, {rewards} rewards", outcome.outcomes.len())
}

fn statistics(snapshot: &MatchStatsSnapshot) -> String {
    let score = |score: Option<u32>| score.map_or_else(|| "?".to_owned(), |score| score.to_string());
    let end = match (&snapshot.cancel_reason, snapshot.finished) {
        (Some(why), _) => format!(", called off: {why}"),
        (None, true) => ", final".to_owned(),
        (None, false) => String::new(),
    };
    format!(
        "{} {}:{} after {} rounds, {} players{end}",
        snapshot.map.as_deref().unwrap_or("unknown map"),
        score(snapshot.team1.score),
        score(snapshot.team2.score),
        snapshot.rounds_played,
        snapshot.players.len()
    )
}

fn reward(postback: &RewardPostback) -> String {
    let amount = postback.amount.as_ref().map_or_else(|| "nothing".to_owned(), shown);
    let offer = postback.offer_id.as_ref().map_or_else(String::new, |offer| format!(" on offer {offer}"));
    let player = &postback.player_id;
    match postback.kind {
        ConversionKind::Reward => format!("player {player} earned {amount}{offer}"),
        ConversionKind::Install => format!("player {player} installed{offer}"),
        ConversionKind::Reversal => format!("player {player} loses {amount}{offer} again"),
    }
}
