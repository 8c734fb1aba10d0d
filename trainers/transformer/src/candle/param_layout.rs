//! All parameters in one vector, likewise gradients and moments: an AdamW step, a norm and an
//! all-reduce are single operations instead of one per tensor.

use candle_core::{DType, Device, Result, Tensor};

use crate::architecture::{Architecture, LayerParam, Part, Role};
use crate::engine::Params;

/// Alignment of parameters in elements: 256 bytes in f32, 128 in half precision, more than cuBLAS
/// needs for its fastest kernels.
const ALIGNMENT: usize = 64;

/// Position of a parameter.
#[derive(Clone, Debug)]
struct Span {
    offset: usize,
    shape: Vec<usize>,
}

impl Span {
    fn len(&self) -> usize {
        self.shape.iter().product()
    }

    fn end(&self) -> usize {
        self.offset + self.len()
    }
}

/// A range of the vector with the same weight decay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct ParamGroup {
    pub(super) start: usize,
    pub(super) len: usize,
    pub(super) decays: bool,
}

/// Returns the section of a parameter: those with weight decay first, among them the layers'
/// matrices last.
fn section(role: Role) -> usize {
    match role {
        Role::WordEmbeddings | Role::PositionEmbeddings | Role::TokenTypeEmbeddings => 0,
        Role::HeadDense(Part::Weight) | Role::HeadOut(Part::Weight) => 1,
        Role::Layer(..) if role.decays() => 2,
        _ => 3,
    }
}

/// True for key and value: with the query they form one matrix, without gaps.
fn follows_directly(role: Role) -> bool {
    matches!(
        role,
        Role::Layer(_, LayerParam::Key(_) | LayerParam::Value(_))
    )
}

/// Layout of the flat vectors.
pub(super) struct ParamLayout {
    /// In the order of `Architecture::parameters`.
    spans: Vec<Span>,
    roles: Vec<Role>,
    trained: Vec<bool>,
    /// Elements of each vector.
    pub(super) len: usize,
    /// Start and end of the layers' matrices.
    matrices: (usize, usize),
}

impl ParamLayout {
    /// `trained` is true for trained parameters.
    pub(super) fn new(architecture: &Architecture, trained: &[bool]) -> Self {
        let parameters = architecture.parameters();
        let mut order: Vec<usize> = (0..parameters.len()).collect();
        order.sort_by_key(|&number| section(parameters[number].role));
        let mut spans: Vec<Span> = parameters
            .iter()
            .map(|parameter| Span {
                offset: 0,
                shape: parameter.shape.clone(),
            })
            .collect();
        let (mut end, mut matrices) = (0_usize, (usize::MAX, 0));
        for number in order {
            let role = parameters[number].role;
            if !follows_directly(role) {
                end = end.next_multiple_of(ALIGNMENT);
            }
            spans[number].offset = end;
            end = spans[number].end();
            if section(role) == 2 {
                matrices = (matrices.0.min(spans[number].offset), end);
            }
        }
        Self {
            spans,
            roles: parameters.iter().map(|parameter| parameter.role).collect(),
            trained: trained.to_vec(),
            len: end.next_multiple_of(ALIGNMENT),
            matrices: (matrices.0.min(matrices.1), matrices.1),
        }
    }

    /// Returns the ranges that AdamW updates. Alignment gaps belong to the range before them and
    /// stay zero.
    pub(super) fn groups(&self) -> Vec<ParamGroup> {
        let mut order: Vec<usize> = (0..self.spans.len()).collect();
        order.sort_by_key(|&number| self.spans[number].offset);
        let mut groups: Vec<ParamGroup> = Vec::new();
        for number in order.into_iter().filter(|&number| self.trained[number]) {
            let (span, decays) = (&self.spans[number], self.roles[number].decays());
            let (start, len) = (span.offset, span.len());
            match groups.last_mut() {
                Some(last)
                    if last.decays == decays
                        && (last.start + last.len).next_multiple_of(ALIGNMENT) >= start =>
                {
                    last.len = span.end() - last.start;
                }
                _ => groups.push(ParamGroup { start, len, decays }),
            }
        }
        groups
    }

    /// True if any parameter whose role matches is trained.
    pub(super) fn any_trained(&self, belongs: impl Fn(Role) -> bool) -> bool {
        let mut all = self.roles.iter().zip(&self.trained);
        all.any(|(&role, &trained)| trained && belongs(role))
    }

