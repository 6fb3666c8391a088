//! A database with two sources: `ours`, whose stakes the studio holds, and `theirs`, whose provider does.

use std::collections::BTreeMap;

use anyhow::Result;
use matchpurse_domain::event::{
    Event, Group, MatchKind, MatchSnapshot, MatchStatus, Participant, Payload, Reward, RewardKind,
};
use matchpurse_domain::ids::{EventId, SourceName};
use matchpurse_domain::money::{Currency, CurrencyCode, Money};
use matchpurse_domain::source::SourcePolicy;
use matchpurse_domain::time::Timestamp;
use matchpurse_match_escrow::MatchEscrow;
use matchpurse_operations::funds::{Direction, Moved, Movement, move_funds};
use matchpurse_operations::{Error, corrections, deadlines};
use matchpurse_settings::Settings;
use matchpurse_store::{Store, archive, audit, inbox};
use matchpurse_testkit::Database;
use matchpurse_worker_kit::Effects as _;

const SETTINGS: &str = r#"
    [database]
    url = "postgres://nobody@127.0.0.1/none"
    [sources.ours]
    provider = "any"
    currency = "USD"
    custody = "studio"
    fee_bps = 1000
    hold_deadline_hours = 1
    [sources.theirs]
    provider = "any"
    currency = "USD"
    custody = "provider"
    fee_bps = 1000
    hold_deadline_hours = 1
    [sources.asked]
    provider = "any"
    currency = "USD"
    custody = "provider"
    hold_deadline_hours = 1
    on_deadline = "arbitrate"
"#;

/// Whose inbox says what was applied.
const WORKER: &str = "match-escrow";

/// When everything happens that has no other time; events of the testkit are received then.
pub(crate) const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);

pub(crate) struct Ground {
    pub(crate) database: Database,
    pub(crate) store: Store,
    settings: Settings,
    effects: MatchEscrow,
}

impl Ground {
    pub(crate) async fn new() -> Result<Self> {
        let database = Database::create().await?;
        let store = database.store().await?;
        let settings = Settings::parse_str(SETTINGS)?;
        Ok(Self { database, store, effects: MatchEscrow::new(&settings), settings })
    }

    /// From now on the studio holds the source's stakes.
    pub(crate) fn take_custody_of(&mut self, source: &str) {
        let theirs =
            format!("[sources.{source}]\n    provider = \"any\"\n    currency = \"USD\"\n    custody = ");
        let text = SETTINGS.replace(&format!("{theirs}\"provider\""), &format!("{theirs}\"studio\""));
        assert_ne!(text, SETTINGS);
        self.settings = Settings::parse_str(&text).unwrap();
        self.effects = MatchEscrow::new(&self.settings);
    }

    pub(crate) fn policies(&self) -> BTreeMap<SourceName, SourcePolicy> {
        self.settings.sources.iter().map(|(name, source)| (name.clone(), source.policy().clone())).collect()
    }

    pub(crate) fn policy(&self, source: &str) -> SourcePolicy {
        self.policies()[&SourceName::parse(source).unwrap()].clone()
    }

    /// Applies events as `match-escrow` does, and keeps them as `event-archive` does.
    pub(crate) async fn apply(&self, events: &[Event]) -> Result<()> {
        let mut client = self.store.client().await?;
        let tx = client.begin().await?;
        self.effects.apply_in_tx(&tx, events, NOW).await?;
        archive::append_in_tx(&tx, events, NOW).await?;
        let ids: Vec<EventId> = events.iter().map(|event| event.id).collect();
        inbox::claim_in_tx(&tx, WORKER, &ids).await?;
        Ok(tx.commit().await?)
    }

    /// Keeps events as `event-archive` does; `match-escrow` has not come to them yet.
    pub(crate) async fn only_archive(&self, events: &[Event]) -> Result<()> {
        let mut client = self.store.client().await?;
        let tx = client.begin().await?;
        archive::append_in_tx(&tx, events, NOW).await?;
        Ok(tx.commit().await?)
    }

    /// Applies events that are in the archive already.
    pub(crate) async fn effects_only(&self, events: &[Event]) -> Result<()> {
        let mut client = self.store.client().await?;
        let tx = client.begin().await?;
        self.effects.apply_in_tx(&tx, events, NOW).await?;
        Ok(tx.commit().await?)
    }

