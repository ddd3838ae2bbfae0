//! What a terminal shows after a program has written to it.

/// Returns the lines of a terminal of this size, without blanks at their ends. Understands what `labwire`
/// writes to a whole screen: the place of the cursor, and what is cleared. As on the real one, the cursor stays
/// on the last column of a line that is full. Characters that take two columns are taken for narrow ones.
pub(super) fn rendered(written: &str, (columns, rows): (u16, u16)) -> Vec<String> {
    let (columns, rows) = (usize::from(columns), usize::from(rows));
    let mut cells = vec![vec![' '; columns]; rows];
    let (mut column, mut row) = (0, 0);
    let mut characters = written.chars();
    while let Some(character) = characters.next() {
        match character {
            '\u{1b}' => {
                if characters.next() != Some('[') {
                    continue;
                }
                let mut parameters = String::new();
                let last = loop {
                    match characters.next() {
                        Some(end @ '@'..='~') => break end,
                        Some(parameter) => parameters.push(parameter),
                        None => break ' ',
                    }
                };
                let mut numbers = parameters.split(';').map(|number| number.parse().unwrap_or(0));
                let first: usize = numbers.next().unwrap_or(0);
                match last {
                    'H' => {
                        row = first.saturating_sub(1).min(rows - 1);
                        column = numbers.next().unwrap_or(0).saturating_sub(1).min(columns - 1);
                    }
                    'K' if first == 0 => cells[row][column..].fill(' '),
                    'J' if first == 2 => cells.iter_mut().for_each(|line| line.fill(' ')),
                    'J' if first == 0 => {
                        cells[row][column..].fill(' ');
                        cells[row + 1..].iter_mut().for_each(|line| line.fill(' '));
                    }
                    _ => {}
                }
            }
            '\r' => column = 0,
            '\n' => row = (row + 1).min(rows - 1),
            character => {
                cells[row][column] = character;
                column = (column + 1).min(columns - 1);
            }
        }
    }
    let line = |cells: Vec<char>| cells.iter().collect::<String>().trim_end().to_owned();
    cells.into_iter().map(line).collect()
}
