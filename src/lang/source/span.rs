//! Places in text: files, byte ranges, and values that know their range.
//!
//! Not here: how a place is shown to a person (`source::render`).

use std::sync::Arc;

/// Names one text of a [`Sources`] collection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(pub u32);

/// A byte range `start..end` of one file; both ends lie on character borders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// The file the range lies in.
    pub file: FileId,
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

/// A value and where it was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Spanned<T> {
    /// What was written.
    pub value: T,
    /// Where.
    pub span: Span,
}

impl<T> Spanned<T> {
    /// Joins a value with its place.
    pub fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }

    /// Keeps the place and changes the value.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Spanned<U> {
        Spanned { value: f(self.value), span: self.span }
    }
}

/// One text with the name people know it by.
#[derive(Clone, Debug)]
pub struct Source {
    /// Path as shown to people, relative to the project's root where possible.
    pub path: Arc<str>,
    /// The whole text.
    pub text: Arc<str>,
}

/// All texts of one command, so that a [`Span`] needs no reference to its text.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    files: Vec<Source>,
}

impl Sources {
    /// Adds a text and returns its name.
    pub fn add(&mut self, path: impl Into<Arc<str>>, text: impl Into<Arc<str>>) -> FileId {
        let id = u32::try_from(self.files.len()).unwrap_or(u32::MAX);
        self.files.push(Source { path: path.into(), text: text.into() });
        FileId(id)
    }

    /// Returns a text; `None` for a name of another collection.
    pub fn get(&self, file: FileId) -> Option<&Source> {
        self.files.get(file.0 as usize)
    }

    /// Returns the text under a span, empty if the span is not of this collection.
    pub fn text(&self, span: Span) -> &str {
        self.get(span.file)
            .and_then(|s| s.text.get(span.start as usize..span.end as usize))
            .unwrap_or_default()
    }

    /// Returns line and column of a byte, both from 1, the column in characters.
    pub fn line_column(&self, file: FileId, byte: u32) -> (usize, usize) {
        let Some(before) = self.get(file).and_then(|s| s.text.get(..byte as usize)) else {
            return (1, 1);
        };
        let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |l| l.chars().count()) + 1;
        (line, column)
    }

    /// Returns all files in the order they were added.
    pub fn iter(&self) -> impl Iterator<Item = (FileId, &Source)> {
        self.files.iter().enumerate().map(|(i, s)| (FileId(u32::try_from(i).unwrap_or(u32::MAX)), s))
    }
}
