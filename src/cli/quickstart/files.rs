//! The directory of a quickstart: made whole under another name and then put in place, or found and used.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::base::name::UserName;
use crate::base::secret::Secret;
use crate::base::system::{Entropy, random};
use crate::cli::failure::Failure;
use crate::cli::input::secret_file;
use crate::cli::store::{clock, entropy, origin};
use crate::cli::token::make::{new_seed, new_serial};
use crate::cli::user::password_hash;
use crate::factor::oath::Parameters;
use crate::factor::otpauth;
use crate::store::admin::{Admin, NewToken, UserFields};
use crate::store::{Place, Settings, open_admin};

/// The configuration.
pub(super) const CONFIG: &str = "radmfa.toml";
/// The secret shared with the client.
pub(super) const SECRET: &str = "client.secret";
/// The user's password.
pub(super) const PASSWORD: &str = "alice.password";
/// The user's token as an `otpauth://` URI.
pub(super) const TOKEN: &str = "alice.otpauth";
/// The store.
pub(super) const STORE: &str = "radmfa.db";
/// The user.
pub(super) const USER: &str = "alice";

/// What a quickstart's directory holds.
pub(super) struct Found {
    /// It was made just now.
    pub(super) made: bool,
    /// The user's password.
    pub(super) password: String,
    /// The user's token.
    pub(super) uri: String,
}

/// Uses the directory of an earlier quickstart, or makes one.
pub(super) fn find_or_make(
    dir: &Path,
    listen: Option<SocketAddr>,
    portal: SocketAddr,
) -> anyhow::Result<Found> {
    if dir.join(CONFIG).exists() {
        let read = |name: &str| -> anyhow::Result<String> {
            let text = secret_file(&dir.join(name))?;
            Ok(String::from_utf8_lossy(text.expose()).into_owned())
        };
        return Ok(Found { made: false, password: read(PASSWORD)?, uri: read(TOKEN)? });
    }
    let empty = match fs::read_dir(dir) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => true,
        Err(error) => {
            return Err(Failure::usage(format!("{} cannot be read: {error}", dir.display())).into());
        }
    };
    if !empty {
        let what = format!("{} is not empty, and no quickstart made it", dir.display());
        return Err(Failure::usage(what).hint("say another directory: --dir DIR").into());
    }
    make(dir, listen, portal).with_context(|| format!("{} cannot be made", dir.display()))
}

/// Makes everything in a directory beside `dir` and renames it, so that half a quickstart is never found.
fn make(dir: &Path, listen: Option<SocketAddr>, portal: SocketAddr) -> anyhow::Result<Found> {
    let mut random = entropy()?;
    let draft = draft_name(dir);
    if let Some(parent) = draft.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
    }
    // Never one that is there: it may be somebody's, or somebody else's who waits for what is written into it.
    DirBuilder::new().mode(0o700).create(&draft).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => Failure::usage(format!("{} is in the way", draft.display()))
            .hint("if a quickstart that was cut short left it, remove it")
            .into(),
        _ => anyhow::Error::from(error),
    })?;
    let password = readable(&mut random);
    let seed = new_seed(&mut random);
    let parameters = Parameters::default();
    let uri = otpauth::uri("radmfa quickstart", USER, &seed, &parameters, 0);
    let user = UserName::canonical(USER.as_bytes())?;
    let serial = new_serial(&mut random);
    write(&draft.join(SECRET), &readable(&mut random))?;
    write(&draft.join(PASSWORD), &password)?;
    write(&draft.join(TOKEN), &uri)?;
    write(&draft.join(CONFIG), &configuration(listen.unwrap_or(([127, 0, 0, 1], 1812).into()), portal))?;
    {
        let place = Place::Sqlite(draft.join(STORE));
        let settings = Settings { origin: origin(), ..Settings::new(place) };
        let mut admin: Box<dyn Admin> =
            open_admin(&settings, clock(), Box::new(random)).map_err(Failure::from)?;
        let hash = password_hash(&Secret::from(password.as_str()))?;
        let fields = UserFields { password_hash: Some(hash), ..UserFields::default() };
        admin.add_user(&user, &fields).map_err(Failure::from)?;
        let token = NewToken::new(serial, Some(user), seed, parameters);
        admin.add_token(&token).map_err(Failure::from)?;
    }
    // An empty directory gives way to the new one.
    fs::rename(&draft, dir)?;
    Ok(Found { made: true, password, uri })
}

