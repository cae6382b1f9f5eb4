//! The one question that dns-01 asks (TXT, class IN) and its answer, as bytes of RFC 1035.
//!
//! Own code because a resolver library brings a cache, a URL parser and the tables of Unicode for a question of thirty bytes; what is
//! needed of DNS here is less than what is needed of DER elsewhere. Asked over TCP only (RFC 7766: every server has it), so nobody
//! who is not on the way can slip an answer in, and none is cut off.
//! In scope: query, answer, CNAMEs within one answer. Out of scope: sockets, which server, where a CNAME may lead; DNSSEC,
//! which the configured resolver checks.

/// An answer with some TXT records has below 1 KiB; leftovers of other clients and signatures make it a few more.
pub const MAX_ANSWER: usize = 16 << 10;
/// Chains of aliases have one or two links; a longer one is a loop.
pub const MAX_CNAMES: usize = 8;
/// As many as fit into [`MAX_ANSWER`] with ten bytes each is more than anybody publishes.
const MAX_RECORDS: usize = 256;
/// RFC 1035 2.3.4.
const MAX_NAME: usize = 255;
const MAX_LABEL: usize = 63;
const TXT: u16 = 16;
const CNAME: u16 = 5;
const IN: u16 = 1;
const HEADER: usize = 12;

/// Why a question cannot be asked, or an answer is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DnsError {
    /// The name cannot be written.
    #[error("`{0}` is no name that DNS can have")]
    Name(String),
    /// There is no such name (NXDOMAIN).
    #[error("there is no such name (NXDOMAIN)")]
    NoSuchName,
    /// The server failed, refused, or does not know how.
    #[error("the DNS server answered with code {0}")]
    Server(u8),
    /// Bytes that are no answer to this question.
    #[error("the DNS server's answer is not one to the question: {0}")]
    Malformed(&'static str),
}

/// What a name has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Names that CNAMEs led to, in order; the records are the last one's.
    pub aliases: Vec<String>,
    /// TXT records, each with its strings joined.
    pub texts: Vec<Vec<u8>>,
}

/// The question, without the length that TCP puts before it.
pub fn query(name: &str, id: u16) -> Result<Vec<u8>, DnsError> {
    let mut out = Vec::with_capacity(HEADER + name.len() + 6);
    out.extend_from_slice(&id.to_be_bytes());
    // Recursion desired; one question.
    out.extend_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    out.extend(encoded(name)?);
    out.extend_from_slice(&TXT.to_be_bytes());
    out.extend_from_slice(&IN.to_be_bytes());
    Ok(out)
}

/// Reads the answer to [`query`] of the same name and id. Fuzz entry point.
pub fn read(message: &[u8], name: &str, id: u16) -> Result<Answer, DnsError> {
    if message.len() > MAX_ANSWER {
        return Err(DnsError::Malformed("it is too long"));
    }
    let mut r = Reader { message, at: 0 };
    if r.u16()? != id {
        return Err(DnsError::Malformed("it has another id"));
    }
    let [high, low] = r.u16()?.to_be_bytes();
    // RFC 1035 4.1.1: response, opcode 0, not truncated.
    if high & 0b1111_1010 != 0b1000_0000 {
        return Err(DnsError::Malformed("it is no whole response"));
    }
    let (questions, answers) = (r.u16()?, r.u16()?);
    r.take(4)?;
    let asked = encoded(name)?;
    if questions != 1 || r.name()? != asked || r.u16()? != TXT || r.u16()? != IN {
        return Err(DnsError::Malformed("it repeats another question"));
    }
    match low & 0b1111 {
        0 => records(&mut r, usize::from(answers), asked),
        3 => Err(DnsError::NoSuchName),
        code => Err(DnsError::Server(code)),
    }
}

struct Record {
    owner: Vec<u8>,
    data: Data,
}

enum Data {
    Text(Vec<u8>),
    Alias(Vec<u8>),
}

fn records(r: &mut Reader<'_>, count: usize, asked: Vec<u8>) -> Result<Answer, DnsError> {
    if count > MAX_RECORDS {
        return Err(DnsError::Malformed("it has too many records"));
    }
    let mut found = Vec::new();
    for _ in 0..count {
        found.extend(record(r)?);
    }
    let mut owner = asked;
    let mut aliases = Vec::new();
    loop {
        let mut next = found.iter().filter(|record| record.owner == owner).filter_map(|r| match &r.data {
            Data::Alias(target) => Some(target.clone()),
            Data::Text(_) => None,
        });
        let Some(target) = next.next() else { break };
        // RFC 1034 3.6.2: a name has one alias.
        if next.any(|other| other != target) {
            return Err(DnsError::Malformed("a name has two aliases"));
        }
        aliases.push(decoded(&target)?);
        if aliases.len() > MAX_CNAMES {
            return Err(DnsError::Malformed("its aliases make a loop"));
        }
        owner = target;
    }
    let texts = found.into_iter().filter(|record| record.owner == owner).filter_map(|r| match r.data {
        Data::Text(text) => Some(text),
        Data::Alias(_) => None,
    });
    Ok(Answer { aliases, texts: texts.collect() })
}

