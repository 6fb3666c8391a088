//! Which tables a rebuild is compared by, and which are left out.
//!
//! Every table of the schema stands here; a test sees to it. What differs by nature is taken out of a row: numbers that
//! PostgreSQL gives out in the order of writing, and times at which something was written. References by such numbers
//! are replaced by what they refer to.

/// A table and how it is compared.
#[derive(Debug, Clone, Copy)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// How.
    pub compared: Compared,
}

/// How a table is compared.
#[derive(Debug, Clone, Copy)]
pub enum Compared {
    /// Row by row: a statement of `key` and `what`, with `{s}` for the schema. Both must have the same.
    Rows(&'static str),
    /// As [`Compared::Rows`], but the live one may lack rows: old ones are removed.
    Prunable(&'static str),
    /// It is an input, taken over as it is, and compared row by row.
    Copied(&'static str),
    /// Not at all, because of this.
    Left(&'static str),
}

const fn table(name: &'static str, compared: Compared) -> Table {
    Table { name, compared }
}

const QUEUE: &str = "what is on its way at a moment, not state";
const DISPATCH: &str = "how the studio and providers were told, which happened outside and is not done again";
const DERIVED: &str = "made from matches and totals, which are compared; a job makes it anew at any time";
const ERASED: &str = "what was erased is erased in the archive already, which the rebuild is made from";
const ARCHIVE: &str = "what the rebuild is made from; `verify-archive` proves it";

/// All tables, by area.
pub const TABLES: &[Table] = &[
    table(
        "player",
        Rows(
            "SELECT source || '/' || player_id AS key, to_jsonb(t) - '{first_seen_at}'::text[] AS what
               FROM {s}.player t",
        ),
    ),
    table(
        "account",
        Rows(
            "SELECT concat_ws('/', t.source, (ARRAY['player', 'escrow', 'house', 'external', 'reward fund'])[t.kind],
                              coalesce(p.player_id, m.match_id, t.owner_key::text), t.currency, t.owner_key) AS key,
                    to_jsonb(t) - '{id, opened_at}'::text[] AS what
               FROM {s}.account t
               LEFT JOIN {s}.player p ON t.kind = 1 AND p.player_key = t.owner_key
               LEFT JOIN {s}.match m ON t.kind = 2 AND m.match_key = t.owner_key",
        ),
    ),
    table(
        "match",
        Rows(
            "SELECT concat_ws('/', source, kind, match_id) AS key,
                    to_jsonb(t) - '{match_no, created_at, updated_at}'::text[] AS what
               FROM {s}.match t",
        ),
    ),
    table(
        "match_participant",
        Rows(
            "SELECT concat_ws('/', m.source, m.kind, m.match_id, p.player_id, t.player_key) AS key,
                    to_jsonb(t) - '{match_no}'::text[] AS what
               FROM {s}.match_participant t JOIN {s}.match m USING (match_no)
               LEFT JOIN {s}.player p USING (player_key)",
        ),
    ),
    table(
        "match_deadline",
        Rows(
            "SELECT concat_ws('/', m.source, m.kind, m.match_id) AS key,
                    jsonb_build_object('due_at', t.due_at, 'asked', t.asked_at IS NOT NULL) AS what
               FROM {s}.match_deadline t JOIN {s}.match m USING (match_no)",
        ),
    ),
    table(
        "transfer",
        Rows(
            "SELECT concat_ws('/', m.source, m.kind, m.match_id, 'generation ' || t.generation,
                              (ARRAY['hold', 'payout', 'refund', 'fee', 'reward', 'top-up', 'reversal', 'deposit',
                                     'withdrawal'])[t.kind], p.player_id, t.subject) AS key,
                    jsonb_build_object('amount', t.amount, 'event_id', t.event_id, 'event_at', t.event_at,
                      'debit', jsonb_build_array(d.source, d.kind, d.owner_key, d.currency),
                      'credit', jsonb_build_array(c.source, c.kind, c.owner_key, c.currency)) AS what
               FROM {s}.transfer t
               JOIN {s}.account d ON d.id = t.debit_id JOIN {s}.account c ON c.id = t.credit_id
               LEFT JOIN {s}.match m USING (match_no)
               LEFT JOIN {s}.player p ON p.player_key = t.subject",
        ),
    ),
    table("match_status", Left("the same in every database; the migrations fill it")),
    table(
        "operation",
        Rows(
            "SELECT operation_id::text AS key, to_jsonb(t) - '{position, match_no, at}'::text[] AS what
               FROM {s}.operation t",
        ),
    ),
    table(
        "correction",
        Rows(
            "SELECT concat_ws('/', m.source, m.kind, m.match_id, t.correction_id) AS key,
                    to_jsonb(t) - '{position, match_no, proposed_at, decided_at}'::text[] AS what
               FROM {s}.correction t JOIN {s}.match m USING (match_no)",
        ),
    ),
    table(
        "match_result",
        Rows(
            "SELECT concat_ws('/', m.source, m.kind, m.match_id) AS key, to_jsonb(t) - '{match_no}'::text[] AS what
               FROM {s}.match_result t JOIN {s}.match m USING (match_no)",
        ),
    ),
    table("match_link", Left("what a link decided is an operation, which is done again; what it waits for comes later")),
    table(
        "contest",
        Rows(
            "SELECT concat_ws('/', source, kind, contest_id) AS key, to_jsonb(t) - '{created_at}'::text[] AS what
               FROM {s}.contest t",
        ),
    ),
    // How far the studio was told of a grant is the dispatcher's.
    table(
        "reward_grant",
        Rows(
            "SELECT concat_ws('/', c.source, c.kind, c.contest_id, p.player_id, t.reward_ref, t.grant_id) AS key,
                    to_jsonb(t) - '{created_at, updated_at}'::text[] || jsonb_build_object('state',
                      CASE WHEN t.state IN ('granted', 'delivering', 'fulfilled', 'failed') THEN 'given'
                           ELSE t.state END) AS what
               FROM {s}.reward_grant t JOIN {s}.contest c USING (contest_key)
               LEFT JOIN {s}.player p USING (player_key)",
        ),
    ),
    table(
        "reward_count",
        Rows(
            "SELECT concat_ws('/', source, player_key, starts_at AT TIME ZONE 'UTC') AS key, to_jsonb(t) AS what
               FROM {s}.reward_count t",
        ),
    ),
    table(
        "credit_conversion",
        Rows("SELECT concat_ws('/', source, intent_id) AS key, to_jsonb(t) AS what FROM {s}.credit_conversion t"),
    ),
    table(
        "conversion_answer",
        Copied("SELECT concat_ws('/', source, intent_id) AS key, to_jsonb(t) AS what FROM {s}.conversion_answer t"),
    ),
    table(
        "stats_match",
        Rows(
            "SELECT concat_ws('/', source, match_id) AS key, to_jsonb(t) - '{created_at, updated_at}'::text[] AS what
               FROM {s}.stats_match t",
        ),
    ),
    table(
        "player_match_stats",
        Rows(
            "SELECT concat_ws('/', m.source, m.match_id, p.player_id, t.player_key) AS key, to_jsonb(t) AS what
               FROM {s}.player_match_stats t JOIN {s}.stats_match m USING (stats_key)
               LEFT JOIN {s}.player p USING (player_key)",
        ),
    ),
    table(
        "stats_match_event",
        Rows(
            "SELECT concat_ws('/', m.source, m.match_id, t.index) AS key, to_jsonb(t) AS what
               FROM {s}.stats_match_event t JOIN {s}.stats_match m USING (stats_key)",
        ),
    ),
    table(
        "player_totals",
        Rows(
            "SELECT concat_ws('/', t.source, p.player_id, t.season, t.player_key) AS key,
                    to_jsonb(t) - '{updated_at}'::text[] AS what
               FROM {s}.player_totals t LEFT JOIN {s}.player p USING (player_key)",
        ),
    ),
    table(
        "player_kick",
        Rows(
            "SELECT concat_ws('/', t.source, t.match_id, p.player_id, t.player_key) AS key, to_jsonb(t) AS what
               FROM {s}.player_kick t LEFT JOIN {s}.player p USING (player_key)",
        ),
    ),
    table(
        "player_link",
        Rows(
            "SELECT concat_ws('/', p.source, p.player_id, t.player_key) AS key,
                    to_jsonb(t) - '{linked_at, person}'::text[]
                      || jsonb_build_object('with', min(t.player_key::text) OVER (PARTITION BY t.person)) AS what
               FROM {s}.player_link t LEFT JOIN {s}.player p USING (player_key)",
        ),
    ),
    table(
        "offer",
        Rows(
            "SELECT concat_ws('/', source, offer_id) AS key,
                    to_jsonb(t) - '{first_seen_at, updated_at}'::text[] AS what
               FROM {s}.offer t",
        ),
    ),
    table(
        "player_standing",
        Rows(
            "SELECT concat_ws('/', t.source, p.player_id, t.player_key) AS key,
                    to_jsonb(t) - '{updated_at}'::text[] AS what
               FROM {s}.player_standing t LEFT JOIN {s}.player p USING (player_key)",
        ),
    ),
    table(
        "offer_start",
        Copied(
            "SELECT concat_ws('/', source, offer_id, player_key) AS key, to_jsonb(t) AS what FROM {s}.offer_start t",
        ),
    ),
    table(
        "offer_start_withdrawal",
        Copied("SELECT withdrawal_id::text AS key, to_jsonb(t) AS what FROM {s}.offer_start_withdrawal t"),
    ),
    table(
        "offer_change",
        Left("a stream for readers; how changes fall into it follows batches and transactions, and old ones go"),
    ),
    table("offer_change_horizon", Left("how far the stream of changes was pruned")),
    table(
        "anomaly",
        Rows(
            "SELECT key, jsonb_build_object('kind', kind, 'source', source, 'subject', subject, 'event_id', event_id,
                      'detail', detail,
                      'resolution', CASE WHEN resolution LIKE 'correction %' OR resolution LIKE 'operation %'
                                         THEN resolution END) AS what
               FROM {s}.anomaly",
        ),
    ),
    // What a worker could not apply is a matter of that time; what nobody can read follows from the event.
    table(
        "parked",
        Rows(
            "SELECT concat_ws('/', queue, event_id) AS key,
                    jsonb_build_object('reason', min(reason), 'routing_key', min(routing_key)) AS what
               FROM {s}.parked WHERE kind = 'unrecognized' GROUP BY 1",
        ),
    ),
    table(
        "outbox",
        Prunable(
            "SELECT concat_ws('/', source, kind, subject, webhook_id) AS key, '{}'::jsonb AS what FROM {s}.outbox",
        ),
    ),
    table(
        "board_exclusion",
        Copied("SELECT concat_ws('/', board, player_key) AS key, to_jsonb(t) AS what FROM {s}.board_exclusion t"),
    ),
    table(
        "board_operation",
        Copied("SELECT operation_id::text AS key, to_jsonb(t) AS what FROM {s}.board_operation t"),
    ),
    table("inbox", Left("saves work; every effect has a permanent key besides, and it is pruned")),
    table("attempts", Left(QUEUE)),
    table("missed_search", Left(QUEUE)),
    table("replay", Left("who had what applied once more; its effects are those of the events")),
    table("spool", Left(QUEUE)),
    table("spool_destination", Left(QUEUE)),
    table("result_feed", Left(QUEUE)),
    table("result_fill", Left(QUEUE)),
    table("result", Left(DERIVED)),
    table("rating", Left(DERIVED)),
    table("rating_game", Left(DERIVED)),
    table("rating_step", Left(DERIVED)),
    table("board", Left(DERIVED)),
    table("board_entry", Left(DERIVED)),
    table("board_todo", Left(DERIVED)),
    table("board_season", Left(DERIVED)),
    table("board_rank", Left(DERIVED)),
    table("endpoint", Left(DISPATCH)),
    table("endpoint_secret", Left(DISPATCH)),
    table("delivery", Left(DISPATCH)),
    table("delivery_attempt", Left(DISPATCH)),
    table("dispatch_operation", Left(DISPATCH)),
    table("dispatch_request", Left(DISPATCH)),
    table("redemption_call", Left(DISPATCH)),
    table("result_report", Left(DISPATCH)),
    table("call_slot", Left(DISPATCH)),
    table("inquiry", Left(QUEUE)),
    table("archive", Left(ARCHIVE)),
    table("archive_event", Left(ARCHIVE)),
    table("archive_head", Left(ARCHIVE)),
    table("archive_detached", Left(ARCHIVE)),
    table("archive_tombstone", Left(ARCHIVE)),
    table("source_hour", Left("when deliveries came; it is counted with the archive, which stays")),
    table("erased_event", Left(ERASED)),
    table("erasure", Left(ERASED)),
    table("erasure_work", Left(ERASED)),
];

use Compared::{Copied, Left, Prunable, Rows};

/// The tables that are inputs themselves.
pub(super) fn copied() -> impl Iterator<Item = &'static str> {
    TABLES.iter().filter(|table| matches!(table.compared, Copied(_))).map(|table| table.name)
}
