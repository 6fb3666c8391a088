//! From our words to the wire; it cannot fail.

use matchpurse_domain::event as d;
use matchpurse_domain::ids::PlayerId;
use matchpurse_domain::money;
use matchpurse_domain::time;

use crate::v1;
use crate::v1::match_stats_snapshot as stats;

fn timestamp(at: time::Timestamp) -> pbjson_types::Timestamp {
    let nanos = at.micros().rem_euclid(1_000_000).saturating_mul(1_000);
    pbjson_types::Timestamp { seconds: at.seconds(), nanos: i32::try_from(nanos).unwrap_or(0) }
}

impl From<money::Money> for v1::Money {
    fn from(money: money::Money) -> Self {
        Self { minor_units: money.minor_units, currency: money.currency.as_str().to_owned() }
    }
}

fn player(id: PlayerId) -> String {
    id.as_str().to_owned()
}

impl From<d::Event> for v1::Event {
    fn from(event: d::Event) -> Self {
        let vouched = event.provenance.vouched;
        let which = vouched.and_then(|vouched| vouched.which);
        Self {
            id: event.id.to_string(),
            delivery_id: event.delivery_id.to_string(),
            source: event.source.as_str().to_owned(),
            provider: event.provider,
            provider_type: event.provider_type,
            subject: event.subject,
            occurred_at: event.occurred_at.map(timestamp),
            received_at: Some(timestamp(event.received_at)),
            provenance: Some(v1::Provenance {
                body_authenticated: event.provenance.body_authenticated,
                amount_rounded: event.provenance.amount_rounded,
                method: vouched.map(|vouched| vouched.method.as_str().to_owned()).unwrap_or_default(),
                key_role: vouched.map(|vouched| vouched.key.as_str().to_owned()).unwrap_or_default(),
                key_place: which.map_or(0, |which| which.place.get().into()),
                keys_active: which.map_or(0, |which| which.of.into()),
                key_fingerprint: which
                    .and_then(|which| which.fingerprint)
                    .map(|fingerprint| fingerprint.to_string())
                    .unwrap_or_default(),
            }),
            raw: event.raw,
            payload: Some(event.payload.into()),
        }
    }
}

impl From<d::Payload> for v1::event::Payload {
    fn from(payload: d::Payload) -> Self {
        match payload {
            d::Payload::MatchSnapshot(p) => Self::MatchSnapshot(p.into()),
            d::Payload::ContestOutcome(p) => Self::ContestOutcome(p.into()),
            d::Payload::MatchStatsSnapshot(p) => Self::MatchStatsSnapshot(p.into()),
            d::Payload::PlayerKicked(p) => {
                Self::PlayerKicked(v1::PlayerKicked { match_id: p.match_id, player_id: player(p.player_id) })
            }
            d::Payload::OfferChanged(p) => Self::OfferChanged(p.into()),
            d::Payload::PlayerStanding(p) => Self::PlayerStanding(p.into()),
            d::Payload::RewardPostback(p) => Self::RewardPostback(p.into()),
            d::Payload::CreditConversion(p) => Self::CreditConversion(p.into()),
            d::Payload::PlayerActivity(p) => Self::PlayerActivity(p.into()),
            d::Payload::ProviderFailure(p) => Self::ProviderFailure(v1::ProviderFailure {
                entity_id: p.entity_id,
                code: p.code,
                reason: p.reason,
                request_id: p.request_id,
                attempt: p.attempt,
                will_retry: p.will_retry,
            }),
            d::Payload::Unrecognized(p) => Self::Unrecognized(p.into()),
        }
    }
}

impl From<d::MatchSnapshot> for v1::MatchSnapshot {
    fn from(m: d::MatchSnapshot) -> Self {
        Self {
            match_id: m.match_id,
            kind: v1::MatchKind::from(m.kind).into(),
            status: v1::MatchStatus::from(m.status).into(),
            provider_status: m.provider_status,
            format: m.format.map_or(v1::MatchFormat::Unspecified, Into::into).into(),
            game_id: m.game_id.unwrap_or_default(),
            created_by: m.created_by.map(player).unwrap_or_default(),
            buy_in: m.buy_in.map(Into::into),
            groups: m.groups.into_iter().map(group).collect(),
            winner_group_ids: m.winner_group_ids,
        }
    }
}

fn group(group: d::Group) -> v1::match_snapshot::Group {
    let participant = |p: d::Participant| v1::match_snapshot::Participant {
        player_id: player(p.player_id),
        reward: p.reward.map(Into::into),
    };
    v1::match_snapshot::Group {
        group_id: group.group_id,
        name: group.name.unwrap_or_default(),
        players: group.players.into_iter().map(participant).collect(),
    }
}

