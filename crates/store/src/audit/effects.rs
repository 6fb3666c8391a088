//! What the other workers keep: statistics and rewards.

use super::Check;

pub(super) const TOTALS: Check = Check {
    name: "a player's totals are the sums over the matches that count",
    sql: "SELECT 'player ' || coalesce(t.player_key, c.player_key) || ': totals ' || coalesce(t.sums::text, 'none')
                 || ', matches ' || coalesce(c.sums::text, 'none')
            FROM (SELECT player_key,
                         to_jsonb(p) - '{player_key,season,source,updated_at}'::text[] AS sums
                    FROM player_totals p WHERE season = 0) t
            FULL JOIN (SELECT player_key, to_jsonb(of_player) - 'player_key' AS sums FROM (
                  SELECT s.player_key, count(*) AS matches,
                         count(*) FILTER (WHERE m.result = s.side) AS wins,
                         count(*) FILTER (WHERE m.result <> s.side AND m.result <> 'draw') AS losses,
                         count(*) FILTER (WHERE m.result = 'draw') AS draws,
                         sum(m.rounds_played) AS rounds,
                         sum(s.kills) AS kills, sum(s.assists) AS assists, sum(s.deaths) AS deaths,
                         sum(s.mvps) AS mvps, sum(s.score) AS score,
                         sum(s.double_kills) AS double_kills, sum(s.triple_kills) AS triple_kills,
                         sum(s.quadra_kills) AS quadra_kills, sum(s.penta_kills) AS penta_kills,
                         sum(s.headshot_kills) AS headshot_kills,
                         sum(s.pistol_kills) AS pistol_kills, sum(s.sniper_kills) AS sniper_kills,
                         sum(s.damage_dealt) AS damage_dealt,
                         sum(s.entry_attempts) AS entry_attempts,
                         sum(s.entry_successes) AS entry_successes,
                         sum(s.flashes_thrown) AS flashes_thrown,
                         sum(s.flashes_successful) AS flashes_successful,
                         sum(s.enemies_flashed) AS enemies_flashed,
                         sum(s.utility_thrown) AS utility_thrown,
                         sum(s.utility_damage) AS utility_damage,
                         sum(s.clutch_attempts) AS clutch_attempts,
                         sum(s.clutch_wins) AS clutch_wins
                    FROM player_match_stats s JOIN stats_match m USING (stats_key)
                   WHERE m.counted AND s.side <> 'spectator' GROUP BY s.player_key) of_player) c USING (player_key)
           WHERE t.sums IS DISTINCT FROM c.sums",
};

pub(super) const LINES: Check = Check {
    name: "a line has the end and the outcome of its match where that counts",
    sql: "SELECT format('match %s of %s, player %s: ended %s, %s', m.match_id, m.source, s.player_key,
                        coalesce(s.ended_at::text, 'never'), coalesce(s.outcome, 'no outcome'))
            FROM player_match_stats s JOIN stats_match m USING (stats_key)
           CROSS JOIN LATERAL (SELECT m.counted AND s.side <> 'spectator' AS counts) c
           WHERE s.ended_at IS DISTINCT FROM CASE WHEN counts THEN m.ended_at END
              OR s.outcome IS DISTINCT FROM CASE WHEN NOT counts THEN NULL
                                                 WHEN m.result IS NULL OR m.result = 'draw' THEN m.result
                                                 WHEN m.result = s.side THEN 'win' ELSE 'loss' END",
};

pub(super) const RECORDS: Check = Check {
    name: "a seat has the end and the currency of its match where that was settled",
    sql: concat!(
        "SELECT ",
        match_label!(),
        " || ', ' || ",
        player_label!("p.player_key"),
        " || format(': ended %s, %s', coalesce(p.ended_at::text, 'never'), coalesce(p.currency, 'no currency'))
            FROM match_participant p JOIN match m USING (match_no)
           CROSS JOIN LATERAL (
              SELECT m.settlement IN ('payout', 'tie') AND p.outcome IS NOT NULL AS counts) c
           WHERE p.ended_at IS DISTINCT FROM CASE WHEN counts THEN coalesce(m.ended_at, m.settled_at) END
              OR p.currency IS DISTINCT FROM CASE WHEN counts THEN m.currency END"
    ),
};

pub(super) const LINKS: Check = Check {
    name: "a person is two identities or more, and each is known",
    sql: "SELECT format('person %s: %s identities, %s of them known', person, count(*), count(player_id))
            FROM player_link LEFT JOIN player USING (player_key)
           GROUP BY person HAVING count(*) < 2 OR count(*) <> count(player_id)",
};

