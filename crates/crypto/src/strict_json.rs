//! JSON in which no object names a member twice.
//!
//! Two readers that disagree about which of two members counts can be played against each other, so RFC 7515, section 5.2
//! lets a verifier refuse them; we do, at every depth.

use std::{collections::HashSet, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, SeqAccess, Visitor},
};

/// Whether `bytes` are one JSON object, UTF-8, without duplicate members anywhere.
pub(crate) fn is_object_without_duplicates(bytes: &[u8]) -> bool {
    matches!(serde_json::from_slice(bytes), Ok(Shape::Object))
}

/// What a value is, once it has been read to its end.
enum Shape {
    Object,
    Other,
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ShapeVisitor)
    }
}

struct ShapeVisitor;

impl<'de> Visitor<'de> for ShapeVisitor {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without duplicate members")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Shape, A::Error> {
        let mut names = HashSet::new();
        // Names are compared unescaped: `"\u0061lg"` is `"alg"`.
        while let Some(name) = map.next_key::<String>()? {
            if !names.insert(name) {
                return Err(A::Error::custom("a member appears twice"));
            }
            map.next_value::<Shape>()?;
        }
        Ok(Shape::Object)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Shape, A::Error> {
        while seq.next_element::<Shape>()?.is_some() {}
        Ok(Shape::Other)
    }

    fn visit_str<E>(self, _: &str) -> Result<Shape, E> {
        Ok(Shape::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Shape, E> {
        Ok(Shape::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Shape, E> {
        Ok(Shape::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Shape, E> {
        Ok(Shape::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Shape, E> {
        Ok(Shape::Other)
    }

    fn visit_unit<E>(self) -> Result<Shape, E> {
        Ok(Shape::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_objects_of_every_kind_of_value() {
        for text in ["{}", r#" {"a":1,"b":[-1,2.5,true,null,"x",{"a":{}}],"c":{"a":1}} "#] {
            assert!(is_object_without_duplicates(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn refuses_duplicates_at_every_depth_and_in_disguise() {
        for text in
            [r#"{"a":1,"a":1}"#, r#"{"a":1,"\u0061":2}"#, r#"{"x":{"a":1,"b":2,"a":3}}"#, r#"{"x":[[{"a":1,"a":2}]]}"#]
        {
            assert!(!is_object_without_duplicates(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_not_one_object() {
        for text in ["", "[]", "null", "1", r#""a""#, "{} {}", "{}x", "{", r#"{"a":}"#, "{'a':1}", "\u{feff}{}"] {
            assert!(!is_object_without_duplicates(text.as_bytes()), "{text}");
        }
        assert!(!is_object_without_duplicates(b"{\"a\":\"\xff\"}"));
        assert!(!is_object_without_duplicates(&[b'['; 8000]));
        assert!(!is_object_without_duplicates(format!("{{\"a\":{}", "[".repeat(8000)).as_bytes()));
    }
}
