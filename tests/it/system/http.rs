//! HTTP/1.1 by hand, so that tests can send what no client library would.

use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Longer than any limit of the programs: who waits so long has found a hung request.
const ANSWER_PATIENCE: Duration = Duration::from_secs(30);

/// Names and values, as they are sent.
pub(crate) type Headers = Vec<(String, Vec<u8>)>;

/// A request; `content-length` is added.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Headers,
    pub(crate) body: Vec<u8>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Request {
    pub(crate) fn new(method: &str, path: &str, body: &[u8]) -> Self {
        Self { method: method.to_owned(), path: path.to_owned(), headers: Vec::new(), body: body.to_vec() }
    }

    /// Sends it on a connection of its own and reads the whole answer.
    pub(crate) async fn send(&self, address: &str) -> Result<Answer> {
        let exchange = async {
            let mut stream = TcpStream::connect(address).await?;
            // A refusal may come, and the connection be closed, before all of the body is sent.
            let written = stream.write_all(&self.bytes()?).await;
            let mut answer = Vec::new();
            let read = stream.read_to_end(&mut answer).await;
            anyhow::ensure!(!answer.is_empty(), "no answer: written {written:?}, read {read:?}");
            Answer::parse(&answer)
        };
        tokio::time::timeout(ANSWER_PATIENCE, exchange)
            .await
            .with_context(|| format!("{address} did not answer in {ANSWER_PATIENCE:?}"))?
            .with_context(|| format!("{} {} at {address}", self.method, self.path))
    }

    fn bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        write!(bytes, "{} {} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n", self.method, self.path)?;
        write!(bytes, "content-length: {}\r\n", self.body.len())?;
        for (name, value) in &self.headers {
            bytes.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
        bytes.extend(b"\r\n");
        bytes.extend(&self.body);
        Ok(bytes)
    }
}

impl Answer {
    fn parse(bytes: &[u8]) -> Result<Self> {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n").context("no HTTP answer")?;
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).context("no HTTP status")?;
        let headers = lines.filter_map(|line| line.split_once(": "));
        let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
        Ok(Self { status: status.parse()?, headers, body: body.to_owned() })
    }

    /// The value of a header that stands there once.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}
