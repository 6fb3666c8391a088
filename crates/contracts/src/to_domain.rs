//! From the wire to our words. What an older or newer writer left out or added, and we cannot do without,
//! is an error that names the field; the event is parked, never guessed at.

use std::num::NonZeroU16;

use matchpurse_domain::event as d;
use matchpurse_domain::ids::{EventId, PlayerId, SourceName};
use matchpurse_domain::money::{CurrencyCode, Money};
use matchpurse_domain::time::Timestamp;

use crate::v1;
use crate::v1::match_stats_snapshot as stats;

/// A field of an event that we cannot take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} is missing or has a value that this version does not know")]
pub struct ConvertError {
    /// The field's name in the schema.
    pub field: &'static str,
}

type Result<T> = std::result::Result<T, ConvertError>;

const fn bad(field: &'static str) -> ConvertError {
    ConvertError { field }
}

fn timestamp(at: &pbjson_types::Timestamp) -> Timestamp {
    let micros = at.seconds.saturating_mul(1_000_000).saturating_add(i64::from(at.nanos / 1_000));
    Timestamp::from_micros(micros)
}

fn money(m: v1::Money, field: &'static str) -> Result<Money> {
    Ok(Money::new(m.minor_units, CurrencyCode::parse(&m.currency).map_err(|_| bad(field))?))
}

fn optional_money(m: Option<v1::Money>, field: &'static str) -> Result<Option<Money>> {
    m.map(|m| money(m, field)).transpose()
}

