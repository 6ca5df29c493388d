//! TOTP codes from `oathtool`, the independent implementation of the arithmetic.
//!
//! A code of this moment may be one step old when the server sees it; radmfa takes the steps beside the present
//! one. FreeRADIUS's `rlm_totp` does not: for it [`fresh`] waits for a step with time left.

use super::process::{poll, program};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Seconds in a step.
pub const STEP: u64 = 30;

/// The code of this moment for a Base32 seed (SHA-1, six digits, 30 s).
pub fn now(seed: &str) -> String {
    at(seed, unix_time())
}

/// The code of the step that is `steps` before (negative) or after the present one.
pub fn beside(seed: &str, steps: i64) -> String {
    at(seed, unix_time().checked_add_signed(steps * STEP.cast_signed()).unwrap())
}

/// Returns once the present step has at least ten seconds left.
pub fn settle() {
    poll("a step with ten seconds left", Duration::from_secs(STEP), || {
        (unix_time() % STEP < STEP - 10).then_some(())
    });
}

/// The code of the present step, which has at least ten seconds left.
pub fn fresh(seed: &str) -> String {
    settle();
    now(seed)
}

/// Six digits that are a code of none of the steps from four before to four after the present one.
pub fn wrong(seed: &str) -> String {
    let codes = codes(seed, unix_time() - 4 * STEP, 9);
    (0..1_000_000u32)
        .map(|number| format!("{number:06}"))
        .find(|candidate| !codes.contains(candidate))
        .unwrap()
}

/// The code at a moment in seconds since 1970.
pub fn at(seed: &str, seconds: u64) -> String {
    codes(seed, seconds, 1).remove(0)
}

fn codes(seed: &str, seconds: u64, count: u32) -> Vec<String> {
    let output = Command::new(program("oathtool"))
        .args(["--totp", "--base32", "--now", &format!("@{seconds}"), "--window", &(count - 1).to_string()])
        .arg(seed)
        .output()
        .unwrap();
    assert!(output.status.success(), "oathtool: {}", String::from_utf8_lossy(&output.stderr));
    let codes: Vec<String> = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    assert_eq!(codes.len(), count as usize, "oathtool prints a line a code");
    codes
}

fn unix_time() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}
