//! Entries in a Redis or Valkey.
