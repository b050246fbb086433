//! Names of files, made safe: a name comes from the network and becomes part of a path.

use crate::types::is_invisible;

/// Longest name that common file systems take, in bytes.
const MAX_LEN: usize = 255;

/// What a partial file's name ends with.
const PART: &str = ".part";

/// Longest ending that is kept when a name is cut.
const MAX_EXTENSION: usize = 16;

/// Names of devices on some systems, whatever their ending.
const RESERVED: [&str; 4] = ["con", "prn", "aux", "nul"];

/// The name under which a file that is called `name` elsewhere may be kept: its last component, without control and
/// invisible characters, without dots at its beginning, and never empty.
pub fn safe_name(name: &str) -> String {
    let last = name.trim_end_matches(['/', '\\']).rsplit(['/', '\\']).next().unwrap_or_default();
    let safe: String = last.chars().map(|c| if is_unsafe(c) { '_' } else { c }).collect();
    let safe = safe.trim_start_matches(|c: char| c == '.' || c.is_whitespace());
    let safe = safe.trim_end_matches(|c: char| c == '.' || c.is_whitespace());
    let stem = safe.split('.').next().unwrap_or_default().to_lowercase();
    let is_port = |prefix| {
        stem.strip_prefix(prefix).is_some_and(|number: &str| matches!(number.as_bytes(), [b'0'..=b'9']))
    };
    let name = match safe {
        "" => "file".to_owned(),
        _ if RESERVED.contains(&stem.as_str()) || is_port("com") || is_port("lpt") => format!("_{safe}"),
        _ => safe.to_owned(),
    };
    fit(&name, "")
}

/// The `number`th choice for a safe name that may be taken: `name.txt`, `name (2).txt`...
pub fn numbered(name: &str, number: u32) -> String {
    if number < 2 { name.to_owned() } else { fit(name, &format!(" ({number})")) }
}

/// The name of the partial file of a safe name, at the `number`th attempt.
pub fn part(name: &str, number: u32) -> String {
    let name = numbered(name, number);
    format!("{}{PART}", cut(&name, MAX_LEN - PART.len()))
}

/// The name with `mark` in front of its ending, cut before that so that it fits.
fn fit(name: &str, mark: &str) -> String {
    let (stem, extension) = match name.rfind('.') {
        Some(dot) if dot > 0 && name.len() - dot <= MAX_EXTENSION => name.split_at(dot),
        _ => (name, ""),
    };
    format!("{}{mark}{extension}", cut(stem, MAX_LEN - mark.len() - extension.len()))
}

/// The beginning of a text, `len` bytes at most, without half a character.
fn cut(text: &str, len: usize) -> &str {
    &text[..text.floor_char_boundary(len)]
}

fn is_unsafe(c: char) -> bool {
    c.is_control() || is_invisible(c) || matches!(c, '\u{2028}' | '\u{2029}' | '\u{fffd}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_the_last_component_is_left_and_nothing_that_gives_orders() {
        for (name, safe) in [
            ("report.pdf", "report.pdf"),
            ("Žluťoučký kůň 🦀.txt", "Žluťoučký kůň 🦀.txt"),
            ("../../etc/passwd", "passwd"),
            ("/etc/shadow", "shadow"),
            ("C:\\Windows\\system32\\calc.exe", "calc.exe"),
            ("folder/", "folder"),
            ("..", "file"),
            (".", "file"),
            ("", "file"),
            ("///", "file"),
            ("   ", "file"),
            (".bashrc", "bashrc"),
            ("...hidden", "hidden"),
            (" . .x", "x"),
            ("a\nb\tc\u{1b}[31m", "a_b_c_[31m"),
            ("photo\u{202e}gpj.exe", "photo_gpj.exe"),
            ("photo\u{3164}.jpg", "photo_.jpg"),
            ("nul\0byte", "nul_byte"),
            ("NUL", "_NUL"),
            ("com1.txt", "_com1.txt"),
            ("community.txt", "community.txt"),
            ("trailing. . ", "trailing"),
        ] {
            assert_eq!(safe_name(name), safe, "{name:?}");
        }
    }

    #[test]
    fn long_names_keep_their_ending() {
        let name = safe_name(&format!("{}.tar.gz", "é".repeat(300)));
        assert!(name.len() <= MAX_LEN && name.len() > MAX_LEN - 2 && name.ends_with("é.gz"), "{name}");
        assert!(numbered(&name, 12).ends_with("é (12).gz") && numbered(&name, 12).len() <= MAX_LEN);
        assert!(part(&name, 3).ends_with(".part") && part(&name, 3).len() <= MAX_LEN);
        assert_eq!((numbered("a.b", 1), numbered("a.b", 2)), ("a.b".into(), "a (2).b".into()));
        assert_eq!(part("a.b", 1), "a.b.part");
        assert_eq!(numbered("noext", 2), "noext (2)");
    }

    proptest! {
        #[test]
        fn every_name_is_one_component(name in prop_oneof!["\\PC{0,400}", "[./\\\\ a\u{202e}\n]{0,20}", ".{0,400}"], number in 1..5000u32) {
            let safe = safe_name(&name);
            for name in [numbered(&safe, number), part(&safe, number), safe] {
                prop_assert!(!name.is_empty() && name.len() <= MAX_LEN && !name.starts_with('.'));
                prop_assert!(!name.contains(['/', '\\', '\0']) && !name.chars().any(is_unsafe));
            }
        }
    }
}
