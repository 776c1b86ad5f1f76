//! How far results may be from the exact ones.

/// How far a result may be from the exact one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Accuracy {
    Exact,
    /// It is a sum that was rounded.
    Rounded,
    /// The relative error of a sketch.
    Within(f64),
}
