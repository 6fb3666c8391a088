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

pub(super) const GRANTS: Check = Check {
    name: "a reward is only reserved while its contest runs, and no longer once it is decided",
    sql: "SELECT 'grant ' || g.grant_id || ': ' || g.state || ', contest ' || coalesce(c.ending, 'undecided')
            FROM reward_grant g LEFT JOIN contest c USING (contest_key)
           WHERE c.contest_key IS NULL OR (g.state = 'reserved') <> (c.ending IS NULL)",
};
