//! The losses of a training as a picture, beside the adapter.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, ArgMatches, ValueHint, value_parser};
use nestling::Code;
use nestling::train::Progress;
use plotters::prelude::*;
use plotters::style::RGBColor;

use crate::failure::{Failure, Outcome};
use crate::file;

const SIZE: (u32, u32) = (900, 540);
const FONT: &str = "sans-serif";
const TRAINING: RGBColor = RGBColor(31, 119, 180);
const VALIDATION: RGBColor = RGBColor(214, 95, 14);
/// From so many steps on, a smoothed line shows what the losses of single steps hide.
const SMOOTHED: usize = 50;
/// More points than this cannot be told apart: then each is the mean of several steps.
const MOST: usize = 4000;

/// `--loss-curve FILE` and `--no-loss-curve`.
pub fn args() -> [Arg; 2] {
    [
        Arg::new("loss-curve")
            .long("loss-curve")
            .value_name("FILE.svg")
            .value_parser(value_parser!(PathBuf))
            .value_hint(ValueHint::FilePath)
            .help("Where the picture of the losses goes [the output's name, with .svg]"),
        Arg::new("no-loss-curve")
            .long("no-loss-curve")
            .action(ArgAction::SetTrue)
            .conflicts_with("loss-curve")
            .help("Draw no picture of the losses"),
    ]
}

/// Where the picture goes; `None` if none is wanted. A name that cannot be is refused before the training.
pub fn path(matches: &ArgMatches, output: &Path) -> Outcome<Option<PathBuf>> {
    if matches.get_flag("no-loss-curve") {
        return Ok(None);
    }
    let Some(given) = matches.get_one::<PathBuf>("loss-curve") else {
        return Ok(Some(beside(output)));
    };
    if given.extension().is_some_and(|e| e.eq_ignore_ascii_case("svg")) {
        return Ok(Some(given.clone()));
    }
    Err(Failure::new(
        Code::Unsupported,
        format!(
            "--loss-curve {}: only SVG can be drawn; give a name that ends in .svg",
            given.display()
        ),
    ))
}

/// The adapter's name with `.svg`.
fn beside(output: &Path) -> PathBuf {
    let path = output.with_extension("svg");
    if path == output { output.with_extension("loss.svg") } else { path }
}

/// Draws the training so far, by temp + rename. Before the first step there is nothing to draw.
pub fn write(path: Option<&Path>, progress: &Progress) -> Outcome {
    let Some(path) = path.filter(|_| !progress.losses.is_empty()) else { return Ok(()) };
    let picture = svg(&progress.losses, &progress.validation).map_err(|e| {
        Failure::new(Code::Internal, format!("drawing the loss curve: {e}; please report it"))
    })?;
    file::replace(path, "writing the loss curve", |out| out.write_all(picture.as_bytes()))
}

/// The loss of each step from 1 on, and validation losses with the step after which they were measured.
fn svg(losses: &[f64], validation: &[(u64, f64)]) -> Result<String, Box<dyn std::error::Error>> {
    let each: Vec<_> = (1..).map(f64::from).zip(losses.iter().copied()).collect();
    let training = thinned(&each);
    let validation: Vec<_> = validation
        .iter()
        .map(|&(step, loss)| (step as f64, loss))
        .filter(|(_, loss)| loss.is_finite())
        .collect();
    let steps = losses.len() as f64;
    let (low, high) = range(training.iter().chain(&validation).map(|(_, loss)| *loss));

    let mut picture = String::new();
    {
        let root = SVGBackend::with_string(&mut picture, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&root)
            .caption("Loss", (FONT, 22))
            .margin(18)
            .x_label_area_size(44)
            .y_label_area_size(64)
            .build_cartesian_2d(1.0..steps.max(2.0), low..high)?;
        chart
            .configure_mesh()
            .x_desc("step")
            .y_desc("nats per token")
            .x_label_formatter(&whole)
            .label_style((FONT, 14))
            .light_line_style(WHITE)
            .draw()?;
        let key = |style: ShapeStyle| move |(x, y)| PathElement::new([(x, y), (x + 24, y)], style);
        let is_smoothed = training.len() >= SMOOTHED;
        let thin =
            if is_smoothed { TRAINING.mix(0.35).stroke_width(1) } else { TRAINING.stroke_width(2) };
        chart
            .draw_series(LineSeries::new(training.iter().copied(), thin))?
            .label("training")
            .legend(key(thin));
        if is_smoothed {
            let thick = TRAINING.stroke_width(3);
            chart
                .draw_series(LineSeries::new(smoothed(&training), thick))?
                .label("training, smoothed")
                .legend(key(thick));
        } else {
            chart.draw_series(training.iter().map(|&at| Circle::new(at, 2, TRAINING.filled())))?;
        }
        if !validation.is_empty() {
            let line = VALIDATION.stroke_width(2);
            chart
                .draw_series(LineSeries::new(validation.iter().copied(), line))?
                .label("validation")
                .legend(key(line));
            let points = validation.iter().map(|&at| Circle::new(at, 4, VALIDATION.filled()));
            chart.draw_series(points)?;
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .label_font((FONT, 14))
            .background_style(WHITE.mix(0.85))
            .border_style(BLACK.mix(0.3))
            .draw()?;
        root.present()?;
    }
    Ok(picture)
}

/// A step for the axis; between two steps nothing.
fn whole(step: &f64) -> String {
    if (step - step.round()).abs() < 1e-6 { format!("{step:.0}") } else { String::new() }
}

/// The axis: from a little below the least to a little above the largest.
fn range(losses: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) = losses.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), loss| {
        (low.min(loss), high.max(loss))
    });
    let room = ((high - low) * 0.05).max(high.abs() * 1e-3).max(1e-6);
    ((low - room).max(0.0).min(low), high + room)
}

