-- What each service may do in the database, and no more: `matchpurse migrate` puts it into force each time, after the
-- migrations and under their lock, in one transaction. Roles belong to the whole server and may be made later than the
-- tables, by somebody else: one that is not there is left out, and has its rights after the next `matchpurse migrate`.
--
-- No role owns anything. What a service logs in as is a member of its role; `matchpurse_app`, whose rights stand in the
-- migrations, may do what all services together do, for development and for whoever wants one login. `docs/adr/0013` says why.

DO $$
DECLARE
  role text;
BEGIN
  FOREACH role IN ARRAY ARRAY['ingress', 'match_escrow', 'reward_fulfillment', 'player_stats', 'offer_removal',
                              'event_archive', 'dispatcher', 'reconciler', 'api', 'operator'] LOOP
    role := 'matchpurse_' || role;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
      BEGIN
        EXECUTE format('CREATE ROLE %I NOLOGIN', role);
      EXCEPTION
        -- Another database of the server is migrated at the same time.
        WHEN duplicate_object OR unique_violation THEN NULL;
        WHEN insufficient_privilege THEN
          RAISE NOTICE 'role % was not created: no privilege; deploy/postgres-service-roles.sql makes it', role;
      END;
    END IF;
  END LOOP;
END $$;

DO $$
DECLARE
  roles text[] := ARRAY['matchpurse_ingress', 'matchpurse_match_escrow', 'matchpurse_reward_fulfillment',
    'matchpurse_player_stats', 'matchpurse_offer_removal', 'matchpurse_event_archive', 'matchpurse_dispatcher',
    'matchpurse_reconciler', 'matchpurse_api', 'matchpurse_operator'];
  role text;
  given record;
