//! A new dealing: for new people, or because a share was lost or seen.

use std::path::PathBuf;

use clap::Args;
use lanyard_pki::authority::Issuer;
use lanyard_pki::key::seal::Sealer;
use lanyard_pki::key::{SealedDirectory, shares};

use super::{
    Directory, Minutes, ROOT, absent, key_failure, last, one_certificate, opened, people, sealed_for,
};
use crate::exit::Failure;
use crate::output::Output;

/// From which directory to which, and for how many.
#[derive(Debug, Args)]
pub struct ReshareArgs {
    /// The root's directory as it is.
    dir: PathBuf,
    /// The new one; made new, on a new medium.
    new: PathBuf,
    /// The root's certificate, PEM: what is written anew is compared with it.
    #[arg(long, value_name = "FILE")]
    certificate: PathBuf,
    /// As many of the new shares make the key.
    #[arg(long)]
    threshold: u8,
    /// As many new shares there are.
    #[arg(long)]
    count: u8,
    /// A file with a share of the old dealing; several. They are asked for at this terminal without.
    #[arg(long, value_name = "FILE")]
    share: Vec<PathBuf>,
    /// Write the new shares as files into this new directory in place of showing them one by one at this terminal.
    #[arg(long, value_name = "DIR")]
    shares_to: Option<PathBuf>,
}

pub(super) fn run(args: &ReshareArgs, output: Output) -> anyhow::Result<()> {
    absent(&args.new)?;
    let root = one_certificate(&args.certificate)?;
    let (set, needed) = sealed_for(&args.dir)?;
    let given = people::collect(&args.share, set, people::Wanted::Threshold(needed))?;
    let keys = opened(&args.dir, &given, Directory::Old)?;
    Issuer::new(root.clone(), ROOT.parse()?, &keys).map_err(|e| Failure::contradicted(e.to_string()))?;
    let (_, dealt) = shares::deal(args.threshold, args.count)?;
    let returned = people::hand_out(&dealt, args.shares_to.as_deref())?;
    let sealer = Sealer::of_shares(shares::combine(&last(&returned, args.threshold))?);
    let target = SealedDirectory::open(&args.new, sealer).map_err(key_failure)?;
    keys.secrets().reseal_into(&target).map_err(key_failure)?;
    let others = returned.get(..usize::from(args.threshold)).unwrap_or_default();
    let again = opened(&args.new, others, Directory::Old)?;
    Issuer::new(root.clone(), ROOT.parse()?, &again).map_err(|e| Failure::internal(e.to_string()))?;
    output.one(&Minutes::new(&dealt, &root), |minutes| {
        format!(
            "{}\nset {set} still opens `{}` and its copies: destroy those media, and collect its shares",
            minutes.text(),
            args.dir.display()
        )
    })
}
