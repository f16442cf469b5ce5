//! RequestAuthentication, except for its attachment.

use super::shared::{DURATION, ONE_ATTACHMENT};
use crate::constraint::{Row, Says, Says::*};

const WEB_URL: Says = Cel(
    "url(self).getScheme() == 'https' || url(self).getScheme() == 'http'",
    "is not a URL that starts with http:// or https://",
);

pub(super) const RULES: &[Row] = &[
    ("RequestAuthentication", ONE_ATTACHMENT),
    ("RequestAuthentication.targetRefs", MaxItems(16)),
    ("RequestAuthentication.jwtRules", MaxItems(4096)),
    (
        "JwtRule",
        Cel(
            "[has(self.jwks), has(self.jwksUri), has(self.jwks_uri)].filter(set, set).size() < 2",
            "more than one of jwks and jwksUri is set",
        ),
    ),
    ("JwtRule.issuer", MinLength(1)),
    ("JwtRule.audiences[]", MinLength(1)),
    ("JwtRule.fromCookies[]", MinLength(1)),
    ("JwtRule.fromParams[]", MinLength(1)),
    ("JwtRule.jwksUri", MinLength(1)),
    ("JwtRule.jwksUri", MaxLength(2048)),
    ("JwtRule.jwksUri", WEB_URL),
    ("JwtRule", Alias("jwksUri", "jwks_uri")),
    ("JwtRule.spaceDelimitedClaims", MaxItems(64)),
    ("JwtRule.spaceDelimitedClaims[]", MinLength(1)),
    ("JwtRule.timeout", DURATION),
    ("JwtHeader", Required(&["name"])),
    ("JwtHeader.name", MinLength(1)),
    ("ClaimToHeader", Required(&["header", "claim"])),
    ("ClaimToHeader.claim", MinLength(1)),
    ("ClaimToHeader.header", MinLength(1)),
    ("ClaimToHeader.header", Pattern("^[A-Za-z0-9_-]+$")),
];
