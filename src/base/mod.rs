//! Vocabulary without IO.
