//! Arrays from and to those of the crate `ndarray`.

use ndarray::{ArrayView, Dimension, Ix0, Ix1, Ix2, Ix3, Ix4, Ix5, Ix6, IxDyn};

use super::array::{Array, ArrayError, Item};

impl Array {
    /// Returns the array without copying it. `D` has its number of dimensions, [`IxDyn`](type@ndarray::IxDyn) has any.
    ///
    /// Needs the feature `ndarray`.
    ///
    /// # Errors
    /// [`ArrayError::Type`], [`ArrayError::NumberOfDimensions`], or [`ArrayError::NotInPlace`] if the items
    /// must be copied. Those of a received frame need not be if they have the byte order of this computer
    /// and are those of its first array, or of the only one.
    ///
    /// ```
    /// use labwire_device::payload::Array;
    /// use ndarray::{Ix2, array};
    ///
    /// let image = Array::from_vec(&[2, 2], vec![1_u16, 2, 3, 4])?;
    /// assert_eq!(image.as_ndarray::<u16, Ix2>()?, array![[1, 2], [3, 4]]);
    /// assert_eq!(
    ///     image.as_ndarray::<f32, Ix2>().unwrap_err().to_string(),
    ///     "the items of the array are of the type <u2, not <f4; its shape is [2, 2]"
    /// );
    /// # Ok::<(), labwire_device::payload::ArrayError>(())
    /// ```
    pub fn as_ndarray<T: Item, D: Dimension>(&self) -> Result<ArrayView<'_, T, D>, ArrayError> {
        self.check_type::<T>()?;
        let items = self.as_slice::<T>().ok_or_else(|| ArrayError::NotInPlace {
            dtype: self.dtype(),
            shape: self.shape().to_vec(),
        })?;
        let view = ArrayView::from_shape(self.shape(), items).map_err(|_| self.wrong_shape())?;
        view.into_dimensionality()
            .map_err(|_| self.other_dimensions::<D>())
    }

    /// Returns a copy of the array, in the byte order of this computer. `D` has its number of dimensions,
    /// [`IxDyn`](type@ndarray::IxDyn) has any.
    ///
    /// Needs the feature `ndarray`.
    ///
    /// # Errors
    /// [`ArrayError::Type`] or [`ArrayError::NumberOfDimensions`].
    ///
    /// ```
    /// use labwire_device::payload::Array;
    /// use ndarray::{Ix1, Ix2, array};
    ///
    /// let image = Array::new(">u2".parse()?, &[1, 2], (&[0, 1, 0, 2][..]).into())?;
    /// assert_eq!(image.to_ndarray::<u16, Ix2>()?, array![[1, 2]]);
    /// assert_eq!(
    ///     image.to_ndarray::<u16, Ix1>().unwrap_err().to_string(),
    ///     "an array >u2 of the shape [1, 2] has 2 dimensions, not 1"
    /// );
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn to_ndarray<T: Item, D: Dimension>(&self) -> Result<ndarray::Array<T, D>, ArrayError> {
        self.check_dimensions::<D>()?;
        let items = self.to_vec()?;
        let array = ndarray::Array::from_shape_vec(self.shape(), items).map_err(|_| self.wrong_shape())?;
        array
            .into_dimensionality()
            .map_err(|_| self.other_dimensions::<D>())
    }

    fn check_dimensions<D: Dimension>(&self) -> Result<(), ArrayError> {
        match D::NDIM {
            Some(expected) if expected != self.shape().len() => Err(self.other_dimensions::<D>()),
            _ => Ok(()),
        }
    }

    fn other_dimensions<D: Dimension>(&self) -> ArrayError {
        ArrayError::NumberOfDimensions {
            dtype: self.dtype(),
            shape: self.shape().to_vec(),
            expected: D::NDIM.unwrap_or_default(),
        }
    }

    /// The shape has a 0, and its other numbers multiply to more than memory can have: `ndarray` refuses it.
    fn wrong_shape(&self) -> ArrayError {
        ArrayError::Shape {
            shape: self.shape().to_vec(),
            bytes: self.bytes().len(),
        }
    }
}

/// Moves the items if they are in row-major order, and copies them otherwise.
fn from_ndarray<T: Item, D: Dimension>(array: ndarray::Array<T, D>) -> Result<Array, ArrayError> {
    let shape = array.shape().to_vec();
    if !array.is_standard_layout() {
        return Array::from_vec(&shape, array.iter().copied().collect());
    }
    let count = array.len();
    let (items, offset) = array.into_raw_vec_and_offset();
    if count == items.len() {
        return Array::from_vec(&shape, items);
    }
    // A part of a longer array; an empty one has no offset.
    let start = offset.unwrap_or_default();
    Array::from_slice(&shape, &items[start..start + count])
}

