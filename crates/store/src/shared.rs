//! Bytes as PostgreSQL's `bytea`, without a copy until they are sent.

use std::error::Error as StdError;

use bytes::{Bytes, BytesMut};
use postgres_types::{IsNull, ToSql, Type, accepts, to_sql_checked};

/// Bytes that somebody else has too, as a parameter that is kept.
#[derive(Debug)]
pub(crate) struct Shared(pub(crate) Bytes);

impl ToSql for Shared {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        out.extend_from_slice(&self.0);
        Ok(IsNull::No)
    }

    accepts!(BYTEA);
    to_sql_checked!();
}
