//! A figure as SVG: lines over numbers, or groups of bars. Each point and bar has a mark from the minimum to the
//! maximum.
//!
//! Colours are written as plain values. The page's style sheet replaces them for dark pages and print.

use crate::results::{Figure, FigureKind, Point, Series};
use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Size in units of the picture. The page scales it to the available width.
const WIDTH: u32 = 520;
const HEIGHT: u32 = 300;

/// Colours of series, in order.
pub const COLOURS: [&str; 8] =
    ["#1F6FB2", "#D9730D", "#2E8B57", "#8250C8", "#B8405E", "#6B6B2E", "#0F8B8D", "#7A4B2A"];
/// Colour of text and axes.
pub const INK: &str = "#1B1B1B";
/// Colour of grid lines.
pub const GRID: &str = "#D8D8D8";
/// Colour of ideal values.
pub const IDEAL: &str = "#707070";

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a> = ChartContext<'a, SVGBackend<'a>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

fn colour(hex: &str) -> RGBColor {
    let part = |from: usize| u8::from_str_radix(&hex[from..from + 2], 16).unwrap_or(0);
    RGBColor(part(1), part(3), part(5))
}

/// The colour of a series, by its number.
pub fn of_series(number: usize, series: &Series) -> &'static str {
    if series.is_ideal { IDEAL } else { COLOURS[number % COLOURS.len()] }
}

/// The figure as an SVG element.
///
/// # Errors
/// If it can't be drawn.
pub fn svg(figure: &Figure) -> Result<String> {
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, (WIDTH, HEIGHT)).into_drawing_area();
        let drawn = match figure.kind {
            FigureKind::Lines => lines(&area, figure),
            FigureKind::Bars => bars(&area, figure),
        };
        drawn.and_then(|()| Ok(area.present()?)).map_err(|error| anyhow!("{}: {error}", figure.title))?;
    }
    Ok(text)
}

type Drawn<T> = Result<T, Box<dyn std::error::Error>>;

fn points(figure: &Figure) -> impl Iterator<Item = &Point> {
    figure.series.iter().flat_map(|series| &series.points)
}

/// The axes, over `x` from 0 and all y of the figure.
fn axes<'a>(area: &Area<'a>, figure: &Figure, x: f64, has_numbers: bool) -> Drawn<Chart<'a>> {
    let top = points(figure).map(|point| point.max).fold(0.0, f64::max);
    let top = if top > 0.0 { top * 1.12 } else { 1.0 };
    let mut chart = ChartBuilder::on(area)
        .margin_top(8)
        .margin_right(12)
        .margin_left(2)
        .x_label_area_size(48)
        .y_label_area_size(58)
        .build_cartesian_2d(0.0..x, 0.0..top)?;
    let ink = colour(INK);
    let style = ("sans-serif", 16).into_font().color(&ink);
    let format = |value: &f64| number(*value);
    // Numbers of workers are whole.
    let whole = |value: &f64| if value.fract() == 0.0 { number(*value) } else { String::new() };
    let mut mesh = chart.configure_mesh();
    mesh.light_line_style(TRANSPARENT)
        .bold_line_style(colour(GRID))
        .axis_style(ink)
        .label_style(style.clone())
        .axis_desc_style(style)
        .y_desc(&figure.y_label)
        .x_label_formatter(&whole)
        .y_label_formatter(&format)
        .y_labels(6)
        .disable_x_mesh();
    if has_numbers {
        mesh.x_desc(&figure.x_label).x_labels(9);
    } else {
        mesh.x_labels(0);
    }
    mesh.draw()?;
    Ok(chart)
}

/// A number with as many digits as it needs.
fn number(value: f64) -> String {
    match value {
        0.0 => "0".to_owned(),
        v if v >= 10_000.0 => format!("{:.0}k", v / 1000.0),
        v if v >= 100.0 => format!("{v:.0}"),
        v if v >= 10.0 => trimmed(format!("{v:.1}")),
        v if v >= 1.0 => trimmed(format!("{v:.2}")),
        v if v >= 0.001 => trimmed(format!("{v:.3}")),
        v => format!("{v:.0e}"),
    }
}

