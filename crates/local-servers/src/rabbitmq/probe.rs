//! Whether a RabbitMQ serves: an open port is not enough, because it opens before the node has started.

use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PATIENCE: Duration = Duration::from_secs(3);
const PROTOCOL_HEADER: &[u8; 8] = b"AMQP\x00\x00\x09\x01";
/// A method frame on channel 0; what follows its length is class 10, method 10: `connection.start`.
const METHOD_FRAME: [u8; 3] = [1, 0, 0];
const CONNECTION_START: [u8; 4] = [0, 10, 0, 10];
/// `guest:guest` in base 64. The answer needs the node's users and its management database.
const MANAGEMENT_REQUEST: &[u8] =
    b"GET /api/vhosts HTTP/1.0\r\nHost: localhost\r\nAuthorization: Basic Z3Vlc3Q6Z3Vlc3Q=\r\n\r\n";

pub(super) async fn is_open(port: u16) -> bool {
    ask(TcpStream::connect((Ipv4Addr::LOCALHOST, port))).await.is_some()
}

pub(super) async fn answers_amqp(port: u16) -> bool {
    let answer: Option<[u8; 11]> = ask(exchange(port, PROTOCOL_HEADER)).await;
    answer.is_some_and(|frame| frame.starts_with(&METHOD_FRAME) && frame.ends_with(&CONNECTION_START))
}

pub(super) async fn answers_management(port: u16) -> bool {
    let answer: Option<[u8; 12]> = ask(exchange(port, MANAGEMENT_REQUEST)).await;
    answer.is_some_and(|line| line.starts_with(b"HTTP/1.") && line.ends_with(b" 200"))
}

async fn ask<T>(question: impl Future<Output = io::Result<T>>) -> Option<T> {
    tokio::time::timeout(PATIENCE, question).await.ok()?.ok()
}

/// Sends `request` and reads the first `N` bytes of the answer.
async fn exchange<const N: usize>(port: u16, request: &[u8]) -> io::Result<[u8; N]> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    stream.write_all(request).await?;
    let mut answer = [0; N];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}
