use matchpurse_domain::boards::{Direction, Metric, SeasonKind};
use matchpurse_domain::grants::GrantKind;

use super::*;

/// The least that a configuration must say.
const LEAST: &str = "database.url = \"postgres://app:hunter2@db/app\"\n";

/// A source with nothing wrong.
const SOURCE: &str = r#"
[sources.main-game]
provider = "someone"
currency = "USD"
custody = "studio"
"#;

#[track_caller]
fn settings(text: &str) -> Settings {
    Settings::parse_str(&format!("{LEAST}{text}")).unwrap_or_else(|error| panic!("{error}"))
}

#[track_caller]
fn refused(text: &str) -> String {
    Settings::parse_str(&format!("{LEAST}{text}")).expect_err("this should be refused").to_string()
}

fn with_variables(variables: &[(&str, &str)]) -> Result<Settings, ConfigError> {
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Settings::load(None, variables)
}

fn source_name(text: &str) -> SourceName {
    SourceName::parse(text).unwrap()
}

#[test]
fn the_defaults_need_only_a_database() {
    insta::assert_snapshot!(Settings::parse_str("").unwrap_err(), @"`database.url`: must be given, in the file or as MATCHPURSE_DATABASE__URL");
    let settings = settings("");
    assert!(settings.broker.url.is_none(), "the transport without a broker is the default");
    assert!(settings.sources.is_empty());
    assert_eq!(settings.database.url.expose(), "postgres://app:hunter2@db/app");
    let listen = settings.workers.of("player-stats").unwrap().admin_listen.as_deref();
    assert_eq!(listen, Some("127.0.0.1:9103"));
}

/// The documentation's example, with its settings uncommented, is a configuration.
#[test]
fn the_example_in_the_defaults_is_right() {
    let (_, example) = DEFAULT_TOML.split_once("# A complete example.").unwrap();
    let lines: Vec<&str> = example
        .lines()
        .filter_map(|line| line.strip_prefix('#'))
        .filter(|line| !line.starts_with(' ') && !line.starts_with("keys."))
        .collect();
    assert_eq!(lines.len(), 21, "{lines:#?}");
    let settings = settings(&lines.join("\n"));
    let source = &settings.sources[&source_name("main-game")];
    assert_eq!(source.game(), "shooter");
    assert_eq!(source.policy().stake, Some(500));
    assert_eq!(source.policy().hold_deadline_s, 72 * 3600);
    assert_eq!(source.policy().fee_bps, 1000);
    assert!(source.decides_linked());
    assert_eq!(source.max_body_bytes(), Some(262_144));
    assert_eq!(source.secrets()[0].expose(), "44c3e83c-8d8b-475b-9018-75bf831d0ade");
    assert_eq!(source.options()["issuer"], OptionValue::Text("https://issuer.example".to_owned()));
    let limits = source.rewards().limits.as_ref().unwrap();
    assert_eq!((limits.player_day.count, limits.player_day.amount), (Some(20), Some(5_000)));
    assert_eq!((limits.source_hour.count, limits.source_hour.amount), (Some(1_000), Some(200_000)));
    assert!(source.rewards().schemas[&GrantKind::Studio].text.starts_with("{ \"type\""));
}

