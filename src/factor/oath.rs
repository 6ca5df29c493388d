//! HOTP (RFC 4226) and TOTP (RFC 6238): codes from a seed, and which step an entered code belongs to.

use std::fmt;
use std::ops::RangeInclusive;

use hmac::{Hmac, KeyInit, Mac};
use subtle::{ConditionallySelectable, ConstantTimeEq};

/// The widest window accepted, in steps to either side (protocol: 0 to 10).
pub const WINDOW_MAX: u8 = 10;

/// How far a counter token may have run ahead and still be accepted: codes shown and not used (protocol: 10).
pub const LOOK_AHEAD: u8 = 10;
/// The most that a policy may say instead.
pub const LOOK_AHEAD_MAX: u8 = 50;

/// How far a counter token is looked for that has run ahead further than that: two codes in a row bring it back.
pub const RESYNC_WINDOW: u64 = 1000;
/// The same for a token whose clock is off: steps to either side.
pub const RESYNC_STEPS: u64 = 10;

/// The highest counter that a new token may begin with.
pub const COUNTER_MAX: u64 = 1 << 48;

/// The hash under the HMAC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// HMAC-SHA-1, what almost every token and app uses.
    #[default]
    Sha1,
    /// HMAC-SHA-256.
    Sha256,
    /// HMAC-SHA-512.
    Sha512,
}

impl Algorithm {
    /// The name as `otpauth://` URIs and files write it.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Sha1 => "SHA1",
            Algorithm::Sha256 => "SHA256",
            Algorithm::Sha512 => "SHA512",
        }
    }

    /// Back from a name in either case, with or without `HMAC` and hyphens.
    #[must_use]
    pub fn parse(text: &str) -> Option<Algorithm> {
        let plain: String = text.chars().filter(char::is_ascii_alphanumeric).collect();
        match plain.to_ascii_uppercase().trim_start_matches("HMAC") {
            "SHA1" => Some(Algorithm::Sha1),
            "SHA256" => Some(Algorithm::Sha256),
            "SHA512" => Some(Algorithm::Sha512),
            _ => None,
        }
    }
}

/// How many digits a code has: 6, 7 or 8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digits(u8);

impl Digits {
    /// Six, the usual number.
    pub const SIX: Digits = Digits(6);

    /// 6 to 8.
    #[must_use]
    pub fn new(count: u8) -> Option<Digits> {
        (6..=8).contains(&count).then_some(Digits(count))
    }

    /// The number of digits.
    pub fn count(self) -> u8 {
        self.0
    }

    fn modulus(self) -> u32 {
        10_u32.pow(u32::from(self.0))
    }
}

/// What moves a token on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Moving {
    /// Time, in steps of so many seconds (1 to 300; tokens in the field have 30 or 60).
    Time {
        /// Seconds a step.
        interval: u16,
    },
    /// A counter that moves on with every code shown (HOTP, RFC 4226).
    Counter,
}

/// Everything but the seed that a token's codes depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Parameters {
    /// The hash.
    pub algorithm: Algorithm,
    /// Length of a code.
    pub digits: Digits,
    /// Time or counter.
    pub moving: Moving,
}

impl Default for Parameters {
    /// SHA-1, six digits, 30 seconds.
    fn default() -> Parameters {
        Parameters { algorithm: Algorithm::Sha1, digits: Digits::SIX, moving: Moving::Time { interval: 30 } }
    }
}

impl Parameters {
    /// The time step in which `unix` seconds lies (RFC 6238 §4.2, T0 = 0). No time moves a counter: 0.
    #[must_use]
    pub fn step_at(&self, unix: u64) -> u64 {
        self.interval().map_or(0, |interval| unix / u64::from(interval.max(1)))
    }

    /// Seconds a step; `None` where a counter moves the token on.
    #[must_use]
    pub fn interval(&self) -> Option<u16> {
        match self.moving {
            Moving::Time { interval } => Some(interval),
            Moving::Counter => None,
        }
    }
}

