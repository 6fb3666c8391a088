-- How a player is erased: where the id stands in texts, JSON, bodies and events; what is open; the two functions that do it.

-- An id as a JSON text writes it, without the quotes; mostly the id itself.
CREATE FUNCTION erasure_json(id text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT substr(to_json(id)::text, 2, length(to_json(id)::text) - 2)
$$;

-- A text with the id replaced where it stands by itself: not where it is a part of a longer word, which is another id.
CREATE FUNCTION erasure_text(t text, id text, pseudonym text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
  spelled text;
BEGIN
  FOREACH spelled IN ARRAY ARRAY[id, erasure_json(id)] LOOP
    IF position(spelled IN t) > 0 THEN
      -- What follows the backslash of a line's end in JSON is no letter of the word.
      t := regexp_replace(t,
        '(?:(?<![A-Za-z0-9_-])|(?<=\\[bfnrt]))'
          || regexp_replace(spelled COLLATE "C", '([\x21-\x2F\x3A-\x40\x5B-\x60\x7B-\x7E])', '\\\1', 'g') || '(?![A-Za-z0-9_-])',
        pseudonym, 'g');
    END IF;
  END LOOP;
  RETURN t;
END $$;

-- A JSON value with the id replaced: where it is a text of its own, and where it stands by itself in one. What such a key
-- names is something else, which may have the same id at its provider. An amount is no id.
CREATE FUNCTION erasure_jsonb(j jsonb, id text, pseudonym text, of_key text DEFAULT '') RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
  said text;
BEGIN
  IF position(id IN j::text) = 0 AND position(erasure_json(id) IN j::text) = 0 THEN
    RETURN j;
  END IF;
  CASE jsonb_typeof(j)
  WHEN 'string' THEN
    said := j #>> '{}';
    IF said <> id THEN
      RETURN to_jsonb(erasure_text(said, id, pseudonym));
    ELSIF of_key IN ('match_id', 'match', 'contest_id', 'contest', 'offer_id', 'app_id', 'campaign_id', 'grant_id',
                     'group_id', 'game_id', 'event_id', 'id', 'subject', 'reward_ref', 'kind', 'match_kind', 'state',
                     'status', 'source', 'currency', 'type', 'digest') THEN
      RETURN j;
    END IF;
    RETURN to_jsonb(pseudonym);
  WHEN 'number' THEN
    RETURN CASE WHEN j::text = id AND length(id) >= 8 THEN to_jsonb(pseudonym) ELSE j END;
  WHEN 'array' THEN
    RETURN (SELECT coalesce(jsonb_agg(erasure_jsonb(e.one, id, pseudonym, of_key) ORDER BY e.place), '[]')
              FROM jsonb_array_elements(j) WITH ORDINALITY AS e (one, place));
  WHEN 'object' THEN
    RETURN (SELECT coalesce(jsonb_object_agg(CASE WHEN m.name = id THEN pseudonym ELSE m.name END,
                                             erasure_jsonb(m.one, id, pseudonym, m.name)), '{}')
              FROM jsonb_each(j) AS m (name, one));
  ELSE
    RETURN j;
  END CASE;
END $$;

-- The same in bytes, whose length stays: the pseudonym is as long as the id. In protobuf an id may have its length right
-- before it.
CREATE FUNCTION erasure_bytes(b bytea, id bytea, pseudonym bytea) RETURNS bytea LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
  wide integer := octet_length(id);
  at integer := 1;
  found integer;
  before integer;
  behind integer;
  escaped boolean;
  -- The last byte of the length as protobuf writes it; longer than 16383 bytes nothing is.
  prefix integer := CASE WHEN octet_length(id) < 128 THEN octet_length(id) ELSE octet_length(id) >> 7 END;
  word boolean[] := ARRAY(SELECT chr(n) ~ '[A-Za-z0-9_-]' FROM generate_series(1, 127) n);
BEGIN
  LOOP
    found := position(id IN substring(b FROM at));
    EXIT WHEN found = 0;
    at := at + found - 1;
    before := CASE WHEN at > 1 THEN get_byte(b, at - 2) END;
    behind := CASE WHEN at + wide <= octet_length(b) THEN get_byte(b, at + wide - 1) END;
    escaped := at > 2 AND get_byte(b, at - 3) = 92 AND before IN (98, 102, 110, 114, 116);
    -- Of a character outside of ASCII there is no telling: it counts as the end of a word.
    IF before = prefix
       OR NOT coalesce(word[before], false) AND NOT coalesce(word[behind], false)
       OR escaped AND NOT coalesce(word[behind], false) THEN
      b := overlay(b PLACING pseudonym FROM at FOR wide);
      at := at + wide;
    ELSE
      at := at + 1;
    END IF;
  END LOOP;
  RETURN b;
END $$;

-- How a body may spell the id: plainly, as JSON writes it, with every character beyond ASCII escaped, and as a URL.
CREATE FUNCTION erasure_spellings(id text) RETURNS bytea[] LANGUAGE sql IMMUTABLE AS $$
  SELECT array_agg(DISTINCT convert_to(spelled, 'UTF8'))
    FROM (
      SELECT id AS spelled
      UNION ALL SELECT erasure_json(id)
      UNION ALL
      SELECT string_agg(CASE WHEN ascii(c) BETWEEN 128 AND 65535 THEN '\u' || lpad(to_hex(ascii(c)), 4, '0')
                             ELSE erasure_json(c) END, '' ORDER BY n)
        FROM regexp_split_to_table(id, '') WITH ORDINALITY AS s (c, n)
      UNION ALL
      SELECT string_agg(CASE WHEN c COLLATE "C" ~ '^[A-Za-z0-9_.~-]$' THEN c
                             ELSE regexp_replace(upper(encode(convert_to(c, 'UTF8'), 'hex')), '(..)', '%\1', 'g') END,
                        '' ORDER BY n)
        FROM regexp_split_to_table(id, '') WITH ORDINALITY AS s (c, n)) spellings
$$;

-- Whether bytes name the id, however they spell it.
CREATE FUNCTION erasure_named(b bytea, spellings bytea[]) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
  spelled bytea;
BEGIN
  FOREACH spelled IN ARRAY spellings LOOP
    IF position(spelled IN b) > 0 THEN
      IF erasure_bytes(b, spelled, decode(repeat('00', octet_length(spelled)), 'hex')) <> b THEN
        RETURN true;
      END IF;
    END IF;
  END LOOP;
  RETURN false;
END $$;

-- An archived event with the id replaced where it names a player: fields of proto-schemas/matchpurse/events/v1, by their
-- numbers from Event on. No length changes, so the message is walked along and written in place.
CREATE FUNCTION erasure_walk(b bytea, at integer, last integer, path text, id bytea, pseudonym bytea, about_player boolean,
                             blot boolean DEFAULT false)
RETURNS bytea LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
  before bytea;
  number bigint;
  shift integer;
  octet integer;
  field text;
  wire integer;
  wide integer;
  own boolean := false;
BEGIN
  WHILE at <= last LOOP
    FOR part IN 1..2 LOOP
      number := 0;
      shift := 0;
      LOOP
        octet := get_byte(b, at - 1);
        at := at + 1;
        number := number | ((octet & 127)::bigint << shift);
        shift := shift + 7;
        EXIT WHEN octet < 128;
      END LOOP;
      IF part = 1 THEN
        wire := number & 7;
        field := path || (number >> 3);
        -- Fixed widths have no number behind the tag.
        EXIT WHEN wire IN (1, 5);
      END IF;
    END LOOP;
    IF wire IN (1, 5) THEN
      at := at + CASE wire WHEN 1 THEN 8 ELSE 4 END;
    ELSIF wire = 2 THEN
      wide := number;
      IF field IN ('20.7', '20.9.3.1', '21.2', '21.3.1', '22.8.1', '22.9.4', '23.2', '25.1', '26.3', '27.2', '28.1')
         OR field = '6' AND about_player THEN
        IF substring(b FROM at FOR wide) = id THEN
          b := overlay(b PLACING pseudonym FROM at FOR wide);
          own := true;
        END IF;
      ELSIF field IN ('22.8.3', '20.9.2') THEN
        -- The nickname, behind the id; and what the player's group is called.
        IF (own OR blot) AND wide > 0 THEN
          b := overlay(b PLACING convert_to(repeat('~', wide), 'UTF8') FROM at FOR wide);
        END IF;
      ELSIF field IN ('20.9.3.2.5', '21.3.3.5', '25.4', '27.5', '29.3', '30.2') THEN
        IF wide > 0 THEN
          b := overlay(b PLACING erasure_bytes(substring(b FROM at FOR wide), id, pseudonym) FROM at FOR wide);
        END IF;
      ELSIF field IN ('20', '20.9', '20.9.3', '20.9.3.2', '21', '21.3', '21.3.3', '22', '22.8', '22.9', '23', '25', '26',
                      '27', '28', '29', '30') THEN
        before := b;
        b := erasure_walk(b, at, at + wide - 1, field || '.', id, pseudonym, about_player);
        -- The name of a group stands before its players.
        IF field = '20.9' AND b <> before THEN
          b := erasure_walk(b, at, at + wide - 1, '20.9.', id, pseudonym, about_player, true);
        END IF;
      END IF;
      at := at + wide;
    ELSIF wire <> 0 THEN
      RAISE EXCEPTION 'an event has a field of a kind that nobody writes' USING ERRCODE = 'ES025';
    END IF;
  END LOOP;
  RETURN b;
END $$;

CREATE FUNCTION erasure_event(event bytea, id bytea, pseudonym bytea, about_player boolean) RETURNS bytea
LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN position(id IN event) = 0 THEN event
              ELSE erasure_walk(event, 1, octet_length(event), '', id, pseudonym, about_player) END
$$;

-- What of a player cannot be cut off yet: money, rewards, notices and decisions on their way. At most 20 of a kind.
CREATE FUNCTION erasure_open(source_name text, player text, own_key uuid)
RETURNS TABLE (what text, about text, amount bigint, currency text) LANGUAGE sql STABLE AS $$
  (SELECT 'balance', a.currency, a.balance, a.currency FROM account a
    WHERE a.owner_key = own_key AND a.kind = 1 AND a.min_balance IS NOT NULL AND a.balance <> 0 LIMIT 20)
  UNION ALL
  (SELECT 'match', m.match_id, CASE WHEN p.state = 1 THEN p.hold ELSE 0 END, m.currency
     FROM match_participant p JOIN match m USING (match_no)
    WHERE p.player_key = own_key AND m.settlement IS NULL LIMIT 20)
  UNION ALL
  (SELECT 'correction', m.match_id, NULL, NULL
     FROM match_participant p JOIN match m USING (match_no) JOIN correction c USING (match_no)
    WHERE p.player_key = own_key AND c.state = 'proposed' LIMIT 20)
  UNION ALL
  (SELECT 'reward', g.grant_id::text, g.amount, g.currency FROM reward_grant g
    WHERE g.player_key = own_key AND g.state IN ('reserved', 'granted', 'needs_review', 'delivering', 'failed') LIMIT 20)
  UNION ALL
  (SELECT 'redemption', c.contest_id, NULL, NULL
     FROM reward_grant g JOIN redemption_call r USING (contest_key, player_key) JOIN contest c USING (contest_key)
    WHERE g.player_key = own_key AND r.state IN ('held', 'waiting') GROUP BY c.contest_id LIMIT 20)
  UNION ALL
  (SELECT 'game', m.match_id, NULL, NULL FROM player_match_stats s JOIN stats_match m USING (stats_key)
    WHERE s.player_key = own_key AND NOT m.finished AND NOT m.canceled AND m.updated_at > now() - interval '1 day' LIMIT 20)
  UNION ALL
  (SELECT 'anomaly', a.id::text, NULL, NULL FROM anomaly a
    WHERE a.source = source_name AND a.resolved_at IS NULL
      AND (erasure_jsonb(a.detail, player, '') <> a.detail
           OR a.subject IN (SELECT m.match_id FROM match_participant p JOIN match m USING (match_no)
                             WHERE p.player_key = own_key)
           OR a.subject IN (SELECT c.contest_id FROM reward_grant g JOIN contest c USING (contest_key)
                             WHERE g.player_key = own_key)) LIMIT 20)
  UNION ALL
  (SELECT 'parked', k.id::text, NULL, NULL FROM parked k
    WHERE k.resolved_at IS NULL AND (k.source = source_name OR k.source IS NULL)
      AND (k.subject = player OR erasure_named(k.body, erasure_spellings(player))) LIMIT 20)
  UNION ALL
  (SELECT 'notice', o.webhook_id::text, NULL, NULL
     FROM (SELECT n.* FROM outbox n WHERE n.fanned_out_at IS NULL
           UNION ALL
           SELECT n.* FROM outbox n
            WHERE n.webhook_id IN (SELECT d.webhook_id FROM delivery d WHERE d.state IN ('waiting', 'behind'))) o
    WHERE o.source = source_name
      AND (o.kind LIKE 'player.%' AND o.subject = player OR erasure_jsonb(o.payload, player, '') <> o.payload) LIMIT 20)
  UNION ALL
  (SELECT 'event', s.event_id::text, NULL, NULL FROM spool s
    WHERE split_part(s.routing_key, '.', 3) = source_name AND erasure_named(s.body, erasure_spellings(player)) LIMIT 20)
$$;

-- What is left of a row of the archive, hashed as the chain hashes rows, with the row's own hash in the place of the one
-- before it: so the tombstone can be proved like a row.
CREATE FUNCTION erasure_field(b bytea) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
  SELECT int8send(coalesce(octet_length(b), 0)::bigint) || coalesce(b, '')
$$;
CREATE FUNCTION erasure_micros(t timestamptz) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
  SELECT int8send((extract(epoch FROM t) * 1000000)::bigint)
$$;

-- So many rows of the source's chain; those that name the player lose their body, and their event gets the pseudonym.
CREATE FUNCTION erasure_archive(job erasure_work, pseudonym text, page integer, OUT reached text, OUT n bigint, OUT gone bigint)
LANGUAGE plpgsql AS $$
DECLARE
  r record;
  o record;
  spellings bytea[] := erasure_spellings(job.player_id);
  id bytea := convert_to(job.player_id, 'UTF8');
  other bytea := convert_to(pseudonym, 'UTF8');
  told boolean;
  of_player text[] := ARRAY['player_standing', 'player_activity'];
BEGIN
  n := 0;
  gone := 0;
  -- What nobody could read may be about a player as well; the same id may be a match's.
  IF NOT EXISTS (SELECT FROM match m WHERE (m.source, m.match_id) = (job.source, job.player_id)) THEN
    of_player := array_append(of_player, 'unrecognized');
  END IF;
  FOR r IN SELECT a.seq, a.event_id, a.delivery_id, a.payload, a.subject, a.raw, a.event FROM archive a
            WHERE a.source = job.source AND a.seq > coalesce(job.done_to::bigint, 0) AND a.seq <= job.archive_end
            ORDER BY a.seq LIMIT page LOOP
    reached := r.seq;
    told := r.subject = job.player_id AND r.payload = ANY (of_player)
      OR erasure_event(r.event, id, other, r.payload = ANY (of_player)) <> r.event;
    CONTINUE WHEN NOT told AND NOT erasure_named(r.raw, spellings);
    -- Told once more it is not applied again. What says something of others only is what it was, and just has no body.
    IF told OR r.payload = 'unrecognized' THEN
      INSERT INTO erased_event (event_id) VALUES (r.event_id) ON CONFLICT DO NOTHING;
    END IF;
    -- Of several events of one delivery the first has the body, whatever way that may write the id.
    FOR o IN SELECT a.*, octet_length(a.raw) AS wide FROM archive a
              WHERE a.source = job.source AND a.seq = r.seq
             UNION ALL
             SELECT a.*, octet_length(a.raw) FROM archive a
              WHERE a.source = job.source AND a.delivery_id = r.delivery_id AND a.seq <> r.seq
                AND octet_length(r.raw) = 0 AND octet_length(a.raw) > 0 LOOP
      IF o.subject = job.player_id AND o.payload = ANY (of_player) THEN
        o.subject := pseudonym;
      END IF;
      o.event := erasure_event(o.event, id, other, o.payload = ANY (of_player));
      UPDATE archive a SET raw = '', event = o.event, subject = o.subject
       WHERE a.source = o.source AND a.seq = o.seq AND a.day = o.day;
      INSERT INTO archive_tombstone AS t (source, seq, event_id, erasure_id, body_bytes, hash, sealed)
      SELECT o.source, o.seq, o.event_id, job.erasure_id, o.wide, o.hash, sha256(
               erasure_field(o.hash) || erasure_field(convert_to(o.source, 'UTF8')) || erasure_field(int8send(o.seq))
               || erasure_field(uuid_send(o.event_id)) || erasure_field(uuid_send(o.delivery_id))
               || erasure_field(convert_to(o.payload, 'UTF8')) || erasure_field(convert_to(o.provider, 'UTF8'))
               || erasure_field(convert_to(o.provider_type, 'UTF8')) || erasure_field(convert_to(o.subject, 'UTF8'))
               || erasure_field(erasure_micros(o.occurred_at)) || erasure_field(erasure_micros(o.received_at))
               || erasure_field(erasure_micros(o.archived_at)) || erasure_field('') || erasure_field(o.event))
      ON CONFLICT (source, seq) DO UPDATE
        SET erasure_id = EXCLUDED.erasure_id, sealed = EXCLUDED.sealed, erased_at = EXCLUDED.erased_at;
      n := n + 1;
      gone := gone + CASE WHEN o.wide > 0 THEN 1 ELSE 0 END;
    END LOOP;
  END LOOP;
END $$;

-- The functions that change something run with the owner's rights, with the one schema of these tables in sight. None takes
-- what is to be written: they replace the one id by the one pseudonym, and take bodies away.
DO $$
BEGIN
  EXECUTE format($function$

-- Begins an erasure: what is found by the player's key is given to the pseudonym, at once or not at all. Answers
--   {"state": "open", "open": [...]}              nothing was changed
--   {"state": "known", "erasure_id": ...}         it runs already, or has run, under this id
--   {"state": "begun", "erasure_id": ..., "changed": {...}, "archive_end": n}
CREATE FUNCTION erasure_begin(id uuid, source_name text, player text, own_key uuid, pseudonym text, pseudonym_key uuid,
                              by_actor text, why text, workers text[], payloads text[])
RETURNS jsonb LANGUAGE plpgsql SECURITY DEFINER SET search_path = %1$I, pg_temp AS $body$
DECLARE
  known uuid;
  waiting jsonb;
  counts jsonb := '{}';
  chain_end bigint;
  step record;
  n bigint;
BEGIN
  -- One at a time, so that two requests for one player do not draw two pseudonyms.
  PERFORM pg_advisory_xact_lock(x'6d61746368657261'::bigint);
  SELECT e.erasure_id INTO known FROM erasure e WHERE e.erasure_id = id;
  IF known IS NULL THEN
    SELECT w.erasure_id INTO known FROM erasure_work w WHERE w.source = source_name AND w.player_id = player;
  END IF;
  IF known IS NOT NULL THEN
    RETURN jsonb_build_object('state', 'known', 'erasure_id', known);
  END IF;
  IF octet_length(pseudonym) <> octet_length(player) OR pseudonym !~ '^(~[A-Za-z0-9_-]+|[!$()*,.:;=@_{|}~]{1,4})$'
     OR EXISTS (SELECT FROM player p WHERE p.player_key = pseudonym_key OR p.source = source_name AND p.player_id = pseudonym)
     OR EXISTS (SELECT FROM erasure e WHERE e.source = source_name AND e.pseudonym = erasure_begin.pseudonym) THEN
    RAISE EXCEPTION 'this pseudonym cannot be had' USING ERRCODE = 'ES025';
  END IF;
  IF EXISTS (SELECT FROM player p WHERE (p.player_key = own_key) <> (p.source = source_name AND p.player_id = player)
                AND (p.player_key = own_key OR p.source = source_name AND p.player_id = player)) THEN
    RAISE EXCEPTION 'the key is not the player''s' USING ERRCODE = 'ES025';
  END IF;
  -- Whoever moves the player's money now is waited for; whoever wants to later finds another account.
  PERFORM FROM account a WHERE a.owner_key = own_key ORDER BY a.id FOR UPDATE;
  SELECT h.seq INTO chain_end FROM archive_head h WHERE h.source = source_name;
  -- What a worker has not applied yet although the archive has it would not be applied any more.
  SELECT jsonb_agg(to_jsonb(o)) INTO waiting FROM (
    SELECT * FROM erasure_open(source_name, player, own_key)
    UNION ALL
    (SELECT 'event', a.event_id::text, NULL, NULL
       FROM unnest(workers, payloads) AS want (worker, payload)
       LEFT JOIN missed_search m ON (m.worker, m.source) = (want.worker, source_name)
       JOIN archive a ON a.source = source_name AND a.payload = want.payload
                     AND a.seq > coalesce(m.through, 0) AND a.seq <= chain_end
      WHERE (m.worker IS NOT NULL OR EXISTS (SELECT FROM inbox i WHERE i.worker = want.worker))
        AND NOT EXISTS (SELECT FROM inbox i WHERE (i.worker, i.event_id) = (want.worker, a.event_id))
        AND NOT EXISTS (SELECT FROM parked k WHERE k.event_id = a.event_id)
        AND NOT EXISTS (SELECT FROM erased_event e WHERE e.event_id = a.event_id)
        AND (a.subject = player OR position(convert_to(player, 'UTF8') IN a.event) > 0) LIMIT 20)) o;
  IF waiting IS NOT NULL THEN
    RETURN jsonb_build_object('state', 'open', 'open', waiting);
  END IF;
  PERFORM set_config('matchpurse.erasing', 'on', true);
  INSERT INTO erasure (erasure_id, source, pseudonym, pseudonym_key, actor, reason, days_left)
  VALUES (id, source_name, pseudonym, pseudonym_key, by_actor, erasure_text(why, player, pseudonym),
          ARRAY(SELECT d.day FROM archive_detached d WHERE d.source = source_name ORDER BY d.day));
  INSERT INTO erasure_work (erasure_id, source, player_id, player_key, archive_end)
  VALUES (id, source_name, player, own_key, coalesce(chain_end, 0));
  -- $1 the player's key, $2 the pseudonym's, $3 the id, $4 the pseudonym, $5 the source. What others are found by comes last.
  FOR step IN SELECT * FROM (VALUES
    ('player_link', 'DELETE FROM player_link l USING player_link own
                      WHERE own.player_key = $1 AND l.person = own.person
                        AND (l.player_key = $1 OR 2 >= (SELECT count(*) FROM player_link o WHERE o.person = own.person))'),
    ('transfer', 'UPDATE transfer SET subject = $2
                   WHERE subject = $1 AND (debit_id = ANY (ARRAY(SELECT id FROM account WHERE owner_key = $1))
                                           OR credit_id = ANY (ARRAY(SELECT id FROM account WHERE owner_key = $1)))'),
    ('account', 'UPDATE account SET owner_key = $2 WHERE owner_key = $1'),
    ('result', 'UPDATE result r SET players = s.players, sides = s.sides, places = s.places
                  FROM result o CROSS JOIN LATERAL (
                       SELECT array_agg(k.key ORDER BY k.key) AS players,
                              coalesce(array_agg(k.side ORDER BY k.key) FILTER (WHERE k.side IS NOT NULL), ''{}'') AS sides,
                              coalesce(array_agg(k.place ORDER BY k.key) FILTER (WHERE k.place IS NOT NULL), ''{}'') AS places
                         FROM unnest(array_replace(o.players, $1, $2), o.sides, o.places) AS k (key, side, place)) s
                 WHERE o.result_key = r.result_key AND $1 = ANY (o.players)
                   AND o.result_key IN (SELECT stats_key FROM player_match_stats WHERE player_key = $1
                                        UNION SELECT match_key FROM match JOIN match_participant USING (match_no)
                                               WHERE player_key = $1)'),
    ('rating_step', 'UPDATE rating_step SET player_key = $2 WHERE player_key = $1'),
    ('rating', 'UPDATE rating SET player_key = $2 WHERE player_key = $1'),
    ('board_rank', 'UPDATE board_rank SET player_key = $2 WHERE player_key = $1'),
    ('board_todo', 'UPDATE board_todo SET player_key = $2 WHERE player_key = $1'),
    ('board_entry', 'UPDATE board_entry SET player_key = $2 WHERE player_key = $1'),
    ('board_exclusion', 'UPDATE board_exclusion SET player_key = $2 WHERE player_key = $1'),
    ('board_operation', 'UPDATE board_operation SET player_key = $2, reason = erasure_text(reason, $3, $4)
                          WHERE player_key = $1'),
    ('stats_match_event', 'UPDATE stats_match_event SET player_key = $2
                            WHERE player_key = $1
                              AND stats_key IN (SELECT stats_key FROM player_match_stats WHERE player_key = $1)'),
    ('player_kick', 'UPDATE player_kick SET player_key = $2 WHERE player_key = $1'),
    ('player_totals', 'UPDATE player_totals SET player_key = $2 WHERE player_key = $1'),
    ('player_match_stats', 'UPDATE player_match_stats SET player_key = $2, nickname = repeat(''~'', octet_length(nickname))
                             WHERE player_key = $1'),
    ('match', 'UPDATE match SET created_by = $4
                WHERE created_by = $3 AND match_no IN (SELECT match_no FROM match_participant WHERE player_key = $1)'),
    ('match_participant', 'UPDATE match_participant SET player_key = $2 WHERE player_key = $1'),
    ('redemption_call', 'UPDATE redemption_call
                            SET player_key = $2, last_detail = erasure_text(last_detail, $3, $4),
                                state = CASE WHEN state IN (''refused'', ''given_up'') THEN ''withdrawn'' ELSE state END
                          WHERE player_key = $1
                            AND contest_key IN (SELECT contest_key FROM reward_grant WHERE player_key = $1)'),
    ('reward_grant', 'UPDATE reward_grant
                         SET player_key = $2, detail = erasure_text(detail, $3, $4),
                             value = CASE WHEN value = $3 THEN value ELSE erasure_text(value, $3, $4) END,
                             payload = erasure_jsonb(payload, $3, $4)
                       WHERE player_key = $1'),
    ('reward_count', 'UPDATE reward_count SET player_key = $2 WHERE source = $5 AND player_key = $1'),
    ('credit_conversion', 'UPDATE credit_conversion SET player_key = $2 WHERE player_key = $1'),
    ('offer_start', 'UPDATE offer_start SET player_key = $2 WHERE player_key = $1'),
    ('offer_start_withdrawal', 'UPDATE offer_start_withdrawal SET player_key = $2, reason = erasure_text(reason, $3, $4)
                                 WHERE player_key = $1'),
    ('offer_change', 'UPDATE offer_change SET subject = $4
                       WHERE subject = $3 AND source = $5 AND kind IN (''player.banned'', ''player.unbanned'')'),
    -- Those whose subject is a player; the sums of an account are compared with them.
    ('operation', 'UPDATE operation SET subject = $4
                    WHERE source = $5 AND subject = $3 AND kind IN (''deposit'', ''withdrawal'', ''player_links'')'),
    ('player_standing', 'UPDATE player_standing SET player_key = $2, reason = erasure_text(reason, $3, $4)
                          WHERE player_key = $1'),
    ('result_feed', 'UPDATE result_feed SET key = $2 WHERE key = $1'),
    ('player', 'UPDATE player SET player_key = $2, player_id = $4 WHERE player_key = $1')
  ) AS s (named, sql) LOOP
    EXECUTE step.sql USING own_key, pseudonym_key, player, pseudonym, source_name;
    GET DIAGNOSTICS n = ROW_COUNT;
    IF n > 0 THEN
      counts := counts || jsonb_build_object(step.named, n);
    END IF;
  END LOOP;
  UPDATE erasure SET changed = counts WHERE erasure_id = id;
  PERFORM set_config('matchpurse.erasing', '', true);
  RETURN jsonb_build_object('state', 'begun', 'erasure_id', id, 'changed', counts,
                            'archive_end', coalesce(chain_end, 0));
END $body$;

-- The next step of an erasure: so many rows more are looked at, of the archive and then of every other table whose rows
-- name players in their texts. False when it is done. Whoever is killed leaves the step undone, and anybody goes on.
CREATE FUNCTION erasure_step(id uuid, page integer) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = %1$I, pg_temp AS $body$
DECLARE
  job erasure_work;
  about erasure;
  named text;
  ordered_by text;
  key_type text;
  wherever text;
  columns text;
  fresh text;
  reached text;
  n bigint;
  gone bigint := 0;
BEGIN
  SELECT * INTO job FROM erasure_work w WHERE w.erasure_id = id FOR UPDATE;
  SELECT * INTO about FROM erasure e WHERE e.erasure_id = id;
  IF job.erasure_id IS NULL THEN
    RETURN false;
  END IF;
  PERFORM set_config('matchpurse.erasing', 'on', true);
  IF job.stage = 1 THEN
    named := 'archive';
    SELECT a.reached, a.n, a.gone INTO reached, n, gone FROM erasure_archive(job, about.pseudonym, page) a;
  ELSE
    -- $1 the key reached, $2 how many rows, $3 the id, $4 the pseudonym, $5 the source, $6 when it began.
    SELECT s.named, s.ordered_by, s.key_type, s.wherever, s.columns, s.fresh
      INTO named, ordered_by, key_type, wherever, columns, fresh FROM (VALUES
      (2, 'outbox', 'position', 'bigint', 't.source = $5 AND t.created_at <= $6 AND t.fanned_out_at IS NOT NULL',
       'subject, payload, body',
       'CASE WHEN t.subject = $3 AND t.kind IN (''player.banned'', ''player.unbanned'') THEN $4 ELSE t.subject END,
        erasure_jsonb(t.payload, $3, $4),
        CASE WHEN erasure_jsonb(t.payload, $3, $4) <> t.payload
             THEN convert_to(erasure_jsonb(convert_from(t.body, ''UTF8'')::jsonb, $3, $4)::text, ''UTF8'') ELSE t.body END'),
      (3, 'delivery_attempt', 'delivery_id', 'bigint',
       't.at <= $6 AND EXISTS (SELECT FROM delivery d JOIN outbox o USING (webhook_id)
                                WHERE d.delivery_id = t.delivery_id AND o.source = $5
                                  AND position($4 IN o.subject || o.payload::text) > 0)',
       'detail', 'erasure_text(t.detail, $3, $4)'),
      (4, 'anomaly', 'id', 'bigint', 't.source = $5 AND t.at <= $6', 'key, detail, resolution',
       -- What tells it from others of its kind and subject stands at the end.
       'regexp_replace(t.key, ''[^/]*$'', '''') || erasure_text(substring(t.key FROM ''[^/]*$''), $3, $4),
        erasure_jsonb(t.detail, $3, $4), erasure_text(t.resolution, $3, $4)'),
      (5, 'operation', 'position', 'bigint', 't.source = $5 AND t.at <= $6 AND t.kind <> ''player_links''',
       'reason, detail', 'erasure_text(t.reason, $3, $4), erasure_jsonb(t.detail, $3, $4)'),
      -- Of a set of identities only the one of this source is meant.
      (6, 'operation', 'position', 'bigint', 't.at <= $6 AND t.kind = ''player_links''', 'reason, detail',
       'erasure_text(t.reason, $3, $4),
        (SELECT coalesce(jsonb_object_agg(m.name, (
                  SELECT coalesce(jsonb_agg(CASE WHEN (i.one ->> ''source'', i.one ->> ''player_id'') = ($5, $3)
                                                 THEN jsonb_set(i.one, ''{player_id}'', to_jsonb($4::text))
                                                 ELSE i.one END ORDER BY i.place), ''[]'')
                    FROM jsonb_array_elements(m.list) WITH ORDINALITY AS i (one, place))), ''{}'')
           FROM jsonb_each(t.detail) AS m (name, list))'),
      (7, 'correction', 'position', 'bigint',
       't.proposed_at <= $6 AND EXISTS (SELECT FROM match m WHERE m.match_no = t.match_no AND m.source = $5)',
       'verdict, reason, decision_reason',
       'erasure_jsonb(t.verdict, $3, $4), erasure_text(t.reason, $3, $4),
        erasure_text(t.decision_reason, $3, $4)'),
      (8, 'parked', 'id', 'bigint',
       '(t.source = $5 OR t.source IS NULL) AND t.parked_at <= $6 AND t.resolved_at IS NOT NULL',
       'subject, reason, resolution_reason, body',
       'CASE WHEN t.subject = $3 AND NOT EXISTS (SELECT FROM match m WHERE (m.source, m.match_id) = ($5, $3))
             THEN $4 ELSE t.subject END,
        erasure_text(t.reason, $3, $4), erasure_text(t.resolution_reason, $3, $4),
        CASE WHEN erasure_named(t.body, erasure_spellings($3)) THEN '''' ELSE t.body END'),
      (9, 'contest', 'contest_key', 'uuid', 't.source = $5 AND t.created_at <= $6',
       'entries', 'erasure_jsonb(t.entries, $3, $4)'),
      (10, 'match', 'match_no', 'bigint', 't.source = $5 AND t.created_at <= $6',
       'created_by', 'CASE WHEN t.created_by = $3 THEN $4 ELSE t.created_by END'),
      (11, 'replay', 'position', 'bigint', 't.started_at <= $6',
       'scope, reason', 'CASE WHEN t.scope ->> ''subject'' = $3 THEN jsonb_set(t.scope, ''{subject}'', to_jsonb($4::text))
                              ELSE t.scope END, erasure_text(t.reason, $3, $4)'),
      (12, 'attempts', 'event_id', 'uuid', 't.last_at <= $6', 'last_error', 'erasure_text(t.last_error, $3, $4)'),
      (13, 'dispatch_operation', 'operation_id', 'bigint', 't.at <= $6', 'reason, detail',
       'erasure_text(t.reason, $3, $4), erasure_jsonb(t.detail, $3, $4)'),
      (14, 'board_operation', 'operation_id', 'bigint', 't.at <= $6', 'reason', 'erasure_text(t.reason, $3, $4)'),
      (15, 'offer_start_withdrawal', 'withdrawal_id', 'bigint', 't.source = $5 AND t.at <= $6',
       'reason', 'erasure_text(t.reason, $3, $4)')
    ) AS s (stage, named, ordered_by, key_type, wherever, columns, fresh) WHERE s.stage = job.stage;
    IF named IS NULL THEN
      UPDATE erasure e
         SET state = 'finished', finished_at = clock_timestamp(),
             came_back = EXISTS (SELECT FROM player p WHERE p.source = job.source AND p.player_id = job.player_id)
       WHERE e.erasure_id = id
      RETURNING e.came_back INTO about.came_back;
      -- Whoever made boards and ratings anew when this began may have written down the key once more.
      IF NOT about.came_back THEN
        DELETE FROM board_entry t WHERE t.player_key = job.player_key;
        DELETE FROM board_todo t WHERE t.player_key = job.player_key;
        DELETE FROM board_rank t WHERE t.player_key = job.player_key;
        DELETE FROM rating_step t WHERE t.player_key = job.player_key;
        DELETE FROM rating t WHERE t.player_key = job.player_key;
      END IF;
      DELETE FROM erasure_work w WHERE w.erasure_id = id;
      PERFORM set_config('matchpurse.erasing', '', true);
      RETURN false;
    END IF;
    -- A row is written only where that changes it.
    EXECUTE format(
      'WITH page AS MATERIALIZED (
         SELECT DISTINCT k FROM (SELECT %%1$I AS k FROM %%2$I
                                  WHERE $1 IS NULL OR %%1$I > $1::%%3$s ORDER BY %%1$I LIMIT $2) few),
       changed AS (
         UPDATE %%2$I t SET (%%4$s) = (SELECT %%5$s) FROM page
          WHERE t.%%1$I = page.k AND %%6$s AND ROW(%%7$s) IS DISTINCT FROM ROW(%%5$s)
         RETURNING 1)
       SELECT (SELECT k::text FROM page ORDER BY k DESC LIMIT 1), (SELECT count(*) FROM changed)',
      ordered_by, named, key_type, columns, fresh, wherever, regexp_replace(columns, '(\w+)', 't.\1', 'g'))
      INTO reached, n USING job.done_to, page, job.player_id, about.pseudonym, job.source, about.began_at;
  END IF;
  UPDATE erasure e
     SET changed = e.changed || jsonb_build_object(named, coalesce((e.changed ->> named)::bigint, 0) + n),
         bodies = e.bodies + gone
   WHERE e.erasure_id = id AND n > 0;
  UPDATE erasure_work w
     SET stage = CASE WHEN reached IS NULL THEN w.stage + 1 ELSE w.stage END, done_to = reached
   WHERE w.erasure_id = id;
  PERFORM set_config('matchpurse.erasing', '', true);
  RETURN true;
END $body$;
$function$, current_schema());
END $$;
REVOKE EXECUTE ON FUNCTION erasure_begin, erasure_step FROM PUBLIC;

DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'matchpurse_app') THEN
    GRANT EXECUTE ON FUNCTION erasure_begin, erasure_step TO matchpurse_app;
  END IF;
END $$;
