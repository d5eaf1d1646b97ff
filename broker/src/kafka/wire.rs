//! The primitives of Kafka's wire format, read by position from a frame.
//!
//! *Invariant:* nothing here allocates by a number read from the wire, and nothing reads beyond the frame.

use bytes::Bytes;

/// How strings, arrays and structs are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Lengths of fixed width; structs end with their last field.
    Classic,
    /// Lengths as variable-width numbers plus one; tagged fields at the end of each struct (KIP-482).
    Flexible,
}

/// Why bytes are not the request they claim to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    /// The frame ends too early.
    #[error("the request ends inside field {field:?}, at byte {at}")]
    CutOff {
        /// Which field was being read.
        field: &'static str,
        /// Where it begins, counted from the beginning of the frame.
        at: usize,
    },
    /// A length or count is negative where none may be, or not a number at all.
    #[error("field {field:?} at byte {at} has an impossible length")]
    Length {
        /// Which field.
        field: &'static str,
        /// Where it begins, counted from the beginning of the frame.
        at: usize,
    },
    /// A string is not UTF-8.
    #[error("field {field:?} at byte {at} is not UTF-8")]
    Text {
        /// Which field.
        field: &'static str,
        /// Where it begins, counted from the beginning of the frame.
        at: usize,
    },
    /// More elements than a request may have in all its arrays together.
    #[error("the request has more than {limit} array elements")]
    TooMany {
        /// The largest number allowed, inclusive.
        limit: usize,
    },
    /// The decoder refused what the guard had let pass.
    #[error("the request could not be decoded")]
    Decode,
}

/// Reads a frame from a position on.
#[derive(Clone, Debug)]
pub(crate) struct Cursor<'a> {
    frame: &'a Bytes,
    at: usize,
}

impl<'a> Cursor<'a> {
    /// Begins at byte `at` of the frame.
    pub(crate) fn new(frame: &'a Bytes, at: usize) -> Self {
        Self { frame, at: at.min(frame.len()) }
    }

    /// Where it stands, in bytes from the beginning of the frame.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    /// How many bytes are left.
    pub(crate) fn remaining(&self) -> usize {
        self.frame.len() - self.at
    }

    /// Steps over `count` bytes.
    pub(crate) fn skip(&mut self, count: usize, field: &'static str) -> Result<(), Malformed> {
        if count > self.remaining() {
            return Err(Malformed::CutOff { field, at: self.at });
        }
        self.at += count;
        Ok(())
    }

