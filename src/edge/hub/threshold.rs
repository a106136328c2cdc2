//! Clients that have not said who they are: few at once, and few from one address, so that nobody keeps
//! the others out.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Strangers at once.
const ALL: usize = 1024;
/// Strangers at once from one address.
const FROM_ONE: usize = 64;

/// Who stands there.
#[derive(Debug, Default)]
pub(super) struct Threshold {
    strangers: Mutex<BTreeMap<IpAddr, usize>>,
}

/// A place on the threshold; dropped once the client is let in, or gone.
#[derive(Debug)]
pub(super) struct Stranger {
    threshold: Arc<Threshold>,
    address: IpAddr,
}

impl Threshold {
    /// Takes a place; `None`: there is none, come again.
    pub(super) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Stranger> {
        let mut strangers = self.strangers.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = strangers.values().sum();
        let own = strangers.entry(address).or_default();
        if all >= ALL || *own >= FROM_ONE {
            return None;
        }
        *own += 1;
        Some(Stranger { threshold: self.clone(), address })
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let mut strangers = self.threshold.strangers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = strangers.get_mut(&self.address) {
            *own -= 1;
            if *own == 0 {
                strangers.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_does_not_keep_the_others_out() {
        let threshold = Arc::new(Threshold::default());
        let (one, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let mut many: Vec<_> = (0..FROM_ONE).map(|_| threshold.enter(one).unwrap()).collect();
        assert!(threshold.enter(one).is_none());
        let _other = threshold.enter(other).unwrap();
        many.pop();
        assert!(threshold.enter(one).is_some());
        drop(many);
        assert_eq!(threshold.strangers.lock().unwrap().len(), 1);
    }

    #[test]
    fn all_together_are_not_too_many() {
        let threshold = Arc::new(Threshold::default());
        let stands: Vec<_> =
            (0..2000_u32).filter_map(|n| threshold.enter(IpAddr::from(n.to_be_bytes()))).collect();
        assert_eq!(stands.len(), ALL);
    }
}
