//! A hub through its own protocol: real connections, words written by hand.

mod access;
mod azure;
mod breaks;
mod raw;
mod store;
mod strangers;
