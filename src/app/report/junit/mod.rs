//! A run as JUnit XML: a suite for each job, a case for each instance.

mod xml;

pub use xml::document;
