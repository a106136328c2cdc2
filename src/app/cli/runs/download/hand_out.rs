//! Lays artifacts into a folder, one after another, once it is known that nothing is in their way.

use super::wanted::Wanted;
use tidegate_edge::store::{Content, Delivery, DeliveryError, Parcel, StoreError};

/// What happens meanwhile.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// Nothing is in the way; so many bytes will come.
    Begins(u64),
    /// So many more bytes are here.
    Bytes(u64),
    /// All of the artifact at this position is where it is to be.
    Laid(usize),
}

/// Why no more was laid: the position of the artifact, and what was wrong with it.
#[derive(Debug)]
pub(super) struct Stopped(pub(super) usize, pub(super) DeliveryError);

/// Lays them into the folder; returns the positions of those whose content is not there any more. Of one that fails nothing
/// is in its place.
pub(super) fn hand_out(
    wanted: &[Wanted],
    delivery: &Delivery,
    content: &dyn Content,
    step: &dyn Fn(Step),
) -> Result<Vec<usize>, Stopped> {
    let (mut parcels, mut gone) = (Vec::new(), Vec::new());
    for (at, one) in wanted.iter().enumerate() {
        let digest = &one.artifact.digest;
        match content.list(digest) {
            Ok(list) => {
                let parcel = Parcel::new(digest, list, one.below.clone(), &one.file);
                let parcel = parcel.map_err(|error| Stopped(at, error.into()))?;
                delivery.check(&parcel).map_err(|error| Stopped(at, error))?;
                parcels.push((at, parcel));
            }
            Err(StoreError::Missing(_)) => gone.push(at),
            Err(error) => return Err(Stopped(at, error.into())),
        }
    }
    let sizes = parcels.iter().filter_map(|(at, _)| wanted.get(*at).map(|one| one.artifact.size));
    step(Step::Begins(sizes.sum()));
    for (at, parcel) in &parcels {
        match delivery.lay(parcel, content, &|bytes| step(Step::Bytes(bytes))) {
            Ok(()) => step(Step::Laid(*at)),
            Err(DeliveryError::Store(StoreError::Missing(_))) => gone.push(*at),
            Err(error) => return Err(Stopped(*at, error)),
        }
    }
    gone.sort_unstable();
    Ok(gone)
}
