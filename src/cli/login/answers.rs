//! What is typed at a challenge: given codes, the present code of a seed, or what a person types.

use std::collections::VecDeque;
use std::path::Path;

use super::walk::Question;
use crate::base::secret::Secret;
use crate::base::system::Clock;
use crate::cli::failure::Failure;
use crate::cli::input;
use crate::factor::oath::{self, Algorithm, Digits, Moving, Parameters};
use crate::factor::seed;

const FLAGS: &str = "--code CODE or --totp-secret-file FILE";

/// Where answers come from.
pub(super) enum Answers {
    /// The person at the terminal.
    Ask,
    /// These, one for each challenge.
    Codes(VecDeque<Secret>),
    /// A token's seed.
    Token {
        seed: Secret,
        parameters: Parameters,
        /// The step whose code was given last; a code works once.
        last: Option<u64>,
    },
}

impl Answers {
    pub(super) fn codes(codes: &[String]) -> Answers {
        Answers::Codes(codes.iter().map(|code| Secret::from(code.as_str())).collect())
    }

    /// A file that holds an `otpauth://` URI or a Base32 seed.
    pub(super) fn token(path: &Path) -> anyhow::Result<Answers> {
        let text = input::secret_file(path)?;
        let (seed, parameters) =
            std::str::from_utf8(text.expose()).ok().and_then(read_token).ok_or_else(|| {
                Failure::usage(format!("{} holds no token", path.display()))
                    .hint("one line with an otpauth://totp/ URI, or the seed in Base32")
            })?;
        Ok(Answers::Token { seed, parameters, last: None })
    }

    /// What to answer to `question`.
    pub(super) fn answer(&mut self, question: &Question, clock: &dyn Clock) -> anyhow::Result<Secret> {
        match self {
            Answers::Ask => {
                let prompt = if question.text.is_empty() { "Answer: " } else { "Your answer: " };
                if question.echo { input::ask_shown(prompt, FLAGS) } else { input::ask_hidden(prompt, FLAGS) }
            }
            Answers::Codes(codes) => codes.pop_front().ok_or_else(|| {
                Failure::failed(format!("challenge {} came, and no --code is left for it", question.round))
                    .into()
            }),
            Answers::Token { seed, parameters, last } => {
                // After a wrong code the same one again would be wrong again: the next one is within the window.
                let now = parameters.step_at(clock.unix().secs());
                let step = last.map_or(now, |last| now.max(last + 1));
                *last = Some(step);
                Ok(Secret::from(oath::code(seed.expose(), parameters, step).to_string().as_str()))
            }
        }
    }
}

/// Reads what [`crate::factor::otpauth::uri`] writes, or a seed alone.
fn read_token(text: &str) -> Option<(Secret, Parameters)> {
    let text = text.trim();
    let Some(rest) = text.strip_prefix("otpauth://totp/") else {
        return seed::parse(text).ok().map(|seed| (seed, Parameters::default()));
    };
    let mut parameters = Parameters::default();
    let mut found = None;
    for pair in rest.split_once('?')?.1.split('&') {
        match pair.split_once('=')? {
            ("secret", value) => found = Some(seed::parse(value).ok()?),
            ("algorithm", value) => parameters.algorithm = Algorithm::parse(value)?,
            ("digits", value) => parameters.digits = Digits::new(value.parse().ok()?)?,
            ("period", value) => {
                let interval = value.parse().ok().filter(|interval| (1..=300).contains(interval))?;
                parameters.moving = Moving::Time { interval };
            }
            _ => {}
        }
    }
    Some((found?, parameters))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::system::Fixed;
    use crate::base::time::{Tick, UnixTime};
    use crate::factor::otpauth;

    fn question(round: u32) -> Question {
        Question { text: String::new(), echo: false, round }
    }

    #[test]
    fn a_written_uri_reads_back() {
        let seed = Secret::from("12345678901234567890");
        let parameters = Parameters {
            algorithm: Algorithm::Sha512,
            digits: Digits::new(8).unwrap(),
            moving: Moving::Time { interval: 60 },
        };
        assert_eq!(
            read_token(&otpauth::uri("An & Co", "a=b", &seed, &parameters, 0)),
            Some((seed.clone(), parameters))
        );
        assert_eq!(read_token(&format!(" {}\n", seed::print(&seed))), Some((seed, Parameters::default())));
        for text in
            ["", "otpauth://totp/x", "otpauth://totp/x?digits=6", "otpauth://hotp/x?secret=GEZDGNBVGY3TQOJQ"]
        {
            assert_eq!(read_token(text), None, "{text}");
        }
    }

    #[test]
    fn a_token_answers_with_the_present_code_and_then_with_the_next() {
        let seed = Secret::from("12345678901234567890");
        let clock = Fixed { mono: Tick(0), unix: UnixTime::from_secs(59), seed: 0 };
        let mut answers = Answers::Token { seed, parameters: Parameters::default(), last: None };
        let mut next = |round| answers.answer(&question(round), &clock).unwrap();
        // RFC 6238 appendix B and RFC 4226 appendix D: counters 1 and 2.
        assert_eq!(next(1), Secret::from("287082"));
        assert_eq!(next(2), Secret::from("359152"));
    }

    #[test]
    fn given_codes_run_out() {
        let clock = Fixed { mono: Tick(0), unix: UnixTime(0), seed: 0 };
        let mut answers = Answers::codes(&["1".into()]);
        assert_eq!(answers.answer(&question(1), &clock).unwrap(), Secret::from("1"));
        assert!(answers.answer(&question(2), &clock).unwrap_err().to_string().contains("challenge 2"));
    }
}
