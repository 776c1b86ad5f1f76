//! The `OpenAPI` documents of subjects, fetched once from each.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::UNIX_EPOCH;

use crate::client::{Connection, Request, Transcript};
use crate::description::Description;
use crate::failure::Failure;
use crate::launcher::{Demand, Identity, Launcher};

/// The documents that this process has.
static CACHE: Mutex<Option<HashMap<Identity, Arc<Description>>>> = Mutex::new(None);

/// The document of the launcher's servers.
///
/// cargo-nextest runs each case in a process of its own. Many cases take less time than starting another server to
/// fetch its document. So the document is also kept in a file beside the program, until the program changes.
///
/// # Errors
///
/// [`Failure`] if the subject does not start or does not serve a document.
pub(crate) fn get(launcher: &dyn Launcher) -> Result<Arc<Description>, Failure> {
    let mut cache = CACHE.lock().unwrap_or_else(PoisonError::into_inner);
    let cache = cache.get_or_insert_default();
    let identity = launcher.identity();
    if let Some(description) = cache.get(&identity) {
        return Ok(Arc::clone(description));
    }
    let document = match &identity {
        Identity::Address(_) | Identity::Image(_) => fetch(launcher)?,
        Identity::Program(program) => {
            let file = cache_file(program);
            match file.as_ref().and_then(|file| fs::read(file).ok()) {
                Some(document) => document,
                None => {
                    let document = fetch(launcher)?;
                    if let Some(file) = file {
                        write(&file, &document);
                    }
                    document
                }
            }
        }
    };
    let description = Arc::new(Description::parse(&document)?);
    cache.insert(identity, Arc::clone(&description));
    Ok(description)
}

fn fetch(launcher: &dyn Launcher) -> Result<Vec<u8>, Failure> {
    let server = launcher.start(Demand::Any)?;
    let response =
        Connection::open(server.address(), Transcript::default())?.request(&Request::get("/openapi.json"))?;
    response.expect(200)?;
    Ok(response.body)
}

/// The file for the document of a program. Its name contains the size and time of the program, so each build has its
/// own.
fn cache_file(program: &Path) -> Option<PathBuf> {
    let about = fs::metadata(program).ok()?;
    let built = about.modified().ok()?.duration_since(UNIX_EPOCH).ok()?.as_nanos();
    let name = program.file_name()?.to_str()?;
    Some(program.with_file_name(format!("{name}-{:x}-{built:x}.openapi.json", about.len())))
}

/// Writes the document, if the folder permits it. Other processes may write the same file at the same time, so it is
/// renamed into place.
fn write(file: &Path, document: &[u8]) {
    let draft = file.with_extension(std::process::id().to_string());
    if fs::write(&draft, document).is_ok() {
        // If this fails, the next process fetches the document again.
        let _ = fs::rename(&draft, file);
    }
}
