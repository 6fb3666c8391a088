//! `matchpurse verify-endpoint` as a program: what it takes, what it prints, how it ends.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::process::Output;

use anyhow::Result;
use serde_json::Value;
use stand_in::{Fault, SECRET, StandIn};
use tokio::process::Command;

#[expect(dead_code, reason = "the receiver kit's own tests use all of it")]
#[path = "../../receiver-kit/tests/it/stand_in.rs"]
mod stand_in;

/// Runs the program with these arguments and, in its environment, this secret.
async fn run(arguments: &[&str], secret: Option<&str>) -> Result<Output> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_matchpurse"));
    command.arg("verify-endpoint").args(arguments).env_remove("MATCHPURSE_ENDPOINT_SECRET");
    command.envs(secret.map(|secret| ("MATCHPURSE_ENDPOINT_SECRET", secret)));
    Ok(command.output().await?)
}

fn texts(output: Output) -> Result<(Option<i32>, String, String)> {
    Ok((output.status.code(), String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?))
}

#[tokio::test]
async fn it_ends_with_1_when_something_is_wrong() -> Result<()> {
    for (fault, code, line) in [
        (Fault::Nothing, 0, "18 ok, 0 warning, 0 could not see, 0 WRONG\n"),
        (Fault::ForgetsIds, 1, "16 ok, 0 warning, 0 could not see, 2 WRONG\n"),
    ] {
        let stand_in = StandIn::start(fault).await?;
        let arguments = [&stand_in.url(), "--state-url", &stand_in.state_url()];
        let (status, text, errors) = texts(run(&arguments, Some(SECRET)).await?)?;
        assert_eq!((status, errors.as_str()), (Some(code), ""));
        assert!(text.ends_with(line), "{text}");
    }
    Ok(())
}

#[tokio::test]
async fn it_prints_json_with_every_delivery() -> Result<()> {
    let stand_in = StandIn::start(Fault::Nothing).await?;
    let arguments = [&stand_in.url(), "--json", "--type", "match.settled"];
    let (status, text, _) = texts(run(&arguments, Some(SECRET)).await?)?;
    let report: Value = serde_json::from_str(&text)?;
    assert_eq!((status, &report["good"]), (Some(0), &true.into()));
    let findings = report["findings"].as_array().unwrap().iter();
    let deliveries: usize = findings.map(|finding| finding["deliveries"].as_array().unwrap().len()).sum();
    assert_eq!(deliveries, stand_in.requests());
    Ok(())
}

#[tokio::test]
async fn it_takes_the_secret_from_a_file_and_shows_it_nowhere() -> Result<()> {
    let stand_in = StandIn::start(Fault::Hangs).await?;
    let url = stand_in.url();
    let file = std::env::temp_dir().join(format!("verify-endpoint-{}", std::process::id()));
    std::fs::write(&file, format!("{SECRET}\n"))?;
    let from_file = [&url, "--time-limit-ms", "200", "--secret-file", file.to_str().unwrap()];
    let (status, text, errors) = texts(run(&from_file, None).await?)?;
    std::fs::remove_file(&file)?;
    assert_eq!(status, Some(1));
    assert!(text.contains("a correct delivery: no answer within 200 ms"), "{text}");
    assert!(!format!("{text}{errors}").contains(&SECRET[6..]));

    let wrong = "whsec_tooshort";
    for (arguments, secret, told) in [
        (vec![url.as_str()], None, "the endpoint's secret is needed to sign"),
        (vec![url.as_str()], Some(wrong), "the endpoint's secret cannot be used"),
        (vec![url.as_str(), "--secret", wrong], None, "the endpoint's secret cannot be used"),
        (vec!["game.example/hooks"], Some(SECRET), "must begin with `https://` or `http://`"),
        (vec![url.as_str(), "--status-url", url.as_str()], Some(SECRET), "must have {webhook_id} in it"),
        (vec![url.as_str(), "--type", "match.*"], Some(SECRET), "must be one event type"),
    ] {
        let (status, text, errors) = texts(run(&arguments, secret).await?)?;
        assert_ne!(status, Some(0));
        assert!(text.is_empty() && errors.contains(told), "{told}: {errors}");
        assert!(!errors.contains(wrong) && !errors.contains(SECRET), "{errors}");
    }
    assert_eq!(stand_in.requests(), 0);
    Ok(())
}
