//! An answer that may be there already.

use std::fmt;
use std::pin::Pin;

/// An answer now, or a future of it. The cached path stays free of allocations and wake-ups this way.
pub enum Pending<T> {
    /// Here it is.
    Ready(T),
    /// To be awaited.
    Later(Pin<Box<dyn Future<Output = T> + Send>>),
}

impl<T> Pending<T> {
    /// The answer, awaited if need be.
    pub async fn get(self) -> T {
        match self {
            Pending::Ready(answer) => answer,
            Pending::Later(future) => future.await,
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Pending<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pending::Ready(answer) => answer.fmt(formatter),
            Pending::Later(_) => formatter.write_str("Later"),
        }
    }
}
