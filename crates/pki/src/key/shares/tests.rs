use data_encoding::HEXLOWER;
use proptest::prelude::*;

use super::*;

fn all_numbers(threshold: u8, count: u8) -> (UnsealKey, Vec<Share>) {
    deal(threshold, count).unwrap()
}

fn hex(text: &str) -> Zeroizing<[u8; KEY]> {
    Zeroizing::new(HEXLOWER.decode(text.as_bytes()).unwrap().try_into().unwrap())
}

fn counted() -> Zeroizing<[u8; KEY]> {
    let mut key = Zeroizing::new([0; KEY]);
    key.iter_mut().zip(0..).for_each(|(byte, n)| *byte = n);
    key
}

/// Three of five shares of 00 01 .. 1f, made by pyshamir 1.1.0 (the mathematics of Vault's unseal shares).
#[test]
fn shares_of_another_implementation_make_their_key() {
    let foreign = [
        (226, "a44e25f23984ab6c34e6dd40d8ca77162ce53b02cba53903868bef88d3e22ad5"),
        (17, "2d36c60a6d4cac720a3b3831bbf4067a65a19a9c1435f3537f70bcee30cfcee8"),
        (48, "8e7c3d46dec946bb791e066ee472e14fae26ba6b438901fca4a215a1fb083c02"),
        (122, "8ddff465df2934c87ebb02f2d4407f2d94bbbe8facc3a5ec3a155d029b23283d"),
        (45, "9633f969070d86b0e6acda1387214878b0ac23f7c5e2eb058721da8b56343681"),
    ];
    let share = |(number, value): (u8, &str)| Share {
        set: SetId([0; 4]),
        threshold: 3,
        count: 5,
        number,
        check: [0; CHECK],
        value: hex(value),
    };
    for places in [[0, 1, 2], [4, 3, 2], [1, 3, 4]] {
        let shares = places.map(|place| share(foreign[place]));
        assert_eq!(interpolate(&shares, 0), counted(), "{places:?}");
    }
}

/// The same implementation made its key of the shares that these coefficients give.
#[test]
fn our_shares_are_those_that_another_implementation_accepted() {
    let mut place = 0u8;
    let known = |coefficients: &mut [u8]| {
        coefficients[0] = 0xd3u8.wrapping_add(place.wrapping_mul(7));
        coefficients[1] = 0x1fu8.wrapping_add(place.wrapping_mul(13));
        place += 1;
        Ok(())
    };
    let shares = split(&counted(), SetId([1, 2, 3, 4]), 3, 5, known).unwrap();
    assert_eq!(*shares[4].value, *hex("2f48acac9df170ca1ed28b3d0c30ea9971b609f263b9381b828c75d5a96e02d1"));
    assert_eq!(combine(&shares[1..4]).unwrap().bytes(), counted().as_slice());
}

proptest! {
    // Any threshold of any count, in any order, and more than needed.
    #[test]
    fn any_threshold_of_shares_makes_the_key(
        threshold in 2u8..=16,
        more in 0u8..=14,
        order in any::<u64>(),
        extra in 0usize..3,
    ) {
        let count = threshold.saturating_add(more).min(16);
        let (key, shares) = all_numbers(threshold, count);
        let mut shuffled = shares;
        let mut state = order;
        for place in (1..shuffled.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            shuffled.swap(place, (state >> 33) as usize % (place + 1));
        }
        shuffled.truncate((usize::from(threshold) + extra).min(usize::from(count)));
        let typed: Vec<Share> =
            shuffled.iter().map(|s| Share::parse(&s.to_text()).unwrap()).collect();
        let again = combine(&typed).unwrap();
        prop_assert_eq!(again.bytes(), key.bytes());
        prop_assert_eq!((again.set(), again.threshold()), (key.set(), threshold));
        shuffled.truncate(usize::from(threshold) - 1);
        let few = combine(&shuffled).unwrap_err();
        prop_assert_eq!(few, SharesError::TooFew { given: shuffled.len(), needed: threshold });
    }

    // I12
    #[test]
    fn no_text_breaks_the_reader(text in ".{0,200}") {
        let _ = Share::parse(&text);
        let _ = Share::parse(&format!("lys1{text}"));
    }
}

