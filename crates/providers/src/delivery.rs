use bytes::Bytes;
pub use matchpurse_domain::event::Method;

/// The headers of a request, independent of any HTTP library's version.
#[derive(Debug, Clone, Default)]
pub struct Headers(Vec<(String, Vec<u8>)>);

/// How often a header stands in a request, and its value when it stands there once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Header<'h> {
    Missing,
    /// Twice or more: nobody can say which one the sender means, so neither counts.
    Doubled,
    Once(&'h [u8]),
}

impl Headers {
    /// Adds a header; the name's case does not matter.
    pub fn add(&mut self, name: &str, value: impl Into<Vec<u8>>) {
        self.0.push((name.to_ascii_lowercase(), value.into()));
    }

    /// The header that must stand exactly once.
    pub(crate) fn one(&self, name: &str) -> Header<'_> {
        let mut values = self.0.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        match (values.next(), values.next()) {
            (None, _) => Header::Missing,
            (Some((_, value)), None) => Header::Once(value),
            (Some(_), Some(_)) => Header::Doubled,
        }
    }

    /// All headers, names in lower case.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_slice()))
    }
}

impl<N: AsRef<str>, V: Into<Vec<u8>>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let mut headers = Self::default();
        for (name, value) in pairs {
            headers.add(name.as_ref(), value);
        }
        headers
    }
}

/// A request as it came in, before anybody vouches for it.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The method.
    pub method: Method,
    /// The headers.
    pub headers: Headers,
    /// The body, byte for byte.
    pub body: Bytes,
}
