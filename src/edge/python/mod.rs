//! The Python environments of jobs: built once, outside the work folder.
