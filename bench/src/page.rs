//! The results as one HTML page without other files. It follows the reader's light or dark scheme, fits narrow and wide
//! screens, and prints in black and white.

use crate::plot;
use crate::results::Cell;
use crate::results::{BenchReport, Claim, Column, Figure, FigureKind, Holds, Suite, Table};
use crate::terminal::{in_words, with_spread};
use anyhow::Result;
use bowline_workers::counted::counted;
use maud::{DOCTYPE, Markup, PreEscaped, html};

/// The style sheet, without the colours of the figures.
const STYLE: &str = include_str!("page.css");

/// The page.
///
/// # Errors
/// If a figure can't be drawn.
pub fn page(report: &BenchReport) -> Result<String> {
    let suites = report.suites.iter().map(suite).collect::<Result<Vec<_>>>()?;
    let (machine, corpus) = (&report.machine, &report.corpus);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "bowline: processes against threads" }
                style { (PreEscaped(STYLE)) (PreEscaped(colours())) }
            }
            body {
                (hatches())
                header {
                    h1 { "Processes against threads" }
                    p.verdict { (report.verdict) }
                    @if let Some(notice) = &report.notice { p.notice { (notice) } }
                    dl {
                        div { dt { "Machine" } dd { (machine.processor) ", " (counted(machine.cores as u32, "core", "cores")) ", " (gigabytes(machine.memory)) " GB, " (machine.kernel) } }
                        div { dt { "Corpus" } dd { (corpus.paths.join(" ")) ": " (grouped(corpus.documents)) " documents, " (format!("{:.1}", corpus.bytes as f64 / 1e6)) " MB, " (grouped(corpus.tokens)) " tokens, " (grouped(corpus.columns)) " columns, " (grouped(corpus.nonzeros)) " non-zeros" } }
                        div { dt { "Program" } dd { "bowline " (report.bowline) } }
                    }
                    nav { @for suite in &report.suites { a href={ "#" (suite.name) } { (suite.title) } } a href="#claims" { "Claims" } a href="#method" { "Method" } }
                }
                main {
                    @for suite in &suites { (suite) }
                    (claims(&report.claims))
                    section id="method" {
                        h2 { "Method" }
                        ul { @for sentence in &report.method { li { (sentence) } } }
                    }
                }
            }
        }
    };
    Ok(page.into_string())
}

fn suite(suite: &Suite) -> Result<Markup> {
    let figures = suite.figures.iter().map(figure).collect::<Result<Vec<_>>>()?;
    Ok(html! {
        section id=(suite.name) {
            h2 { (suite.title) }
            p.about { (suite.about) }
            @if !figures.is_empty() { div.figures { @for figure in &figures { (figure) } } }
            @for each in &suite.tables { (table(each)) }
        }
    })
}

fn figure(figure: &Figure) -> Result<Markup> {
    let drawing = plot::svg(figure)?;
    Ok(html! {
        figure {
            h3 { (figure.title) }
            ul.legend {
                @for (number, series) in figure.series.iter().enumerate() {
                    li { (swatch(figure.kind, number, series.is_ideal, plot::of_series(number, series))) (series.name) }
                }
            }
            div.plot role="img" aria-label=(figure.title) { (PreEscaped(drawing)) }
            figcaption { (figure.found) }
        }
    })
}

/// The legend's symbol for a series.
fn swatch(kind: FigureKind, number: usize, is_ideal: bool, colour: &str) -> Markup {
    html! {
        svg.swatch viewBox="0 0 26 12" width="26" height="12" aria-hidden="true" {
            @if is_ideal {
                line x1="0" y1="6" x2="26" y2="6" stroke=(colour) stroke-width="2" stroke-dasharray=[(kind == FigureKind::Lines).then_some("5 4")] {}
            } @else if kind == FigureKind::Bars {
                rect x="1" y="1" width="24" height="10" fill=(colour) {}
            } @else {
                line x1="0" y1="6" x2="26" y2="6" stroke=(colour) stroke-width="2" {}
                @match number % 3 {
                    0 => circle cx="13" cy="6" r="4" fill=(colour) {},
                    1 => rect x="9" y="2" width="8" height="8" fill=(colour) {},
                    _ => polygon points="13,1 18,10 8,10" fill=(colour) {},
                }
            }
        }
    }
}

