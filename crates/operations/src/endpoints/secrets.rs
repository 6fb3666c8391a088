use std::fmt;

use matchpurse_domain::webhook::{KeyError, SigningKey};
use matchpurse_store::dispatch::secret_id;
use matchpurse_store::{ExposeSecret as _, SecretString};

use super::{Error, Result};

/// The most secrets of an endpoint: each is a signature in a header of every notice.
pub const SECRETS_MAX: usize = 5;

/// The length of a key that is made here, in bytes: that of the digest, beyond which more adds nothing.
const KEY_BYTES: usize = 32;

/// One of the secrets that an endpoint shall have.
#[derive(Clone)]
pub enum SecretChoice {
    /// One that is made now.
    New,
    /// One that it has, by its id.
    Keep(String),
    /// One that the studio has made.
    Given(SecretString),
}

/// A secret that was made.
pub struct MadeSecret {
    /// What stands for it later.
    pub id: String,
    /// The secret itself.
    pub secret: SecretString,
}

/// What choices come to.
pub(super) struct Chosen {
    /// Each once, in the order of the choices.
    pub(super) all: Vec<SecretString>,
    pub(super) made: Vec<MadeSecret>,
}

impl SecretChoice {
    /// Takes a studio's own secret.
    ///
    /// # Errors
    /// When it is none of Standard Webhooks.
    pub fn given(secret: SecretString) -> Result<Self, KeyError> {
        SigningKey::parse(secret.expose_secret())?;
        Ok(Self::Given(secret))
    }
}

impl fmt::Debug for SecretChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::New => f.write_str("New"),
            Self::Keep(id) => write!(f, "Keep({id:?})"),
            Self::Given(_) => f.write_str("Given"),
        }
    }
}

impl fmt::Debug for MadeSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MadeSecret({:?})", self.id)
    }
}

/// The secrets that are chosen, of those that there are and new ones.
pub(super) fn choose(choices: &[SecretChoice], there: &[SecretString]) -> Result<Chosen> {
    if !(1..=SECRETS_MAX).contains(&choices.len()) {
        return Err(Error::SecretCount);
    }
    let mut chosen = Chosen { all: Vec::new(), made: Vec::new() };
    for choice in choices {
        let secret = match choice {
            SecretChoice::New => {
                let secret = make()?;
                chosen.made.push(MadeSecret { id: secret_id(&secret), secret: secret.clone() });
                secret
            }
            SecretChoice::Keep(id) => {
                let kept = there.iter().find(|secret| secret_id(secret) == *id);
                kept.cloned().ok_or_else(|| Error::NoSecret(id.clone()))?
            }
            SecretChoice::Given(secret) => secret.clone(),
        };
        if !chosen.all.iter().any(|other| other.expose_secret() == secret.expose_secret()) {
            chosen.all.push(secret);
        }
    }
    Ok(chosen)
}

fn make() -> Result<SecretString> {
    let mut key = [0; KEY_BYTES];
    getrandom::fill(&mut key).map_err(Error::Random)?;
    // The length is one that the specification allows.
    Ok(SigningKey::secret_of(&key).unwrap_or_default().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_is_a_secret_and_never_the_same() {
        let chosen = choose(&[SecretChoice::New, SecretChoice::New], &[]).unwrap();
        let [one, other] = chosen.made.as_slice() else { panic!("two were chosen") };
        assert_ne!(one.secret.expose_secret(), other.secret.expose_secret());
        assert_ne!(one.id, other.id);
        for made in [one, other] {
            SigningKey::parse(made.secret.expose_secret()).unwrap();
            assert!(!format!("{made:?}").contains(made.secret.expose_secret()));
        }
    }

    #[test]
    fn what_is_there_is_kept_by_its_id_and_each_once() {
        let there = [SecretString::from("whsec_a"), SecretString::from("whsec_b")];
        let keep = |nth: usize| SecretChoice::Keep(secret_id(&there[nth]));
        let chosen = choose(&[keep(1), keep(1), SecretChoice::Given("whsec_b".into())], &there).unwrap();
        assert_eq!(chosen.all.iter().map(|secret| secret.expose_secret()).collect::<Vec<_>>(), ["whsec_b"]);
        assert!(chosen.made.is_empty());
        let unknown = SecretChoice::Keep("0123456789abcdef".to_owned());
        assert!(matches!(choose(&[unknown], &there), Err(Error::NoSecret(_))));
        for count in [0, SECRETS_MAX + 1] {
            assert!(matches!(choose(&vec![keep(0); count], &there), Err(Error::SecretCount)));
        }
    }
}
