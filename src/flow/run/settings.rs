//! Evaluated keys that many instances have in common, kept once: the instances of a matrix differ in little.

use super::ReadySettings;
use std::collections::VecDeque;
use std::sync::Arc;

/// So many are looked through: matrices that vary a key have few values of it in turn.
const REMEMBERED: usize = 8;

/// The keys that were evaluated last, each other ones.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Settings(VecDeque<Arc<ReadySettings>>);

impl Settings {
    /// Returns keys that are the same, from an instance before where one had them.
    pub(super) fn shared(&mut self, settings: ReadySettings) -> Arc<ReadySettings> {
        if let Some(known) = self.0.iter().find(|known| ***known == settings) {
            return known.clone();
        }
        let made = Arc::new(settings);
        self.0.truncate(REMEMBERED - 1);
        self.0.push_front(made.clone());
        made
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_keys_are_kept_once() {
        let mut all = Settings::default();
        let keys =
            |seconds: f64| ReadySettings { timeout_seconds: Some(seconds), ..ReadySettings::default() };
        let (first, second) = (all.shared(keys(1.0)), all.shared(keys(2.0)));
        assert!(Arc::ptr_eq(&all.shared(keys(1.0)), &first));
        assert!(Arc::ptr_eq(&all.shared(keys(2.0)), &second));
        assert_ne!(first, second);
        for other in 0..100 {
            assert_eq!(*all.shared(keys(f64::from(other))), keys(f64::from(other)));
        }
        assert_eq!(all.0.len(), REMEMBERED);
    }
}
