//! FreeRADIUS-format dictionaries.
