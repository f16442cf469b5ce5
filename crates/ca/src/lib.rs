//! Who may be whom: the authority's key and certificates, and what it signs.
