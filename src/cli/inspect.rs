//! `bowline inspect`: prints the contents of an output, as a table for people or as JSON for scripts.

use super::args::InspectArgs;
use super::messages::{self, printable, write_line};
use crate::output::{DocumentView, Output, Overview, TermValue, TermView};
use anyhow::Result;
use bowline_workers::counted::counted;
use serde::Serialize;
use std::io::{self, Write};

/// Runs the command, which writes to `out`.
///
/// # Errors
/// If the output can't be read, or has no such document or term, or the writer's.
pub fn inspect(args: &InspectArgs, out: &mut dyn Write) -> Result<()> {
    let output = Output::open(&args.output)?;
    let top = args.top;
    match (&args.document, &args.term) {
        (Some(document), _) => {
            let view = output.document(document)?;
            print(out, args.json, &view, |out| print_document(out, &view, top))
        }
        (None, Some(term)) => {
            let view = output.term(term, top)?;
            print(out, args.json, &view, |out| print_term(out, &view))
        }
        (None, None) => {
            let overview = output.overview(top);
            print(out, args.json, &overview, |out| print_overview(out, &overview))
        }
    }
}

fn print<T: Serialize>(
    out: &mut dyn Write,
    json: bool,
    value: &T,
    table: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<()> {
    if json {
        writeln!(out, "{}", messages::json(value)?)?;
    } else {
        table(out)?;
    }
    Ok(out.flush()?)
}

fn print_overview(out: &mut dyn Write, view: &Overview) -> io::Result<()> {
    let mut line = |line: String| write_line(out, &line);
    let empty = view.empty.map(|empty| format!(", {empty} empty")).unwrap_or_default();
    line(format!("{:>12}  documents, {} failed{empty}", view.documents, view.failed))?;
    line(format!("{:>12}  columns", view.columns))?;
    line(format!("{:>12}  non-zeros, density {:.4} %", view.nonzeros, 100.0 * view.density))?;
    line(format!("{:>12}  tokens, {:.1} a document", view.tokens, view.mean_length))?;
    line(format!("{:>12}  of {}", view.weight, view.dtype))?;
    for (title, terms) in [("sum of their values", &view.top_by_sum), ("documents", &view.top_by_df)] {
        if let Some(terms) = terms {
            writeln!(out, "\nterms by {title}")?;
            print_terms(out, terms)?;
        }
    }
    if view.top_by_sum.is_none() {
        writeln!(out, "\nvalues are shown of npz and npy outputs only")?;
    }
    writeln!(out, "\nlongest documents, in tokens")?;
    for document in &view.longest {
        write_line(out, &format!("{:>12}  {}", document.tokens, document.name))?;
    }
    if !view.failures.is_empty() {
        writeln!(out, "\nfailed documents")?;
        for failure in &view.failures {
            write_line(out, &format!("  {}: {}", failure.name, failure.cause))?;
        }
    }
    Ok(())
}

fn print_terms(out: &mut dyn Write, terms: &[TermValue]) -> io::Result<()> {
    let mut print =
        |term: &TermValue| write_line(out, &format!("{:>12}  {}", number(term.value), shown(&term.term)));
    terms.iter().try_for_each(&mut print)
}

fn print_document(out: &mut dyn Write, view: &DocumentView, top: usize) -> io::Result<()> {
    let DocumentView { row, name, bytes, tokens, .. } = view;
    let (bytes, tokens) = (counted(*bytes, "byte", "bytes"), counted(*tokens, "token", "tokens"));
    write_line(out, &format!("row {row}: {name}, {bytes}, {tokens}"))?;
    if let Some(cause) = &view.cause {
        write_line(out, &format!("failed: {cause}"))?;
    }
    print_terms(out, &view.terms[..view.terms.len().min(top)])?;
    if view.terms.len() > top {
        let more = counted((view.terms.len() - top) as u64, "more term", "more terms");
        writeln!(out, "{:>12}  and {more} (--top shows more)", "")?;
    }
    Ok(())
}

fn print_term(out: &mut dyn Write, view: &TermView) -> io::Result<()> {
    let idf = view.idf.map(|idf| format!(", idf {idf:.4}")).unwrap_or_default();
    let (term, sum) = (shown(&view.term), number(view.sum));
    let (column, documents) = (view.column, counted(view.df, "document", "documents"));
    write_line(out, &format!("column {column}: {term}, {documents}{idf}, sum of values {sum}"))?;
    for document in &view.documents {
        write_line(out, &format!("{:>12}  {}", number(document.value), document.name))?;
    }
    Ok(())
}

/// A whole number as such, another one with four decimals.
fn number(value: f64) -> String {
    if value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.4}") }
}

/// A term; in quotes and escaped if it has spaces at its ends, or characters that can't be seen.
fn shown(term: &str) -> String {
    if term.trim() != term || printable(term) != term { format!("{term:?}") } else { term.to_owned() }
}
