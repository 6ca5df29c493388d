//! Who may use the admins' pages, from the command line.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking"
)]

mod cli_support;
mod support;

use cli_support::Desk;
use serde_json::Value;

fn roles(desk: &Desk) -> Vec<(String, String)> {
    let listed: Value = serde_json::from_str(&desk.ok("admin list --format json")).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    listed.as_array().unwrap().iter().map(|row| (text(&row["name"]), text(&row["role"]))).collect()
}

fn pairs(wanted: &[(&str, &str)]) -> Vec<(String, String)> {
    wanted.iter().map(|(name, role)| ((*name).to_owned(), (*role).to_owned())).collect()
}

#[test]
fn an_admin_is_made_with_a_password_and_a_token_and_the_last_one_stays() {
    let desk = Desk::new("cli-admins");
    desk.write("password", "correct horse\n");
    let made = desk.ok("admin add Olga --role admin --password-file password");
    assert!(made.contains("olga is admin now") && made.contains("otpauth://totp/"), "{made}");
    let shown = desk.ok("user show olga");
    assert!(shown.contains("local password  yes") && shown.contains("role            admin"), "{shown}");

    assert!(desk.fails("admin add olga --role auditor", 1).contains("radmfa admin role olga auditor"));
    assert!(desk.fails("admin add ned --role admin", 2).contains("--password-file"), "nobody to ask");
    assert!(desk.fails("user show ned", 1).contains("no user ned"), "and nothing was made");
    assert!(desk.fails("admin add ned --role king --password-file password", 2).contains("helpdesk"));

    // Somebody who is there keeps what is known of them.
    desk.ok("user add ned");
    desk.ok("token add ned --serial T-ned");
    let made = desk.ok("admin add ned --role helpdesk --password-file password --reason hired");
    assert!(!made.contains("otpauth"), "{made}");
    assert_eq!(roles(&desk), pairs(&[("ned", "helpdesk"), ("olga", "admin")]));

    for line in ["admin remove olga", "admin role olga helpdesk"] {
        assert!(desk.fails(line, 1).contains("--last"), "{line}");
    }
    assert!(desk.fails("admin remove nobody", 1).contains("no user nobody"));
    desk.ok("admin role ned admin");
    desk.ok("admin role olga auditor");
    assert_eq!(roles(&desk), pairs(&[("ned", "admin"), ("olga", "auditor")]));
    desk.ok("admin remove ned --last");
    assert_eq!(roles(&desk), pairs(&[("olga", "auditor")]));
    assert!(desk.fails("admin remove ned", 1).contains("has no role"));
    assert!(desk.ok("user show ned").contains("T-ned"), "the user stays");

    let trail = desk.ok("audit export --since 1d --format jsonl");
    assert_eq!(trail.matches("\"role-changed\"").count(), 5, "{trail}");
    assert!(trail.contains("helpdesk; hired"), "{trail}");
}

#[test]
fn a_token_s_secret_is_shown_once_and_kept_nowhere() {
    let desk = Desk::new("cli-api-tokens");
    let secret = desk.ok("admin token add ci --role auditor --for 90d");
    let secret = secret.trim();
    assert!(secret.starts_with("radmfa_") && secret.len() > 50, "{secret}");
    assert!(desk.fails("admin token add ci --role admin", 1).contains("token ci is there already"));
    assert!(desk.fails("admin token add x --role admin --for 99999d", 2).contains("ten years"));
    let listed = desk.ok("admin token list --format json");
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!((&listed[0]["name"], &listed[0]["role"]), (&Value::from("ci"), &Value::from("auditor")));
    assert!(listed[0]["until"].is_string() && listed[0]["over"] == false, "{listed}");
    for file in ["store/radmfa.db", "store/radmfa.db-wal"] {
        let stored = std::fs::read(desk.scratch.join(file)).unwrap_or_default();
        assert!(!stored.windows(secret.len()).any(|window| window == secret.as_bytes()), "{file}");
    }
    desk.ok("admin token revoke ci --reason done");
    assert!(desk.fails("admin token revoke ci", 1).contains("no token ci"));
    let trail = desk.ok("audit export --since 1d --format jsonl");
    for reason in ["api-token-added", "api-token-revoked"] {
        assert_eq!(trail.matches(reason).count(), 1, "{reason}: {trail}");
    }
}