fn table(table: &Table) -> Markup {
    let is_words = |column: usize| table.rows.iter().any(|row| matches!(row[column], Cell::Text(_)));
    let class = |column: usize| if is_words(column) { "words" } else { "number" };
    let cell = |cell: &Cell, column: &Column| match cell {
        Cell::Count(count) => grouped(*count),
        Cell::Number(number) if column.decimals == 0 && *number >= 10_000.0 => grouped(*number as u64),
        cell => with_spread(cell, column),
    };
    html! {
        div.table {
            h3 { (table.title) }
            table {
                thead { tr { @for (number, column) in table.columns.iter().enumerate() { th scope="col" class=(class(number)) { (column.title) } } } }
                tbody {
                    @for row in &table.rows {
                        tr { @for (number, (value, column)) in row.iter().zip(&table.columns).enumerate() {
                            td class=(class(number)) data-label=(column.title) { (cell(value, column)) }
                        } }
                    }
                }
            }
            p.found { (table.found) }
        }
    }
}

fn claims(claims: &[Claim]) -> Markup {
    let class = |holds: Holds| match holds {
        Holds::Yes => "holds",
        Holds::No => "fails",
        Holds::Partly => "partly",
        Holds::NotMeasured => "unmeasured",
    };
    html! {
        section id="claims" {
            h2 { "Claims and results" }
            p.about { "Usual claims about threads and processes in Python, and the measurements of bowline on this machine." }
            div.table {
                table {
                    thead { tr { th scope="col" { "Claim" } th scope="col" { "Result" } th scope="col" { "Why" } } }
                    tbody { @for claim in claims {
                        tr {
                            td.words data-label="Claim" { (claim.claim) }
                            td.words data-label="Result" { span class=(class(claim.holds)) { (in_words(claim.holds)) } }
                            td.words data-label="Why" { (claim.why) }
                        }
                    } }
                }
            }
        }
    }
}

/// Patterns that replace colours on paper.
fn hatches() -> Markup {
    // Angle and distance of the lines of each series.
    const HATCHES: [(u32, u32); plot::COLOURS.len()] =
        [(45, 4), (0, 8), (135, 4), (90, 6), (45, 9), (135, 9), (0, 5), (90, 10)];
    html! {
        svg.patterns width="0" height="0" aria-hidden="true" { defs {
            @for (number, (angle, distance)) in HATCHES.iter().enumerate() {
                pattern id={ "hatch-" (number) } width=(distance) height=(distance) patternUnits="userSpaceOnUse" patternTransform={ "rotate(" (angle) ")" } {
                    rect width=(distance) height=(distance) fill="white" {}
                    line x1="0" y1="0" x2="0" y2=(distance) stroke="black" stroke-width="3" {}
                }
            }
        } }
    }
}

/// The style rules that replace the colours of figures on dark pages and on paper.
fn colours() -> String {
    const DARK: [&str; plot::COLOURS.len()] =
        ["#6CB2F0", "#F5A04F", "#63C68D", "#BC96F2", "#F0829B", "#C9C86A", "#5FD0D2", "#C99A75"];
    let recolour =
        |from: &str, to: &str| format!("[fill=\"{from}\"]{{fill:{to}}}[stroke=\"{from}\"]{{stroke:{to}}}");
    let plain = [(plot::INK, "#E6E6E6"), (plot::GRID, "#3A3F47"), (plot::IDEAL, "#A0A0A0")];
    let series = plot::COLOURS.iter().copied().zip(DARK);
    let dark: String = series.chain(plain).map(|(from, to)| recolour(from, to)).collect();
    let paper: String = plot::COLOURS
        .iter()
        .enumerate()
        .map(|(number, from)| {
            format!("rect[fill=\"{from}\"]{{fill:url(#hatch-{number});stroke:black}}circle[fill=\"{from}\"],polygon[fill=\"{from}\"]{{fill:black}}[stroke=\"{from}\"]{{stroke:black}}")
        })
        .collect();
    format!("@media screen and (prefers-color-scheme:dark){{{dark}}}@media print{{{paper}}}")
}

fn gigabytes(bytes: u64) -> String {
    format!("{:.0}", bytes as f64 / 1e9)
}

/// A number with narrow spaces between thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push('\u{202F}');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped() {
        assert_eq!(
            [7, 999, 1000, 1234567].map(grouped),
            ["7", "999", "1\u{202F}000", "1\u{202F}234\u{202F}567"]
        );
    }
}
