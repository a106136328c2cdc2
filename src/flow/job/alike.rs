//! Values of which many are the same, kept once: instances of a matrix differ in little, and so does what became of them.

use std::collections::VecDeque;
use std::sync::Arc;

/// So many are looked through: a matrix that varies a value has few of it in turn.
const REMEMBERED: usize = 8;

/// The values that came last, each another one.
#[derive(Clone, Debug, PartialEq)]
pub struct Alike<T>(VecDeque<Arc<T>>);

impl<T> Default for Alike<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T: PartialEq> Alike<T> {
    /// Returns the value, as one from before where there was the same.
    pub fn shared(&mut self, value: T) -> Arc<T> {
        if let Some(known) = self.0.iter().find(|known| ***known == value) {
            return known.clone();
        }
        let made = Arc::new(value);
        self.0.truncate(REMEMBERED - 1);
        self.0.push_front(made.clone());
        made
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_value_is_kept_once() {
        let mut all = Alike::default();
        let (first, second) = (all.shared("a".to_owned()), all.shared("b".to_owned()));
        assert!(Arc::ptr_eq(&all.shared("a".to_owned()), &first));
        assert!(Arc::ptr_eq(&all.shared("b".to_owned()), &second));
        assert_ne!(first, second);
        for other in 0..100 {
            assert_eq!(*all.shared(other.to_string()), other.to_string());
        }
        assert_eq!(all.0.len(), REMEMBERED);
    }
}
