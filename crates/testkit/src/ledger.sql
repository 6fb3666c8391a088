-- What `fill_ledger` puts into a database. Every match lives one of six lives:
--
-- | life | of 20 | what its four players stake 500 each for | transfers |
-- | payout | 14 | two win 900 each, 200 are the fee | 7 |
-- | refund | 2 | canceled, everything goes back | 8 |
-- | tie | 1 | everything goes back | 8 |
-- | open | 1 | still held | 4 |
-- | corrected | 1 | as payout; then a person gives it to the other two | 19 |
-- | membership | 1 | nothing is staked | 0 |
--
-- It finds `filling` (figures), `new_player` and `new_match` (names and keys) made by the caller.

CREATE TEMP TABLE life ON COMMIT DROP AS
  SELECT n, match_key, source, match_id, CASE source WHEN 'studio' THEN 'studio' ELSE 'provider' END AS custody,
         (ARRAY['payout', 'payout', 'payout', 'payout', 'payout', 'payout', 'payout', 'payout', 'payout', 'payout',
                'payout', 'payout', 'payout', 'payout', 'refund', 'refund', 'tie', 'open', 'corrected',
                'membership'])[n / 2 % 20 + 1] AS life,
         timestamptz '2026-01-01 00:00:00Z' + n * interval '200 days' / f.matches AS begun,
         -- An operation's id, where a person set the end anew.
         md5('correction ' || n)::uuid AS correction_id
    FROM new_match, filling f;

INSERT INTO player (player_key, source, player_id) SELECT player_key, source, player_id FROM new_player;

INSERT INTO account (source, kind, owner_key, currency, min_balance, opened_at)
  SELECT source, 1, player_key, 'USD', CASE source WHEN 'studio' THEN 0 END, timestamptz '2025-12-31Z'
    FROM new_player ORDER BY n;
INSERT INTO account (source, kind, owner_key, currency, min_balance, opened_at)
  SELECT source, kind, owner_key, 'USD', CASE kind WHEN 3 THEN 0 END, timestamptz '2025-12-31Z' FROM new_side;
INSERT INTO account (source, kind, owner_key, currency, min_balance, opened_at)
  SELECT source, 2, match_key, 'USD', 0, begun FROM life WHERE life <> 'membership' ORDER BY n;

INSERT INTO match (match_no, match_key, source, kind, match_id, status, rank, provider_status, format, custody,
                   currency, fee_bps, tie_policy, buy_in, pot, paid, refunded, fee, settlement, settled_at,
                   outcome_digest, first_event_id, last_event_id, created_at, updated_at, generation)
  OVERRIDING SYSTEM VALUE
  SELECT n, match_key, source, 'recreational', match_id, status, s.rank, status, 'group_vs_group', custody, 'USD',
         1000, 'refund_full', CASE WHEN life <> 'membership' THEN 500 END,
         CASE WHEN life <> 'membership' THEN 2000 ELSE 0 END,
         CASE WHEN life IN ('payout', 'corrected') THEN 1800 ELSE 0 END,
         CASE WHEN life IN ('refund', 'tie') THEN 2000 ELSE 0 END,
         CASE WHEN life IN ('payout', 'corrected') THEN 200 ELSE 0 END,
         nullif(s.disposition, 'hold'), CASE WHEN life <> 'open' THEN begun + interval '10 minutes' END,
         CASE WHEN life <> 'open' THEN sha256(convert_to(match_id, 'UTF8')) END,
         md5('first ' || n)::uuid, CASE life WHEN 'corrected' THEN correction_id ELSE md5('last ' || n)::uuid END,
         begun, begun + interval '10 minutes', CASE life WHEN 'corrected' THEN 1 ELSE 0 END
    FROM life, LATERAL (SELECT CASE life WHEN 'refund' THEN 'CANCELED_BY_OWNER' WHEN 'tie' THEN 'CLOSED_TIE'
                                         WHEN 'open' THEN 'CONFIRMED' ELSE 'CLOSED' END AS status) w
    JOIN match_status s ON s.code = status
   ORDER BY n;
