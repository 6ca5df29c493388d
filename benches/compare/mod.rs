//! The parts of the comparison.

pub mod bench;
pub mod logins;
pub mod many;
pub mod memory;
pub mod meter;
pub mod relay;
pub mod subject;
pub mod table;
