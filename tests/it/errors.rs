//! The errors that people meet first, word for word.

use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Result, ensure};
use insta::assert_snapshot;

use crate::system::Folder;
use crate::system::service::program;

/// A configuration that is whole, with nobody behind its addresses.
const WHOLE: &str = "
[database]
url = \"postgres://somebody:hunter2@127.0.0.1:1/nowhere\"
[broker]
url = \"amqp://somebody:hunter2@127.0.0.1:1/%2f\"
[ingress]
listen = \"127.0.0.1:0\"
admin_listen = \"127.0.0.1:0\"
spool = false
[telemetry]
log_filter = \"off\"
[sources.games]
provider = \"lucra\"
currency = \"USD\"
custody = \"provider\"
secrets = [\"44c3e83c\"]
";

/// Runs a program with this configuration until it ends, which it must do with an error; returns what it says,
/// with FILE for the configuration's path.
fn refusal(name: &str, arguments: &[&str], config: &str) -> Result<String> {
    let folder = Folder::new()?;
    let path = folder.0.join("matchpurse.toml");
    std::fs::write(&path, config)?;
    says(name, arguments, &path)
}

fn says(name: &str, arguments: &[&str], config: &Path) -> Result<String> {
    let output =
        program(name)?.args(arguments).arg("--config").arg(config).stdout(Stdio::piped()).output()?;
    let (out, err) = (String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?);
    // What the command line's codes mean is tried in its own tests: 2 a configuration, 3 a server that is away.
    let expected = if name == "matchpurse" { 2..=4 } else { 1..=1 };
    let code = output.status.code();
    ensure!(code.is_some_and(|code| expected.contains(&code)), "{name} ended with {}: {err}", output.status);
    ensure!(!err.contains("hunter2") && !out.contains("hunter2"), "{name} told a secret: {err}");
    ensure!(out.is_empty(), "{name} printed something before it failed: {out}");
    Ok(without_numbers(&err.replace(&config.display().to_string(), "FILE")))
}

/// The system's words without its number for them, which is another one on another system.
pub(crate) fn without_numbers(text: &str) -> String {
    let mut parts = text.split(" (os error ");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.split_once(')').map_or(part, |(_, rest)| rest))
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest_known_name() -> Result<()> {
    let config = WHOLE.replace("\nlisten = ", "\nlisen = ");
    assert_snapshot!(refusal("matchpurse-ingress", &[], &config)?, @"ingress: FILE, line 7: unknown key `ingress.lisen`; did you mean `ingress.listen`?");
    assert_snapshot!(refusal("matchpurse-match-escrow", &[], &config)?, @"match-escrow: FILE, line 7: unknown key `ingress.lisen`; did you mean `ingress.listen`?");
    assert_snapshot!(refusal("matchpurse", &["check-config"], &config)?, @"matchpurse: FILE, line 7: unknown key `ingress.lisen`; did you mean `ingress.listen`?");
    Ok(())
}

#[test]
fn a_source_that_cannot_work_is_refused() -> Result<()> {
    let config = WHOLE.replace("secrets = [\"44c3e83c\"]", "");
    assert_snapshot!(refusal("matchpurse-ingress", &[], &config)?, @"ingress: `sources.games`: no secret is configured, so nothing could be verified: set `secrets`");
    assert_snapshot!(refusal("matchpurse", &["check-config"], &config)?, @"matchpurse: `sources.games`: no secret is configured, so nothing could be verified: set `secrets`");
    let config = WHOLE.replace("\"lucra\"", "\"lucro\"");
    assert_snapshot!(refusal("matchpurse-ingress", &[], &config)?, @r#"ingress: `sources.games.provider`: no adapter is called "lucro"; there are adgem, dathost, lucra, okletsplay; did you mean `lucra`?"#);
    Ok(())
}

#[test]
fn a_port_that_is_taken_is_named_with_its_setting() -> Result<()> {
    let taken = TcpListener::bind(("127.0.0.1", 0))?;
    let taken = taken.local_addr()?.to_string();
    let config = WHOLE.replacen("127.0.0.1:0", &taken, 1);
    let said = |name: &str, config: &str| {
        Ok::<_, anyhow::Error>(refusal(name, &[], config)?.replace(&taken, "TAKEN"))
    };
    assert_snapshot!(said("matchpurse-ingress", &config)?, @"ingress: cannot listen on TAKEN, the value of `ingress.listen`: Address already in use");
    let config = format!("{WHOLE}[workers.player_stats]\nadmin_listen = \"{taken}\"\n");
    assert_snapshot!(said("matchpurse-player-stats", &config)?, @"player-stats: cannot listen on TAKEN, the value of `workers.player_stats.admin_listen`: Address already in use");
    Ok(())
}

#[test]
fn a_database_that_cannot_be_reached_is_named_without_its_password() -> Result<()> {
    assert_snapshot!(refusal("matchpurse", &["migrate"], WHOLE)?, @r"
    matchpurse: the database postgres://somebody:[redacted]@127.0.0.1:1/nowhere was not migrated
      because: the connection to the database failed
      because: error connecting to server
      because: Connection refused
    ");
    assert_snapshot!(refusal("matchpurse", &["audit"], WHOLE)?, @r"
    matchpurse: the database cannot be reached: postgres://somebody:[redacted]@127.0.0.1:1/nowhere
      because: no connection to the database
      because: Error occurred while creating a new object: error connecting to server
      because: error connecting to server
      because: Connection refused
    ");
    Ok(())
}

#[test]
fn a_configuration_that_is_not_there_is_named() -> Result<()> {
    let path = Path::new("/nowhere/matchpurse.toml");
    assert_snapshot!(says("matchpurse-ingress", &[], path)?, @"ingress: cannot read the configuration file FILE: No such file or directory");
    assert_snapshot!(says("matchpurse-offer-removal", &[], path)?, @"offer-removal: cannot read the configuration file FILE: No such file or directory");
    assert_snapshot!(says("matchpurse", &["check-config"], path)?, @r"
    matchpurse: cannot read the configuration file FILE
      because: No such file or directory
    ");
    Ok(())
}
