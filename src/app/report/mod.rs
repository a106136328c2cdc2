//! Events give text for people and machines. Strings only.
