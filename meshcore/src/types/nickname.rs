//! Nicknames.

use std::fmt;
use std::str::FromStr;

/// A name that a node gives itself: 1 to 32 characters without white space and control characters, not starting with
/// `@` or `/` (a chat would take these for commands). It identifies nobody: two nodes may choose the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nickname(String);

/// Why a text is no nickname.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NicknameError {
    /// Empty text.
    #[error("a nickname needs at least one character")]
    Empty,
    /// More than [`Nickname::MAX_CHARS`] characters.
    #[error("a nickname has at most {max} characters", max = Nickname::MAX_CHARS)]
    TooLong,
    /// A character that does not belong into a name.
    #[error(
        "a nickname has no white space, no control or invisible characters, and does not start with '@' or '/'"
    )]
    Forbidden,
}

impl Nickname {
    /// Longest nickname in characters (at most four times as many bytes).
    pub const MAX_CHARS: usize = 32;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Characters that a terminal does not show or that reorder what it shows (Unicode's bidirectional controls).
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

impl FromStr for Nickname {
    type Err = NicknameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(NicknameError::Empty);
        }
        if text.len() > 4 * Self::MAX_CHARS || text.chars().count() > Self::MAX_CHARS {
            return Err(NicknameError::TooLong);
        }
        let forbidden = |c: char| c.is_whitespace() || c.is_control() || is_invisible(c);
        if text.starts_with(['@', '/']) || text.contains(forbidden) {
            return Err(NicknameError::Forbidden);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Nickname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        assert_eq!("Žofie".parse::<Nickname>().map(|n| n.to_string()), Ok("Žofie".into()));
        assert_eq!("".parse::<Nickname>(), Err(NicknameError::Empty));
        assert_eq!("x".repeat(33).parse::<Nickname>(), Err(NicknameError::TooLong));
        for bad in ["a b", "@a", "/a", "a\n", "a\u{202e}b", "a\u{1b}[1m"] {
            assert_eq!(bad.parse::<Nickname>(), Err(NicknameError::Forbidden), "{bad:?}");
        }
    }
}
