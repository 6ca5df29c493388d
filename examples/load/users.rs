//! Who logs in: users and their TOTP seeds, from the file that `radmfa token import` reads.
//!
//! The file is kept as text and a line is read when its user's turn comes: a million users take the memory of
//! their file, and no time at the start.

use std::fmt::Write as _;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use radmfa::base::system::{Entropy as _, Fixed};
use radmfa::base::time::{Tick, UnixTime};
use radmfa::factor::oath::{self, Moving, Parameters};
use radmfa::factor::seed;

/// Seconds of a step where the file does not say.
const INTERVAL: u16 = 30;

/// The users in the order in which they log in: random, and the same for the same seed.
pub struct Users {
    text: String,
    /// Where each line begins.
    lines: Vec<u32>,
    columns: Columns,
}

struct Columns {
    user: usize,
    secret: usize,
    interval: Option<usize>,
}

/// One line.
#[derive(Clone, Copy)]
pub struct User<'a> {
    pub name: &'a str,
    /// The seed in Base32.
    pub secret: &'a str,
    interval: u16,
}

impl Users {
    /// Reads a CSV file whose first line names the columns `user`, `secret` and perhaps `interval`. Values are not
    /// quoted.
    pub fn read(path: &Path, order: u64) -> anyhow::Result<Users> {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        Users::from_csv(text, order).with_context(|| path.display().to_string())
    }

    /// The same from text.
    pub fn from_csv(text: String, order: u64) -> anyhow::Result<Users> {
        let header = text.lines().next().unwrap_or_default();
        let column = |name| header.split(',').position(|column| column.trim() == name);
        let (Some(user), Some(secret)) = (column("user"), column("secret")) else {
            bail!("the first line names no columns `user` and `secret`");
        };
        let columns = Columns { user, secret, interval: column("interval") };
        let ends = text.bytes().enumerate().filter(|(_, octet)| *octet == b'\n').map(|(at, _)| at + 1);
        let mut lines: Vec<u32> =
            ends.filter(|&at| at < text.len()).map(u32::try_from).collect::<Result<_, _>>()?;
        if lines.is_empty() {
            bail!("there are no users in it");
        }
        shuffle(&mut lines, order);
        Ok(Users { text, lines, columns })
    }

    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whose turn the login with this number is; after the last user the first is next.
    pub fn nth(&self, number: usize) -> User<'_> {
        let start = self.lines[number % self.lines.len()] as usize;
        let line = self.text[start..].lines().next().unwrap_or_default();
        let mut user = User { name: "", secret: "", interval: INTERVAL };
        for (column, value) in line.split(',').enumerate() {
            if column == self.columns.user {
                user.name = value;
            } else if column == self.columns.secret {
                user.secret = value;
            } else if Some(column) == self.columns.interval {
                user.interval = value.trim().parse().unwrap_or(INTERVAL);
            }
        }
        user
    }
}

impl User<'_> {
    /// The user's code of the step that is `shift` after (negative: before) the present one.
    pub fn code(&self, shift: i64) -> String {
        let seed = seed::parse(self.secret).expect("the users' file holds Base32 seeds");
        let parameters =
            Parameters { moving: Moving::Time { interval: self.interval }, ..Parameters::default() };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970").as_secs();
        let step = parameters.step_at(now).checked_add_signed(shift).expect("the clock is past 1970");
        oath::code(seed.expose(), &parameters, step).to_string()
    }
}

/// A users' file of made-up users with these numbers, the same each time: their seeds are no secret from anybody.
pub fn made_up(numbers: RangeInclusive<usize>) -> String {
    let mut text = String::from("user,serial,secret,interval\n");
    for number in numbers {
        let mut octets = [0; seed::SEED_NEW];
        entropy(number as u64).fill(&mut octets);
        let secret = base32::encode(base32::Alphabet::Rfc4648 { padding: false }, &octets);
        writeln!(text, "user{number:07},SN{number:07},{secret},{INTERVAL}").expect("a string takes any text");
    }
    text
}

/// Guessable octets: for orders, made-up users, and a load generator's request authenticators.
pub fn entropy(seed: u64) -> Fixed {
    Fixed { mono: Tick(0), unix: UnixTime(0), seed }
}

fn shuffle(lines: &mut [u32], order: u64) {
    let mut random = entropy(order);
    for last in (1..lines.len()).rev() {
        let mut octets = [0; 8];
        random.fill(&mut octets);
        lines.swap(last, (u64::from_le_bytes(octets) % (last as u64 + 1)) as usize);
    }
}
