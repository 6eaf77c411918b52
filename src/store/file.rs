//! Entries as files of one directory.
