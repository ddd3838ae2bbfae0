//! A canvas of dots: several of them in each character cell, in the patterns of braille, or one.

/// The dots of a braille character, by row and column.
const BRAILLE: [[u32; 2]; 4] = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];

/// The first braille character, the one without dots.
const BLANK: u32 = 0x2800;

/// A canvas.
pub(super) struct Canvas {
    columns: usize,
    rows: usize,
    is_braille: bool,
    /// The dots of each cell, as bits.
    cells: Vec<u32>,
}

impl Canvas {
    /// Creates an empty canvas of this size in character cells. Without braille it has one dot per
    /// cell.
    pub(super) fn new(columns: usize, rows: usize, is_braille: bool) -> Self {
        Self {
            columns,
            rows,
            is_braille,
            cells: vec![0; columns * rows],
        }
    }

    /// Returns how many dots it is wide.
    pub(super) fn width(&self) -> usize {
        self.columns * if self.is_braille { 2 } else { 1 }
    }

    /// Returns how many dots it is high.
    pub(super) fn height(&self) -> usize {
        self.rows * if self.is_braille { 4 } else { 1 }
    }

    /// Sets a dot; (0, 0) is at the upper left. Dots outside are left out.
    pub(super) fn dot(&mut self, x: usize, y: usize) {
        if x >= self.width() || y >= self.height() {
            return;
        }
        let (column, row, bit) = if self.is_braille {
            (x / 2, y / 4, BRAILLE[y % 4][x % 2])
        } else {
            (x, y, 1)
        };
        self.cells[row * self.columns + column] |= bit;
    }

    /// Sets the dots between two dots, with a line as high as it must be in each column.
    pub(super) fn line(&mut self, from: (usize, usize), to: (usize, usize)) {
        let ((left, from), (right, to)) = if from.0 <= to.0 { (from, to) } else { (to, from) };
        let width = right - left;
        // The height at a quarter of the way is rounded to the nearest dot.
        let height = |step: usize| {
            let (from, to) = (from * (width - step), to * step);
            (2 * (from + to) + width) / (2 * width)
        };
        if width == 0 {
            for y in from.min(to)..=from.max(to) {
                self.dot(left, y);
            }
            return;
        }
        for step in 0..width {
            let (begin, end) = (height(step), height(step + 1));
            // The last dot of a steep part belongs to the next column.
            let (low, high) = (begin.min(end), begin.max(end));
            for y in low..=high {
                let is_end = y == end && begin != end;
                self.dot(left + step + usize::from(is_end), y);
            }
        }
        self.dot(right, to);
    }

    /// Returns a row of characters.
    pub(super) fn row(&self, row: usize) -> String {
        let cells = &self.cells[row * self.columns..(row + 1) * self.columns];
        let character = |&dots: &u32| match dots {
            0 => ' ',
            _ if self.is_braille => char::from_u32(BLANK + dots).unwrap_or(' '),
            _ => '*',
        };
        cells.iter().map(character).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(is_braille: bool, lines: &[[(usize, usize); 2]]) -> Vec<String> {
        let mut canvas = Canvas::new(3, 2, is_braille);
        for [from, to] in lines {
            canvas.line(*from, *to);
        }
        (0..2).map(|row| canvas.row(row)).collect()
    }

    #[test]
    fn lines_join_their_ends() {
        assert_eq!(drawn(true, &[[(0, 0), (5, 0)]]), ["⠉⠉⠉", "   "]);
        assert_eq!(drawn(true, &[[(0, 7), (0, 0)]]), ["⡇  ", "⡇  "]);
        assert_eq!(drawn(true, &[[(5, 0), (0, 5)]]), [" ⡠⠊", "⠊  "]);
        assert_eq!(drawn(false, &[[(0, 1), (2, 0)]]), ["  *", "** "]);
        assert_eq!(
            drawn(false, &[[(2, 0), (2, 0)], [(9, 9), (9, 9)]]),
            ["  *", "   "]
        );
    }
}
