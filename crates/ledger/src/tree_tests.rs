use super::*;
use crate::tile::{MemoryTiles, TreeWriter};
use data_encoding::HEXLOWER_PERMISSIVE as HEX;

fn leaves(n: u64) -> Vec<Hash> {
    (0..n).map(|i| crate::leaf::leaf_hash(&i.to_be_bytes())).collect()
}

fn tiles(leaves: &[Hash]) -> MemoryTiles {
    let (mut tiles, mut writer) = (MemoryTiles::default(), TreeWriter::new());
    tiles.apply(writer.append(leaves));
    tiles
}

// RFC 6962 2.1, written as it stands there.
fn naive_root(d: &[Hash]) -> Hash {
    match d {
        [] => empty_root(),
        [one] => *one,
        _ => {
            let (left, right) = d.split_at(naive_split(d.len()));
            node_hash(&naive_root(left), &naive_root(right))
        }
    }
}

fn naive_split(n: usize) -> usize {
    let mut k = 1;
    while k * 2 < n {
        k *= 2;
    }
    k
}

// RFC 6962 2.1.1 PATH.
fn naive_path(m: usize, d: &[Hash]) -> Vec<Hash> {
    if d.len() <= 1 {
        return Vec::new();
    }
    let k = naive_split(d.len());
    let (left, right) = d.split_at(k);
    let (mut path, other) = if m < k {
        (naive_path(m, left), naive_root(right))
    } else {
        (naive_path(m - k, right), naive_root(left))
    };
    path.push(other);
    path
}

// RFC 6962 2.1.2 SUBPROOF.
fn naive_subproof(m: usize, d: &[Hash], whole: bool) -> Vec<Hash> {
    if m == d.len() {
        return if whole { Vec::new() } else { vec![naive_root(d)] };
    }
    let k = naive_split(d.len());
    let (left, right) = d.split_at(k);
    let (mut proof, other) = if m <= k {
        (naive_subproof(m, left, whole), naive_root(right))
    } else {
        (naive_subproof(m - k, right, false), naive_root(left))
    };
    proof.push(other);
    proof
}

// The eight inputs and roots that the RFC 6962 reference implementations share.
#[test]
fn reference_roots_of_one_to_eight_leaves() {
    let inputs =
        ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
    let roots = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    let mut frontier = Frontier::new();
    assert_eq!(
        frontier.root().to_string(),
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    );
    for (input, root) in inputs.iter().zip(roots) {
        frontier.append(crate::leaf::leaf_hash(&HEX.decode(input.as_bytes()).unwrap()));
        assert_eq!(frontier.root().to_string(), root);
    }
}

// The tree of seven leaves drawn in RFC 9162 2.1.5.
#[test]
fn rfc_9162_example_proofs() {
    let d = leaves(7);
    let t = tiles(&d);
    let [d0, d1, d2, d3, d4, d5, d6] = d[..] else { unreachable!() };
    let (g, h, i, j) = (node_hash(&d0, &d1), node_hash(&d2, &d3), node_hash(&d4, &d5), d6);
    let (k, l) = (node_hash(&g, &h), node_hash(&i, &j));
    assert_eq!(root_at(&t, 7).unwrap(), node_hash(&k, &l));
    assert_eq!(inclusion_proof(&t, 0, 7).unwrap(), [d1, h, l]);
    assert_eq!(inclusion_proof(&t, 3, 7).unwrap(), [d2, g, l]);
    assert_eq!(inclusion_proof(&t, 4, 7).unwrap(), [d5, j, k]);
    assert_eq!(inclusion_proof(&t, 6, 7).unwrap(), [i, k]);
    assert_eq!(consistency_proof(&t, 3, 7).unwrap(), [d2, d3, g, l]);
    assert_eq!(consistency_proof(&t, 4, 7).unwrap(), [l]);
    assert_eq!(consistency_proof(&t, 6, 7).unwrap(), [i, j, k]);
}

