//! Points in time as PostgreSQL's `timestamptz`, both in microseconds.

use std::error::Error as StdError;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::{BufMut, BytesMut};
use matchpurse_domain::time::Timestamp;
use postgres_types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};

/// 2000-01-01T00:00:00Z, from which PostgreSQL counts, in microseconds since 1970.
const POSTGRES_EPOCH_US: i64 = 946_684_800_000_000;

/// The time of this machine.
pub fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX))
}

/// A time, as a parameter or a column of type `timestamptz`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct At(pub(crate) Timestamp);

impl ToSql for At {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        out.put_i64(self.0.micros().saturating_sub(POSTGRES_EPOCH_US));
        Ok(IsNull::No)
    }

    accepts!(TIMESTAMPTZ);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for At {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        let micros = i64::from_be_bytes(raw.try_into()?);
        Ok(Self(Timestamp::from_micros(micros.saturating_add(POSTGRES_EPOCH_US))))
    }

    accepts!(TIMESTAMPTZ);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_survives_the_database_to_the_microsecond() {
        for micros in [0, 1, -1, 1_792_000_000_123_456, POSTGRES_EPOCH_US] {
            let at = At(Timestamp::from_micros(micros));
            let mut bytes = BytesMut::new();
            at.to_sql(&Type::TIMESTAMPTZ, &mut bytes).unwrap();
            assert_eq!(At::from_sql(&Type::TIMESTAMPTZ, &bytes).unwrap(), at);
        }
    }
}
