//! Users as a file describes them: comma-separated values, of the Azure MFA Server's export or our own, row by row.
//!
//! Columns are found by their names ([`Table`]); `user` has to be there. Columns that nobody knows are left out and can be
//! asked for, since exports have many. A cell that is empty says nothing. No row is trusted: a bad one is one [`Fault`].

use std::io::{BufRead, Read};

use csv::ByteRecord;

use super::admin::{UserFields, UserRow};
use crate::base::name::UserName;
use crate::base::table::{Column, Fault, Layout, Refused, Table};
use crate::base::text::is_unprintable;

/// The longest cell taken, in octets.
const CELL_MAX: usize = 256;
/// The most digits of a telephone number with its country's (ITU-T E.164).
const DIGITS_MAX: usize = 15;
/// The longest extension, in characters.
const EXTENSION_MAX: usize = 20;

const USER: usize = 0;
const DISPLAY: usize = 1;
const FIRST: usize = 2;
const LAST: usize = 3;
const MAIL: usize = 4;
const COUNTRY: usize = 5;
const PHONE: usize = 6;
const EXTENSION: usize = 7;
const LANGUAGE: usize = 8;
const METHOD: usize = 9;
const ENABLED: usize = 10;

const COLUMNS: &[Column] = &[
    Column { name: "user", words: &["user", "username", "login", "upn", "userprincipalname", "name"] },
    Column { name: "display-name", words: &["displayname", "fullname"] },
    Column { name: "first-name", words: &["firstname", "givenname"] },
    Column { name: "last-name", words: &["lastname", "surname", "familyname"] },
    Column { name: "mail", words: &["mail", "email", "emailaddress"] },
    Column { name: "country-code", words: &["countrycode", "phonecountrycode", "country"] },
    Column {
        name: "phone",
        words: &["phone", "phonenumber", "mobile", "mobilephone", "telephone", "telephonenumber"],
    },
    Column { name: "extension", words: &["extension", "phoneextension", "ext"] },
    Column { name: "language", words: &["language", "preferredlanguage", "lang"] },
    Column {
        name: "method",
        words: &["method", "defaultmethod", "mode", "authenticationmethod", "mfamethod"],
    },
    Column { name: "enabled", words: &["enabled", "active"] },
];

/// Languages as people name them, and their tags (BCP 47).
const LANGUAGES: &[(&str, &str)] = &[
    ("english", "en"),
    ("german", "de"),
    ("deutsch", "de"),
    ("french", "fr"),
    ("spanish", "es"),
    ("italian", "it"),
    ("dutch", "nl"),
    ("portuguese", "pt"),
    ("portuguese (brazil)", "pt-BR"),
    ("polish", "pl"),
    ("swedish", "sv"),
    ("danish", "da"),
    ("norwegian", "nb"),
    ("finnish", "fi"),
    ("russian", "ru"),
    ("japanese", "ja"),
    ("korean", "ko"),
    ("chinese (simplified)", "zh-Hans"),
    ("chinese (traditional)", "zh-Hant"),
    ("hungarian", "hu"),
    ("magyar", "hu"),
    ("czech", "cs"),
    ("slovak", "sk"),
    ("slovenian", "sl"),
    ("croatian", "hr"),
    ("romanian", "ro"),
    ("bulgarian", "bg"),
    ("greek", "el"),
    ("turkish", "tr"),
    ("ukrainian", "uk"),
    ("estonian", "et"),
    ("latvian", "lv"),
    ("lithuanian", "lt"),
    ("catalan", "ca"),
    ("hebrew", "he"),
    ("arabic", "ar"),
    ("hindi", "hi"),
    ("thai", "th"),
    ("vietnamese", "vi"),
    ("indonesian", "id"),
];

/// The methods, and what files call them: letters and digits alone, in lower case.
const METHODS: &[(&str, &[&str])] = &[
    ("totp", &["totp", "oath", "oathtoken", "token", "code", "softwaretoken", "hardwaretoken"]),
    ("push", &["push", "app", "mobileapp", "phoneapp", "phoneappnotification", "notification"]),
    ("sms", &["sms", "text", "textmessage", "onewaysms", "twowaysms"]),
    ("call", &["call", "phone", "phonecall", "voice", "voicecall", "twowayvoicemobile", "standard"]),
    ("mail", &["mail", "email"]),
];

