//! Bodies that are too large, too slow, cut off or oddly framed, and too many at once.

use insta::assert_snapshot;
use matchpurse_providers::Method;

use crate::harness::{Ingress, SOURCES, body};
use crate::http::{Connection, Request};
use crate::publisher::Mode;

/// The limit of the source `duel`, in bytes.
const LIMIT: usize = 4096;

/// A body of exactly so many bytes that the adapter can read.
fn padded(length: usize) -> Vec<u8> {
    let mut bytes = body("unknown_event");
    bytes.resize(length, b' ');
    bytes
}

/// The request with its body in chunks.
fn chunked(request: &Request, pieces: &[&[u8]]) -> Vec<u8> {
    let framed = Request { body: Vec::new(), ..request.clone() }.header("transfer-encoding", "chunked");
    let chunks = pieces
        .iter()
        .flat_map(|piece| [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat());
    framed.bytes().into_iter().chain(chunks).chain(*b"0\r\n\r\n").collect()
}

#[tokio::test]
async fn a_body_over_the_limit_is_answered_413_before_it_is_sent() {
    let ingress = Ingress::start().await;
    let request = ingress.signed("duel", Method::Post, &padded(LIMIT + 1));
    let mut connection = Connection::open(ingress.address).await;
    let bytes = request.bytes();
    connection.write(&bytes[..bytes.len() - LIMIT - 1]).await;
    assert_snapshot!(connection.read().await.unwrap(), @r#"
    413
    cache-control: no-store
    connection: close
    content-length: 165
    content-type: application/problem+json

    {"type":"urn:matchpurse:problem:body-too-large","title":"The body is too large","status":413,"detail":"this source takes bodies of up to 4096 bytes","source":"duel"}
    "#);
    assert!(connection.is_closed().await, "what would follow is no request");

    assert_eq!(ingress.send(&ingress.signed("duel", Method::Post, &padded(LIMIT))).await.status, 200);
    assert_eq!(ingress.publisher.messages().len(), 1);
}

#[tokio::test]
async fn a_body_without_a_length_is_read_up_to_the_limit_and_no_further() {
    let ingress = Ingress::start().await;
    let over = padded(LIMIT + 1);
    let request = ingress.signed("duel", Method::Post, &over);
    let mut connection = Connection::open(ingress.address).await;
    let bytes = chunked(&request, &[&over[..100], &over[100..]]);
    // The last chunk never ends, and the answer does not wait for it.
    connection.write(&bytes[..bytes.len() - 7]).await;
    assert_eq!(connection.read().await.unwrap().status, 413);
    assert!(ingress.publisher.messages().is_empty());

    let whole = padded(LIMIT);
    let request = ingress.signed("duel", Method::Post, &whole);
    let mut connection = Connection::open(ingress.address).await;
    connection.write(&chunked(&request, &[&whole[..1], &whole[1..2000], &whole[2000..]])).await;
    assert_eq!(connection.read().await.unwrap().status, 200);
    assert_eq!(ingress.publisher.events()[0].raw, whole);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_answered_408() {
    let ingress =
        Ingress::start_with(&SOURCES.replace("request_timeout_ms = 60000", "request_timeout_ms = 50")).await;
    let request = ingress.signed("duel", Method::Post, &body("game_created")).bytes();
    let mut connection = Connection::open(ingress.address).await;
    connection.write(&request[..request.len() - 1]).await;
    assert_snapshot!(connection.read().await.unwrap(), @r#"
    408
    cache-control: no-store
    connection: close
    content-length: 167
    content-type: application/problem+json

    {"type":"urn:matchpurse:problem:body-too-slow","title":"The body took too long","status":408,"detail":"the body did not arrive in time; send it again","source":"duel"}
    "#);
    assert!(ingress.publisher.messages().is_empty());
}

#[tokio::test]
async fn a_body_that_is_framed_wrongly_is_answered_400() {
    let ingress = Ingress::start().await;
    let request = ingress.signed("duel", Method::Post, b"");
    let mut connection = Connection::open(ingress.address).await;
    let framed = request.header("transfer-encoding", "chunked").bytes();
    connection.write(&[&framed[..], b"not a length\r\n"].concat()).await;
    assert_eq!(connection.read().await.unwrap().status, 400);
    assert!(ingress.publisher.messages().is_empty());
}

#[tokio::test]
async fn two_lengths_that_contradict_are_refused() {
    let ingress = Ingress::start().await;
    let request = ingress.signed("duel", Method::Post, &body("game_created"));
    let length = request.body.len();
    let doubled = request.header("content-length", length.to_string()).header("content-length", "1");
    assert_eq!(ingress.send(&doubled).await.status, 400);
    assert!(ingress.publisher.messages().is_empty());
}

#[tokio::test]
async fn a_compressed_body_is_verified_as_it_came() {
    let ingress = Ingress::start().await;
    // The signature is over these bytes; that nobody can read them is another matter.
    let compressed = b"\x1f\x8b\x08\x00 whatever was compressed";
    let request = ingress.signed("duel", Method::Post, compressed).header("content-encoding", "gzip");
    assert_eq!(ingress.send(&request).await.status, 422);
    assert_eq!(ingress.publisher.events()[0].raw, &compressed[..]);
}

#[tokio::test]
async fn a_sender_that_asks_first_is_told_to_go_on() {
    let ingress = Ingress::start().await;
    let request =
        ingress.signed("duel", Method::Post, &body("game_created")).header("expect", "100-continue");
    let bytes = request.bytes();
    let (head, rest) = bytes.split_at(bytes.len() - request.body.len());
    let mut connection = Connection::open(ingress.address).await;
    connection.write(head).await;
    assert_eq!(connection.read().await.unwrap().status, 100);
    connection.write(rest).await;
    assert_eq!(connection.read().await.unwrap().status, 200);
}

#[tokio::test]
async fn a_connection_serves_one_delivery_after_the_other() {
    let ingress = Ingress::start().await;
    let kept = ingress.signed("duel", Method::Post, &body("game_created")).bytes();
    let refused = Request::new("POST", "/hooks/duel", b"{}").bytes();
    let probe = Request::new("HEAD", "/hooks/duel", b"").bytes();
    let mut connection = Connection::open(ingress.address).await;
    for (bytes, status) in [(&kept, 200), (&refused, 401), (&kept, 200)] {
        connection.write(bytes).await;
        assert_eq!(connection.read().await.unwrap().status, status);
    }
    connection.write(&probe).await;
    assert_eq!(connection.read_head().await.unwrap().status, 405);
    connection.write(&kept).await;
    assert_eq!(connection.read().await.unwrap().status, 200, "the answer to HEAD had no body");
}

#[tokio::test]
async fn too_many_at_once_are_answered_429() {
    let ingress = Ingress::start_with(&SOURCES.replace("[ingress]", "[ingress]\nmax_in_flight = 2")).await;
    ingress.publisher.set(Mode::Hold);
    let request = ingress.signed("duel", Method::Post, &body("game_created"));
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut connection = Connection::open(ingress.address).await;
        connection.write(&request.bytes()).await;
        held.push(connection);
    }
    ingress.publisher.wait_for_held(2).await;
    assert_snapshot!(ingress.send(&request).await, @r#"
    429
    cache-control: no-store
    connection: close
    content-length: 179
    content-type: application/problem+json
    retry-after: 1

    {"type":"urn:matchpurse:problem:too-many-deliveries","title":"Too many deliveries","status":429,"detail":"as many deliveries are in work as may be; send it again","source":"duel"}
    "#);
    assert_eq!(ingress.get_admin("/healthz").await.status, 200);

    ingress.publisher.release(2);
    for mut connection in held {
        assert_eq!(connection.read().await.unwrap().status, 200);
    }
    ingress.publisher.set(Mode::Keep);
    assert_eq!(ingress.send(&request).await.status, 200);
    assert_eq!(ingress.publisher.messages().len(), 3);
}

#[tokio::test]
async fn a_sender_that_hangs_up_keeps_its_place_and_its_event_is_kept() {
    let ingress = Ingress::start_with(&SOURCES.replace("[ingress]", "[ingress]\nmax_in_flight = 1")).await;
    ingress.publisher.set(Mode::Hold);
    let request = ingress.signed("duel", Method::Post, &body("game_created"));
    let mut connection = Connection::open(ingress.address).await;
    connection.write(&request.bytes()).await;
    ingress.publisher.wait_for_held(1).await;
    drop(connection);
    assert_eq!(ingress.send(&request).await.status, 429);
    ingress.publisher.release(1);
    ingress.publisher.wait_for_held(0).await;
    ingress.publisher.set(Mode::Keep);
    assert_eq!(ingress.publisher.messages().len(), 1);
}

#[tokio::test]
async fn a_publisher_that_never_answers_is_answered_503_in_the_end() {
    let limits = "statement_timeout_ms = 10\nanswer_grace_ms = 10\npool_wait_ms = 10\n[broker]\nconfirm_timeout_ms = 10\n[ingress]";
    let ingress = Ingress::start_with(&SOURCES.replace("[ingress]", limits)).await;
    ingress.publisher.set(Mode::Hold);
    let answer = ingress.send(&ingress.signed("duel", Method::Post, &body("game_created"))).await;
    assert_eq!(answer.status, 503);
    assert!(ingress.publisher.messages().is_empty());
}

/// One source with bodies of up to 4096 bytes, and memory for one of them and a half.
fn little_memory() -> String {
    let (duel, _) = SOURCES.split_once("# A token that names the caller.").unwrap();
    duel.replace("[ingress]", "[ingress]\nbody_memory_max_bytes = 6000")
}

#[tokio::test]
async fn bodies_that_are_still_arriving_take_no_more_than_their_memory() {
    let ingress = Ingress::start_with(&little_memory()).await;
    let request = ingress.signed("duel", Method::Post, &padded(LIMIT));
    let bytes = request.bytes();
    // Both announce the same and send nearly all of it; whoever is second to have sent it is turned away at
    // once, although no body is whole.
    let (mut one, mut other) =
        (Connection::open(ingress.address).await, Connection::open(ingress.address).await);
    for connection in [&mut one, &mut other] {
        connection.write(&bytes[..bytes.len() - 10]).await;
    }
    let (answer, mut waiting) = tokio::select! {
        answer = one.read() => (answer, other),
        answer = other.read() => (answer, one),
    };
    assert_snapshot!(answer.unwrap(), @r#"
    429
    cache-control: no-store
    connection: close
    content-length: 179
    content-type: application/problem+json
    retry-after: 1

    {"type":"urn:matchpurse:problem:too-many-bytes","title":"Too many bytes","status":429,"detail":"the bodies in work take as much memory as they may; send it again","source":"duel"}
    "#);
    waiting.write(&bytes[bytes.len() - 10..]).await;
    assert_eq!(waiting.read().await.unwrap().status, 200);
    // What the two had taken is given back.
    for _ in 0..3 {
        assert_eq!(ingress.send(&request).await.status, 200);
    }
    assert_eq!(ingress.publisher.messages().len(), 4);
}

#[tokio::test]
async fn a_body_keeps_its_memory_until_its_event_is_kept() {
    let ingress = Ingress::start_with(&little_memory()).await;
    ingress.publisher.set(Mode::Hold);
    let request = ingress.signed("duel", Method::Post, &padded(LIMIT));
    let mut held = Connection::open(ingress.address).await;
    held.write(&request.bytes()).await;
    ingress.publisher.wait_for_held(1).await;
    let answer = ingress.send(&request).await;
    assert_eq!(answer.status, 429, "{answer}");
    ingress.publisher.release(1);
    assert_eq!(held.read().await.unwrap().status, 200);
    ingress.publisher.set(Mode::Keep);
    assert_eq!(ingress.send(&request).await.status, 200);
}

/// A sender with many small pieces is not charged for more than the body and its growth.
#[tokio::test]
async fn a_body_in_pieces_fits_into_memory_for_one() {
    let memory = format!("body_memory_max_bytes = {LIMIT}");
    let ingress =
        Ingress::start_with(&little_memory().replace("body_memory_max_bytes = 6000", &memory)).await;
    let whole = padded(LIMIT);
    let request = ingress.signed("duel", Method::Post, &whole);
    let pieces: Vec<&[u8]> = whole.chunks(100).collect();
    let bytes = chunked(&request, &pieces);
    let mut connection = Connection::open(ingress.address).await;
    for some in bytes.chunks(700) {
        connection.write(some).await;
    }
    assert_eq!(connection.read().await.unwrap().status, 200);
}
