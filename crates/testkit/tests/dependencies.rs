//! Dependencies between the crates of the workspace go one way.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// Who may depend on whom, besides anyone on `miaosha-testkit` for tests.
const ALLOWED: &[(&str, &[&str])] = &[
    ("miaosha-domain", &[]),
    ("miaosha-app", &["miaosha-domain"]),
    ("miaosha-embedded", &["miaosha-app", "miaosha-domain"]),
    ("miaosha-distributed", &["miaosha-app", "miaosha-domain"]),
    ("miaosha-push", &[]),
    ("miaosha-web", &["miaosha-app", "miaosha-domain", "miaosha-push"]),
    (
        "miaosha",
        &[
            "miaosha-app",
            "miaosha-distributed",
            "miaosha-domain",
            "miaosha-embedded",
            "miaosha-push",
            "miaosha-web",
        ],
    ),
    ("miaosha-load", &[]),
    ("miaosha-testkit", &["miaosha-app", "miaosha-domain"]),
];

/// Adapters that the tests of other crates may run on, besides `miaosha-testkit`.
const FOR_TESTS: &[&str] = &["miaosha-testkit", "miaosha-embedded", "miaosha-distributed"];

#[test]
fn the_crates_depend_on_each_other_in_one_direction_only() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let allowed: BTreeMap<&str, BTreeSet<&str>> =
        ALLOWED.iter().map(|(name, on)| (*name, on.iter().copied().collect())).collect();
    let packages = metadata["packages"].as_array().unwrap();
    assert_eq!(packages.len(), allowed.len(), "a crate was added or removed: say here what it may depend on");
    for package in packages {
        let name = package["name"].as_str().unwrap();
        for dependency in package["dependencies"].as_array().unwrap() {
            let on = dependency["name"].as_str().unwrap();
            let is_ours = allowed.contains_key(on);
            let is_for_tests = dependency["kind"] == "dev" && FOR_TESTS.contains(&on);
            assert!(!is_ours || is_for_tests || allowed[name].contains(on), "{name} must not depend on {on}");
        }
    }
}
