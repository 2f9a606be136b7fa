//! The results of suites in one form. The terminal, the page and the JSON file show them without knowing any suite.

use serde::{Serialize, Serializer};

/// All results of one `bowline bench`. These are the fields of the JSON file.
#[derive(Serialize, Debug)]
pub struct BenchReport {
    /// Raised when a field changes its meaning.
    pub schema: u32,
    /// The program's version.
    pub bowline: &'static str,
    pub machine: Machine,
    pub corpus: CorpusFacts,
    /// Runs of each variant, unless the text of a suite names another number.
    pub runs: u32,
    /// The rules of the measurement.
    pub method: Vec<String>,
    pub suites: Vec<Suite>,
    /// The claims about threads and processes, and their results.
    pub claims: Vec<Claim>,
    /// A reason to doubt the figures.
    pub notice: Option<String>,
    /// All results in one line.
    pub verdict: String,
}

/// The machine of the measurement.
#[derive(Serialize, Clone, Debug)]
pub struct Machine {
    /// The processor's name, as the kernel reports it.
    pub processor: String,
    /// Processors that this process may use.
    pub cores: usize,
    /// Bytes of memory.
    pub memory: u64,
    /// Name and release of the kernel.
    pub kernel: String,
    /// The share of the processors' time that other programs took right before, in percent.
    pub busy_percent: f64,
}

/// The corpus of the measurement.
#[derive(Serialize, Clone, Debug, Default)]
pub struct CorpusFacts {
    pub paths: Vec<String>,
    pub documents: u64,
    /// Documents that could not be read as text, in any mode.
    pub failed: u64,
    pub bytes: u64,
    pub tokens: u64,
    pub columns: u64,
    pub nonzeros: u64,
}

/// The results of a suite.
#[derive(Serialize, Debug)]
pub struct Suite {
    /// The value of `--suite`.
    pub name: &'static str,
    pub title: &'static str,
    /// Its method, in a sentence or two.
    pub about: String,
    pub tables: Vec<Table>,
    pub figures: Vec<Figure>,
    /// The claims that it checks, shown with those of the other suites.
    #[serde(skip)]
    pub claims: Vec<Claim>,
}

/// A table. In JSON a row is an object, by the keys of its columns.
#[derive(Debug)]
pub struct Table {
    /// Unique within the suite: `[a-z_]+`.
    pub name: &'static str,
    pub title: String,
    pub columns: Vec<Column>,
    /// Each row has one cell for each column.
    pub rows: Vec<Vec<Cell>>,
    /// The result, in a sentence.
    pub found: String,
}

/// A column of a table.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its field's name in JSON: `[a-z_]+`, with the unit: `seconds`, `bytes`.
    pub key: &'static str,
    /// The heading, with the unit.
    pub title: &'static str,
    /// Number of decimals that are shown.
    pub decimals: usize,
}

/// A cell of a table.
#[derive(Serialize, Clone, Debug, PartialEq)]
#[serde(untagged)]
pub enum Cell {
    Text(String),
    Count(u64),
    Number(f64),
    /// Shown as its median, with the minimum and the maximum.
    Spread(Spread),
    /// Not available: null in JSON, shown as a dash.
    Missing,
}

/// Repeated measurements of one quantity.
#[derive(Serialize, Clone, Debug, PartialEq)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
    /// In the order in which they were measured.
    pub values: Vec<f64>,
}

/// A plot.
#[derive(Serialize, Debug)]
pub struct Figure {
    /// Unique within the suite: `[a-z_]+`.
    pub name: &'static str,
    pub title: String,
    pub kind: FigureKind,
    /// With the unit.
    pub x_label: String,
    /// With the unit. The axis begins at 0.
    pub y_label: String,
    pub series: Vec<Series>,
    /// The result, in a sentence.
    pub found: String,
}

/// How a figure is drawn.
#[derive(Serialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "kebab-case")]
pub enum FigureKind {
    /// Points over a numeric x, joined by a line, each with a mark from the minimum to the maximum.
    Lines,
    /// A group of bars for each x label, one bar for each series, each with a mark from the minimum to the maximum.
    Bars,
}

/// A line, or the bars of one colour.
#[derive(Serialize, Debug)]
pub struct Series {
    pub name: String,
    /// Whether the values are ideal, not measured. Such a series is drawn dashed and without points.
    pub is_ideal: bool,
    pub points: Vec<Point>,
}

