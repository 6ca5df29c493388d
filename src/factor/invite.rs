//! The secret of an invitation's link: whoever opens it may set up a second factor for one user.
//!
//! It names its user, so that nothing has to be searched for it, and holds 128 random bits. The store keeps their hash alone.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use zeroize::{Zeroize, Zeroizing};

use crate::base::name::UserName;
use crate::base::secret::same;
use crate::base::system::{Entropy, random};

/// Random octets.
const RANDOM: usize = 16;

/// The secret of one invitation. Prints nothing of itself but by [`Invitation::path`].
pub struct Invitation {
    secret: Zeroizing<[u8; RANDOM]>,
    user: UserName,
}

impl Invitation {
    /// A new one for `user`.
    pub fn generate(user: UserName, entropy: &mut (impl Entropy + ?Sized)) -> Invitation {
        Invitation { secret: Zeroizing::new(random(entropy)), user }
    }

    /// Whom it is for.
    #[must_use]
    pub fn user(&self) -> &UserName {
        &self.user
    }

    /// The last part of its link: letters, digits, hyphens and underscores.
    #[must_use]
    pub fn path(&self) -> Zeroizing<String> {
        let mut octets = self.secret.to_vec();
        octets.extend_from_slice(self.user.as_str().as_bytes());
        let path = Zeroizing::new(URL_SAFE_NO_PAD.encode(&octets));
        octets.zeroize();
        path
    }

    /// Back from [`Invitation::path`]; `None` for what is none.
    #[must_use]
    pub fn parse(path: &str) -> Option<Invitation> {
        let octets = Zeroizing::new(URL_SAFE_NO_PAD.decode(path).ok()?);
        let (secret, name) = octets.split_first_chunk::<RANDOM>()?;
        let user = UserName::canonical(name).ok().filter(|user| user.as_str().as_bytes() == name)?;
        Some(Invitation { secret: Zeroizing::new(*secret), user })
    }

    /// What is kept of it.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        let hash = Sha256::new().chain_update(b"radmfa invitation\0").chain_update(*self.secret);
        hash.chain_update(self.user.as_str().as_bytes()).finalize().into()
    }

    /// Whether `hash` was made of it. Takes the same time wherever they differ.
    #[must_use]
    pub fn is(&self, hash: &[u8; 32]) -> bool {
        same(&self.hash(), hash)
    }
}

impl std::fmt::Debug for Invitation {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Invitation").field("user", &self.user).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::system::Fixed;
    use crate::base::time::{Tick, UnixTime};

    fn of(name: &str, seed: u64) -> Invitation {
        let user = UserName::canonical(name.as_bytes()).unwrap();
        Invitation::generate(user, &mut Fixed { mono: Tick(0), unix: UnixTime(0), seed })
    }

    #[test]
    fn a_path_reads_back_and_no_other_opens_the_same_hash() {
        for name in ["u1", "alice@example.com", "zoë", &"n".repeat(253)] {
            let invitation = of(name, 1);
            let path = invitation.path();
            assert!(path.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-_".contains(&octet)));
            let back = Invitation::parse(&path).unwrap();
            assert_eq!(back.user(), invitation.user());
            assert!(back.is(&invitation.hash()));
            assert!(!of(name, 2).is(&invitation.hash()));
        }
        assert!(!of("u1", 1).is(&of("u2", 1).hash()));
        assert!(!format!("{:?}", of("u1", 1)).contains(&**of("u1", 1).path()));
    }

    #[test]
    fn what_is_no_path_is_none() {
        let path = of("u1", 1).path();
        let upper = {
            let mut octets = [7; 16].to_vec();
            octets.extend(b"U1");
            URL_SAFE_NO_PAD.encode(octets)
        };
        for text in
            ["", "x", &path[..20], &format!("{}=", *path), &format!("{}/", *path), &upper, &"A".repeat(22)]
        {
            assert!(Invitation::parse(text).is_none(), "{text}");
        }
    }
}
