//! Who may import whom (docs/ARCHITECTURE.md): checked on the sources, so that a shortcut shows in review.

#![allow(clippy::disallowed_methods)] // tests are drivers

use std::fs;
use std::path::{Path, PathBuf};

/// Layer, and the modules of this crate that it may name besides itself.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("types", &[]),
    ("wire", &["types"]),
    ("mesh", &["types", "wire"]),
    ("stream", &["types", "wire"]),
    ("message", &["types", "wire"]),
    ("v1", &["types", "wire"]),
    ("file", &["types", "wire"]),
    ("node", &["types", "wire", "mesh", "stream", "message", "v1"]),
    ("driver", &["types", "mesh", "message", "stream", "v1", "file", "node"]),
];

/// Files of `wire` that belong to one layer: no other may read them.
const OWN_WIRE_FILES: &[(&str, &[&str])] = &[
    ("mesh", &["frame", "hello", "identity", "update", "probe", "echo", "broadcast", "sealed"]),
    ("stream", &["packet", "segment"]),
    ("message", &["content", "post", "record"]),
    ("v1", &["v1"]),
    ("file", &["file"]),
];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// What follows `prefix` wherever it stands in the code: `crate::wire::frame` gives `frame` for `crate::wire::`.
fn names_after<'a>(code: &'a str, prefix: &'a str) -> impl Iterator<Item = &'a str> {
    code.match_indices(prefix).flat_map(move |(at, _)| {
        let rest = &code[at + prefix.len()..];
        let group = rest.strip_prefix('{').and_then(|group| group.split('}').next()).unwrap_or(rest);
        let is_group = rest.starts_with('{');
        let names: Vec<_> = if is_group { group.split(',').collect() } else { vec![group] };
        names.into_iter().map(|name| {
            let name = name.trim();
            name.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap_or_default()
        })
    })
}

fn code_of(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

#[test]
fn layers_import_downwards_only() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for (layer, allowed) in MAY_IMPORT {
        let files = sources(&root.join(layer));
        assert!(!files.is_empty(), "{layer} has no source");
        for file in files {
            let code = code_of(&file);
            for name in names_after(&code, "crate::") {
                let known = MAY_IMPORT.iter().any(|(module, _)| *module == name);
                assert!(
                    !known || name == *layer || allowed.contains(&name),
                    "{} imports crate::{name}, which {layer} must not know",
                    file.display()
                );
            }
        }
    }
}

#[test]
fn each_layer_reads_its_own_wire_files() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for (layer, _) in OWN_WIRE_FILES {
        for file in sources(&root.join(layer)) {
            let code = code_of(&file);
            for name in names_after(&code, "wire::") {
                let owner = OWN_WIRE_FILES.iter().find(|(_, files)| files.contains(&name));
                assert!(
                    owner.is_none_or(|(owner, _)| owner == layer),
                    "{} reads wire::{name}, which is not {layer}'s",
                    file.display()
                );
            }
        }
    }
}

#[test]
fn bindings_use_the_public_api() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for binding in ["ffi/src", "python/src"] {
        for file in sources(&root.join(binding)) {
            let code = code_of(&file);
            for name in names_after(&code, "meshcore::") {
                let internal = MAY_IMPORT.iter().any(|(module, _)| *module == name);
                assert!(!internal, "{} imports meshcore::{name}, which is not public API", file.display());
            }
        }
    }
}
