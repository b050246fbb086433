//! Nicknames.

use std::fmt;
use std::str::FromStr;

use super::invisible::is_invisible;

/// A name that a node gives itself: 1 to 32 characters without white space, control and invisible characters, not starting with
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

    /// A name that was kept before a character in it was found to be invisible: U+FFFD shows in the place of each.
    pub(crate) fn kept(text: &str) -> Result<Self, NicknameError> {
        text.replace(is_invisible, "\u{fffd}").parse()
    }
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

    #[test]
    fn invisible_characters_are_refused() {
        let invisible = "\u{ad}\u{34f}\u{61c}\u{115f}\u{1160}\u{17b4}\u{180b}\u{180e}\u{180f}\u{200d}\u{2064}\u{2800}\u{3164}\u{fe0f}\u{feff}\
                         \u{ffa0}\u{fff9}\u{110bd}\u{1343f}\u{1d173}\u{e0041}\u{e0100}\u{e0fff}";
        for c in invisible.chars() {
            let name = format!("anna{c}");
            assert_eq!(name.parse::<Nickname>(), Err(NicknameError::Forbidden), "{name:?} looks like anna");
            assert_eq!(
                Nickname::kept(&name).unwrap().as_str(),
                "anna\u{fffd}",
                "and is shown as another one"
            );
        }
        for name in ["Žofie", "анна", "안나", "安娜", "أنّا", "क्षमा", "👩🏽"] {
            assert_eq!(name.parse::<Nickname>().unwrap(), Nickname::kept(name).unwrap());
        }
    }
}
