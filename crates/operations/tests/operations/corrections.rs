use anyhow::Result;
use matchpurse_domain::event::MatchStatus::{CanceledByOwner, Closed, Confirmed, Locked};
use matchpurse_domain::ids::EventId;
use matchpurse_operations::{End, Figure, corrections};
use matchpurse_store::corrections::CorrectionState::{Applied, Proposed, Rejected};

use crate::ground::{Ground, NOW, snapshot, told};

fn winners(group: &str) -> End {
    End::Winners { groups: vec![group.to_owned()] }
}

#[tokio::test]
async fn an_overruled_end_is_undone_by_reversals_and_everything_stays_in_the_ledger() -> Result<()> {
    let ground = Ground::new().await?;
    let first = snapshot("theirs", Closed, Some("g1"), Some(1800));
    let second = snapshot("theirs", CanceledByOwner, None, None);
    ground.apply(&[first.clone(), second.clone()]).await?;
    assert_eq!(ground.balances().await?, "a 800, b -1000, external 200");
    let done = ground.correct("theirs", End::Event { event_id: second.id.uuid() }, "k", 1).await?;
    assert_eq!((done.state, done.proposal.generation), (Applied, 1));
    assert_eq!(
        ground.the_match().await?,
        "CANCELED_BY_OWNER, refund, generation 1: pot 2000, paid 0, back 2000, fee 0"
    );
    assert_eq!(ground.balances().await?, "");
    let transfers = "SELECT generation || ' ' || (ARRAY['hold', 'payout', 'refund', 'fee', '', 'top-up',
                            'reversal'])[kind] || ' ' || sum(amount) || ' in ' || count(*)
                       FROM transfer GROUP BY generation, kind ORDER BY generation, kind";
    insta::assert_snapshot!(ground.rows(transfers).await?.join("\n"), @r"
    0 hold 2000 in 2
    0 payout 1800 in 1
    0 fee 200 in 1
    0 reversal 2000 in 3
    1 hold 2000 in 2
    1 refund 2000 in 2
    ");
    let anomalies =
        "SELECT kind || ': ' || coalesce(resolution, 'open') || ' by ' || resolved_by FROM anomaly";
    let resolution = format!("terminal_conflict: correction {} by ann", done.proposal.id);
    assert_eq!(ground.rows(anomalies).await?, [resolution]);
    // What is known is no news: all events again, without the inbox, change nothing.
    let outbox = "SELECT kind FROM outbox ORDER BY position";
    let before = ground.rows(outbox).await?;
    ground.effects_only(&[first, second]).await?;
    assert_eq!(ground.rows(outbox).await?, before);
    assert_eq!(before.last().map(String::as_str), Some("match.corrected"));
    ground.sound().await
}

#[tokio::test]
async fn a_repeat_returns_what_came_of_the_first_and_another_request_is_refused() -> Result<()> {
    let ground = Ground::new().await?;
    ground.apply(&[snapshot("theirs", Closed, Some("g1"), Some(1800))]).await?;
    let first = ground.correct("theirs", winners("g2"), "k", 1).await?;
    assert_eq!(ground.correct("theirs", winners("g2"), "k", 1).await?, first);
    let other = ground.correct("theirs", End::Tie {}, "k", 1).await.unwrap_err();
    assert_eq!(told(&other), "the idempotency key was used for another request");
    let same = ground.correct("theirs", winners("g2"), "k2", 1).await.unwrap_err();
    assert_eq!(told(&same), "the escrow refuses it: the match ended like that already");
    assert_eq!(ground.balances().await?, "a -1000, b 800, external 200");
    ground.sound().await
}