/// With the coefficients uniform, each value of a share is as likely under each key: nothing is learnt from one.
#[test]
fn one_share_of_two_is_independent_of_the_key() {
    for secret in [0u8, 1, 0x5a, 0xff] {
        let key = Zeroizing::new([secret; KEY]);
        let mut seen = [false; 256];
        for coefficient in 0..=255 {
            let fill = |c: &mut [u8]| {
                c[0] = coefficient;
                Ok(())
            };
            let shares = split(&key, SetId([0; 4]), 2, 2, fill).unwrap();
            seen[usize::from(shares[1].value[0])] = true;
        }
        assert!(seen.iter().all(|s| *s), "{secret}");
    }
}

#[test]
fn numbers_that_make_no_sense_are_refused() {
    for (threshold, count) in [(0, 0), (1, 1), (1, 5), (4, 3), (2, 17), (17, 17), (3, 255)] {
        assert_eq!(deal(threshold, count).unwrap_err(), SharesError::Numbers { threshold, count });
    }
}

#[test]
fn a_made_up_a_repeated_and_a_foreign_share_make_no_key() {
    let (_, shares) = all_numbers(3, 5);
    let (_, others) = all_numbers(3, 5);
    let mixed = [shares[0].clone(), shares[1].clone(), others[2].clone()];
    assert!(matches!(combine(&mixed), Err(SharesError::OtherSet { number: 3, .. })));
    let twice = [shares[0].clone(), shares[1].clone(), shares[0].clone()];
    assert_eq!(combine(&twice).unwrap_err(), SharesError::Twice(1));
    for bit in 0..8 {
        for place in 0..KEY {
            let mut made_up = shares[2].clone();
            made_up.value[place] ^= 1 << bit;
            let bad = [shares[0].clone(), shares[1].clone(), made_up.clone()];
            assert_eq!(combine(&bad).unwrap_err(), SharesError::WrongKey);
            // Beyond the threshold it is not used, and still noticed.
            let bad = [shares[0].clone(), shares[1].clone(), shares[3].clone(), made_up];
            assert_eq!(combine(&bad).unwrap_err(), SharesError::WrongKey);
        }
    }
    // Another number on the same value.
    let mut renumbered = shares[2].clone();
    renumbered.number = 4;
    assert_eq!(
        combine(&[shares[0].clone(), shares[1].clone(), renumbered]).unwrap_err(),
        SharesError::WrongKey
    );
    assert_eq!(combine(&[]).unwrap_err(), SharesError::TooFew { given: 0, needed: 2 });
}

#[test]
fn bytes_that_contradict_themselves_are_no_share() {
    let (_, shares) = all_numbers(3, 5);
    let bytes = text::read(&shares[1].to_text(), SHARE_BYTES).unwrap();
    let with = |first: u8, second: u8| {
        let mut changed = bytes.clone();
        (changed[0], changed[1]) = (first, second);
        Share::parse(&text::write(&changed))
    };
    assert!(with(0x12, 0x41).is_ok());
    for (first, second) in [(0x02, 0x41), (0x22, 0x41), (0x10, 0x41), (0x15, 0x41), (0x12, 0x45)] {
        assert!(matches!(with(first, second), Err(SharesError::Malformed(_))), "{first:x} {second:x}");
    }
}

// I10
#[test]
fn keys_and_shares_do_not_print_themselves() {
    let (key, shares) = all_numbers(2, 3);
    let set = key.set();
    assert_eq!(format!("{key:?}"), format!("UnsealKey(set {set}, [redacted])"));
    assert_eq!(format!("{:?}", shares[2]), format!("Share(3 of 3, set {set}, [redacted])"));
}

/// The vector of docs/pki-ceremony.md: that anybody can write the same, and that the page and the code agree.
#[test]
fn the_documented_vector_is_what_is_written_and_read() {
    let page = include_str!("../../../../../docs/pki-ceremony.md");
    let mut place = 0u8;
    let known = |coefficients: &mut [u8]| {
        coefficients[0] = 0xd3u8.wrapping_add(place.wrapping_mul(7));
        coefficients[1] = 0x1fu8.wrapping_add(place.wrapping_mul(13));
        place += 1;
        Ok(())
    };
    let shares = split(&counted(), SetId([1, 2, 3, 4]), 3, 5, known).unwrap();
    let texts: Vec<String> = shares.iter().map(|s| s.to_text().to_string()).collect();
    for text in &texts {
        assert!(page.contains(text), "{text}");
    }
    let typed: Vec<_> = texts[2..].iter().map(|t| Share::parse(t).unwrap()).collect();
    assert_eq!(combine(&typed).unwrap().bytes(), counted().as_slice());
}