#[test]
fn all_inclusion_proofs_up_to_300_agree_with_the_naive_tree_and_corrupted_ones_fail() {
    let d = leaves(300);
    let t = tiles(&d);
    for size in 1..=300usize {
        let root = naive_root(&d[..size]);
        assert_eq!(root_at(&t, size as u64).unwrap(), root);
        for index in 0..size {
            let proof = inclusion_proof(&t, index as u64, size as u64).unwrap();
            if size < 80 || size % 37 == 0 {
                assert_eq!(proof, naive_path(index, &d[..size]));
            }
            let check = |i: usize, n: usize, p: &[Hash], r: &Hash| {
                verify_inclusion(&d[index], i as u64, n as u64, p, r)
            };
            assert_eq!(check(index, size, &proof, &root), Ok(()), "{index}/{size}");
            assert!(check(size, size, &proof, &root).is_err());
            if size > 1 {
                assert!(check((index + 1) % size, size, &proof, &root).is_err(), "{index}/{size}");
                assert!(check(index, size, &proof[1..], &root).is_err());
                let mut wrong = proof.clone();
                wrong[index % proof.len()].0[index % 32] ^= 1;
                assert!(check(index, size, &wrong, &root).is_err());
            }
            let mut longer = proof.clone();
            longer.push(d[0]);
            assert!(check(index, size, &longer, &root).is_err());
            assert!(check(index, size, &proof, &naive_root(&d[..size - 1])).is_err());
        }
    }
}

#[test]
fn all_consistency_proofs_up_to_300_agree_with_the_naive_tree_and_corrupted_ones_fail() {
    let d = leaves(300);
    let t = tiles(&d);
    let roots: Vec<Hash> = (0..=300).map(|n| naive_root(&d[..n])).collect();
    for new in 0..=300usize {
        for old in 0..=new {
            let proof = consistency_proof(&t, old as u64, new as u64).unwrap();
            if old > 0 && (new < 64 || new % 41 == 0) {
                assert_eq!(proof, naive_subproof(old, &d[..new], true), "{old}->{new}");
            }
            let check = |o: usize, n: usize, p: &[Hash], a: &Hash, b: &Hash| {
                verify_consistency(o as u64, n as u64, p, a, b)
            };
            assert_eq!(check(old, new, &proof, &roots[old], &roots[new]), Ok(()), "{old}->{new}");
            let mut longer = proof.clone();
            longer.push(d[0]);
            assert!(check(old, new, &longer, &roots[old], &roots[new]).is_err());
            let other = Hash([7; 32]);
            assert!(check(old, new, &proof, &other, &roots[new]).is_err(), "{old}->{new}");
            if old > 0 {
                assert!(check(old, new, &proof, &roots[old], &other).is_err());
            }
            if !proof.is_empty() {
                assert!(check(old, new, &proof[1..], &roots[old], &roots[new]).is_err());
                let mut wrong = proof.clone();
                wrong[(old * 7) % proof.len()].0[old % 32] ^= 1;
                assert!(check(old, new, &wrong, &roots[old], &roots[new]).is_err());
                assert!(check(new, old, &proof, &roots[new], &roots[old]).is_err());
            }
        }
    }
}

#[test]
fn proofs_outside_the_tree_are_refused() {
    let t = tiles(&leaves(5));
    assert_eq!(inclusion_proof(&t, 5, 5), Err(ProofError::Range { index: 5, size: 5 }));
    assert_eq!(consistency_proof(&t, 6, 5), Err(ProofError::Range { index: 6, size: 5 }));
    assert!(matches!(inclusion_proof(&t, 0, 6), Err(ProofError::Short { .. })));
    let far = verify_inclusion(&Hash::ZERO, u64::MAX - 1, u64::MAX, &[Hash::ZERO; 64], &Hash::ZERO);
    assert!(far.is_err());
    assert!(verify_consistency(1, u64::MAX, &[Hash::ZERO; 64], &Hash::ZERO, &Hash::ZERO).is_err());
    assert!(verify_consistency(u64::MAX - 1, u64::MAX, &[Hash::ZERO; 64], &Hash::ZERO, &Hash::ZERO).is_err());
}

#[test]
fn a_frontier_reads_back_and_truncations_are_refused() {
    let mut frontier = Frontier::new();
    for leaf in leaves(23) {
        frontier.append(leaf);
        let bytes = frontier.to_bytes();
        assert_eq!(Frontier::from_bytes(&bytes).as_ref(), Ok(&frontier));
        for len in 0..bytes.len() {
            assert!(Frontier::from_bytes(&bytes[..len]).is_err());
        }
        assert!(Frontier::from_bytes(&[&bytes[..], &[0]].concat()).is_err());
    }
}
