use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// A text that is cheap to clone: a part of a block that holds all texts of a message, or its own.
#[derive(Clone)]
pub(crate) enum Text {
    Static(&'static str),
    Whole(Arc<str>),
    Part(Arc<str>, u32, u32),
}

impl Text {
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Static(text) => text,
            Self::Whole(text) => text,
            Self::Part(block, start, end) => block
                .get(*start as usize..*end as usize)
                .unwrap_or_default(),
        }
    }

    /// `None` for an empty text: CloudEvents knows no empty attribute.
    pub(super) fn unless_empty(text: impl Into<Arc<str>>) -> Option<Self> {
        let text = text.into();
        (!text.is_empty()).then_some(Self::Whole(text))
    }
}

impl From<Arc<str>> for Text {
    fn from(text: Arc<str>) -> Self {
        Self::Whole(text)
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Text {}

impl PartialOrd for Text {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Text {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl Hash for Text {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// A value as an error shows it: escaped, and no longer than a line.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Excerpt<'a>(pub(crate) &'a str);

impl Excerpt<'_> {
    const LONGEST: usize = 80;
}

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.chars();
        let shown = rest.by_ref().take(Self::LONGEST);
        write!(f, "{}", shown.collect::<String>().escape_debug())?;
        if rest.as_str().is_empty() {
            return Ok(());
        }
        write!(f, "... ({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_the_same_as_a_text_of_its_own() {
        let block: Arc<str> = "/tasksada".into();
        let part = Text::Part(block, 6, 9);
        assert_eq!(part, Text::Static("ada"));
        assert_eq!(part, Text::Whole("ada".into()));
        assert_eq!(format!("{part:?}"), "\"ada\"");
        assert_eq!(part.cmp(&Text::Static("adb")), Ordering::Less);
    }

    #[test]
    fn an_excerpt_is_escaped_and_bounded() {
        assert_eq!(Excerpt("a\n\"b\"").to_string(), "a\\n\\\"b\\\"");
        let long = "ä".repeat(1_000_000);
        let shown = Excerpt(&long).to_string();
        assert!(shown.len() < 200, "{}", shown.len());
        assert!(shown.ends_with("... (2000000 bytes)"), "{shown}");
    }
}
