use std::fmt;
use std::num::NonZeroU16;

/// Which of the active keys of a role it was, so that it can be said what was believed because of a key that is not to
/// be trusted any more, and when a provider has gone over to a new one.
///
/// A shared secret is named by its place in the configuration, and by nothing that is computed from it. Events go to
/// whoever may read the broker, the archive and its exported files; with a digest of a secret, be it keyed with a
/// constant of ours or cut to a few digits, any of them could try guesses at leisure and alone. Some providers' secrets
/// are texts that people choose, so some can be guessed. A public key has nothing to guess, and is named by what it is,
/// which also holds when keys are fetched and have no place that means anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WhichKey {
    /// Its place among them when the delivery came, from 1: the order of the configuration of that time.
    pub place: NonZeroU16,
    /// How many they were.
    pub of: u16,
    /// What a public key is.
    pub fingerprint: Option<KeyFingerprint>,
}

/// The first eight bytes of SHA-256 over a public key's SubjectPublicKeyInfo (DER). Shown as 16 hexadecimal digits; of
/// a key in a file, `openssl pkey -pubin -in FILE -outform DER | sha256sum` begins with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyFingerprint(pub [u8; 8]);

impl KeyFingerprint {
    /// Reads the 16 digits.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = digits.then(|| u64::from_str_radix(text, 16).ok())??;
        Some(Self(number.to_be_bytes()))
    }
}

impl fmt::Display for KeyFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_read_as_it_is_shown() {
        let fingerprint = KeyFingerprint([0, 1, 0x2a, 0xff, 0, 0, 0x10, 0x0f]);
        assert_eq!(fingerprint.to_string(), "00012aff0000100f");
        assert_eq!(KeyFingerprint::parse("00012aff0000100f"), Some(fingerprint));
        for other in ["", "00012aff0000100", "+0012aff0000100f", "00012aff0000100g", "00012aff0000100f0"] {
            assert_eq!(KeyFingerprint::parse(other), None, "{other}");
        }
    }
}
