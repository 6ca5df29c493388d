//! The shell: sockets, clients, duplicates, the driver of logins.

pub mod profile;
pub mod settings;