SELECT setval(pg_get_serial_sequence('match', 'match_no'), greatest(1, (SELECT max(n) FROM life)));

INSERT INTO match_deadline (match_no, due_at) SELECT n, begun + interval '7 days' FROM life WHERE life = 'open';

INSERT INTO operation (operation_id, kind, source, subject, match_no, actor, reason, at)
  SELECT correction_id, 'correction', source, match_id, n, 'olga', 'the wrong side was paid',
         begun + interval '1 hour'
    FROM life WHERE life = 'corrected' ORDER BY n;
INSERT INTO correction (correction_id, match_no, generation, state, verdict, reason, seen_event_id, approvals,
                        proposed_by, proposed_at, decided_by, decided_at)
  SELECT correction_id, n, 1, 'applied', '{"winners": ["b"]}', 'the wrong side was paid', md5('last ' || n)::uuid, 2,
         'olga', begun + interval '50 minutes', 'oskar', begun + interval '1 hour'
    FROM life WHERE life = 'corrected' ORDER BY n;

-- The planner knows nothing of these rows yet: without figures it may join all with all.
ANALYZE life;
ANALYZE account;
ANALYZE match;

-- Four seats a match; the first two are side a.
CREATE TEMP TABLE seat ON COMMIT DROP AS
  SELECT l.n, l.life, l.begun, l.correction_id, j, p.player_key, a.id AS account_id, e.id AS escrow_id,
         s.id AS side_id, s.owner_key AS side_key
    FROM life l CROSS JOIN filling f CROSS JOIN generate_series(0, 3) AS j
    JOIN new_player p ON p.source = l.source AND p.n = (l.n / 2 * 3 + j) % f.players
    JOIN account a ON a.owner_key = p.player_key AND a.kind = 1
    JOIN new_side ns ON ns.source = l.source AND ns.kind = CASE l.custody WHEN 'studio' THEN 3 ELSE 4 END
    JOIN account s ON s.owner_key = ns.owner_key AND s.kind = ns.kind
    LEFT JOIN account e ON e.owner_key = l.match_key AND e.kind = 2;

INSERT INTO match_participant (match_no, player_key, group_id, state, hold, payout, refund, outcome)
  SELECT n, player_key, CASE WHEN j < 2 THEN 'a' ELSE 'b' END,
         CASE life WHEN 'membership' THEN 0 WHEN 'open' THEN 1 WHEN 'refund' THEN 3 WHEN 'tie' THEN 3 ELSE 2 END,
         CASE life WHEN 'membership' THEN 0 ELSE 500 END,
         CASE WHEN life IN ('payout', 'corrected') AND won THEN 900 ELSE 0 END,
         CASE WHEN life IN ('refund', 'tie') THEN 500 ELSE 0 END,
         CASE WHEN life = 'tie' THEN 'TIE' WHEN life IN ('refund', 'open') THEN NULL
              WHEN won THEN 'WIN' ELSE 'LOSS' END
    FROM seat, LATERAL (SELECT (j < 2) <> (life = 'corrected') AS won) w
   ORDER BY n, player_key;
ANALYZE match_participant;
UPDATE match_participant p SET ended_at = m.settled_at, currency = m.currency
  FROM match m WHERE m.match_no = p.match_no AND m.settlement IN ('payout', 'tie') AND p.outcome IS NOT NULL;

