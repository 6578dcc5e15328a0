//! Models as a picture: size against how far each is from the reference.

use std::io::Write as _;
use std::path::Path;

use nestling::Code;
use nestling::eval::{ComparedModel, ModelComparison};
use plotters::prelude::*;
use plotters::style::RGBColor;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::failure::{Failure, Outcome};
use crate::file;

const SIZE: (u32, u32) = (900, 540);
const FONT: &str = "sans-serif";
const POINT: RGBColor = RGBColor(31, 119, 180);

/// A name that cannot be is refused before the models are read.
pub fn check(path: &Path) -> Outcome {
    if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("svg")) {
        return file::check(path, "drawing the chart");
    }
    Err(Failure::new(
        Code::Unsupported,
        format!("--chart {}: only SVG can be drawn; give a name that ends in .svg", path.display()),
    ))
}

/// Draws the models, by temp + rename.
pub fn write(path: &Path, found: &ModelComparison) -> Outcome {
    let picture = svg(&found.models).map_err(|e| {
        Failure::new(Code::Internal, format!("drawing the chart: {e}; please report it"))
    })?;
    file::replace(path, "writing the chart", |out| out.write_all(picture.as_bytes()))
}

fn svg(models: &[ComparedModel]) -> Result<String, Box<dyn std::error::Error>> {
    let points: Vec<_> = models
        .iter()
        .map(|m| (m.file_bytes as f64 / f64::from(1 << 20), m.kl.mean, m.label()))
        .collect();
    let most = |pick: fn(&(f64, f64, String)) -> f64| points.iter().map(pick).fold(0.0, f64::max);
    let width = (most(|p| p.0) * 1.08).max(1e-3);
    let height = (most(|p| p.1) * 1.12).max(1e-6);

    let mut picture = String::new();
    {
        let root = SVGBackend::with_string(&mut picture, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&root)
            .caption("Size and distance from the reference", (FONT, 22))
            .margin(18)
            .x_label_area_size(44)
            .y_label_area_size(84)
            .build_cartesian_2d(0.0..width, -0.03 * height..height)?;
        chart
            .configure_mesh()
            .x_desc("file, MiB")
            .y_desc("mean KL divergence, nats per token")
            .y_label_formatter(&|y| if *y < 0.0 { String::new() } else { format!("{y:.3e}") })
            .x_label_formatter(&|x| format!("{x:.0}"))
            .label_style((FONT, 14))
            .light_line_style(WHITE)
            .draw()?;
        for (x, y, label) in points {
            // Names stay inside the picture.
            let (side, shift) = if x > width / 2.0 { (HPos::Right, -9) } else { (HPos::Left, 9) };
            let style = TextStyle::from((FONT, 14)).pos(Pos::new(side, VPos::Bottom));
            let mark = EmptyElement::at((x, y))
                + Circle::new((0, 0), 5, POINT.filled())
                + Text::new(label, (shift, -3), style);
            chart.draw_series([mark])?;
        }
        root.present()?;
    }
    Ok(picture)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(path: &str, file_bytes: u64, mean: f64) -> ComparedModel {
        let kl = nestling::eval::Distribution { mean, ..Default::default() };
        ComparedModel {
            path: Some(path.into()),
            name: None,
            r#type: "Q4_K".into(),
            file_bytes,
            bits_per_weight: 4.5,
            tokens: 9,
            loss: 1.0,
            perplexity: 2.7,
            kl,
            same_top: 1.0,
        }
    }

    #[test]
    fn every_model_is_a_point_with_its_name() {
        let models = [model("a/f16.gguf", 200 << 20, 0.0), model("a/q4<k>.gguf", 60 << 20, 0.02)];
        let picture = svg(&models).unwrap();
        let document = roxmltree::Document::parse(&picture).unwrap();
        let points: Vec<(f64, f64)> = document
            .descendants()
            .filter(|node| node.has_tag_name("circle"))
            .map(|node| ["cx", "cy"].map(|name| node.attribute(name).unwrap().parse().unwrap()))
            .map(|[x, y]| (x, y))
            .collect();
        // The larger one to the right; the one further from the reference above.
        assert!(points.len() == 2 && points[0].0 > points[1].0 && points[0].1 > points[1].1);
        let texts: Vec<_> = document.descendants().filter_map(|node| node.text()).collect();
        for name in ["f16", "q4<k>"] {
            assert!(texts.iter().any(|text| text.trim() == name), "{texts:?}");
        }
    }

    #[test]
    fn one_model_and_equal_models_can_be_drawn() {
        for n in [1, 3] {
            let same = vec![model("x.gguf", 0, 0.0); n];
            roxmltree::Document::parse(&svg(&same).unwrap()).unwrap();
        }
    }
}
