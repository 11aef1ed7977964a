use std::time::Duration;

use aws_lc_rs::hmac;
use jsonwebtoken::{DecodingKey, Validation};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_250);
const HOUR: Duration = Duration::from_hours(1);

fn secret(kid: &str, fill: u8) -> Secret {
    Secret { kid: kid.to_owned(), bytes: vec![fill; SECRET_LEN_MIN] }
}

fn keyring() -> Keyring {
    Keyring::new(secret("k2", 2), vec![secret("k1", 1)]).unwrap()
}

fn user() -> UserId {
    UserId::new(42).unwrap()
}

fn checkout() -> Checkout {
    Checkout {
        user: user(),
        sale: "77".parse().unwrap(),
        seq: 5,
        deadline: NOW + Duration::from_millis(1_500),
    }
}

/// A token with any header and claims, rightly signed.
fn signed(fill: u8, header: &Value, claims: &Value) -> String {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let body = format!("{}.{}", encode(header), encode(claims));
    format!("{body}.{}", URL_SAFE_NO_PAD.encode(sign(fill, &body)))
}

/// By another implementation than the one that is tested.
fn sign(fill: u8, signed: &str) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &[fill; SECRET_LEN_MIN]), signed.as_bytes())
}

/// The header of a session token, in the order in which it is written.
fn session_start() -> String {
    keyring().keys[0].session.text.clone()
}

fn signed_session(claims: &Value) -> String {
    let body = format!("{}{}", session_start(), URL_SAFE_NO_PAD.encode(claims.to_string()));
    format!("{body}.{}", URL_SAFE_NO_PAD.encode(sign(2, &body)))
}

#[test]
fn a_session_token_proves_its_person_until_exactly_its_end() {
    let token = keyring().mint_session(user(), Role::Editor, NOW, HOUR);
    let session = Session { user: user(), role: Role::Editor };
    assert_eq!(keyring().verify_session(&token, NOW), Ok(session));
    let end = Timestamp::from_millis(1_800_003_601_000);
    let last = Timestamp::from_millis(end.as_millis() - 1);
    assert_eq!(keyring().verify_session(&token, last), Ok(session));
    assert_eq!(keyring().verify_session(&token, end), Err(TokenRefusal::Expired));
}

#[test]
fn a_checkout_token_ends_with_its_reservation_to_the_millisecond() {
    let token = keyring().mint_checkout(&checkout());
    assert_eq!(token, keyring().mint_checkout(&checkout()), "the same reservation, the same token");
    let last = Timestamp::from_millis(checkout().deadline.as_millis() - 1);
    assert_eq!(keyring().verify_checkout(&token, last), Ok(checkout()));
    assert_eq!(keyring().verify_checkout(&token, checkout().deadline), Err(TokenRefusal::Expired));
}

#[test]
fn one_kind_of_token_is_never_the_other() {
    let session = keyring().mint_session(user(), Role::Buyer, NOW, HOUR);
    let checkout = keyring().mint_checkout(&checkout());
    assert_eq!(keyring().verify_checkout(&session, NOW), Err(TokenRefusal::Invalid));
    assert_eq!(keyring().verify_session(&checkout, NOW), Err(TokenRefusal::Invalid));
}

#[test]
fn an_older_key_is_accepted_and_an_unknown_one_is_not() {
    let old = Keyring::new(secret("k1", 1), Vec::new()).unwrap();
    let token = old.mint_session(user(), Role::Buyer, NOW, HOUR);
    assert!(keyring().verify_session(&token, NOW).is_ok());
    let strange = Keyring::new(secret("k3", 2), Vec::new()).unwrap();
    let token = strange.mint_session(user(), Role::Buyer, NOW, HOUR);
    assert_eq!(keyring().verify_session(&token, NOW), Err(TokenRefusal::Invalid));
    let impostor = Keyring::new(secret("k2", 3), Vec::new()).unwrap();
    let token = impostor.mint_session(user(), Role::Buyer, NOW, HOUR);
    assert_eq!(keyring().verify_session(&token, NOW), Err(TokenRefusal::Invalid));
}

