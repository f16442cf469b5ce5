//! Filters that come apart from their listeners: `ECDS NAME, TYPE, VERSION`.

use crate::dump::{Found, field, text};
use crate::table::Table;

/// The table.
pub(super) fn table(found: &[Found]) -> Table {
    let mut table = Table::new(&["ECDS NAME", "TYPE", "VERSION"]);
    for one in found {
        let config = field(&one.body, "typed_config");
        let url = config
            .map(|config| text(config, "@type"))
            .unwrap_or_default();
        let kind = url.rsplit('/').next().unwrap_or_default().to_owned();
        table.row(vec![one.name.clone(), kind, one.version.clone()]);
    }
    table
}
