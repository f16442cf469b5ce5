//! nft itself: all tables in one transaction, and none when they are as wanted.

use crate::Failure;
use crate::kernel::Done;
use crate::tool::{ask, must};
use meltemi_capture::{Errand, NFT_TABLES, Plan};

const NFT: &str = "nft";

/// Whether there is an nft that may look at the kernel's tables.
pub(crate) fn works() -> Result<bool, Failure> {
    let answer = ask(NFT, &["list", "tables"], None)?;
    Ok(answer.is_some_and(|answer| answer.is_good))
}

/// Brings the tables to what is wanted.
pub(crate) fn apply(plan: &Plan, errand: &Errand) -> Result<Done, Failure> {
    if errand.only_cleans {
        must(NFT, &["-f", "-"], Some(&Plan::nft_removal()))?;
        return Ok(Done::Removed);
    }
    if !errand.is_forced && !differs(plan)? {
        return Ok(Done::Nothing);
    }
    must(NFT, &["-f", "-"], Some(&plan.nft()))?;
    Ok(Done::Written)
}

/// Whether a table is not as wanted.
pub(crate) fn differs(plan: &Plan) -> Result<bool, Failure> {
    for name in NFT_TABLES {
        let question = [
            "--stateless",
            "--numeric-priority",
            "list",
            "table",
            "inet",
            name,
        ];
        let answer = ask(NFT, &question, None)?.filter(|answer| answer.is_good);
        let text = answer.as_ref().map(|answer| answer.text.as_str());
        if plan.nft_differs(name, text) {
            return Ok(true);
        }
    }
    Ok(false)
}