    fn fixed<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], Malformed> {
        let from = self.at;
        self.skip(N, field)?;
        let bytes = self.frame.get(from..self.at).and_then(|bytes| bytes.try_into().ok());
        bytes.ok_or(Malformed::CutOff { field, at: from })
    }

    /// Reads a 16-bit number.
    pub(crate) fn i16(&mut self, field: &'static str) -> Result<i16, Malformed> {
        self.fixed(field).map(i16::from_be_bytes)
    }

    /// Reads a 32-bit number.
    pub(crate) fn i32(&mut self, field: &'static str) -> Result<i32, Malformed> {
        self.fixed(field).map(i32::from_be_bytes)
    }

    /// Reads an unsigned number of variable width, at most 32 bits.
    pub(crate) fn uvarint(&mut self, field: &'static str) -> Result<u32, Malformed> {
        let from = self.at;
        let mut number = 0u64;
        for position in 0..5 {
            let [byte] = self.fixed(field)?;
            number |= u64::from(byte & 0x7f) << (7 * position);
            if byte & 0x80 == 0 {
                return u32::try_from(number).map_err(|_| Malformed::Length { field, at: from });
            }
        }
        Err(Malformed::Length { field, at: from })
    }

    /// Reads the length of a string (`None` for null), in bytes, and checks that as many are left.
    fn text_length(&mut self, layout: Layout, field: &'static str) -> Result<Option<usize>, Malformed> {
        let at = self.at;
        let length = match layout {
            Layout::Classic => i64::from(self.i16(field)?),
            Layout::Flexible => i64::from(self.uvarint(field)?) - 1,
        };
        self.checked_length(length, field, at)
    }

    fn checked_length(
        &self,
        length: i64,
        field: &'static str,
        at: usize,
    ) -> Result<Option<usize>, Malformed> {
        match usize::try_from(length) {
            Ok(length) if length <= self.remaining() => Ok(Some(length)),
            Ok(_) => Err(Malformed::CutOff { field, at }),
            Err(_) if length == -1 => Ok(None),
            Err(_) => Err(Malformed::Length { field, at }),
        }
    }

    /// Steps over a string, null or not.
    pub(crate) fn skip_text(&mut self, layout: Layout, field: &'static str) -> Result<(), Malformed> {
        let length = self.text_length(layout, field)?.unwrap_or(0);
        self.skip(length, field)
    }

    /// Reads a string; `None` if it is null.
    pub(crate) fn text(&mut self, layout: Layout, field: &'static str) -> Result<Option<&'a str>, Malformed> {
        let Some(length) = self.text_length(layout, field)? else { return Ok(None) };
        let from = self.at;
        self.skip(length, field)?;
        let bytes = self.frame.get(from..self.at).unwrap_or_default();
        let text = std::str::from_utf8(bytes).map_err(|_| Malformed::Text { field, at: from })?;
        Ok(Some(text))
    }

    /// Takes a slice of the frame without a copy; `None` if it is null.
    pub(crate) fn bytes(&mut self, layout: Layout, field: &'static str) -> Result<Option<Bytes>, Malformed> {
        let at = self.at;
        let length = match layout {
            Layout::Classic => i64::from(self.i32(field)?),
            Layout::Flexible => i64::from(self.uvarint(field)?) - 1,
        };
        let Some(length) = self.checked_length(length, field, at)? else { return Ok(None) };
        let from = self.at;
        self.skip(length, field)?;
        Ok(Some(self.frame.slice(from..self.at)))
    }

    /// Reads how many elements an array has (`None` for null) and checks that as many of at least `element_min`
    /// bytes could follow.
    pub(crate) fn count(
        &mut self,
        layout: Layout,
        element_min: usize,
        field: &'static str,
    ) -> Result<Option<usize>, Malformed> {
        let at = self.at;
        let count = match layout {
            Layout::Classic => i64::from(self.i32(field)?),
            Layout::Flexible => i64::from(self.uvarint(field)?) - 1,
        };
        match usize::try_from(count) {
            Ok(count) if count.saturating_mul(element_min.max(1)) <= self.remaining() => Ok(Some(count)),
            Ok(_) => Err(Malformed::CutOff { field, at }),
            Err(_) if count == -1 => Ok(None),
            Err(_) => Err(Malformed::Length { field, at }),
        }
    }

    /// Steps over the tagged fields at the end of a struct, and says how many there were. Nothing in the classic
    /// layout.
    pub(crate) fn skip_tags(&mut self, layout: Layout) -> Result<usize, Malformed> {
        const FIELD: &str = "tagged fields";
        if layout == Layout::Classic {
            return Ok(0);
        }
        let at = self.at;
        let count = self.uvarint(FIELD)? as usize;
        if count.saturating_mul(2) > self.remaining() {
            return Err(Malformed::CutOff { field: FIELD, at });
        }
        for _ in 0..count {
            self.uvarint(FIELD)?;
            let size = self.uvarint(FIELD)? as usize;
            self.skip(size, FIELD)?;
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(bytes: &'static [u8]) -> Bytes {
        Bytes::from_static(bytes)
    }

    #[test]
    fn strings_are_read_in_both_layouts_and_null_is_told_from_empty() {
        let classic = frame(b"\x00\x02hi\xff\xff\x00\x00");
        let mut cursor = Cursor::new(&classic, 0);
        assert_eq!(cursor.text(Layout::Classic, "a"), Ok(Some("hi")));
        assert_eq!(cursor.text(Layout::Classic, "b"), Ok(None));
        assert_eq!(cursor.text(Layout::Classic, "c"), Ok(Some("")));
        assert_eq!(cursor.text(Layout::Classic, "d"), Err(Malformed::CutOff { field: "d", at: 8 }));
        let flexible = frame(b"\x03hi\x00\x01");
        let mut cursor = Cursor::new(&flexible, 0);
        assert_eq!(cursor.text(Layout::Flexible, "a"), Ok(Some("hi")));
        assert_eq!(cursor.text(Layout::Flexible, "b"), Ok(None));
        assert_eq!(cursor.text(Layout::Flexible, "c"), Ok(Some("")));
        assert_eq!(cursor.remaining(), 0);
    }

    #[test]
    fn lengths_that_cannot_be_are_refused() {
        let negative = frame(b"\xff\xfe");
        let refused = Cursor::new(&negative, 0).text(Layout::Classic, "a");
        assert_eq!(refused, Err(Malformed::Length { field: "a", at: 0 }));
        let endless = frame(b"\xff\xff\xff\xff\xff\x01");
        let refused = Cursor::new(&endless, 0).uvarint("a");
        assert_eq!(refused, Err(Malformed::Length { field: "a", at: 0 }));
        let not_text = frame(b"\x00\x01\xff");
        let refused = Cursor::new(&not_text, 0).text(Layout::Classic, "a");
        assert_eq!(refused, Err(Malformed::Text { field: "a", at: 2 }));
    }

    #[test]
    fn a_count_is_refused_when_its_elements_could_not_fit() {
        let four = frame(b"\x00\x00\x00\x02\x00\x00\x00\x00");
        assert_eq!(Cursor::new(&four, 0).count(Layout::Classic, 2, "a"), Ok(Some(2)));
        let refused = Cursor::new(&four, 0).count(Layout::Classic, 3, "a");
        assert_eq!(refused, Err(Malformed::CutOff { field: "a", at: 0 }));
        let null = frame(b"\xff\xff\xff\xff");
        assert_eq!(Cursor::new(&null, 0).count(Layout::Classic, 1, "a"), Ok(None));
        let huge = frame(b"\x7f\xff\xff\xff");
        assert!(Cursor::new(&huge, 0).count(Layout::Classic, 1, "a").is_err());
    }
}
