//! Pointers with `*`, which stands for every element of a list. Reads a body that has been scanned: it is sound JSON.

use std::fmt;

use serde::{
    Deserialize as _,
    de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{Found, JsonFaultKind};

/// What stands for every element of a list.
pub(super) const EACH: &str = "*";

/// The text of everything that stands at the pointer of these tokens, in the order of the document; `None` for each way
/// that ends before it. `Err`: a key on the way stands twice.
pub(super) fn texts<'de>(
    text: &'de str,
    tokens: &[Box<str>],
) -> Result<Vec<Option<&'de str>>, (serde_json::Error, Option<JsonFaultKind>)> {
    let mut places = Places {
        texts: Vec::new(),
        fault: None,
    };
    let descent = Descent {
        tokens,
        passed: 0,
        places: &mut places,
    };
    match descent.deserialize(&mut serde_json::Deserializer::from_str(text)) {
        Ok(()) => Ok(places.texts),
        Err(error) => Err((error, places.fault)),
    }
}

/// What the descent has come to.
struct Places<'de> {
    texts: Vec<Option<&'de str>>,
    /// Set when the descent refuses the document: serde's errors carry only text.
    fault: Option<JsonFaultKind>,
}

/// What a value is, given its text.
pub(super) fn found(text: &str) -> Found<'_> {
    let value = match text.as_bytes().first() {
        Some(b'{') => Some(Found::Object),
        Some(b'[') => Some(Found::Array),
        Some(b'"') => serde_json::from_str::<&str>(text)
            .map(|plain| Found::String(plain.into()))
            .or_else(|_| {
                serde_json::from_str::<String>(text).map(|text| Found::String(text.into()))
            })
            .ok(),
        Some(b't') => Some(Found::Bool(true)),
        Some(b'f') => Some(Found::Bool(false)),
        Some(b'n') => Some(Found::Null),
        _ => number(text),
    };
    value.unwrap_or(Found::Missing)
}

fn number(text: &str) -> Option<Found<'static>> {
    let integer = serde_json::from_str::<i64>(text).map(i128::from);
    let integer = integer.or_else(|_| serde_json::from_str::<u64>(text).map(i128::from));
    integer
        .map(Found::Integer)
        .or_else(|_| serde_json::from_str(text).map(Found::Number))
        .ok()
}

/// The way to the places, at one value.
struct Descent<'s, 't, 'de> {
    tokens: &'t [Box<str>],
    /// So many tokens have led here.
    passed: usize,
    places: &'s mut Places<'de>,
}

impl<'t, 'de> Descent<'_, 't, 'de> {
    fn token(&self) -> &'t str {
        self.tokens.get(self.passed).map_or("", |token| token)
    }

    fn deeper(&mut self) -> Descent<'_, 't, 'de> {
        Descent {
            tokens: self.tokens,
            passed: self.passed + 1,
            places: self.places,
        }
    }

    fn ends(self) {
        self.places.texts.push(None);
    }

    fn refuse<E: Error>(&mut self) -> E {
        let passed = self.tokens.iter().take(self.passed + 1);
        let pointer = passed.map(|token| format!("/{}", super::plan::escaped(token)));
        self.places.fault = Some(JsonFaultKind::DuplicateKey(pointer.collect()));
        E::custom("refused")
    }
}

impl<'de> DeserializeSeed<'de> for Descent<'_, '_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.passed < self.tokens.len() {
            return deserializer.deserialize_any(self);
        }
        let value = <&RawValue>::deserialize(deserializer)?;
        self.places.texts.push(Some(value.get()));
        Ok(())
    }
}

impl<'de> Visitor<'de> for Descent<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.ends();
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        self.ends();
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        self.ends();
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        self.ends();
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        self.ends();
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        self.ends();
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        if self.token() == EACH {
            while seq.next_element_seed(self.deeper())?.is_some() {}
            return Ok(());
        }
        let wanted = super::plan::array_index(self.token());
        let mut is_there = false;
        for index in 0.. {
            let more = match Some(index) == wanted {
                true => {
                    is_there = seq.next_element_seed(self.deeper())?.is_some();
                    is_there
                }
                false => seq.next_element::<IgnoredAny>()?.is_some(),
            };
            if !more {
                break;
            }
        }
        if !is_there {
            self.ends();
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        let mut is_there = false;
        while let Some(is_wanted) = map.next_key_seed(Key(self.token()))? {
            if !is_wanted {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            if std::mem::replace(&mut is_there, true) {
                return Err(self.refuse());
            }
            map.next_value_seed(self.deeper())?;
        }
        if !is_there {
            self.ends();
        }
        Ok(())
    }
}

/// Whether a key is this one. No key is `*`.
struct Key<'t>(&'t str);

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<bool, E> {
        Ok(key == self.0 && key != EACH)
    }
}
