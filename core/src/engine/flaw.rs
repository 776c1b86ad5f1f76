//! Bugs that are built in on purpose, for tests of the simulator.

/// A bug built into an engine on purpose, so that the simulation can be seen to find it. Only `Engine::open_flawed`,
/// which there is for tests alone, opens an engine with one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// Records are taken from the log whose events do not have the checksum that they should have.
    NoPayloadChecksum,
    /// Segments are taken from their blobs as they are, whether or not they are as they were written.
    TrustedIndex,
    /// Ids in sealed segments are not remembered when duplicates are looked for.
    ForgottenIds,
    /// What was not made durable in the log is sealed nevertheless, so that a manifest may point behind what is left of
    /// it.
    HastySeal,
    /// Where the log ended when it was closed is not looked at when it is opened.
    IgnoredEnd,
    /// Every wall clock is believed, so that events expire by one that was set wrong.
    CredulousClock,
    /// What expires is gone, and nobody is told.
    SilentExpiry,
}
