//! What is in the database: whole tables, to see whether anything changed, and effects in words.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use super::System;

/// How far the search for what workers never got has looked: it goes on by the clock, whatever comes.
const BY_THE_CLOCK: &str = "missed_search";

/// The rows of every table, as text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Tables(BTreeMap<String, BTreeSet<String>>);

impl Tables {
    /// What differs in `later`: rows that went and rows that came.
    pub(crate) fn changes(&self, later: &Self) -> Vec<String> {
        let none = BTreeSet::new();
        let names: BTreeSet<&String> = self.0.keys().chain(later.0.keys()).collect();
        let mut changes = Vec::new();
        for name in names {
            let [before, after] = [self, later].map(|tables| tables.0.get(name).unwrap_or(&none));
            changes.extend(before.difference(after).map(|row| format!("- {name} {row}")));
            changes.extend(after.difference(before).map(|row| format!("+ {name} {row}")));
        }
        changes
    }

    /// How many rows a table has.
    pub(crate) fn rows(&self, table: &str) -> usize {
        self.0.get(table).map_or(0, BTreeSet::len)
    }
}

impl System {
    /// Every row of every table, less the tables and columns that are named in `without`, and less what changes by the clock.
    pub(crate) async fn tables(&self, without: &[&str]) -> Result<Tables> {
        let names = self
            .lines(
                "SELECT table_name::text FROM information_schema.tables
                  WHERE table_schema = 'public' AND table_type = 'BASE TABLE'",
            )
            .await?;
        let mut tables = BTreeMap::new();
        let without = [&[BY_THE_CLOCK], without].concat();
        for name in names.into_iter().filter(|name| !without.contains(&name.as_str())) {
            let sql = format!("SELECT (to_jsonb(t) - $1::text[])::text FROM {name} t");
            let rows = self.client.query(&sql, &[&without]).await?;
            let rows = rows.iter().map(|row| Ok(row.try_get(0)?)).collect::<Result<_>>()?;
            tables.insert(name, rows);
        }
        Ok(Tables(tables))
    }

    /// What came of a source's deliveries, in words, by source. Ids are cut to what tells them apart.
    pub(crate) async fn effects(&self) -> Result<BTreeMap<String, Vec<String>>> {
        let mut effects: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for sql in EFFECTS {
            for row in self.client.query(*sql, &[]).await? {
                effects.entry(row.try_get(0)?).or_default().push(row.try_get(1)?);
            }
        }
        Ok(effects)
    }
}

/// Each returns a source and a line.
const EFFECTS: &[&str] = &[
    "SELECT source, format('match %s %s: %s%s, %s', kind, left(match_id, 8), status,
              CASE WHEN provider_status NOT IN (status, '') THEN format(' (%s)', provider_status) END,
              CASE WHEN settlement IS NULL THEN format('not settled, pot %s', pot)
                   ELSE format('%s of pot %s: paid %s, back %s, fee %s', settlement, pot, paid, refunded, fee) END)
       FROM match ORDER BY 2",
    "SELECT m.source, format('  seat %s of group %s: %s%s%s', left(player_id, 20), coalesce(nullif(group_id, ''), '-'),
              (ARRAY['joined', 'held', 'settled', 'refunded'])[state + 1], ' ' || outcome,
              CASE WHEN n.net <> 0 THEN format(', net %s', n.net) END)
       FROM match m JOIN match_participant USING (match_no) JOIN player USING (player_key)
       LEFT JOIN (SELECT match_no, owner_key, sum(amount) AS net
                    FROM entry JOIN account a ON a.id = account_id AND a.kind = 1 GROUP BY 1, 2) n
              ON n.match_no = m.match_no AND n.owner_key = player_key
      ORDER BY 2",
    "SELECT source, format('contest %s %s: %s', kind, left(contest_id, 8), coalesce(ending, 'running'))
       FROM contest ORDER BY 2",
    "SELECT g.source, format('  reward %s to %s for %s %s: %s%s, %s%s', nullif(reward_ref, ''), left(player_id, 20), c.kind,
              left(contest_id, 8), g.kind, coalesce(' ' || g.amount || ' ' || g.currency, ''), state,
              ' (' || reason || ')')
       FROM reward_grant g JOIN contest c USING (contest_key) JOIN player USING (player_key) ORDER BY 2",
    "SELECT c.source, format('conversion %s of %s: %s %s into %s, answered %s', left(intent_id, 8), left(player_id, 20),
              amount, currency, converted_amount, answer)
       FROM credit_conversion c JOIN player USING (player_key) ORDER BY 2",
    "SELECT source, format('stats of match %s: %s %s, %s:%s after %s rounds%s%s%s', left(match_id, 8), map,
              CASE WHEN canceled THEN 'canceled' WHEN finished THEN 'finished' ELSE 'running' END,
              team1_score, team2_score, rounds_played, ', ' || result, ', ' || nullif(cancel_reason, ''),
              CASE WHEN counted THEN ', counted' END)
       FROM stats_match ORDER BY 2",
    "SELECT m.source, format('  %s %s (%s)%s: %s kills, %s deaths, score %s', side, player_id, nickname,
              CASE WHEN kicked THEN ' kicked' END, kills, deaths, score)
       FROM player_match_stats JOIN stats_match m USING (stats_key) JOIN player USING (player_key) ORDER BY 2",
    "SELECT t.source, format('total of %s in %s: %s matches, %s won, %s lost, %s drawn, %s rounds, %s kills, %s deaths',
              player_id, CASE WHEN season = 0 THEN 'all time' ELSE 'a season' END, matches, wins, losses, draws,
              rounds, kills, deaths)
       FROM player_totals t JOIN player USING (player_key) ORDER BY 2",
    "SELECT k.source, format('kick of %s from %s', player_id, left(match_id, 8))
       FROM player_kick k JOIN player USING (player_key) ORDER BY 2",
    "SELECT source, format('offer %s: %s since %s, described at %s', offer_id, state,
              to_char(state_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'),
              to_char(data_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'))
       FROM offer ORDER BY 2",
    "SELECT s.source, format('player %s: %s since %s%s', player_id, standing,
              to_char(changed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'), ', ' || s.reason)
       FROM player_standing s JOIN player USING (player_key) ORDER BY 2",
    "SELECT source, format('anomaly %s about %s', kind, left(subject, 8)) FROM anomaly ORDER BY 2",
    "SELECT split_part(routing_key, '.', 3), format('parked by %s, %s: %s', queue, kind, reason) FROM parked ORDER BY 2",
    "SELECT source, format('notice %s%s', kind, CASE WHEN kind NOT LIKE 'reward.%' THEN ' about ' || left(subject, 8) END) FROM outbox ORDER BY 2",
    "SELECT source, format('archived %s (%s)', payload, provider_type) FROM archive ORDER BY source, seq",
];
