use std::fmt;
use std::str::FromStr;

/// A place in the order of all changes: everything that is told later stands behind it. As text `xid-id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// A transaction of the database.
    pub xid: u64,
    /// A change; 0 stands before all changes of the transaction.
    pub id: i64,
}

/// A text that is no [`Position`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a position like 12345-678")]
pub struct NoPosition;

impl Position {
    /// Before everything.
    pub const START: Self = Self { xid: 0, id: 0 };
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.xid, self.id)
    }
}

impl FromStr for Position {
    type Err = NoPosition;

    fn from_str(text: &str) -> Result<Self, NoPosition> {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let (xid, id) =
            text.split_once('-').filter(|(xid, id)| digits(xid) && digits(id)).ok_or(NoPosition)?;
        Ok(Self { xid: xid.parse().map_err(|_| NoPosition)?, id: id.parse().map_err(|_| NoPosition)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_comes_back_from_its_text_and_nothing_else_does() {
        for position in
            [Position::START, Position { xid: u64::MAX, id: i64::MAX }, Position { xid: 12, id: 3 }]
        {
            assert_eq!(position.to_string().parse(), Ok(position));
        }
        for bad in [
            "",
            "-",
            "1",
            "1-",
            "-1",
            "1-2-3",
            "+1-2",
            "1-+2",
            " 1-2",
            "18446744073709551616-1",
            "1-9223372036854775808",
        ] {
            assert_eq!(bad.parse::<Position>(), Err(NoPosition), "{bad}");
        }
        assert!(Position { xid: 1, id: 9 } < Position { xid: 2, id: 1 });
    }
}
