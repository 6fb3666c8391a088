//! The keys that JWTs are verified with, and their file.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use matchpurse_settings::JwtSettings;
use matchpurse_store::chain;
use serde::Deserialize;
use serde_json::Value;

/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The largest file that is read, in bytes. The key sets of large issuers have some kilobytes.
const FILE_MAX: u64 = 1024 * 1024;

/// The shortest modulus of RSA, in bytes: 2048 bits. Shorter ones are refused by the library on every token too.
const RSA_BYTES_MIN: usize = 256;

/// Keys with what each may be used for. The token's header chooses among them and never what they are used for.
pub(super) struct Keys(Vec<Key>);

pub(super) struct Key {
    id: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
}

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is far too large for keys.
    #[error("{0} is larger than 1 MiB")]
    TooLarge(PathBuf),
    /// It holds no such key.
    #[error("{path} holds {what}")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What it holds.
        what: String,
    },
}

/// The keys as they are now, and where they come from.
pub(super) struct KeyRing {
    keys: RwLock<Arc<Keys>>,
    file: Option<KeyFile>,
}

#[derive(Clone)]
struct KeyFile {
    path: PathBuf,
    read: fn(&[u8]) -> Result<Keys, String>,
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Value>,
}

impl Keys {
    /// The key of this id, for this algorithm. A token without an id is of the only key for its algorithm.
    pub(super) fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Option<&Key> {
        let mut fitting = self.0.iter().filter(|key| key.algorithm == algorithm);
        match id {
            // One that names itself is meant before one that does not.
            Some(id) => {
                let named = fitting.clone().find(|key| key.id.as_deref() == Some(id));
                named.or_else(|| fitting.find(|key| key.id.is_none()))
            }
            None => fitting.next().filter(|_| fitting.next().is_none()),
        }
    }

    /// Whether any key is for this algorithm.
    pub(super) fn know(&self, algorithm: Algorithm) -> bool {
        self.0.iter().any(|key| key.algorithm == algorithm)
    }

    pub(super) fn of_secret(secret: &[u8]) -> Self {
        let key = DecodingKey::from_secret(secret);
        Self(vec![Key { id: None, algorithm: Algorithm::HS256, key }])
    }

    /// One public key, RSA or Ed25519. It is good for whatever id a token names.
    fn of_pem(bytes: &[u8]) -> Result<Self, String> {
        let text = String::from_utf8_lossy(bytes);
        if text.contains("PRIVATE KEY") {
            return Err("a private key: the public one is enough, and all that should be here".to_owned());
        }
        let rsa = DecodingKey::from_rsa_pem(bytes).map(|key| (Algorithm::RS256, key));
        let (algorithm, key) = rsa
            .or_else(|_| DecodingKey::from_ed_pem(bytes).map(|key| (Algorithm::EdDSA, key)))
            .map_err(|_| "no public key of RSA or Ed25519 as PEM".to_owned())?;
        Ok(Self(vec![Key { id: None, algorithm, key }]))
    }

    /// The keys of a set that are for signatures by RS256 or EdDSA; an issuer may have others in it. There may be none:
    /// that is how an issuer takes back the last one.
    fn of_set(bytes: &[u8]) -> Result<Self, String> {
        let set: KeySet =
            serde_json::from_slice(bytes).map_err(|error| format!("no JSON Web Key Set: {error}"))?;
        if set.keys.iter().any(|key| key.get("d").is_some()) {
            return Err("a private key: the public ones are enough, and all that should be here".to_owned());
        }
        Ok(Self(set.keys.into_iter().filter_map(usable).collect()))
    }
}

fn usable(value: Value) -> Option<Key> {
    let jwk: Jwk = serde_json::from_value(value).ok()?;
    let common = &jwk.common;
    let (algorithm, named) = match &jwk.algorithm {
        AlgorithmParameters::RSA(rsa) => {
            let modulus = URL_SAFE_NO_PAD.decode(&rsa.n).ok()?;
            (modulus.len() >= RSA_BYTES_MIN).then_some((Algorithm::RS256, KeyAlgorithm::RS256))?
        }
        AlgorithmParameters::OctetKeyPair(pair) => {
            let is_ed25519 = pair.curve == EllipticCurve::Ed25519;
            is_ed25519.then_some((Algorithm::EdDSA, KeyAlgorithm::EdDSA))?
        }
        // A secret has no place in a set of public keys, and would let whoever has the set sign.
        _ => return None,
    };
    let signs = common.public_key_use.as_ref().is_none_or(|of| *of == PublicKeyUse::Signature)
        && common.key_operations.as_ref().is_none_or(|all| all.contains(&KeyOperations::Verify))
        && common.key_algorithm.is_none_or(|own| own == named);
    let key = signs.then(|| DecodingKey::from_jwk(&jwk).ok())??;
    Some(Key { id: common.key_id.clone(), algorithm, key })
}

