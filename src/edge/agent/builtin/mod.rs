//! Actions that are built in: checkout, upload-artifact, download-artifact, cache. Composite actions live in `composite`.

mod cache;
mod checkout;
mod download;
mod files;
mod inputs;
mod run;
mod upload;

pub use cache::Caches;
pub use run::Post;