/// A code of a token, printed with its leading zeros.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Code {
    number: u32,
    digits: Digits,
}

impl fmt::Display for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:0width$}", self.number, width = usize::from(self.digits.0))
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("…")
    }
}

/// The code for `counter` (RFC 4226 §5.3; for TOTP the counter is the time step).
#[must_use]
pub fn code(seed: &[u8], parameters: &Parameters, counter: u64) -> Code {
    let number = Generator::new(seed, parameters.algorithm).truncated(counter) % parameters.digits.modulus();
    Code { number, digits: parameters.digits }
}

/// An entered code in the one form in which it can be right: ASCII digits of exactly the token's length, spaces
/// around them trimmed. Anything else is no code of this token.
#[must_use]
pub fn parse_entry(entered: &[u8], digits: Digits) -> Option<u32> {
    let trimmed = entered.trim_ascii();
    let fits = trimmed.len() == usize::from(digits.0) && trimmed.iter().all(u8::is_ascii_digit);
    fits.then(|| trimmed.iter().fold(0, |number, digit| number * 10 + u32::from(digit - b'0')))
}

/// Which of `steps` the entered number is the code of, looking at every one of them in constant time; the
/// lowest where two steps share a code.
#[must_use]
pub fn find_step(
    seed: &[u8],
    parameters: &Parameters,
    steps: RangeInclusive<u64>,
    entered: u32,
) -> Option<u64> {
    let generator = Generator::new(seed, parameters.algorithm);
    let modulus = parameters.digits.modulus();
    let mut found = u64::MAX;
    for step in steps.rev() {
        let equal = (generator.truncated(step) % modulus).ct_eq(&entered);
        found = u64::conditional_select(&found, &step, equal);
    }
    (found != u64::MAX).then_some(found)
}

/// How far a token's clock runs ahead of ours, or behind where it is negative: learned from its codes, in sixteenths of
/// a step, at most [`Drift::STEPS_MAX`] steps.
///
/// One code says little: it may be typed late, and a clock that is off by half a step shows now one offset, now the
/// other. So each code moves what was learned a quarter of the way, and the window follows by whole steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Drift(i16);

impl Drift {
    /// The most that is learned: clocks that are further off are mended by an admin, or the token replaced.
    pub const STEPS_MAX: i16 = 10;

    const UNIT: i16 = 16;

    /// So many whole steps, cut to what is learned at most.
    #[must_use]
    pub fn of_steps(steps: i64) -> Drift {
        let most = i64::from(Drift::STEPS_MAX);
        Drift(i16::try_from(steps.clamp(-most, most)).unwrap_or(0) * Drift::UNIT)
    }

    /// Back from [`Drift::sixteenths`], cut to what is learned at most.
    #[must_use]
    pub fn from_sixteenths(sixteenths: i16) -> Drift {
        let most = Drift::STEPS_MAX * Drift::UNIT;
        Drift(sixteenths.clamp(-most, most))
    }

    /// For storage.
    pub fn sixteenths(self) -> i16 {
        self.0
    }

    /// By how many whole steps the window is moved: by another one when three quarters of it are there. A clock half a step
    /// off shows both offsets, and the window stays where both are in it.
    pub fn steps(self) -> i16 {
        (self.0 + self.0.signum() * (Drift::UNIT / 4)) / Drift::UNIT
    }

    /// What is known after a code of the step `offset` after the present one, or before it.
    #[must_use]
    pub fn learn(self, offset: i64) -> Drift {
        let away = Drift::of_steps(offset).0 - self.0;
        // Away from zero, so that the last sixteenths are gone, too.
        Drift(self.0 + (away + 3 * away.signum()) / 4)
    }
}

impl fmt::Display for Drift {
    /// In steps, such as `+0.5` or `-2`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:+}", f32::from(self.0) / f32::from(Drift::UNIT))
    }
}

