//! Public keys, in the forms in which they come.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk};
use jsonwebtoken::{Algorithm, DecodingKey};
use matchpurse_domain::event::KeyFingerprint;
use sha2::{Digest, Sha256};

use crate::keys::KeyError;

use super::token;

/// What the platform's key URL answers, as far as it matters.
#[derive(serde::Deserialize)]
struct Answer {
    public_key: String,
}

/// Reads what the key URL answered: `{"public_key": "<base64 SPKI>"}`, or one or several PEM blocks.
///
/// # Errors
/// When no usable RSA key is in it.
pub(super) fn read_answer(body: &[u8]) -> Result<Vec<Bytes>, KeyError> {
    let text = std::str::from_utf8(body).map_err(|_| KeyError("the answer is not UTF-8".to_owned()))?;
    let pems = if text.trim_start().starts_with("-----BEGIN") {
        pem_blocks(text)
    } else {
        let answer: Answer = serde_json::from_str(text)
            .map_err(|e| KeyError(format!("the answer is no JSON with a `public_key`: {e}")))?;
        vec![to_pem(answer.public_key.as_bytes())?]
    };
    for pem in &pems {
        check(pem)?;
    }
    Ok(pems)
}

/// Splits a text into its PEM blocks.
fn pem_blocks(text: &str) -> Vec<Bytes> {
    const BEGIN: &str = "-----BEGIN";
    let blocks = text.split(BEGIN).skip(1);
    blocks.map(|rest| Bytes::from(format!("{BEGIN}{}", rest.trim_end()))).collect()
}

/// A key as PEM: armoured as it is, or bare base64 of a SubjectPublicKeyInfo, wrapped as PEM parsers want it.
fn to_pem(key: &[u8]) -> Result<Bytes, KeyError> {
    let text = std::str::from_utf8(key).map_err(|_| KeyError("the key is not text".to_owned()))?.trim();
    if text.starts_with("-----BEGIN") {
        // A PEM in an environment variable often has its line breaks written as two characters.
        return Ok(Bytes::from(text.replace("\\n", "\n")));
    }
    let base64: String = text.split_whitespace().collect();
    let der = STANDARD.decode(base64).map_err(|_| KeyError("it is neither PEM nor base64".to_owned()))?;
    let mut pem = String::from("-----BEGIN PUBLIC KEY-----\n");
    for (at, character) in STANDARD.encode(der).chars().enumerate() {
        // A single line of 392 characters is refused by some parsers; 64 is what the format says.
        if at > 0 && at % 64 == 0 {
            pem.push('\n');
        }
        pem.push(character);
    }
    pem.push_str("\n-----END PUBLIC KEY-----\n");
    Ok(Bytes::from(pem))
}

/// The key for verifying.
///
/// # Errors
/// When it is no RSA public key.
pub(super) fn decoding_key(key: &[u8]) -> Result<DecodingKey, KeyError> {
    let pem = to_pem(key)?;
    let label = std::str::from_utf8(&pem).ok().and_then(|text| text.lines().next()).unwrap_or_default();
    if !matches!(label.trim(), "-----BEGIN PUBLIC KEY-----" | "-----BEGIN RSA PUBLIC KEY-----") {
        return Err(KeyError("it must be a PUBLIC KEY, not a private key or a certificate".to_owned()));
    }
    DecodingKey::from_rsa_pem(&pem).map_err(|_| KeyError("it is no RSA public key".to_owned()))
}

/// What the key is, in whichever form it is given. None where it is no key, and then it has verified nothing either.
pub(super) fn fingerprint(key: &[u8]) -> Option<KeyFingerprint> {
    let pem = to_pem(key).ok()?;
    let text = std::str::from_utf8(&pem).ok()?;
    let base64: String = text.lines().map(str::trim).filter(|line| !line.starts_with("-----")).collect();
    let der = STANDARD.decode(base64).ok()?;
    let pkcs1 = text.trim_start().starts_with("-----BEGIN RSA PUBLIC KEY-----");
    let spki = if pkcs1 { subject_public_key_info(&der)? } else { der };
    Sha256::digest(spki).first_chunk().copied().map(KeyFingerprint)
}

/// An RSA key of the older form (PKCS #1) in the one that holds any key: with the algorithm before it.
fn subject_public_key_info(pkcs1: &[u8]) -> Option<Vec<u8>> {
    // AlgorithmIdentifier: rsaEncryption (1.2.840.113549.1.1.1), with NULL parameters.
    const RSA: [u8; 15] = [0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 1, 1, 5, 0];
    // A bit string begins with the number of bits that are unused in its last byte.
    let key = der(0x03, &[&[0], pkcs1].concat())?;
    der(0x30, &[&RSA[..], &key].concat())
}

/// A DER value of up to 65535 bytes; no key is longer.
fn der(tag: u8, content: &[u8]) -> Option<Vec<u8>> {
    let [high, low] = u16::try_from(content.len()).ok()?.to_be_bytes();
    let head: &[u8] = match (high, low) {
        (0, ..0x80) => &[tag, low],
        (0, _) => &[tag, 0x81, low],
        _ => &[tag, 0x82, high, low],
    };
    Some([head, content].concat())
}

/// RS256 with a shorter modulus is refused by the verifier, so such a key could never verify anything.
const MIN_MODULUS_BYTES: usize = 256;

/// Refuses a key with which nothing could be verified.
///
/// # Errors
/// [`KeyError`], in words for who configured it.
pub(super) fn check(key: &[u8]) -> Result<(), KeyError> {
    token::use_aws_lc();
    let key = decoding_key(key)?;
    let unusable = || KeyError("it is no RSA public key".to_owned());
    let jwk = Jwk::from_decoding_key(&key, Some(Algorithm::RS256)).map_err(|_| unusable())?;
    let AlgorithmParameters::RSA(rsa) = jwk.algorithm else { return Err(unusable()) };
    let modulus =
        base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(rsa.n).map_err(|_| unusable())?;
    if modulus.len() < MIN_MODULUS_BYTES {
        return Err(KeyError(format!(
            "its modulus has {} bits; RS256 needs 2048",
            modulus.len().saturating_mul(8)
        )));
    }
    Ok(())
}
