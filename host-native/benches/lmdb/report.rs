//! The rows of the result, as a table and as JSON.

use std::fmt::Write;

use crate::timing::{Effort, Series};

const HEADER: [&str; 6] = ["work", "ours", "baseline", "ratio", "goal", "met?"];

/// One comparison.
#[derive(Default)]
pub(crate) struct Row {
    pub(crate) work: String,
    pub(crate) ours: String,
    pub(crate) baseline: String,
    pub(crate) ratio: Option<f64>,
    pub(crate) goal: &'static str,
    /// `None` where nothing was promised.
    pub(crate) met: Option<bool>,
}

impl Row {
    /// Compares two series; nothing is promised.
    pub(crate) fn of(work: &str, ours: &Series, (name, baseline): (&str, &Series)) -> Self {
        Self {
            work: work.to_owned(),
            ours: figure(ours),
            baseline: format!("{name}: {}", figure(baseline)),
            ratio: Some(ours.ratio(baseline)),
            ..Self::default()
        }
    }

    pub(crate) fn goal(self, goal: &'static str, met: bool) -> Self {
        Self { goal, met: Some(met), ..self }
    }

    fn cells(&self) -> [String; 6] {
        let ratio = self.ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}"));
        let met = self.met.map_or("", |met| if met { "yes" } else { "NO" });
        [
            self.work.clone(),
            self.ours.clone(),
            self.baseline.clone(),
            ratio,
            self.goal.to_owned(),
            met.to_owned(),
        ]
    }
}

/// A duration in the unit that suits it.
pub(crate) fn duration(ns: f64) -> String {
    match ns.abs() {
        1_000_000.0.. => format!("{:.2} ms", ns / 1_000_000.0),
        1_000.0.. => format!("{:.2} µs", ns / 1_000.0),
        10.0.. => format!("{ns:.0} ns"),
        _ => format!("{ns:.1} ns"),
    }
}

/// The median, and the minimum in brackets.
pub(crate) fn figure(series: &Series) -> String {
    format!("{} ({})", duration(series.median()), duration(series.minimum()))
}

/// How busy the machine is: the average of the last minute.
pub(crate) fn load() -> String {
    let loads = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    loads.split(' ').next().unwrap_or_default().to_owned()
}

/// A table with columns as wide as they need to be.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut lines = vec![HEADER.map(str::to_owned)];
    lines.extend(rows.iter().map(Row::cells));
    let widths: [usize; 6] = std::array::from_fn(|column| {
        lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0)
    });
    lines.insert(1, widths.map(|width| "-".repeat(width)));
    let mut text = String::new();
    for line in lines {
        let cells: Vec<_> = line.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        let _ = writeln!(text, "{}", cells.join("  ").trim_end());
    }
    text
}

/// The same for other programs.
pub(crate) fn json(rows: &[Row], load: &str, effort: &Effort) -> String {
    let rows: Vec<_> = rows.iter().map(json_of).collect();
    let (rounds, turns) = (effort.rounds, effort.turns);
    format!(
        "{{\"load\": {}, \"rounds\": {rounds}, \"turns\": {turns}, \"rows\": [\n{}\n]}}\n",
        quoted(load),
        rows.join(",\n")
    )
}

fn json_of(row: &Row) -> String {
    let or_null = |value: Option<String>| value.unwrap_or_else(|| "null".to_owned());
    format!(
        "{{\"work\": {}, \"ours\": {}, \"against\": {}, \"ratio\": {}, \"goal\": {}, \"met\": {}}}",
        quoted(&row.work),
        quoted(&row.ours),
        quoted(&row.baseline),
        or_null(row.ratio.map(|ratio| ratio.to_string())),
        quoted(row.goal),
        or_null(row.met.map(|met| met.to_string())),
    )
}

/// The texts hold no control characters.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
