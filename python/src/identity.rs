//! The key in a home.

use std::path::PathBuf;

use pyo3::prelude::*;

use crate::{error, job::Job};

/// The key pair of a home.
#[pyclass(frozen, module = "meshchat._core")]
pub(crate) struct Identity {
    core: meshcore::Identity,
}

#[pymethods]
impl Identity {
    /// NODE_ID.
    #[getter]
    fn id(&self) -> String {
        self.core.id().to_string()
    }

    /// The public key as PEM.
    fn public_pem(&self) -> String {
        self.core.public_pem().to_owned()
    }

    /// Eight words to compare by voice with the node `peer` (its full id).
    fn safety_words(&self, py: Python<'_>, peer: &str) -> PyResult<Vec<&'static str>> {
        let peer = crate::node::parse_id(py, peer)?;
        Ok(self.core.safety_words(peer))
    }
}

fn into_object(py: Python<'_>, core: meshcore::Identity) -> PyResult<Py<PyAny>> {
    Ok(Py::new(py, Identity { core })?.into_any())
}

/// Makes a key; a Job of Identity.
#[pyfunction]
pub(crate) fn create_identity(
    home: Option<PathBuf>,
    bits: usize,
    passphrase: Option<String>,
) -> PyResult<Job> {
    let work = move || meshcore::Identity::create(home.as_deref(), bits, passphrase.as_deref());
    Job::spawn(work, into_object)
}

/// Reads the key; a Job of Identity, since a passphrase takes time to check.
#[pyfunction]
pub(crate) fn load_identity(home: Option<PathBuf>, passphrase: Option<String>) -> PyResult<Job> {
    let work = move || meshcore::Identity::load(home.as_deref(), passphrase.as_deref());
    Job::spawn(work, into_object)
}

/// Makes a network key in a new file.
#[pyfunction]
pub(crate) fn create_network_key(py: Python<'_>, file: PathBuf) -> PyResult<()> {
    let made = py.detach(|| meshcore::create_network_key(file));
    made.map_err(|failure| error::exception(py, &failure))
}

/// The home of a node that is told none.
#[pyfunction]
pub(crate) fn default_home(py: Python<'_>) -> PyResult<PathBuf> {
    meshcore::default_home().map_err(|failure| error::exception(py, &failure))
}

/// Whether the home holds a key.
#[pyfunction]
pub(crate) fn identity_exists(py: Python<'_>, home: Option<PathBuf>) -> PyResult<bool> {
    meshcore::Identity::exists(home.as_deref()).map_err(|failure| error::exception(py, &failure))
}
