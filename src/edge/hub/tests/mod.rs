//! A hub through its own protocol: real connections, words written by hand.

mod access;
mod breaks;
mod clouds;
mod collecting;
mod newer;
mod raw;
mod store;
mod strangers;