fn draft_name(dir: &Path) -> PathBuf {
    let mut name = dir.components().as_path().as_os_str().to_owned();
    name.push(".new");
    PathBuf::from(name)
}

/// 100 random bits that can be read out and typed: four groups of five letters and digits.
fn readable(entropy: &mut dyn Entropy) -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let octets: [u8; 20] = random(entropy);
    let mut text = String::with_capacity(23);
    for (place, octet) in octets.iter().enumerate() {
        if place > 0 && place % 5 == 0 {
            text.push('-');
        }
        text.extend(LETTERS.get(usize::from(octet % 32)).map(|letter| char::from(*letter)));
    }
    text
}

/// Writes a new file for its owner alone.
fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")?;
    Ok(())
}

fn configuration(listen: SocketAddr, portal: SocketAddr) -> String {
    let port = portal.port();
    format!(
        r#"# radmfa, as `radmfa quickstart` made it. Change it as you go on; `radmfa check --config FILE` reads it over and
# tries what it names, `radmfa serve --config FILE` runs it, SIGHUP has a running server read it again.
# Paths are relative to this file. Every key is also a flag: `radmfa serve --help`.

# Names this server in what gateways keep during a login, and in records. Each server has its own name.
server-name = "quickstart"

# Where RADIUS requests come in. For gateways on the network: ["0.0.0.0:1812"] or ["[::]:1812"].
listen = ["{listen}"]

# Users, tokens and records. The key that seals token seeds lies beside it as radmfa.db.key: keep a copy of both.
store = "sqlite:{STORE}"

# The pages that people open, and where answers from phones come in. This machine alone reaches them so. For everybody: listen on
# "0.0.0.0:443" with tls-certificate and tls-key, or stay here behind a reverse proxy (proxies = "127.0.0.1"); public-url is what
# people type.
[portal]
listen = "{portal}"
public-url = "http://localhost:{port}"

# A gateway that may ask: this machine, for `radmfa login`.
[[client]]
name = "this-machine"
address = ["127.0.0.1", "::1"]
secret = "file:{SECRET}"

# A real one, such as a VPN concentrator. The profile knows the gateway's habits (cisco-asa, fortigate, palo-alto,
# ocserv, …); users without a token are refused unless unenrolled = "allow".
#[[client]]
#name = "vpn"
#address = "192.0.2.10"
#secret = "file:vpn.secret"
#profile = "generic"

# Who checks the password: hashes in the store (radmfa user add NAME --password).
[[primary]]
name = "local"
type = "local"

# Or the RADIUS server that you have: NPS in front of Active Directory, FreeRADIUS, … Put it in the place of the one
# above, or say primary = "nps" in a [[client]].
#[[primary]]
#name = "nps"
#type = "radius"
#server = ["192.0.2.20:1812", "192.0.2.21:1812"]
#secret = "file:nps.secret""#
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::system::Fixed;
    use crate::base::time::{Tick, UnixTime};

    #[test]
    fn passwords_are_long_and_have_no_letter_that_could_be_another() {
        let mut entropy = Fixed { mono: Tick(0), unix: UnixTime(0), seed: 3 };
        let password = readable(&mut entropy);
        assert_eq!(password.len(), 23);
        assert!(!password.contains(['l', 'o', '0', '1']), "{password}");
        assert_ne!(password, readable(&mut entropy));
    }

    #[test]
    fn the_draft_stands_beside_the_directory() {
        assert_eq!(draft_name(Path::new("./a/")), Path::new("./a.new"));
        assert_eq!(draft_name(Path::new("/x/a")), Path::new("/x/a.new"));
    }
}