fn record(r: &mut Reader<'_>) -> Result<Option<Record>, DnsError> {
    let owner = r.name()?;
    let (kind, class) = (r.u16()?, r.u16()?);
    r.take(4)?;
    let length = usize::from(r.u16()?);
    let end = r.at.saturating_add(length);
    let data = match (kind, class) {
        (TXT, IN) => {
            let mut strings = r.take(length)?;
            let mut text = Vec::new();
            while let Some((n, rest)) = strings.split_first() {
                let (string, rest) = rest
                    .split_at_checked(usize::from(*n))
                    .ok_or(DnsError::Malformed("a TXT record ends within a string"))?;
                text.extend_from_slice(string);
                strings = rest;
            }
            Data::Text(text)
        }
        (CNAME, IN) => Data::Alias(r.name()?),
        _ => {
            r.take(length)?;
            return Ok(None);
        }
    };
    if r.at != end {
        return Err(DnsError::Malformed("a record is longer or shorter than it says"));
    }
    Ok(Some(Record { owner, data }))
}

/// A name on the wire, lower case, without compression.
fn encoded(name: &str) -> Result<Vec<u8>, DnsError> {
    let bad = || DnsError::Name(name.chars().take(80).collect());
    let mut out = Vec::with_capacity(name.len() + 2);
    for label in name.split('.') {
        let length = u8::try_from(label.len()).ok().filter(|n| (1..=MAX_LABEL).contains(&usize::from(*n)));
        out.push(length.ok_or_else(bad)?);
        out.extend(label.bytes().map(|b| b.to_ascii_lowercase()));
    }
    out.push(0);
    if out.len() <= MAX_NAME && name.is_ascii() { Ok(out) } else { Err(bad()) }
}

/// A name of letters, digits, hyphens and underscores, as text.
fn decoded(mut wire: &[u8]) -> Result<String, DnsError> {
    let mut labels: Vec<&str> = Vec::new();
    while let Some((length, rest)) = wire.split_first().filter(|(n, _)| **n > 0) {
        let (label, rest) = rest.split_at_checked(usize::from(*length)).unwrap_or_default();
        let plain = |b: &u8| b.is_ascii_alphanumeric() || b"-_".contains(b);
        let text = std::str::from_utf8(label).ok().filter(|_| label.iter().all(plain));
        labels.push(text.ok_or(DnsError::Malformed("an alias is no host's name"))?);
        wire = rest;
    }
    Ok(labels.join("."))
}

