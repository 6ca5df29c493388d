//! The shell: sockets, clients, duplicates, the driver of logins.

pub mod affinity;
pub mod clients;
pub mod duplicates;
pub mod node;
pub mod profile;
pub mod settings;
mod slot;
