//! HTTP/1.1 by hand, so that tests can send what no client library would, and see what comes byte for byte.

use std::fmt;
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

/// A request; `content-length` is added unless a header of its own says how long the body is.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
}

/// An answer; its `Display` is what snapshots show: everything but the date, headers sorted.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Request {
    pub(crate) fn new(method: &str, path: &str, body: &[u8]) -> Self {
        Self { method: method.to_owned(), path: path.to_owned(), headers: Vec::new(), body: body.to_vec() }
    }

    pub(crate) fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{} {} HTTP/1.1\r\nhost: test\r\n", self.method, self.path).into_bytes();
        let sized =
            self.headers.iter().any(|(name, _)| name == "content-length" || name == "transfer-encoding");
        if !sized {
            bytes.extend(format!("content-length: {}\r\n", self.body.len()).bytes());
        }
        for (name, value) in &self.headers {
            bytes.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
        bytes.extend(b"\r\n");
        bytes.extend(&self.body);
        bytes
    }
}

/// A connection, in plain text or over TLS.
pub(crate) struct Connection<S = TcpStream>(pub(crate) S);

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).await.unwrap())
    }

    /// From another address of this machine.
    pub(crate) async fn open_from(own: &str, address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(own.parse().unwrap(), 0)).unwrap();
        Self(socket.connect(address).await.unwrap())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
        self.0.flush().await.unwrap();
    }

    /// Writes, if the server still takes it.
    pub(crate) async fn try_write(&mut self, bytes: &[u8]) -> bool {
        self.0.write_all(bytes).await.is_ok()
    }

    /// The next answer; `None` when the server closed the connection instead.
    pub(crate) async fn read(&mut self) -> Option<Answer> {
        self.read_answer(true).await
    }

    /// The next answer, to a HEAD: its length is not that of a body.
    pub(crate) async fn read_head(&mut self) -> Option<Answer> {
        self.read_answer(false).await
    }

    /// True when the server has closed the connection and sent nothing more.
    pub(crate) async fn is_closed(&mut self) -> bool {
        matches!(self.0.read(&mut [0]).await, Ok(0) | Err(_))
    }

    async fn read_answer(&mut self, has_body: bool) -> Option<Answer> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.0.read_u8().await.ok()?);
        }
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let mut headers: Vec<(String, String)> = lines
            .map(|line| line.split_once(": ").unwrap())
            .filter(|(name, _)| *name != "date")
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        headers.sort();
        let length = headers.iter().find(|(name, _)| name == "content-length");
        let mut body = vec![0; length.filter(|_| has_body).map_or(0, |(_, value)| value.parse().unwrap())];
        self.0.read_exact(&mut body).await.ok()?;
        Some(Answer { status, headers, body: String::from_utf8(body).unwrap() })
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.status)?;
        for (name, value) in &self.headers {
            writeln!(f, "{name}: {value}")?;
        }
        write!(f, "\n{}", self.body)
    }
}
