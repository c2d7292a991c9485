//! Tensors that inference does not need: heads that predict several tokens ahead, and tables that are computed.

use super::info::{Contents, Reason, Skipped, WHAT};
use crate::error::Result;
use crate::numeric::buffer::grow;

/// The part of a name up to the number of its layer, if the tensor belongs to a layer that only predicts further tokens.
/// Such a layer has a projection `eh_proj` of the embedding and the hidden state, whose name in GGUF files is `nextn`.
fn further_layer(name: &str) -> Option<&str> {
    let at = name.find(".nextn.").or_else(|| name.strip_suffix(".eh_proj.weight").map(str::len))?;
    let layer = &name[..at];
    layer.rsplit('.').next().is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit())).then_some(layer)
}

/// Whether a name alone says that inference does not need the tensor.
fn is_needless(name: &str) -> bool {
    name.ends_with("rotary_emb.inv_freq") || name.split('.').any(|part| part == "mtp" || part == "nextn")
}

/// Moves them to the tensors that are left out.
pub(super) fn skip(contents: &mut Contents) -> Result<()> {
    let mut layers: Vec<String> = Vec::new();
    for layer in contents.tensors.iter().filter_map(|t| further_layer(&t.name)) {
        if !layers.iter().any(|known| known == layer) && layers.len() < 16 {
            grow(&mut layers, 1, WHAT)?;
            layers.push(crate::weights::metadata::owned(layer)?);
        }
    }
    let in_layer =
        |name: &str, layer: &String| name.strip_prefix(layer.as_str()).is_some_and(|rest| rest.starts_with('.'));
    let gone = |name: &str| is_needless(name) || layers.iter().any(|layer| in_layer(name, layer));
    let n = contents.tensors.iter().filter(|t| gone(&t.name)).count();
    grow(&mut contents.skipped, n, WHAT)?;
    let skipped = &mut contents.skipped;
    contents.tensors.retain_mut(|tensor| {
        let stays = !gone(&tensor.name);
        if !stays {
            skipped.push(Skipped { name: std::mem::take(&mut tensor.name), reason: Reason::NotNeeded });
        }
        stays
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::dtype::DType;

    #[test]
    fn layers_and_names_that_predict_further_tokens_are_left_out() {
        let mut contents = Contents::default();
        let names = [
            ("model.layers.60.mlp.up_proj.weight", true),
            ("model.layers.61.mlp.up_proj.weight", false),
            ("model.layers.61.eh_proj.weight", false),
            ("model.layers.6.mlp.up_proj.weight", true),
            ("model.layers.610.mlp.up_proj.weight", true),
            ("blk.46.nextn.eh_proj.weight", false),
            ("blk.46.attn_q.weight", false),
            ("blk.4.attn_q.weight", true),
            ("mtp.layers.0.norm.weight", false),
            ("model.mtp.norm.weight", false),
            ("model.layers.0.self_attn.rotary_emb.inv_freq", false),
            ("mtpx.eh_proj.weight", true),
            ("output.weight", true),
        ];
        for (name, _) in names {
            contents.add(name, DType::F32, &[], 0, None).unwrap();
        }
        skip(&mut contents).unwrap();
        let stay: Vec<_> = contents.tensors.iter().map(|t| t.name.as_str()).collect();
        assert_eq!(stay, names.iter().filter(|(_, stays)| *stays).map(|(name, _)| *name).collect::<Vec<_>>());
        let gone: Vec<_> = contents.skipped.iter().map(|t| t.name.as_str()).collect();
        assert_eq!(gone, names.iter().filter(|(_, stays)| !*stays).map(|(name, _)| *name).collect::<Vec<_>>());
    }
}
