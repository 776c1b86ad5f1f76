/// A medium in memory: gone with the process.
#[derive(Clone, Debug, Default)]
pub struct MemoryStorage {}
