//! How long a text message is: GSM-7 where every character is in its alphabet, else UCS-2, and in how many parts.
//!
//! 3GPP TS 23.038 §6.2.1 (alphabet), TS 23.040 §9.2.3.24.1 (parts): 160 septets or 70 units alone; 153 or 67 a part, since
//! each part carries a header of 6 octets.

/// The default alphabet; the place of a character is its septet. Place 0x1B is the escape.
const ALPHABET: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\u{1b}ÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";

/// The extension table: each takes the escape and this septet.
const EXTENSION: &[(char, u8)] = &[
    ('\u{c}', 0x0A),
    ('^', 0x14),
    ('{', 0x28),
    ('}', 0x29),
    ('\\', 0x2F),
    ('[', 0x3C),
    ('~', 0x3D),
    (']', 0x3E),
    ('|', 0x40),
    ('€', 0x65),
];

/// How a text is written on the air.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alphabet {
    /// Septets of the default alphabet.
    Gsm7,
    /// UTF-16 units, big-endian.
    Ucs2,
}

/// A text measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measure {
    /// Which alphabet it takes.
    pub alphabet: Alphabet,
    /// Its length in septets or UTF-16 units.
    pub units: usize,
    /// How many messages it is sent and paid as.
    pub parts: usize,
    /// The first character that GSM-7 has not.
    pub because: Option<char>,
}

/// The septets of `character`: one, or the escape and one.
pub fn septets(character: char) -> Option<(bool, u8)> {
    let place = ALPHABET.chars().position(|known| known == character && known != '\u{1b}');
    if let Some(place) = place.and_then(|place| u8::try_from(place).ok()) {
        return Some((false, place));
    }
    EXTENSION.iter().find(|(known, _)| *known == character).map(|(_, septet)| (true, *septet))
}

/// How long `text` is.
pub fn measure(text: &str) -> Measure {
    let because = text.chars().find(|character| septets(*character).is_none());
    let (alphabet, alone, part) =
        if because.is_none() { (Alphabet::Gsm7, 160, 153) } else { (Alphabet::Ucs2, 70, 67) };
    let widths: Vec<usize> = text
        .chars()
        .map(|character| match alphabet {
            Alphabet::Gsm7 => septets(character).map_or(1, |(escaped, _)| if escaped { 2 } else { 1 }),
            Alphabet::Ucs2 => character.len_utf16(),
        })
        .collect();
    let units: usize = widths.iter().sum();
    if units <= alone {
        return Measure { alphabet, units, parts: 1, because };
    }
    // A character is not cut in two, so a part may stay one unit short.
    let (mut parts, mut filled) = (1, 0);
    for width in widths {
        if filled + width > part {
            parts += 1;
            filled = 0;
        }
        filled += width;
    }
    Measure { alphabet, units, parts, because }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alphabet_has_its_128_places() {
        assert_eq!(ALPHABET.chars().count(), 128);
        // Spot checks from TS 23.038's table.
        for (character, septet) in
            [('@', 0), ('\n', 10), ('Å', 14), ('É', 31), (' ', 32), ('0', 48), ('¡', 64)]
        {
            assert_eq!(septets(character), Some((false, septet)), "{character}");
        }
        for (character, septet) in
            [('A', 65), ('Ä', 91), ('§', 95), ('¿', 96), ('a', 97), ('z', 122), ('à', 127)]
        {
            assert_eq!(septets(character), Some((false, septet)), "{character}");
        }
        assert_eq!(septets('€'), Some((true, 0x65)));
        assert_eq!(septets('ő'), None);
        assert_eq!(septets('`'), None);
        assert_eq!(septets('\u{1b}'), None);
    }

    #[test]
    fn a_text_is_as_long_as_its_alphabet_makes_it() {
        let of = |text: &str| {
            let measured = measure(text);
            (measured.alphabet, measured.units, measured.parts)
        };
        assert_eq!(of(&"a".repeat(160)), (Alphabet::Gsm7, 160, 1));
        assert_eq!(of(&"a".repeat(161)), (Alphabet::Gsm7, 161, 2));
        assert_eq!(of(&"a".repeat(306)), (Alphabet::Gsm7, 306, 2));
        assert_eq!(of(&"a".repeat(307)), (Alphabet::Gsm7, 307, 3));
        assert_eq!(of(&"€".repeat(80)), (Alphabet::Gsm7, 160, 1));
        // 76 signs of two septets fill 152 of a part's 153.
        assert_eq!(of(&"€".repeat(153)), (Alphabet::Gsm7, 306, 3));
        assert_eq!(of(&"ő".repeat(70)), (Alphabet::Ucs2, 70, 1));
        assert_eq!(of(&"ő".repeat(71)), (Alphabet::Ucs2, 71, 2));
        assert_eq!(of("🙂"), (Alphabet::Ucs2, 2, 1));
        assert_eq!(measure("a kód: ő").because, Some('ó'));
        assert_eq!(of(""), (Alphabet::Gsm7, 0, 1));
    }
}
