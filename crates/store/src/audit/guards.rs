//! What keeps the ledger true between two audits: it must itself be there.

use super::Check;

// By name; a migration that renames one must do so here too, and the audit's tests say so.
pub(super) const GUARDS: Check = Check {
    name: "the ledger's constraints, keys and triggers are there and in force",
    sql: "SELECT format('%s %s of %s is %s', g.what, g.name, g.table_name,
                        CASE WHEN coalesce(c.oid, t.oid, i.indexrelid) IS NULL THEN 'not there'
                             ELSE 'not in force' END)
            FROM (VALUES
              ('constraint', 'account', 'account_owner_key_kind_currency_key'),
              ('constraint', 'account', 'balance_floor'),
              ('constraint', 'account', 'escrow_never_negative'),
              ('constraint', 'account', 'closed_is_zero'),
              ('constraint', 'match', 'match_match_key_key'),
              ('constraint', 'match', 'match_source_kind_match_id_key'),
              ('constraint', 'match', 'amounts_not_negative'),
              ('constraint', 'match', 'never_overpaid'),
              ('constraint', 'match', 'settled_is_exact'),
              ('constraint', 'match', 'settled_iff_terminal'),
              ('constraint', 'match', 'settled_at_set'),
              ('constraint', 'match', 'refund_means_all'),
              ('constraint', 'match_participant', 'match_participant_pkey'),
              ('constraint', 'match_participant', 'match_participant_hold_check'),
              ('constraint', 'match_participant', 'match_participant_payout_check'),
              ('constraint', 'match_participant', 'match_participant_check'),
              ('constraint', 'match_participant', 'match_participant_check1'),
              ('constraint', 'match_participant', 'match_participant_check2'),
              ('constraint', 'match_participant', 'match_participant_check3'),
              ('constraint', 'transfer', 'transfer_pkey'),
              ('constraint', 'transfer', 'transfer_amount_check'),
              ('constraint', 'transfer', 'transfer_check'),
              ('constraint', 'transfer', 'transfer_kind_check'),
              ('constraint', 'transfer', 'transfer_match_check'),
              ('constraint', 'operation', 'operation_pkey'),
              ('constraint', 'match_result', 'match_result_pkey'),
              ('constraint', 'match_result', 'match_result_operation_id_key'),
              ('constraint', 'result_report', 'result_report_pkey'),
              ('constraint', 'match_link', 'match_link_pkey'),
              ('trigger', 'match_link', 'match_link_guard'),
              ('constraint', 'correction', 'correction_pkey'),
              ('constraint', 'correction', 'two_persons'),
              ('constraint', 'archive', 'archive_pkey'),
              ('constraint', 'archive_event', 'archive_event_pkey'),
              ('constraint', 'archive_detached', 'archive_detached_pkey'),
              ('constraint', 'archive_tombstone', 'archive_tombstone_pkey'),
              ('constraint', 'archive_tombstone', 'archive_tombstone_erasure_id_fkey'),
              ('constraint', 'erased_event', 'erased_event_pkey'),
              ('trigger', 'archive_tombstone', 'archive_tombstone_guard'),
              ('trigger', 'erased_event', 'erased_event_guard'),
              ('trigger', 'erasure', 'erasure_guard'),
              ('index', 'transfer', 'one_settlement_per_player'),
              ('index', 'correction', 'one_proposal_per_match'),
              ('index', 'correction', 'one_correction_per_generation'),
              ('trigger', 'account', 'account_guard'),
              ('trigger', 'correction', 'correction_guard'),
              ('trigger', 'match', 'match_guard'),
              ('trigger', 'match_result', 'match_result_guard'),
              ('trigger', 'match_result', 'match_result_guard_truncate'),
              ('trigger', 'operation', 'result_report_erased'),
              ('trigger', 'transfer', 'transfer_guard'),
              ('trigger', 'transfer', 'transfer_guard_truncate'),
              ('trigger', 'operation', 'operation_guard'),
              ('trigger', 'operation', 'operation_guard_truncate'),
              ('constraint', 'reward_grant', 'reward_grant_pkey'),
              ('constraint', 'reward_grant', 'reward_grant_contest_key_player_key_reward_ref_key'),
              ('constraint', 'conversion_answer', 'conversion_answer_pkey'),
              ('constraint', 'redemption_call', 'redemption_call_pkey'),
              ('trigger', 'delivery', 'delivery_history_guard'),
              ('trigger', 'outbox', 'outbox_history_guard'),
              ('trigger', 'reward_grant', 'reward_grant_guard'),
              ('trigger', 'stats_match', 'stats_match_guard'),
              ('constraint', 'player_match_stats', 'player_match_stats_pkey'),
              ('constraint', 'player_link', 'player_link_pkey'),
              ('trigger', 'player_link', 'player_link_guard'),
              ('trigger', 'conversion_answer', 'conversion_answer_guard'),
              ('trigger', 'conversion_answer', 'conversion_answer_guard_truncate'),
              ('trigger', 'parked', 'parked_guard'),
              ('constraint', 'contest', 'contest_pkey'),
              ('constraint', 'contest', 'contest_source_kind_contest_id_key'),
              ('constraint', 'outbox', 'outbox_pkey'),
              ('constraint', 'delivery', 'delivery_webhook_id_endpoint_id_key'),
              ('trigger', 'outbox', 'outbox_guard'),
              ('constraint', 'dispatch_request', 'dispatch_request_pkey'),
              ('trigger', 'dispatch_request', 'dispatch_request_guard'),
              ('trigger', 'dispatch_request', 'dispatch_request_guard_truncate'),
              ('trigger', 'dispatch_operation', 'dispatch_operation_guard'),
              ('trigger', 'dispatch_operation', 'dispatch_operation_guard_truncate'),
              ('trigger', 'board_operation', 'board_operation_guard'),
              ('trigger', 'board_operation', 'board_operation_guard_truncate'),
              ('trigger', 'offer_change', 'offer_change_guard'),
              ('trigger', 'offer_start', 'offer_start_guard'),
              ('trigger', 'offer_start_withdrawal', 'offer_start_withdrawal_guard'),
              ('trigger', 'offer_start_withdrawal', 'offer_start_withdrawal_guard_truncate')
            ) g (what, table_name, name)
            LEFT JOIN pg_constraint c
                   ON g.what = 'constraint' AND c.conrelid = to_regclass(g.table_name) AND c.conname = g.name
            LEFT JOIN pg_trigger t
                   ON g.what = 'trigger' AND t.tgrelid = to_regclass(g.table_name) AND t.tgname = g.name
            LEFT JOIN pg_index i
                   ON g.what = 'index' AND i.indrelid = to_regclass(g.table_name)
                  AND i.indexrelid = to_regclass(g.name)
           WHERE coalesce(c.convalidated, t.tgenabled IN ('O', 'A'), i.indisunique AND i.indisvalid) IS NOT TRUE",
};

// Where the role could not be made, the services run as the owner, and there is nothing to take away.
pub(super) const RIGHTS: Check = Check {
    name: "the services may add to the ledger and the archive, and take nothing away",
    sql: "SELECT format('%s has the right to %s on %s', r.rolname, right_name, table_name)
            FROM pg_roles r
           CROSS JOIN (VALUES ('transfer'), ('operation'), ('archive'), ('archive_event'),
                             ('archive_detached'), ('conversion_answer'), ('dispatch_operation'),
                             ('dispatch_request'), ('board_operation'), ('offer_start_withdrawal'), ('erasure'),
                             ('match_result'),
                             ('erased_event'), ('archive_tombstone')) kept (table_name)
           CROSS JOIN (VALUES ('UPDATE'), ('DELETE'), ('TRUNCATE')) taken (right_name)
           WHERE r.rolname IN ('matchpurse_app', 'matchpurse_ingress', 'matchpurse_match_escrow',
                               'matchpurse_reward_fulfillment', 'matchpurse_player_stats', 'matchpurse_offer_removal',
                               'matchpurse_event_archive', 'matchpurse_dispatcher', 'matchpurse_api',
                               'matchpurse_operator')
             AND has_table_privilege(r.oid, to_regclass(table_name), right_name)",
};
