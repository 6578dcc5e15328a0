//! The type of each tensor of a model: the mix's, or the one that the user wants.

use regex_lite::Regex;

use super::choose::{Chooser, fallback, layer_of};
use super::facts::Facts;
use super::mix::{Mix, type_from_name};
use super::piece::Piece;
use super::role::{Role, may_change};
use crate::error::{Result, bail, err};
use crate::format::gguf::{GgmlType, Value};
use crate::options::QuantizeOptions;

/// The word for "each tensor as it is".
pub(super) const COPY: &str = "copy";

/// The type of each piece, in their order. `kv` is the model's metadata.
///
/// # Errors
/// `QuantizeType` for an unknown name, a malformed pattern, or tensors that are quantized already, unless the options
/// allow that.
pub(crate) fn types_for(
    pieces: &[Piece<'_>],
    kv: &[(String, Value)],
    options: &QuantizeOptions,
) -> Result<Vec<GgmlType>> {
    let wishes = Wishes::read(options)?;
    let facts = Facts::read(kv);
    let mix = match options.ftype.eq_ignore_ascii_case(COPY) {
        true => None,
        false => Some(Mix::from_name(&options.ftype)?),
    };
    let names = pieces.iter().map(|p| p.name.as_str());
    let has_matrix = !options.imatrix.is_empty();
    let mut chooser = mix.map(|mix| Chooser::new(mix, &facts, has_matrix, wishes.output, names));
    let mut types: Vec<_> = pieces.iter().map(|p| p.ggml_type).collect();
    for i in order(pieces) {
        let (Some(piece), Some(slot)) = (pieces.get(i), types.get_mut(i)) else { continue };
        let kept = options.leave_output_tensor && piece.name == "output.weight";
        if may_change(&piece.name, &piece.dims, &facts.architecture) && !kept {
            *slot = wishes.of(piece, chooser.as_mut(), options.pure)?;
            check_source(piece, *slot, options.requantize)?;
        }
    }
    Ok(types)
}

/// The order in which the rules count: by layer, then by name.
fn order(pieces: &[Piece<'_>]) -> Vec<usize> {
    let mut keyed: Vec<_> = pieces
        .iter()
        .enumerate()
        .map(|(i, p)| (layer_of(&p.name).map_or(-1, |l| l as i64), p.name.as_str(), i))
        .collect();
    keyed.sort_unstable();
    keyed.into_iter().map(|(_, _, i)| i).collect()
}

/// Rounding twice loses more than either.
fn check_source(piece: &Piece<'_>, to: GgmlType, requantize: bool) -> Result<()> {
    let full = matches!(piece.ggml_type, GgmlType::F32 | GgmlType::F16 | GgmlType::BF16);
    if !full && to != piece.ggml_type && !requantize {
        bail!(
            QuantizeType,
            "tensor {} is quantized already ({}); start from a file of 16- or 32-bit floats, or set requantize=true and \
             accept the loss",
            piece.name,
            piece.ggml_type
        )
    }
    Ok(())
}

/// Types that the user wants.
struct Wishes {
    output: Option<GgmlType>,
    embedding: Option<GgmlType>,
    patterns: Vec<(Regex, GgmlType)>,
}

impl Wishes {
    fn read(options: &QuantizeOptions) -> Result<Self> {
        let one = |name: &str| match name {
            "" => Ok(None),
            name => type_from_name(name).map(Some),
        };
        let patterns =
            options.tensor_types.iter().map(|wish| pattern(wish)).collect::<Result<_>>()?;
        Ok(Self {
            output: one(&options.output_tensor_type)?,
            embedding: one(&options.token_embedding_type)?,
            patterns,
        })
    }

    fn of(
        &self,
        piece: &Piece<'_>,
        chooser: Option<&mut Chooser<'_>>,
        pure: bool,
    ) -> Result<GgmlType> {
        let role = Role::of(&piece.name);
        let named = self.patterns.iter().find(|(p, _)| p.is_match(&piece.name)).map(|(_, t)| *t);
        // The tables of each layer are large: a pattern that names them goes first.
        let per_layer = piece.name.starts_with("per_layer_");
        if let (Some(wanted), Role::TokenEmbedding, false) =
            (self.embedding, role, per_layer && named.is_some())
        {
            return Ok(wanted);
        }
        if let (Some(wanted), Role::Output) = (self.output, role) {
            return Ok(wanted);
        }
        let chosen = match (named, chooser) {
            (Some(wanted), _) => wanted,
            (None, None) => return Ok(piece.ggml_type),
            (None, Some(chooser)) if pure || !chooser.is_quantized() => chooser.default_type(),
            (None, Some(chooser)) => chooser.choose(&piece.name, &piece.dims)?,
        };
        Ok(fallback(chosen, piece.width()))
    }
}

/// `PATTERN=TYPE`.
fn pattern(wish: &str) -> Result<(Regex, GgmlType)> {
    let Some((pattern, name)) = wish.rsplit_once('=').filter(|(pattern, _)| !pattern.is_empty())
    else {
        bail!(QuantizeType, "tensor_types holds {wish:?}; give PATTERN=TYPE, such as ffn_down=q6_k")
    };
    let regex = Regex::new(pattern).map_err(|e| {
        err!(QuantizeType, "tensor_types: {pattern:?} is not a regular expression: {e}")
    })?;
    Ok((regex, type_from_name(name)?))
}
