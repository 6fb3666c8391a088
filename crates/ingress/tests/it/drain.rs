//! The end: nothing that was taken is cut off, and nothing new is taken.

use std::time::{Duration, Instant};

use matchpurse_providers::Method;

use crate::harness::{Ingress, SOURCES, body};
use crate::http::{Connection, Request};
use crate::publisher::Mode;

#[tokio::test]
async fn what_is_in_work_ends_before_the_ingress_does() {
    let ingress = Ingress::start().await;
    ingress.publisher.set(Mode::Hold);
    let request = ingress.signed("duel", Method::Post, &body("game_created"));
    let mut in_work = Connection::open(ingress.address).await;
    in_work.write(&request.bytes()).await;
    ingress.publisher.wait_for_held(1).await;
    // An idle connection must not hold up the end.
    let mut idle = Connection::open(ingress.address).await;
    idle.write(&Request::new("GET", "/healthz", b"").bytes()).await;
    assert_eq!(idle.read().await.unwrap().status, 200);
    assert_eq!(ingress.get_admin("/readyz").await.status, 200);

    ingress.stop.cancel();
    assert!(idle.is_closed().await);
    let readiness = ingress.get_admin("/readyz").await;
    assert_eq!(readiness.status, 503);
    assert!(readiness.body.contains("draining"), "{readiness}");

    ingress.publisher.release(1);
    assert_eq!(in_work.read().await.unwrap().status, 200);
    assert_eq!(ingress.publisher.messages().len(), 1);
    ingress.running.await.unwrap().unwrap();
}

#[tokio::test]
async fn deliveries_are_taken_while_load_balancers_learn_of_the_end() {
    let ingress =
        Ingress::start_with(&SOURCES.replace("drain_delay_ms = 0", "drain_delay_ms = 600000")).await;
    ingress.stop.cancel();
    // The runtime of this test has one thread, so the token is seen at the first wait.
    assert_eq!(ingress.get_admin("/readyz").await.status, 503);
    let request = ingress.signed("duel", Method::Post, &body("game_created"));
    assert_eq!(ingress.send(&request).await.status, 200);
    assert_eq!(ingress.get_admin("/healthz").await.status, 200, "it drains, and is alive");
    ingress.running.abort();
}

#[tokio::test]
async fn the_ports_are_free_when_it_has_ended() {
    let ingress = Ingress::start().await;
    let (address, admin) = (ingress.address, ingress.admin);
    assert_eq!(ingress.get_admin("/readyz").await.status, 200);
    ingress.stop().await;
    for address in [address, admin] {
        tokio::net::TcpListener::bind(address).await.expect("the port is free");
    }
}

/// An orchestrator kills what takes longer than it was promised.
#[tokio::test]
async fn the_whole_drain_has_one_time_limit() {
    let limit = Duration::from_secs(3);
    let text = SOURCES.replace("drain_delay_ms = 0", "drain_delay_ms = 0\ndrain_timeout_ms = 3000");
    let ingress = Ingress::start_with(&text).await;
    ingress.publisher.set(Mode::Hold);
    let request = ingress.signed("duel", Method::Post, &body("game_created"));
    let mut in_work = Connection::open(ingress.address).await;
    in_work.write(&request.bytes()).await;
    ingress.publisher.wait_for_held(1).await;
    let began = Instant::now();
    // Nothing ever ends what is in work.
    ingress.stop().await;
    assert!(began.elapsed() < limit + limit / 2, "{:?}", began.elapsed());
}
