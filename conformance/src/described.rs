//! Where the descriptions of subjects come from: each is asked once.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::UNIX_EPOCH;

use crate::client::{Connection, Request, Transcript};
use crate::description::Description;
use crate::failure::Failure;
use crate::launcher::{Demand, Identity, Launcher};

/// Those that this process knows.
static KNOWN: Mutex<Option<HashMap<Identity, Arc<Description>>>> = Mutex::new(None);

/// The description that the launcher's servers give.
///
/// cargo-nextest runs each case in a process of its own, and a server started in each only to be asked would take
/// longer than many a case. So the answer is kept in a file beside the program, for as long as that is the same.
///
/// # Errors
///
/// [`Failure`] if the subject does not start or gives none.
pub(crate) fn of(launcher: &dyn Launcher) -> Result<Arc<Description>, Failure> {
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let known = known.get_or_insert_default();
    let identity = launcher.identity();
    if let Some(description) = known.get(&identity) {
        return Ok(Arc::clone(description));
    }
    let document = match &identity {
        Identity::Address(_) => ask(launcher)?,
        Identity::Program(program) => {
            let file = kept_in(program);
            match file.as_ref().and_then(|file| fs::read(file).ok()) {
                Some(kept) => kept,
                None => {
                    let document = ask(launcher)?;
                    if let Some(file) = file {
                        keep(&file, &document);
                    }
                    document
                }
            }
        }
    };
    let description = Arc::new(Description::parse(&document)?);
    known.insert(identity, Arc::clone(&description));
    Ok(description)
}

fn ask(launcher: &dyn Launcher) -> Result<Vec<u8>, Failure> {
    let server = launcher.start(Demand::Any)?;
    let response =
        Connection::open(server.address(), Transcript::default())?.request(&Request::get("/openapi.json"))?;
    response.expect(200)?;
    Ok(response.body)
}

/// The file for this very program: another build has another name.
fn kept_in(program: &Path) -> Option<PathBuf> {
    let about = fs::metadata(program).ok()?;
    let built = about.modified().ok()?.duration_since(UNIX_EPOCH).ok()?.as_nanos();
    let name = program.file_name()?.to_str()?;
    Some(program.with_file_name(format!("{name}-{:x}-{built:x}.openapi.json", about.len())))
}

/// Keeps the document, if the folder may be written to. Other processes may do the same at this moment.
fn keep(file: &Path, document: &[u8]) {
    let draft = file.with_extension(std::process::id().to_string());
    if fs::write(&draft, document).is_ok() {
        // Without it, the next process asks again.
        let _ = fs::rename(&draft, file);
    }
}
