//! Sorts the cells of a row by their columns: a radix sort, least significant digit first (Knuth, The Art of Computer
//! Programming, volume 3, section 5.2.5). Cells are the column in the upper 32 bits and the value in the lower.

/// Values of a digit.
const RADIX: usize = 256;

/// Fewer cells than this are sorted by comparison, which is faster for them.
const FEW: usize = 64;

/// Sorts `cells` by column. Cells of the same column have no defined order. `spare` is a buffer to keep.
pub(crate) fn sort_by_column(cells: &mut Vec<u64>, spare: &mut Vec<u64>) {
    if cells.len() < FEW {
        return cells.sort_unstable();
    }
    let (all, any) = cells.iter().fold((u64::MAX, 0), |(all, any), cell| (all & cell, any | cell));
    spare.resize(cells.len(), 0);
    for shift in (32..64).step_by(8) {
        let digit = |cell: u64| (cell >> shift) as usize % RADIX;
        // A digit that is the same in all cells changes no order.
        if digit(all) == digit(any) {
            continue;
        }
        let mut places = [0u32; RADIX];
        cells.iter().for_each(|&cell| places[digit(cell)] += 1);
        let mut place = 0;
        for count in &mut places {
            place += std::mem::replace(count, place);
        }
        for &cell in cells.iter() {
            let place = &mut places[digit(cell)];
            spare[*place as usize] = cell;
            *place += 1;
        }
        std::mem::swap(cells, spare);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn sorts_as_comparing_does(
            columns in proptest::collection::hash_set(
                prop_oneof![0u32..300, 0u32..1 << 20, any::<u32>(), Just(u32::MAX)], 0..400),
            value: u32,
        ) {
            let mut cells: Vec<u64> = columns.iter().map(|&column| (column as u64) << 32 | value as u64).collect();
            let mut expected = cells.clone();
            expected.sort_unstable();
            sort_by_column(&mut cells, &mut vec![7; 3]);
            prop_assert_eq!(cells, expected);
        }
    }
}
