//! A report as one web page: the summary, counts as bars, plots as inline SVG. Nothing in it asks a network.
//!
//! Not for figures: each command's report knows its own, and makes a `Page` of them.
//! Read next: `html/plot.rs`.

mod plot;

pub(crate) use plot::{Line, Plot};

use anyhow::Context;
use std::io::Write;

/// What a page shows, in this order.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) title: String,
    /// As on the terminal.
    pub(crate) summary: String,
    pub(crate) counts: Vec<Counts>,
    pub(crate) plots: Vec<Plot>,
}

/// Named counts, each shown with a bar; none are not shown at all.
#[derive(Debug)]
pub(crate) struct Counts {
    pub(crate) title: &'static str,
    pub(crate) rows: Vec<(String, u64)>,
}

const STYLE: &str = "body{font-family:sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#222}\
    pre{background:#f4f4f4;padding:1rem;overflow-x:auto}svg{width:100%;height:auto}\
    table{border-collapse:collapse;width:100%}td{padding:.15rem .5rem;white-space:nowrap}\
    td.count{text-align:right}td.room{width:100%}td.room div{background:#3465a4;height:.9rem;min-width:1px}";

/// Writes the page. Everything in it may come from the site, so nothing goes in unescaped.
pub(crate) fn write_page(out: &mut impl Write, page: &Page) -> anyhow::Result<()> {
    write_parts(out, page).context("cannot write the HTML report")
}

fn write_parts(out: &mut impl Write, page: &Page) -> anyhow::Result<()> {
    let title = escape(&page.title);
    writeln!(out, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>")?;
    writeln!(
        out,
        "<style>{STYLE}</style></head>\n<body><h1>{title}</h1>\n<pre>{}</pre>",
        escape(&page.summary)
    )?;
    for counts in page.counts.iter().filter(|counts| !counts.rows.is_empty()) {
        writeln!(out, "<h2>{}</h2>\n<table>", escape(counts.title))?;
        let most = counts.rows.iter().map(|(_, count)| *count).max().unwrap_or_default().max(1);
        for (name, count) in &counts.rows {
            let (name, percent) = (escape(name), count * 100 / most);
            writeln!(
                out,
                "<tr><td>{name}</td><td class=\"count\">{count}</td>\
                 <td class=\"room\"><div style=\"width:{percent}%\"></div></td></tr>"
            )?;
        }
        writeln!(out, "</table>")?;
    }
    for plot in page.plots.iter().filter(|plot| plot.has_points()) {
        writeln!(out, "{}", plot.svg().context("cannot draw a plot")?)?;
    }
    writeln!(out, "</body></html>")?;
    Ok(out.flush()?)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_whole_without_a_network_and_nothing_breaks_out_of_it() {
        let hostile = "</pre><script src=\"http://x\">";
        let line = |name: &str| Line { name: name.to_owned(), points: vec![(0.0, 1.0), (1.0, 2.5)] };
        let page = Page {
            title: hostile.to_owned(),
            summary: hostile.to_owned(),
            counts: vec![
                Counts { title: "Answers", rows: vec![(hostile.to_owned(), 3), ("none".to_owned(), 0)] },
                Counts { title: "Nothing", rows: vec![] },
            ],
            plots: vec![
                Plot { title: "Arrivals", x: "s", y: "a second", lines: vec![line(hostile), line("b")] },
                Plot { title: "Empty", x: "s", y: "ms", lines: vec![] },
            ],
        };
        let mut out = Vec::new();
        write_page(&mut out, &page).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with("<!doctype html>") && text.ends_with("</html>\n"));
        // Two lines and their two entries in the legend.
        assert_eq!((text.matches("<svg").count(), text.matches("stroke-width=\"2\"").count()), (1, 2 + 2));
        assert!(text.contains("Arrivals") && !text.contains("Empty") && !text.contains("Nothing"));
        assert!(!text.contains("<script"), "{text}");
        let links = text.replace("http://www.w3.org/2000/svg", "").matches("=\"http").count();
        assert_eq!(links, 0, "{text}");
    }
}
