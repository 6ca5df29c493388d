//! A code, or the word for a method, typed behind the password in one field: for gateways that cannot ask.

use crate::base::secret::Secret;

/// Where a password ends and a code begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Append {
    /// Nowhere: it is all password.
    #[default]
    Never,
    /// At the last of this character: `password,123456` or `password,sms`. Without one it is all password.
    Behind(char),
    /// So many digits at the end, 4 to 16. Whatever is not longer, or ends in anything but so many digits, is all password: a
    /// word for a method needs a mark before it.
    Last(u8),
}

impl Append {
    /// The password, and what was typed behind it. Only the password goes to the primary.
    #[must_use]
    pub fn split(self, typed: Secret) -> (Secret, Option<Secret>) {
        let octets = typed.expose();
        let (end, begin) = match self {
            Append::Never => return (typed, None),
            Append::Behind(mark) => {
                let mut buffer = [0; 4];
                let mark = mark.encode_utf8(&mut buffer).as_bytes();
                let Some(place) = octets.windows(mark.len()).rposition(|window| window == mark) else {
                    return (typed, None);
                };
                (place, place + mark.len())
            }
            Append::Last(count) => {
                let place = octets.len().checked_sub(count.into()).filter(|place| *place > 0);
                let digits = |place: &usize| {
                    octets.get(*place..).is_some_and(|behind| behind.iter().all(u8::is_ascii_digit))
                };
                let Some(place) = place.filter(digits) else { return (typed, None) };
                (place, place)
            }
        };
        let part = |range: &[u8]| Secret::new(range);
        let password = octets.get(..end).map_or_else(|| typed.clone(), part);
        let behind = octets.get(begin..).filter(|rest| !rest.is_empty()).map(part);
        (password, behind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(append: Append, typed: &str) -> (String, Option<String>) {
        let text = |secret: &Secret| String::from_utf8(secret.expose().to_vec()).unwrap();
        let (password, behind) = append.split(Secret::from(typed));
        (text(&password), behind.as_ref().map(text))
    }

    fn parts(password: &str, behind: Option<&str>) -> (String, Option<String>) {
        (password.to_owned(), behind.map(str::to_owned))
    }

    #[test]
    fn a_mark_divides_at_its_last_place() {
        let append = Append::Behind(',');
        assert_eq!(split(append, "a,b,123456"), parts("a,b", Some("123456")));
        assert_eq!(split(append, "pin,sms"), parts("pin", Some("sms")));
        assert_eq!(split(append, "pin,"), parts("pin", None));
        assert_eq!(split(append, "pin"), parts("pin", None));
        assert_eq!(split(append, ",123456"), parts("", Some("123456")));
        assert_eq!(split(Append::Behind('§'), "pä§1"), parts("pä", Some("1")));
    }

    #[test]
    fn a_length_divides_so_many_digits_from_the_end() {
        assert_eq!(split(Append::Last(6), "pin123456"), parts("pin", Some("123456")));
        assert_eq!(split(Append::Last(6), "123456"), parts("123456", None));
        assert_eq!(split(Append::Last(6), "pin"), parts("pin", None));
        // Words, letters among digits, digits of other scripts, and a code that is too short are password.
        for typed in ["correct-horse", "pinsms", "pin12345", "pin12345a", "pin1234 56", "pin\u{ff11}\u{ff12}"]
        {
            assert_eq!(split(Append::Last(6), typed), parts(typed, None));
        }
        assert_eq!(split(Append::Last(6), "p123456789"), parts("p123", Some("456789")));
        assert_eq!(split(Append::Never, "pin,123456"), parts("pin,123456", None));
    }
}