pub(super) const GRANTS: Check = Check {
    name: "a reward is only reserved while its contest runs, and no longer once it is decided",
    sql: "SELECT 'grant ' || g.grant_id || ': ' || g.state || ', contest ' || coalesce(c.ending, 'undecided')
            FROM reward_grant g LEFT JOIN contest c USING (contest_key)
           WHERE c.contest_key IS NULL OR (g.state = 'reserved') <> (c.ending IS NULL)",
};

pub(super) const COUNTS: Check = Check {
    name: "what is counted against limits is what was given in that time",
    sql:
        "SELECT format('window of %s, player %s, from %s: counted %s grants and %s, given %s and %s', source,
                        player_key, starts_at, coalesce(c.grants, 0), coalesce(c.amount, 0),
                        coalesce(g.grants, 0), coalesce(g.amount, 0))
            FROM (SELECT * FROM reward_count WHERE grants <> 0 OR amount <> 0) c
            FULL JOIN (
              SELECT source, player_key, counted_day AS starts_at, count(*) AS grants,
                     coalesce(sum(amount), 0) AS amount
                FROM reward_grant WHERE counted_day IS NOT NULL GROUP BY 1, 2, 3
              UNION ALL
              SELECT source, '00000000-0000-0000-0000-000000000000', counted_hour, count(*),
                     coalesce(sum(amount), 0)
                FROM reward_grant WHERE counted_hour IS NOT NULL GROUP BY 1, 3) g
           USING (source, player_key, starts_at)
           WHERE (c.grants, c.amount::numeric) IS DISTINCT FROM (g.grants, g.amount)",
};

// A release leaves what may have moved on since; a reversal is the end.
pub(super) const REWARD_OPERATIONS: Check = Check {
    name: "what a person did to a grant is so",
    sql: "SELECT format('operation %s: %s of grant %s, which is %s', o.operation_id, o.kind, o.detail ->> 'grant_id',
                        coalesce(g.state, 'not there'))
            FROM operation o LEFT JOIN reward_grant g ON g.grant_id::text = o.detail ->> 'grant_id'
           WHERE o.kind IN ('reward_release', 'reward_reversal', 'reward_retry')
             AND (g.grant_id IS NULL
                  OR o.kind = 'reward_reversal' AND g.state <> 'reversed'
                  OR o.kind = 'reward_release'
                     AND g.state IN ('needs_review', 'reserved', 'released', 'recorded'))",
};

// A fulfilled grant without a call is none of these: which sources want calls stands in the configuration.
pub(super) const CALLS: Check = Check {
    name: "a provider is told of rewards that were given, and only when all of a player's are",
    sql: "SELECT format('call about player %s in contest %s of %s: %s; given %s, on their way %s', r.player_key,
                        r.contest_key, r.source, r.state, given, on_its_way)
            FROM redemption_call r
           CROSS JOIN LATERAL (
              SELECT count(*) FILTER (WHERE g.state = 'fulfilled') AS given,
                     count(*) FILTER (WHERE g.state NOT IN ('fulfilled', 'reversed', 'recorded', 'released'))
                       AS on_its_way
                FROM reward_grant g WHERE (g.contest_key, g.player_key) = (r.contest_key, r.player_key)) g
           WHERE r.state IN ('held', 'waiting', 'refused', 'given_up')
             AND (given = 0 OR (r.state = 'held') <> (on_its_way > 0))",
};

pub(super) const WITHDRAWN: Check = Check {
    name: "only what says that something was given which was taken back, or what others got, is withdrawn unsent",
    sql: "SELECT format('delivery %s of %s: %s about %s is withdrawn, its grant is %s', d.delivery_id, d.webhook_id,
                        o.kind, o.subject, coalesce(g.state, 'not there'))
            FROM delivery d JOIN outbox o USING (webhook_id)
            LEFT JOIN reward_grant g ON g.grant_id::text = o.subject
           WHERE d.state = 'withdrawn' AND d.because IS DISTINCT FROM 'handed_on'
             AND (o.kind = 'reward.granted' AND g.state = 'reversed') IS NOT TRUE",
};

// The player's credit follows from the word that the provider got.
pub(super) const CONVERSIONS: Check = Check {
    name: "a wish for credit was recorded with the answer that the provider got",
    sql: "SELECT format('wish %s of %s: answered %s, recorded %s', a.intent_id, a.source, a.answer, c.answer)
            FROM conversion_answer a JOIN credit_conversion c USING (source, intent_id)
           WHERE a.answer <> c.answer",
};