    /// Returns the index of a role in `Architecture::parameters`.
    fn index(&self, role: Role) -> Result<usize> {
        let found = self.roles.iter().position(|&other| other == role);
        found.ok_or_else(|| candle_core::Error::Msg(format!("no parameter {role:?}")))
    }

    /// Returns a view of `parts` consecutive parameters, stacked along the first dimension; with
    /// `half`, of the half-precision copy of the layers' matrices.
    pub(super) fn view(
        &self,
        vector: &Tensor,
        role: Role,
        parts: usize,
        half: bool,
    ) -> Result<Tensor> {
        let from = if half { self.matrices.0 } else { 0 };
        let span = &self.spans[self.index(role)?];
        let mut shape = span.shape.clone();
        shape[0] *= parts;
        let flat = vector.narrow(0, span.offset - from, span.len() * parts)?;
        flat.reshape(shape)
    }

    /// Copies parameters to a vector (len).
    pub(super) fn pack(&self, values: &Params, device: &Device) -> Result<Tensor> {
        let mut all = vec![0.0; self.len];
        for (span, values) in self.spans.iter().zip(values) {
            // Moments of frozen parameters are empty.
            if !values.is_empty() {
                if values.len() != span.len() {
                    candle_core::bail!("expected {} values, found {}", span.len(), values.len());
                }
                all[span.offset..span.end()].copy_from_slice(values);
            }
        }
        Tensor::from_vec(all, self.len, device) // (len) f32
    }

    /// Copies a vector (len) to parameters; with `trained`, frozen ones are empty.
    pub(super) fn unpack(&self, vector: &Tensor, trained: bool) -> Result<Params> {
        let all = vector.to_vec1::<f32>()?;
        let spans = self.spans.iter().zip(&self.trained);
        Ok(spans
            .map(|(span, &trained_here)| {
                if trained && !trained_here {
                    return Vec::new();
                }
                all[span.offset..span.end()].to_vec()
            })
            .collect())
    }

    /// Returns the layers' matrices of a vector (len) in this dtype.
    pub(super) fn half(&self, vector: &Tensor, dtype: DType) -> Result<Tensor> {
        let (start, end) = self.matrices;
        vector.narrow(0, start, end - start)?.to_dtype(dtype)
    }

    /// Returns the overlap of a range with the half-precision copy: start in the vector, start in
    /// the copy, length.
    pub(super) fn half_of(&self, range: ParamGroup) -> Option<(usize, usize, usize)> {
        let start = range.start.max(self.matrices.0);
        let end = (range.start + range.len).min(self.matrices.1);
        (start < end).then(|| (start, start - self.matrices.0, end - start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::architecture::Family;
    use crate::reference::{FAMILIES, small};

    #[test]
    fn parameters_are_disjoint_and_covered_by_groups() {
        for family in FAMILIES {
            let architecture = small(family);
            let parameters = architecture.parameters();
            let layout = ParamLayout::new(&architecture, &vec![true; parameters.len()]);
            let mut spans = layout.spans.clone();
            spans.sort_by_key(|span| span.offset);
            assert!(spans.windows(2).all(|pair| pair[0].end() <= pair[1].offset));
            let groups = layout.groups();
            assert_eq!(groups.len(), 2, "{groups:?}");
            for (span, parameter) in layout.spans.iter().zip(&parameters) {
                let range = groups[usize::from(!parameter.role.decays())];
                assert!(range.start <= span.offset && span.end() <= range.start + range.len);
            }
        }
    }

    #[test]
    fn frozen_parameters_are_in_no_group() {
        let architecture = small(Family::Bert);
        let parameters = architecture.parameters();
        let trained: Vec<bool> = parameters
            .iter()
            .map(|parameter| matches!(parameter.role, Role::Layer(1, _) | Role::HeadOut(_)))
            .collect();
        let layout = ParamLayout::new(&architecture, &trained);
        for (span, &trained_here) in layout.spans.iter().zip(&trained) {
            let inside = |range: &ParamGroup| {
                range.start <= span.offset && span.offset < range.start + range.len
            };
            assert_eq!(layout.groups().iter().any(inside), trained_here);
        }
    }
}