#[test]
fn what_is_wanted_of_rewards_comes_from_texts_files_and_variables() {
    let source = settings(SOURCE).sources.remove(&source_name("main-game")).unwrap();
    assert_eq!(source.rewards(), &RewardSettings::default(), "nothing is wanted by default");
    assert!(!settings(SOURCE).render().contains("rewards"));

    let folder = std::env::temp_dir().join(format!("settings-rewards-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("credit.json");
    std::fs::write(&file, "true\n").unwrap();
    let text =
        format!("{SOURCE}rewards.source_hour_amount = \"0\"\nrewards.schemas.credit = {{ file = {file:?} }}");
    let source = settings(&text).sources.remove(&source_name("main-game")).unwrap();
    let limits = source.rewards().limits.as_ref().unwrap();
    assert_eq!((limits.player_day.is_some(), limits.source_hour.amount), (false, Some(0)));
    let read = &source.rewards().schemas[&GrantKind::Credit];
    assert_eq!((read.text.as_str(), read.file.as_deref()), ("true\n", file.to_str()));
    let shown = settings(&text).render();
    assert!(shown.contains("source_hour_amount = \"0\"") && shown.contains("credit.json"), "{shown}");
    assert_eq!(Settings::parse_str(&shown).unwrap().render(), shown, "what is shown can be used");
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(refused(&text).contains("`sources.main-game.rewards.schemas.credit`: cannot read the schema"));

    let settings = with_variables(&[
        ("MATCHPURSE_DATABASE__URL", "postgres://db/app"),
        ("MATCHPURSE_SOURCES__ARENA__PROVIDER", "someone"),
        ("MATCHPURSE_SOURCES__ARENA__CURRENCY", "EUR"),
        ("MATCHPURSE_SOURCES__ARENA__CUSTODY", "provider"),
        ("MATCHPURSE_SOURCES__ARENA__REWARDS__PLAYER_DAY_COUNT", "3"),
        ("MATCHPURSE_SOURCES__ARENA__REWARDS__SCHEMAS__STUDIO", r#"{"type": "object"}"#),
    ]);
    let source = settings.unwrap().sources.remove(&source_name("arena")).unwrap();
    assert_eq!(source.rewards().limits.as_ref().unwrap().player_day.count, Some(3));
    assert_eq!(source.rewards().schemas[&GrantKind::Studio].text, r#"{"type": "object"}"#);
}

#[test]
fn what_cannot_be_wanted_of_rewards_is_named_with_its_place() {
    let text = format!(
        "{SOURCE}[sources.main-game.rewards]
player_day_amount = \"5.001\"
source_hour_amount = \"-1\"
schemas.cash = \"true\"
schemas.studo = \"true\"
"
    );
    insta::assert_snapshot!(refused(&text), @r#"
    settings, line 8: `sources.main-game.rewards.player_day_amount`: "5.001" is finer than the 2 decimal places of its currency
    settings, line 9: `sources.main-game.rewards.source_hour_amount`: "-1" is negative
    settings, line 10: `sources.main-game.rewards.schemas.cash`: "cash" is not one of studio, points, credit
    settings, line 11: `sources.main-game.rewards.schemas.studo`: "studo" is not one of studio, points, credit; did you mean `studio`?
    "#);
    insta::assert_snapshot!(refused(&format!("{SOURCE}rewards.player_day_count = -1")), @"settings, line 7: `sources.main-game.rewards.player_day_count`: expected a whole number from 0 to 4294967295, found -1");
    insta::assert_snapshot!(refused(&format!("{SOURCE}rewards.player_day_cout = 1")), @"settings, line 7: unknown key `sources.main-game.rewards.player_day_cout`; did you mean `sources.main-game.rewards.player_day_count`?");
    insta::assert_snapshot!(refused(&format!("{SOURCE}rewards.schemas.studio = true")), @r#"settings, line 7: `sources.main-game.rewards.schemas.studio`: expected a JSON Schema as text or { file = "path" }, found true"#);
}

#[test]
fn a_source_becomes_a_policy() {
    let text = r#"
[sources.arena]
provider = "someone"
currency = "GEM"
currency_exponent = 0
custody = "provider"
tie_policy = "split"
stake = "25"
hold_deadline_hours = 1
"#;
    let settings = settings(text);
    insta::assert_debug_snapshot!(settings.sources[&source_name("arena")].policy(), @r#"
    SourcePolicy {
        source: "arena",
        provider: "someone",
        currency: Currency {
            code: GEM,
            exponent: 0,
        },
        custody: Provider,
        fee_bps: 0,
        tie_policy: Split,
        stake: Some(
            25,
        ),
        hold_deadline_s: 3600,
        on_deadline: Refund,
    }
    "#);
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest_name() {
    insta::assert_snapshot!(refused("[ingress]\nlisen = \"0.0.0.0:80\""), @"settings, line 3: unknown key `ingress.lisen`; did you mean `ingress.listen`?");
    insta::assert_snapshot!(refused(&format!("{SOURCE}fee_bsp = 100")), @"settings, line 7: unknown key `sources.main-game.fee_bsp`; did you mean `sources.main-game.fee_bps`?");
    insta::assert_snapshot!(refused("[source.main]\nprovider = \"x\""), @"settings, line 2: unknown key `source`; did you mean `sources`?");
    insta::assert_snapshot!(refused("[workers.match-escrow]\nadmin_listen = \"\""), @"settings, line 2: unknown key `workers.match-escrow`; did you mean `workers.match_escrow`?");
    let unknown = with_variables(&[("MATCHPURSE_DATABASE__POOLSIZE", "3")]);
    insta::assert_snapshot!(unknown.unwrap_err(), @"environment variable MATCHPURSE_DATABASE__POOLSIZE: unknown key `database.poolsize`; did you mean `MATCHPURSE_DATABASE__POOL_SIZE`?");
    let unknown = with_variables(&[("MATCHPURSE_DATABASE_URL", "postgres://db/app")]);
    insta::assert_snapshot!(unknown.unwrap_err(), @"environment variable MATCHPURSE_DATABASE_URL: unknown key `database_url`; did you mean `MATCHPURSE_DATABASE__URL`?");
}

#[test]
fn a_missing_or_wrong_value_is_named_with_its_place() {
    insta::assert_snapshot!(refused("[sources.main]\nprovider = \"someone\"\ncurrency = \"USD\""), @"settings, line 2: `sources.main.custody` is missing");
    insta::assert_snapshot!(refused("[ingress]\nspool = \"yes\""), @"settings, line 3: `ingress.spool`: expected true or false, found text");
    insta::assert_snapshot!(refused("[telemetry]\nlog_format = \"jsn\""), @r#"settings, line 3: `telemetry.log_format`: "jsn" is not one of auto, human, json; did you mean `json`?"#);
    insta::assert_snapshot!(refused("[broker]\nurl = \"amqp://mq\"\ntls_ca = \"/etc/ca.pem\""), @"settings, line 4: `broker.tls_ca`: is for TLS, and `broker.url` is plain text: it begins with `amqp://`");
    insta::assert_snapshot!(Settings::parse_str("database.url = \"postgres://db/n?sslmode=prefer\"").unwrap_err(), @"settings, line 1: `database.url`: `sslmode=prefer` protects from nobody: say `disable` or `verify-full`");
    insta::assert_snapshot!(Settings::parse_str("database.url = \"postgres://db/n?sslmode=require\"").unwrap_err(), @"settings, line 1: `database.url`: `sslmode=require` needs `database.tls_ca`: it does not look at the host's name; `verify-full` does");
    insta::assert_snapshot!(refused("[broker]\nurl = \"http://mq\""), @"settings, line 3: `broker.url`: must begin with `amqp://` or `amqps://`");
    insta::assert_snapshot!(Settings::parse_str("database.url = \"mysql://db\"").unwrap_err(), @"settings, line 1: `database.url`: must begin with `postgres://` or `postgresql://`");
    insta::assert_snapshot!(refused(&format!("{SOURCE}options.leeway = 1.5")), @"settings, line 7: `sources.main-game.options.leeway`: expected a text, a whole number, true or false, or a list of texts, found a number with a point");
    insta::assert_snapshot!(refused(&format!("{SOURCE}options.audience = [1]")), @"settings, line 7: `sources.main-game.options.audience[0]`: expected text, found a whole number");
    insta::assert_snapshot!(refused(&format!("{SOURCE}secrets = \"hunter2\"")), @"settings, line 7: `sources.main-game.secrets`: expected a list, found text");
}

#[test]
fn a_token_has_a_name() {
    let text = "[api.tokens.\" \"]\nsecret = \"0123456789abcdef0123456789abcdef\"\nscopes = [\"read\"]";
    insta::assert_snapshot!(refused(text), @"settings, line 2: `api.tokens`: a token must have a name: it is the actor in every record");
}

#[test]
fn a_token_may_say_whose_it_is() {
    let tokens = |first: &str, second: &str| {
        format!(
            "[api.tokens.laptop]\nsecret = \"0123456789abcdef0123456789abcdef\"\nscopes = [\"read\"]\n{first}\n\
             [api.tokens.Ann]\nsecret = \"fedcba9876543210fedcba9876543210\"\nscopes = [\"read\"]\n{second}"
        )
    };
    let both = settings(&tokens("person = \"ann\"", "person = \"ann\""));
    assert!(both.api.tokens.values().all(|token| token.person.as_deref() == Some("ann")));
    // An empty one is none.
    for bad in [" ", " ann", "a\\u0000b", &"x".repeat(201)] {
        let said = refused(&tokens(&format!("person = \"{bad}\""), ""));
        assert!(said.contains("`api.tokens.laptop.person`: must be the `sub`"), "{bad}: {said}");
    }
    insta::assert_snapshot!(refused(&tokens("person = \"ann\"", "")), @r#"settings, line 5: `api.tokens.laptop.person`: "ann" is the name of a token that names no person"#);
}

#[test]
fn the_consoles_secret_is_long() {
    let said = refused("[api]\nconsole_secret = \"short\"");
    assert!(said.contains("`api.console_secret`: must have at least 32 characters"), "{said}");
    let secret = "0123456789abcdef0123456789abcdef";
    let settings = settings(&format!("[api]\nconsole_secret = {secret:?}"));
    assert_eq!(settings.api.console_secret.unwrap().expose(), secret);
}

#[test]
fn a_key_is_no_shared_secret() {
    // A public key, which everybody has, as the secret: whoever has it could sign.
    let pem =
        "-----BEGIN PUBLIC KEY-----\\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKC\\n-----END PUBLIC KEY-----";
    let said = refused(&format!(
        "[api.jwt]\nissuer = \"https://id.example\"\naudience = \"a\"\nhs256_for_development = true\n\
         hs256_secret = \"{pem}\""
    ));
    insta::assert_snapshot!(said, @"settings, line 6: `api.jwt.hs256_secret`: is a key as PEM, and no secret: it belongs into key_file");
}

#[test]
fn a_jwt_has_an_issuer_an_audience_and_one_key() {
    let jwt = |lines: &str| {
        refused(&format!("[api.jwt]\nissuer = \"https://id.example\"\naudience = \"a\"\n{lines}"))
    };
    insta::assert_snapshot!(jwt(""), @"settings, line 2: `api.jwt`: needs one of key_file, jwks_file and, for development, hs256_secret");
    insta::assert_snapshot!(jwt("key_file = \"a\"\njwks_file = \"b\""), @"settings, line 2: `api.jwt`: needs one of key_file, jwks_file and, for development, hs256_secret");
    insta::assert_snapshot!(jwt("hs256_secret = \"0123456789abcdef0123456789abcdef\""), @"settings, line 5: `api.jwt.hs256_secret`: whoever can verify by it can sign by it: only with `hs256_for_development = true`");
    insta::assert_snapshot!(jwt("hs256_for_development = true\nhs256_secret = \"short\""), @"settings, line 6: `api.jwt.hs256_secret`: must have at least 32 characters");
    insta::assert_snapshot!(jwt("key_file = \"a\"\nleeway_s = 301"), @"settings, line 6: `api.jwt.leeway_s`: 301 is above 300, the most");
    let nobody = refused("[api.jwt]\nissuer = \"\"\naudience = \" \"\nkey_file = \"a\"");
    assert!(nobody.contains("`api.jwt.issuer`") && nobody.contains("`api.jwt.audience`"), "{nobody}");
}

#[test]
fn an_origin_is_written_as_browsers_write_it() {
    for good in ["https://tools.example", "http://127.0.0.1:3000", "http://[::1]:3000"] {
        assert_eq!(settings(&format!("[api]\ncors_origins = [{good:?}]")).api.cors_origins, [good]);
    }
    for bad in ["*", "tools.example", "https://", "https://tools.example/", "https://Tools.example", "null"] {
        let said = refused(&format!("[api]\ncors_origins = [{bad:?}]"));
        assert!(said.contains("is no origin"), "{bad}: {said}");
    }
}

#[test]
fn an_ingress_is_named_by_host_and_port() {
    let given = |address: &str| format!("[api]\ningress_addresses = [{address:?}]");
    assert_eq!(settings(&given("ingress:9100")).api.ingress_addresses, ["ingress:9100"]);
    for bad in ["ingress", "http://ingress:9100", "ingress:", ":9100", "ingress:9100/rejected"] {
        let said = refused(&given(bad));
        assert!(said.contains("`api.ingress_addresses`"), "{bad}: {said}");
    }
}

#[test]
fn every_problem_of_the_values_is_told_at_once() {
    let text = r#"
[broker]
batch_max = 1000
reconnect_min_ms = 0
[workers]
retry_min_ms = 90000
[api.tokens]
ann = { secret = "short", scopes = [] }
bob = { secret = "short", scopes = ["read"] }
[operations]
correction_approvals = 3
[sources.main]
provider = "Some One"
currency = "usd"
custody = "players"
tie_policy = "refund_ful"
fee_bps = 10001
hold_deadline_hours = 0
on_deadline = "refunds"
keys.postback = []
[sources.coins]
provider = "someone"
currency = "GEM"
custody = "studio"
[sources.cents]
provider = "someone"
currency = "USD"
currency_exponent = 3
custody = "studio"
[sources."Bad Name"]
provider = "someone"
currency = "USD"
custody = "studio"
"#;
    insta::assert_snapshot!(refused(text), @r#"
    settings, line 5: `broker.reconnect_min_ms`: must be above 0
    settings, line 4: `broker.batch_max`: 1000 is above 512, the value of `broker.prefetch`
    settings, line 7: `workers.retry_min_ms`: 90000 is above 60000, the value of `workers.retry_max_ms`
    settings, line 12: `operations.correction_approvals`: must be 1 or 2
    settings, line 9: `api.tokens.ann.secret`: must have at least 32 characters
    settings, line 9: `api.tokens.ann.scopes`: must name at least one of read, play, operate
    settings, line 10: `api.tokens.bob.secret`: must have at least 32 characters
    settings, line 10: `api.tokens.bob.secret`: is that of `ann` too
    settings, line 31: `sources."Bad Name"`: "Bad Name" is no source name: 1 to 40 of a-z, 0-9, '-' and '_', beginning with a letter or digit
    settings, line 29: `sources.cents.currency_exponent`: USD has 2 decimal places, not 3
    settings, line 22: `sources.coins.currency_exponent`: GEM is not a currency we know; say how many decimal places it has, 0 to 8
    settings, line 15: `sources.main.currency`: "usd" is no currency code: 2 to 12 of A-Z, 0-9 and '_', beginning with a letter
    settings, line 16: `sources.main.custody`: "players" is not one of provider, studio
    settings, line 17: `sources.main.tie_policy`: "refund_ful" is not one of refund_full, refund_minus_fee, split; did you mean `refund_full`?
    settings, line 20: `sources.main.on_deadline`: "refunds" is not one of refund, arbitrate; did you mean `refund`?
    settings, line 14: `sources.main.provider`: must be a provider's name: of a-z, 0-9, '-' and '_'
    settings, line 18: `sources.main.fee_bps`: 10001 is above 10000, the whole pot
    settings, line 19: `sources.main.hold_deadline_hours`: 0 is not from 1 to 8760
    settings, line 21: `sources.main.keys`: the list of "postback" is empty; leave it out instead
    "#);
}

#[test]
fn a_stake_is_an_exact_amount_above_zero() {
    for stake in ["0", "-1", "5.001", "4.9999999999", "five"] {
        let error = refused(&format!("{SOURCE}stake = \"{stake}\""));
        assert!(error.starts_with("settings, line 7: `sources.main-game.stake`: "), "{error}");
    }
    insta::assert_snapshot!(refused(&format!("{SOURCE}stake = \"4.9999999999\"")), @r#"settings, line 7: `sources.main-game.stake`: "4.9999999999" is finer than USD; write "5.00""#);
    insta::assert_snapshot!(refused(&format!("{SOURCE}stake = 5.00")), @"settings, line 7: `sources.main-game.stake`: expected text, found a number with a point");
}

#[test]
fn a_source_may_come_from_variables_alone() {
    let settings = with_variables(&[
        ("MATCHPURSE_DATABASE__URL", "postgres://db/app"),
        ("MATCHPURSE_SOURCES__ARENA__PROVIDER", "someone"),
        ("MATCHPURSE_SOURCES__ARENA__CURRENCY", "EUR"),
        ("MATCHPURSE_SOURCES__ARENA__CUSTODY", "provider"),
        ("MATCHPURSE_SOURCES__ARENA__STAKE", "2.50"),
        ("MATCHPURSE_SOURCES__ARENA__SECRETS", r#"["old", "new"]"#),
        ("MATCHPURSE_SOURCES__ARENA__KEYS__POSTBACK", r#"["other"]"#),
        ("MATCHPURSE_SOURCES__ARENA__OPTIONS__AUDIENCE", r#"["a", "b"]"#),
        ("MATCHPURSE_TEST_DATABASE_URL", "the tests' own"),
        ("MATCHPURSE_CONFIG", "/etc/matchpurse.toml"),
    ])
    .unwrap();
    let source = &settings.sources[&source_name("arena")];
    assert_eq!(source.policy().stake, Some(250));
    assert_eq!(source.secrets().iter().map(SecretValue::expose).collect::<Vec<_>>(), ["old", "new"]);
    assert_eq!(source.keys("postback")[0].expose(), "other");
    assert_eq!(source.key_roles().collect::<Vec<_>>(), ["postback"]);
    assert_eq!(source.options()["audience"], OptionValue::Texts(vec!["a".to_owned(), "b".to_owned()]));
}

#[test]
fn a_variable_reaches_a_source_of_the_file_whose_name_has_a_hyphen() {
    let folder = std::env::temp_dir().join(format!("settings-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("matchpurse.toml");
    let secret = folder.join("secret");
    std::fs::write(&file, format!("{LEAST}{SOURCE}")).unwrap();
    std::fs::write(&secret, "from a file\n").unwrap();
    let secrets = format!("[{{ file = {secret:?} }}]");
    let variables = [("MATCHPURSE_SOURCES__MAIN_GAME__SECRETS".to_owned(), secrets)];
    let settings = Settings::load(Some(&file), variables.into_iter()).unwrap();
    assert_eq!(settings.sources[&source_name("main-game")].secrets()[0].expose(), "from a file");

    std::fs::remove_file(&file).unwrap();
    let absent = Settings::load(Some(&file), std::iter::empty()).unwrap_err();
    assert_eq!(absent.to_string(), format!("cannot read the configuration file {}", file.display()));
    std::fs::remove_dir_all(&folder).unwrap();
}

/// Whether it needs one only its adapter knows, and workers need none.
#[test]
fn a_source_without_secrets_is_loaded() {
    assert!(settings(SOURCE).sources[&source_name("main-game")].secrets().is_empty());
}

#[test]
fn nothing_that_is_shown_holds_a_secret() {
    let text = r#"
[broker]
url = "amqp://guest:hunter2@mq:5672/%2f"
[api.tokens.ops]
secret = "hunter2-hunter2-hunter2-hunter2-hunter2"
scopes = ["read", "operate"]
[sources.main]
provider = "someone"
currency = "USD"
custody = "studio"
secrets = ["hunter2"]
keys.postback = ["hunter2"]
options.issuer = "https://issuer.example"
"#;
    let settings = settings(text);
    let debug = format!("{settings:?}");
    assert!(debug.contains("someone") && !debug.contains("hunter2"), "{debug}");
    insta::assert_snapshot!(settings.render(), @r#"
    [database]
    url = "postgres://app:[redacted]@db/app"
    pool_size = 8
    pool_wait_ms = 5000
    connect_timeout_ms = 5000
    statement_timeout_ms = 8000
    lock_timeout_ms = 2000
    idle_in_transaction_timeout_ms = 10000
    answer_grace_ms = 2000

    [broker]
    url = "amqp://guest:[redacted]@mq:5672/%2f"
    connect_timeout_ms = 5000
    heartbeat_s = 10
    reconnect_min_ms = 100
    reconnect_max_ms = 10000
    confirm_timeout_ms = 5000
    unconfirmed_max = 4096
    group_max_events = 32
    declare = true
    shards = 1
    take_shards = []
    prefetch = 512
    held_bytes_max = 33554432
    batch_max = 256
    batch_bytes_max = 4194304
    batch_wait_ms = 5

    [ingress]
    listen = "127.0.0.1:8080"
    admin_listen = "127.0.0.1:9100"
    trusted_proxies = []
    connections_max = 10000
    connections_per_address_max = 1000
    refusals_per_address_per_second = 20
    refusals_per_address_burst = 200
    refusals_per_source_per_second = 0
    refusals_per_source_burst = 2000
    max_in_flight = 2048
    body_memory_max_bytes = 67108864
    request_timeout_ms = 10000
    retry_after_s = 5
    drain_delay_ms = 2000
    drain_timeout_ms = 25000
    spool = true
    spool_events_max = 1000000
    rejected_log_max = 1000

    [api]
    listen = "127.0.0.1:8090"
    admin_listen = "127.0.0.1:9106"
    request_timeout_ms = 10000
    drain_timeout_ms = 25000
    endpoints_allow_private = false
    streams_max = 500
    streams_per_token_max = 50
    stream_heartbeat_ms = 15000
    requests_per_second = 1000
    requests_burst = 2000
    cors_origins = []
    ingress_addresses = []

    [api.tokens.ops]
    secret = "[redacted]"
    scopes = ["read", "operate"]

    [operations]
    correction_approvals = 1

    [archive]
    keep_days = 0

    [workers]
    attempts_max = 20
    retry_min_ms = 200
    retry_max_ms = 60000
    stall_after_ms = 30000
    drain_timeout_ms = 25000
    missed_poll_ms = 10000
    deadline_sweep_ms = 5000
    results_poll_ms = 1000
    ranks_players_min = 10000
    ranks_every_ms = 30000
    offer_changes_hours = 168

    [workers.match_escrow]
    admin_listen = "127.0.0.1:9101"

    [workers.reward_fulfillment]
    admin_listen = "127.0.0.1:9102"

    [workers.player_stats]
    admin_listen = "127.0.0.1:9103"

    [workers.offer_removal]
    admin_listen = "127.0.0.1:9104"

    [workers.event_archive]
    admin_listen = "127.0.0.1:9105"
    batch_max = 1024
    prefetch = 2048

    [dispatcher]
    admin_listen = "127.0.0.1:9107"
    sends_max = 64
    sends_per_endpoint_max = 8
    request_timeout_ms = 20000
    connect_timeout_ms = 5000
    lease_ms = 60000
    poll_ms = 1000
    breaker_failures = 5
    breaker_pause_min_ms = 10000
    breaker_pause_max_ms = 600000
    stall_after_ms = 30000
    drain_timeout_ms = 25000
    history_days = 30

    [reconciler]
    admin_listen = "127.0.0.1:9108"
    look_every_ms = 5000
    asks_max = 4
    offers_every_s = 300
    silent_s = 600
    deadline_ahead_s = 3600
    pull_every_s = 30
    request_timeout_ms = 20000
    connect_timeout_ms = 5000
    lease_ms = 120000
    stall_after_ms = 60000
    drain_timeout_ms = 25000

    [telemetry]
    log_format = "auto"
    log_filter = "info"

    [telemetry.otlp]
    sample_ratio = 1.0
    queue_spans_max = 4096
    export_timeout_ms = 5000

    [telemetry.otlp.headers]

    [endpoints]

    [leaderboards]

    [sources.main]
    provider = "someone"
    secrets = ["[redacted]"]
    currency = "USD"
    custody = "studio"
    fee_bps = 0
    tie_policy = "refund_full"
    hold_deadline_hours = 72
    on_deadline = "refund"

    [sources.main.keys]
    postback = ["[redacted]"]

    [sources.main.options]
    issuer = "https://issuer.example"
    "#);
}

#[test]
fn a_collector_has_a_url_a_share_and_headers_that_can_be_sent() {
    let otlp = |text: &str| format!("[telemetry.otlp]\n{text}");
    let given = settings(&format!(
        "{SOURCE}\n{}",
        otlp(
            "endpoint = \"http://collector:4318/v1/traces\"\nsample_ratio = 0.25\nheaders.authorization = \"Bearer hunter2\""
        )
    ));
    let options = given.telemetry.otlp.options().unwrap();
    assert_eq!((options.sample_ratio, options.headers.len()), (0.25, 1));
    assert!(!given.render().contains("hunter2") && given.render().contains("authorization = \"[redacted]\""));
    assert!(settings(SOURCE).telemetry.otlp.options().is_none(), "off by default");
    insta::assert_snapshot!(refused(&otlp("endpoint = \"grpc://x\"")), @"settings, line 3: `telemetry.otlp.endpoint`: must begin with `http://` or `https://`");
    insta::assert_snapshot!(refused(&otlp("sample_ratio = 1.5")), @"settings, line 3: `telemetry.otlp.sample_ratio`: must be from 0 to 1");
    insta::assert_snapshot!(refused(&otlp("queue_spans_max = 0")), @"settings, line 3: `telemetry.otlp.queue_spans_max`: must be above 0");
    insta::assert_snapshot!(refused(&otlp("headers.\"a b\" = \"c\"")), @r#"settings, line 3: `telemetry.otlp.headers."a b"`: is not the name of a header"#);
}

#[test]
fn the_rendered_configuration_is_one() {
    let rendered = settings(SOURCE).render();
    let again = Settings::parse_str(&rendered).unwrap();
    assert_eq!(again.render(), rendered);
}

/// An endpoint with nothing wrong.
const ENDPOINT: &str = r#"
[endpoints.game]
url = "https://game.example/hooks?token=hunter2"
secrets = ["whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"]
"#;

#[test]
fn the_endpoint_in_the_defaults_is_right() {
    let (_, example) = DEFAULT_TOML.split_once("# An endpoint with everything.").unwrap();
    let (example, _) = example.split_once("[leaderboards]").unwrap();
    let lines: Vec<&str> = example
        .lines()
        .filter_map(|line| line.strip_prefix('#'))
        .filter(|line| !line.starts_with(' '))
        .collect();
    assert_eq!(lines.len(), 8, "{lines:#?}");
    let settings = settings(&format!("{}\n{SOURCE}", lines.join("\n")));
    let endpoint = settings.endpoints.values().next().unwrap();
    assert_eq!(endpoint.keys.len(), 1);
    assert_eq!(endpoint.events.len(), 2);
    assert_eq!(endpoint.sources, [source_name("main-game")]);
    assert!(endpoint.ordered && endpoint.allow_private && endpoint.status_url.is_some());
}

#[test]
fn an_endpoint_wants_everything_in_no_order_from_the_public_internet() {
    let settings = settings(ENDPOINT);
    let endpoint = settings.endpoints.values().next().unwrap();
    assert!(endpoint.events.is_empty() && endpoint.sources.is_empty());
    assert!(!endpoint.ordered && !endpoint.allow_private && endpoint.status_url.is_none());
}

#[test]
fn an_endpoint_is_shown_without_secrets_and_queries() {
    let status = "status_url = \"https://game.example/status/{webhook_id}?token=hunter2\"\n";
    let settings = settings(&format!("{ENDPOINT}{status}"));
    let shown = format!("{settings:?}\n{}", settings.render());
    assert!(!shown.contains("hunter2") && !shown.contains("C2FVs"), "{shown}");
    assert!(shown.contains("url = \"https://game.example/hooks\""), "{shown}");
}

#[test]
fn a_wrong_endpoint_is_refused_with_all_that_is_wrong() {
    insta::assert_snapshot!(refused(r#"
[endpoints.game]
url = "game.example/hooks?token=hunter2"
secrets = ["whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", "hunter2", "whsec_aHVudGVyMg=="]
events = ["match.*", "Match"]
sources = ["main-gane"]
status_url = "https://game.example/status"

[endpoints.Other]
url = "https://hunter2@game.example/"
secrets = []

[sources.main-game]
provider = "someone"
currency = "USD"
custody = "studio"
"#), @r#"
    settings, line 11: `endpoints.Other.url`: must not have a user or password in it
    settings, line 12: `endpoints.Other.secrets`: must have at least one secret: notices are always signed
    settings, line 10: `endpoints.Other`: "Other" is no endpoint name: 1 to 40 of a-z, 0-9, '-' and '_', beginning with a letter or digit
    settings, line 4: `endpoints.game.url`: must begin with `https://` or `http://`
    settings, line 8: `endpoints.game.status_url`: must have `{webhook_id}` in it, for which notice is asked about
    settings, line 5: `endpoints.game.secrets`: number 2: must begin with `whsec_`
    settings, line 5: `endpoints.game.secrets`: number 3: must be 24 to 64 bytes, and is 7
    settings, line 6: `endpoints.game.events`: number 2: "Match" is no pattern of events: a kind as "reward.granted", an area as "match.*", or "*" for everything
    settings, line 7: `endpoints.game.sources`: number 1: there is no source "main-gane"; did you mean `main-game`?
    "#);
}

#[test]
fn a_dispatcher_keeps_what_it_sends_for_as_long_as_that_may_take() {
    insta::assert_snapshot!(
        refused("dispatcher.request_timeout_ms = 30000\ndispatcher.connect_timeout_ms = 30001\ndispatcher.sends_max = 4"),
        @r#"
    `dispatcher.sends_per_endpoint_max`: 8 is above 4, the value of `dispatcher.sends_max`
    settings, line 3: `dispatcher.connect_timeout_ms`: 30001 is above 30000, the value of `dispatcher.request_timeout_ms`
    `dispatcher.lease_ms`: 60000 is below 70000: twice `dispatcher.request_timeout_ms`, for a question and an answer, and 10 s to write it down
    "#
    );
}

#[test]
fn the_leaderboard_in_the_defaults_is_right() {
    let (_, example) = DEFAULT_TOML.split_once("# A board with everything.").unwrap();
    let (example, _) = example.split_once("[sources]").unwrap();
    let lines: Vec<&str> = example
        .lines()
        .filter_map(|line| line.strip_prefix('#'))
        .filter(|line| !line.starts_with(' '))
        // A game has its sources, and a rating no currency.
        .filter(|line| !line.starts_with("sources") && !line.starts_with("currency"))
        .collect();
    assert_eq!(lines.len(), 7, "{lines:#?}");
    let settings = settings(&format!("{}\n{SOURCE}game = \"shooter\"", lines.join("\n")));
    let board = settings.leaderboards.values().next().unwrap();
    assert_eq!(board.metric, Metric::Rating);
    assert_eq!(board.season, SeasonKind::Week);
    assert_eq!(board.sources, Some([source_name("main-game")].into()));
    assert!(board.min_matches == 5 && board.exclude_banned);
    // All metrics are in the text.
    for metric in Metric::all() {
        assert!(example.contains(metric.as_str()), "{}", metric.as_str());
    }
    let again = Settings::parse_str(&settings.render()).unwrap();
    assert_eq!(again.leaderboards, settings.leaderboards);
}

#[test]
fn a_leaderboard_is_of_everything_for_ever() {
    let settings = settings(&format!("[leaderboards.kills]\nmetric = \"kills\"\n{SOURCE}"));
    let board = settings.leaderboards.values().next().unwrap();
    assert_eq!((board.season, board.direction), (SeasonKind::All, Direction::Descending));
    assert_eq!((&board.sources, &board.game, board.min_matches), (&None, &None, 0));
    assert_eq!(settings.games()["main-game"], [source_name("main-game")].into());
}

#[test]
fn a_wrong_leaderboard_is_refused_with_all_that_is_wrong() {
    insta::assert_snapshot!(refused(r#"
[leaderboards.Best]
metric = "kils"
direction = "down"
season = "weekly"
[leaderboards.money]
metric = "net"
game = "shoter"
[leaderboards.skill]
metric = "skill"
[leaderboards.both]
metric = "kd"
game = "shooter"
sources = ["main-game"]
currency = "USD"
[leaderboards.some]
metric = "kd"
sources = ["main-game", "main-gane", "main-game"]

[sources.main-game]
provider = "someone"
game = "shooter"
currency = "USD"
custody = "studio"
"#), @r#"
    settings, line 3: `leaderboards.Best`: "Best" is no board's name: 1 to 40 of a-z, 0-9, '-' and '_', beginning with a letter or digit
    settings, line 4: `leaderboards.Best.metric`: "kils" is not one of kills, assists, deaths, mvps, score, double_kills, triple_kills, quadra_kills, penta_kills, headshot_kills, pistol_kills, sniper_kills, damage_dealt, entry_attempts, entry_successes, flashes_thrown, flashes_successful, enemies_flashed, utility_thrown, utility_damage, clutch_attempts, clutch_wins, matches, wins, win_percent, kd, adr, kr, hs_percent, rating, skill, played, won, stakes, winnings, net; did you mean `kills`?
    settings, line 5: `leaderboards.Best.direction`: "down" is not one of desc, asc
    settings, line 6: `leaderboards.Best.season`: "weekly" is not one of all, year, quarter, month, week; did you mean `week`?
    settings, line 15: `leaderboards.both.sources`: stands beside `game`, which has its sources; give one of the two
    settings, line 16: `leaderboards.both.currency`: `kd` is no amount, so leave it out
    settings, line 9: `leaderboards.money.game`: no source has the game "shoter"; did you mean `shooter`?
    settings, line 7: `leaderboards.money.currency`: must be given: amounts of two currencies are not compared
    settings, line 10: `leaderboards.skill.game`: must be given: a player has another skill in every game
    settings, line 19: `leaderboards.some.sources`: number 2: there is no source "main-gane"; did you mean `main-game`?
    settings, line 19: `leaderboards.some.sources`: number 3: "main-game" stands there twice
    "#);
}

#[test]
fn plain_text_to_other_machines_is_warned_of_and_contradictions_are_refused() {
    let warned = |text: &str| Settings::parse_str(text).unwrap().in_plain_text().len();
    let ca = "tls_ca = \"/etc/ca.pem\"";
    for (text, count) in [
        ("[database]\nurl = \"postgres://u@127.0.0.1/n\"".to_owned(), 0),
        ("[database]\nurl = \"postgres://u@db/n\"\n[broker]\nurl = \"amqp://u:p@mq\"".to_owned(), 2),
        ("[database]\nurl = \"postgres://u@db/n?sslmode=disable\"".to_owned(), 1),
        (
            "[database]\nurl = \"postgres://u@db/n?sslmode=verify-full\"\n[broker]\nurl = \"amqps://mq\""
                .to_owned(),
            0,
        ),
        (format!("[database]\nurl = \"postgres://u@db/n\"\n{ca}"), 0),
        (format!("[database]\nurl = \"postgres://u@db/n?sslmode=require\"\n{ca}"), 0),
    ] {
        assert_eq!(warned(&text), count, "{text}");
    }
}

#[test]
fn a_worker_s_own_batches_fit_into_its_own_prefetch() {
    let own = settings("").workers.event_archive;
    assert_eq!((own.batch_max, own.prefetch), (Some(1024), Some(2048)));
    let given =
        settings("[workers.player_stats]\nbatch_max = 512\n[workers.event_archive]\nprefetch = 4096").workers;
    assert_eq!((given.player_stats.batch_max, given.player_stats.prefetch), (Some(512), None));
    assert_eq!((given.event_archive.batch_max, given.event_archive.prefetch), (Some(1024), Some(4096)));

    let text = "
[broker]
prefetch = 300
held_bytes_max = 1000
batch_bytes_max = 1001
[workers.event_archive]
prefetch = 500
[workers.player_stats]
batch_max = 301
[workers.offer_removal]
batch_max = 0
[workers.match_escrow]
batch_max = 5000
prefetch = 5000
[workers.reward_fulfillment]
prefetch = 100
";
    insta::assert_snapshot!(refused(text), @r"
    settings, line 12: `workers.offer_removal.batch_max`: must be above 0
    settings, line 6: `broker.batch_bytes_max`: 1001 is above 1000, the value of `broker.held_bytes_max`
    settings, line 14: `workers.match_escrow.batch_max`: 5000 is above 4096, the most for one transaction
    settings, line 16: `workers.reward_fulfillment.batch_max`: 256 is above 100, the value of `workers.reward_fulfillment.prefetch`
    settings, line 10: `workers.player_stats.batch_max`: 301 is above 300, the value of `broker.prefetch`
    `workers.event_archive.batch_max`: 1024 is above 500, the value of `workers.event_archive.prefetch`
    ");
}