fn non_empty(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

fn player(text: String, field: &'static str) -> Result<PlayerId> {
    non_empty(text).map(PlayerId::new).ok_or(bad(field))
}

fn required(text: String, field: &'static str) -> Result<String> {
    non_empty(text).ok_or(bad(field))
}

/// None where it was not noted, or where this version does not know it: then the delivery is not read once more.
fn vouched(provenance: &v1::Provenance) -> Option<d::Vouched> {
    let method = d::Method::parse(&provenance.method)?;
    Some(d::Vouched { method, key: d::KeyRole::parse(&provenance.key_role)?, which: which_key(provenance) })
}

/// None where it was not noted, or makes no sense: which key it was decides nothing.
fn which_key(provenance: &v1::Provenance) -> Option<d::WhichKey> {
    let place = u16::try_from(provenance.key_place).ok().and_then(NonZeroU16::new)?;
    let of = u16::try_from(provenance.keys_active).ok().filter(|of| *of >= place.get())?;
    Some(d::WhichKey { place, of, fingerprint: d::KeyFingerprint::parse(&provenance.key_fingerprint) })
}

impl TryFrom<v1::Event> for d::Event {
    type Error = ConvertError;

    fn try_from(event: v1::Event) -> Result<Self> {
        let id = |text: &str, field| text.parse().map(EventId::from_uuid).map_err(|_| bad(field));
        let provenance = event.provenance.unwrap_or_default();
        Ok(Self {
            id: id(&event.id, "id")?,
            delivery_id: id(&event.delivery_id, "delivery_id")?,
            source: SourceName::parse(&event.source).map_err(|_| bad("source"))?,
            provider: required(event.provider, "provider")?,
            provider_type: event.provider_type,
            subject: event.subject,
            occurred_at: event.occurred_at.as_ref().map(timestamp),
            received_at: event.received_at.as_ref().map(timestamp).ok_or(bad("received_at"))?,
            provenance: d::Provenance {
                body_authenticated: provenance.body_authenticated,
                amount_rounded: provenance.amount_rounded,
                vouched: vouched(&provenance),
            },
            raw: event.raw,
            payload: event.payload.ok_or(bad("payload"))?.try_into()?,
        })
    }
}

impl TryFrom<v1::event::Payload> for d::Payload {
    type Error = ConvertError;

    fn try_from(payload: v1::event::Payload) -> Result<Self> {
        use v1::event::Payload as P;
        Ok(match payload {
            P::MatchSnapshot(p) => Self::MatchSnapshot(p.try_into()?),
            P::ContestOutcome(p) => Self::ContestOutcome(p.try_into()?),
            P::MatchStatsSnapshot(p) => Self::MatchStatsSnapshot(p.try_into()?),
            P::PlayerKicked(p) => Self::PlayerKicked(d::PlayerKicked {
                match_id: required(p.match_id, "player_kicked.match_id")?,
                player_id: player(p.player_id, "player_kicked.player_id")?,
            }),
            P::OfferChanged(p) => Self::OfferChanged(p.try_into()?),
            P::PlayerStanding(p) => Self::PlayerStanding(p.try_into()?),
            P::RewardPostback(p) => Self::RewardPostback(p.try_into()?),
            P::CreditConversion(p) => Self::CreditConversion(d::CreditConversion {
                intent_id: required(p.intent_id, "credit_conversion.intent_id")?,
                player_id: player(p.player_id, "credit_conversion.player_id")?,
                amount: optional_money(p.amount, "credit_conversion.amount")?
                    .ok_or(bad("credit_conversion.amount"))?,
                converted_amount: p.converted_amount,
                metadata: p.metadata,
                answer: required(p.answer, "credit_conversion.answer")?,
            }),
            P::PlayerActivity(p) => Self::PlayerActivity(p.try_into()?),
            P::ProviderFailure(p) => Self::ProviderFailure(d::ProviderFailure {
                entity_id: p.entity_id,
                code: p.code,
                reason: p.reason,
                request_id: p.request_id,
                attempt: p.attempt,
                will_retry: p.will_retry,
            }),
            P::Unrecognized(p) => Self::Unrecognized(p.try_into()?),
        })
    }
}

impl TryFrom<v1::MatchSnapshot> for d::MatchSnapshot {
    type Error = ConvertError;

    fn try_from(m: v1::MatchSnapshot) -> Result<Self> {
        Ok(Self {
            kind: match m.kind() {
                v1::MatchKind::Unspecified => return Err(bad("match_snapshot.kind")),
                v1::MatchKind::Recreational => d::MatchKind::Recreational,
                v1::MatchKind::FreeToPlay => d::MatchKind::FreeToPlay,
                v1::MatchKind::Tournament => d::MatchKind::Tournament,
                v1::MatchKind::Platform => d::MatchKind::Platform,
            },
            status: status(m.status())?,
            format: match m.format() {
                v1::MatchFormat::Unspecified => None,
                v1::MatchFormat::GroupVsGroup => Some(d::MatchFormat::GroupVsGroup),
                v1::MatchFormat::FreeForAll => Some(d::MatchFormat::FreeForAll),
            },
            match_id: required(m.match_id, "match_snapshot.match_id")?,
            provider_status: m.provider_status,
            game_id: non_empty(m.game_id),
            created_by: non_empty(m.created_by).map(PlayerId::new),
            buy_in: optional_money(m.buy_in, "match_snapshot.buy_in")?,
            groups: m.groups.into_iter().map(group).collect::<Result<_>>()?,
            winner_group_ids: m.winner_group_ids,
        })
    }
}

fn status(status: v1::MatchStatus) -> Result<d::MatchStatus> {
    Ok(match status {
        v1::MatchStatus::Unspecified => return Err(bad("match_snapshot.status")),
        v1::MatchStatus::Open => d::MatchStatus::Open,
        v1::MatchStatus::Confirmed => d::MatchStatus::Confirmed,
        v1::MatchStatus::Locked => d::MatchStatus::Locked,
        v1::MatchStatus::PendingOutcomes => d::MatchStatus::PendingOutcomes,
        v1::MatchStatus::Dispute => d::MatchStatus::Dispute,
        v1::MatchStatus::Closed => d::MatchStatus::Closed,
        v1::MatchStatus::ClosedTie => d::MatchStatus::ClosedTie,
        v1::MatchStatus::CanceledByOwner => d::MatchStatus::CanceledByOwner,
        v1::MatchStatus::CanceledNotAccepted => d::MatchStatus::CanceledNotAccepted,
        v1::MatchStatus::CanceledThroughApi => d::MatchStatus::CanceledThroughApi,
        v1::MatchStatus::CanceledTimeout => d::MatchStatus::CanceledTimeout,
        v1::MatchStatus::CanceledOther => d::MatchStatus::CanceledOther,
        v1::MatchStatus::VoidedTimeout => d::MatchStatus::VoidedTimeout,
    })
}

fn group(group: v1::match_snapshot::Group) -> Result<d::Group> {
    let participant = |p: v1::match_snapshot::Participant| {
        Ok(d::Participant {
            player_id: player(p.player_id, "match_snapshot.groups.players.player_id")?,
            reward: p.reward.map(TryInto::try_into).transpose()?,
        })
    };
    Ok(d::Group {
        group_id: group.group_id,
        name: non_empty(group.name),
        players: group.players.into_iter().map(participant).collect::<Result<_>>()?,
    })
}

impl TryFrom<v1::Reward> for d::Reward {
    type Error = ConvertError;

    fn try_from(reward: v1::Reward) -> Result<Self> {
        Ok(Self {
            kind: match reward.kind() {
                v1::reward::Kind::Unspecified => return Err(bad("reward.kind")),
                v1::reward::Kind::Cash => d::RewardKind::Cash,
                v1::reward::Kind::Studio => d::RewardKind::Studio,
            },
            amount: optional_money(reward.amount, "reward.amount")?,
            value: reward.value,
            reference: reward.reference,
            metadata: reward.metadata,
        })
    }
}

impl TryFrom<v1::ContestOutcome> for d::ContestOutcome {
    type Error = ConvertError;

    fn try_from(contest: v1::ContestOutcome) -> Result<Self> {
        use v1::contest_outcome::Outcome as O;
        let outcome = |o: v1::contest_outcome::PlayerOutcome| {
            Ok(d::PlayerOutcome {
                outcome: match o.outcome() {
                    O::Unspecified => return Err(bad("contest_outcome.outcomes.outcome")),
                    O::Win => d::Outcome::Win,
                    O::Loss => d::Outcome::Loss,
                    O::Tie => d::Outcome::Tie,
                },
                player_id: player(o.player_id, "contest_outcome.outcomes.player_id")?,
                reward: o.reward.map(TryInto::try_into).transpose()?,
            })
        };
        Ok(Self {
            contest_id: required(contest.contest_id, "contest_outcome.contest_id")?,
            addressed_to: player(contest.addressed_to, "contest_outcome.addressed_to")?,
            outcomes: contest.outcomes.into_iter().map(outcome).collect::<Result<_>>()?,
        })
    }
}

impl TryFrom<v1::MatchStatsSnapshot> for d::MatchStatsSnapshot {
    type Error = ConvertError;

    fn try_from(m: v1::MatchStatsSnapshot) -> Result<Self> {
        let team = |t: Option<stats::TeamScore>| {
            let t = t.unwrap_or_default();
            d::TeamScore { name: t.name, score: t.score }
        };
        Ok(Self {
            match_id: required(m.match_id, "match_stats_snapshot.match_id")?,
            map: m.map,
            team1: team(m.team1),
            team2: team(m.team2),
            rounds_played: m.rounds_played,
            finished: m.finished,
            cancel_reason: m.cancel_reason,
            players: m.players.into_iter().map(player_stats).collect::<Result<_>>()?,
            history: m.history.into_iter().map(history_entry).collect::<Result<_>>()?,
        })
    }
}

fn player_stats(p: stats::PlayerStats) -> Result<d::PlayerStats> {
    Ok(d::PlayerStats {
        side: match p.side() {
            stats::Side::Unspecified => return Err(bad("match_stats_snapshot.players.side")),
            stats::Side::Team1 => d::Side::Team1,
            stats::Side::Team2 => d::Side::Team2,
            stats::Side::Spectator => d::Side::Spectator,
        },
        player_id: player(p.player_id, "match_stats_snapshot.players.player_id")?,
        nickname: p.nickname,
        connected: p.connected,
        kicked: p.kicked,
        counters: p.counters.map(counters).ok_or(bad("match_stats_snapshot.players.counters"))?,
    })
}

fn counters(c: stats::Counters) -> d::Counters {
    d::Counters([
        c.kills,
        c.assists,
        c.deaths,
        c.mvps,
        c.score,
        c.double_kills,
        c.triple_kills,
        c.quadra_kills,
        c.penta_kills,
        c.headshot_kills,
        c.pistol_kills,
        c.sniper_kills,
        c.damage_dealt,
        c.entry_attempts,
        c.entry_successes,
        c.flashes_thrown,
        c.flashes_successful,
        c.enemies_flashed,
        c.utility_thrown,
        c.utility_damage,
        c.clutch_attempts,
        c.clutch_wins,
    ])
}

fn history_entry(entry: stats::HistoryEntry) -> Result<d::HistoryEntry> {
    Ok(d::HistoryEntry {
        index: entry.index,
        name: entry.name,
        at: entry.at.as_ref().map(timestamp).ok_or(bad("match_stats_snapshot.history.at"))?,
        player_id: entry.player_id.map(PlayerId::new),
    })
}

impl TryFrom<v1::OfferChanged> for d::OfferChanged {
    type Error = ConvertError;

    fn try_from(offer: v1::OfferChanged) -> Result<Self> {
        Ok(Self {
            change: match offer.change() {
                v1::offer_changed::Change::Unspecified => return Err(bad("offer_changed.change")),
                v1::offer_changed::Change::Removed => d::OfferChange::Removed,
                v1::offer_changed::Change::Created => d::OfferChange::Created,
                v1::offer_changed::Change::Updated => d::OfferChange::Updated,
            },
            offer_id: required(offer.offer_id, "offer_changed.offer_id")?,
            changed_at: offer.changed_at.as_ref().map(timestamp).ok_or(bad("offer_changed.changed_at"))?,
            app_id: offer.app_id,
            campaign_id: offer.campaign_id,
            data: offer.data,
        })
    }
}

impl TryFrom<v1::PlayerStanding> for d::PlayerStanding {
    type Error = ConvertError;

    fn try_from(p: v1::PlayerStanding) -> Result<Self> {
        Ok(Self {
            standing: match p.standing() {
                v1::player_standing::Standing::Unspecified => return Err(bad("player_standing.standing")),
                v1::player_standing::Standing::Banned => d::Standing::Banned,
                v1::player_standing::Standing::Good => d::Standing::Good,
            },
            player_id: player(p.player_id, "player_standing.player_id")?,
            changed_at: p.changed_at.as_ref().map(timestamp).ok_or(bad("player_standing.changed_at"))?,
            reason: p.reason,
        })
    }
}

impl TryFrom<v1::RewardPostback> for d::RewardPostback {
    type Error = ConvertError;

    fn try_from(p: v1::RewardPostback) -> Result<Self> {
        Ok(Self {
            kind: match p.kind() {
                v1::reward_postback::Kind::Unspecified => return Err(bad("reward_postback.kind")),
                v1::reward_postback::Kind::Reward => d::ConversionKind::Reward,
                v1::reward_postback::Kind::Install => d::ConversionKind::Install,
                v1::reward_postback::Kind::Reversal => d::ConversionKind::Reversal,
            },
            conversion_id: required(p.conversion_id, "reward_postback.conversion_id")?,
            request_id: p.request_id,
            player_id: player(p.player_id, "reward_postback.player_id")?,
            offer_id: p.offer_id,
            goal_id: p.goal_id,
            goal_name: p.goal_name,
            amount: optional_money(p.amount, "reward_postback.amount")?,
            payout: optional_money(p.payout, "reward_postback.payout")?,
        })
    }
}

impl TryFrom<v1::PlayerActivity> for d::PlayerActivity {
    type Error = ConvertError;

    fn try_from(p: v1::PlayerActivity) -> Result<Self> {
        use v1::player_activity::Activity as A;
        let activity = match p.activity.ok_or(bad("player_activity.activity"))? {
            A::SignedUp(_) => d::Activity::SignedUp,
            A::IdentityVerified(_) => d::Activity::IdentityVerified,
            A::FundsDeposited(f) => d::Activity::FundsDeposited {
                amount: optional_money(f.amount, "player_activity.funds_deposited.amount")?,
                transaction_id: f.transaction_id,
                status: f.status,
            },
        };
        Ok(Self { player_id: player(p.player_id, "player_activity.player_id")?, activity })
    }
}

impl TryFrom<v1::Unrecognized> for d::Unrecognized {
    type Error = ConvertError;

    fn try_from(u: v1::Unrecognized) -> Result<Self> {
        let kind = match u.kind() {
            v1::unrecognized::Kind::Unspecified => return Err(bad("unrecognized.kind")),
            v1::unrecognized::Kind::UnknownType => d::UnrecognizedKind::UnknownType,
            v1::unrecognized::Kind::UnknownStatus => d::UnrecognizedKind::UnknownStatus,
            v1::unrecognized::Kind::Inconsistent => d::UnrecognizedKind::Inconsistent,
            v1::unrecognized::Kind::Malformed => d::UnrecognizedKind::Malformed,
        };
        Ok(Self { kind, reason: u.reason })
    }
}