/// At most [`MOST`] points: means of as many steps each.
fn thinned(each: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let size = each.len().div_ceil(MOST).max(1);
    let mean = |group: &[(f64, f64)]| {
        let n = group.len().max(1) as f64;
        let (x, y) = group.iter().fold((0.0, 0.0), |(x, y), at| (x + at.0, y + at.1));
        (x / n, y / n)
    };
    each.chunks(size).map(mean).collect()
}

/// Each point's mean with its neighbours: one in twelve of all points.
fn smoothed(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let reach = (points.len() / 24).max(3);
    let mut sums = vec![0.0];
    for (_, loss) in points {
        sums.push(sums.last().copied().unwrap_or(0.0) + loss);
    }
    let until = |end: usize| sums.get(end).copied().unwrap_or(0.0);
    let mean = |(i, &(step, _)): (usize, &(f64, f64))| {
        let (from, to) = (i.saturating_sub(reach), (i + reach + 1).min(points.len()));
        (step, (until(to) - until(from)) / (to - from).max(1) as f64)
    };
    points.iter().enumerate().map(mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers of points of each line of a picture.
    fn lines(picture: &str) -> Vec<usize> {
        let document = roxmltree::Document::parse(picture).unwrap();
        let lines = document.descendants().filter(|node| node.has_tag_name("polyline"));
        let points = lines.filter_map(|line| line.attribute("points"));
        points.map(|points| points.split_whitespace().count()).collect()
    }

    #[test]
    fn every_step_and_every_validation_is_drawn() {
        let losses: Vec<f64> = (0..40).map(|i| 3.0 / f64::from(i + 1)).collect();
        let picture = svg(&losses, &[(10, 1.0), (20, 0.9), (30, f64::NAN), (40, 0.8)]).unwrap();
        let found = lines(&picture);
        assert!(found.contains(&40) && found.contains(&3), "{found:?}");
        assert!(picture.contains("validation") && !picture.contains("smoothed"));
        let picture = svg(&losses.repeat(3), &[]).unwrap();
        assert_eq!(lines(&picture).iter().filter(|&&n| n == 120).count(), 2, "raw and smoothed");
        assert!(!picture.contains("validation"));
    }

    #[test]
    fn the_axis_counts_whole_steps_once() {
        let picture = svg(&[3.0, 2.0, 1.5, 1.2, 1.1, 1.05], &[]).unwrap();
        let document = roxmltree::Document::parse(&picture).unwrap();
        let texts = document.descendants().filter(|node| node.has_tag_name("text"));
        let texts = texts.filter_map(|node| node.text());
        let mut steps: Vec<u32> = texts.filter_map(|text| text.trim().parse().ok()).collect();
        steps.sort_unstable();
        assert_eq!(steps, [1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn one_step_equal_losses_and_very_many_steps_can_be_drawn() {
        for losses in [vec![2.5], vec![1.0; 7], vec![0.0; 60], vec![1e300; 2]] {
            roxmltree::Document::parse(&svg(&losses, &[]).unwrap()).unwrap();
        }
        let many: Vec<f64> = (0..100_000).map(|i| f64::from(i % 7)).collect();
        let picture = svg(&many, &[]).unwrap();
        assert!(lines(&picture).iter().all(|&n| n <= MOST) && picture.len() < 500_000);
    }

    #[test]
    fn smoothing_keeps_the_mean_and_shrinks_the_noise() {
        let noisy: Vec<_> = (0..200).map(|i| (f64::from(i), f64::from(i % 2))).collect();
        let smooth = smoothed(&noisy);
        assert!(smooth.iter().all(|(_, y)| (y - 0.5).abs() < 0.1));
    }

    #[test]
    fn the_picture_never_takes_the_adapters_name() {
        assert_eq!(beside(Path::new("a/x.gguf")), Path::new("a/x.svg"));
        assert_eq!(beside(Path::new("x.svg")), Path::new("x.loss.svg"));
    }
}
