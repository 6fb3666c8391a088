use jsonwebtoken::EncodingKey;
use jsonwebtoken::crypto::aws_lc;
use serde_json::json;

use super::*;

const ISSUER: &[u8] = include_bytes!("../../tests/keys/issuer.pem");
const NEXT: &[u8] = include_bytes!("../../tests/keys/next.pem");

/// A file of keys that goes with its test.
struct TestFile(PathBuf);

impl TestFile {
    fn new(name: &str, text: &str) -> Self {
        let file = format!("matchpurse-ring-{name}-{}.json", std::process::id());
        let file = Self(std::env::temp_dir().join(file));
        file.write(text);
        file
    }

    fn write(&self, text: &str) {
        std::fs::write(&self.0, text).unwrap();
    }

    fn ring(&self) -> Result<KeyRing, KeysError> {
        let text = format!(
            "[database]\nurl = \"postgres://u@h/d\"\n[api.jwt]\nissuer = \"https://id.example\"\n\
             audience = \"matchpurse\"\njwks_file = {:?}",
            self.0
        );
        KeyRing::new(&matchpurse_settings::Settings::parse_str(&text).unwrap().api.jwt.unwrap())
    }
}

impl Drop for TestFile {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).ok();
    }
}

fn jwk(kid: &str, pem: &[u8]) -> Value {
    aws_lc::DEFAULT_PROVIDER.install_default().ok();
    let key = EncodingKey::from_rsa_pem(pem).unwrap();
    let mut jwk = Jwk::from_encoding_key(&key, Algorithm::RS256).unwrap();
    jwk.common.key_id = Some(kid.to_owned());
    serde_json::to_value(jwk).unwrap()
}

fn set(keys: &[(&str, &[u8])]) -> String {
    json!({ "keys": keys.iter().map(|(kid, pem)| jwk(kid, pem)).collect::<Vec<_>>() }).to_string()
}

fn known(ring: &KeyRing) -> Vec<String> {
    ring.keys().0.iter().map(|key| key.id.clone().unwrap_or_default()).collect()
}

#[tokio::test]
async fn a_broken_file_locks_nobody_out_and_a_good_one_is_taken_again() {
    let file = TestFile::new("broken", &set(&[("one", ISSUER)]));
    let ring = file.ring().unwrap();
    let mut follower = ring.follower().unwrap();
    follower.look().await;
    assert_eq!((known(&ring), follower.broken.is_some()), (vec!["one".to_owned()], false));
    for broken in ["", "{", "[]", "{\"keys\": 1}"] {
        file.write(broken);
        // Seen twice, it is broken still.
        for _ in 0..2 {
            follower.look().await;
            assert_eq!(
                (known(&ring), follower.broken.is_some()),
                (vec!["one".to_owned()], true),
                "{broken:?}"
            );
        }
    }
    std::fs::remove_file(&file.0).unwrap();
    follower.look().await;
    assert_eq!((known(&ring), follower.broken.is_some()), (vec!["one".to_owned()], true), "it is gone");
    file.write(&set(&[("one", ISSUER), ("two", NEXT)]));
    follower.look().await;
    assert_eq!((known(&ring), follower.broken.is_some()), (vec!["one".to_owned(), "two".to_owned()], false));
    // Whoever takes back the last key means it.
    file.write("{\"keys\": []}");
    follower.look().await;
    assert_eq!((known(&ring), follower.broken.is_some()), (vec![], false));
}

/// Nobody but the issuer should have it, and everybody who reads the file would sign by it.
#[tokio::test]
async fn a_private_key_in_a_set_is_refused_at_the_start_and_later() {
    let mut private = jwk("two", NEXT);
    private["d"] = json!("AQAB");
    let both = json!({ "keys": [jwk("one", ISSUER), private] }).to_string();
    let file = TestFile::new("private", &both);
    let refused = file.ring().err().unwrap().to_string();
    assert!(refused.contains("a private key"), "{refused}");

    file.write(&set(&[("one", ISSUER)]));
    let ring = file.ring().unwrap();
    let mut follower = ring.follower().unwrap();
    file.write(&both);
    follower.look().await;
    assert_eq!(known(&ring), ["one"]);
    assert!(follower.broken.is_some_and(|problem| problem.contains("a private key")));
}
