//! The HTTP client against a server of a few lines on the loopback.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use http::{Method, Request};
use matchpurse_service_kit::http_client::{HttpClient, HttpClientOptions, HttpError, Pieces};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

/// Answers every request with `answer`, keeping connections open; `None` never answers.
async fn serve(answer: Option<&'static str>) -> Result<Server> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let connections = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                let mut seen = Vec::new();
                while stream.read_buf(&mut seen).await.is_ok_and(|read| read > 0) {
                    if let (true, Some(answer)) = (seen.ends_with(b"end"), answer) {
                        seen.clear();
                        drop(stream.write_all(answer.as_bytes()).await);
                    }
                }
            });
        }
    });
    Ok(Server { address, connections })
}

fn options() -> HttpClientOptions {
    HttpClientOptions { proxy_from_environment: false, ..HttpClientOptions::default() }
}

fn request(server: &Server) -> Result<Request<Bytes>> {
    let uri = format!("http://{}/hook?x=1", server.address);
    let body = Bytes::from_static(b"body end");
    Ok(Request::builder().method(Method::POST).uri(uri).header("x-signature", "abc").body(body)?)
}

#[tokio::test]
async fn a_response_is_plain_data_and_connections_are_kept() -> Result<()> {
    let server = serve(Some("HTTP/1.1 503 No\r\nRetry-After: 7\r\nContent-Length: 4\r\n\r\nbusy")).await?;
    let client = HttpClient::new(&options())?;
    for _ in 0..3 {
        let response = client.clone().send(request(&server)?).await?;
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()["retry-after"], "7");
        assert_eq!(response.body().as_ref(), b"busy");
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);
    Ok(())
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() -> Result<()> {
    let server =
        serve(Some("HTTP/1.1 302 Found\r\nLocation: http://192.0.2.1/\r\nContent-Length: 0\r\n\r\n")).await?;
    let response = HttpClient::new(&options())?.send(request(&server)?).await?;
    assert_eq!(response.status(), 302);
    Ok(())
}

#[tokio::test]
async fn a_large_response_is_refused_announced_or_not() -> Result<()> {
    let bounds = HttpClientOptions { response_bytes_max: 8, ..options() };
    let announced = serve(Some("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n123456789")).await?;
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n4\r\n6789\r\n0\r\n\r\n";
    let chunked = serve(Some(chunked)).await?;
    for server in [announced, chunked] {
        let error = HttpClient::new(&bounds)?.send(request(&server)?).await.unwrap_err();
        assert!(matches!(error, HttpError::TooLarge { limit: 8 }), "{error}");
    }
    let fits = serve(Some("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n12345678")).await?;
    assert_eq!(HttpClient::new(&bounds)?.send(request(&fits)?).await?.body().len(), 8);
    Ok(())
}

#[tokio::test]
async fn each_way_to_fail_is_told_apart() -> Result<()> {
    let client = HttpClient::new(&options())?;
    let silent = serve(None).await?;
    let error = client.send_within(Duration::from_millis(50), request(&silent)?).await.unwrap_err();
    assert!(matches!(error, HttpError::Timeout { .. }), "{error}");

    let half = serve(Some("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1234")).await?;
    let error = client.send_within(Duration::from_millis(50), request(&half)?).await.unwrap_err();
    assert!(matches!(error, HttpError::Timeout { .. }), "{error}");

    let nonsense = serve(Some("nonsense\r\n\r\n")).await?;
    let error = client.send(request(&nonsense)?).await.unwrap_err();
    assert!(matches!(error, HttpError::Broken(_)), "{error}");

    let free = TcpListener::bind("127.0.0.1:0").await?;
    let nobody = Server { address: free.local_addr()?, connections: Arc::default() };
    drop(free);
    let error = client.send(request(&nobody)?).await.unwrap_err();
    assert!(matches!(error, HttpError::Connect(_)), "{error}");
    assert!(!format!("{:#}", anyhow::Error::from(error)).contains("/hook"), "errors do not show the URL");

    let relative = Request::builder().uri("/hook").body(Bytes::new())?;
    let error = client.send(relative).await.unwrap_err();
    assert!(matches!(error, HttpError::Request(_)), "{error}");
    Ok(())
}