/// A point of a line, or a bar.
#[derive(Serialize, Debug)]
pub struct Point {
    /// The x value, for lines.
    pub x: f64,
    /// The label, for bars.
    pub label: String,
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

/// A claim about threads and processes in Python, and its result here.
#[derive(Serialize, Debug)]
pub struct Claim {
    pub claim: &'static str,
    pub holds: Holds,
    /// The figures that support the result.
    pub why: String,
    /// The same in a few words, for the verdict.
    #[serde(skip)]
    pub brief: Option<String>,
}

/// The result of a claim.
#[derive(Serialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "kebab-case")]
pub enum Holds {
    Yes,
    No,
    Partly,
    /// Its suite was not run or could not decide it.
    NotMeasured,
}

impl Spread {
    /// Makes a spread of one measurement or more.
    pub fn of(values: Vec<f64>) -> Self {
        let mut sorted = values.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        // For an even number, the mean of the two values in the middle.
        let median =
            if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 };
        Spread { median, min: sorted[0], max: sorted[sorted.len() - 1], values }
    }

    /// How many times as fast as `seconds` each of these times is.
    pub fn gain_on(&self, seconds: f64) -> Self {
        Spread::of(self.values.iter().map(|value| seconds / value).collect())
    }
}

impl Point {
    /// A measured point of a line.
    pub fn at(x: f64, spread: &Spread) -> Self {
        Point { x, label: String::new(), median: spread.median, min: spread.min, max: spread.max }
    }

    /// A measured bar.
    pub fn bar(label: impl Into<String>, spread: &Spread) -> Self {
        Point { label: label.into(), ..Point::at(0.0, spread) }
    }
}

impl Series {
    /// A series of measured values.
    pub fn measured(name: impl Into<String>, points: impl IntoIterator<Item = Point>) -> Self {
        Series { name: name.into(), is_ideal: false, points: points.into_iter().collect() }
    }

    /// A series of ideal values.
    pub fn ideal(name: impl Into<String>, points: impl IntoIterator<Item = Point>) -> Self {
        Series { is_ideal: true, ..Series::measured(name, points) }
    }
}

impl Column {
    /// Columns by key, title and decimals.
    pub fn all(columns: &[(&'static str, &'static str, usize)]) -> Vec<Self> {
        columns.iter().map(|&(key, title, decimals)| Column { key, title, decimals }).collect()
    }
}

impl Cell {
    /// The text for a reader, without the spread.
    pub fn shown(&self, decimals: usize) -> String {
        match self {
            Cell::Text(text) => text.clone(),
            Cell::Count(count) => count.to_string(),
            Cell::Number(number) => format!("{number:.decimals$}"),
            Cell::Spread(spread) => format!("{:.decimals$}", spread.median),
            Cell::Missing => "-".to_owned(),
        }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Cell::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Cell::Text(text)
    }
}

impl From<u64> for Cell {
    fn from(count: u64) -> Self {
        Cell::Count(count)
    }
}

impl From<f64> for Cell {
    fn from(number: f64) -> Self {
        Cell::Number(number)
    }
}

impl From<Spread> for Cell {
    fn from(spread: Spread) -> Self {
        Cell::Spread(spread)
    }
}

impl Serialize for Table {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct as _;
        let keyed = |row: &Vec<Cell>| -> serde_json::Map<String, serde_json::Value> {
            let value = |cell: &Cell| serde_json::to_value(cell).unwrap_or_default();
            self.columns.iter().zip(row).map(|(column, cell)| (column.key.to_owned(), value(cell))).collect()
        };
        let mut table = serializer.serialize_struct("Table", 4)?;
        table.serialize_field("name", self.name)?;
        table.serialize_field("title", &self.title)?;
        table.serialize_field("rows", &self.rows.iter().map(keyed).collect::<Vec<_>>())?;
        table.serialize_field("found", &self.found)?;
        table.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        let median = |values: &[f64]| Spread::of(values.to_vec()).median;
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(&[7.0]), 7.0);
    }

    #[test]
    fn a_spread_keeps_the_order_of_its_values() {
        let spread = Spread::of(vec![3.0, 1.0, 2.0]);
        assert_eq!((spread.min, spread.max, spread.values), (1.0, 3.0, vec![3.0, 1.0, 2.0]));
    }

    #[test]
    fn rows_are_objects_in_json() {
        let table = Table {
            name: "t",
            title: "T".to_owned(),
            columns: Column::all(&[("mode", "mode", 0), ("seconds", "s", 2)]),
            rows: vec![
                vec!["inline".into(), Spread::of(vec![1.0]).into()],
                vec!["threads".into(), Cell::Missing],
            ],
            found: String::new(),
        };
        let rows = serde_json::to_value(&table).unwrap()["rows"].clone();
        let spread = serde_json::json!({"median": 1.0, "min": 1.0, "max": 1.0, "values": [1.0]});
        let expected =
            serde_json::json!([{"mode": "inline", "seconds": spread}, {"mode": "threads", "seconds": null}]);
        assert_eq!(rows, expected);
    }
}
