//! docs/BENCHMARKS.md, whose tables the benchmarks write.

use std::path::Path;

/// Replaces what stands between two lines of the document.
pub(crate) fn write(begin: &str, end: &str, tables: &str) {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/BENCHMARKS.md");
    let text = std::fs::read_to_string(&document).expect("docs/BENCHMARKS.md");
    let text = splice(&text, begin, end, tables).expect("the markers in docs/BENCHMARKS.md");
    std::fs::write(&document, text).expect("docs/BENCHMARKS.md");
}

fn splice(text: &str, begin: &str, end: &str, tables: &str) -> Option<String> {
    let (head, rest) = text.split_once(begin)?;
    let (_, tail) = rest.split_once(end)?;
    Some(format!("{head}{begin}\n\n{tables}\n{end}{tail}"))
}