#[tokio::test]
async fn https_to_a_server_without_tls_is_no_connection() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let uri = format!("https://{}/", listener.local_addr()?);
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await?;
        stream.write_all(b"this is no TLS server\r\n").await?;
        // Keeps the connection open until the client has had enough.
        stream.read_to_end(&mut Vec::new()).await
    });
    let error = HttpClient::new(&options())?.send(Request::get(uri).body(Bytes::new())?).await.unwrap_err();
    assert!(matches!(error, HttpError::Connect(_)), "{error}");
    Ok(())
}

/// A redirect to a private address is not followed either way; what counts here is every way to write one.
#[tokio::test]
async fn a_guarded_client_goes_to_no_private_address_however_it_is_written() -> Result<()> {
    let server = serve(Some("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")).await?;
    let port = server.address.port();
    let guarded = HttpClient::new(&HttpClientOptions { public_targets_only: true, ..options() })?;
    let hosts = [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "localhost",
        "LOCALHOST",
        "0.0.0.0",
        "[::]",
    ];
    for host in hosts {
        let request = || Request::post(format!("http://{host}:{port}/")).body(Bytes::from_static(b"end"));
        for outcome in
            [guarded.send(request()?).await, guarded.send_for_status(options().time_limit, request()?).await]
        {
            assert!(matches!(outcome, Err(HttpError::Forbidden(_))), "{host}: {outcome:?}");
        }
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 0);
    // The same name without the guard, so that it is the guard that refused.
    let open = HttpClient::new(&options())?;
    open.send(Request::post(format!("http://localhost:{port}/")).body(Bytes::from_static(b"end"))?).await?;
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);
    Ok(())
}

#[tokio::test]
async fn a_status_counts_whatever_its_body_does() -> Result<()> {
    let bounds = HttpClientOptions { response_bytes_max: 8, ..options() };
    let client = HttpClient::new(&bounds)?;
    let short = Duration::from_millis(200);
    for (answer, body) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes", "yes"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n1234567890", "12345678"),
        // The rest never comes.
        ("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n123", "123"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense", ""),
    ] {
        let server = serve(Some(answer)).await?;
        let response = client.send_for_status(short, request(&server)?).await?;
        assert_eq!(
            (response.status().as_u16(), response.body().as_ref()),
            (200, body.as_bytes()),
            "{answer}"
        );
    }
    let silent = client.send_for_status(short, request(&serve(None).await?)?).await;
    assert!(matches!(silent, Err(HttpError::Timeout { .. })), "{silent:?}");
    Ok(())
}

#[tokio::test]
async fn a_body_in_pieces_comes_behind_its_head_and_whole() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let uri = format!("http://{}/hook", listener.local_addr()?);
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await?;
        let mut reads: Vec<String> = Vec::new();
        while !reads.concat().ends_with("body end") {
            let mut seen = vec![0; 4096];
            let read = stream.read(&mut seen).await?;
            reads.push(String::from_utf8_lossy(&seen[..read]).into_owned());
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await?;
        anyhow::Ok(reads)
    });
    let pieces = Pieces { count: 3.try_into()?, pause: Duration::from_millis(20) };
    let client = HttpClient::new(&options())?;
    let request = Request::post(uri).body(Bytes::from_static(b"body end"))?;
    let response = client.send_in_pieces_for_status(Duration::from_secs(10), pieces, request).await?;
    assert_eq!(response.status(), 200);
    let reads = server.await??;
    // How TCP cuts what was sent is its own business, but nothing is sent before the head is complete.
    assert!(reads[0].ends_with("\r\n\r\n"), "{reads:?}");
    assert!(reads[0].to_lowercase().contains("content-length: 8\r\n"), "{reads:?}");
    assert_eq!(reads[1..].concat(), "body end");
    Ok(())
}