/// Reads a file of users row by row.
#[derive(Debug)]
pub struct UserCsv<R: Read>(Table<R>);

impl<R: BufRead> UserCsv<R> {
    /// Reads the first line, which says what the columns are. A fault here concerns the whole file.
    pub fn new(file: R) -> Result<UserCsv<R>, Fault> {
        let layout = Layout { columns: COLUMNS, needed: &[USER], strict: false, unnamed: &|_| None };
        Table::new(file, layout).map(UserCsv)
    }
}

impl<R: Read> UserCsv<R> {
    /// The cells of the row that the last answer was about.
    pub fn record(&self) -> &ByteRecord {
        self.0.record()
    }

    /// Whether no more rows can be read; where the last answer was a fault, whatever came after it is unread.
    pub fn has_ended(&self) -> bool {
        self.0.has_ended()
    }

    /// Columns of the file that are left out.
    pub fn ignored(&self) -> &[String] {
        self.0.ignored()
    }

    /// A table for rows that are refused, which can be read again.
    pub fn refused(&self) -> Refused {
        Refused::new(Some(self.0.first()), self.0.width())
    }

    fn row(&self) -> Result<UserRow, Fault> {
        self.0.check_width()?;
        let name = UserName::canonical(self.0.cell(USER)).map_err(|fault| self.0.fault(USER, fault))?;
        let fields = UserFields {
            display_name: self.words(DISPLAY)?,
            first_name: self.words(FIRST)?,
            last_name: self.words(LAST)?,
            mail: self.mail()?,
            phone: None,
            extension: None,
            language: self.said(LANGUAGE, language)?,
            method: self.said(METHOD, method)?,
            ..UserFields::default()
        };
        let (phone, extension) = self.phone()?;
        let fields = UserFields { phone, extension, ..fields };
        Ok(UserRow { name, fields, enabled: self.enabled()? })
    }

    fn words(&self, column: usize) -> Result<Option<String>, Fault> {
        let text = self.0.text(column)?;
        if text.len() > CELL_MAX || text.chars().any(is_unprintable) {
            return Err(self.0.fault(column, format!("takes up to {CELL_MAX} printable characters")));
        }
        Ok(Some(text.to_owned()).filter(|text| !text.is_empty()))
    }

    fn mail(&self) -> Result<Option<String>, Fault> {
        let Some(mail) = self.words(MAIL)? else { return Ok(None) };
        let parts = mail.rsplit_once('@').filter(|(local, domain)| !local.is_empty() && !domain.is_empty());
        if parts.is_none() || mail.contains(char::is_whitespace) {
            return Err(self.0.fault(MAIL, "is no e-mail address"));
        }
        Ok(Some(mail))
    }

    /// The number with its country's code in front where one is known, and the extension.
    fn phone(&self) -> Result<(Option<String>, Option<String>), Fault> {
        let written = self.0.text(PHONE)?.to_ascii_lowercase();
        let (number, inline) = match written.find(['x', 'e', ';', '#']) {
            Some(at) => written.split_at_checked(at).unwrap_or((&written, "")),
            None => (&*written, ""),
        };
        let inline = inline.trim_start_matches(|c: char| !c.is_ascii_digit() && !matches!(c, '*' | ','));
        let plain: String =
            number.chars().filter(|c| !matches!(c, ' ' | '\t' | '-' | '.' | '/' | '(' | ')')).collect();
        let country = self.0.text(COUNTRY)?.trim_start_matches(['+', '0']);
        if !country.bytes().all(|digit| digit.is_ascii_digit()) || country.len() > 4 {
            return Err(self.0.fault(COUNTRY, "takes a country's code such as 49"));
        }
        let number = match (plain.strip_prefix('+').or(plain.strip_prefix("00")), country) {
            (Some(whole), _) => format!("+{whole}"),
            (None, "") => plain.clone(),
            // The zero that stands for a country's own network is not dialled from abroad, but in Italy.
            (None, "39") => format!("+39{plain}"),
            (None, country) => format!("+{country}{}", plain.strip_prefix('0').unwrap_or(&plain)),
        };
        let digits = number.strip_prefix('+').unwrap_or(&number);
        let fits =
            (3..=DIGITS_MAX).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_digit());
        if !plain.is_empty() && !fits {
            return Err(self.0.fault(PHONE, "is no telephone number such as +49 30 1234567"));
        }
        let extension = match self.0.text(EXTENSION)? {
            "" => inline,
            said if inline.is_empty() || said == inline => said,
            _ => return Err(self.0.fault(EXTENSION, "differs from the one beside the phone number")),
        };
        check_extension(extension).map_err(|what| self.0.fault(EXTENSION, what))?;
        if plain.is_empty() {
            return match extension {
                "" => Ok((None, None)),
                _ => Err(self.0.fault(EXTENSION, "has no phone number beside it")),
            };
        }
        Ok((Some(number), Some(extension.to_owned()).filter(|extension| !extension.is_empty())))
    }

    /// What a cell says, by one of the readers below; nothing where it is empty.
    fn said(&self, column: usize, read: fn(&str) -> Result<String, String>) -> Result<Option<String>, Fault> {
        match self.0.text(column)? {
            "" => Ok(None),
            text => read(text).map(Some).map_err(|what| self.0.fault(column, what)),
        }
    }

    fn enabled(&self) -> Result<Option<bool>, Fault> {
        match self.0.text(ENABLED)?.to_ascii_lowercase().as_str() {
            "" => Ok(None),
            "yes" | "true" | "1" | "enabled" | "active" => Ok(Some(true)),
            "no" | "false" | "0" | "disabled" | "inactive" => Ok(Some(false)),
            _ => Err(self.0.fault(ENABLED, "takes yes or no")),
        }
    }
}

