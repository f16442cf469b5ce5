//! The table of a benchmark: what was measured, the bound, and whether it holds.

use std::io::Write;

/// Rows, printed as they come.
#[derive(Default)]
pub(crate) struct Table {
    missed: Vec<String>,
}

impl Table {
    /// A number that must not exceed its bound.
    pub(crate) fn at_most(&mut self, what: &str, measured: f64, (bound, unit): (f64, &str)) {
        self.row(
            what,
            &format!("{measured:.2} {unit}"),
            (&format!("<= {bound} {unit}"), measured <= bound),
        );
    }

    /// A number that must be exact.
    pub(crate) fn exactly(&mut self, what: &str, measured: u64, wanted: u64) {
        self.row(
            what,
            &measured.to_string(),
            (&wanted.to_string(), measured == wanted),
        );
    }

    /// Something that must be so.
    pub(crate) fn holds(&mut self, what: &str, seen: &str, ok: bool) {
        self.row(what, seen, ("", ok));
    }

    /// A number for the record.
    pub(crate) fn note(&mut self, what: &str, seen: &str) {
        self.row(what, seen, ("", true));
    }

    /// True when every bound held.
    pub(crate) fn end(self) -> bool {
        for row in &self.missed {
            eprintln!("missed: {row}");
        }
        self.missed.is_empty()
    }

    fn row(&mut self, what: &str, seen: &str, (bound, ok): (&str, bool)) {
        let verdict = if ok { "ok" } else { "MISSED" };
        let line = format!("{verdict:<6} {what:<58} {seen:>16}   {bound}");
        // Printing can only fail when nobody reads.
        let _unread = writeln!(std::io::stdout().lock(), "{}", line.trim_end());
        if !ok {
            self.missed.push(format!("{what}: {seen}, wanted {bound}"));
        }
    }
}
