//! Version 1 of the stored and sent forms, with golden files of every release.