/// What an entered number is to a token: see [`scan`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The lowest step after the last accepted one that it is the code of.
    pub fresh: Option<u64>,
    /// The lowest step at or before the last accepted one that it is the code of.
    pub spent: Option<u64>,
}

/// Looks at every one of `steps` in constant time, those that were spent with `last` apart from the fresh ones: a fresh
/// step may show the digits of a spent one.
#[must_use]
pub fn scan(
    seed: &[u8],
    parameters: &Parameters,
    steps: RangeInclusive<u64>,
    last: Option<u64>,
    entered: u32,
) -> Found {
    let generator = Generator::new(seed, parameters.algorithm);
    let modulus = parameters.digits.modulus();
    let (mut fresh, mut spent) = (u64::MAX, u64::MAX);
    for step in steps.rev() {
        let equal = (generator.truncated(step) % modulus).ct_eq(&entered);
        let slot = if last.is_none_or(|last| step > last) { &mut fresh } else { &mut spent };
        *slot = u64::conditional_select(slot, &step, equal);
    }
    let known = |step: u64| (step != u64::MAX).then_some(step);
    Found { fresh: known(fresh), spent: known(spent) }
}

/// The first of `steps` whose code is `first` and whose next one's is `second`, looking at all of them in constant time;
/// of several the lowest. Two codes in a row tell where a token stands that has lost its step.
#[must_use]
pub fn find_pair(
    seed: &[u8],
    parameters: &Parameters,
    steps: RangeInclusive<u64>,
    [first, second]: [u32; 2],
) -> Option<u64> {
    let generator = Generator::new(seed, parameters.algorithm);
    let shown = |step| generator.truncated(step) % parameters.digits.modulus();
    let mut after = shown(steps.end().saturating_add(1)).ct_eq(&second);
    let mut found = u64::MAX;
    for step in steps.rev() {
        let number = shown(step);
        found = u64::conditional_select(&found, &step, number.ct_eq(&first) & after);
        after = number.ct_eq(&second);
    }
    (found != u64::MAX).then_some(found)
}

/// The counters that an HOTP entry may belong to: the one expected after `last`, and `reach` beyond it (RFC 4226
/// §7.4), with the last accepted one before them, by which a replay is told from a wrong code.
#[must_use]
pub fn look_ahead(last: Option<u64>, reach: u16) -> RangeInclusive<u64> {
    let expected = last.map_or(0, |last| last.saturating_add(1));
    last.unwrap_or(expected)..=expected.saturating_add(reach.into())
}

/// The steps that a TOTP entry may belong to at `unix` seconds, `window` steps to either side of where the token's clock
/// stands by what is known of its `drift`.
#[must_use]
pub fn window(parameters: &Parameters, unix: u64, drift: Drift, window: u8) -> RangeInclusive<u64> {
    let now = parameters.step_at(unix).saturating_add_signed(drift.steps().into());
    let reach = u64::from(window.min(WINDOW_MAX));
    now.saturating_sub(reach)..=now.saturating_add(reach)
}

enum Generator {
    Sha1(Hmac<sha1::Sha1>),
    Sha256(Hmac<sha2::Sha256>),
    Sha512(Hmac<sha2::Sha512>),
}

impl Generator {
    fn new(seed: &[u8], algorithm: Algorithm) -> Generator {
        match algorithm {
            Algorithm::Sha1 => Generator::Sha1(keyed(seed)),
            Algorithm::Sha256 => Generator::Sha256(keyed(seed)),
            Algorithm::Sha512 => Generator::Sha512(keyed(seed)),
        }
    }

    /// Dynamic truncation (RFC 4226 §5.3): 31 bits.
    fn truncated(&self, counter: u64) -> u32 {
        match self {
            Generator::Sha1(mac) => truncate(finish(mac, counter).as_ref()),
            Generator::Sha256(mac) => truncate(finish(mac, counter).as_ref()),
            Generator::Sha512(mac) => truncate(finish(mac, counter).as_ref()),
        }
    }
}

