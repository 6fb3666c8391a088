-- A login for each service, which has the rights of its role and no others. Run it once a server as somebody with CREATEROLE:
--
--   psql -v ingress=... -v match_escrow=... -v reward_fulfillment=... -v player_stats=... -v offer_removal=... \
--        -v event_archive=... -v dispatcher=... -v reconciler=... -v api=... -v operator=... \
--        -f postgres-service-roles.sql
--
-- with a password each. The roles without a login are what `matchpurse migrate` grants to; it makes them itself where it may.
-- Run `matchpurse migrate` afterwards, as the owner of the database, which these logins must not be.
CREATE ROLE matchpurse_ingress NOLOGIN;
CREATE ROLE matchpurse_match_escrow NOLOGIN;
CREATE ROLE matchpurse_reward_fulfillment NOLOGIN;
CREATE ROLE matchpurse_player_stats NOLOGIN;
CREATE ROLE matchpurse_offer_removal NOLOGIN;
CREATE ROLE matchpurse_event_archive NOLOGIN;
CREATE ROLE matchpurse_dispatcher NOLOGIN;
CREATE ROLE matchpurse_reconciler NOLOGIN;
CREATE ROLE matchpurse_api NOLOGIN;
CREATE ROLE matchpurse_operator NOLOGIN;

CREATE ROLE ingress LOGIN PASSWORD :'ingress' IN ROLE matchpurse_ingress;
CREATE ROLE match_escrow LOGIN PASSWORD :'match_escrow' IN ROLE matchpurse_match_escrow;
CREATE ROLE reward_fulfillment LOGIN PASSWORD :'reward_fulfillment' IN ROLE matchpurse_reward_fulfillment;
CREATE ROLE player_stats LOGIN PASSWORD :'player_stats' IN ROLE matchpurse_player_stats;
CREATE ROLE offer_removal LOGIN PASSWORD :'offer_removal' IN ROLE matchpurse_offer_removal;
CREATE ROLE event_archive LOGIN PASSWORD :'event_archive' IN ROLE matchpurse_event_archive;
CREATE ROLE dispatcher LOGIN PASSWORD :'dispatcher' IN ROLE matchpurse_dispatcher;
CREATE ROLE reconciler LOGIN PASSWORD :'reconciler' IN ROLE matchpurse_reconciler;
CREATE ROLE api LOGIN PASSWORD :'api' IN ROLE matchpurse_api;
CREATE ROLE operator LOGIN PASSWORD :'operator' IN ROLE matchpurse_operator;
