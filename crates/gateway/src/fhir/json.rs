//! JSON as it may come from a device: bounded, without duplicate names, numbers kept as written.
//!
//! Why not `serde_json::Value`: it takes the last of two equal names where an EHR may take the first, rounds decimals
//! (FHIR R4 2.24.0.1: precision is significant), and has no bound on nodes. What this parser accepts is written back by
//! [`Json::write`], so the EHR never sees bytes that we did not understand.
//! In scope: RFC 8259 with limits, a borrowing tree, the writer. Out of scope: what the names mean (`schema`).
//! To loosen a limit: [`Limits`], with its arithmetic.

use std::borrow::Cow;

/// Bounds on one document.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Deepest nesting of lists and objects.
    pub depth: usize,
    /// Most values in all; each costs about 56 bytes of memory.
    pub nodes: usize,
    /// Most names in one object; they are compared pairwise.
    pub names: usize,
}

impl Limits {
    /// From a device: a transaction of observations with components is 10 deep; 20,000 nodes are about 1.1 MB.
    pub const DEVICE: Limits = Limits { depth: 24, nodes: 20_000, names: 64 };
    /// From the EHR: resources may carry extensions of extensions; 400,000 nodes are about 22 MB.
    pub const EHR: Limits = Limits { depth: 64, nodes: 400_000, names: 128 };
}