fn keyed<M: KeyInit>(seed: &[u8]) -> M {
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length (RFC 2104 §2)")]
    M::new_from_slice(seed).expect("HMAC takes any key")
}

fn finish<M: Mac + Clone>(keyed: &M, counter: u64) -> impl AsRef<[u8]> + use<M> {
    keyed.clone().chain_update(counter.to_be_bytes()).finalize().into_bytes()
}

fn truncate(digest: &[u8]) -> u32 {
    let offset = usize::from(digest.last().copied().unwrap_or(0) & 0x0f);
    #[expect(clippy::expect_used, reason = "digests have 20 octets or more, and the offset is at most 15")]
    let word = digest.get(offset..).and_then(<[u8]>::first_chunk::<4>).expect("offset + 4 <= 19 < 20");
    u32::from_be_bytes(*word) & 0x7fff_ffff
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `fixtures/oath.txt`: kind, seed in hex, algorithm, digits, time or counter, code.
    #[test]
    fn the_published_vectors_hold() {
        let mut vectors = 0;
        for line in include_str!("fixtures/oath.txt").lines().filter(|l| !l.is_empty() && !l.starts_with('#'))
        {
            let [kind, seed, algorithm, digits, moment, expected] =
                line.split_whitespace().collect::<Vec<_>>().try_into().unwrap();
            let parameters = Parameters {
                algorithm: Algorithm::parse(algorithm).unwrap(),
                digits: Digits::new(digits.parse().unwrap()).unwrap(),
                moving: if kind == "hotp" { Moving::Counter } else { Moving::Time { interval: 30 } },
            };
            let seed = crate::base::text::unhex(seed).unwrap();
            let moment: u64 = moment.parse().unwrap();
            let counter = if kind == "totp" { parameters.step_at(moment) } else { moment };
            assert_eq!(code(&seed, &parameters, counter).to_string(), expected, "{line}");
            let entered = parse_entry(expected.as_bytes(), parameters.digits).unwrap();
            assert_eq!(find_step(&seed, &parameters, counter..=counter, entered), Some(counter));
            vectors += 1;
        }
        assert_eq!(vectors, 28);
    }

    #[test]
    fn an_entry_is_exactly_the_digits_of_the_token() {
        assert_eq!(parse_entry(b" 012345\r", Digits::SIX), Some(12345));
        for wrong in ["12345", "1234567", "12345a", "１２３４５６", "12 345", "", "+12345", "-12345"] {
            assert_eq!(parse_entry(wrong.as_bytes(), Digits::SIX), None, "{wrong}");
        }
    }

    #[test]
    fn the_window_reaches_both_ways_and_stops_at_1970() {
        let parameters = Parameters::default();
        assert_eq!(window(&parameters, 59, Drift::default(), 1), 0..=2);
        assert_eq!(window(&parameters, 0, Drift::default(), 1), 0..=1);
        assert_eq!(window(&parameters, 3000, Drift::default(), 200), 90..=110);
        assert_eq!(window(&parameters, 3000, Drift::of_steps(-3), 1), 96..=98);
        assert_eq!(window(&parameters, 30, Drift::of_steps(-3), 1), 0..=1);
    }

    #[test]
    fn drift_is_learned_slowly_and_to_the_end_and_no_further_than_its_cap() {
        let after =
            |from: Drift, offset: i64, codes: usize| (0..codes).fold(from, |drift, _| drift.learn(offset));
        let still = Drift::default();
        assert_eq!(after(still, 1, 1).steps(), 0, "one code may be typed late, or its clock at the edge");
        assert_eq!(after(still, -1, 2).steps(), 0);
        assert_eq!(after(still, -1, 4).steps(), -1);
        assert_eq!(after(after(still, 1, 20), 0, 20), still, "and back");
        for offset in [-1, 1, 4, -7] {
            assert_eq!(after(still, offset, 40), Drift::of_steps(offset), "{offset}");
        }
        // A clock half a step off shows both offsets in turn, and the window stays.
        let torn = (0..100).fold(still, |drift, code| drift.learn(code % 2));
        assert_eq!(torn.steps(), 0);
        assert_eq!(after(still, 1000, 100), Drift::of_steps(10));
        assert_eq!(after(still, i64::MIN, 100), Drift::of_steps(-10));
        assert_eq!(Drift::from_sixteenths(i16::MIN), Drift::of_steps(-10));
        assert_eq!(Drift::from_sixteenths(24).to_string(), "+1.5");
    }

    #[test]
    fn a_counter_token_is_looked_at_from_its_last_counter_on() {
        assert_eq!(look_ahead(None, 10), 0..=10);
        assert_eq!(look_ahead(Some(0), 10), 0..=11);
        assert_eq!(look_ahead(Some(7), 0), 7..=8);
        let parameters = Parameters { moving: Moving::Counter, ..Parameters::default() };
        let seed = b"12345678901234567890";
        // RFC 4226 appendix D: counters 4 and 5.
        let scanned = |entered, last| scan(seed, &parameters, look_ahead(last, 10), last, entered);
        assert_eq!(scanned(338_314, None), Found { fresh: Some(4), spent: None });
        assert_eq!(scanned(338_314, Some(4)), Found { fresh: None, spent: Some(4) });
        assert_eq!(scanned(254_676, Some(4)), Found { fresh: Some(5), spent: None });
        assert_eq!(scanned(338_314, Some(5)), Found::default());
        assert_eq!(parameters.step_at(1_000_000), 0);
    }

    #[test]
    fn two_codes_in_a_row_tell_where_a_token_stands() {
        let parameters = Parameters { moving: Moving::Counter, ..Parameters::default() };
        let seed = b"12345678901234567890";
        // RFC 4226 appendix D: counters 4, 5 and 6.
        let pair = |steps, codes| find_pair(seed, &parameters, steps, codes);
        assert_eq!(pair(0..=999, [338_314, 254_676]), Some(4));
        assert_eq!(pair(4..=4, [338_314, 254_676]), Some(4), "the second may lie after the range");
        assert_eq!(pair(5..=999, [338_314, 254_676]), None);
        assert_eq!(pair(0..=3, [338_314, 254_676]), None);
        assert_eq!(pair(0..=999, [254_676, 338_314]), None, "the wrong way round");
        assert_eq!(pair(0..=999, [338_314, 287_922]), None, "one was left out");
        assert_eq!(pair(0..=999, [338_314, 338_314]), None);
        let near = Parameters { digits: Digits::new(8).unwrap(), ..parameters };
        for start in [0, 17, 400] {
            let codes = [start, start + 1].map(|at| code(seed, &near, at).number);
            assert_eq!(find_pair(seed, &near, 0..=500, codes), Some(start));
        }
    }

    #[test]
    fn a_fresh_step_that_shows_the_digits_of_a_spent_one_is_found() {
        let parameters = Parameters { moving: Moving::Counter, ..Parameters::default() };
        let seed = b"12345678901234567890";
        let shown = |counter| code(seed, &parameters, counter).number;
        let mut places = std::collections::HashMap::new();
        let (first, second) =
            (0..100_000_u64).find_map(|at| places.insert(shown(at), at).map(|first| (first, at))).unwrap();
        let found = scan(seed, &parameters, first..=second, Some(first), shown(first));
        assert_eq!(found, Found { fresh: Some(second), spent: Some(first) });
    }

    #[test]
    fn a_code_of_no_step_in_the_window_is_not_found() {
        let parameters = Parameters::default();
        let far =
            parse_entry(code(b"12345678901234567890", &parameters, 50).to_string().as_bytes(), Digits::SIX);
        assert_eq!(find_step(b"12345678901234567890", &parameters, 10..=12, far.unwrap()), None);
    }
}
