//! Counts and lengths of a request checked before a decoder believes them.
//!
//! The generated decoders reserve memory for as many elements as an array says it has: eight bytes can ask for
//! gigabytes, and a failed allocation ends the process. The guard walks a body by its shape first, so that a decoder
//! never sees a count whose elements could not all be there, nor more than [`ELEMENTS_MAX`] elements altogether.
//!
//! *Invariant:* a body that passes makes its decoder allocate for at most [`ELEMENTS_MAX`] elements. The guard
//! itself allocates nothing. Bytes after the body are ignored, as Kafka does.

use super::api::Api;
use super::header::Request;
use super::wire::{Cursor, Layout, Malformed};

/// How many array elements and tagged fields a request may have altogether, inclusive. A decoded element takes
/// up to some 150 bytes.
pub(crate) const ELEMENTS_MAX: usize = 200_000;

/// A field of a struct, in the versions that have it.
struct Field {
    name: &'static str,
    /// First version that has it.
    since: i16,
    /// Last version that has it, inclusive.
    until: i16,
    shape: Shape,
}

/// How a field is laid out.
enum Shape {
    /// So many bytes.
    Fixed(usize),
    /// A string, perhaps null.
    Text,
    /// An array of numbers of so many bytes, perhaps null.
    Numbers(usize),
    /// An array of strings, perhaps null.
    Texts,
    /// An array of structs, perhaps null.
    Structs(&'static [Field]),
}

use Shape::{Fixed, Numbers, Structs, Text, Texts};

const fn field(name: &'static str, shape: Shape) -> Field {
    Field { name, since: 0, until: i16::MAX, shape }
}

const fn since(since: i16, name: &'static str, shape: Shape) -> Field {
    Field { name, since, until: i16::MAX, shape }
}

const fn between(since: i16, until: i16, name: &'static str, shape: Shape) -> Field {
    Field { name, since, until, shape }
}

const FETCH: &[Field] = &[
    field("replica id", Fixed(4)),
    field("max wait", Fixed(4)),
    field("min bytes", Fixed(4)),
    field("max bytes", Fixed(4)),
    field("isolation level", Fixed(1)),
    since(7, "session id", Fixed(4)),
    since(7, "session epoch", Fixed(4)),
    field("topics", Structs(FETCH_TOPIC)),
    since(7, "forgotten topics", Structs(FORGOTTEN_TOPIC)),
    since(11, "rack id", Text),
];
const FETCH_TOPIC: &[Field] = &[field("topic", Text), field("partitions", Structs(FETCH_PARTITION))];
const FETCH_PARTITION: &[Field] = &[
    field("partition", Fixed(4)),
    since(9, "current leader epoch", Fixed(4)),
    field("fetch offset", Fixed(8)),
    since(12, "last fetched epoch", Fixed(4)),
    since(5, "log start offset", Fixed(8)),
    field("partition max bytes", Fixed(4)),
];
const FORGOTTEN_TOPIC: &[Field] = &[field("topic", Text), field("partitions", Numbers(4))];

const LIST_OFFSETS: &[Field] = &[
    field("replica id", Fixed(4)),
    since(2, "isolation level", Fixed(1)),
    field("topics", Structs(LIST_OFFSETS_TOPIC)),
];
const LIST_OFFSETS_TOPIC: &[Field] =
    &[field("name", Text), field("partitions", Structs(LIST_OFFSETS_PARTITION))];
const LIST_OFFSETS_PARTITION: &[Field] =
    &[field("partition", Fixed(4)), since(4, "current leader epoch", Fixed(4)), field("timestamp", Fixed(8))];

const METADATA: &[Field] = &[
    field("topics", Structs(METADATA_TOPIC)),
    since(4, "allow auto topic creation", Fixed(1)),
    between(8, 10, "include cluster authorized operations", Fixed(1)),
    since(8, "include topic authorized operations", Fixed(1)),
];
const METADATA_TOPIC: &[Field] = &[since(10, "topic id", Fixed(16)), field("name", Text)];

const FIND_COORDINATOR: &[Field] =
    &[between(0, 3, "key", Text), since(1, "key type", Fixed(1)), since(4, "coordinator keys", Texts)];

const API_VERSIONS: &[Field] =
    &[since(3, "client software name", Text), since(3, "client software version", Text)];

const CREATE_TOPICS: &[Field] = &[
    field("topics", Structs(CREATABLE_TOPIC)),
    field("timeout", Fixed(4)),
    field("validate only", Fixed(1)),
];
const CREATABLE_TOPIC: &[Field] = &[
    field("name", Text),
    field("num partitions", Fixed(4)),
    field("replication factor", Fixed(2)),
    field("assignments", Structs(ASSIGNMENT)),
    field("configs", Structs(CONFIG)),
];
const ASSIGNMENT: &[Field] = &[field("partition", Fixed(4)), field("broker ids", Numbers(4))];
const CONFIG: &[Field] = &[field("name", Text), field("value", Text)];

const DELETE_TOPICS: &[Field] = &[
    between(0, 5, "topic names", Texts),
    since(6, "topics", Structs(DELETABLE_TOPIC)),
    field("timeout", Fixed(4)),
];
const DELETABLE_TOPIC: &[Field] = &[field("name", Text), field("topic id", Fixed(16))];

const INIT_PRODUCER_ID: &[Field] = &[
    field("transactional id", Text),
    field("transaction timeout", Fixed(4)),
    since(3, "producer id", Fixed(8)),
    since(3, "producer epoch", Fixed(2)),
];

/// Checks the body of a request that a generated decoder is about to decode. Produce is not among them: its own
/// walk does the same.
///
/// # Errors
/// See [`Malformed`].
pub(crate) fn check(request: &Request) -> Result<(), Malformed> {
    let fields = match request.served.api {
        Api::Produce => return Ok(()),
        Api::Fetch => FETCH,
        Api::ListOffsets => LIST_OFFSETS,
        Api::Metadata => METADATA,
        Api::FindCoordinator => FIND_COORDINATOR,
        Api::ApiVersions => API_VERSIONS,
        Api::CreateTopics => CREATE_TOPICS,
        Api::DeleteTopics => DELETE_TOPICS,
        Api::InitProducerId => INIT_PRODUCER_ID,
    };
    let version = request.version;
    let layout = request.served.layout(version);
    Walk { cursor: request.body(), version, layout, elements: 0 }.structure(fields)
}

struct Walk<'a> {
    cursor: Cursor<'a>,
    version: i16,
    layout: Layout,
    elements: usize,
}