BEGIN
  -- Somebody else's tables are somebody else's to give.
  IF NOT pg_has_role((SELECT relowner FROM pg_class WHERE oid = to_regclass('transfer')), 'USAGE') THEN
    RETURN;
  END IF;

  -- What an earlier version granted and this one does not is taken back; nobody sees the moment between, nor waits.
  FOR role IN SELECT rolname FROM pg_roles WHERE rolname = ANY (roles) LOOP
    EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA %I FROM %I', current_schema(), role);
    EXECUTE format('REVOKE ALL ON ALL SEQUENCES IN SCHEMA %I FROM %I', current_schema(), role);
    EXECUTE format('REVOKE ALL ON FUNCTION archive_make_day, archive_detach_day, erasure_begin, erasure_step FROM %I', role);
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), role);
  END LOOP;

  FOR given IN SELECT 'matchpurse_' || to_role AS to_role, rights, tables FROM (VALUES
    ('ingress', 'SELECT', 'refinery_schema_history'),
    ('ingress', 'SELECT, INSERT', 'conversion_answer'),
    ('ingress', 'SELECT, INSERT, UPDATE, DELETE', 'spool, spool_destination'),
    ('match_escrow', 'SELECT',
     'archive, archive_head, correction, erased_event, refinery_schema_history, stats_match'),
    ('match_escrow', 'SELECT, INSERT',
     'anomaly, inbox, match_result, missed_search, operation, outbox, parked, player, replay, result_feed, transfer'),
    ('match_escrow', 'SELECT, UPDATE', 'match_link'),
    ('match_escrow', 'SELECT, INSERT, UPDATE', 'account, match, match_participant, result_report'),
    ('match_escrow', 'SELECT, INSERT, UPDATE, DELETE', 'attempts, match_deadline, spool, spool_destination'),
    ('reward_fulfillment', 'SELECT', 'archive, archive_head, erased_event, refinery_schema_history'),
    ('reward_fulfillment', 'SELECT, INSERT',
     'anomaly, credit_conversion, inbox, missed_search, outbox, parked, player, replay'),
    ('reward_fulfillment', 'SELECT, UPDATE', 'redemption_call'),
    ('reward_fulfillment', 'SELECT, INSERT, UPDATE', 'contest, reward_count, reward_grant'),
    ('reward_fulfillment', 'SELECT, INSERT, UPDATE, DELETE', 'attempts, spool, spool_destination'),
    ('player_stats', 'SELECT',
     'archive, archive_head, board_exclusion, erased_event, match, match_participant, player_link, player_standing,
      refinery_schema_history'),
    ('player_stats', 'SELECT, INSERT',
     'anomaly, inbox, missed_search, outbox, parked, player, player_kick, replay, stats_match_event'),
    ('player_stats', 'SELECT, INSERT, UPDATE', 'player_totals, stats_match'),
    ('player_stats', 'SELECT, INSERT, DELETE', 'board_rank, board_todo, rating_step, result_feed'),
    ('player_stats', 'SELECT, UPDATE, DELETE', 'result_fill'),
    ('player_stats', 'SELECT, INSERT, UPDATE, DELETE',
     'attempts, board, board_entry, board_season, player_match_stats, rating, rating_game, result, spool,
      spool_destination'),
    ('offer_removal', 'SELECT', 'archive, archive_head, erased_event, refinery_schema_history'),
    ('offer_removal', 'INSERT', 'result_feed'),
    ('offer_removal', 'SELECT, INSERT', 'inbox, missed_search, outbox, parked, player, replay'),
    ('offer_removal', 'SELECT, UPDATE', 'offer_change_horizon'),
    ('offer_removal', 'SELECT, INSERT, UPDATE', 'offer, player_standing'),
    ('offer_removal', 'SELECT, INSERT, DELETE', 'offer_change'),
    ('offer_removal', 'SELECT, INSERT, UPDATE, DELETE', 'attempts, spool, spool_destination'),
    ('event_archive', 'SELECT', 'archive_detached, erased_event, refinery_schema_history'),
    ('event_archive', 'SELECT, INSERT', 'archive, archive_event, missed_search, parked, replay'),
    ('event_archive', 'SELECT, INSERT, UPDATE', 'archive_head, source_hour'),
    ('event_archive', 'SELECT, INSERT, DELETE', 'inbox'),
    ('event_archive', 'SELECT, INSERT, UPDATE, DELETE', 'attempts, spool, spool_destination'),
    ('dispatcher', 'SELECT', 'contest, endpoint_secret, operation, player, refinery_schema_history'),
    ('dispatcher', 'SELECT, INSERT', 'dispatch_operation'),
    ('dispatcher', 'SELECT, UPDATE', 'result_report, reward_grant'),
    ('dispatcher', 'SELECT, INSERT, UPDATE', 'call_slot, endpoint, redemption_call'),
    ('dispatcher', 'SELECT, UPDATE, DELETE', 'outbox'),
    ('dispatcher', 'SELECT, INSERT, UPDATE, DELETE', 'delivery, delivery_attempt'),
    ('reconciler', 'SELECT',
     'anomaly, match, match_deadline, match_participant, offer, player, refinery_schema_history, stats_match'),
    -- An answer is put beside what it is evidence of.
    ('reconciler', 'UPDATE (detail)', 'anomaly'),
    ('reconciler', 'SELECT, INSERT, UPDATE', 'call_slot'),
    ('reconciler', 'SELECT, INSERT, UPDATE, DELETE', 'inquiry'),
    ('api', 'SELECT',
     'archive, archive_event, archive_head, archive_tombstone, attempts, board, board_rank, contest, credit_conversion,
      delivery_attempt, erased_event, erasure, inbox, offer, offer_change, offer_change_horizon, player_kick, player_standing, rating,
      rating_game, rating_step, refinery_schema_history, result, reward_count, source_hour'),
    ('api', 'SELECT, INSERT',
     'board_operation, dispatch_operation, dispatch_request, inquiry, match_result, offer_start_withdrawal, operation,
      player, result_feed, spool, spool_destination, stats_match_event, transfer'),
    -- A player who has begun to play is asked about at once.
    ('api', 'UPDATE (claims, due_at, wanted_until)', 'inquiry'),
    ('api', 'SELECT, UPDATE', 'board_entry, match, parked, reward_grant, stats_match'),
    ('api', 'SELECT, INSERT, UPDATE',
     'account, anomaly, board_season, call_slot, correction, delivery, endpoint, match_participant, outbox,
      redemption_call, match_link, result_report'),
    ('api', 'SELECT, INSERT, DELETE', 'board_exclusion, endpoint_secret, offer_start, player_link'),
    ('api', 'SELECT, INSERT, UPDATE, DELETE', 'match_deadline, player_match_stats, player_totals'),
    ('operator', 'INSERT',
     'board_operation, dispatch_operation, dispatch_request, offer_start_withdrawal, operation, player, replay,
      result_feed, spool, spool_destination, stats_match_event, transfer'),
    ('operator', 'UPDATE', 'board_entry, match, parked, reward_grant, stats_match'),
    ('operator', 'INSERT, UPDATE',
     'account, anomaly, board_season, correction, delivery, endpoint, match_participant, outbox, redemption_call'),
    ('operator', 'INSERT, DELETE', 'board_exclusion, endpoint_secret, offer_start, player_link'),
    ('operator', 'INSERT, UPDATE, DELETE', 'match_deadline, player_match_stats, player_totals'),
    -- The search for what a worker never got begins where it ended, and never for another source.
    ('match_escrow', 'UPDATE (payloads, through, looked_at)', 'missed_search'),
    ('reward_fulfillment', 'UPDATE (payloads, through, looked_at)', 'missed_search'),
    ('player_stats', 'UPDATE (payloads, through, looked_at)', 'missed_search'),
    ('offer_removal', 'UPDATE (payloads, through, looked_at)', 'missed_search'),
    ('event_archive', 'UPDATE (payloads, through, looked_at)', 'missed_search'),
    -- An offer is locked while somebody starts it, and PostgreSQL wants the right to change any column for that.
    ('api', 'UPDATE (updated_at)', 'offer'),
    ('operator', 'UPDATE (updated_at)', 'offer')
  ) AS matrix (to_role, rights, tables)
  WHERE EXISTS (SELECT FROM pg_roles WHERE rolname = 'matchpurse_' || to_role) LOOP
    EXECUTE format('GRANT %s ON %s TO %I', given.rights, given.tables, given.to_role);
  END LOOP;

  -- Who writes to the spool or the outbox takes the next place there.
  FOR given IN SELECT r.rolname AS to_role, place FROM pg_roles r, (VALUES
      ('spool', 'spool_position'), ('outbox', 'outbox_position_seq')) AS places (of_table, place)
     WHERE r.rolname = ANY (roles) AND has_table_privilege(r.oid, to_regclass(of_table), 'INSERT') LOOP
    EXECUTE format('GRANT USAGE ON SEQUENCE %I TO %I', given.place, given.to_role);
  END LOOP;

  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'matchpurse_event_archive') THEN
    GRANT EXECUTE ON FUNCTION archive_make_day, archive_detach_day TO matchpurse_event_archive;
  END IF;
  -- Who erases a player calls these, and has no right to what they do.
  FOR role IN SELECT rolname FROM pg_roles WHERE rolname IN ('matchpurse_api', 'matchpurse_operator') LOOP
    EXECUTE format('GRANT EXECUTE ON FUNCTION erasure_begin, erasure_step TO %I', role);
  END LOOP;
  -- People look at everything, and export a day before it leaves; but whom an erasure is about while it runs, nobody sees.
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'matchpurse_operator') THEN
    EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA %I TO matchpurse_operator', current_schema());
    REVOKE ALL ON erasure_work FROM matchpurse_operator;
    GRANT EXECUTE ON FUNCTION archive_detach_day TO matchpurse_operator;
  END IF;
END $$;
