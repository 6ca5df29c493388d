//! The dictionaries that the program carries, so that it runs with nothing beside it.

/// The file that includes all others.
pub(super) const ROOT: &str = "dictionary";

/// Name, path within the sources (which faults and `radmfa dictionary` cite), text.
type File = (&'static str, &'static str, &'static str);

macro_rules! files {
    ($($name:literal),+ $(,)?) => {
        &[$((
            $name,
            concat!("dictionaries/", $name),
            include_str!(concat!("../../dictionaries/", $name)),
        )),+]
    };
}

pub(super) const FILES: &[File] = files![
    "dictionary",
    "dictionary.rfc2865",
    "dictionary.rfc2866",
    "dictionary.rfc2867",
    "dictionary.rfc2868",
    "dictionary.rfc2869",
    "dictionary.rfc3162",
    "dictionary.rfc3576",
    "dictionary.rfc3580",
    "dictionary.rfc4072",
    "dictionary.rfc4372",
    "dictionary.rfc4675",
    "dictionary.rfc4818",
    "dictionary.rfc4849",
    "dictionary.rfc5176",
    "dictionary.rfc5580",
    "dictionary.rfc5607",
    "dictionary.rfc5904",
    "dictionary.rfc6519",
    "dictionary.rfc6572",
    "dictionary.rfc6911",
    "dictionary.rfc6929",
    "dictionary.rfc7055",
    "dictionary.rfc7155",
    "dictionary.rfc7268",
    "dictionary.rfc8045",
    "dictionary.iana",
    "dictionary.aruba",
    "dictionary.barracuda",
    "dictionary.checkpoint",
    "dictionary.cisco",
    "dictionary.cisco.asa",
    "dictionary.cisco.vpn3000",
    "dictionary.citrix",
    "dictionary.f5",
    "dictionary.fortinet",
    "dictionary.hp",
    "dictionary.juniper",
    "dictionary.microsoft",
    "dictionary.mikrotik",
    "dictionary.paloalto",
    "dictionary.pfsense",
    "dictionary.ruckus",
    "dictionary.sonicwall",
    "dictionary.sophos",
    "dictionary.ubiquiti",
    "dictionary.watchguard",
    "dictionary.wispr",
    "dictionary.zyxel",
];

/// The path and text of a file by its name.
pub(super) fn find(name: &str) -> Option<(&'static str, &'static str)> {
    FILES.iter().find(|(known, ..)| *known == name).map(|(_, path, text)| (*path, *text))
}

/// All names that can be included.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    FILES.iter().map(|(name, ..)| *name)
}