impl Walk<'_> {
    fn structure(&mut self, fields: &'static [Field]) -> Result<(), Malformed> {
        let version = self.version;
        for field in fields.iter().filter(|field| field.is_in(version)) {
            self.field(field)?;
        }
        let tags = self.cursor.skip_tags(self.layout)?;
        self.spend(tags)
    }

    fn field(&mut self, field: &'static Field) -> Result<(), Malformed> {
        let name = field.name;
        match field.shape {
            Fixed(size) => self.cursor.skip(size, name),
            Text => self.cursor.skip_text(self.layout, name),
            Numbers(size) => {
                let count = self.count(size, name)?;
                self.cursor.skip(count.saturating_mul(size), name)
            }
            Texts => {
                let count = self.count(text_min(self.layout), name)?;
                (0..count).try_for_each(|_| self.cursor.skip_text(self.layout, name))
            }
            Structs(fields) => {
                let count = self.count(struct_min(fields, self.version, self.layout), name)?;
                (0..count).try_for_each(|_| self.structure(fields))
            }
        }
    }

    fn count(&mut self, element_min: usize, name: &'static str) -> Result<usize, Malformed> {
        let count = self.cursor.count(self.layout, element_min, name)?.unwrap_or(0);
        self.spend(count)?;
        Ok(count)
    }

    fn spend(&mut self, elements: usize) -> Result<(), Malformed> {
        self.elements = self.elements.saturating_add(elements);
        if self.elements > ELEMENTS_MAX {
            return Err(Malformed::TooMany { limit: ELEMENTS_MAX });
        }
        Ok(())
    }
}

impl Field {
    fn is_in(&self, version: i16) -> bool {
        (self.since..=self.until).contains(&version)
    }
}

const fn text_min(layout: Layout) -> usize {
    match layout {
        Layout::Classic => 2,
        Layout::Flexible => 1,
    }
}

/// The fewest bytes that a struct can take.
fn struct_min(fields: &[Field], version: i16, layout: Layout) -> usize {
    let (array, tags) = match layout {
        Layout::Classic => (4, 0),
        Layout::Flexible => (1, 1),
    };
    let present = fields.iter().filter(|field| field.is_in(version));
    let sizes = present.map(|field| match field.shape {
        Fixed(size) => size,
        Text => text_min(layout),
        Numbers(_) | Texts | Structs(_) => array,
    });
    sizes.sum::<usize>() + tags
}
