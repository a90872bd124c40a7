//! What came back, with nothing left out: order and case of headers, every byte of the body, and whether
//! the body ended or was cut.

/// The head of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The status, such as 200.
    pub status: u16,
    /// Names in lower case, in the order of the wire.
    pub headers: Vec<(String, String)>,
    /// The bytes, with the blank line.
    pub raw: Vec<u8>,
}

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// As its framing promised.
    Complete,
    /// The connection was closed too early (FIN).
    Cut,
    /// The connection was reset (RST).
    Reset,
    /// The chunks made no sense.
    Nonsense,
}

/// A body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    /// Its bytes, without chunk framing.
    pub bytes: Vec<u8>,
    /// How it ended.
    pub end: End,
}

/// A whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The status, such as 200.
    pub status: u16,
    /// Names in lower case, in the order of the wire.
    pub headers: Vec<(String, String)>,
    /// The body's bytes, without chunk framing.
    pub body: Vec<u8>,
    /// How the body ended.
    pub end: End,
}

impl Head {
    pub(crate) fn parse(raw: &[u8]) -> Head {
        let text = String::from_utf8_lossy(raw);
        let mut lines = text.split("\r\n");
        let first = lines.next().unwrap_or_default();
        let status = first.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        let Some(status) = status else { panic!("this is no status line: {first:?}") };
        let header = |line: &str| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_ascii_lowercase(), value.trim().to_owned()))
        };
        Head { status, headers: lines.filter_map(header).collect(), raw: raw.to_vec() }
    }

    /// The first header of this name (in lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }
}

impl Reply {
    /// The first header of this name (in lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// The body as text; what is not UTF-8 shows as `\u{fffd}`.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The data of the body's server-sent events.
    pub fn events(&self) -> Vec<String> {
        crate::events(&self.body)
    }
}

pub(crate) fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}
