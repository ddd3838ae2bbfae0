//! The types of the items of arrays, as NumPy names them.

use std::fmt;

/// The order of the bytes of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ByteOrder {
    /// `<`: the least significant byte comes first.
    Little,
    /// `>`: the most significant byte comes first.
    Big,
    /// `|`: an item is one byte, or has no order.
    None,
}

/// The kind of the items of an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ItemKind {
    /// `b`: false or true, in one byte.
    Bool,
    /// `i`: signed integers.
    Int,
    /// `u`: unsigned integers.
    Uint,
    /// `f`: floating-point numbers.
    Float,
    /// `c`: complex numbers, the real part first.
    Complex,
    /// `S`: text in bytes, filled with zeros.
    Text,
    /// `V`: bytes without a meaning.
    Void,
}

/// The type of the items of an array: the byte order, the kind and the number of bytes, as in
/// NumPy's `dtype.str`.
///
/// ```
/// use labwire_wire::buffers::Dtype;
///
/// let pixels: Dtype = "<u2".parse().expect("the text is a dtype");
/// assert_eq!(pixels.item_bytes(), 2);
/// assert_eq!(pixels.to_string(), "<u2");
/// assert!("<u3".parse::<Dtype>().is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Dtype {
    order: ByteOrder,
    kind: ItemKind,
    item_bytes: u32,
}

/// A text is not the `str` of a supported NumPy dtype.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a dtype is written as in NumPy's dtype.str, for example \"<u2\", \"<f8\" or \"|u1\"")]
pub struct UnknownDtype;

impl Dtype {
    /// Bytes: `|u1`.
    pub const BYTES: Self = Self {
        order: ByteOrder::None,
        kind: ItemKind::Uint,
        item_bytes: 1,
    };

    /// Returns the type of items of this kind and size.
    ///
    /// # Errors
    /// If there are no items of that size.
    pub fn new(order: ByteOrder, kind: ItemKind, item_bytes: u32) -> Result<Self, UnknownDtype> {
        let is_known = match kind {
            ItemKind::Bool => item_bytes == 1,
            ItemKind::Int | ItemKind::Uint => matches!(item_bytes, 1 | 2 | 4 | 8),
            ItemKind::Float => matches!(item_bytes, 2 | 4 | 8 | 16),
            ItemKind::Complex => matches!(item_bytes, 8 | 16 | 32),
            ItemKind::Text | ItemKind::Void => item_bytes > 0,
        };
        let needs_order = item_bytes > 1 && !matches!(kind, ItemKind::Text | ItemKind::Void);
        if !is_known || (needs_order && order == ByteOrder::None) {
            return Err(UnknownDtype);
        }
        let order = if needs_order { order } else { ByteOrder::None };
        Ok(Self {
            order,
            kind,
            item_bytes,
        })
    }

    /// Returns the order of an item's bytes.
    pub fn order(self) -> ByteOrder {
        self.order
    }

    /// Returns the kind of the items.
    pub fn kind(self) -> ItemKind {
        self.kind
    }

    /// Returns the number of bytes of an item.
    pub fn item_bytes(self) -> usize {
        self.item_bytes as usize
    }
}

impl std::str::FromStr for Dtype {
    type Err = UnknownDtype;

    fn from_str(text: &str) -> Result<Self, UnknownDtype> {
        let [order, kind, size @ ..] = text.as_bytes() else {
            return Err(UnknownDtype);
        };
        let order = match order {
            b'<' => ByteOrder::Little,
            b'>' => ByteOrder::Big,
            b'|' => ByteOrder::None,
            _ => return Err(UnknownDtype),
        };
        let kind = match kind {
            b'b' => ItemKind::Bool,
            b'i' => ItemKind::Int,
            b'u' => ItemKind::Uint,
            b'f' => ItemKind::Float,
            b'c' => ItemKind::Complex,
            b'S' => ItemKind::Text,
            b'V' => ItemKind::Void,
            _ => return Err(UnknownDtype),
        };
        let is_number = size.iter().all(u8::is_ascii_digit) && !size.starts_with(b"0");
        let size = str::from_utf8(size).ok().filter(|_| is_number);
        let size = size.and_then(|size| size.parse().ok()).ok_or(UnknownDtype)?;
        Self::new(order, kind, size)
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let order = match self.order {
            ByteOrder::Little => '<',
            ByteOrder::Big => '>',
            ByteOrder::None => '|',
        };
        let kind = match self.kind {
            ItemKind::Bool => 'b',
            ItemKind::Int => 'i',
            ItemKind::Uint => 'u',
            ItemKind::Float => 'f',
            ItemKind::Complex => 'c',
            ItemKind::Text => 'S',
            ItemKind::Void => 'V',
        };
        write!(formatter, "{order}{kind}{}", self.item_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_dtypes_of_numpy_are_known() {
        for known in [
            "|b1", "|i1", "<i8", ">u4", "<f2", "<f8", "<f16", "<c8", "|S20", "|V7",
        ] {
            assert_eq!(known.parse::<Dtype>().unwrap().to_string(), known);
        }
        assert_eq!("<u1".parse::<Dtype>().unwrap(), Dtype::BYTES);
        for unknown in [
            "",
            "<",
            "u2",
            "<u",
            "|u2",
            "<u02",
            "<u+2",
            "<x4",
            "<f3",
            "|O8",
            "<u2 ",
            "|S0",
            "|S99999999999",
        ] {
            assert_eq!(unknown.parse::<Dtype>(), Err(UnknownDtype), "{unknown}");
        }
    }
}
