use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::corrupt;
use crate::error::Error;
use crate::message::Excerpt;
use crate::message::codec::reason;
use crate::message::headers::Form;

/// The members of a JSON object, as they stand there.
#[derive(Debug)]
pub(super) struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

/// The value of an attribute.
#[derive(Debug)]
pub(super) struct Value<'a> {
    pub(super) text: Cow<'a, str>,
    pub(super) form: Form,
}

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Members<'a> {
    pub(super) fn read(document: &'a [u8]) -> Result<Self, Error> {
        let members: Self = serde_json::from_slice(document).map_err(|source| {
            corrupt("the document is not a JSON object".to_owned()).with_source(reason(&source))
        })?;
        let mut names: Vec<&str> = members.0.iter().map(|(name, _)| &**name).collect();
        names.sort_unstable();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some([name, ..]) => Err(corrupt(format!("member {} stands twice", Excerpt(name)))),
            _ => Ok(members),
        }
    }

    /// Takes the member `name` out.
    pub(super) fn take(&mut self, name: &str) -> Option<&'a RawValue> {
        let at = self.0.iter().position(|(other, _)| other == name)?;
        Some(self.0.swap_remove(at).1)
    }

    pub(super) fn rest(self) -> impl Iterator<Item = (Cow<'a, str>, &'a RawValue)> {
        self.0.into_iter()
    }
}

impl<'a> Value<'a> {
    /// `None` for `null`, which is the same as no attribute.
    pub(super) fn of(name: &str, raw: &'a RawValue) -> Result<Option<Self>, Error> {
        let text = raw.get();
        let refused = || {
            let name = Excerpt(name);
            corrupt(format!("{name}, allowed: a text, a number, true or false"))
        };
        let (text, form) = match text.as_bytes() {
            b"null" => return Ok(None),
            [b'"', inner @ .., b'"'] if !inner.contains(&b'\\') => {
                (text.get(1..text.len() - 1).map(Cow::Borrowed), Form::Text)
            }
            [b'"', ..] => (serde_json::from_str(text).ok().map(Cow::Owned), Form::Text),
            [b'{' | b'[', ..] => (None, Form::Text),
            _ => (Some(Cow::Borrowed(text)), Form::Literal),
        };
        let text = text.ok_or_else(refused)?;
        Ok(Some(Self { text, form }))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(Name(name)) = map.next_key()? {
                    members.push((name, map.next_value()?));
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Object)
    }
}
