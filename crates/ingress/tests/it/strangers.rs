//! Floods and slow clients of whom nothing has verified, while those who can sign go on.

use std::time::{Duration, Instant};

use insta::assert_snapshot;
use matchpurse_providers::Method;

use crate::harness::{Ingress, SOURCES, body};
use crate::http::{Answer, Connection, Request};

const STRANGER: &str = "127.0.0.2";
const OTHER_STRANGER: &str = "127.0.0.3";

fn with(settings: &str) -> String {
    SOURCES.replace("[ingress]", &format!("[ingress]\n{settings}"))
}

async fn send_from(own: &str, ingress: &Ingress, request: &Request) -> Answer {
    let mut connection = Connection::open_from(own, ingress.address).await;
    connection.write(&request.bytes()).await;
    connection.read().await.expect("an answer")
}

fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
}

#[tokio::test]
async fn a_stranger_who_is_refused_too_often_has_to_wait_and_nobody_else_has() {
    // So slowly that the test sees nothing come back.
    let settings = with("refusals_per_address_per_second = 1\nrefusals_per_address_burst = 30");
    let ingress = Ingress::start_with(&settings).await;
    let good = ingress.signed("duel", Method::Post, &body("game_created"));
    let forged = ingress.signed_by(b"no secret of ours", "duel", Method::Post, &body("game_created"));
    let mut statuses = Vec::new();
    let began = Instant::now();
    for _ in 0..40 {
        statuses.push(send_from(STRANGER, &ingress, &forged).await.status);
    }
    let filled = usize::try_from(began.elapsed().as_secs()).unwrap();
    let refused = statuses.iter().filter(|status| **status == 401).count();
    assert!((30..=31 + filled).contains(&refused) && statuses[..30] == [401; 30], "{statuses:?}");
    let answer = send_from(STRANGER, &ingress, &forged).await;
    if began.elapsed() < Duration::from_secs(5) {
        assert_snapshot!(answer, @r#"
        429
        cache-control: no-store
        connection: close
        content-length: 160
        content-type: application/problem+json
        retry-after: 1

        {"type":"urn:matchpurse:problem:refused-too-often","title":"Refused too often","status":429,"detail":"too much from here was refused; wait 1 s","source":"duel"}
        "#);
    }
    // Another address is another one, and there whatever is asked for counts.
    assert_eq!(send_from(OTHER_STRANGER, &ingress, &good).await.status, 200);
    for path in ["/", "/hooks/nobody"] {
        let lost = Request::new("GET", path, b"");
        let mut status = 0;
        for _ in 0..40 {
            status = send_from("127.0.0.4", &ingress, &lost).await.status;
        }
        assert_eq!(status, 429, "{path}");
    }
    let metrics = ingress.get_admin("/metrics").await.body;
    assert!(metrics.contains("source=\"duel\",outcome=\"refused_too_often\"} "), "{metrics}");
}

#[tokio::test]
async fn whoever_has_signed_is_not_shut_out_by_what_else_comes_from_there() {
    let settings = with("refusals_per_address_per_second = 1\nrefusals_per_address_burst = 5");
    let ingress = Ingress::start_with(&settings).await;
    let good = ingress.signed("duel", Method::Post, &body("game_created"));
    let forged = Request { headers: Vec::new(), ..good.clone() };
    assert_eq!(ingress.send(&good).await.status, 200);
    for _ in 0..50 {
        assert_eq!(ingress.send(&forged).await.status, 401);
    }
    assert_eq!(ingress.send(&good).await.status, 200);
}

#[tokio::test]
async fn a_source_may_be_closed_to_strangers_by_all_of_them_together() {
    let settings = with("refusals_per_source_per_second = 1\nrefusals_per_source_burst = 4");
    let ingress = Ingress::start_with(&settings).await;
    let good = ingress.signed("duel", Method::Post, &body("game_created"));
    let forged = Request { headers: Vec::new(), ..good.clone() };
    assert_eq!(ingress.send(&good).await.status, 200);
    let mut last = 0;
    for n in 10..30 {
        last = send_from(&format!("127.0.1.{n}"), &ingress, &forged).await.status;
    }
    assert_eq!(last, 429);
    assert_eq!(ingress.send(&good).await.status, 200, "who is known");
    let other = Request::new("POST", "/hooks/wall", b"{}");
    assert_ne!(send_from(STRANGER, &ingress, &other).await.status, 429, "another source");
}

#[tokio::test]
async fn behind_a_trusted_proxy_the_address_is_the_one_that_it_tells() {
    let settings = with(
        "trusted_proxies = [\"127.0.0.1\"]\nrefusals_per_address_per_second = 1\nrefusals_per_address_burst = 5",
    );
    let ingress = Ingress::start_with(&settings).await;
    let forged = |told: &str| Request::new("POST", "/hooks/duel", b"{}").header("x-forwarded-for", told);
    for n in 0..20 {
        // What a client writes itself stands before what the proxy adds.
        ingress.send(&forged(&format!("198.51.100.{n}, 203.0.113.7"))).await;
    }
    assert_eq!(ingress.send(&forged("203.0.113.7")).await.status, 429);
    assert_eq!(ingress.send(&forged("203.0.113.8")).await.status, 401);
    let rejected = ingress.rejected.last();
    assert_eq!(rejected.last().unwrap().remote, Some("203.0.113.8".parse().unwrap()));
    // Who is no proxy of ours is believed nothing.
    for n in 0..20 {
        send_from(STRANGER, &ingress, &forged(&format!("203.0.113.{n}"))).await;
    }
    assert_eq!(send_from(STRANGER, &ingress, &forged("203.0.113.99")).await.status, 429);
}

#[tokio::test]
async fn a_strangers_connection_ends_with_its_refusal() {
    let ingress = Ingress::start().await;
    for request in [
        Request::new("POST", "/hooks/duel", b"{}"),
        Request::new("GET", "/hooks/duel", b""),
        Request::new("GET", "/hooks/nobody", b""),
        Request::new("GET", "/", b""),
        Request::new("GET", "/healthz", b""),
    ] {
        let mut connection = Connection::open_from(STRANGER, ingress.address).await;
        connection.write(&request.bytes()).await;
        let answer = connection.read().await.unwrap();
        assert_eq!(header(&answer, "connection"), Some("close"), "{answer}");
        assert!(connection.is_closed().await, "it could begin another request and never end it");
    }
}

/// Heads and bodies that come byte by byte are cut off when their time is over; until then they take no place of those
/// who have signed before.
#[tokio::test]
async fn slow_clients_are_cut_off_and_good_deliveries_go_on_meanwhile() {
    let settings =
        with("max_in_flight = 8").replace("request_timeout_ms = 60000", "request_timeout_ms = 2500");
    let ingress = Ingress::start_with(&settings).await;
    let good = ingress.signed("duel", Method::Post, &body("game_created"));
    assert_eq!(ingress.send(&good).await.status, 200, "known from now on");

    let bytes = good.bytes();
    let (head, _) = bytes.split_at(bytes.len() - good.body.len());
    let (mut slow_heads, mut slow_bodies) = (Vec::new(), Vec::new());
    for _ in 0..20 {
        let mut connection = Connection::open_from(STRANGER, ingress.address).await;
        connection.write(&head[..head.len() - 3]).await;
        slow_heads.push(connection);
        let mut connection = Connection::open_from(STRANGER, ingress.address).await;
        connection.write(&bytes[..bytes.len() - 1]).await;
        slow_bodies.push(connection);
    }
    let mut delivered = 0;
    let slow = tokio::spawn(async move {
        for connection in &mut slow_heads {
            let answer = connection.read().await;
            assert!(answer.is_none_or(|answer| answer.status == 408));
            assert!(connection.is_closed().await);
        }
        // Six may try, which is three quarters; the others are turned away at once.
        let mut statuses = Vec::new();
        for connection in &mut slow_bodies {
            statuses.push(connection.read().await.expect("an answer").status);
            assert!(connection.is_closed().await);
        }
        statuses.sort_unstable();
        statuses
    });
    while !slow.is_finished() {
        assert_eq!(ingress.send(&good).await.status, 200);
        delivered += 1;
    }
    let statuses = slow.await.unwrap();
    assert_eq!(statuses, [[408; 6].as_slice(), [429; 14].as_slice()].concat());
    assert!(delivered > 10, "{delivered} deliveries meanwhile");
}

#[tokio::test]
async fn one_address_has_so_many_connections_and_no_more() {
    let ingress = Ingress::start_with(&with("connections_per_address_max = 2")).await;
    let good = ingress.signed("duel", Method::Post, &body("game_created")).bytes();
    let lost = Request::new("GET", "/nothing", b"").bytes();
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut connection = Connection::open_from(STRANGER, ingress.address).await;
        connection.write(&good).await;
        assert_eq!(connection.read().await.unwrap().status, 200);
        open.push(connection);
    }
    let mut over = Connection::open_from(STRANGER, ingress.address).await;
    assert!(over.is_closed().await);
    assert_eq!(send_from(OTHER_STRANGER, &ingress, &Request::new("GET", "/", b"")).await.status, 404);
    for connection in &mut open {
        connection.write(&good).await;
        assert_eq!(connection.read().await.unwrap().status, 200, "those that are there stay");
    }
    let metrics = ingress.get_admin("/metrics").await.body;
    assert!(metrics.lines().any(|line| line == "matchpurse_ingress_connections_ended_total 1"), "{metrics}");
    drop(open);
    // They are given back when the server has let go of them, which is a moment later.
    loop {
        let mut again = Connection::open_from(STRANGER, ingress.address).await;
        if again.try_write(&lost).await && again.read().await.is_some() {
            break;
        }
    }
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let ingress = Ingress::start().await;
    let large = Request::new("POST", "/hooks/duel", b"{}").header("x-large", vec![b'a'; 200_000]);
    let many = (0..200).fold(Request::new("POST", "/hooks/duel", b"{}"), |request, n| {
        request.header(&format!("x-{n}"), b"a")
    });
    for request in [large, many] {
        let mut connection = Connection::open_from(STRANGER, ingress.address).await;
        // It may hang up before it has read all of it.
        connection.try_write(&request.bytes()).await;
        let answer = connection.read().await;
        assert!(answer.is_none_or(|answer| matches!(answer.status, 400 | 431)));
        assert!(connection.is_closed().await);
    }
    assert!(ingress.publisher.messages().is_empty());
}
