//! Deliveries as the providers send them, one of each kind that their documentation shows or that was seen, and what they
//! would send if they went wrong: what the adapters are tested with, for whoever wants to send one.

use bytes::Bytes;
use matchpurse_domain::event::{KeyRole, Method};
use serde::Deserialize;

use crate::{FIXTURES, Provider};

/// As the build script found it: name, body, and what is not usual about it.
pub(crate) type File = (&'static str, &'static [u8], &'static str);

/// One delivery, without what vouches for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fixture {
    /// Its name.
    pub name: &'static str,
    /// The method of the request.
    pub method: Method,
    /// Which key of the source signs it.
    pub role: KeyRole,
    /// The body.
    pub body: Bytes,
}

/// What is not usual about a delivery.
#[derive(Debug, Default, Deserialize)]
struct Meta {
    method: Option<String>,
    role: Option<String>,
}

/// The fixtures of a provider, by name.
pub fn of(provider: &dyn Provider) -> Vec<Fixture> {
    let own = FIXTURES.iter().filter(|(id, _)| *id == provider.id());
    own.flat_map(|(_, files)| files.iter()).filter_map(|file| read(provider, *file)).collect()
}

/// None for a file whose meta data is none; a test holds that there is no such file.
fn read(provider: &dyn Provider, (name, body, meta): File) -> Option<Fixture> {
    let meta: Meta = serde_json::from_str(meta).ok()?;
    let method = match meta.method {
        Some(method) => Method::parse(&method)?,
        None => *provider.methods().first()?,
    };
    let role = match meta.role.as_deref() {
        None | Some("webhook") => KeyRole::Webhook,
        Some("postback") => KeyRole::Postback,
        Some(_) => return None,
    };
    Some(Fixture { name, method, role, body: Bytes::from_static(body) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_a_fixture() {
        for provider in crate::all() {
            let files: usize =
                FIXTURES.iter().filter(|(id, _)| *id == provider.id()).map(|(_, files)| files.len()).sum();
            assert!(files > 10, "{}", provider.id());
            assert_eq!(of(*provider).len(), files, "{}", provider.id());
        }
    }
}