struct Reader<'a> {
    message: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], DnsError> {
        let end = self.at.saturating_add(n);
        let taken = self.message.get(self.at..end).ok_or(DnsError::Malformed("it ends early"))?;
        self.at = end;
        Ok(taken)
    }

    fn u8(&mut self) -> Result<u8, DnsError> {
        self.take(1).map(|b| b.first().copied().unwrap_or_default())
    }

    fn u16(&mut self) -> Result<u16, DnsError> {
        Ok(u16::from_be_bytes([self.u8()?, self.u8()?]))
    }

    /// RFC 1035 4.1.4, lower case. A pointer leads back only, so that reading ends.
    fn name(&mut self) -> Result<Vec<u8>, DnsError> {
        let mut out = Vec::new();
        let mut read = Reader { message: self.message, at: self.at };
        let mut behind = None;
        loop {
            let start = read.at;
            let length = usize::from(read.u8()?);
            match length {
                0 => break,
                1..=MAX_LABEL => {
                    let label = read.take(length)?;
                    out.push(u8::try_from(length).unwrap_or_default());
                    out.extend(label.iter().map(u8::to_ascii_lowercase));
                }
                192.. => {
                    let target = (length & 0b11_1111) << 8 | usize::from(read.u8()?);
                    behind.get_or_insert(read.at);
                    if target >= start {
                        return Err(DnsError::Malformed("a name points forward"));
                    }
                    read.at = target;
                }
                _ => return Err(DnsError::Malformed("a label of an unknown kind")),
            }
            // One byte for the end.
            if out.len() >= MAX_NAME {
                return Err(DnsError::Malformed("a name is too long"));
            }
        }
        out.push(0);
        self.at = behind.unwrap_or(read.at);
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "_acme-challenge.pacs.example";
    const ID: u16 = 0x1234;

    /// An answer with these records: owner (None: a pointer to the question), type, data.
    fn answer(records: &[(Option<&str>, u16, Vec<u8>)]) -> Vec<u8> {
        let mut out = query(NAME, ID).unwrap();
        out[2] = 0x81;
        out[3] = 0x80;
        out[7] = u8::try_from(records.len()).unwrap();
        for (owner, kind, data) in records {
            match owner {
                None => out.extend([0xc0, 12]),
                Some(name) => out.extend(encoded(name).unwrap()),
            }
            out.extend(kind.to_be_bytes());
            out.extend([0, 1, 0, 0, 0, 60]);
            out.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
            out.extend(data);
        }
        out
    }

    fn text(strings: &[&str]) -> Vec<u8> {
        strings.iter().flat_map(|s| [&[u8::try_from(s.len()).unwrap()], s.as_bytes()].concat()).collect()
    }

    fn name(text: &str) -> Vec<u8> {
        encoded(text).unwrap()
    }

    #[test]
    fn texts_are_joined_and_aliases_followed() {
        let plain =
            answer(&[(None, TXT, text(&["one"])), (None, TXT, text(&["t", "wo"])), (None, 46, vec![1; 9])]);
        let found = read(&plain, NAME, ID).unwrap();
        assert_eq!(found, Answer { aliases: vec![], texts: vec![b"one".to_vec(), b"two".to_vec()] });
        let alias = answer(&[
            (Some("elsewhere.example"), TXT, text(&["three"])),
            (None, CNAME, name("A.Example")),
            (Some("a.example"), CNAME, name("elsewhere.example")),
            (None, TXT, text(&["beside an alias nothing counts"])),
        ]);
        let found = read(&alias, NAME, ID).unwrap();
        assert_eq!(found.aliases, ["a.example", "elsewhere.example"]);
        assert_eq!(found.texts, [b"three"]);
        assert_eq!(read(&answer(&[]), NAME, ID).unwrap().texts.len(), 0);
        // Case of the question is the server's to keep or not.
        assert!(read(&plain, &NAME.to_ascii_uppercase(), ID).is_ok());
    }

    // I12
    #[test]
    fn what_is_no_answer_to_the_question_is_refused() {
        let good = answer(&[(None, TXT, text(&["one"]))]);
        let changed = |at: usize, to: u8| {
            let mut bytes = good.clone();
            bytes[at] = to;
            read(&bytes, NAME, ID).unwrap_err()
        };
        assert_eq!(changed(0, 9), DnsError::Malformed("it has another id"));
        assert_eq!(changed(2, 0x01), DnsError::Malformed("it is no whole response"));
        assert_eq!(changed(2, 0x83), DnsError::Malformed("it is no whole response"), "truncated");
        assert_eq!(changed(3, 0x83), DnsError::NoSuchName);
        assert_eq!(changed(3, 0x82), DnsError::Server(2));
        assert_eq!(changed(5, 2), DnsError::Malformed("it repeats another question"));
        assert_eq!(changed(14, b'x'), DnsError::Malformed("it repeats another question"));
        assert!(matches!(changed(7, 2), DnsError::Malformed(_)), "a record that is not there");
        let long = answer(&[(None, TXT, vec![9, b'a'])]);
        assert_eq!(read(&long, NAME, ID), Err(DnsError::Malformed("a TXT record ends within a string")));
        let looped = answer(&[(None, CNAME, name("b.example")), (Some("b.example"), CNAME, name(NAME))]);
        assert_eq!(read(&looped, NAME, ID), Err(DnsError::Malformed("its aliases make a loop")));
        let two = answer(&[(None, CNAME, name("b.example")), (None, CNAME, name("c.example"))]);
        assert_eq!(read(&two, NAME, ID), Err(DnsError::Malformed("a name has two aliases")));
        let odd = answer(&[(None, CNAME, vec![1, b'/', 0])]);
        assert_eq!(read(&odd, NAME, ID), Err(DnsError::Malformed("an alias is no host's name")));
        // A name that points at itself, and one that points ahead.
        let end = good.len() - 4 - 12;
        for to in [u8::try_from(end).unwrap(), 250] {
            let mut pointing = good.clone();
            pointing[end + 1] = to;
            assert!(matches!(read(&pointing, NAME, ID), Err(DnsError::Malformed(_))), "{to}");
        }
        assert_eq!(read(&vec![0; MAX_ANSWER + 1], NAME, ID), Err(DnsError::Malformed("it is too long")));
        for cut in 0..good.len() {
            assert!(read(&good[..cut], NAME, ID).is_err(), "cut to {cut}");
        }
    }

    #[test]
    fn only_names_that_dns_can_have_are_asked_for() {
        let long = ["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(63)].join(".");
        for bad in ["", "a..b", ".", "ü.example", &"a".repeat(64), &long] {
            assert!(query(bad, 1).is_err(), "{bad}");
        }
        assert!(query(NAME, 1).is_ok());
    }
}