impl KeyRing {
    /// Reads the keys of the settings.
    pub(super) fn new(settings: &JwtSettings) -> Result<Self, KeysError> {
        if let Some(secret) = &settings.hs256_secret {
            let keys = Keys::of_secret(secret.expose().as_bytes());
            return Ok(Self { keys: RwLock::new(Arc::new(keys)), file: None });
        }
        let file = match (&settings.jwks_file, &settings.key_file) {
            (Some(path), _) => KeyFile { path: path.clone(), read: Keys::of_set },
            (None, path) => KeyFile { path: path.clone().unwrap_or_default(), read: Keys::of_pem },
        };
        let keys = file.keys(&read(&file.path)?)?;
        if keys.0.is_empty() {
            let what = "no key for signatures by RS256 or EdDSA (Ed25519)".to_owned();
            return Err(KeysError::Unusable { path: file.path, what });
        }
        Ok(Self { keys: RwLock::new(Arc::new(keys)), file: Some(file) })
    }

    pub(super) fn keys(&self) -> Arc<Keys> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes the file's keys whenever it has changed, for ever.
    pub(super) async fn follow(&self) {
        let Some(mut follower) = self.follower() else { return };
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            follower.look().await;
        }
    }

    /// Who looks at the file; none where there is none.
    fn follower(&self) -> Option<Follower<'_>> {
        let file = self.file.as_ref()?;
        Some(Follower { ring: self, file, seen: None, broken: None })
    }
}

/// Looks at the file of a ring.
struct Follower<'r> {
    ring: &'r KeyRing,
    file: &'r KeyFile,
    seen: Option<Vec<u8>>,
    /// What was wrong at the last look.
    broken: Option<String>,
}

impl Follower<'_> {
    /// Takes the file's keys if it has changed. While it cannot be read, the keys of before are good: an issuer's mistake
    /// must not lock everybody out. A set without any key is no mistake: it lets nobody in.
    async fn look(&mut self) {
        let problem = match read_in_time(self.file.path.clone()).await {
            Err(error) => Some(chain(&error)),
            // What was broken and has not changed is broken still.
            Ok(bytes) if self.seen.as_ref() == Some(&bytes) => self.broken.clone(),
            Ok(bytes) => {
                let first = self.seen.is_none();
                let read = self.file.keys(&bytes);
                self.seen = Some(bytes);
                read.map(|keys| self.take(keys, first)).err().map(|error| chain(&error))
            }
        };
        if let Some(problem) = problem.as_ref().filter(|problem| self.broken.as_ref() != Some(problem)) {
            tracing::error!(problem, "the keys of JWTs cannot be read; those of before are used");
        }
        self.broken = problem;
    }

    fn take(&self, keys: Keys, first: bool) {
        if keys.0.is_empty() {
            tracing::warn!(file = %self.file.path.display(), "no key of JWTs is left");
        }
        *self.ring.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
        if !first {
            tracing::info!(file = %self.file.path.display(), "the keys of JWTs were read anew");
        }
    }
}

impl KeyFile {
    fn keys(&self, bytes: &[u8]) -> Result<Keys, KeysError> {
        (self.read)(bytes).map_err(|what| KeysError::Unusable { path: self.path.clone(), what })
    }
}

/// Off the runtime's threads: what holds keys may be a network's file system.
async fn read_in_time(path: PathBuf) -> Result<Vec<u8>, KeysError> {
    let shown = path.clone();
    let read = tokio::task::spawn_blocking(move || read(&path)).await;
    read.unwrap_or_else(|panic| Err(KeysError::Read { path: shown, source: io::Error::other(panic) }))
}

fn read(path: &Path) -> Result<Vec<u8>, KeysError> {
    use std::io::Read as _;
    let wrong = |source| KeysError::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(wrong)?;
    file.take(FILE_MAX.saturating_add(1)).read_to_end(&mut bytes).map_err(wrong)?;
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    if length > FILE_MAX { Err(KeysError::TooLarge(path.to_owned())) } else { Ok(bytes) }
}

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
