//! A match's money as a small statement: what each player put in and got out, and that nothing is missing.

use matchpurse_domain::escrow::{MatchState, Seat, SeatState};
use matchpurse_domain::event::Outcome;
use matchpurse_domain::ids::PlayerId;

use crate::api::Api;
use crate::console::{Chip, Money, Tone};

/// Minor units of one currency throughout.
pub(in crate::console) struct Statement {
    /// By their sides.
    pub(in crate::console) teams: Vec<Team>,
    pub(in crate::console) pot: Money,
    pub(in crate::console) paid: Money,
    pub(in crate::console) refunded: Money,
    pub(in crate::console) fee: Money,
    pub(in crate::console) in_escrow: Money,
    /// Whether the sums of the players are the match's own, and all that came in is somewhere.
    pub(in crate::console) adds_up: Chip,
    /// False where no money is staked.
    pub(in crate::console) has_money: bool,
}

pub(in crate::console) struct Team {
    pub(in crate::console) name: String,
    pub(in crate::console) players: Vec<Player>,
}

pub(in crate::console) struct Player {
    pub(in crate::console) player_id: String,
    pub(in crate::console) path: String,
    pub(in crate::console) state: Chip,
    pub(in crate::console) hold: Money,
    pub(in crate::console) payout: Money,
    pub(in crate::console) refund: Money,
    /// What the player has more than before, once it has ended.
    pub(in crate::console) net: Option<Money>,
}

impl Statement {
    pub(in crate::console) fn of(api: &Api, state: &MatchState) -> Self {
        let money = |minor_units| Money::new(api, minor_units, state.currency.as_str());
        let mut teams: Vec<Team> = Vec::new();
        for (player, seat) in &state.seats {
            let shown = Player::of(state, player, seat, &money);
            match teams.iter_mut().find(|team| team.name == seat.group_id) {
                Some(team) => team.players.push(shown),
                None => teams.push(Team { name: seat.group_id.clone(), players: vec![shown] }),
            }
        }
        teams.sort_by(|one, other| one.name.cmp(&other.name));
        let sum =
            |of: fn(&Seat) -> i64| state.seats.values().fold(0_i64, |sum, seat| sum.saturating_add(of(seat)));
        let gone = state.paid.saturating_add(state.refunded).saturating_add(state.fee);
        let adds_up = sum(|seat| seat.hold) == state.pot
            && sum(|seat| seat.payout) == state.paid
            && sum(|seat| seat.refund) == state.refunded
            && gone.saturating_add(state.escrowed()) == state.pot;
        Self {
            teams,
            pot: money(state.pot),
            paid: money(state.paid),
            refunded: money(state.refunded),
            fee: money(state.fee),
            in_escrow: money(state.escrowed()),
            adds_up: if adds_up {
                Chip::new(Tone::Good, "adds up")
            } else {
                Chip::new(Tone::Bad, "does not add up")
            },
            has_money: state.pot != 0 || state.buy_in.is_some_and(|stake| stake > 0),
        }
    }
}

impl Player {
    fn of(state: &MatchState, player: &PlayerId, seat: &Seat, money: &impl Fn(i64) -> Money) -> Self {
        let chip = match (seat.state, seat.outcome) {
            (_, Some(Outcome::Win)) => Chip::new(Tone::Good, "won"),
            (_, Some(Outcome::Loss)) => Chip::new(Tone::Quiet, "lost"),
            (_, Some(Outcome::Tie)) => Chip::new(Tone::Quiet, "tie"),
            (SeatState::Joined, None) => Chip::new(Tone::Quiet, "joined"),
            (SeatState::Held, None) => Chip::new(Tone::Busy, "stake held"),
            (SeatState::Settled, None) => Chip::new(Tone::Good, "settled"),
            (SeatState::Refunded, None) => Chip::new(Tone::Quiet, "refunded"),
        };
        let ended = state.settlement.is_some();
        let net = seat.payout.saturating_add(seat.refund).saturating_sub(seat.hold);
        Self {
            player_id: player.as_str().to_owned(),
            path: format!(
                "/console/players/{}/{}",
                crate::console::encoded(state.source.as_str()),
                crate::console::encoded(player.as_str())
            ),
            state: chip,
            hold: money(seat.hold),
            payout: money(seat.payout),
            refund: money(seat.refund),
            net: ended.then(|| money(net)),
        }
    }
}
