//! One small plot for each dimension of growth: the ratio to the smallest size.

use std::path::Path;

use plotters::prelude::*;

use crate::{
    Result,
    figures::Spread,
    growth::{Grown, thousands},
};

const SIZE: (u32, u32) = (560, 320);
const COLOURS: [RGBColor; 2] = [RGBColor(0, 90, 160), RGBColor(190, 60, 30)];

/// Of the dimensions that were measured, each once.
pub(crate) fn names(growth: &[Grown]) -> Vec<&'static str> {
    let mut names: Vec<_> = growth.iter().map(|grown| grown.dimension.name).collect();
    names.dedup();
    names
}

/// `NAME.svg` for each dimension.
pub(crate) fn write_all(growth: &[Grown], directory: &Path) -> Result<()> {
    if growth.is_empty() {
        return Ok(());
    }
    std::fs::create_dir_all(directory)?;
    for name in names(growth) {
        let of_it = growth.iter().filter(|grown| grown.dimension.name == name);
        let of_it: Vec<_> = of_it.collect();
        let path = directory.join(format!("{name}.svg"));
        write(&of_it, &path)?;
        eprintln!("plot: {}", path.display());
    }
    Ok(())
}

struct Point {
    /// The size, or where it stands on the axis.
    at: f64,
    ratio: Spread,
}

fn write(grown: &[&Grown], path: &Path) -> Result<()> {
    let sizes: Vec<_> = grown[0].sizes.iter().map(|(size, _)| *size).collect();
    let places: Vec<_> = sizes.iter().map(|size| place(*size, &sizes)).collect();
    let lines: Vec<_> = grown.iter().map(|grown| points(grown, &places)).collect();
    let most = lines.iter().flatten().map(|point| point.ratio.most);
    let top = most.fold(1.0, f64::max) * 1.15;
    let (first, last) = (places[0], places[places.len() - 1]);
    let margin = (last / first).powf(0.06).max(1.1);
    let across = (first / margin..last * margin).log_scale();

    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption(grown[0].dimension.title, ("sans-serif", 19))
        .margin(12)
        .x_label_area_size(42)
        .y_label_area_size(52)
        .build_cartesian_2d(across.with_key_points(places.clone()), 0.0..top)?;
    let label = |at: &f64| {
        let found = places.iter().position(|place| place == at);
        found.map_or_else(String::new, |found| thousands(sizes[found]))
    };
    chart
        .configure_mesh()
        .x_desc(format!("{} (log scale)", grown[0].dimension.unit))
        .y_desc("events/s, to the smallest")
        .x_label_formatter(&label)
        .y_label_formatter(&|ratio| format!("{ratio:.1}"))
        .y_labels(7)
        .max_light_lines(0)
        .label_style(("sans-serif", 14))
        .axis_desc_style(("sans-serif", 14))
        .draw()?;
    for ((grown, points), colour) in grown.iter().zip(&lines).zip(COLOURS) {
        let medians = points.iter().map(|point| (point.at, point.ratio.median));
        chart
            .draw_series(LineSeries::new(medians.clone(), colour.stroke_width(2)))?
            .label(grown.kind.to_string())
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2)));
        chart.draw_series(medians.map(|median| Circle::new(median, 3, colour.filled())))?;
        chart.draw_series(points.iter().map(|point| {
            let ends = [(point.at, point.ratio.least), (point.at, point.ratio.most)];
            PathElement::new(ends, colour)
        }))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerLeft)
        .label_font(("sans-serif", 14))
        .background_style(WHITE)
        .border_style(BLACK.mix(0.3))
        .draw()?;
    root.present()?;
    Ok(())
}

fn points(grown: &Grown, places: &[f64]) -> Vec<Point> {
    let series = grown.sizes.iter().map(|(_, series)| series);
    let point = |(series, at): (&crate::figures::Series, &f64)| Point {
        at: *at,
        ratio: series.ratio(grown.smallest(), |turn| turn.rate),
    };
    series.zip(places).map(point).collect()
}

/// On a logarithmic axis, where none of something stands a decade before the next.
fn place(size: usize, sizes: &[usize]) -> f64 {
    match size {
        0 => sizes.get(1).map_or(1.0, |next| *next as f64 / 10.0),
        some => some as f64,
    }
}
