//! Whether a PostgreSQL accepts connections, asked in its own protocol: packages without `pg_isready` exist,
//! and a port that is open is not a server that has recovered.

use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PATIENCE: Duration = Duration::from_secs(2);
const PROTOCOL_3_0: u32 = 3 << 16;
const PARAMETERS: &[u8] = b"user\0postgres\0database\0postgres\0\0";
/// The message type that says the user is let in; `E`, an error, comes while the server starts or recovers.
const AUTHENTICATION: u8 = b'R';
const TERMINATE: [u8; 5] = [b'X', 0, 0, 0, 4];

pub(super) async fn accepts_connections(port: u16) -> bool {
    matches!(tokio::time::timeout(PATIENCE, log_in(port)).await, Ok(Ok(AUTHENTICATION)))
}

async fn log_in(port: u16) -> io::Result<u8> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    let length = u32::try_from(PARAMETERS.len() + 8).map_err(io::Error::other)?;
    let mut message = Vec::from(length.to_be_bytes());
    message.extend(PROTOCOL_3_0.to_be_bytes());
    message.extend(PARAMETERS);
    stream.write_all(&message).await?;
    let answer = stream.read_u8().await?;
    stream.write_all(&TERMINATE).await?;
    Ok(answer)
}