#[tokio::test]
async fn what_the_rules_do_not_allow_is_refused_and_leaves_nothing() -> Result<()> {
    let ground = Ground::new().await?;
    for player in ["a", "b"] {
        ground.deposit(player, 1000).await?;
    }
    ground.apply(&[snapshot("ours", Closed, Some("g1"), None)]).await?;
    let withdrawn = matchpurse_operations::funds::Direction::Withdrawal;
    ground.move_money(withdrawn, "ours", "a", crate::ground::usd(1500), "w").await?;
    let stranger = snapshot("theirs", Confirmed, None, None);
    ground.apply(std::slice::from_ref(&stranger)).await?;
    let payout = |player: &str, minor_units| End::Payouts {
        payouts: vec![Figure { player_id: player.to_owned(), minor_units }],
    };
    let mut refusals = Vec::new();
    for (key, end) in [
        winners("g2"),
        winners("g9"),
        payout("a", 2001),
        payout("z", 1),
        End::Event { event_id: stranger.id.uuid() },
        End::Event { event_id: EventId::of_delivery(&stranger.source, "POST", b"none", 0).uuid() },
    ]
    .into_iter()
    .enumerate()
    {
        let refusal = told(&ground.correct("ours", end, &format!("k{key}"), 1).await.unwrap_err());
        // Ids follow from what the test says, but nobody needs to read them.
        refusals
            .push(refusal.split_whitespace().filter(|word| word.len() < 30).collect::<Vec<_>>().join(" "));
    }
    insta::assert_snapshot!(refusals.join("\n"), @r#"
    the escrow refuses it: players lack money that they would have to give back: a lacks 1500
    the escrow refuses it: "g9" is not in the match
    the escrow refuses it: the amounts are not between 0 and 2000 minor units together
    the escrow refuses it: "z" is not in the match
    event is no archived snapshot of this match
    event is no archived snapshot of this match
    "#);
    assert_eq!(ground.rows("SELECT correction_id::text FROM correction").await?, [""; 0]);
    ground.sound().await
}

#[tokio::test]
async fn two_persons_are_two_persons() -> Result<()> {
    let ground = Ground::new().await?;
    ground.apply(&[snapshot("theirs", Closed, Some("g1"), Some(1800))]).await?;
    let proposed = ground.correct("theirs", winners("g2"), "k", 2).await?;
    assert_eq!((proposed.state, &proposed.decided), (Proposed, &None));
    assert_eq!(ground.balances().await?, "a 800, b -1000, external 200", "nothing has moved yet");
    let id = proposed.proposal.id;
    let another = ground.correct("theirs", End::Refund {}, "k2", 2).await.unwrap_err();
    assert_eq!(told(&another), "another correction of this match waits for a decision");
    corrections::approve(&ground.store, id, "Ann ", NOW).await.unwrap_err();
    let alone = corrections::approve(&ground.store, id, "ann", NOW).await.unwrap_err();
    assert_eq!(told(&alone), "ann proposed the correction, so somebody else must decide");
    let approved = corrections::approve(&ground.store, id, "bea", NOW).await?;
    assert_eq!((approved.state, approved.decided.map(|(by, _)| by)), (Applied, Some("bea".to_owned())));
    assert_eq!(ground.balances().await?, "a -1000, b 800, external 200");
    let operation = "SELECT actor || ', approved by ' || approved_by FROM operation";
    assert_eq!(ground.rows(operation).await?, ["ann, approved by bea"]);
    let twice = corrections::approve(&ground.store, id, "bea", NOW).await.unwrap_err();
    assert_eq!(told(&twice), "the correction is applied already");
    // The database itself holds to it, whoever writes.
    let alone = "INSERT INTO correction (correction_id, match_no, generation, state, verdict, reason,
                     seen_event_id, approvals, proposed_by, decided_by, decided_at)
                 SELECT gen_random_uuid(), match_no, 2, 'applied', '{}', 'r', last_event_id, 2, 'ann', 'ann', now()
                   FROM match";
    let refused = ground.database.connection().await?.execute(alone, &[]).await.unwrap_err();
    assert_eq!(refused.as_db_error().and_then(|error| error.constraint()), Some("two_persons"));
    ground.sound().await
}

#[tokio::test]
async fn a_proposal_is_of_the_match_as_it_was_and_can_be_rejected() -> Result<()> {
    let ground = Ground::new().await?;
    ground.apply(&[snapshot("theirs", Confirmed, None, None)]).await?;
    let proposed = ground.correct("theirs", End::Refund {}, "k", 2).await?;
    ground.apply(&[snapshot("theirs", Locked, None, None)]).await?;
    let outdated = corrections::approve(&ground.store, proposed.proposal.id, "bea", NOW).await.unwrap_err();
    assert_eq!(told(&outdated), "the match is not any more what it was when the correction was proposed");
    let rejected = corrections::reject(&ground.store, proposed.proposal.id, "ann", "it goes on").await?;
    assert_eq!((rejected.state, rejected.decision_reason.as_deref()), (Rejected, Some("it goes on")));
    let late = corrections::approve(&ground.store, proposed.proposal.id, "bea", NOW).await.unwrap_err();
    assert_eq!(told(&late), "the correction is rejected already");
    assert_eq!(ground.correct("theirs", End::Refund {}, "k2", 1).await?.state, Applied);
    assert_eq!(ground.balances().await?, "");
    ground.sound().await
}

#[tokio::test]
async fn a_preview_tells_and_writes_nothing() -> Result<()> {
    let ground = Ground::new().await?;
    ground.apply(&[snapshot("theirs", Closed, Some("g1"), Some(1800))]).await?;
    let request = corrections::Request {
        source: snapshot("theirs", Closed, None, None).source,
        match_id: "m1".to_owned(),
        kind: None,
        end: winners("g2"),
    };
    let preview = corrections::preview(&ground.store, &request, NOW).await?;
    let moved: i64 = preview.outcome.transfers.iter().map(|transfer| transfer.amount).sum();
    assert_eq!((preview.outcome.state.generation, moved), (1, 800 + 1000 + 200 + 2000 + 1800 + 200));
    assert_eq!(ground.balances().await?, "a 800, b -1000, external 200");
    assert_eq!(ground.rows("SELECT correction_id::text FROM correction").await?, [""; 0]);
    let unknown = corrections::Request { match_id: "m2".to_owned(), ..request };
    let error = corrections::preview(&ground.store, &unknown, NOW).await.unwrap_err();
    assert_eq!(told(&error), "there is no such match");
    Ok(())
}
