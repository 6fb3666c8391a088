/// How a delivery is forged. Every forgery must be refused with 401 and have no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forgery {
    /// One character of the signature is another.
    AlteredSignature,
    /// Somebody else's key signed it.
    ForeignKey,
    /// There is no signature.
    NoSignature,
    /// The signature stands there twice.
    DoubledSignature,
    /// The body was changed after it was signed; only where the signature covers the body.
    AlteredBody,
}

impl Forgery {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::AlteredSignature,
        Self::ForeignKey,
        Self::NoSignature,
        Self::DoubledSignature,
        Self::AlteredBody,
    ];
}

/// The value with one character changed to another that may stand there too. The middle is safe: at the
/// ends there may be a word like `sha256=`, or digits of a Base64 text that do not count.
pub(crate) fn altered(value: &str) -> String {
    let middle = value.len() * 2 / 3;
    let mut changed = String::with_capacity(value.len());
    let mut done = false;
    for (at, c) in value.char_indices() {
        let other = match c {
            '1' => '2',
            c if c.is_ascii_digit() => '1',
            'b' => 'c',
            'B' => 'C',
            c if c.is_ascii_uppercase() => 'B',
            _ => 'b',
        };
        let change = at >= middle && !done;
        done |= change;
        changed.push(if change { other } else { c });
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_altered_signature_is_another_one_of_the_same_form() {
        for value in
            ["sha256=00112233445566778899aabbccddeeff", "Bearer aaaa.bbbb.cccc", "a-static-text", "x"]
        {
            let changed = altered(value);
            assert_ne!(changed, value);
            assert_eq!(changed.len(), value.len());
            assert_eq!(changed.matches('.').count(), value.matches('.').count());
        }
    }
}
