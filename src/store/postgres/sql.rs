//! What logins run, once prepared: one read, and the two halves of a transaction.

/// The columns of `account` that [`super::rows`] reads.
macro_rules! account_columns {
    () => {
        "account.id, account.name, account.disabled, account.failures, account.last_failure, account.password_hash,
             account.member_of, account.display_name, account.first_name, account.last_name, account.mail,
             account.phone, account.language, account.method, account.special"
    };
}

/// The columns of `token` that [`super::rows`] reads.
macro_rules! token_columns {
    () => {
        "token.id, token.serial, token.enabled, token.algorithm, token.digits, token.period, token.seed,
             token.last_step, coalesce(token.drift, token.drift_said), token.expires, token.starts"
    };
}

/// A user with the tokens, oldest first: a row each, or one without.
pub(super) const USER: &str = concat!(
    "SELECT ",
    account_columns!(),
    ", ",
    token_columns!(),
    " FROM account LEFT JOIN token ON token.account = account.id WHERE account.name = $1 ORDER BY token.id"
);

/// Whether somebody else who owns a token, recovery codes or a device looks like a name.
pub(super) const RESEMBLES: &str = "SELECT EXISTS (
     SELECT 1 FROM account WHERE skeleton = $1 AND name <> $2
         AND (recoverable OR EXISTS (SELECT 1 FROM token WHERE token.account = account.id)
              OR ((phone IS NOT NULL OR mail IS NOT NULL) AND NOT EXISTS (SELECT 1 FROM account WHERE name = $2))))";

/// Locks a chain: its head, the link there, and who may append.
pub(super) const CHAIN: &str = "SELECT head, mac, incarnation FROM chain WHERE chain = $1 FOR UPDATE";

/// Locks users.
pub(super) const ACCOUNTS: &str = "SELECT id, disabled, failures, last_failure, special, name
     FROM account WHERE id = ANY($1) ORDER BY id FOR UPDATE";

/// Locks tokens.
pub(super) const TOKENS: &str = "SELECT id, account, enabled, last_step, drift
     FROM token WHERE id = ANY($1) ORDER BY id FOR UPDATE";

/// Appends rows with all that they do to tokens, users and the chain. What is already spent was judged before, under the
/// lock; should it be spent all the same, the division by zero undoes everything.
pub(super) const APPEND: &str = "WITH spent AS (
         UPDATE token SET last_step = new.step, drift = coalesce(new.drift, token.drift)
         FROM unnest($1::BIGINT[], $2::BIGINT[], $3::INTEGER[]) AS new (id, step, drift)
         WHERE token.id = new.id AND (token.last_step IS NULL OR token.last_step < new.step)
         RETURNING token.id
     ), counted AS (
         UPDATE account SET failures = new.failures, last_failure = new.last_failure
         FROM unnest($4::BIGINT[], $5::INTEGER[], $6::BIGINT[]) AS new (id, failures, last_failure)
         WHERE account.id = new.id
     ), headed AS (
         UPDATE chain SET head = $7, mac = $8 WHERE chain = $9
     )
     INSERT INTO event (number, time, login, name, body, person, mac)
     SELECT new.number, new.time, new.login, new.name, new.body, new.person, new.mac
     FROM unnest($10::BIGINT[], $11::BIGINT[], $12::BIGINT[], $13::TEXT[], $14::BYTEA[], $15::BYTEA[], $16::BYTEA[])
         AS new (number, time, login, name, body, person, mac)
     WHERE 1 / (CASE WHEN (SELECT count(*) FROM spent) = cardinality($1::BIGINT[]) THEN 1 ELSE 0 END) = 1";