impl From<d::MatchKind> for v1::MatchKind {
    fn from(kind: d::MatchKind) -> Self {
        match kind {
            d::MatchKind::Recreational => Self::Recreational,
            d::MatchKind::FreeToPlay => Self::FreeToPlay,
            d::MatchKind::Tournament => Self::Tournament,
            d::MatchKind::Platform => Self::Platform,
        }
    }
}

impl From<d::MatchFormat> for v1::MatchFormat {
    fn from(format: d::MatchFormat) -> Self {
        match format {
            d::MatchFormat::GroupVsGroup => Self::GroupVsGroup,
            d::MatchFormat::FreeForAll => Self::FreeForAll,
        }
    }
}

impl From<d::MatchStatus> for v1::MatchStatus {
    fn from(status: d::MatchStatus) -> Self {
        match status {
            d::MatchStatus::Open => Self::Open,
            d::MatchStatus::Confirmed => Self::Confirmed,
            d::MatchStatus::Locked => Self::Locked,
            d::MatchStatus::PendingOutcomes => Self::PendingOutcomes,
            d::MatchStatus::Dispute => Self::Dispute,
            d::MatchStatus::Closed => Self::Closed,
            d::MatchStatus::ClosedTie => Self::ClosedTie,
            d::MatchStatus::CanceledByOwner => Self::CanceledByOwner,
            d::MatchStatus::CanceledNotAccepted => Self::CanceledNotAccepted,
            d::MatchStatus::CanceledThroughApi => Self::CanceledThroughApi,
            d::MatchStatus::CanceledTimeout => Self::CanceledTimeout,
            d::MatchStatus::CanceledOther => Self::CanceledOther,
            d::MatchStatus::VoidedTimeout => Self::VoidedTimeout,
        }
    }
}

impl From<d::Reward> for v1::Reward {
    fn from(reward: d::Reward) -> Self {
        let kind = match reward.kind {
            d::RewardKind::Cash => v1::reward::Kind::Cash,
            d::RewardKind::Studio => v1::reward::Kind::Studio,
        };
        Self {
            kind: kind.into(),
            amount: reward.amount.map(Into::into),
            value: reward.value,
            reference: reward.reference,
            metadata: reward.metadata,
        }
    }
}

impl From<d::ContestOutcome> for v1::ContestOutcome {
    fn from(contest: d::ContestOutcome) -> Self {
        let outcome = |o: d::PlayerOutcome| v1::contest_outcome::PlayerOutcome {
            player_id: player(o.player_id),
            outcome: match o.outcome {
                d::Outcome::Win => v1::contest_outcome::Outcome::Win,
                d::Outcome::Loss => v1::contest_outcome::Outcome::Loss,
                d::Outcome::Tie => v1::contest_outcome::Outcome::Tie,
            }
            .into(),
            reward: o.reward.map(Into::into),
        };
        Self {
            contest_id: contest.contest_id,
            addressed_to: player(contest.addressed_to),
            outcomes: contest.outcomes.into_iter().map(outcome).collect(),
        }
    }
}

impl From<d::MatchStatsSnapshot> for v1::MatchStatsSnapshot {
    fn from(m: d::MatchStatsSnapshot) -> Self {
        let team = |t: d::TeamScore| Some(stats::TeamScore { name: t.name, score: t.score });
        Self {
            match_id: m.match_id,
            map: m.map,
            team1: team(m.team1),
            team2: team(m.team2),
            rounds_played: m.rounds_played,
            finished: m.finished,
            cancel_reason: m.cancel_reason,
            players: m.players.into_iter().map(player_stats).collect(),
            history: m.history.into_iter().map(history_entry).collect(),
        }
    }
}

fn player_stats(p: d::PlayerStats) -> stats::PlayerStats {
    let side = match p.side {
        d::Side::Team1 => stats::Side::Team1,
        d::Side::Team2 => stats::Side::Team2,
        d::Side::Spectator => stats::Side::Spectator,
    };
    stats::PlayerStats {
        player_id: player(p.player_id),
        side: side.into(),
        nickname: p.nickname,
        connected: p.connected,
        kicked: p.kicked,
        counters: Some(p.counters.into()),
    }
}

fn history_entry(entry: d::HistoryEntry) -> stats::HistoryEntry {
    stats::HistoryEntry {
        index: entry.index,
        name: entry.name,
        at: Some(timestamp(entry.at)),
        player_id: entry.player_id.map(player),
    }
}

