//! Wishes to turn money into credit: the provider holds the money until it is answered, and asks again when it has
//! heard nothing. Whatever happens, one wish has one answer.

use std::collections::BTreeSet;

use insta::assert_snapshot;
use matchpurse_bus::PublishError;
use matchpurse_domain::event::{Event, Payload};
use matchpurse_providers::Method;
use matchpurse_testkit::Database;

use crate::harness::{Ingress, SOURCES, body};
use crate::http::{Answer, Request};
use crate::publisher::Mode;

/// An ingress whose source has this policy, on a database.
async fn start(policy: &str, database: &Database) -> Ingress {
    let text = SOURCES.replace("postgres://nobody@127.0.0.1:1/none", &database.service_url());
    let source = "max_body_bytes = 4096";
    assert!(text.contains(source) && text.contains(&database.service_url()));
    let option = format!("{source}\noptions.conversion = {policy:?}");
    Ingress::start_with(&text.replacen(source, &option, 1)).await
}

fn wish(ingress: &Ingress, intent: &str) -> Request {
    let text = String::from_utf8(body("conversion")).unwrap();
    let text = text.replace("5a31e00a-a2b8-4cdc-80cb-3ce3312f8023", intent);
    ingress.signed("duel", Method::Post, text.as_bytes())
}

/// The answers in the events that were published.
fn published(ingress: &Ingress) -> Vec<String> {
    let answer = |event: Event| match event.payload {
        Payload::CreditConversion(wish) => wish.answer,
        other => format!("{other:?}"),
    };
    ingress.publisher.events().into_iter().map(answer).collect()
}

