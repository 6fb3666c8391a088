//! The W3C trace context of a request: <https://www.w3.org/TR/trace-context/>.

/// The length of version 00: `00-{32 digits}-{16 digits}-{2 digits}`.
const LEN: usize = 55;

/// The sender's trace context, as version 00; `None` when it is not valid, as the standard wants it ignored
/// then. A later version begins with the same fields, and they are all that we know of it.
pub fn read(value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?;
    let (known, rest) = (text.get(..LEN)?, text.get(LEN..)?);
    let mut parts = known.split('-');
    let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let digits = |part: &str, len: usize| {
        part.len() == len && part.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))
    };
    let not_zero = |part: &str| part.bytes().any(|c| c != b'0');
    let valid = digits(version, 2)
        && digits(trace, 32)
        && digits(parent, 16)
        && digits(flags, 2)
        && not_zero(trace)
        && not_zero(parent)
        && match version {
            "ff" => false,
            "00" => rest.is_empty(),
            _ => rest.is_empty() || rest.starts_with('-'),
        };
    valid.then(|| format!("00-{trace}-{parent}-{flags}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_valid_context_is_taken_as_it_is() {
        assert_eq!(read(VALID.as_bytes()).as_deref(), Some(VALID));
        let later = VALID.replacen("00", "cc", 1) + "-more";
        assert_eq!(read(later.as_bytes()).as_deref(), Some(VALID));
    }

    #[test]
    fn an_invalid_context_is_ignored() {
        for bad in [
            "",
            "00",
            &VALID[..54],
            &format!("{VALID}0"),
            &format!("{VALID}-more"),
            &VALID.to_uppercase(),
            &VALID.replacen("00", "ff", 1),
            &VALID.replace("4bf92f3577b34da6a3ce929d0e0e4736", "00000000000000000000000000000000"),
            &VALID.replace("00f067aa0ba902b7", "0000000000000000"),
            &VALID.replace('4', "g"),
            "00-4bf92f3577b34da6a3ce929d0e0e47é-00f067aa0ba902b7-01",
        ] {
            assert_eq!(read(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(read(&[0xff; LEN]), None);
    }
}
