use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::*;

const DEFAULTS: &str = r#"
[database]
url = ""
pool_size = 8
tls = false

[listen]
address = "127.0.0.1:8080"

[teams]
"#;

#[derive(Debug, Deserialize, Serialize)]
struct Example {
    database: Database,
    listen: Listen,
    teams: BTreeMap<String, Team>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Database {
    url: Option<SecretUrl>,
    pool_size: u16,
    tls: bool,
}

#[derive(Debug, Deserialize, Serialize)]
struct Listen {
    address: String,
}

#[derive(Debug, Deserialize, Serialize)]
struct Team {
    mode: Mode,
    #[serde(default)]
    secrets: Vec<SecretValue>,
    #[serde(default)]
    options: BTreeMap<String, toml::Value>,
    stake: Option<String>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum Mode {
    RefundFull,
    Split,
}

fn load(file: &str, variables: &[(&str, &str)]) -> Result<Loaded<Example>, ConfigError> {
    let rules = Environment { prefix: "APP_", ignored: &["APP_TEST_"] };
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Layers::new(DEFAULTS)?.text("app.toml", file)?.environment(&rules, variables)?.read()
}

/// The error of a file and an environment.
#[track_caller]
fn refused(file: &str, variables: &[(&str, &str)]) -> String {
    load(file, variables).expect_err("this configuration should be refused").to_string()
}

/// The configuration as it is shown.
#[track_caller]
fn shown(file: &str, variables: &[(&str, &str)]) -> String {
    let value = load(file, variables).unwrap_or_else(|error| panic!("{error}")).value;
    toml::to_string(&value).unwrap()
}

#[test]
fn the_last_value_of_a_variable_that_is_given_twice_counts() {
    for (first, last) in [("3", "5"), ("5", "3")] {
        let pool_size = ["APP_DATABASE__POOL_SIZE", "APP_DATABASE__POOL_SIZE"];
        let variables = [(pool_size[0], first), ("APP_LISTEN__ADDRESS", "[::1]:80"), (pool_size[1], last)];
        let loaded = load("", &variables).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(loaded.value.database.pool_size.to_string(), last);
    }
    let tables =
        [("APP_TEAMS__A", "{ mode = \"split\", stake = \"1\" }"), ("APP_TEAMS__A", "{ mode = \"split\" }")];
    let loaded = load("", &tables).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(loaded.value.teams["a"].stake, None, "it is replaced, not merged with its former value");
}

#[test]
fn later_layers_win_key_by_key() {
    let file =
        "[database]\npool_size = 3\nurl = \"postgres://app:hunter2@db/app\"\n[teams.a-b]\nmode = \"split\"\n";
    let variables = [
        ("APP_DATABASE__POOL_SIZE", "5"),
        ("APP_TEAMS__A_B__STAKE", "5.00"),
        ("APP_TEAMS__A_B__SECRETS", r#"["one", "two"]"#),
        ("APP_TEAMS__A_B__OPTIONS__LEEWAY_S", "60"),
        ("APP_TEAMS__A_B__OPTIONS__ISSUER", "https://x.example"),
        ("APP_TEAMS__C", "{ mode = \"refund_full\" }"),
        ("APP_TEST_DATABASE_URL", "ignored"),
        ("OTHER_DATABASE__POOL_SIZE", "9"),
    ];
    insta::assert_snapshot!(shown(file, &variables), @r#"
    [database]
    url = "postgres://app:[redacted]@db/app"
    pool_size = 5
    tls = false

    [listen]
    address = "127.0.0.1:8080"

    [teams.a-b]
    mode = "split"
    secrets = ["[redacted]", "[redacted]"]
    stake = "5.00"

    [teams.a-b.options]
    issuer = "https://x.example"
    leeway_s = 60

    [teams.c]
    mode = "refund_full"
    secrets = []

    [teams.c.options]
    "#);
}

#[test]
fn an_unknown_key_in_a_file_is_refused_with_its_line_and_the_nearest_name() {
    insta::assert_snapshot!(refused("[database]\n\npool_sise = 3\n", &[]), @"app.toml, line 3: unknown key `database.pool_sise`; did you mean `database.pool_size`?");
    insta::assert_snapshot!(refused("[teams.red]\nmode = \"split\"\nsecret = \"x\"", &[]), @"app.toml, line 3: unknown key `teams.red.secret`; did you mean `teams.red.secrets`?");
    insta::assert_snapshot!(refused("[database]\nqqqqq = 3\n", &[]), @"app.toml, line 2: unknown key `database.qqqqq`; known here: url, pool_size, tls");
    insta::assert_snapshot!(refused("[databse]\npool_size = 3\n", &[]), @"app.toml, line 1: unknown key `databse`; did you mean `database`?");
}

#[test]
fn an_unknown_variable_is_refused_with_the_variable_that_was_meant() {
    insta::assert_snapshot!(refused("", &[("APP_DATABASE__POOLSIZE", "3")]), @"environment variable APP_DATABASE__POOLSIZE: unknown key `database.poolsize`; did you mean `APP_DATABASE__POOL_SIZE`?");
    insta::assert_snapshot!(refused("", &[("APP_DATABASE_POOL_SIZE", "3")]), @"environment variable APP_DATABASE_POOL_SIZE: unknown key `database_pool_size`; did you mean `APP_DATABASE__POOL_SIZE`?");
    insta::assert_snapshot!(refused("[teams.red]\nmode = \"split\"", &[("APP_TEAMS__RED__MOOD", "x")]), @"environment variable APP_TEAMS__RED__MOOD: unknown key `teams.red.mood`; known here: mode, secrets, options, stake");
    insta::assert_snapshot!(refused("", &[("APP_DATABASE____POOL_SIZE", "3")]), @"environment variable APP_DATABASE____POOL_SIZE: `database..pool_size`: a part of the name is empty; parts are joined by two underscores");
}

#[test]
fn a_wrong_kind_is_refused_without_showing_a_text() {
    insta::assert_snapshot!(refused("[database]\npool_size = \"hunter2\"", &[]), @"app.toml, line 2: `database.pool_size`: expected a whole number from 0 to 65535, found text");
    insta::assert_snapshot!(refused("[database]\npool_size = -1", &[]), @"app.toml, line 2: `database.pool_size`: expected a whole number from 0 to 65535, found -1");
    insta::assert_snapshot!(refused("[database]\ntls = 1", &[]), @"app.toml, line 2: `database.tls`: expected true or false, found a whole number");
    insta::assert_snapshot!(refused("database = 1", &[]), @"app.toml, line 1: `database`: expected a table, found a whole number");
    insta::assert_snapshot!(refused("", &[("APP_DATABASE__POOL_SIZE", "hunter2")]), @"environment variable APP_DATABASE__POOL_SIZE: `database.pool_size`: expected a whole number from 0 to 65535, found text");
    insta::assert_snapshot!(refused("", &[("APP_DATABASE__POOL_SIZE", "70000")]), @"environment variable APP_DATABASE__POOL_SIZE: `database.pool_size`: expected a whole number from 0 to 65535, found 70000");
    insta::assert_snapshot!(refused("[database]\nurl = \"hunter2\"", &[]), @"app.toml, line 2: `database.url`: not a URL: it must begin with `scheme://`");
    insta::assert_snapshot!(refused("[teams.red]\nmode = \"split\"\nsecrets = \"hunter2\"", &[]), @"app.toml, line 3: `teams.red.secrets`: expected a list, found text");
    insta::assert_snapshot!(refused("[teams.red]\nmode = \"split\"\nsecrets = [\"a\",\n7]", &[]), @r#"app.toml, line 4: `teams.red.secrets[1]`: expected a secret as text or { file = "path" }, found a whole number"#);
    insta::assert_snapshot!(refused("[teams.red]\nmode = \"splitt\"", &[]), @r#"app.toml, line 2: `teams.red.mode`: "splitt" is not one of refund_full, split; did you mean `split`?"#);
    insta::assert_snapshot!(refused("[teams.red]\nmode = \"split\"\nstake = 5.00", &[]), @"app.toml, line 3: `teams.red.stake`: expected text, found a number with a point");
}

#[test]
fn a_missing_value_is_named_with_its_table() {
    insta::assert_snapshot!(refused("\n[teams.red]\nstake = \"5\"", &[]), @"app.toml, line 2: `teams.red.mode` is missing");
    insta::assert_snapshot!(refused("", &[("APP_TEAMS__RED__STAKE", "5")]), @"environment variable APP_TEAMS__RED__STAKE: `teams.red.mode` is missing");
}

#[test]
fn a_text_that_is_no_toml_is_refused_without_being_shown() {
    insta::assert_snapshot!(refused("[database]\nurl = \"postgres://a:hunter2\n", &[]), @r#"app.toml, line 2: invalid basic string, expected `"`"#);
    insta::assert_snapshot!(refused("[database]\npool_size = 1\npool_size = 2\n", &[]), @"app.toml, line 3: duplicate key");
    insta::assert_snapshot!(refused("[database]\npool_size = 99999999999999999999", &[]), @"app.toml, line 2: the number is out of range");
}

#[test]
fn a_secret_may_be_in_a_file() {
    let folder = std::env::temp_dir().join(format!("service-kit-secret-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join("token");
    let file = format!("[teams.red]\nmode = \"split\"\nsecrets = [{{ file = {path:?} }}]");

    fs::write(&path, "s3cret\r\n").unwrap();
    let red = load(&file, &[]).unwrap().value.teams.remove("red").unwrap();
    assert_eq!(red.secrets[0].expose(), "s3cret");
    assert!(!format!("{red:?}").contains("s3cret"));

    let by_variable = load("", &[("APP_DATABASE__URL__FILE", path.to_str().unwrap())]);
    assert!(by_variable.unwrap_err().to_string().contains("not a URL"), "the file was read");

    fs::write(&path, "\n").unwrap();
    let empty = refused(&file, &[]).replace(path.to_str().unwrap(), "[path]");
    insta::assert_snapshot!(empty, @"app.toml, line 3: `teams.red.secrets[0]`: the secret file [path] is empty");

    fs::remove_file(&path).unwrap();
    let absent = refused(&file, &[]).replace(path.to_str().unwrap(), "[path]");
    insta::assert_snapshot!(absent, @"app.toml, line 3: `teams.red.secrets[0]`: cannot read the secret file [path]: No such file or directory (os error 2)");
    fs::remove_dir_all(&folder).unwrap();

    insta::assert_snapshot!(refused("[teams.red]\nmode = \"split\"\nsecrets = [{ fiel = \"x\" }]", &[]), @"app.toml, line 3: unknown key `teams.red.secrets[0].fiel`; did you mean `teams.red.secrets[0].file`?");
    insta::assert_snapshot!(refused("[teams.red]\nmode = \"split\"\nsecrets = [\"\"]", &[]), @"app.toml, line 3: `teams.red.secrets[0]`: the secret is empty");
}

#[test]
fn two_variables_that_contradict_each_other_are_refused() {
    let variables =
        [("APP_DATABASE__URL", "postgres://db/app"), ("APP_DATABASE__URL__FILE", "/run/secrets/url")];
    insta::assert_snapshot!(refused("", &variables), @"environment variable APP_DATABASE__URL__FILE: `database.url.file`: contradicts the variable APP_DATABASE__URL; give one of the two");
    let teams = "[teams.a-b]\nmode = \"split\"\n[teams.A_b]\nmode = \"split\"\n";
    insta::assert_snapshot!(refused(teams, &[("APP_TEAMS__A_B__STAKE", "5")]), @"environment variable APP_TEAMS__A_B__STAKE: `teams.a_b.stake`: may mean `A_b` or `a-b`; set it in the file");
}

#[test]
fn a_secret_that_looks_like_a_number_stays_a_text_in_a_variable() {
    let loaded =
        load("", &[("APP_DATABASE__URL", "postgres://db/1"), ("APP_LISTEN__ADDRESS", "8080")]).unwrap();
    assert_eq!(loaded.value.listen.address, "8080");
    assert_eq!(
        loaded.origins.of("listen.address").unwrap().to_string(),
        "environment variable APP_LISTEN__ADDRESS"
    );
}

#[test]
fn variables_that_kubernetes_adds_for_services_are_no_settings() {
    let links = [
        ("APP_API_SERVICE_HOST", "10.0.0.1"),
        ("APP_API_SERVICE_PORT_HTTP", "80"),
        ("APP_API_PORT", "tcp://10.0.0.1:80"),
        ("APP_API_PORT_80_TCP", "tcp://10.0.0.1:80"),
        ("APP_API_PORT_80_TCP_PROTO", "tcp"),
        ("APP_PORT", "tcp://10.0.0.1:80"),
    ];
    load("", &links).unwrap();
    insta::assert_snapshot!(refused("", &[("APP_PORT", "80")]), @"environment variable APP_PORT: unknown key `port`; known here: database, listen, teams");
}

#[test]
fn a_url_is_shown_without_its_password() {
    let shown = |url: &str| format!("{:?}", SecretUrl::new(url).unwrap());
    assert_eq!(shown("amqp://u:p%2F@h:5672/%2f?heartbeat=10"), "amqp://u:[redacted]@h:5672/%2f?heartbeat=10");
    assert_eq!(
        shown("postgres://u@h/d?host=/tmp&password=x"),
        "postgres://u@h/d?host=/tmp&password=[redacted]"
    );
    assert_eq!(shown("postgres://u:a/b@c?d@h/d"), "postgres://u:[redacted]@h/d");
    assert_eq!(shown("amqp://localhost"), "amqp://localhost");
    assert!(SecretUrl::new("host=/tmp password=x").is_none());
    assert!(SecretUrl::new("").is_none());
}