INSERT INTO transfer (match_no, subject, kind, generation, debit_id, credit_id, amount, event_id, event_at,
                      recorded_at)
  SELECT n, subject, kind, generation, debit_id, credit_id, amount,
         CASE WHEN generation = 1 OR kind = 7 THEN correction_id ELSE md5('last ' || n)::uuid END,
         begun + after, begun + after
    FROM seat CROSS JOIN LATERAL (
      -- The first generation: stakes, and what became of them.
      SELECT player_key AS subject, 1 AS kind, 0 AS generation, account_id AS debit_id, escrow_id AS credit_id,
             500 AS amount, interval '0' AS after
      UNION ALL SELECT player_key, 2, 0, escrow_id, account_id, 900, interval '10 minutes'
       WHERE life IN ('payout', 'corrected') AND j < 2
      UNION ALL SELECT player_key, 3, 0, escrow_id, account_id, 500, interval '10 minutes'
       WHERE life IN ('refund', 'tie')
      UNION ALL SELECT side_key, 4, 0, escrow_id, side_id, 200, interval '10 minutes'
       WHERE life IN ('payout', 'corrected') AND j = 0
      -- Undone, one sum for everybody.
      UNION ALL SELECT player_key, 7, 0, account_id, escrow_id, 400, interval '1 hour'
       WHERE life = 'corrected' AND j < 2
      UNION ALL SELECT player_key, 7, 0, escrow_id, account_id, 500, interval '1 hour'
       WHERE life = 'corrected' AND j >= 2
      UNION ALL SELECT side_key, 7, 0, side_id, escrow_id, 200, interval '1 hour'
       WHERE life = 'corrected' AND j = 0
      -- The second: the other side wins.
      UNION ALL SELECT player_key, 1, 1, account_id, escrow_id, 500, interval '1 hour' WHERE life = 'corrected'
      UNION ALL SELECT player_key, 2, 1, escrow_id, account_id, 900, interval '1 hour'
       WHERE life = 'corrected' AND j >= 2
      UNION ALL SELECT side_key, 4, 1, escrow_id, side_id, 200, interval '1 hour'
       WHERE life = 'corrected' AND j = 0
    ) AS moved
   WHERE life <> 'membership'
   ORDER BY n, begun + after;

-- Deposits: one for every player whose stakes the studio holds, far more than is ever staked; then some more until
-- the ledger has as many transfers as were asked for, every tenth of them a withdrawal.
CREATE TEMP TABLE paid_in ON COMMIT DROP AS
  SELECT d, d >= f.players AND d % 10 = 0 AS withdrawn, md5('deposit ' || d)::uuid AS operation_id, p.player_id,
         p.player_key, a.id AS account_id, x.id AS external_id,
         CASE WHEN d < f.players THEN timestamptz '2025-12-31 12:00Z' + d * interval '1 millisecond'
              ELSE timestamptz '2026-03-01Z' + d * interval '1 minute' END AS at,
         CASE WHEN d < f.players THEN 100000000 ELSE 1000 + d END AS amount
    FROM filling f CROSS JOIN LATERAL generate_series(0, f.deposits - 1) AS d
    JOIN new_player p ON p.source = 'studio' AND p.n = d % f.players
    JOIN account a ON a.owner_key = p.player_key AND a.kind = 1
    JOIN new_side ns ON ns.source = 'studio' AND ns.kind = 4
    JOIN account x ON x.owner_key = ns.owner_key AND x.kind = 4;
INSERT INTO operation (operation_id, kind, source, subject, actor, reason, amount, currency, at)
  SELECT operation_id, CASE WHEN withdrawn THEN 'withdrawal' ELSE 'deposit' END, 'studio', player_id, 'shop', '',
         amount, 'USD', at
    FROM paid_in ORDER BY d;
INSERT INTO transfer (match_no, subject, kind, generation, debit_id, credit_id, amount, event_id, event_at,
                      recorded_at)
  SELECT 0, operation_id, CASE WHEN withdrawn THEN 9 ELSE 8 END, 0,
         CASE WHEN withdrawn THEN account_id ELSE external_id END,
         CASE WHEN withdrawn THEN external_id ELSE account_id END, amount, operation_id, at, at
    FROM paid_in ORDER BY d;

UPDATE account a SET balance = e.total, version = e.entries
  FROM (SELECT account_id, sum(amount) AS total, count(*) AS entries FROM entry GROUP BY account_id) e
 WHERE a.id = e.account_id;
UPDATE account a SET closed = true
  FROM life l WHERE a.owner_key = l.match_key AND a.kind = 2 AND life <> 'open';