#[tokio::test]
async fn a_wish_is_answered_as_the_policy_says_once_it_is_kept() {
    let database = Database::create().await.unwrap();
    let mut told = String::new();
    for policy in ["none", "complete", "pending"] {
        let ingress = start(policy, &database).await;
        let answer = ingress.send(&wish(&ingress, policy)).await;
        assert_eq!(answer.status, 200);
        told.push_str(&format!("{policy}: {}, published {:?}\n", answer.body, published(&ingress)));
    }
    assert_snapshot!(told, @r#"
    none: {"status":"FAILED","responseText":"Conversion into credit is not offered here; the money stays with the player."}, published ["FAILED"]
    complete: {"status":"COMPLETED","responseText":"Converted into credit."}, published ["COMPLETED"]
    pending: {"status":"PENDING","responseText":"The conversion is being looked at."}, published ["PENDING"]
    "#);
}

#[tokio::test]
async fn a_repeat_is_answered_word_for_word_the_same_whatever_the_policy_is_by_then() {
    let database = Database::create().await.unwrap();
    let policies = ["none", "complete", "pending"];
    for first in policies {
        let ingress = start(first, &database).await;
        let answer = ingress.send(&wish(&ingress, first)).await.to_string();
        let word = published(&ingress).remove(0);
        for later in policies {
            let ingress = start(later, &database).await;
            for _ in 0..2 {
                assert_eq!(
                    ingress.send(&wish(&ingress, first)).await.to_string(),
                    answer,
                    "{first}, {later}"
                );
            }
            assert_eq!(published(&ingress), [word.as_str(), &word], "{first}, {later}");
        }
    }
    // Only the answers are there, and nobody can change them.
    let rows = database.texts("SELECT intent_id || ' ' || answer FROM conversion_answer").await.unwrap();
    assert_eq!(rows, ["complete COMPLETED", "none FAILED", "pending PENDING"]);
    let connection = database.connection().await.unwrap();
    for change in ["UPDATE conversion_answer SET answer = 'FAILED'", "DELETE FROM conversion_answer"] {
        assert!(connection.execute(change, &[]).await.is_err(), "{change}");
    }
}

/// Several processes with several policies, as while one configuration replaces another.
#[tokio::test]
async fn repeats_at_several_ingresses_at_once_get_one_answer() {
    let database = Database::create().await.unwrap();
    let ingresses = [
        start("none", &database).await,
        start("complete", &database).await,
        start("pending", &database).await,
    ];
    for intent in 0..12 {
        let intent = format!("intent-{intent}");
        let requests =
            ingresses.iter().cycle().take(12).map(|ingress| ingress.send_owned(wish(ingress, &intent)));
        let answers = futures_util::future::join_all(requests).await;
        let bodies: BTreeSet<String> = answers.iter().map(Answer::to_string).collect();
        assert_eq!(bodies.len(), 1, "{bodies:?}");
        let words: BTreeSet<String> = ingresses.iter().flat_map(published).collect();
        assert_eq!(words.len(), 1, "{words:?}");
        assert!(bodies.iter().all(|body| words.iter().all(|word| body.contains(&format!("\"{word}\"")))));
        ingresses.iter().for_each(|ingress| ingress.publisher.forget());
    }
}

#[tokio::test]
async fn no_answer_is_guessed_while_the_database_is_away() {
    for policy in ["none", "complete", "pending"] {
        let database = Database::create().await.unwrap();
        let ingress = start(policy, &database).await;
        database.cut_off().await.unwrap();
        let answer = ingress.send(&wish(&ingress, "i")).await;
        assert_eq!(answer.status, 503);
        assert!(answer.headers.contains(&("retry-after".to_owned(), "2".to_owned())), "{answer}");
        assert!(answer.body.contains("urn:matchpurse:problem:no-answer"), "{answer}");
        assert!(ingress.publisher.messages().is_empty(), "what is not answered is not done either");
        // Everything else goes on.
        let other = ingress.signed("duel", Method::Post, &body("game_created"));
        assert_eq!(ingress.send(&other).await.status, 200);
        database.restore().await.unwrap();
        assert_eq!(ingress.send(&wish(&ingress, "i")).await.status, 200);
    }
}

#[tokio::test]
async fn a_wish_that_could_not_be_published_is_answered_the_same_when_it_can() {
    let database = Database::create().await.unwrap();
    let ingress = start("complete", &database).await;
    ingress.publisher.set(Mode::Fail(|| PublishError::Blocked));
    let refused = ingress.send(&wish(&ingress, "i")).await;
    assert_eq!((refused.status, published(&ingress).len()), (503, 0));
    assert!(!refused.body.contains("COMPLETED"));
    // Nobody was answered, but the word stands.
    let later = start("none", &database).await;
    assert!(later.send(&wish(&later, "i")).await.body.contains("COMPLETED"));
    assert_eq!(published(&later), ["COMPLETED"]);
}

#[tokio::test]
async fn nothing_is_kept_for_a_delivery_that_nobody_vouches_for() {
    let database = Database::create().await.unwrap();
    let ingress = start("complete", &database).await;
    let forged = ingress.signed_by(b"a guess", "duel", Method::Post, &body("conversion"));
    assert_eq!(ingress.send(&forged).await.status, 401);
    assert_eq!(database.texts("SELECT intent_id FROM conversion_answer").await.unwrap(), [""; 0]);
    // Nor is the database asked about what asks nothing.
    database.cut_off().await.unwrap();
    assert_eq!(ingress.send(&forged).await.status, 401);
}

/// An unreadable wish returns the money, and an intent whose money was returned is never completed.
#[tokio::test]
async fn a_wish_that_cannot_be_read_is_refused_for_ever() {
    let database = Database::create().await.unwrap();
    let ingress = start("complete", &database).await;
    let send = |text: String| ingress.send_owned(ingress.signed("duel", Method::Post, text.as_bytes()));
    let text = String::from_utf8(body("conversion")).unwrap();
    let unreadable = send(text.replace("100", "\"ten\"")).await;
    assert_snapshot!(unreadable, @r#"
    200
    content-length: 97
    content-type: application/json

    {"status":"FAILED","responseText":"The request cannot be read; the money stays with the player."}
    "#);
    assert_eq!(send(text.clone()).await.body, unreadable.body);
    // Without an intent there is nothing to keep.
    let nameless = send(text.replace("\"5a31e00a-a2b8-4cdc-80cb-3ce3312f8023\"", "null")).await;
    assert!(nameless.body.contains("FAILED"), "{nameless}");
    let kept = database.texts("SELECT intent_id || ' ' || answer FROM conversion_answer").await.unwrap();
    assert_eq!(kept, ["5a31e00a-a2b8-4cdc-80cb-3ce3312f8023 FAILED"]);
}