fn trimmed(text: String) -> String {
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn lines(area: &Area, figure: &Figure) -> Drawn<()> {
    let last = points(figure).map(|point| point.x).fold(1.0, f64::max);
    let mut chart = axes(area, figure, last * 1.06, true)?;
    for (number, series) in figure.series.iter().enumerate() {
        let stroke = colour(of_series(number, series)).stroke_width(2);
        let path = series.points.iter().map(|point| (point.x, point.median));
        if series.is_ideal {
            chart.draw_series(DashedLineSeries::new(path, 5, 4, stroke))?;
            continue;
        }
        chart.draw_series(LineSeries::new(path, stroke))?;
        for point in &series.points {
            let (from, to) =
                (chart.backend_coord(&(point.x, point.min)), chart.backend_coord(&(point.x, point.max)));
            spread(area, from, to, stroke.color.to_rgba())?;
            marker(area, number, chart.backend_coord(&(point.x, point.median)), stroke.color.to_rgba())?;
        }
    }
    Ok(())
}

/// A mark from the minimum to the maximum.
fn spread(area: &Area, from: (i32, i32), to: (i32, i32), colour: RGBAColor) -> Drawn<()> {
    let cap = |(x, y): (i32, i32)| PathElement::new([(x - 4, y), (x + 4, y)], colour);
    area.draw(&PathElement::new([from, to], colour))?;
    area.draw(&cap(from))?;
    area.draw(&cap(to))?;
    Ok(())
}

/// Draws a point. Series differ in form as well as in colour.
fn marker(area: &Area, series: usize, (x, y): (i32, i32), colour: RGBAColor) -> Drawn<()> {
    match series % 3 {
        0 => area.draw(&Circle::new((x, y), 4, colour.filled()))?,
        1 => area.draw(&Rectangle::new([(x - 4, y - 4), (x + 4, y + 4)], colour.filled()))?,
        _ => area.draw(&TriangleMarker::new((x, y), 6, colour.filled()))?,
    }
    Ok(())
}

fn bars(area: &Area, figure: &Figure) -> Drawn<()> {
    let mut labels: Vec<&str> = Vec::new();
    for point in points(figure) {
        if !labels.contains(&point.label.as_str()) {
            labels.push(&point.label);
        }
    }
    let chart = axes(area, figure, labels.len() as f64, false)?;
    let measured = figure.series.iter().filter(|series| !series.is_ideal).count();
    let width = 0.8 / measured.max(1) as f64;
    let place = |label: &str| labels.iter().position(|known| *known == label).unwrap_or(0) as f64;
    let ink = colour(INK);
    for (number, series) in figure.series.iter().enumerate() {
        let fill = colour(of_series(number, series));
        for point in &series.points {
            let left = place(&point.label) + 0.1 + if series.is_ideal { 0.0 } else { number as f64 * width };
            let at = |x: f64, y: f64| chart.backend_coord(&(x, y));
            if series.is_ideal {
                // A line over the whole group.
                let line = [at(left, point.median), at(left + 0.8, point.median)];
                area.draw(&PathElement::new(line, fill.stroke_width(3)))?;
                continue;
            }
            let (from, to) = (at(left + 0.03 * width, 0.0), at(left + 0.97 * width, point.median));
            area.draw(&Rectangle::new([from, to], fill.filled()))?;
            let middle = left + width / 2.0;
            if point.min < point.max {
                spread(area, at(middle, point.min), at(middle, point.max), ink.to_rgba())?;
            }
            let above = at(middle, point.max.max(point.median));
            area.draw(&Text::new(
                self::number(point.median),
                (above.0, above.1 - 4),
                label_style(&ink, VPos::Bottom),
            ))?;
        }
    }
    for (number, label) in labels.iter().enumerate() {
        let (x, y) = chart.backend_coord(&(number as f64 + 0.5, 0.0));
        for (line, word) in in_lines(label).into_iter().enumerate() {
            area.draw(&Text::new(word, (x, y + 6 + 15 * line as i32), label_style(&ink, VPos::Top)))?;
        }
    }
    if !figure.x_label.is_empty() {
        let (x, y) = chart.backend_coord(&(labels.len() as f64 / 2.0, 0.0));
        area.draw(&Text::new(figure.x_label.clone(), (x, y + 26), label_style(&ink, VPos::Top)))?;
    }
    Ok(())
}

fn label_style(ink: &RGBColor, vertical: VPos) -> TextStyle<'static> {
    ("sans-serif", 15).into_font().color(ink).pos(Pos::new(HPos::Center, vertical))
}

/// A label in two lines at most, of about the same length.
fn in_lines(label: &str) -> Vec<String> {
    let middle = label.len() as i64 / 2;
    let space = label.match_indices(' ').map(|(at, _)| at).min_by_key(|&at| (at as i64 - middle).abs());
    match space {
        Some(at) if label.len() > 10 => vec![label[..at].to_owned(), label[at + 1..].to_owned()],
        _ => vec![label.to_owned()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Spread;

    fn figure(kind: FigureKind) -> Figure {
        let spread = |value: f64| Spread::of(vec![value * 0.9, value, value * 1.2]);
        let series = |name: &str, factor: f64| Series {
            name: name.to_owned(),
            is_ideal: name == "ideal",
            points: (1..=3)
                .map(|n| {
                    let spread = spread(f64::from(n) * factor);
                    match kind {
                        FigureKind::Lines => Point::at(n.into(), &spread),
                        FigureKind::Bars => Point::bar(format!("{n} & more"), &spread),
                    }
                })
                .collect(),
        };
        Figure {
            name: "test",
            title: "A title".to_owned(),
            kind,
            x_label: "workers".to_owned(),
            y_label: "<seconds>".to_owned(),
            series: vec![series("threads", 1.0), series("processes", 1.1), series("ideal", 1.3)],
            found: String::new(),
        }
    }

    #[test]
    fn every_point_is_drawn_and_text_is_escaped() {
        let lines = svg(&figure(FigureKind::Lines)).unwrap();
        assert!(lines.starts_with("<svg") && lines.trim_end().ends_with("</svg>"));
        assert_eq!(lines.matches("<circle").count(), 3, "a point of the first series");
        assert!(lines.contains("&lt;seconds&gt;") && !lines.contains("<seconds>"));
        let bars = svg(&figure(FigureKind::Bars)).unwrap();
        let first = bars.matches(&format!("fill=\"{}\"", COLOURS[0])).count();
        assert_eq!(first, 3, "a bar of the first series");
        assert!(bars.contains("1 &amp; more"), "{bars}");
    }

    #[test]
    fn numbers_are_short() {
        let told: Vec<_> = [0.0, 0.5, 1.25, 20.0, 12345.0, 123.4, 0.0123].map(number).into();
        assert_eq!(told, ["0", "0.5", "1.25", "20", "12k", "123", "0.012"]);
        assert_eq!(in_lines("one each, summed"), ["one each,", "summed"]);
    }
}
