//! Runs the fuzz target that the environment's `ARGUS_FUZZ_TARGET` names. One program has all targets, so that it is
//! built once, and so that a new target is a file in `core/testing/src/fuzz/targets/` and nothing here.

#![no_main]

use std::sync::OnceLock;

use argus_testing::fuzz::Target;
use libfuzzer_sys::fuzz_target;

static TARGET: OnceLock<&Target> = OnceLock::new();

fuzz_target!(|data: &[u8]| {
    let target = TARGET.get_or_init(|| {
        let name = std::env::var("ARGUS_FUZZ_TARGET").expect("ARGUS_FUZZ_TARGET names the target");
        Target::named(&name).expect("ARGUS_FUZZ_TARGET is the name of a target")
    });
    (target.run)(data);
});
