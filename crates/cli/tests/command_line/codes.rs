//! How commands end when there is no server, or nothing that they could do.

use anyhow::Result;
use serde_json::Value;

use crate::printed;

const NOWHERE: &str = "postgres://somebody:secret@127.0.0.1:1/nowhere";

#[test]
fn a_wrong_command_line_or_configuration_is_2() -> Result<()> {
    for args in [
        &["no-such-command"][..],
        &["parked", "list", "--no-such-flag"],
        &["parked", "replay"],
        &["rewards", "list", "--state", "rich"],
        &["check-config", "--config", "/nowhere/matchpurse.toml"],
        &["audit"],
        &["audit", "--database-url", "http://not-postgres"],
        &["parked", "replay", "1", "--queue", "x", "--actor", "a", "--reason", "b"],
        &["parked", "discard", "1", "--actor", " ", "--reason", "b", "--database-url", NOWHERE],
        &["send", "x", "--source", "games", "--to", "not a url"],
        &["send", "UserSignedUp", "--source", "games", "--to", "http://203.0.113.7:8080"],
        &["completions", "bash", "--json"],
        &["doctor", "--config", "/nowhere/matchpurse.toml"],
        &["doctor"],
    ] {
        let (_, errors, code) = printed(args)?;
        assert_eq!(code, 2, "{args:?}: {errors}");
    }
    Ok(())
}

#[test]
fn a_server_that_is_away_is_3_and_its_password_stays_unsaid() -> Result<()> {
    for args in [
        &["audit", "--database-url", NOWHERE][..],
        &["listen", "--database-url", NOWHERE],
        &["parked", "list", "--json", "--database-url", NOWHERE],
        &["diff", "--with", "again", "--database-url", NOWHERE],
        &["verify-archive", "--database-url", NOWHERE],
        &["send", "UserSignedUp", "--source", "games", "--to", "http://127.0.0.1:1"],
    ] {
        let (text, errors, code) = printed(args)?;
        assert_eq!((text.as_str(), code), ("", 3), "{args:?}: {errors}");
        assert!(!errors.contains("secret@") && !errors.is_empty(), "{errors}");
    }
    Ok(())
}

#[test]
fn what_is_not_there_is_1() -> Result<()> {
    for args in [
        &["send", "no-such-fixture", "--source", "games"][..],
        &["send", "UserSignedUp", "--source", "nobody"],
        &["man", "no-such-command"],
    ] {
        let (_, errors, code) = printed(args)?;
        assert_eq!(code, 1, "{args:?}: {errors}");
    }
    Ok(())
}

#[test]
fn what_is_done_is_0() -> Result<()> {
    for args in [&["--help"][..], &["--version"], &["parked", "-h"], &["help", "parked"], &["send", "--list"]]
    {
        let (text, errors, code) = printed(args)?;
        assert_eq!((errors.as_str(), code), ("", 0), "{args:?}");
        assert!(!text.is_empty(), "{args:?}");
    }
    Ok(())
}

/// What the help says of the codes is what this page of tests shows.
#[test]
fn the_codes_stand_in_the_help() -> Result<()> {
    let (help, _, _) = printed(&["--help"])?;
    let codes: Vec<&str> = help
        .split("Exit codes:\n")
        .nth(1)
        .unwrap()
        .lines()
        .map(|line| line.trim().get(..1).unwrap())
        .collect();
    assert_eq!(codes, ["0", "1", "2", "3", "4"]);
    Ok(())
}

#[test]
fn a_list_is_a_json_object_a_line() -> Result<()> {
    let (text, _, _) = printed(&["send", "--list", "--json"])?;
    let lines: Vec<Value> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    assert!(lines.len() > 100 && lines.iter().all(|line| line["name"].is_string()), "{}", lines.len());
    Ok(())
}
