//! A number and its noun in messages: `1 document`, `2 documents`.

/// `number` and the noun in its form for it. `one` and `many` may go on with a verb: `worker needs`, `workers need`.
pub fn counted(number: impl Into<u64>, one: &str, many: &str) -> String {
    let number = number.into();
    format!("{number} {}", if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::counted;

    #[test]
    fn one_is_singular() {
        let shown = [0u32, 1, 2].map(|number| counted(number, "worker needs", "workers need"));
        assert_eq!(shown, ["0 workers need", "1 worker needs", "2 workers need"]);
    }
}
