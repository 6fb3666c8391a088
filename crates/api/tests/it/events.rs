//! What providers tell in these tests.

use matchpurse_domain::event::{
    Event, Group, MatchKind, MatchSnapshot, MatchStatus, Participant, Payload, Reward, RewardKind,
};
use matchpurse_domain::money::{Currency, Money};

/// A snapshot of match `m1` between a and b with a stake of 10.00; with a winner, the provider says that it paid 18.00.
pub(crate) fn snapshot(source: &str, status: MatchStatus, winner: Option<&str>) -> Event {
    of_kind(MatchKind::Recreational, source, status, winner)
}

/// The same of another kind.
pub(crate) fn of_kind(kind: MatchKind, source: &str, status: MatchStatus, winner: Option<&str>) -> Event {
    let usd = |minor_units| Money::new(minor_units, Currency::new("USD", None).unwrap().code);
    let reward = Reward {
        kind: RewardKind::Cash,
        amount: Some(usd(1800)),
        value: None,
        reference: None,
        metadata: None,
    };
    let group = |group_id: &str, player: &str| Group {
        group_id: group_id.to_owned(),
        name: None,
        players: vec![Participant {
            player_id: player.into(),
            reward: (winner == Some(group_id)).then(|| reward.clone()),
        }],
    };
    let payload = Payload::MatchSnapshot(MatchSnapshot {
        match_id: "m1".to_owned(),
        kind,
        status,
        provider_status: status.as_str().to_owned(),
        format: None,
        game_id: None,
        created_by: None,
        buy_in: Some(usd(1000)),
        groups: vec![group("g1", "a"), group("g2", "b")],
        winner_group_ids: winner.into_iter().map(str::to_owned).collect(),
    });
    let mut event = matchpurse_testkit::event(source, true, payload);
    event.subject = "m1".to_owned();
    event
}