/// Why bytes are not acceptable JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Not UTF-8 (RFC 8259 8.1).
    #[error("the body is not UTF-8 at byte {0}")]
    Utf8(usize),
    /// Broken syntax.
    #[error("the body is not JSON at byte {0}")]
    Syntax(usize),
    /// Nested too deep.
    #[error("the body is nested too deep at byte {0}")]
    Depth(usize),
    /// Too many values, or too many names in one object.
    #[error("the body has too many values at byte {0}")]
    Nodes(usize),
    /// One name twice in an object: parsers disagree which one counts.
    #[error("the body has an object with the same name twice at byte {0}")]
    Duplicate(usize),
    /// A number longer than any that FHIR knows.
    #[error("the body has a number that is too long at byte {0}")]
    Number(usize),
}

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Json<'a> {
    /// `null`.
    Null,
    /// `true`, `false`.
    Bool(bool),
    /// As written.
    Number(Cow<'a, str>),
    /// Unescaped.
    Text(Cow<'a, str>),
    /// In order.
    List(Vec<Json<'a>>),
    /// In order; no name twice.
    Object(Vec<(Cow<'a, str>, Json<'a>)>),
}

impl<'a> Json<'a> {
    /// Reads one document; nothing but white space may follow it.
    pub fn parse(bytes: &'a [u8], limits: Limits) -> Result<Json<'a>, JsonError> {
        let text = std::str::from_utf8(bytes).map_err(|e| JsonError::Utf8(e.valid_up_to()))?;
        let mut parser = Parser { text, at: 0, nodes: 0, limits };
        let value = parser.value(0)?;
        parser.space();
        if parser.at == text.len() { Ok(value) } else { Err(JsonError::Syntax(parser.at)) }
    }

    /// A text value.
    pub fn text(value: impl Into<Cow<'a, str>>) -> Json<'a> {
        Json::Text(value.into())
    }

    /// An object of these members; the caller gives no name twice.
    pub fn object<const N: usize>(members: [(&'static str, Json<'a>); N]) -> Json<'a> {
        Json::Object(members.into_iter().map(|(name, value)| (Cow::Borrowed(name), value)).collect())
    }

    /// The member of this name, when this is an object that has it.
    pub fn get(&self, name: &str) -> Option<&Json<'a>> {
        self.as_object()?.iter().find(|(n, _)| n == name).map(|(_, v)| v)
    }

    /// The member of this name, to change.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Json<'a>> {
        match self {
            Json::Object(members) => members.iter_mut().find(|(n, _)| n == name).map(|(_, v)| v),
            _ => None,
        }
    }

    /// The text, when this is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Json::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The list, when this is one.
    pub fn as_list(&self) -> Option<&[Json<'a>]> {
        match self {
            Json::List(list) => Some(list),
            _ => None,
        }
    }

    /// The members, when this is an object.
    pub fn as_object(&self) -> Option<&[(Cow<'a, str>, Json<'a>)]> {
        match self {
            Json::Object(members) => Some(members),
            _ => None,
        }
    }

    /// Writes the value without white space.
    pub fn write(&self, out: &mut String) {
        match self {
            Json::Null => out.push_str("null"),
            Json::Bool(true) => out.push_str("true"),
            Json::Bool(false) => out.push_str("false"),
            Json::Number(number) => out.push_str(number),
            Json::Text(text) => write_text(text, out),
            Json::List(list) => {
                out.push('[');
                for (i, value) in list.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    value.write(out);
                }
                out.push(']');
            }
            Json::Object(members) => {
                out.push('{');
                for (i, (name, value)) in members.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    write_text(name, out);
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }
}

/// Writes `text` as a JSON string.
fn write_text(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            // RFC 8259 7: control characters must be escaped.
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    nodes: usize,
    limits: Limits,
}

// RFC 8259 has no bound; FHIR decimals have at most 18 digits, with sign, point and exponent this is ample.
const LONGEST_NUMBER: usize = 32;

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> Result<(), JsonError> {
        if self.peek() == Some(byte) {
            self.at += 1;
            return Ok(());
        }
        Err(JsonError::Syntax(self.at))
    }

    fn value(&mut self, depth: usize) -> Result<Json<'a>, JsonError> {
        self.nodes += 1;
        if self.nodes > self.limits.nodes {
            return Err(JsonError::Nodes(self.at));
        }
        if depth > self.limits.depth {
            return Err(JsonError::Depth(self.at));
        }
        self.space();
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.list(depth),
            Some(b'"') => self.string().map(Json::Text),
            Some(b't') => self.word("true", Json::Bool(true)),
            Some(b'f') => self.word("false", Json::Bool(false)),
            Some(b'n') => self.word("null", Json::Null),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => Err(JsonError::Syntax(self.at)),
        }
    }

    fn word(&mut self, word: &str, value: Json<'a>) -> Result<Json<'a>, JsonError> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        if !rest.starts_with(word) {
            return Err(JsonError::Syntax(self.at));
        }
        self.at += word.len();
        Ok(value)
    }

    fn list(&mut self, depth: usize) -> Result<Json<'a>, JsonError> {
        self.take(b'[')?;
        let mut list = Vec::new();
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Json::List(list));
        }
        loop {
            list.push(self.value(depth + 1)?);
            self.space();
            if self.peek() == Some(b',') {
                self.at += 1;
                continue;
            }
            self.take(b']')?;
            return Ok(Json::List(list));
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json<'a>, JsonError> {
        self.take(b'{')?;
        let mut members: Vec<(Cow<'a, str>, Json<'a>)> = Vec::new();
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Json::Object(members));
        }
        loop {
            self.space();
            let start = self.at;
            let name = self.string()?;
            if members.iter().any(|(n, _)| *n == name) {
                return Err(JsonError::Duplicate(start));
            }
            if members.len() == self.limits.names {
                return Err(JsonError::Nodes(start));
            }
            self.space();
            self.take(b':')?;
            members.push((name, self.value(depth + 1)?));
            self.space();
            if self.peek() == Some(b',') {
                self.at += 1;
                continue;
            }
            self.take(b'}')?;
            return Ok(Json::Object(members));
        }
    }

    fn string(&mut self) -> Result<Cow<'a, str>, JsonError> {
        self.take(b'"')?;
        let start = self.at;
        let mut unescaped: Option<String> = None;
        let mut plain_from = start;
        loop {
            match self.peek() {
                Some(b'"') => {
                    let plain = self.text.get(plain_from..self.at).ok_or(JsonError::Syntax(self.at))?;
                    self.at += 1;
                    return Ok(match unescaped {
                        None => Cow::Borrowed(plain),
                        Some(text) => Cow::Owned(text + plain),
                    });
                }
                Some(b'\\') => {
                    let plain = self.text.get(plain_from..self.at).ok_or(JsonError::Syntax(self.at))?;
                    let text = unescaped.get_or_insert_default();
                    text.push_str(plain);
                    self.at += 1;
                    text.push(self.escape()?);
                    plain_from = self.at;
                }
                None | Some(0..0x20) => return Err(JsonError::Syntax(self.at)),
                Some(_) => self.at += 1,
            }
        }
    }

    fn escape(&mut self) -> Result<char, JsonError> {
        let kind = self.peek().ok_or(JsonError::Syntax(self.at))?;
        self.at += 1;
        Ok(match kind {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let high = self.hex4()?;
                let code = match high {
                    0xd800..=0xdbff => {
                        self.take(b'\\')?;
                        self.take(b'u')?;
                        let low = self.hex4()?;
                        if !(0xdc00..=0xdfff).contains(&low) {
                            return Err(JsonError::Syntax(self.at));
                        }
                        0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)
                    }
                    other => other,
                };
                // A lone surrogate is no character (RFC 8259 8.2).
                char::from_u32(code).ok_or(JsonError::Syntax(self.at))?
            }
            _ => return Err(JsonError::Syntax(self.at)),
        })
    }

    fn hex4(&mut self) -> Result<u32, JsonError> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|b| char::from(b).to_digit(16));
            code = code * 16 + digit.ok_or(JsonError::Syntax(self.at))?;
            self.at += 1;
        }
        Ok(code)
    }

    fn number(&mut self) -> Result<Json<'a>, JsonError> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        if self.at - start > LONGEST_NUMBER {
            return Err(JsonError::Number(start));
        }
        let number = self.text.get(start..self.at).ok_or(JsonError::Syntax(start))?;
        Ok(Json::Number(Cow::Borrowed(number)))
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start { Err(JsonError::Syntax(start)) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Json<'_>, JsonError> {
        Json::parse(text.as_bytes(), Limits::DEVICE)
    }

    fn rewritten(text: &str) -> String {
        let mut out = String::new();
        parse(text).unwrap().write(&mut out);
        out
    }

    #[test]
    fn what_is_read_is_written_back_with_its_precision() {
        for (text, expected) in [
            ("72.50", "72.50"),
            ("-0.0e+10", "-0.0e+10"),
            (" { \"a\" : [ 1 , true , null , \"x\" ] } ", r#"{"a":[1,true,null,"x"]}"#),
            (r#""\u00e4\ud83d\ude00\/\n\"\\""#, "\"ä😀/\\u000a\\\"\\\\\""),
            ("[]", "[]"),
            ("{}", "{}"),
        ] {
            assert_eq!(rewritten(text), expected, "{text}");
            assert_eq!(rewritten(expected), expected);
        }
    }

    // I12
    #[test]
    fn hostile_json_is_refused() {
        let deep = "[".repeat(100_000);
        let wide = format!("[{}0]", "0,".repeat(20_000));
        let names = (0..65).map(|i| format!("\"n{i}\":0")).collect::<Vec<_>>().join(",");
        for (text, error) in [
            (r#"{"a":1,"a":2}"#.to_owned(), JsonError::Duplicate(7)),
            (r#"{"a":1,"\u0061":2}"#.to_owned(), JsonError::Duplicate(7)),
            (deep, JsonError::Depth(25)),
            (wide, JsonError::Nodes(39_999)),
            (format!("{{{names}}}"), JsonError::Nodes(503)),
            ("9".repeat(33), JsonError::Number(0)),
            ("01".to_owned(), JsonError::Syntax(1)),
            ("1.".to_owned(), JsonError::Syntax(2)),
            ("[1,]".to_owned(), JsonError::Syntax(3)),
            ("NaN".to_owned(), JsonError::Syntax(0)),
            ("\"\u{1}\"".to_owned(), JsonError::Syntax(1)),
            (r#""\ud800""#.to_owned(), JsonError::Syntax(7)),
            (r#""\ud800\u0041""#.to_owned(), JsonError::Syntax(13)),
            ("{} {}".to_owned(), JsonError::Syntax(3)),
            ("\u{feff}{}".to_owned(), JsonError::Syntax(0)),
            (String::new(), JsonError::Syntax(0)),
        ] {
            assert_eq!(parse(&text), Err(error), "{:.40}", text);
        }
        assert_eq!(Json::parse(b"\"\xff\"", Limits::DEVICE), Err(JsonError::Utf8(1)));
    }

    // I12
    #[test]
    fn every_truncation_is_refused_and_every_bit_flip_is_survived() {
        let text = r#"{"resourceType":"Observation","value":[-1.50e3,true,null,"\u00e4\n"]}"#;
        for cut in 0..text.len() {
            assert!(Json::parse(&text.as_bytes()[..cut], Limits::DEVICE).is_err(), "{cut}");
        }
        for bit in 0..text.len() * 8 {
            let mut bytes = text.as_bytes().to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            if let Ok(value) = Json::parse(&bytes, Limits::DEVICE) {
                let mut out = String::new();
                value.write(&mut out);
                assert_eq!(Json::parse(out.as_bytes(), Limits::DEVICE), Ok(value));
            }
        }
    }
}