#[test]
fn no_other_header_is_accepted_even_rightly_signed() {
    let claims = json!({"aud":"session","sub":"42","role":"admin","iat":0,"exp":9_999_999_999_u64});
    let headers = [
        json!({"typ":"session+jwt","alg":"none","kid":"k2"}),
        json!({"typ":"session+jwt","alg":"HS384","kid":"k2"}),
        json!({"typ":"session+jwt","alg":"RS256","kid":"k2"}),
        json!({"typ":"JWT","alg":"HS256","kid":"k2"}),
        json!({"alg":"HS256"}),
        json!({}),
    ];
    for header in headers {
        let token = signed(2, &header, &claims);
        assert_eq!(keyring().verify_session(&token, NOW), Err(TokenRefusal::Invalid), "{header}");
        let unsigned = format!("{}.", token.rsplit_once('.').unwrap().0);
        assert_eq!(keyring().verify_session(&unsigned, NOW), Err(TokenRefusal::Invalid), "{header}");
    }
}

#[test]
fn every_claim_is_required_and_of_its_type() {
    let good = json!({"aud":"session","sub":"42","role":"buyer","iat":0,"exp":9_999_999_999_u64});
    assert!(keyring().verify_session(&signed_session(&good), NOW).is_ok());
    for name in ["aud", "sub", "role", "iat", "exp"] {
        for wrong in [None, Some(Value::Null), Some(json!("")), Some(json!({"a":1}))] {
            let mut claims = good.clone();
            match wrong {
                None => claims.as_object_mut().unwrap().remove(name),
                Some(wrong) => claims.as_object_mut().unwrap().insert(name.to_owned(), wrong),
            };
            assert_eq!(
                keyring().verify_session(&signed_session(&claims), NOW),
                Err(TokenRefusal::Invalid),
                "{claims}"
            );
        }
    }
}

#[test]
fn a_standard_library_reads_what_is_written() {
    let token = keyring().mint_session(user(), Role::Buyer, NOW, HOUR);
    assert!(token.starts_with(&session_start()));
    let mut validation = Validation::new(Algorithm::HS256);
    validation.set_audience(&["session"]);
    let key = DecodingKey::from_secret(&[2; SECRET_LEN_MIN]);
    let data = jsonwebtoken::decode::<Value>(&token, &key, &validation).unwrap();
    assert_eq!(data.header.kid.as_deref(), Some("k2"));
    assert_eq!(data.claims["sub"], "42");
}

#[test]
fn weak_or_ambiguous_secrets_make_no_keyring() {
    let weak = Secret { kid: "k".to_owned(), bytes: vec![7; SECRET_LEN_MIN - 1] };
    assert_eq!(Keyring::new(weak, Vec::new()).unwrap_err(), KeyringError::WeakSecret { kid: "k".to_owned() });
    let twice = Keyring::new(secret("k", 1), vec![secret("k", 2)]);
    assert_eq!(twice.unwrap_err(), KeyringError::SameKid { kid: "k".to_owned() });
    for kid in ["", "a b", "a\"b", &"k".repeat(KID_LEN_MAX + 1)] {
        assert!(matches!(Keyring::new(secret(kid, 1), Vec::new()), Err(KeyringError::MalformedKid { .. })));
    }
}

proptest! {
    #[test]
    fn any_changed_bit_is_refused(at in 0_usize..400, bit in 0..8) {
        for token in [keyring().mint_session(user(), Role::Buyer, NOW, HOUR), keyring().mint_checkout(&checkout())] {
            let mut bytes = token.clone().into_bytes();
            let at = at % bytes.len();
            bytes[at] ^= 1_u8 << bit;
            if let Ok(changed) = String::from_utf8(bytes) {
                prop_assert_eq!(keyring().verify_session(&changed, NOW), Err(TokenRefusal::Invalid));
                prop_assert_eq!(keyring().verify_checkout(&changed, NOW), Err(TokenRefusal::Invalid));
            }
        }
    }

    #[test]
    fn any_text_is_refused_without_a_panic(text in ".{0,1200}", with_start: bool) {
        let token = if with_start { format!("{}{text}", session_start()) } else { text };
        prop_assert_eq!(keyring().verify_session(&token, NOW), Err(TokenRefusal::Invalid));
    }
}
