//! A client that anybody can generate: `openapi-generator` makes one of the committed document, and it talks to the API.

use anyhow::Result;
use tokio::process::Command;

use crate::conformance::file;
use crate::harness::ANN;
use crate::schemathesis::{Folder, run, said, tool};
use crate::world::World;

/// What a program does by the client: a page, one thing, a write that is repeated, and a refusal that it understands.
const PROGRAM: &str = r#"
import sys

import openapi_client as matchpurse
from openapi_client.exceptions import ApiException

url, token = sys.argv[1:]
client = matchpurse.ApiClient(matchpurse.Configuration(host=url, access_token=token))
matches, players = matchpurse.MatchesApi(client), matchpurse.PlayersApi(client)

page = matches.list_matches(source="main-game", limit=1)
assert len(page.items) == 1 and page.items[0].match_id == "match-2", page
rest = matches.list_matches(source="main-game", cursor=page.next)
assert [one.match_id for one in rest.items] == ["match-1"] and rest.next is None, rest

match = matches.get_match("main-game", "match-1")
assert (match.pot.minor_units, match.pot.currency, match.status) == (2000, "USD", "CLOSED"), match
assert {one.player_id: one.outcome for one in match.participants} == {"player-1": "WIN", "player-2": "LOSS"}, match

amount = matchpurse.Amount(minor_units=2500, currency="USD")
body = matchpurse.NewMovement(amount=amount, reason="payment 4711")
first = players.create_deposit("main-game", "player-2", "payment-4711", body)
again = players.create_deposit("main-game", "player-2", "payment-4711", body)
assert first.operation.id == again.operation.id and first.balance.minor_units == 11500, (first, again)

try:
    matches.get_match("main-game", "nobody-knows")
except ApiException as refused:
    problem = matchpurse.Problem.from_json(refused.body)
    assert (refused.status, problem.type) == (404, "urn:matchpurse:problem:unknown-match"), refused
else:
    raise AssertionError("there is no such match")
print("all is well")
"#;

/// Whether there is a Java, which the generator is written in.
fn java() -> bool {
    let there = std::process::Command::new("java")
        .arg("-version")
        .output()
        .is_ok_and(|output| output.status.success());
    if !there {
        eprintln!("SKIPPED: openapi-generator needs a Java runtime, version 11 or later");
    }
    there
}

#[tokio::test]
async fn a_generated_client_reads_and_writes() -> Result<()> {
    let (Some(generator), Some(python)) = (tool("openapi-generator-cli"), tool("python")) else {
        return Ok(());
    };
    if !java() {
        return Ok(());
    }
    let folder = Folder::new("client")?;
    let output = run(Command::new(generator)
        .args(["generate", "--generator-name", "python", "--input-spec"])
        .arg(file("openapi.json"))
        .arg("--output")
        .arg(&folder.0))
    .await?;
    assert!(output.status.success(), "{}", said(&output));
    let world = World::new().await?;
    let program = folder.0.join("program.py");
    std::fs::write(&program, PROGRAM)?;
    let url = format!("http://{}", world.backend.api.address);
    let output =
        run(Command::new(python).arg(program).args([&url, ANN]).env("PYTHONPATH", &folder.0)).await?;
    assert!(output.status.success() && said(&output).contains("all is well"), "{}", said(&output));
    world.backend.api.stop().await
}
