//! The arrays of a network in a safetensors file.

use std::borrow::Cow;
use std::path::Path;

use diagnostics::Error;
use training::{Arrays, Tensor, write_tensors};

use crate::net::Net;

/// Builds a network of shape (terms, width, classes) from the arrays whose names begin with
/// `prefix`.
pub(crate) fn net_of(
    arrays: &mut Arrays,
    prefix: &str,
    (terms, width, classes): (usize, usize, usize),
) -> Result<Net, String> {
    let mut take = |name: &str, shape: &[usize]| {
        let name = format!("{prefix}{name}");
        let array = arrays
            .remove(&name)
            .ok_or_else(|| format!("expected `{name}`, found none"))?;
        if array.shape != shape {
            return Err(format!(
                "expected `{name}` of shape {shape:?}, found {:?}",
                array.shape
            ));
        }
        Ok(array.data)
    };
    let embedding = take("embedding.weight", &[terms, width])?;
    let weight = take("linear.weight", &[classes, width])?;
    let bias = take("linear.bias", &[classes])?;
    Ok(Net::from_arrays(width, embedding, weight, bias))
}

/// Writes networks into a new file, each with a prefix before the names of its arrays.
pub(crate) fn write_nets(path: &Path, nets: &[(&str, &Net)]) -> Result<(), Error> {
    let mut arrays = Vec::new();
    for (prefix, net) in nets {
        let (terms, width, classes) = (net.terms(), net.width, net.bias.len());
        let [embedding, weight] = net.unpadded();
        let bias = Cow::Borrowed(net.bias.as_slice());
        arrays.extend([
            (
                format!("{prefix}embedding.weight"),
                vec![terms, width],
                embedding,
            ),
            (
                format!("{prefix}linear.weight"),
                vec![classes, width],
                weight,
            ),
            (format!("{prefix}linear.bias"), vec![classes], bias),
        ]);
    }
    let tensors = arrays.iter().map(|(name, shape, data)| Tensor {
        name: name.clone(),
        shape,
        data,
    });
    write_tensors(path, &[], tensors.collect())
}
