//! JSON that is read without a parser: as the parser reads it, or not at all.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/web/src/plain_json.rs"]
mod plain_json;

fuzz_target!(|json: &[u8]| {
    if let Some((text, rest)) = plain_json::text(json) {
        let whole = [&b"\""[..], &json[..json.len() - rest.len()]].concat();
        assert_eq!(serde_json::from_slice::<&str>(&whole).expect("a string"), text);
    }
    if let Some((number, rest)) = plain_json::number(json) {
        let whole = &json[..json.len() - rest.len()];
        assert_eq!(serde_json::from_slice::<i64>(whole).expect("a number"), number);
    }
});
