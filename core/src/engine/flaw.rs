/// A bug built into an engine on purpose, so that the simulation can be seen to find it. There is none but by
/// [`open_flawed`](super::Engine::open_flawed).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// Records are taken from the log whose events do not have the checksum that they should have.
    NoPayloadChecksum,
    /// Segments are taken from their blobs as they are, whether or not they are as they were written.
    TrustedIndex,
    /// Ids in sealed segments are not remembered when duplicates are looked for.
    ForgottenIds,
}
