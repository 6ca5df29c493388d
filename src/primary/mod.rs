//! The first factor: who checks the password.

pub mod settings;