impl From<d::Counters> for stats::Counters {
    fn from(d::Counters(c): d::Counters) -> Self {
        let [
            kills,
            assists,
            deaths,
            mvps,
            score,
            double_kills,
            triple_kills,
            quadra_kills,
            penta_kills,
            headshot_kills,
            pistol_kills,
            sniper_kills,
            damage_dealt,
            entry_attempts,
            entry_successes,
            flashes_thrown,
            flashes_successful,
            enemies_flashed,
            utility_thrown,
            utility_damage,
            clutch_attempts,
            clutch_wins,
        ] = c;
        Self {
            kills,
            assists,
            deaths,
            mvps,
            score,
            double_kills,
            triple_kills,
            quadra_kills,
            penta_kills,
            headshot_kills,
            pistol_kills,
            sniper_kills,
            damage_dealt,
            entry_attempts,
            entry_successes,
            flashes_thrown,
            flashes_successful,
            enemies_flashed,
            utility_thrown,
            utility_damage,
            clutch_attempts,
            clutch_wins,
        }
    }
}

impl From<d::OfferChanged> for v1::OfferChanged {
    fn from(offer: d::OfferChanged) -> Self {
        let change = match offer.change {
            d::OfferChange::Removed => v1::offer_changed::Change::Removed,
            d::OfferChange::Created => v1::offer_changed::Change::Created,
            d::OfferChange::Updated => v1::offer_changed::Change::Updated,
        };
        Self {
            offer_id: offer.offer_id,
            change: change.into(),
            changed_at: Some(timestamp(offer.changed_at)),
            app_id: offer.app_id,
            campaign_id: offer.campaign_id,
            data: offer.data,
        }
    }
}

impl From<d::PlayerStanding> for v1::PlayerStanding {
    fn from(p: d::PlayerStanding) -> Self {
        let standing = match p.standing {
            d::Standing::Banned => v1::player_standing::Standing::Banned,
            d::Standing::Good => v1::player_standing::Standing::Good,
        };
        Self {
            player_id: player(p.player_id),
            standing: standing.into(),
            changed_at: Some(timestamp(p.changed_at)),
            reason: p.reason,
        }
    }
}

impl From<d::RewardPostback> for v1::RewardPostback {
    fn from(p: d::RewardPostback) -> Self {
        let kind = match p.kind {
            d::ConversionKind::Reward => v1::reward_postback::Kind::Reward,
            d::ConversionKind::Install => v1::reward_postback::Kind::Install,
            d::ConversionKind::Reversal => v1::reward_postback::Kind::Reversal,
        };
        Self {
            conversion_id: p.conversion_id,
            request_id: p.request_id,
            player_id: player(p.player_id),
            offer_id: p.offer_id,
            goal_id: p.goal_id,
            goal_name: p.goal_name,
            kind: kind.into(),
            amount: p.amount.map(Into::into),
            payout: p.payout.map(Into::into),
        }
    }
}

impl From<d::CreditConversion> for v1::CreditConversion {
    fn from(c: d::CreditConversion) -> Self {
        Self {
            intent_id: c.intent_id,
            player_id: player(c.player_id),
            amount: Some(c.amount.into()),
            converted_amount: c.converted_amount,
            metadata: c.metadata,
            answer: c.answer,
        }
    }
}

impl From<d::PlayerActivity> for v1::PlayerActivity {
    fn from(p: d::PlayerActivity) -> Self {
        use v1::player_activity as wire;
        let activity = match p.activity {
            d::Activity::SignedUp => wire::Activity::SignedUp(wire::SignedUp {}),
            d::Activity::IdentityVerified => wire::Activity::IdentityVerified(wire::IdentityVerified {}),
            d::Activity::FundsDeposited { amount, transaction_id, status } => {
                wire::Activity::FundsDeposited(wire::FundsDeposited {
                    amount: amount.map(Into::into),
                    transaction_id,
                    status,
                })
            }
        };
        Self { player_id: player(p.player_id), activity: Some(activity) }
    }
}

impl From<d::Unrecognized> for v1::Unrecognized {
    fn from(u: d::Unrecognized) -> Self {
        let kind = match u.kind {
            d::UnrecognizedKind::UnknownType => v1::unrecognized::Kind::UnknownType,
            d::UnrecognizedKind::UnknownStatus => v1::unrecognized::Kind::UnknownStatus,
            d::UnrecognizedKind::Inconsistent => v1::unrecognized::Kind::Inconsistent,
            d::UnrecognizedKind::Malformed => v1::unrecognized::Kind::Malformed,
        };
        Self { kind: kind.into(), reason: u.reason }
    }
}
