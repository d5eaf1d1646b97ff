//! A response on its way out: a few segments, so that record bytes are never copied.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::wire::Layout;

/// Bytes of the length before each response.
const LENGTH_BYTES: usize = 4;

/// A whole response with its length in front, ready to be written. A [`Buf`] whose chunks are its segments.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Reply {
    segments: VecDeque<Bytes>,
    remaining: usize,
}

impl Buf for Reply {
    fn remaining(&self) -> usize {
        self.remaining
    }

    fn chunk(&self) -> &[u8] {
        self.segments.front().map_or(&[], |segment| segment)
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut filled = 0;
        for (slice, segment) in slices.iter_mut().zip(&self.segments) {
            *slice = IoSlice::new(segment);
            filled += 1;
        }
        filled
    }

    fn advance(&mut self, mut count: usize) {
        assert!(count <= self.remaining, "advanced past the end of a reply");
        self.remaining -= count;
        while let Some(first) = self.segments.front_mut() {
            if count < first.len() {
                first.advance(count);
                return;
            }
            count -= first.len();
            self.segments.pop_front();
        }
    }
}

/// Writes a response. Small things are gathered; shared bytes become segments of their own.
#[derive(Debug)]
pub(crate) struct ReplyWriter {
    /// The first segment, kept until the end because the length is written into it.
    first: Option<BytesMut>,
    segments: VecDeque<Bytes>,
    shared: usize,
    open: BytesMut,
    layout: Layout,
}

impl ReplyWriter {
    /// Begins a response: a place for its length, and its header. `layout` is that of the body.
    pub(crate) fn new(correlation_id: i32, header: Layout, layout: Layout) -> Self {
        let mut open = BytesMut::with_capacity(256);
        open.put_u32(0);
        open.put_i32(correlation_id);
        if header == Layout::Flexible {
            open.put_u8(0);
        }
        Self { first: None, segments: VecDeque::new(), shared: 0, open, layout }
    }

    /// Where a generated encoder writes the body.
    pub(crate) fn body(&mut self) -> &mut BytesMut {
        &mut self.open
    }

    pub(crate) fn i16(&mut self, number: i16) {
        self.open.put_i16(number);
    }

    pub(crate) fn i32(&mut self, number: i32) {
        self.open.put_i32(number);
    }

    pub(crate) fn i64(&mut self, number: i64) {
        self.open.put_i64(number);
    }

    /// Writes how many elements an array has; `None` for null.
    pub(crate) fn count(&mut self, count: Option<usize>) {
        match self.layout {
            Layout::Classic => self.open.put_i32(count.map_or(-1, |count| count as i32)),
            Layout::Flexible => self.uvarint(count.map_or(0, |count| count as u32 + 1)),
        }
    }

    /// Writes a string; `None` for null.
    pub(crate) fn text(&mut self, text: Option<&str>) {
        let length = text.map(str::len);
        match self.layout {
            Layout::Classic => self.open.put_i16(length.map_or(-1, |length| length as i16)),
            Layout::Flexible => self.uvarint(length.map_or(0, |length| length as u32 + 1)),
        }
        self.open.put_slice(text.unwrap_or_default().as_bytes());
    }

    /// Writes a byte string made of `parts` without copying them. Empty is written as empty and never as null.
    pub(crate) fn shared(&mut self, parts: Vec<Bytes>) {
        let length: usize = parts.iter().map(Bytes::len).sum();
        match self.layout {
            Layout::Classic => self.open.put_i32(length as i32),
            Layout::Flexible => self.uvarint(length as u32 + 1),
        }
        if length == 0 {
            return;
        }
        let gathered = self.open.split();
        if self.first.is_none() {
            self.first = Some(gathered);
        } else {
            self.shared += gathered.len();
            self.segments.push_back(gathered.freeze());
        }
        self.shared += length;
        self.segments.extend(parts.into_iter().filter(|part| !part.is_empty()));
    }

    /// Ends a struct without tagged fields.
    pub(crate) fn no_tags(&mut self) {
        if self.layout == Layout::Flexible {
            self.open.put_u8(0);
        }
    }

    fn uvarint(&mut self, mut number: u32) {
        while number >= 0x80 {
            self.open.put_u8(number as u8 | 0x80);
            number >>= 7;
        }
        self.open.put_u8(number as u8);
    }

    /// Ends the response and writes its length.
    pub(crate) fn finish(mut self) -> Reply {
        let (mut first, last) = match self.first.take() {
            Some(first) => (first, self.open),
            None => (self.open, BytesMut::new()),
        };
        let remaining = first.len() + self.shared + last.len();
        let length = (remaining - LENGTH_BYTES) as u32;
        first[..LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
        self.segments.push_front(first.freeze());
        if !last.is_empty() {
            self.segments.push_back(last.freeze());
        }
        Reply { segments: self.segments, remaining }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_covers_all_segments_and_shared_bytes_are_not_copied() {
        let records = Bytes::from(vec![7u8; 100]);
        let mut writer = ReplyWriter::new(5, Layout::Flexible, Layout::Flexible);
        writer.i16(1);
        writer.shared(vec![records.clone(), Bytes::new(), records.clone()]);
        writer.shared(Vec::new());
        writer.shared(vec![records.clone()]);
        writer.text(Some("end"));
        let mut reply = writer.finish();
        let shared = reply.segments.iter().filter(|segment| segment.as_ptr() == records.as_ptr()).count();
        assert_eq!(shared, 3);
        let total = reply.remaining();
        assert_eq!(reply.get_u32() as usize, total - 4);
        assert_eq!(reply.get_i32(), 5);
        let rest = reply.copy_to_bytes(reply.remaining());
        assert_eq!(rest.len(), 1 + 2 + 2 + 200 + 1 + 1 + 100 + 4);
        assert!(rest.ends_with(b"\x04end"));
    }

    #[test]
    fn a_reply_may_be_taken_in_pieces_of_any_size() {
        let mut writer = ReplyWriter::new(1, Layout::Classic, Layout::Classic);
        writer.shared(vec![Bytes::from_static(b"abc"), Bytes::from_static(b"def")]);
        writer.i64(9);
        let reply = writer.finish();
        let whole = reply.clone().copy_to_bytes(reply.remaining());
        for step in 1..=whole.len() {
            let mut pieces = reply.clone();
            let mut taken = Vec::new();
            while pieces.has_remaining() {
                let next = step.min(pieces.chunk().len());
                taken.extend_from_slice(&pieces.chunk()[..next]);
                pieces.advance(next);
            }
            assert_eq!(taken, whole);
        }
    }
}