/// A language's tag (BCP 47), or a common language's English name: its tag.
pub fn language(written: &str) -> Result<String, String> {
    let named = LANGUAGES.iter().find(|(name, _)| name.eq_ignore_ascii_case(written)).map(|(_, tag)| *tag);
    let tag = named.unwrap_or(written).replace('_', "-");
    let mut parts = tag.split('-');
    let first = parts.next().is_some_and(|part| {
        (2..=3).contains(&part.len()) && part.bytes().all(|letter| letter.is_ascii_alphabetic())
    });
    let rest = parts.all(|part| {
        (1..=8).contains(&part.len()) && part.bytes().all(|letter| letter.is_ascii_alphanumeric())
    });
    if first && rest && tag.len() <= 35 {
        Ok(tag)
    } else {
        Err("takes a language's tag such as de or pt-BR".into())
    }
}

/// A method, by its name or one of the MFA Server's.
pub fn method(written: &str) -> Result<String, String> {
    let plain: String = written.chars().filter(char::is_ascii_alphanumeric).collect();
    let plain = plain.to_ascii_lowercase();
    if let Some((name, _)) = METHODS.iter().find(|(_, words)| words.contains(&plain.as_str())) {
        return Ok((*name).to_owned());
    }
    let names: Vec<&str> = METHODS.iter().map(|(name, _)| *name).collect();
    Err(format!("takes {}", names.join(", ")))
}

/// Whether a telephone could dial `extension`.
pub fn check_extension(extension: &str) -> Result<(), String> {
    let keys = |c: char| c.is_ascii_digit() || matches!(c, '*' | '#' | ',' | 'w' | 'p');
    if extension.len() <= EXTENSION_MAX && extension.chars().all(keys) {
        return Ok(());
    }
    Err(format!("takes up to {EXTENSION_MAX} digits, * # and commas"))
}

