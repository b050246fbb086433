//! Tables: rows that are measured in turns, and columns of what they gave.

use std::panic::{self, AssertUnwindSafe};
use std::sync::Mutex;

/// What one measurement gives: the values of the columns.
pub(crate) type Sample = Vec<f64>;

/// One row of a table.
pub(crate) struct Row<'a> {
    name: String,
    measure: Box<dyn Fn() -> Sample + 'a>,
}

impl<'a> Row<'a> {
    pub(crate) fn new(name: impl Into<String>, measure: impl Fn() -> Sample + 'a) -> Self {
        Self { name: name.into(), measure: Box::new(measure) }
    }
}

/// A column: what it is called, which value it shows and with how many digits; or the ratio of the first value to that of the
/// named row in the same turn, which is to be divided by a number.
pub(crate) enum Column {
    Value(&'static str, usize, usize),
    Ratio(&'static str, &'static str, f64),
}

/// What the first panic of a measurement said.
static REASON: Mutex<Option<String>> = Mutex::new(None);

/// Rows that failed, and why.
static FAILURES: Mutex<Vec<String>> = Mutex::new(Vec::new());

pub(crate) fn failures() -> Vec<String> {
    FAILURES.lock().unwrap().clone()
}

/// Keeps what panics say, on whatever thread, for the row that is measured.
pub(crate) fn watch_panics() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        REASON.lock().unwrap().get_or_insert_with(|| panic.to_string());
        usual(panic);
    }));
}

/// Measures a row once. A failure is noted, and gives no values: the other rows go on.
fn measure(title: &str, row: &Row<'_>) -> Sample {
    *REASON.lock().unwrap() = None;
    panic::catch_unwind(AssertUnwindSafe(|| (row.measure)())).unwrap_or_else(|_| {
        let reason = REASON.lock().unwrap().take().unwrap_or_default();
        FAILURES.lock().unwrap().push(format!("{title}: {}: {reason}", row.name));
        Sample::new()
    })
}

/// Measures all rows in turns, and makes a table of them.
pub(crate) fn table(samples: usize, title: &str, columns: &[Column], rows: &[Row<'_>]) -> String {
    let mut taken: Vec<Vec<Sample>> = vec![Vec::new(); rows.len()];
    for turn in 0..samples {
        for (row, taken) in rows.iter().zip(&mut taken) {
            let sample = measure(title, row);
            eprintln!("{title}, turn {}: {}: {sample:.2?}", turn + 1, row.name);
            taken.push(sample);
        }
    }
    let heads = columns.iter().map(|column| match column {
        Column::Value(name, ..) | Column::Ratio(name, ..) => *name,
    });
    let mut text = format!("| {title} | {} |\n|---|", heads.collect::<Vec<_>>().join(" | "));
    text += &"---|".repeat(columns.len());
    for (row, own) in rows.iter().zip(&taken) {
        text += &format!("\n| {} |", row.name);
        for column in columns {
            text += &format!(" {} |", cell(column, own, rows, &taken));
        }
    }
    text + "\n"
}

fn cell(column: &Column, own: &[Sample], rows: &[Row<'_>], taken: &[Vec<Sample>]) -> String {
    match column {
        Column::Value(_, number, digits) => {
            spread(own.iter().filter_map(|sample| sample.get(*number).copied()).collect(), *digits)
        }
        Column::Ratio(_, to, divisor) => {
            let base = rows.iter().position(|row| row.name == *to).expect("the row that is compared with");
            let ratio = |(own, base): (&Sample, &Sample)| Some(own.first()? / base.first()? / divisor);
            spread(own.iter().zip(&taken[base]).filter_map(ratio).collect(), 2)
        }
    }
}

/// Median, and the extremes.
fn spread(mut values: Vec<f64>, digits: usize) -> String {
    values.sort_by(f64::total_cmp);
    let (Some(first), Some(last)) = (values.first(), values.last()) else { return "-".into() };
    format!("{:.digits$} ({first:.digits$}..{last:.digits$})", values[values.len() / 2])
}
