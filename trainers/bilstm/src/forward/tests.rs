use tch::Device;
use training::Random;

use super::*;
use crate::evaluate::cpu_logits;
use crate::net::Net;

const LENGTHS: [usize; 7] = [1, 50, 7, 7, 1, 24, 49];

/// Returns shapes of all poolings and of one and two layers, with few and many classes.
fn shapes() -> Vec<Shape> {
    let mut shapes = Vec::new();
    for pooling in [
        Pooling::Last,
        Pooling::Mean,
        Pooling::Max,
        Pooling::Attention,
    ] {
        for (num_layers, emb_size, hidden_size, classes) in [(1, 33, 20, 70), (2, 5, 4, 2)] {
            shapes.push(Shape {
                ids: 30,
                pad: 0,
                emb_size,
                hidden_size,
                num_layers,
                pooling,
                classes,
            });
        }
    }
    shapes
}

/// Returns new weights with larger embeddings, so that gates are not all near 0.5.
fn weights(shape: &Shape) -> Arrays {
    let mut arrays = shape.initial(3);
    for value in &mut arrays.get_mut("embedding.weight").unwrap().data {
        *value *= 10.0;
    }
    arrays
}

fn rows(lengths: &[usize]) -> Vec<Vec<u32>> {
    let mut random = Random::new(7, &[]);
    let mut id = || (random.uniform() * 30.0) as u32;
    lengths
        .iter()
        .map(|&length| (0..length).map(|_| id()).collect())
        .collect()
}

#[test]
fn logits_equal_libtorch() {
    tch::set_num_threads(1);
    for shape in shapes() {
        let (arrays, recurrent) = (weights(&shape), Recurrent::new());
        let forward = Forward::new(&shape, &arrays, &recurrent).unwrap();
        let net = Net::new(&shape, &arrays, Device::Cpu).unwrap().unwrap();
        for lengths in [&LENGTHS[..], &[3, 3], &[1]] {
            let rows = rows(lengths);
            let slices: Vec<&[u32]> = rows.iter().map(Vec::as_slice).collect();
            let ours = cpu_logits(&forward, &mut Buffers::default(), &slices);
            let theirs = net.logits(&rows).unwrap();
            assert_eq!(ours.len(), theirs.len());
            for (ours, theirs) in ours.iter().zip(&theirs) {
                assert!(
                    (ours - theirs).abs() <= 1e-5,
                    "{shape:?}: {ours}, expected {theirs}"
                );
            }
        }
    }
}

/// Issue 18: bit for bit, with buffers that other rows have used before.
#[test]
fn logits_do_not_depend_on_other_rows() {
    let bits =
        |logits: &[f32]| -> Vec<u32> { logits.iter().map(|logit| logit.to_bits()).collect() };
    // More rows than a batch has.
    let lengths: Vec<usize> = LENGTHS.into_iter().cycle().take(70).collect();
    let rows = rows(&lengths);
    let rows: Vec<&[u32]> = rows.iter().map(Vec::as_slice).collect();
    for shape in shapes() {
        let (arrays, recurrent) = (weights(&shape), Recurrent::new());
        let forward = Forward::new(&shape, &arrays, &recurrent).unwrap();
        let mut buffers = Buffers::default();
        let together = cpu_logits(&forward, &mut buffers, &rows);
        let reversed: Vec<&[u32]> = rows.iter().rev().copied().collect();
        let reversed = cpu_logits(&forward, &mut buffers, &reversed);
        let reversed = reversed.rchunks_exact(shape.classes);
        for ((&row, together), reversed) in rows
            .iter()
            .zip(together.chunks_exact(shape.classes))
            .zip(reversed)
        {
            let alone = cpu_logits(&forward, &mut buffers, &[row]);
            assert_eq!(bits(&alone), bits(together), "{shape:?}");
            assert_eq!(bits(&alone), bits(reversed), "{shape:?}");
        }
    }
}

#[test]
fn weights_of_another_shape_are_refused() {
    let shape = &shapes()[0];
    let mut arrays = weights(shape);
    arrays.remove("linear.bias");
    assert!(Forward::new(shape, &arrays, &Recurrent::new()).is_none());
}
