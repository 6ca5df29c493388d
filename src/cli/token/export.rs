//! `radmfa token export`: tokens with their seeds, encrypted. The one way that seeds leave a store, and each that does leaves a
//! row in the trail first.

use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use clap::{ValueHint, value_parser};

use crate::base::name::UserName;
use crate::base::secret::Secret;
use crate::cli::failure::Failure;
use crate::cli::input;
use crate::cli::new_file::NewFile;
use crate::cli::output::{count, say};
use crate::cli::store::{Missing, entropy, open};
use crate::cli::value::user_name;
use crate::config::flags::StoreFlags;
use crate::factor::described::Described;
use crate::factor::oath::Drift;
use crate::factor::pskc::{ITERATIONS, Strength, Writer};
use crate::store::admin::{Admin, TokenDetails, TokenFilter};

/// The shortest passphrase taken, in octets.
const PASSPHRASE_MIN: usize = 12;

/// Write tokens with their seeds to an encrypted PSKC file
///
/// RFC 6030: AES under a key from a passphrase (PBKDF2), with a MAC for each seed. `radmfa token import` and other programs
/// read it. Whoever has the file and the passphrase can make the codes. Every token that is written leaves a row in the
/// trail.
#[derive(Debug, clap::Args)]
pub(super) struct Export {
    /// The new file; never one that is there
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    with_secrets: Option<PathBuf>,
    /// Only this token; again for more of them
    #[arg(long, value_name = "SERIAL")]
    serial: Vec<String>,
    /// Only the tokens of this user
    #[arg(long, value_name = "NAME", value_parser = user_name, conflicts_with = "serial")]
    user: Option<UserName>,
    /// Read the passphrase from this file; asked for twice at the terminal without it
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    passphrase_file: Option<PathBuf>,
    /// What the seeds are encrypted with; some programs know AES-128 alone
    #[arg(long, value_enum, default_value_t = Cipher::Aes256)]
    cipher: Cipher,
    /// Rounds of PBKDF2 with HMAC-SHA-256: how dear a guess at the passphrase is
    #[arg(long, value_name = "COUNT", default_value_t = ITERATIONS, value_parser = value_parser!(u32).range(100_000..=10_000_000))]
    rounds: u32,
    #[command(flatten)]
    store: StoreFlags,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Cipher {
    #[value(name = "aes-128")]
    Aes128,
    #[value(name = "aes-256")]
    Aes256,
}

impl Export {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let Some(path) = &self.with_secrets else {
            return Err(Failure::usage("an export of tokens is of use with their seeds alone, and that has to be said")
                .hint("--with-secrets FILE writes them encrypted; radmfa token list --format csv lists them without")
                .into());
        };
        let passphrase = self.passphrase()?;
        // Made before the store is opened, which may give root up.
        let file = NewFile::make(path, "--with-secrets")?;
        let mut admin = open(&self.store, Missing::Refuse)?;
        let serials = self.serials(&mut *admin)?;
        if serials.is_empty() {
            return Err(Failure::failed("there is no such token").hint("radmfa token list").into());
        }
        let strength = match self.cipher {
            Cipher::Aes128 => Strength::Aes128,
            Cipher::Aes256 => Strength::Aes256,
        };
        let mut random = entropy()?;
        let (writer, head) = Writer::new(&passphrase, strength, self.rounds, &mut random);
        let mut file = BufWriter::new(file);
        let cannot = || format!("{} cannot be written", path.display());
        file.write_all(head.as_bytes()).with_context(cannot)?;
        let mut trouble = None;
        let mut take = |token: &TokenDetails, seed: &Secret| {
            let package = writer.package(&described(token, seed), &mut random);
            trouble = file.write_all(package.as_bytes()).err();
            trouble.is_none()
        };
        admin.export(&serials, &mut take).map_err(Failure::from)?;
        if let Some(error) = trouble {
            return Err(error).with_context(cannot);
        }
        file.write_all(Writer::END.as_bytes()).with_context(cannot)?;
        let file = file.into_inner().map_err(std::io::IntoInnerError::into_error).with_context(cannot)?;
        file.keep()?;
        say(format!("{} written to {}", count(serials.len(), "token"), path.display()))?;
        Ok(())
    }

    fn passphrase(&self) -> anyhow::Result<Secret> {
        let ask = |prompt| input::ask_hidden(prompt, "--passphrase-file FILE");
        let passphrase = if let Some(path) = &self.passphrase_file {
            input::secret_file(path)?
        } else {
            let first = ask("Passphrase for the file: ")?;
            if first != ask("The same again: ")? {
                return Err(Failure::failed("the two passphrases differ; nothing was written").into());
            }
            first
        };
        if passphrase.len() < PASSPHRASE_MIN {
            return Err(Failure::usage(format!(
                "the passphrase is shorter than {PASSPHRASE_MIN} characters"
            ))
            .hint("whoever has the file can try as many as they like")
            .into());
        }
        Ok(passphrase)
    }

    fn serials(&self, admin: &mut dyn Admin) -> anyhow::Result<Vec<Arc<str>>> {
        if self.serial.is_empty() {
            let filter = TokenFilter { user: self.user.clone(), ..TokenFilter::default() };
            let tokens = admin.tokens(&filter).map_err(Failure::from)?;
            return Ok(tokens.into_iter().map(|token| token.serial).collect());
        }
        let mut serials = Vec::with_capacity(self.serial.len());
        for serial in &self.serial {
            let found = admin.token(serial).map_err(Failure::from)?.serial;
            if !serials.contains(&found) {
                serials.push(found);
            }
        }
        Ok(serials)
    }
}

fn described(token: &TokenDetails, seed: &Secret) -> Described {
    let counted = token.parameters.interval().is_none();
    Described {
        line: 0,
        user: token.user.clone(),
        serial: Arc::clone(&token.serial),
        seed: seed.clone(),
        parameters: token.parameters,
        counter: token.last_step.filter(|_| counted).map_or(0, |last| last.saturating_add(1)),
        drift: token.drift.filter(|_| !counted).map_or(0, Drift::steps),
        label: token.fields.label.clone(),
        starts: token.fields.starts,
        expires: token.fields.expires,
        manufacturer: token.fields.manufacturer.clone(),
        model: token.fields.model.clone(),
    }
}
