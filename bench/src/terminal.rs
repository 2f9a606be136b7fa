//! The results for a terminal: aligned tables with a sentence under each, the claims, and last the verdict.

use crate::results::{BenchReport, Cell, Column, Holds, Table};
use bowline::cli::messages::{printable, write_line};
use bowline_workers::counted::counted;
use comfy_table::{CellAlignment, ContentArrangement, presets};
use std::io::{self, Write};

/// Writes all results.
///
/// # Errors
/// If the writer fails.
pub fn write(out: &mut dyn Write, report: &BenchReport) -> io::Result<()> {
    let (machine, corpus) = (&report.machine, &report.corpus);
    let mut line = |text: String| text.lines().try_for_each(|line| write_line(out, line));
    line(format!(
        "{}, {}, {:.0} GB, {}",
        machine.processor,
        counted(machine.cores as u32, "core", "cores"),
        machine.memory as f64 / 1e9,
        machine.kernel
    ))?;
    line(format!(
        "{}: {} documents, {:.1} MB, {} tokens, {} columns, {} non-zeros",
        printable(&corpus.paths.join(" ")),
        corpus.documents,
        corpus.bytes as f64 / 1e6,
        corpus.tokens,
        corpus.columns,
        corpus.nonzeros
    ))?;
    for suite in &report.suites {
        line(format!("\n== {}: {}\n{}", suite.name, suite.title, suite.about))?;
        for table in &suite.tables {
            line(format!("\n{}\n{}\n{}", table.title, aligned(table), table.found))?;
        }
        for figure in &suite.figures {
            if !suite.tables.iter().any(|table| table.found == figure.found) {
                line(format!("{}: {}", figure.title, figure.found))?;
            }
        }
    }
    line("\n== Claims and results".to_owned())?;
    for claim in &report.claims {
        line(format!("{}: {}\n    {}", claim.claim, in_words(claim.holds), claim.why))?;
    }
    if let Some(notice) = &report.notice {
        line(format!("\n{notice}"))?;
    }
    line(format!("\n{}", report.verdict))
}

/// The result of a claim, in words.
pub fn in_words(holds: Holds) -> &'static str {
    match holds {
        Holds::Yes => "holds",
        Holds::No => "does not hold",
        Holds::Partly => "holds in part",
        Holds::NotMeasured => "was not measured",
    }
}

/// A cell with its spread, if it has one: `0.31 (0.30 to 0.35)`.
pub fn with_spread(cell: &Cell, column: &Column) -> String {
    let (shown, decimals) = (cell.shown(column.decimals), column.decimals);
    match cell {
        Cell::Spread(spread) if spread.values.len() > 1 => {
            format!("{shown} ({:.decimals$} to {:.decimals$})", spread.min, spread.max)
        }
        _ => shown,
    }
}

fn aligned(table: &Table) -> String {
    let mut text = comfy_table::Table::new();
    text.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    text.set_header(table.columns.iter().map(|column| column.title));
    for row in &table.rows {
        text.add_row(row.iter().zip(&table.columns).map(|(cell, column)| with_spread(cell, column)));
    }
    for (number, column) in text.column_iter_mut().enumerate() {
        let are_words = table.rows.iter().any(|row| matches!(row[number], Cell::Text(_)));
        column.set_cell_alignment(if are_words { CellAlignment::Left } else { CellAlignment::Right });
        column.set_padding((if number == 0 { 0 } else { 1 }, 1));
    }
    text.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Spread;

    #[test]
    fn columns_are_aligned() {
        let table = Table {
            name: "t",
            title: String::new(),
            columns: Column::all(&[("mode", "mode", 0), ("seconds", "seconds", 1)]),
            rows: vec![
                vec!["inline".into(), Spread::of(vec![10.0, 9.0, 12.0]).into()],
                vec!["x".into(), Spread::of(vec![1.0]).into()],
                vec!["none".into(), Cell::Missing],
            ],
            found: String::new(),
        };
        let expected = "mode               seconds\ninline  10.0 (9.0 to 12.0)\nx                      1.0\nnone                     -";
        assert_eq!(aligned(&table), expected);
    }
}