    pub(crate) async fn move_money(
        &self,
        direction: Direction,
        source: &str,
        player: &str,
        amount: Money,
        key: &str,
    ) -> matchpurse_operations::Result<Moved> {
        let movement = Movement {
            direction,
            player: player.into(),
            amount,
            actor: "back-end".to_owned(),
            reason: "a test".to_owned(),
            idempotency_key: key.to_owned(),
        };
        move_funds(&self.store, &self.policy(source), &movement, NOW).await
    }

    pub(crate) async fn deposit(&self, player: &str, minor_units: i64) -> Result<()> {
        let key = format!("deposit {player} {minor_units}");
        self.move_money(Direction::Deposit, "ours", player, usd(minor_units), &key).await?;
        Ok(())
    }

    pub(crate) async fn sweep(&self, now: Timestamp) -> Result<deadlines::Swept> {
        Ok(deadlines::sweep(&self.store, &self.policies(), WORKER, now).await?)
    }

    /// One column of texts, in the order of the query; a NULL is empty.
    pub(crate) async fn rows(&self, sql: &str) -> Result<Vec<String>> {
        let rows = self.database.connection().await?.query(sql, &[]).await?;
        Ok(rows.iter().map(|row| row.get::<_, Option<String>>(0).unwrap_or_default()).collect())
    }

    /// What every account holds, those of players by their ids.
    pub(crate) async fn balances(&self) -> Result<String> {
        let sql =
            "SELECT coalesce(p.player_id, (ARRAY['?', 'escrow', 'house', 'external'])[a.kind]) || ' ' ||
                          sum(a.balance)
                     FROM account a LEFT JOIN player p ON p.player_key = a.owner_key
                    GROUP BY coalesce(p.player_id, (ARRAY['?', 'escrow', 'house', 'external'])[a.kind])
                   HAVING sum(a.balance) <> 0 ORDER BY 1";
        Ok(self.rows(sql).await?.join(", "))
    }

    /// The match in one line.
    pub(crate) async fn the_match(&self) -> Result<String> {
        let sql =
            "SELECT status || ', ' || coalesce(settlement, 'not settled') || ', generation ' || generation
                          || ': pot ' || pot || ', paid ' || paid || ', back ' || refunded || ', fee ' || fee
                     FROM match";
        Ok(self.rows(sql).await?.join("; "))
    }

    /// The standing checks hold.
    pub(crate) async fn sound(&self) -> Result<()> {
        let client = self.store.client().await?;
        for check in audit::CHECKS {
            assert_eq!(audit::run(&client, check).await?, []);
        }
        Ok(())
    }

    pub(crate) async fn correct(
        &self,
        source: &str,
        end: matchpurse_operations::End,
        key: &str,
        approvals: i16,
    ) -> matchpurse_operations::Result<matchpurse_store::corrections::Correction> {
        let request = corrections::Request {
            source: SourceName::parse(source).unwrap(),
            match_id: "m1".to_owned(),
            kind: None,
            end,
        };
        let author = corrections::Author {
            actor: "ann".to_owned(),
            reason: "the provider said so on the telephone".to_owned(),
            idempotency_key: key.to_owned(),
            approvals,
        };
        Ok(corrections::propose(&self.store, &request, &author, NOW).await?.correction)
    }
}

pub(crate) fn usd(minor_units: i64) -> Money {
    Money::new(minor_units, code("USD"))
}

pub(crate) fn code(code: &str) -> CurrencyCode {
    Currency::new(code, None).unwrap().code
}

/// A snapshot of match `m1` between a and b with a stake of 10.00; figures are what the provider says it paid.
pub(crate) fn snapshot(
    source: &str,
    status: MatchStatus,
    winner: Option<&str>,
    figure: Option<i64>,
) -> Event {
    let reward = figure.map(|amount| Reward {
        kind: RewardKind::Cash,
        amount: Some(usd(amount)),
        value: None,
        reference: None,
        metadata: None,
    });
    let group = |group_id: &str, player: &str| Group {
        group_id: group_id.to_owned(),
        name: None,
        players: vec![Participant {
            player_id: player.into(),
            reward: reward.clone().filter(|_| winner == Some(group_id)),
        }],
    };
    let payload = Payload::MatchSnapshot(MatchSnapshot {
        match_id: "m1".to_owned(),
        kind: MatchKind::Recreational,
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

/// The chain of an error's causes.
pub(crate) fn told(error: &Error) -> String {
    matchpurse_store::chain(error)
}