macro_rules! of_fixed_dimensions {
    ($($dimension:ident)*) => {
        $(
            impl<T: Item> From<ndarray::Array<T, $dimension>> for Array {
                /// Moves the items if they are in row-major order and all of the memory's. Copies them otherwise: of
                /// columns in Fortran's order, and of a part of an array.
                fn from(array: ndarray::Array<T, $dimension>) -> Self {
                    from_ndarray(array).expect("an array in memory has few dimensions and a size")
                }
            }
        )*
    };
}

of_fixed_dimensions! { Ix0 Ix1 Ix2 Ix3 Ix4 Ix5 Ix6 }

impl<T: Item> TryFrom<ndarray::Array<T, IxDyn>> for Array {
    type Error = ArrayError;

    /// Converts as `From` does for arrays with a fixed number of dimensions. The error is
    /// [`ArrayError::Dimensions`] above 32.
    fn try_from(array: ndarray::Array<T, IxDyn>) -> Result<Self, ArrayError> {
        from_ndarray(array)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use ndarray::{Array2, ShapeBuilder, array};

    use super::*;

    #[test]
    fn items_in_row_major_order_are_moved_and_viewed_without_copies() {
        let image = Array2::from_shape_fn((3, 4), |(row, column)| 10 * row as u64 + column as u64);
        let memory = image.as_ptr().cast::<u8>();
        let expected = image.clone();
        let array = Array::from(image);
        assert_eq!(array.bytes().as_ptr(), memory);
        let view = array.as_ndarray::<u64, Ix2>().unwrap();
        assert_eq!(view, expected);
        assert_eq!(view.as_ptr().cast::<u8>(), memory);
        assert_eq!(array.to_ndarray::<u64, IxDyn>().unwrap(), expected.into_dyn());
    }

    #[test]
    fn other_orders_and_parts_are_copied_with_their_items_in_place() {
        let rows = array![[1.0_f32, 2.0, 3.0], [4.0, 5.0, 6.0]];
        let columns = Array2::from_shape_fn((2, 3).f(), |index| rows[index]);
        let mut reversed = rows.clone();
        reversed.invert_axis(ndarray::Axis(0));
        let mut part = rows.clone();
        part.slice_axis_inplace(ndarray::Axis(0), (1..).into());
        for (array, expected) in [
            (columns, vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
            (rows.clone().reversed_axes(), vec![1.0, 4.0, 2.0, 5.0, 3.0, 6.0]),
            (reversed, vec![4.0, 5.0, 6.0, 1.0, 2.0, 3.0]),
            (part, vec![4.0, 5.0, 6.0]),
            (Array2::zeros((0, 7)), vec![]),
        ] {
            let copied = Array::from(array.clone());
            assert_eq!(copied.shape(), array.shape());
            assert_eq!(copied.to_vec::<f32>().unwrap(), expected);
            assert_eq!(copied.to_ndarray::<f32, Ix2>().unwrap(), array);
        }
    }

    #[test]
    fn another_byte_order_or_an_odd_address_needs_a_copy() {
        let words = Array::from_vec(&[2], vec![9_u64, 0x0102]).unwrap();
        let bytes = words.bytes();
        for (dtype, bytes) in [(">u2", bytes.slice(..4)), ("<u2", bytes.slice(1..5))] {
            let array = Array::new(dtype.parse().unwrap(), &[2], bytes).unwrap();
            let error = array.as_ndarray::<u16, Ix1>().unwrap_err();
            assert!(matches!(error, ArrayError::NotInPlace { .. }));
            assert!(
                error.to_string().contains(&format!("{dtype} of the shape [2]")),
                "{error}"
            );
            let copied = array.to_ndarray::<u16, Ix1>().unwrap();
            assert_eq!(copied.to_vec(), array.to_vec::<u16>().unwrap());
        }
    }

    #[test]
    fn errors_name_the_type_and_the_shape() {
        let array = Array::from_vec(&[2, 3], vec![0_u8; 6]).unwrap();
        let errors = [
            array.as_ndarray::<i8, Ix2>().unwrap_err(),
            array.as_ndarray::<u8, Ix1>().unwrap_err(),
            array.to_ndarray::<i8, Ix2>().unwrap_err(),
            array.to_ndarray::<u8, Ix3>().unwrap_err(),
        ];
        for error in errors {
            let text = error.to_string();
            assert!(text.contains("|u1") && text.contains("[2, 3]"), "{text}");
        }
        let deep = ndarray::Array::<u8, IxDyn>::zeros(vec![1; 33]);
        assert!(matches!(Array::try_from(deep), Err(ArrayError::Dimensions(_))));
        // Nothing, of more than the memory could have.
        let dtype = "<f8".parse().unwrap();
        let nothing = Array::new(dtype, &[usize::MAX, 2, 0], Bytes::new()).unwrap();
        for error in [
            nothing.as_ndarray::<f64, IxDyn>().unwrap_err(),
            nothing.to_ndarray::<f64, Ix3>().map(drop).unwrap_err(),
        ] {
            assert!(matches!(error, ArrayError::Shape { .. }), "{error}");
        }
    }
}