impl<R: Read> Iterator for UserCsv<R> {
    type Item = Result<(u64, UserRow), Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.0.advance()?.and_then(|line| Ok((line, self.row()?))))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rows(text: &str) -> Vec<Result<UserRow, String>> {
        let rows = UserCsv::new(text.as_bytes()).unwrap();
        rows.map(|row| row.map(|(_, row)| row).map_err(|fault| fault.to_string())).collect()
    }

    fn one(text: &str) -> UserRow {
        let [row] = <[_; 1]>::try_from(rows(text)).unwrap();
        row.unwrap()
    }

    #[test]
    fn languages_go_by_their_tags_and_by_their_names() {
        for (written, tag) in [("Hungarian", "hu"), ("magyar", "hu"), ("GERMAN", "de"), ("pt-BR", "pt-BR")] {
            assert_eq!(language(written).as_deref(), Ok(tag));
        }
        assert!(language("klingon, mostly").is_err());
    }

    #[test]
    fn an_export_of_the_mfa_server_is_understood() {
        let mut file = UserCsv::new(
            &b"\xef\xbb\xbfUser Name;First Name;Last Name;E-mail;Country Code;Phone;Extension;PIN;Mode;Language;Enabled\r\n\
              CORP\\Anna;Anna;M\xc3\xbcller;anna@example.com;49;(0)30 / 123-45;77;;Phone Call;German;true\r\n"[..],
        )
        .unwrap();
        assert_eq!(file.ignored(), ["PIN"]);
        let (line, row) = file.next().unwrap().unwrap();
        assert_eq!((line, row.name.as_str(), row.enabled), (2, "corp\\anna", Some(true)));
        let fields = row.fields;
        assert_eq!(
            (fields.first_name.as_deref(), fields.last_name.as_deref()),
            (Some("Anna"), Some("Müller"))
        );
        assert_eq!((fields.phone.as_deref(), fields.extension.as_deref()), (Some("+493012345"), Some("77")));
        assert_eq!((fields.method.as_deref(), fields.language.as_deref()), (Some("call"), Some("de")));
        assert_eq!(fields.mail.as_deref(), Some("anna@example.com"));
    }

    #[test]
    fn phone_numbers_of_every_hand_become_one_form() {
        for (country, phone, expected) in [
            ("", "+49 (30) 123-45", "+493012345"),
            ("", "0049 30 12345", "+493012345"),
            ("1", "425.555.0100", "+14255550100"),
            ("+1", "+1 425 555 0100", "+14255550100"),
            ("39", "06 1234567", "+39061234567"),
            ("44", "07700 900123", "+447700900123"),
            ("", "030 12345", "03012345"),
        ] {
            let row = one(&format!("user,country code,phone\na,{country},{phone}\n"));
            assert_eq!(row.fields.phone.as_deref(), Some(expected), "{country} {phone}");
        }
        for (phone, extension) in
            [("+1 425 555 0100 x77", "77"), ("+14255550100 ext. 12", "12"), ("+14255550100;ext=9", "9")]
        {
            let row = one(&format!("user,phone\na,{phone}\n"));
            assert_eq!(row.fields.extension.as_deref(), Some(extension), "{phone}");
            assert_eq!(row.fields.phone.as_deref(), Some("+14255550100"), "{phone}");
        }
    }

    #[test]
    fn what_is_not_said_stays_unsaid() {
        let row = one("login\nalice\n");
        assert_eq!((row.fields, row.enabled), (UserFields::default(), None));
    }

    #[test]
    fn each_bad_row_is_named_by_line_and_column() {
        let text = "user,mail,country code,phone,extension,language,method,enabled\n\
                    ,,,,,,,\n\
                    a,nobody,,,,,,\n\
                    b,,x,1,,,,\n\
                    c,,,12345678901234567,,,,\n\
                    d,,,call me,,,,\n\
                    e,,,,77,,,\n\
                    f,,,12345 x1,2,,,\n\
                    g,,,,,the german one,,\n\
                    h,,,,,,pigeon,\n\
                    i,,,,,,,maybe\n\
                    j,,,,,,,yes,more\n\
                    k,,,,,,,no\n";
        let rows = rows(text);
        let faults: Vec<&str> =
            rows.iter().filter_map(|row| row.as_ref().err()).map(String::as_str).collect();
        assert_eq!(
            faults,
            [
                "line 2: user: the user name is empty",
                "line 3: mail: is no e-mail address",
                "line 4: country-code: takes a country's code such as 49",
                "line 5: phone: is no telephone number such as +49 30 1234567",
                "line 6: phone: is no telephone number such as +49 30 1234567",
                "line 7: extension: has no phone number beside it",
                "line 8: extension: differs from the one beside the phone number",
                "line 9: language: takes a language's tag such as de or pt-BR",
                "line 10: method: takes totp, push, sms, call, mail",
                "line 11: enabled: takes yes or no",
                "line 12: has 9 cells where the first line names 8",
            ]
        );
        assert_eq!(rows.last().unwrap().as_ref().unwrap().enabled, Some(false));
        assert!(
            UserCsv::new(&b"phone\n1\n"[..])
                .unwrap_err()
                .to_string()
                .contains("user: the first line does not name")
        );
    }

    proptest! {
        #[test]
        fn no_octets_panic(octets in proptest::collection::vec(any::<u8>(), 0..200)) {
            let text = [b"user,country,phone,ext,lang,mode,enabled\n", &*octets].concat();
            let _rows = UserCsv::new(&*text).map(Iterator::count);
        }
    }
}
