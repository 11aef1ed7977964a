//! Lines over a common axis, drawn as SVG.

use plotters::prelude::{
    ChartBuilder, Circle, IntoDrawingArea, LineSeries, PathElement, RGBColor, SVGBackend, Text, WHITE,
};
use plotters::style::Color;

const SIZE: (u32, u32) = (1_100, 340);
/// Beside the frame, so that names lie over no line.
const NAMES_WIDTH: u32 = 190;
const NAMES_TOP: i32 = 50;
const NAME_HEIGHT: i32 = 22;
/// Lines with so few points show them, as a line of one point would not be seen.
const POINTS_SHOWN_MAX: usize = 100;
const COLORS: [RGBColor; 8] = [
    RGBColor(52, 101, 164),
    RGBColor(204, 0, 0),
    RGBColor(78, 154, 6),
    RGBColor(245, 121, 0),
    RGBColor(117, 80, 123),
    RGBColor(164, 0, 100),
    RGBColor(85, 87, 83),
    RGBColor(6, 152, 154),
];

/// Lines in one frame; the axes begin at 0, or before it where a line does.
#[derive(Debug)]
pub(crate) struct Plot {
    pub(crate) title: &'static str,
    pub(crate) x: &'static str,
    pub(crate) y: &'static str,
    pub(crate) lines: Vec<Line>,
}

/// One named line; its points are in the order of x, and y is not negative.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
}

impl Line {
    /// One point for each second, from 0.
    pub(crate) fn by_second(name: impl Into<String>, values: impl Iterator<Item = f64>) -> Self {
        let point = |(second, value): (u32, f64)| (f64::from(second), value);
        Self { name: name.into(), points: (0..).zip(values).map(point).collect() }
    }
}

impl Plot {
    pub(super) fn has_points(&self) -> bool {
        self.lines.iter().any(|line| !line.points.is_empty())
    }

    pub(super) fn svg(&self) -> anyhow::Result<String> {
        let mut svg = String::new();
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let x_min = points().map(|(x, _)| *x).fold(0.0, f64::min);
        let x_max = end_of_axis(points().map(|(x, _)| *x));
        let y_max = end_of_axis(points().map(|(_, y)| *y)) * 1.05;
        {
            let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
            area.fill(&WHITE)?;
            let (frame, names) = area.split_horizontally(SIZE.0 - NAMES_WIDTH);
            let mut chart = ChartBuilder::on(&frame)
                .caption(self.title, ("sans-serif", 20))
                .margin(8)
                .x_label_area_size(44)
                .y_label_area_size(80)
                .build_cartesian_2d(x_min..x_max, 0.0..y_max)?;
            chart
                .configure_mesh()
                .x_desc(self.x)
                .y_desc(self.y)
                .light_line_style(WHITE)
                .max_light_lines(1)
                .label_style(("sans-serif", 14))
                .draw()?;
            let heights = (0..).map(|place| NAMES_TOP + place * NAME_HEIGHT);
            for ((line, color), y) in self.lines.iter().zip(COLORS.iter().cycle()).zip(heights) {
                chart.draw_series(LineSeries::new(line.points.iter().copied(), color.stroke_width(2)))?;
                if line.points.len() <= POINTS_SHOWN_MAX {
                    chart.draw_series(line.points.iter().map(|at| Circle::new(*at, 3, color.filled())))?;
                }
                names.draw(&PathElement::new([(4, y), (20, y)], color.stroke_width(2)))?;
                names.draw(&Text::new(line.name.as_str(), (26, y - 7), ("sans-serif", 14)))?;
            }
            area.present()?;
        }
        Ok(svg)
    }
}

fn end_of_axis(values: impl Iterator<Item = f64>) -> f64 {
    let end = values.fold(0.0, f64::max);
    if end > 0.0 { end } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_before_0_is_within_the_frame() {
        let line = Line { name: "sockets".to_owned(), points: vec![(-40.0, 1.0), (0.0, 5.0), (20.0, 5.0)] };
        let svg = Plot { title: "Sockets", x: "s", y: "sockets", lines: vec![line] }.svg().unwrap();
        let circles = svg.split("<circle cx=\"").skip(1).map(|circle| circle.split('"').next().unwrap());
        let places: Vec<i32> = circles.map(|x| x.parse().unwrap()).collect();
        let [first, middle, last] = places[..] else { panic!("{places:?}") };
        // Between the labels of the y axis and the names of the lines, and to scale.
        assert!(
            first >= 80 && last <= 910 && (middle - first - 2 * (last - middle)).abs() <= 2,
            "{places:?}"
        );
    }
}
